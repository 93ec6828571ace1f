//! gradus.
#![warn(missing_docs)]

pub mod analysis;
pub mod bench;
pub mod cli;
pub mod comparison;
pub mod data;
pub mod engine;
pub mod error;
pub mod fetch;
pub mod files;
pub mod filtering;
pub mod image;
pub mod interrupt;
pub mod metrics;
pub mod plot;
pub mod progress;
pub mod report;
pub mod run;
pub mod serve;

pub use error::{Error, Result};
