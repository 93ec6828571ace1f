//! Data sets.

pub mod coco;
