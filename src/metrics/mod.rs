//! How good the results are.

pub mod coco;
pub mod confusion;
pub mod losses;
pub mod rle;
