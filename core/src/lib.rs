//! The numerics of gradus: tensors, reverse-mode autograd, SIMD kernels, optimisers.
#![warn(missing_docs)]

pub mod random;

pub use random::Rng;
