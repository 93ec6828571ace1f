//! The operations, one file a family; forward and backward stand side by side.

mod activation;
mod arithmetic;
pub mod conv;
mod elementwise;
mod reduce;
#[cfg(test)]
mod testing;
