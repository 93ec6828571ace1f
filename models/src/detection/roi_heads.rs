//! The second stage: what each proposal shows, and where (Girshick, *Fast R-CNN*, 2015; torchvision's
//! `RoIHeads`).
//!
//! A proposal's features, 7x7 cells by RoIAlign, pass two linear layers with ReLU; two more give a logit for
//! each class and a code for each class' box. Trained on a sample of proposals, to which the objects
//! themselves are added: cross-entropy of the classes, and smooth L1 of the positives' codes for their class,
//! divided by the number sampled.

use super::boxes::{self, BBox};
use super::coder::BoxCoder;
use super::mask_head::{self, MaskHead};
use super::matcher::{Match, Matcher};
use super::pooler::pool;
use super::rpn_loss::BETA;
use super::sampler::Sampler;
use super::target::Target;
use super::{Config, rows};
use gradus_core::nn::Linear;
use gradus_core::ops::{ClassLoss, Reduction};
use gradus_core::{Activation, Element, Module, Rng, Tape, Tensor, Var, Visitor, init, profile};

/// Cells across a region that the box head reads.
pub const POOLED: usize = 7;
const HIDDEN: usize = 1024;

/// The heads, and how proposals are chosen for training.
#[derive(Debug)]
pub struct RoiHeads<E: Element = f32> {
    fc6: Linear<E>,
    fc7: Linear<E>,
    cls_score: Linear<E>,
    bbox_pred: Linear<E>,
    /// Where masks are predicted.
    pub mask: Option<MaskHead<E>>,
    matcher: Matcher,
    sampler: Sampler,
}

/// An image's proposals that are trained on.
#[derive(Clone, Debug)]
pub struct Selected<E: Element = f32> {
    /// [k, 4]
    pub boxes: Tensor<E>,
    /// 0 for background.
    pub labels: Vec<usize>,
    /// The object each answers for; 0 where there is none.
    pub matched: Vec<usize>,
    /// [k, 4]: the object's code; of use for positives.
    pub codes: Tensor<E>,
}

/// A linear layer with PyTorch's default initialisation: weights and biases uniform in ±1/√fan in.
fn linear<E: Element>(input: usize, output: usize, rng: &mut Rng) -> Linear<E> {
    let bound = 1.0 / (input as f64).sqrt();
    let mut layer = Linear::new(init::uniform([input, output], -bound, bound, rng), true);
    if let Some(bias) = &mut layer.bias {
        bias.value = init::uniform([output], -bound, bound, rng);
    }
    layer
}

impl<E: Element> RoiHeads<E> {
    /// With random weights, for levels of so many channels.
    pub fn new(c: &Config, channels: usize, rng: &mut Rng) -> Self {
        const PIXELS: usize = POOLED * POOLED;
        RoiHeads {
            fc6: linear(channels * PIXELS, HIDDEN, rng).on_maps(PIXELS),
            fc7: linear(HIDDEN, HIDDEN, rng),
            cls_score: linear(HIDDEN, c.num_classes, rng),
            bbox_pred: linear(HIDDEN, 4 * c.num_classes, rng),
            mask: c.masks.then(|| MaskHead::new(channels, c.num_classes, rng)),
            matcher: Matcher {
                high: c.box_fg_iou_thresh,
                low: c.box_bg_iou_thresh,
                allow_low_quality: false,
            },
            sampler: Sampler {
                batch_size: c.box_batch_size_per_image,
                positive_fraction: c.box_positive_fraction,
            },
        }
    }

    /// Regions [k, 7, 7, c] to their features [k, 1024].
    #[track_caller]
    pub fn features(&self, g: &mut Tape<E>, pooled: Var<E>) -> Var<E> {
        let x = g.flatten(pooled);
        let x = self.fc6.forward(g, x, Activation::Relu);
        self.fc7.forward(g, x, Activation::Relu)
    }

    /// Features [k, 1024] to class logits [k, classes] and codes [k, 4 classes], class by class.
    #[track_caller]
    pub fn predict(&self, g: &mut Tape<E>, features: Var<E>) -> [Var<E>; 2] {
        let logits = self.cls_score.forward(g, features.clone(), Activation::None);
        [logits, self.bbox_pred.forward(g, features, Activation::None)]
    }

    /// The proposals [n, 4] of an image with these objects that are trained on; the objects are added to
    /// them.
    pub fn select(&self, proposals: &Tensor<E>, target: &Target<E>, rng: &mut Rng) -> Selected<E> {
        let _span = profile::span("choose proposals", "");
        let objects = boxes::boxes(&target.boxes);
        let all: Vec<BBox<E>> = [boxes::boxes(proposals), objects].concat();
        let matches = self.matcher.boxes(objects, &all);
        let places = |wanted: fn(&Match) -> bool| (0..all.len()).filter(|&i| wanted(&matches[i])).collect();
        let positive = places(|m| matches!(m, Match::Object(_)));
        let chosen = self.sampler.sample(positive, places(|m| *m == Match::Background), rng).all();
        let all = Tensor::from_slice([all.len(), 4], all.as_flattened());
        let mut selected = Selected {
            boxes: rows(&all, &chosen),
            labels: Vec::with_capacity(chosen.len()),
            matched: Vec::with_capacity(chosen.len()),
            codes: Tensor::zeros([chosen.len(), 4]),
        };
        let codes = selected.codes.data_mut().as_chunks_mut().0;
        for ((&i, b), code) in chosen.iter().zip(boxes::boxes(&selected.boxes)).zip(codes) {
            let (label, object) = match matches[i] {
                Match::Object(o) => (target.labels[o], o),
                _ => (0, 0),
            };
            if label > 0 {
                *code = BoxCoder::PROPOSALS.encode(&objects[object], b);
            }
            selected.labels.push(label);
            selected.matched.push(object);
        }
        selected
    }

    /// The losses of classes and of boxes, of logits and codes of all images' selected proposals; 0 where
    /// there are none.
    #[track_caller]
    pub fn losses(
        &self,
        g: &mut Tape<E>,
        [logits, codes]: [Var<E>; 2],
        selected: &[Selected<E>],
    ) -> [Var<E>; 2] {
        let classes = logits.shape()[1];
        let labels: Vec<usize> = selected.iter().flat_map(|s| s.labels.iter().copied()).collect();
        let n: Var<E> = Tensor::scalar(E::from_usize(labels.len().max(1))).into();
        let sum = ClassLoss { reduction: Reduction::Sum, ..ClassLoss::default() };
        let classifier = g.cross_entropy_with(logits, &labels, &sum);

        let positive = (0..labels.len()).filter(|&i| labels[i] > 0);
        let own: Vec<usize> = positive.map(|i| i * classes + labels[i]).collect();
        let want = selected.iter().flat_map(|s| {
            let codes: &[[E; 4]] = s.codes.data().as_chunks().0;
            codes.iter().zip(&s.labels).filter(|(_, l)| **l > 0).flat_map(|(c, _)| *c)
        });
        let want = Tensor::from_slice([own.len(), 4], &want.collect::<Vec<E>>());
        let codes = g.reshape(codes, &[(labels.len() * classes) as isize, 4]);
        let codes = g.index_select(codes, 0, &own);
        let boxes = g.smooth_l1(codes, want, BETA, Reduction::Sum);
        [classifier, boxes].map(|sum| g.div(sum, n.clone()))
    }

    /// The loss of the masks of all images' selected positives, if there is a mask head. Targets are in the
    /// pixels of the batch and have masks.
    #[track_caller]
    pub fn mask_loss(
        &self,
        g: &mut Tape<E>,
        maps: &[Var<E>],
        sizes: &[[usize; 2]],
        selected: &[Selected<E>],
        targets: &[Target<E>],
    ) -> Option<Var<E>> {
        let head = self.mask.as_ref()?;
        let (mut regions, mut labels, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for (s, t) in selected.iter().zip(targets) {
            let positive: Vec<usize> = (0..s.labels.len()).filter(|&i| s.labels[i] > 0).collect();
            let own = rows(&s.boxes, &positive);
            let matched: Vec<usize> = positive.iter().map(|&i| s.matched[i]).collect();
            let masks = t.masks.as_ref().expect("masks were checked");
            want.push(mask_head::project_masks(masks, boxes::boxes(&own), &matched, mask_head::SIDE).into());
            labels.extend(positive.iter().map(|&i| s.labels[i]));
            regions.push(own);
        }
        let want = Tape::infer().concat(want, 0).value;
        let pooled = pool(g, maps, sizes, &regions, mask_head::POOLED);
        let logits = head.forward(g, pooled);
        Some(head.loss(g, logits, &labels, want))
    }
}

impl<E: Element> Module<E> for RoiHeads<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("box_head.fc6", &mut self.fc6);
        v.child("box_head.fc7", &mut self.fc7);
        v.child("box_predictor.cls_score", &mut self.cls_score);
        v.child("box_predictor.bbox_pred", &mut self.bbox_pred);
        if let Some(mask) = &mut self.mask {
            v.child("", mask);
        }
    }
}
