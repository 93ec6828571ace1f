//! The claims under this library: stated and proven in `*/theory.tex`, tested in `*/properties.rs`, checked
//! by machine in `*/*.v` and `*/*.smt2`. Here is what the tests share: running properties and refuting
//! planted claims, generators, exact fractions, finite differences, adjoint checks, error bounds; and the
//! book that joins claims and tests by label.
#![warn(missing_docs)]

pub mod adjoint;
pub mod claims;
pub mod generators;
pub mod gradient;
pub mod property;
pub mod rational;
pub mod rounding;

#[cfg(test)]
#[path = "../autograd/properties.rs"]
mod autograd;
