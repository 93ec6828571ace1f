//! A detector's settings. Every default is torchvision's (`fasterrcnn_resnet50_fpn`,
//! `maskrcnn_resnet50_fpn`).
//!
//! Settings come with weights, from anywhere, and decide how much is built and computed: whoever reads them
//! has them checked ([`Config::check`]).

use super::backbones::BackboneKind;
use crate::conv_norm::Norm;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use std::ops::RangeInclusive;

/// What a detector is made of and how it is trained and used. Pairs are (training, test).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Config {
    /// The backbone.
    pub backbone: BackboneKind,
    /// Classes, the background (0) included.
    pub num_classes: usize,
    /// Whether a mask is predicted for each box.
    pub masks: bool,

    /// How many stages of the backbone, counted from its end, are trained: 3 with a pyramid, else all.
    pub trainable_layers: usize,
    /// Whether the backbone's batch norm never changes: so with a pyramid.
    pub freeze_bn: bool,

    /// Images are scaled until their shorter side is this long, in pixels: 800 ...
    pub min_size: usize,
    /// ... or their longer side this: 1333.
    pub max_size: usize,
    /// Subtracted from each channel of an image in 0..1: ImageNet's mean.
    pub image_mean: [f64; 3],
    /// Each channel is then divided by it: ImageNet's deviation.
    pub image_std: [f64; 3],
    /// Batches are padded to multiples of this, in pixels: 32.
    pub size_divisible: usize,

    /// The anchors' sides, in pixels, for each level of the backbone.
    pub anchor_sizes: Vec<Vec<usize>>,
    /// The anchors' heights over their widths: 0.5, 1, 2.
    pub aspect_ratios: Vec<f64>,

    /// The best proposals of a level before suppression: 2000, 1000.
    pub rpn_pre_nms_top_n: (usize, usize),
    /// The best proposals of an image after it: 2000, 1000.
    pub rpn_post_nms_top_n: (usize, usize),
    /// Proposals of a level overlap no more than this IoU: 0.7.
    pub rpn_nms_thresh: f64,
    /// An anchor of at least this IoU with an object is positive: 0.7.
    pub rpn_fg_iou_thresh: f64,
    /// An anchor of less than this IoU with every object is negative: 0.3.
    pub rpn_bg_iou_thresh: f64,
    /// Anchors of an image that are trained on: 256.
    pub rpn_batch_size_per_image: usize,
    /// At most this share of them is positive: 0.5.
    pub rpn_positive_fraction: f64,

    /// Detections of no more than this probability are dropped: 0.05.
    pub box_score_thresh: f64,
    /// Detections of a class overlap no more than this IoU: 0.5.
    pub box_nms_thresh: f64,
    /// The best detections of an image: 100.
    pub box_detections_per_img: usize,
    /// A proposal of at least this IoU with an object is positive: 0.5.
    pub box_fg_iou_thresh: f64,
    /// A proposal of less than this IoU with every object is negative: 0.5.
    pub box_bg_iou_thresh: f64,
    /// Proposals of an image that are trained on: 512.
    pub box_batch_size_per_image: usize,
    /// At most this share of them is positive: 0.25.
    pub box_positive_fraction: f64,
}

/// What is read is checked.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(from)?;
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, to)
    }
}

/// Error: the setting, and what it may be.
fn within<T: PartialOrd + std::fmt::Debug>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), String> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} is {value:?}, not within {:?} and {:?}", range.start(), range.end())),
    }
}

impl Config {
    /// Error: which setting no detector can have, and what it may be. Sides are bounded by what pictures may
    /// be and counts by what a computer may be asked for: a file of a few bytes is to ask for no more.
    pub fn check(&self) -> Result<(), String> {
        const SIDE: usize = 1 << 14;
        const MOST: usize = 100_000;
        within("num_classes", self.num_classes, 2..=MOST)?;
        let stages = self.backbone.stages();
        within("trainable_layers", self.trainable_layers, 0..=stages)?;
        within("max_size", self.max_size, 1..=SIDE)?;
        within("min_size", self.min_size, 1..=self.max_size)?;
        within("size_divisible", self.size_divisible, 1..=1024)?;
        for (mean, std) in self.image_mean.into_iter().zip(self.image_std) {
            within("image_mean", mean, -1e3..=1e3)?;
            within("image_std", std, 1e-6..=1e6)?;
        }
        let levels = Config::new(self.backbone, self.num_classes).anchor_sizes.len();
        within("the number of anchor_sizes' levels", self.anchor_sizes.len(), levels..=levels)?;
        let sizes = self.anchor_sizes[0].len();
        within("the number of anchors a place", sizes.saturating_mul(self.aspect_ratios.len()), 1..=100)?;
        for level in &self.anchor_sizes {
            within("the number of a level's anchor_sizes", level.len(), sizes..=sizes)?;
            level.iter().try_for_each(|&size| within("an anchor's size", size, 1..=2 * SIDE))?;
        }
        self.aspect_ratios.iter().try_for_each(|&ratio| within("an aspect ratio", ratio, 1e-3..=1e3))?;
        for (name, count) in [
            ("rpn_pre_nms_top_n", self.rpn_pre_nms_top_n.0),
            ("rpn_pre_nms_top_n", self.rpn_pre_nms_top_n.1),
            ("rpn_post_nms_top_n", self.rpn_post_nms_top_n.0),
            ("rpn_post_nms_top_n", self.rpn_post_nms_top_n.1),
            ("rpn_batch_size_per_image", self.rpn_batch_size_per_image),
            ("box_detections_per_img", self.box_detections_per_img),
            ("box_batch_size_per_image", self.box_batch_size_per_image),
        ] {
            within(name, count, 1..=MOST)?;
        }
        for (name, share) in [
            ("rpn_nms_thresh", self.rpn_nms_thresh),
            ("rpn_fg_iou_thresh", self.rpn_fg_iou_thresh),
            ("rpn_positive_fraction", self.rpn_positive_fraction),
            ("box_score_thresh", self.box_score_thresh),
            ("box_nms_thresh", self.box_nms_thresh),
            ("box_fg_iou_thresh", self.box_fg_iou_thresh),
            ("box_positive_fraction", self.box_positive_fraction),
        ] {
            within(name, share, 0.0..=1.0)?;
        }
        within("rpn_bg_iou_thresh", self.rpn_bg_iou_thresh, 0.0..=self.rpn_fg_iou_thresh)?;
        within("box_bg_iou_thresh", self.box_bg_iou_thresh, 0.0..=self.box_fg_iou_thresh)
    }

    /// Torchvision's defaults for a backbone. `num_classes` includes the background.
    pub fn new(backbone: BackboneKind, num_classes: usize) -> Self {
        let sides = [32, 64, 128, 256, 512];
        // A pyramid has a size a level; a single map has them all.
        let anchor_sizes =
            if backbone.has_fpn() { sides.map(|s| vec![s]).to_vec() } else { vec![sides.to_vec()] };
        Config {
            backbone,
            num_classes,
            masks: false,
            trainable_layers: backbone.default_trainable(),
            freeze_bn: backbone.default_norm() == Norm::Frozen,
            min_size: 800,
            max_size: 1333,
            image_mean: [0.485, 0.456, 0.406],
            image_std: [0.229, 0.224, 0.225],
            size_divisible: 32,
            anchor_sizes,
            aspect_ratios: vec![0.5, 1.0, 2.0],
            rpn_pre_nms_top_n: (2000, 1000),
            rpn_post_nms_top_n: (2000, 1000),
            rpn_nms_thresh: 0.7,
            rpn_fg_iou_thresh: 0.7,
            rpn_bg_iou_thresh: 0.3,
            rpn_batch_size_per_image: 256,
            rpn_positive_fraction: 0.5,
            box_score_thresh: 0.05,
            box_nms_thresh: 0.5,
            box_detections_per_img: 100,
            box_fg_iou_thresh: 0.5,
            box_bg_iou_thresh: 0.5,
            box_batch_size_per_image: 512,
            box_positive_fraction: 0.25,
        }
    }

    /// The same, with a mask for each box.
    #[must_use]
    pub fn with_masks(self) -> Self {
        Config { masks: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_default_holds_and_returns() {
        for backbone in BackboneKind::ALL {
            for classes in [2, 91] {
                let config = Config::new(backbone, classes).with_masks();
                let text = serde_json::to_string(&config).unwrap();
                assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
            }
        }
    }

    /// Each setting in turn is made what no detector has: it is named, and nothing is built of it.
    #[test]
    fn what_no_detector_has_is_refused_by_name() {
        let sound = serde_json::to_value(Config::new(BackboneKind::Resnet50Fpn, 2)).unwrap();
        let names: Vec<String> = sound.as_object().unwrap().keys().cloned().collect();
        let refused = |name: &str, value: Value| {
            let mut config = sound.clone();
            config[name] = value;
            let said = serde_json::from_value::<Config>(config).expect_err(name).to_string();
            assert!(said.len() < 200, "{said}");
            said
        };
        for (name, values) in [
            ("num_classes", vec![json!(0), json!(1), json!(1e9 as u64)]),
            ("trainable_layers", vec![json!(99)]),
            ("min_size", vec![json!(0), json!(1334)]),
            ("max_size", vec![json!(0), json!(1_u64 << 40), json!(u64::MAX)]),
            ("size_divisible", vec![json!(0), json!(1_u64 << 63)]),
            ("image_mean", vec![json!([0.0, 1e300, 0.0])]),
            ("image_std", vec![json!([0.2, 0.0, 0.2]), json!([0.2, -1.0, 0.2]), json!([0.2, 1e-300, 0.2])]),
            ("anchor_sizes", vec![json!([]), json!([[32]]), json!([[], [], [], [], []])]),
            (
                "anchor_sizes",
                vec![json!([[32], [64], [128], [256], [512, 600]]), json!([[0], [1], [1], [1], [1]])],
            ),
            ("anchor_sizes", vec![json!(vec![vec![9; 1000]; 5])]),
            ("aspect_ratios", vec![json!([]), json!([0.0]), json!([-1.0]), json!(vec![1.0; 101])]),
            ("rpn_pre_nms_top_n", vec![json!([0, 1]), json!([1, 1_u64 << 63])]),
            ("rpn_post_nms_top_n", vec![json!([1, 0])]),
            ("rpn_nms_thresh", vec![json!(-5.0), json!(1.1)]),
            ("rpn_fg_iou_thresh", vec![json!(0.2)]),
            ("rpn_bg_iou_thresh", vec![json!(0.8)]),
            ("rpn_batch_size_per_image", vec![json!(0), json!(1_u64 << 63)]),
            ("rpn_positive_fraction", vec![json!(1e300)]),
            ("box_score_thresh", vec![json!(1e308)]),
            ("box_nms_thresh", vec![json!(-1.0)]),
            ("box_detections_per_img", vec![json!(0), json!(1_u64 << 63)]),
            ("box_fg_iou_thresh", vec![json!(0.4)]),
            ("box_bg_iou_thresh", vec![json!(0.6)]),
            ("box_batch_size_per_image", vec![json!(0)]),
            ("box_positive_fraction", vec![json!(-0.1)]),
        ] {
            for value in values {
                let said = refused(name, value);
                let about = match name {
                    "anchor_sizes" | "aspect_ratios" => {
                        ["anchor", "ratio"].iter().any(|word| said.contains(word))
                    }
                    "rpn_fg_iou_thresh" | "box_fg_iou_thresh" => said.contains("_iou_thresh"),
                    _ => said.contains(name),
                };
                assert!(about, "{name}: {said}");
            }
        }
        for name in names {
            refused(&name, json!("x"));
        }
    }
}
