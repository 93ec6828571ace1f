//! The operations, one file a family; forward and backward stand side by side.

pub mod conv;
