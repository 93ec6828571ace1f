//! Training and evaluation: loops that can be stopped anywhere and go on to the same bits.

pub mod alexnet;
pub mod classifier;
pub mod lr_range;
pub mod model;
pub mod state;
pub mod trainer;
