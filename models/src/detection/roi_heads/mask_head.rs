//! Masks (He et al., *Mask R-CNN*, 2017; torchvision's `MaskRCNNHeads`, `MaskRCNNPredictor`).
//!
//! A region of 14x14 cells passes four 3x3 convolutions with ReLU, a transposed convolution to 28x28, again
//! with ReLU, and a 1x1 convolution to a logit for each cell and class. What is trained is the true class'
//! mask alone: binary cross-entropy with the object's bitmap, resampled from the region by RoIAlign. To be
//! drawn, a mask is resized bilinearly to its box.

use super::selected::Selected;
use crate::detection::boxes::{self, BBox, rows};
use crate::detection::pooler::{Maps, by_image};
use crate::detection::target::{Detections, Masks, Target};
use crate::linear::uniform;
use gradus_core::init::{self, Fan};
use gradus_core::nn::Conv2d;
use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::ops::{BceWeights, Reduction};
use gradus_core::{Activation, Element, Module, Rng, Tape, Tensor, Var, Visitor};
use gradus_core::{Layout, Param};

/// Cells across a region that the head reads.
pub const POOLED: usize = 14;
/// Cells across a mask.
pub const SIDE: usize = 28;
const CHANNELS: usize = 256;

/// From regions to masks.
#[derive(Debug)]
pub struct MaskHead<E: Element = f32> {
    layers: Vec<Conv2d<E>>,
    /// `mask_predictor.conv5_mask`: weight [2, 2, in, out] and bias.
    conv5_mask: (Param<E>, Param<E>),
    mask_fcn_logits: Conv2d<E>,
}

impl<E: Element> MaskHead<E> {
    /// With torchvision's random weights: Kaiming normal (fan out, ReLU); the predictor's biases are uniform
    /// in ±1/√fan in.
    pub fn new(channels: usize, num_classes: usize, rng: &mut Rng) -> Self {
        let layers = (0..4).map(|i| {
            let c_in = if i == 0 { channels } else { CHANNELS };
            let weight = init::kaiming_normal([3, 3, c_in, CHANNELS], Fan::Out, init::RELU, rng);
            Conv2d::new(weight, Conv::new(1, 1), true)
        });
        let layers = layers.collect();
        let weight = init::kaiming_normal([2, 2, CHANNELS, CHANNELS], Fan::Out, init::RELU, rng);
        let mut bias = |n: usize, inputs: usize| Param::new(uniform([n], inputs, rng), Layout::Plain);
        let conv5_mask = (Param::new(weight, Layout::ConvTranspose), bias(CHANNELS, 4 * CHANNELS));
        let logits_bias = bias(num_classes, CHANNELS);
        let weight = init::kaiming_normal([1, 1, CHANNELS, num_classes], Fan::Out, init::RELU, rng);
        let mask_fcn_logits =
            Conv2d { bias: Some(logits_bias), ..Conv2d::new(weight, Conv::new(1, 0), false) };
        MaskHead { layers, conv5_mask, mask_fcn_logits }
    }

    /// Regions [k, 14, 14, c] to logits [k, 28, 28, classes].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let x = self.layers.iter().fold(x, |x, conv| conv.forward(g, x, Activation::Relu));
        let (weight, bias) = (g.param(&self.conv5_mask.0), g.param(&self.conv5_mask.1));
        let relu = Fused::from(Activation::Relu);
        let x = g.conv_transpose2d(x, &weight, Some(&bias), Conv::new(2, 0), [0, 0], relu);
        self.mask_fcn_logits.forward(g, x, Activation::None)
    }

    /// The loss of the masks of all images' selected positives; 0 for none. Targets are in the pixels of the
    /// batch and have masks.
    #[track_caller]
    pub fn loss(
        &self,
        g: &mut Tape<E>,
        maps: Maps<'_, E>,
        selected: &[Selected<E>],
        targets: &[Target<E>],
    ) -> Var<E> {
        let (mut regions, mut labels, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for (s, t) in selected.iter().zip(targets) {
            let positive = s.positive();
            let own = rows(&s.boxes, &positive);
            let matched: Vec<usize> = positive.iter().map(|&i| s.matched[i]).collect();
            let masks = t.masks.as_ref().expect("masks were checked");
            want.push(project_masks(masks, boxes::boxes(&own), &matched, SIDE).into());
            labels.extend(positive.iter().map(|&i| s.labels[i]));
            regions.push(own);
        }
        let want = Tape::infer().concat(want, 0).value;
        let n = want.len();
        let pooled = maps.pool(g, &regions, POOLED);
        let logits = self.forward(g, pooled);
        let own = own_class(g, logits, &labels);
        let sum = g.bce_with_logits(own, want.reshape([n, 1]), BceWeights::default(), Reduction::Sum);
        g.div(sum, Tensor::scalar(E::from_usize(n.max(1))).into())
    }

    /// Gives each image's detections, whose boxes are in the pixels of the batch, their masks, and tells
    /// whether all that was predicted is finite.
    #[track_caller]
    pub fn detect(&self, g: &mut Tape<E>, maps: Maps<'_, E>, found: &mut [Detections<E>]) -> bool {
        let regions: Vec<Tensor<E>> = found.iter().map(|d| d.boxes.clone()).collect();
        let pooled = maps.pool(g, &regions, POOLED);
        let logits = self.forward(g, pooled);
        let finite = logits.value.is_finite();
        let counts: Vec<usize> = found.iter().map(|d| d.labels.len()).collect();
        for (d, own) in found.iter_mut().zip(by_image(g, logits, &counts)) {
            d.masks = Some(probabilities(own, &d.labels));
        }
        finite
    }
}

/// Logits [k, 28, 28, classes] of each region's class: [784 k, 1].
#[track_caller]
fn own_class<E: Element>(g: &mut Tape<E>, logits: Var<E>, labels: &[usize]) -> Var<E> {
    let [k, h, w, classes] = logits.value.dims("mask");
    assert_eq!(k, labels.len(), "mask: regions and labels");
    let cells = h * w;
    let own: Vec<usize> = (0..k * cells).map(|i| labels[i / cells]).collect();
    let rows = g.reshape(logits, &[(k * cells) as isize, classes as isize]);
    g.gather(rows, 1, &own, [k * cells, 1])
}

/// The probability of each region's class at each cell, [k, 28, 28].
#[track_caller]
pub fn probabilities<E: Element>(logits: Tensor<E>, labels: &[usize]) -> Tensor<E> {
    let [k, h, w, _] = logits.dims("mask");
    let g = &mut Tape::infer();
    let own = own_class(g, logits.into(), labels);
    g.sigmoid(own).value.reshape([k, h, w])
}

/// Bitmaps seen from regions: cells [k, side, side] in 0..1 of the bitmap that each region is matched to
/// (torchvision's `project_masks_on_boxes`).
#[track_caller]
pub fn project_masks<E: Element>(
    masks: &Masks,
    regions: &[BBox<E>],
    matched: &[usize],
    side: usize,
) -> Tensor<E> {
    let maps =
        Tensor::from_fn([masks.n, masks.height, masks.width, 1], |i| E::from_usize(masks.bits[i].into()));
    let roi = |(&bounds, &image): (&BBox<E>, &usize)| Roi { level: 0, image, bounds };
    let rois: Vec<Roi<E>> = regions.iter().zip(matched).map(roi).collect();
    let align = RoiAlign { output: [side; 2], sampling: 0, aligned: false };
    let cells = Tape::infer().roi_align(&[maps.into()], &[1.0], &rois, align);
    cells.value.reshape([rois.len(), side, side])
}

impl<E: Element> Module<E> for MaskHead<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            v.child(&format!("mask_head.{i}.0"), layer);
        }
        v.param("mask_predictor.conv5_mask.weight", &mut self.conv5_mask.0);
        v.param("mask_predictor.conv5_mask.bias", &mut self.conv5_mask.1);
        v.child("mask_predictor.mask_fcn_logits", &mut self.mask_fcn_logits);
    }
}
