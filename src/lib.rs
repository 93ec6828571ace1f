//! gradus.
#![warn(missing_docs)]

pub mod error;
pub mod files;
pub mod image;

pub use error::{Error, Result};
