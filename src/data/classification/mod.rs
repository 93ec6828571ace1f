//! Data sets for classifiers: what one is, and what a batch of it is.

mod batch;
mod dataset;

pub use batch::Batch;
pub use dataset::{Dataset, Labelled, Splits, describe};
pub(super) use dataset::{EXPECTED, hold_out};
