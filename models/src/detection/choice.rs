//! What a stage learns from: its boxes are matched with the objects, and some of those that answer for an
//! object or for the background are sampled.

use super::boxes::BBox;
use super::matcher::{Match, Matcher};
use super::sampler::{Sampler, Samples};
use gradus_core::{Element, Rng};

/// How boxes are chosen for training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Tells which object a box answers for.
    pub matcher: Matcher,
    /// Tells how many are taken.
    pub sampler: Sampler,
}

impl Choice {
    /// What each of the boxes of an image with these objects answers for, and the places of those that are
    /// trained on.
    pub fn choose<E: Element>(
        &self,
        objects: &[BBox<E>],
        boxes: &[BBox<E>],
        rng: &mut Rng,
    ) -> (Vec<Match>, Samples) {
        let matches = self.matcher.boxes(objects, boxes);
        let places =
            |wanted: fn(&Match) -> bool| (0..matches.len()).filter(|&i| wanted(&matches[i])).collect();
        let positive = places(|m| matches!(m, Match::Object(_)));
        let samples = self.sampler.sample(positive, places(|m| *m == Match::Background), rng);
        (matches, samples)
    }
}
