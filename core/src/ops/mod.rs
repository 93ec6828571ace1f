//! The operations, one file a family; forward and backward stand side by side.

mod activation;
mod arithmetic;
pub mod conv;
mod elementwise;
mod loss;
mod reduce;
mod softmax;
#[cfg(test)]
mod testing;

pub use loss::{BceWeights, ClassLoss, Reduction};
