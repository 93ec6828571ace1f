//! The numerics of gradus: tensors, reverse-mode autograd, SIMD kernels, optimisers.
#![warn(missing_docs)]

pub mod buffer;
mod compiled;
mod element;
mod epilogue;
pub mod gemm;
pub mod init;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod parallel;
pub mod random;
pub mod schedule;
mod shape;
pub mod simd;
mod tape;
mod tensor;

pub use element::Element;
pub use epilogue::{Activation, Epilogue};
pub use nn::{Layout, Module, Param, Slot, Visitor};
pub use optim::{Adam, Optimizer, Rule, Sgd};
pub use random::Rng;
pub use schedule::{OneCycle, Schedule};
pub use shape::{MAX_RANK, Shape};
pub use tape::{Gradients, NodeId, Slots, Tape, Var};
pub use tensor::Tensor;
