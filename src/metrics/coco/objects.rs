//! What is compared: annotated objects, detected ones, and by which measures.

use serde::{Deserialize, Serialize};

use crate::metrics::rle::Rle;

/// The IoU thresholds' number.
pub const THRESHOLDS: usize = 10;
/// The recalls at which precision is read.
pub const RECALLS: usize = 101;
/// At most so many detections an image and category count, in AR1, AR10 and AR100; 100 in all else.
pub const MAX_DETECTIONS: [usize; 3] = [1, 10, 100];
/// The area ranges in square pixels, bounds included: all, small, medium, large.
pub const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
/// The names of the 12 numbers, in pycocotools' order.
pub const NAMES: [&str; 12] = [
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR1",
    "AR10",
    "AR100",
    "AR_small",
    "AR_medium",
    "AR_large",
];

/// What the IoU is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of boxes.
    Box,
    /// Of masks.
    Mask,
}

/// A category of objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Its id in the annotations.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// An annotated object.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// The annotation's id. One of id 0, matched, counts as unmatched, as in pycocotools.
    pub id: i64,
    /// The image's id.
    pub image: i64,
    /// The category's id.
    pub category: i64,
    /// `[x, y, width, height]` in pixels.
    pub bbox: [f64; 4],
    /// In square pixels; decides between small, medium and large.
    pub area: f64,
    /// A region of many objects, which is ignored?
    pub crowd: bool,
    /// Without one it is no object where masks are evaluated.
    pub mask: Option<Rle>,
}

/// All that detections are compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroundTruth {
    /// The evaluated images' ids, those without objects included.
    pub images: Vec<i64>,
    /// The evaluated categories.
    pub categories: Vec<Category>,
    /// The objects. Those of other images or categories do not count.
    pub truths: Vec<Truth>,
}

/// A detected object.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The image's id.
    pub image: i64,
    /// The category's id.
    pub category: i64,
    /// Higher is surer.
    pub score: f64,
    /// `[x, y, width, height]` in pixels.
    pub bbox: [f64; 4],
    /// In square pixels: the box's, or the mask's where masks are evaluated.
    pub area: f64,
    /// Needed where masks are evaluated.
    pub mask: Option<Rle>,
}

impl Detection {
    /// A detected box `[x, y, width, height]`.
    pub fn of_box(image: i64, category: i64, score: f64, bbox: [f64; 4]) -> Self {
        Detection { image, category, score, bbox, area: bbox[2] * bbox[3], mask: None }
    }

    /// The same with a mask. The area stays the box's, as in pycocotools' reading of results that have both.
    #[must_use]
    pub fn with_mask(self, mask: Rle) -> Self {
        Detection { mask: Some(mask), ..self }
    }

    /// A detected mask; box and area are the mask's.
    pub fn of_mask(image: i64, category: i64, score: f64, mask: Rle) -> Self {
        let (bbox, area) = (mask.bounding_box(), mask.area() as f64);
        Detection { image, category, score, bbox, area, mask: Some(mask) }
    }
}

/// The IoU thresholds 0.50, 0.55, ..., 0.95.
pub fn thresholds() -> [f64; THRESHOLDS] {
    let step = (0.95 - 0.5) / 9.0; // rounded as numpy's linspace rounds
    std::array::from_fn(|i| if i == 9 { 0.95 } else { 0.5 + i as f64 * step })
}

/// The recalls 0, 0.01, ..., 1.
pub fn recalls() -> [f64; RECALLS] {
    std::array::from_fn(|i| i as f64 * 0.01)
}

/// Does it not count in an area range?
pub(super) fn ignored(t: &Truth, range: [f64; 2]) -> bool {
    t.crowd || outside(t.area, range)
}

/// Is an area outside of a range?
pub(super) fn outside(area: f64, [low, high]: [f64; 2]) -> bool {
    area < low || area > high
}
