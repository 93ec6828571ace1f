//! A detector's settings. Every default is torchvision's (`fasterrcnn_resnet50_fpn`,
//! `maskrcnn_resnet50_fpn`).

use super::backbones::BackboneKind;
use crate::conv_norm::Norm;
use serde::{Deserialize, Serialize};

/// What a detector is made of and how it is trained and used. Pairs are (training, test).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

impl Config {
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
