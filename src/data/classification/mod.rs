//! Data sets for classifiers: what one is, how `--data` names one, and what a batch of it is.

mod batch;
mod dataset;
mod open;

pub use batch::Batch;
pub use dataset::{Dataset, Labelled, Splits, describe};
pub(super) use dataset::{EXPECTED, hold_out};
pub use open::{Source, VAL_FRACTION, find, open};
