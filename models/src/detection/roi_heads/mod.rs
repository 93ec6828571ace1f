//! The second stage: what each proposal shows, where exactly, and on which pixels (Girshick, *Fast R-CNN*,
//! 2015; torchvision's `RoIHeads`).
//!
//! A proposal's features are read by RoIAlign. The [`box_head`] tells its class and corrects its box; the
//! [`mask_head`], where there is one, tells the object's pixels. Trained on a sample of proposals
//! ([`Selected`]): cross-entropy of the classes, and smooth L1 of the positives' codes for their class,
//! divided by the number sampled; binary cross-entropy of the positives' masks.

pub mod box_head;
pub mod mask_head;
mod selected;

pub use selected::Selected;

use super::choice::Choice;
use super::config::Config;
use super::matcher::Matcher;
use super::pooler::Maps;
use super::postprocess::Keep;
use super::sampler::Sampler;
use super::target::{Detections, Target};
use super::transform::Batch;
use box_head::BoxHead;
use gradus_core::{Element, Module, Rng, Tape, Tensor, Var, Visitor};
use mask_head::MaskHead;

/// The heads, how proposals are chosen for training, and which detections are kept.
#[derive(Debug)]
pub struct RoiHeads<E: Element = f32> {
    /// Tells classes and boxes.
    pub boxes: BoxHead<E>,
    /// Where masks are predicted.
    pub mask: Option<MaskHead<E>>,
    /// Which proposals it learns from.
    pub choice: Choice,
    /// Which detections are kept.
    pub keep: Keep,
    /// How many of the levels it reads, from the finest.
    levels: usize,
}

impl<E: Element> RoiHeads<E> {
    /// With random weights, for so many levels of so many channels.
    pub fn new(c: &Config, levels: usize, channels: usize, rng: &mut Rng) -> Self {
        let matcher =
            Matcher { high: c.box_fg_iou_thresh, low: c.box_bg_iou_thresh, allow_low_quality: false };
        let sampler =
            Sampler { batch_size: c.box_batch_size_per_image, positive_fraction: c.box_positive_fraction };
        RoiHeads {
            boxes: BoxHead::new(channels, c.num_classes, rng),
            mask: c.masks.then(|| MaskHead::new(channels, c.num_classes, rng)),
            choice: Choice { matcher, sampler },
            keep: Keep {
                score_thresh: c.box_score_thresh,
                nms_thresh: c.box_nms_thresh,
                per_image: c.box_detections_per_img,
            },
            levels,
        }
    }

    /// What regions are read from, of all levels that there are.
    #[track_caller]
    pub fn maps<'a>(&self, levels: &'a [Var<E>], sizes: &'a [[usize; 2]]) -> Maps<'a, E> {
        Maps { levels: &levels[..self.levels], sizes }
    }

    /// In training: the losses of classes and of boxes, and of masks where there are any. Proposals [n, 4]
    /// and targets, one of each an image, are in the pixels of the batch; targets have masks where masks are
    /// predicted. The random stream chooses the proposals.
    #[track_caller]
    pub fn losses(
        &self,
        g: &mut Tape<E>,
        batch: &Batch<E>,
        levels: &[Var<E>],
        proposals: &[Tensor<E>],
        targets: &[Target<E>],
        rng: &Rng,
    ) -> ([Var<E>; 2], Option<Var<E>>) {
        let maps = self.maps(levels, &batch.sizes);
        let select =
            |i: usize| Selected::new(&self.choice, &proposals[i], &targets[i], &mut rng.at(i as u64));
        let selected: Vec<Selected<E>> = (0..targets.len()).map(select).collect();
        let boxes = self.boxes.losses(g, maps, &selected);
        (boxes, self.mask.as_ref().map(|head| head.loss(g, maps, &selected, targets)))
    }

    /// In detection: what is found in each image, in the pixels of the batch, and whether all that was
    /// predicted is finite.
    #[track_caller]
    pub fn detect(
        &self,
        g: &mut Tape<E>,
        batch: &Batch<E>,
        levels: &[Var<E>],
        proposals: &[Tensor<E>],
    ) -> (Vec<Detections<E>>, bool) {
        let maps = self.maps(levels, &batch.sizes);
        let (mut found, mut finite) = self.boxes.detect(g, maps, proposals, &self.keep);
        if let Some(head) = &self.mask {
            finite &= head.detect(g, maps, &mut found);
        }
        (found, finite)
    }
}

impl<E: Element> Module<E> for RoiHeads<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("", &mut self.boxes);
        if let Some(mask) = &mut self.mask {
            v.child("", mask);
        }
    }
}
