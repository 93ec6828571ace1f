//! gradus.
#![warn(missing_docs)]

pub mod data;
pub mod error;
pub mod files;
pub mod image;
pub mod metrics;
pub mod plot;
pub mod run;

pub use error::{Error, Result};
