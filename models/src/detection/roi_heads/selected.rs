//! What the second stage is trained on: some of the proposals, to which the objects themselves are added.

use crate::detection::boxes::{self, BBox, rows};
use crate::detection::choice::Choice;
use crate::detection::coder::BoxCoder;
use crate::detection::matcher::Match;
use crate::detection::target::Target;
use gradus_core::{Element, Rng, Tensor, profile};

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

impl<E: Element> Selected<E> {
    /// Of an image's proposals [n, 4] and its objects.
    pub fn new(choice: &Choice, proposals: &Tensor<E>, target: &Target<E>, rng: &mut Rng) -> Self {
        let _span = profile::span("choose proposals", "");
        let objects = boxes::boxes(&target.boxes);
        let all: Vec<BBox<E>> = [boxes::boxes(proposals), objects].concat();
        let (matches, samples) = choice.choose(objects, &all, rng);
        let chosen = samples.all();
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

    /// The places of those that answer for an object.
    pub(super) fn positive(&self) -> Vec<usize> {
        (0..self.labels.len()).filter(|&i| self.labels[i] > 0).collect()
    }
}
