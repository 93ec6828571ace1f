//! The region proposal network (Ren et al., *Faster R-CNN*, 2015, section 3.1; torchvision's
//! `RegionProposalNetwork`).
//!
//! At each cell of each level, a 3x3 convolution with ReLU and two 1x1 convolutions say for each of the
//! cell's A anchors how sure it is to show an object (a logit) and where the object is (a code, see
//! [`BoxCoder`]). Proposals are the decoded boxes: the best of each level, cut at the image's borders,
//! without tiny ones, suppressed within a level, the best of all. They are values: no gradient passes through
//! them.
//!
//! Trained on a sample of anchors (`training`): binary cross-entropy of the logits, and
//! smooth L1 of the positives' codes, both divided by the number of anchors sampled.

mod head;
mod training;

pub use head::{Predictions, RpnHead};

use super::anchors::{AnchorGenerator, Anchors};
use super::choice::Choice;
use super::coder::BoxCoder;
use super::config::Config;
use super::matcher::Matcher;
use super::nms::Survivors;
use super::sampler::Sampler;
use super::target::Target;
use super::transform::Batch;
use gradus_core::{Element, Module, Rng, Tape, Tensor, Var, Visitor, parallel, profile};

/// Proposals of a side less than this are dropped, in pixels.
const MIN_SIDE: f64 = 1e-3;

/// An image's proposals, the surest first.
#[derive(Clone, Debug)]
pub struct Proposals<E: Element = f32> {
    /// [n, 4], in the pixels of the batch.
    pub boxes: Tensor<E>,
    /// Probabilities.
    pub scores: Vec<E>,
}

/// The first stage: the head, the anchors, and how proposals are chosen and trained.
#[derive(Debug)]
pub struct Rpn<E: Element = f32> {
    /// The network.
    pub head: RpnHead<E>,
    /// What it corrects.
    pub anchors: AnchorGenerator<E>,
    /// Which anchors it learns from.
    pub choice: Choice,
    pre_nms_top_n: (usize, usize),
    post_nms_top_n: (usize, usize),
    nms_thresh: f64,
}

impl<E: Element> Rpn<E> {
    /// With random weights, for levels of so many channels. Panics where levels differ in the number of
    /// anchors a cell.
    #[track_caller]
    pub fn new(c: &Config, channels: usize, rng: &mut Rng) -> Self {
        let anchors = AnchorGenerator::new(&c.anchor_sizes, &c.aspect_ratios);
        let per_location = anchors.per_location();
        assert!(
            per_location.windows(2).all(|p| p[0] == p[1]),
            "rpn: levels with {per_location:?} anchors a cell"
        );
        Rpn {
            head: RpnHead::new(channels, per_location[0], rng),
            anchors,
            choice: Choice {
                matcher: Matcher {
                    high: c.rpn_fg_iou_thresh,
                    low: c.rpn_bg_iou_thresh,
                    allow_low_quality: true,
                },
                sampler: Sampler {
                    batch_size: c.rpn_batch_size_per_image,
                    positive_fraction: c.rpn_positive_fraction,
                },
            },
            pre_nms_top_n: c.rpn_pre_nms_top_n,
            post_nms_top_n: c.rpn_post_nms_top_n,
            nms_thresh: c.rpn_nms_thresh,
        }
    }

    /// In training: the proposals' boxes of each image, [k, 4] in the pixels of the batch, and the losses of
    /// objectness and of boxes against the targets. The random stream chooses the anchors.
    #[track_caller]
    pub fn losses(
        &self,
        g: &mut Tape<E>,
        batch: &Batch<E>,
        levels: &[Var<E>],
        targets: &[Target<E>],
        rng: &Rng,
    ) -> (Vec<Tensor<E>>, [Var<E>; 2]) {
        let anchors = self.anchors.over(batch.padded(), levels);
        let chosen = training::choose(&self.choice, &anchors, targets, rng);
        let predictions = self.head.predict(g, levels, &chosen);
        let proposals = self.proposals(&predictions, &anchors, &batch.sizes, true);
        let losses = self.head.losses(g, levels, &predictions, &chosen);
        (proposals.into_iter().map(|p| p.boxes).collect(), losses)
    }

    /// In detection: the proposals' boxes of each image, [k, 4] in the pixels of the batch, and whether all
    /// that was predicted is finite.
    #[track_caller]
    pub fn propose(&self, g: &mut Tape<E>, batch: &Batch<E>, levels: &[Var<E>]) -> (Vec<Tensor<E>>, bool) {
        let anchors = self.anchors.over(batch.padded(), levels);
        let predictions: Vec<_> = levels.iter().map(|l| self.head.forward(g, l.clone())).collect();
        let proposals = self.proposals(&predictions, &anchors, &batch.sizes, false);
        let finite = predictions.iter().all(Predictions::is_finite);
        (proposals.into_iter().map(|p| p.boxes).collect(), finite)
    }

    /// The proposals of each image, whose sizes in the batch are given; `training` chooses their number.
    #[track_caller]
    pub fn proposals(
        &self,
        levels: &[Predictions<E>],
        anchors: &Anchors<E>,
        sizes: &[[usize; 2]],
        training: bool,
    ) -> Vec<Proposals<E>> {
        let _span = profile::span("proposals", "");
        let number = |(train, test): (usize, usize)| if training { train } else { test };
        parallel::map(sizes.len(), |image| {
            let (mut found, mut scores, mut level_of) = (Vec::<E>::new(), Vec::new(), Vec::new());
            let mut first = 0;
            for (level, (p, &n)) in levels.iter().zip(&anchors.per_level).enumerate() {
                let objectness = &p.objectness.value.data()[image * n..][..n];
                let deltas: &[[E; 4]] = p.deltas.value.data()[image * n * 4..][..n * 4].as_chunks().0;
                for i in best(objectness, number(self.pre_nms_top_n)) {
                    found.extend(BoxCoder::ANCHORS.decode(&deltas[i], &anchors.boxes[first + i]));
                    scores.push(objectness[i].sigmoid());
                    level_of.push(level);
                }
                first += n;
            }
            let (size, most) = (sizes[image], number(self.post_nms_top_n));
            let survivors = Survivors { size, min_side: MIN_SIDE, nms_thresh: self.nms_thresh, most };
            let (boxes, kept) = survivors.of(&found, &scores, &level_of);
            Proposals { boxes, scores: kept.into_iter().map(|i| scores[i]).collect() }
        })
    }
}

/// Indices of the n greatest, in descending order; the first of equals.
fn best<E: Element>(scores: &[E], n: usize) -> Vec<usize> {
    let order = |&i: &usize, &j: &usize| scores[j].to_f64().total_cmp(&scores[i].to_f64()).then(i.cmp(&j));
    let mut indices: Vec<usize> = (0..scores.len()).collect();
    if n < indices.len() {
        indices.select_nth_unstable_by(n, order);
        indices.truncate(n);
    }
    indices.sort_unstable_by(order);
    indices
}

impl<E: Element> Module<E> for Rpn<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("head", &mut self.head);
    }
}
