//! Data sets for detectors: what one is, how it is divided into training and test, and what a batch of it is.

mod batch;
mod dataset;
mod input;
mod split;

pub use batch::{DetectionBatch, Mirrored};
pub use dataset::{Annotated, DetectionDataset, ImageName, Object, Sample, describe};
pub use input::{bounded, tensor};
pub use split::TestSplit;
