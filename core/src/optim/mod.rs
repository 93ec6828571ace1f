//! Optimisers: how a gradient changes a parameter.
//!
//! With g the gradient of the parameter p, λ the weight decay, η the learning rate and t = 1, 2, .. the step,
//! [`Sgd`] goes along −g or a velocity that remembers it, [`Adam`] along the gradient's running mean over its
//! running size.
//!
//! These are PyTorch's formulas (`torch.optim`), with scalars in double precision. A [`Rule`] is the formula,
//! and works on bare slices too; an [`Optimizer`] is a rule with the state of every parameter of a network.

mod adam;
mod block;
mod clip;
mod optimizer;
mod rule;
mod sgd;
#[cfg(test)]
mod tests;

pub use adam::Adam;
pub use optimizer::{Optimizer, StateError};
pub use rule::{Rule, State};
pub use sgd::Sgd;
