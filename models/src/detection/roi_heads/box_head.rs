//! What a region shows, and where exactly (Girshick, *Fast R-CNN*, 2015; torchvision's `TwoMLPHead` and
//! `FastRCNNPredictor`).
//!
//! 7x7 cells pass two linear layers with ReLU; two more give a logit for each class and a code for each
//! class' box.

use super::selected::Selected;
use crate::detection::coder::BoxCoder;
use crate::detection::pooler::{Maps, by_image};
use crate::detection::postprocess::Keep;
use crate::detection::target::Detections;
use crate::linear::linear;
use gradus_core::nn::Linear;
use gradus_core::ops::{ClassLoss, Reduction};
use gradus_core::{Activation, Element, Module, Rng, Tape, Tensor, Var, Visitor};

/// Cells across a region that the head reads.
pub const POOLED: usize = 7;
const HIDDEN: usize = 1024;

/// From regions to classes and boxes.
#[derive(Debug)]
pub struct BoxHead<E: Element = f32> {
    fc6: Linear<E>,
    fc7: Linear<E>,
    cls_score: Linear<E>,
    bbox_pred: Linear<E>,
}

impl<E: Element> BoxHead<E> {
    /// With PyTorch's default weights, for levels of so many channels.
    pub fn new(channels: usize, num_classes: usize, rng: &mut Rng) -> Self {
        const PIXELS: usize = POOLED * POOLED;
        BoxHead {
            fc6: linear(channels * PIXELS, HIDDEN, rng).on_maps(PIXELS),
            fc7: linear(HIDDEN, HIDDEN, rng),
            cls_score: linear(HIDDEN, num_classes, rng),
            bbox_pred: linear(HIDDEN, 4 * num_classes, rng),
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

    /// [`BoxHead::predict`] of all images' regions.
    #[track_caller]
    fn of_regions(&self, g: &mut Tape<E>, maps: Maps<'_, E>, regions: &[Tensor<E>]) -> [Var<E>; 2] {
        let pooled = maps.pool(g, regions, POOLED);
        let features = self.features(g, pooled);
        self.predict(g, features)
    }

    /// The losses of classes and of boxes of all images' selected proposals; 0 where there are none.
    #[track_caller]
    pub fn losses(&self, g: &mut Tape<E>, maps: Maps<'_, E>, selected: &[Selected<E>]) -> [Var<E>; 2] {
        let regions: Vec<Tensor<E>> = selected.iter().map(|s| s.boxes.clone()).collect();
        let [logits, codes] = self.of_regions(g, maps, &regions);
        let classes = logits.shape()[1];
        let labels: Vec<usize> = selected.iter().flat_map(|s| s.labels.iter().copied()).collect();
        let n: Var<E> = Tensor::scalar(E::from_usize(labels.len().max(1))).into();
        let sum = ClassLoss { reduction: Reduction::Sum, ..ClassLoss::default() };
        let classifier = g.cross_entropy_with(logits, &labels, &sum);

        let positive = (0..labels.len()).filter(|&i| labels[i] > 0);
        let own: Vec<usize> = positive.map(|i| i * classes + labels[i]).collect();
        let want = selected.iter().flat_map(|s| {
            let codes: &[[E; 4]] = s.codes.data().as_chunks().0;
            s.positive().into_iter().flat_map(|i| codes[i])
        });
        let want = Tensor::from_slice([own.len(), 4], &want.collect::<Vec<E>>());
        let codes = g.reshape(codes, &[(labels.len() * classes) as isize, 4]);
        let codes = g.index_select(codes, 0, &own);
        let boxes = g.smooth_l1(codes, want, BoxCoder::BETA, Reduction::Sum);
        [classifier, boxes].map(|sum| g.div(sum, n.clone()))
    }

    /// Boxes, classes and scores of each image's proposals [n, 4], in the pixels of the batch, and whether
    /// all that was predicted is finite.
    #[track_caller]
    pub fn detect(
        &self,
        g: &mut Tape<E>,
        maps: Maps<'_, E>,
        proposals: &[Tensor<E>],
        keep: &Keep,
    ) -> (Vec<Detections<E>>, bool) {
        let predicted = self.of_regions(g, maps, proposals);
        let finite = predicted.iter().all(|v| v.value.is_finite());
        let counts: Vec<usize> = proposals.iter().map(|p| p.shape()[0]).collect();
        let [logits, codes] = predicted.map(|v| by_image(g, v, &counts));
        let images = proposals.iter().zip(logits).zip(codes).zip(maps.sizes);
        (images.map(|(((p, l), c), &size)| keep.detections(p, l, &c, size)).collect(), finite)
    }
}

impl<E: Element> Module<E> for BoxHead<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("box_head.fc6", &mut self.fc6);
        v.child("box_head.fc7", &mut self.fc7);
        v.child("box_predictor.cls_score", &mut self.cls_score);
        v.child("box_predictor.bbox_pred", &mut self.bbox_pred);
    }
}
