//! Training and evaluation: loops that can be stopped anywhere and go on to the same bits.

pub mod classifier;
pub mod lr_range;
pub mod state;
