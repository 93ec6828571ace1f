//! Losses. Those of classes compare logits [.., C] with labels; those of pairs compare x with a target of its
//! shape.

mod classes;
mod pairs;
mod reduction;

pub use classes::ClassLoss;
pub use pairs::BceWeights;
pub use reduction::Reduction;
