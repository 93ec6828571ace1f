//! How good the results are.

pub mod confusion;
