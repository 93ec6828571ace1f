//! COCO's JSON files: *instances* (images, categories, annotated objects) and *results* (lists of
//! detections).
//!
//! Tools write these files in many ways. What has one plain meaning is taken in it, what can be spared is
//! left out, and what cannot be meant refuses the file; each is a
//! [`Faults`](crate::data::description::Faults) entry that names image and annotation, and all of a file are
//! told at once. Where pycocotools reads a file, its reading is the measure.

mod instances;
mod results;
mod syntax;

pub use crate::data::detection::ImageName;
pub use instances::{Annotation, ImageInfo, Instances, Segmentation};
pub(super) use instances::{BAD_MASK, MAX_BYTES};
pub use results::results_to_json;

#[cfg(test)]
mod tests;
