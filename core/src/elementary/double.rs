//! The functions in f64, by one name each.

pub(crate) use super::error_function::erf;
pub(crate) use super::exponential::{exp, sigmoid, tanh};
pub(crate) use super::logarithm::{ln, ln_1p};
pub(crate) use super::trigonometric::{atan, cos, cos_of_small, sin};
