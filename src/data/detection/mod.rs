//! Data sets for detectors: what one is, how it is divided into training and test, and what a batch of it is.

mod batch;
mod dataset;
mod input;
mod selected;
mod split;

pub use batch::{DetectionBatch, Mirrored};
pub use dataset::{Annotated, DetectionDataset, ImageName, Object, Sample, describe, describe_parts};
pub use input::{bounded, tensor};
pub use selected::{like, selected};
pub use split::TestSplit;
