//! Losses of classes, of pairs and of boxes.

use super::case::{Case, op};
use super::draw::{positive, signed, wide};
use gradus_core::ops::{BceWeights, ClassLoss, Reduction};
use gradus_core::{Tape, Var};
use gradus_models::detection::boxes::Metric;

/// The label of each of n rows, with an ignored one now and then.
fn labels(n: usize, classes: usize) -> Vec<i64> {
    (0..n).map(|i| if i % 11 == 10 { -100 } else { (i * 5 % classes) as i64 }).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let logits = [wide(&[45, 21]), positive(&[21])];
    let pair = [wide(&[9, 77]), signed(&[9, 77])];
    let mut cases = vec![
        op("losses/cross-entropy", &logits[..1], |t, x| t.cross_entropy(x[0].clone(), &labels(45, 21))),
        op("losses/cross-entropy-smoothed", &logits, |t, x| {
            let class_weight = Some(x[1].value.data());
            let how = ClassLoss { class_weight, label_smoothing: 0.1, ..ClassLoss::default() };
            t.cross_entropy_with(x[0].clone(), &labels(45, 21), &how)
        }),
        op("losses/cross-entropy-of-rows", &logits[..1], |t, x| {
            let how = ClassLoss { reduction: Reduction::None, ..ClassLoss::default() };
            t.cross_entropy_with(x[0].clone(), &labels(45, 21), &how)
        }),
        op("losses/nll", &logits[..1], |t, x| {
            let p = t.log_softmax(x[0].clone(), -1);
            t.nll_loss(p, &labels(45, 21), &ClassLoss::default())
        }),
        op("losses/mse", &pair, |t, x| t.mse(x[0].clone(), x[1].clone(), Reduction::Mean)),
        op("losses/smooth-l1", &pair, |t, x| {
            t.smooth_l1(x[0].clone(), x[1].clone(), 1.0 / 9.0, Reduction::Sum)
        }),
        op("losses/binary-cross-entropy", &pair, |t, x| {
            let target = x[1].value.clone().map(|v| 0.5 * v + 0.5);
            t.bce_with_logits(x[0].clone(), target, BceWeights::default(), Reduction::Mean)
        }),
        op("losses/binary-cross-entropy-of-each", &pair, |t, x| {
            let target = x[1].value.clone().map(|v| if v > 0.0 { 1.0 } else { 0.0 });
            t.bce_with_logits(x[0].clone(), target, BceWeights::default(), Reduction::None)
        }),
    ];
    let boxes = [positive(&[60, 2]), positive(&[60, 2]), positive(&[60, 2]), positive(&[60, 2])];
    cases.extend([
        op("losses/iou", &boxes, |t, x| between_boxes(t, x, Metric::Iou)),
        op("losses/giou", &boxes, |t, x| between_boxes(t, x, Metric::Giou)),
        op("losses/diou", &boxes, |t, x| between_boxes(t, x, Metric::Diou)),
        op("losses/ciou", &boxes, |t, x| between_boxes(t, x, Metric::Ciou)),
    ]);
    cases
}

/// The loss between boxes that are given by a corner and their sides.
fn between_boxes(t: &mut Tape, x: &[Var], metric: Metric) -> Var {
    let mut corners = |corner: &Var, sides: &Var| {
        let far = t.add(corner.clone(), sides.clone());
        t.concat(vec![corner.clone(), far], 1)
    };
    let (a, b) = (corners(&x[0], &x[1]), corners(&x[2], &x[3]));
    metric.tape_loss(t, &a, &b)
}
