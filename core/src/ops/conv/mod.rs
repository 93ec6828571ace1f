//! Convolution.

pub mod im2col;
pub mod spec;

pub use spec::ConvSpec;
