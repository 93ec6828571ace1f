//! Images with annotations in COCO's instances format.
//!
//! Everything that can be judged without decoding an image is judged when the data set is opened, so that a
//! mistake in annotations or files does not show after hours. Masks stay polygons or run lengths until their
//! image is loaded.
//!
//! *Which pixels boxes speak of.* Cameras store turned images and note how they were held. pycocotools and
//! torchvision's references know nothing of it: width, height and boxes are of the pixels as stored. So
//! images are read as stored, unless their entry's width and height are those of the upright image alone.

mod check;
mod dataset;
mod form;
pub mod json;
mod names;
mod open;
mod raw;
mod roboflow;

pub use dataset::{Coco, read};
pub(in crate::data) use form::{Form, Places};
pub use names::categories;
pub(in crate::data) use open::Gathered;
pub use roboflow::is_roboflow;

#[cfg(test)]
mod tests;
