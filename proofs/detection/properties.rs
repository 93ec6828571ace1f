//! Claims B1 to B4; here B2, over non-maximum suppression as detectors run it
//! (`gradus_models::detection::boxes`).

#[path = "coder.rs"]
mod coder;
#[path = "evaluation.rs"]
mod evaluation;
#[path = "parts.rs"]
mod parts;

use gradus_core::Tensor;
use gradus_models::detection::boxes::{BBox, iou};
use gradus_models::detection::nms::{batched_nms, nms};
use gradus_proofs::generators::{floats, grid_box};
use gradus_proofs::property::{ensure, holds, refuted};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Boxes with distinct scores, in any order, a permutation of them, and a threshold that some IoUs meet
/// exactly.
#[derive(Clone, Debug)]
struct Scene {
    boxes: Vec<BBox<f32>>,
    scores: Vec<f32>,
    order: Vec<usize>,
    threshold: f64,
}

fn scene() -> impl Strategy<Value = Scene> {
    let threshold = prop_oneof![Just(0.5), Just(0.25), Just(0.75), 0.0f64..1.0];
    (prop::collection::vec(grid_box(6), 0..16), threshold).prop_flat_map(|(boxes, threshold)| {
        let n = boxes.len();
        let shuffled = || Just((0..n).collect::<Vec<usize>>()).prop_shuffle();
        (shuffled(), shuffled()).prop_map(move |(ranks, order)| Scene {
            boxes: boxes.iter().map(floats).collect(),
            scores: ranks.iter().map(|&r| r as f32 / 16.0).collect(),
            order,
            threshold,
        })
    })
}

impl Scene {
    fn tensor(&self) -> Tensor {
        Tensor::from_fn([self.boxes.len(), 4], |i| self.boxes[i / 4][i % 4])
    }

    fn nms(&self) -> Vec<usize> {
        nms(&self.tensor(), &self.scores, self.threshold)
    }

    /// These boxes alone, in this order.
    fn only(&self, which: &[usize]) -> Scene {
        Scene {
            boxes: which.iter().map(|&i| self.boxes[i]).collect(),
            scores: which.iter().map(|&i| self.scores[i]).collect(),
            ..self.clone()
        }
    }

    fn overlaps(&self, i: usize, j: usize) -> f64 {
        iou(&self.boxes[i], &self.boxes[j]).into()
    }
}

/// No two kept boxes overlap more than the threshold, each dropped one overlaps a kept one of higher score,
/// and kept ones come in order of score.
fn suppresses(s: &Scene, kept: &[usize]) -> TestCaseResult {
    let descending = kept.windows(2).all(|k| s.scores[k[0]] > s.scores[k[1]]);
    ensure(descending, || format!("{kept:?} is not in order"))?;
    for i in 0..s.boxes.len() {
        let by = |&&k: &&usize| k != i && s.overlaps(k, i) > s.threshold;
        if kept.contains(&i) {
            let rival = kept.iter().find(by);
            ensure(rival.is_none(), || format!("{i} and {rival:?} are both kept"))?;
        } else {
            let reason = kept.iter().filter(|&&k| s.scores[k] > s.scores[i]).find(by);
            ensure(reason.is_some(), || format!("{i} is dropped without a reason"))?;
        }
    }
    Ok(())
}

#[test]
fn b2_nms_keeps_the_best_of_what_overlaps() {
    holds(scene(), |s| suppresses(&s, &s.nms()));
}

#[test]
fn b2_nms_is_idempotent() {
    holds(scene(), |s| {
        let kept = s.only(&s.nms());
        let again = kept.nms();
        ensure(again == (0..kept.boxes.len()).collect::<Vec<_>>(), || format!("{again:?}"))
    });
}

#[test]
fn b2_nms_does_not_see_the_order_of_boxes() {
    holds(scene(), |s| {
        let moved: Vec<usize> = s.only(&s.order).nms().iter().map(|&i| s.order[i]).collect();
        ensure(moved == s.nms(), || format!("{moved:?}, {:?}", s.nms()))
    });
}

#[test]
fn b2_nms_by_class_is_nms_of_each_class() {
    holds((scene(), prop::collection::vec(0..3usize, 16)), |(s, classes)| {
        let classes = &classes[..s.boxes.len()];
        let kept = batched_nms(&s.tensor(), &s.scores, classes, s.threshold);
        for class in 0..3 {
            let members: Vec<usize> = (0..classes.len()).filter(|&i| classes[i] == class).collect();
            let alone: Vec<usize> = s.only(&members).nms().iter().map(|&i| members[i]).collect();
            let together: Vec<usize> = kept.iter().copied().filter(|&i| classes[i] == class).collect();
            ensure(alone == together, || format!("class {class}: {alone:?}, {together:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn b2_control_dropping_whatever_overlaps_a_better_box() {
    // Not greedy: a box that is itself dropped does not drop others.
    refuted(scene(), |s| {
        let beaten = |i: usize| {
            (0..s.boxes.len()).any(|k| s.scores[k] > s.scores[i] && s.overlaps(k, i) > s.threshold)
        };
        let mut kept: Vec<usize> = (0..s.boxes.len()).filter(|&i| !beaten(i)).collect();
        kept.sort_by(|&i, &j| s.scores[j].total_cmp(&s.scores[i]));
        suppresses(&s, &kept)
    });
}

#[test]
fn b2_control_at_the_threshold() {
    // "A box at the threshold is dropped."
    refuted(scene(), |s| {
        let kept = s.nms();
        let close = kept.iter().any(|&i| kept.iter().any(|&j| i < j && s.overlaps(i, j) >= s.threshold));
        ensure(!close, || format!("{kept:?}"))
    });
}

#[test]
fn b2_control_the_order_of_equal_scores() {
    refuted(scene(), |s| {
        let equal = |s: Scene| Scene { scores: vec![0.5; s.boxes.len()], ..s };
        let moved: Vec<usize> = equal(s.only(&s.order)).nms().iter().map(|&i| s.order[i]).collect();
        let kept = equal(s).nms();
        let sorted = |mut v: Vec<usize>| {
            v.sort_unstable();
            v
        };
        ensure(sorted(moved.clone()) == sorted(kept.clone()), || format!("{moved:?}, {kept:?}"))
    });
}
