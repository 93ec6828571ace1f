//! What the proofs share: finite differences, adjoint checks, samples, error bounds, refutation.
#![warn(missing_docs)]

pub mod adjoint;
pub mod gradient;
pub mod rounding;
pub mod search;

#[cfg(test)]
#[path = "../autograd/properties.rs"]
mod autograd;
