//! Convolution: three passes, several algorithms, one choice.
//!
//! With P the product x ∗ w of [`spec`], the op is y = act(scale · (P + bias) + shift + residual). Let dy be
//! ∂L/∂y. Then dz = dy where the activation passes, and the residual's gradient is dz; dP = scale · dz, and
//! the bias' gradient is dP summed over all pixels. dP goes back through the transposed maps: dx = ∂⟨dP,
//! P⟩/∂x and dw = ∂⟨dP, P⟩/∂w.

mod choose;
mod depthwise;
mod direct;
mod im2col;
mod op;
#[cfg(test)]
mod op_tests;
mod passes;
pub mod phases;
mod product;
pub mod spec;
#[cfg(test)]
mod tests;
mod transpose;
pub mod winograd;

pub use super::fused::{Affine, Fused};
pub use choose::{Algorithm, choose};
pub use op::Conv;
pub use passes::{backward_data, backward_weight, forward};
pub use spec::{ConvSpec, Pass};
