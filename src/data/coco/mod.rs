//! COCO's files.

pub mod json;
mod raw;
