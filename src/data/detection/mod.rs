//! Data sets for detectors: what one is, how it is divided into training and test, how `--data` names one,
//! and what a batch of it is.

mod batch;
mod dataset;
mod input;
mod open;
mod split;

pub use batch::{DetectionBatch, Mirrored};
pub use dataset::{Annotated, DetectionDataset, Object, Sample, describe};
pub use input::{bounded, tensor};
pub use open::open;
pub use split::TestSplit;
