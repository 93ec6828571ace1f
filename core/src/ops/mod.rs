//! The operations, one file a family; forward and backward stand side by side.

mod activation;
mod arithmetic;
pub mod conv;
mod dropout;
mod elementwise;
mod fused;
mod linear;
mod lines;
mod loss;
mod matmul;
mod norm;
mod pool;
mod reduce;
mod reshape;
mod resize;
pub mod roi_align;
mod separable;
mod softmax;
mod taps;
#[cfg(test)]
mod testing;
mod window;

pub use loss::{BceWeights, ClassLoss, Reduction};
pub use norm::BatchStats;
pub use pool::PoolSpec;
pub use resize::scaled_size;
