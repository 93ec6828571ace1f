//! Layers: modules with parameters, each a name for one op of the tape.

mod layers;
mod norm;

pub use layers::{Conv2d, Linear};
pub use norm::{BatchNorm2d, FrozenBatchNorm2d, Running};
