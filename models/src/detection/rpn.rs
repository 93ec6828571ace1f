//! The region proposal network (Ren et al., *Faster R-CNN*, 2015, section 3.1; torchvision's
//! `RegionProposalNetwork`).
//!
//! At each cell of each level, a 3x3 convolution with ReLU and two 1x1 convolutions say for each of the
//! cell's A anchors how sure it is to show an object (a logit) and where the object is (a code, see
//! [`BoxCoder`]). Proposals are the decoded boxes: the best of each level, cut at the image's borders,
//! without tiny ones, suppressed within a level, the best of all. They are values: no gradient passes through
//! them.
//!
//! Trained on a sample of anchors ([`rpn_loss`](super::rpn_loss)): binary cross-entropy of the logits, and
//! smooth L1 of the positives' codes, both divided by the number of anchors sampled.

use super::anchors::{AnchorGenerator, Anchors};
use super::boxes::{self, BBox};
use super::coder::BoxCoder;
use super::matcher::{Match, Matcher};
use super::nms::batched_nms;
use super::patches::patches;
use super::sampler::{Sampler, Samples};
use super::{Config, rows};
use gradus_core::nn::Conv2d;
use gradus_core::ops::conv::Conv;
use gradus_core::{Activation, Element, Module, Rng, Tape, Tensor, Var, Visitor, init, parallel, profile};

/// Proposals of a side less than this are dropped, in pixels.
const MIN_SIDE: f64 = 1e-3;

/// The three convolutions, shared by all levels.
#[derive(Debug)]
pub struct RpnHead<E: Element = f32> {
    conv: Conv2d<E>,
    cls_logits: Conv2d<E>,
    bbox_pred: Conv2d<E>,
}

/// What the head says of a level: for each image and cell, A logits and A codes.
#[derive(Clone, Debug)]
pub struct Predictions<E: Element = f32> {
    /// [n, h, w, A]
    pub objectness: Var<E>,
    /// [n, h, w, 4 A], anchor by anchor.
    pub deltas: Var<E>,
}

impl<E: Element> RpnHead<E> {
    /// For levels of so many channels and so many anchors a cell: weights normal with deviation 0.01, biases
    /// 0.
    pub fn new(channels: usize, anchors: usize, rng: &mut Rng) -> Self {
        let mut layer = |k: usize, out: usize| {
            let weight = init::normal([k, k, channels, out], 0.0, 0.01, rng);
            Conv2d::new(weight, Conv::new(1, k / 2), true)
        };
        RpnHead { conv: layer(3, channels), cls_logits: layer(1, anchors), bbox_pred: layer(1, 4 * anchors) }
    }

    /// A level [n, h, w, c].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Predictions<E> {
        let x = self.conv.forward(g, x, Activation::Relu);
        let objectness = self.cls_logits.forward(g, x.clone(), Activation::None);
        Predictions { objectness, deltas: self.bbox_pred.forward(g, x, Activation::None) }
    }

    /// At some cells of a level alone (flat indices into [n, h, w], in ascending order): [k, A] and [k, 4 A].
    #[track_caller]
    pub fn at(&self, g: &mut Tape<E>, x: Var<E>, cells: &[usize]) -> Predictions<E> {
        let x = patches(g, x, cells);
        let x = linear(g, &self.conv, x, Activation::Relu);
        let objectness = linear(g, &self.cls_logits, x.clone(), Activation::None);
        Predictions { objectness, deltas: linear(g, &self.bbox_pred, x, Activation::None) }
    }
}

/// A convolution of patches that lie in rows.
fn linear<E: Element>(g: &mut Tape<E>, conv: &Conv2d<E>, x: Var<E>, activation: Activation) -> Var<E> {
    let [kh, kw, c_in, out] = conv.weight.value.dims("rpn");
    let weight = g.param(&conv.weight);
    let weight = g.reshape(weight, &[(kh * kw * c_in) as isize, out as isize]);
    let bias = conv.bias.as_ref().map(|b| g.param(b));
    g.linear(x, &weight, bias.as_ref(), activation)
}

impl<E: Element> Module<E> for RpnHead<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("conv.0.0", &mut self.conv);
        v.child("cls_logits", &mut self.cls_logits);
        v.child("bbox_pred", &mut self.bbox_pred);
    }
}

/// An image's proposals, the surest first.
#[derive(Clone, Debug)]
pub struct Proposals<E: Element = f32> {
    /// [n, 4], in the pixels of the batch.
    pub boxes: Tensor<E>,
    /// Probabilities.
    pub scores: Vec<E>,
}

/// The head, the anchors, and how proposals are chosen and trained.
#[derive(Debug)]
pub struct Rpn<E: Element = f32> {
    /// The network.
    pub head: RpnHead<E>,
    /// What it corrects.
    pub anchors: AnchorGenerator<E>,
    matcher: Matcher,
    sampler: Sampler,
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
            matcher: Matcher { high: c.rpn_fg_iou_thresh, low: c.rpn_bg_iou_thresh, allow_low_quality: true },
            sampler: Sampler {
                batch_size: c.rpn_batch_size_per_image,
                positive_fraction: c.rpn_positive_fraction,
            },
            pre_nms_top_n: c.rpn_pre_nms_top_n,
            post_nms_top_n: c.rpn_post_nms_top_n,
            nms_thresh: c.rpn_nms_thresh,
        }
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
        parallel::map(sizes.len(), |i| self.proposals_of(levels, anchors, i, sizes[i], training))
    }

    fn proposals_of(
        &self,
        levels: &[Predictions<E>],
        anchors: &Anchors<E>,
        image: usize,
        size: [usize; 2],
        training: bool,
    ) -> Proposals<E> {
        let number = |(train, test): (usize, usize)| if training { train } else { test };
        let (mut found, mut logits, mut level_of) = (Vec::<E>::new(), Vec::new(), Vec::new());
        let mut first = 0;
        for (level, (p, &n)) in levels.iter().zip(&anchors.per_level).enumerate() {
            let objectness = &p.objectness.value.data()[image * n..][..n];
            let deltas: &[[E; 4]] = p.deltas.value.data()[image * n * 4..][..n * 4].as_chunks().0;
            for i in best(objectness, number(self.pre_nms_top_n)) {
                found.extend(BoxCoder::ANCHORS.decode(&deltas[i], &anchors.boxes[first + i]));
                logits.push(objectness[i]);
                level_of.push(level);
            }
            first += n;
        }
        let found = boxes::clip(Tensor::from_slice([logits.len(), 4], &found), size);
        let keep = boxes::remove_small(&found, E::from_f64(MIN_SIDE));
        let found = rows(&found, &keep);
        let scores: Vec<E> = keep.iter().map(|&i| E::ONE / (E::ONE + (-logits[i]).exp())).collect();
        let level_of: Vec<usize> = keep.iter().map(|&i| level_of[i]).collect();
        let mut keep = batched_nms(&found, &scores, &level_of, self.nms_thresh);
        keep.truncate(number(self.post_nms_top_n));
        Proposals { boxes: rows(&found, &keep), scores: keep.iter().map(|&i| scores[i]).collect() }
    }

    /// A: the anchors of a cell.
    pub fn per_location(&self) -> usize {
        self.anchors.cells[0].len()
    }

    /// Which anchors of an image with these objects are positive and which negative, and all that they answer
    /// for.
    pub fn assign(&self, anchors: &Anchors<E>, objects: &[BBox<E>]) -> Vec<Match> {
        self.matcher.boxes(objects, &anchors.boxes)
    }

    pub(super) fn sample(&self, matches: &[Match], rng: &mut Rng) -> Samples {
        let places =
            |wanted: fn(&Match) -> bool| (0..matches.len()).filter(|&i| wanted(&matches[i])).collect();
        let positive = places(|m| matches!(m, Match::Object(_)));
        self.sampler.sample(positive, places(|m| *m == Match::Background), rng)
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
