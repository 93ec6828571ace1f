//! Boxes [x1, y1, x2, y2] and how much they overlap.
//!
//! With areas A and B, I the intersection's area and U = A + B - I the union's,
//!
//! * IoU = I / U, in [0, 1];
//! * GIoU = IoU - (H - U) / H, in (-1, IoU], H the area of the smallest box around both (Rezatofighi et al.
//!   2019);
//! * DIoU = IoU - ρ² / c², in (-1, IoU], ρ the distance of the centres, c the diagonal of the box around
//!   both;
//! * CIoU = DIoU - α v, v = (4/π²) (atan(w_a/h_a) - atan(w_b/h_b))², α = v / (1 - IoU + v), without gradient
//!   (Zheng et al. 2020).
//!
//! U is computed as (A + B) - I, each operation rounded by itself: then IoU is in [0, 1] in floating point
//! too, with no tolerance (claim I1). Where both areas are 0 the quotient is 0/0 and has no continuous
//! extension; IoU is 0 there by convention. Boxes are not checked here: [`check`] is for the boundary, where
//! a box with x2 < x1 or a NaN is an error. Formulas and constants are torchvision's (`torchvision.ops`),
//! which adds 1e-7 to some denominators.

use crate::scalar::{Dual, Scalar};
use gradus_core::{Element, Tape, Tensor, Var, parallel, profile};

/// x1, y1, x2, y2, with x1 <= x2 and y1 <= y2.
pub type BBox<S> = [S; 4];

/// What torchvision adds to denominators of losses, and of DIoU and CIoU.
const EPS: f64 = 1e-7;

/// A measure of overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Intersection over union.
    Iou,
    /// Generalised.
    Giou,
    /// With the centres' distance.
    Diou,
    /// Complete: with the aspect ratios too.
    Ciou,
}

/// Why a box is refused.
///
/// # Errors
/// A coordinate is not finite, or the box is inverted. The message shows the box.
pub fn check<E: Element>(b: &BBox<E>) -> Result<(), String> {
    if b.iter().any(|v| !v.is_finite()) {
        return Err(format!("box {b:?}: every coordinate must be a finite number"));
    }
    if b[2] < b[0] || b[3] < b[1] {
        return Err(format!("box {b:?} is inverted: boxes are x1 y1 x2 y2 with x1 <= x2 and y1 <= y2"));
    }
    Ok(())
}

/// (x2 - x1) (y2 - y1)
#[inline(always)]
pub fn area<S: Scalar>(b: &BBox<S>) -> S {
    (b[2] - b[0]) * (b[3] - b[1])
}

/// The overlap's width and height, each at least 0.
#[inline(always)]
pub fn overlap<S: Scalar>(a: &BBox<S>, b: &BBox<S>) -> [S; 2] {
    let w = a[2].min(b[2]) - a[0].max(b[0]);
    let h = a[3].min(b[3]) - a[1].max(b[1]);
    [w.at_least_zero(), h.at_least_zero()]
}

/// The areas of intersection and union.
#[inline(always)]
fn intersection_union<S: Scalar>(a: &BBox<S>, b: &BBox<S>) -> (S, S) {
    let [w, h] = overlap(a, b);
    let i = w * h;
    (i, (area(a) + area(b)) - i)
}

/// Intersection over union; 0 where both areas are 0.
#[inline(always)]
pub fn iou<S: Scalar>(a: &BBox<S>, b: &BBox<S>) -> S {
    quotient(intersection_union(a, b))
}

/// I / U, and 0 where U is 0; NaN where it is NaN.
#[inline(always)]
fn quotient<S: Scalar>((i, u): (S, S)) -> S {
    if u <= S::constant(0.0) { S::constant(0.0) } else { i / u }
}

/// The smallest box around both.
#[inline(always)]
pub fn hull<S: Scalar>(a: &BBox<S>, b: &BBox<S>) -> BBox<S> {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

/// ρ² / (c² + eps)
fn centre_distance<S: Scalar>(a: &BBox<S>, b: &BBox<S>, eps: S) -> S {
    let hull = hull(a, b);
    let (w, h) = (hull[2] - hull[0], hull[3] - hull[1]);
    let two = S::constant(2.0);
    let dx = (a[0] + a[2]) / two - (b[0] + b[2]) / two;
    let dy = (a[1] + a[3]) / two - (b[1] + b[3]) / two;
    (dx * dx + dy * dy) / (w * w + h * h + eps)
}

/// α v of CIoU.
fn aspect_penalty<S: Scalar>(a: &BBox<S>, b: &BBox<S>, iou: S) -> S {
    let angle = |b: &BBox<S>| ((b[2] - b[0]) / (b[3] - b[1])).atan();
    let difference = angle(a) - angle(b);
    let v = S::constant(4.0 / (std::f64::consts::PI * std::f64::consts::PI)) * (difference * difference);
    let alpha = v / (S::constant(1.0) - iou + v + S::constant(EPS));
    alpha.detach() * v
}

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 4] = [Metric::Iou, Metric::Giou, Metric::Diou, Metric::Ciou];

    /// The name that the command line takes.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Iou => "iou",
            Metric::Giou => "giou",
            Metric::Diou => "diou",
            Metric::Ciou => "ciou",
        }
    }

    /// The metric of two boxes, with torchvision's `box_iou`, `generalized_box_iou`, `distance_box_iou` and
    /// `complete_box_iou`.
    #[inline(always)]
    pub fn of<S: Scalar>(self, a: &BBox<S>, b: &BBox<S>) -> S {
        let (i, u) = intersection_union(a, b);
        let iou = quotient((i, u));
        match self {
            Metric::Iou => iou,
            Metric::Giou => {
                let h = area(&hull(a, b));
                if h > S::constant(0.0) { iou - (h - u) / h } else { iou }
            }
            Metric::Diou => iou - centre_distance(a, b, S::constant(EPS)),
            Metric::Ciou => iou - centre_distance(a, b, S::constant(EPS)) - aspect_penalty(a, b, iou),
        }
    }

    /// The value and its gradient with respect to both boxes. At a kink of IoU it is the mean of the
    /// one-sided derivatives where like edges meet, and the derivative from the overlapping side where unlike
    /// edges touch, as in PyTorch.
    pub fn gradient<E: Element>(self, a: &BBox<E>, b: &BBox<E>) -> (E, BBox<E>, BBox<E>) {
        let m = self.of(&variables::<E>(a, 0), &variables(b, 4));
        (m.value, m.d[..4].try_into().unwrap_or_default(), m.d[4..].try_into().unwrap_or_default())
    }

    /// The loss 1 - metric, as torchvision's `*_box_iou_loss` define it: 1e-7 is added to the union and to
    /// the hull, so that boxes of zero area have a loss. For a true union of about 1e-7 that halves the IoU.
    #[inline(always)]
    pub fn loss<S: Scalar>(self, a: &BBox<S>, b: &BBox<S>) -> S {
        let (one, eps) = (S::constant(1.0), S::constant(EPS));
        let (i, u) = intersection_union(a, b);
        let iou = i / (u + eps);
        match self {
            Metric::Iou => one - iou,
            Metric::Giou => {
                let h = area(&hull(a, b));
                one - (iou - (h - u) / (h + eps))
            }
            Metric::Diou => one - iou + centre_distance(a, b, eps),
            Metric::Ciou => one - iou + centre_distance(a, b, eps) + aspect_penalty(a, b, iou),
        }
    }

    /// The metric of every pair: [N, 4] and [M, 4] give [N, M]. Panics when the last axes are not 4.
    #[track_caller]
    pub fn matrix<E: Element>(self, a: &Tensor<E>, b: &Tensor<E>) -> Tensor<E> {
        let (rows, columns) = (boxes(a), boxes(b));
        let mut out = Tensor::stale([rows.len(), columns.len()]);
        if !columns.is_empty() {
            let rows_at_once = parallel::GRAIN.div_ceil(columns.len());
            parallel::chunks(out.data_mut(), columns.len() * rows_at_once, |piece, out| {
                for (row, out) in out.chunks_mut(columns.len()).enumerate() {
                    let a = &rows[piece * rows_at_once + row];
                    out.iter_mut().zip(columns).for_each(|(o, b)| *o = self.of(a, b));
                }
            });
        }
        out
    }

    /// The losses of paired boxes on the tape: two variables [N, 4] give `[N]`.
    #[track_caller]
    pub fn tape_loss<E: Element>(self, g: &mut Tape<E>, a: &Var<E>, b: &Var<E>) -> Var<E> {
        let _span = profile::span("box_loss", "forward");
        assert_eq!(a.shape(), b.shape(), "{} loss of paired boxes", self.name());
        let pairs = boxes(&a.value).iter().zip(boxes(&b.value));
        let duals: Vec<Dual<E, 8>> =
            pairs.map(|(a, b)| self.loss(&variables(a, 0), &variables(b, 4))).collect();
        let value = Tensor::from_fn([duals.len()], |i| duals[i].value);
        let (na, nb) = (a.node, b.node);
        g.record("box_loss", value, &[na, nb], move |up, slots| {
            let side = |first: usize| {
                Tensor::from_fn([duals.len(), 4], |k| up.data()[k / 4] * duals[k / 4].d[first + k % 4])
            };
            slots.add(na, || side(0));
            slots.add(nb, || side(4));
        })
    }
}

/// A box's coordinates as variables number first .. first + 4.
fn variables<E: Element>(b: &BBox<E>, first: usize) -> BBox<Dual<E, 8>> {
    std::array::from_fn(|i| Dual::variable(b[i], first + i))
}

/// The rows of a tensor [N, 4].
#[track_caller]
pub fn boxes<E: Element>(t: &Tensor<E>) -> &[BBox<E>] {
    let [_, four] = t.dims("boxes");
    assert_eq!(four, 4, "boxes have 4 coordinates, got shape {:?}", t.shape());
    t.data().as_chunks().0
}

/// Some rows of a tensor [n, c].
pub(super) fn rows<E: Element>(t: &Tensor<E>, which: &[usize]) -> Tensor<E> {
    let [_, c] = t.dims("rows");
    let mut out = Tensor::stale([which.len(), c]);
    for (to, &i) in out.data_mut().chunks_exact_mut(c.max(1)).zip(which) {
        to.copy_from_slice(&t.data()[i * c..][..c]);
    }
    out
}

/// Boxes moved into an image of that height and width (torchvision's `clip_boxes_to_image`); NaN stays NaN.
#[track_caller]
pub fn clip<E: Element>(t: Tensor<E>, [height, width]: [usize; 2]) -> Tensor<E> {
    let limit = [E::from_usize(width), E::from_usize(height)];
    let mut t = t;
    let _ = boxes(&t);
    for (i, v) in t.data_mut().iter_mut().enumerate() {
        // Compared this way, not by `max` and `min`, which take NaN for a side of the image.
        if *v <= E::ZERO {
            *v = E::ZERO;
        } else if *v > limit[i % 2] {
            *v = limit[i % 2];
        }
    }
    t
}

/// The indices of boxes whose sides are both at least `min_size` (torchvision's `remove_small_boxes`).
#[track_caller]
pub fn remove_small<E: Element>(t: &Tensor<E>, min_size: E) -> Vec<usize> {
    let keep = |b: &BBox<E>| b[2] - b[0] >= min_size && b[3] - b[1] >= min_size;
    (0..).zip(boxes(t)).filter(|(_, b)| keep(b)).map(|(i, _)| i).collect()
}

/// The inclusive bounds of a bitmap's non-zero pixels, or `None` where there are none. `mask` is row-major.
#[track_caller]
pub fn mask_to_box<E: Element>(mask: &[u8], [height, width]: [usize; 2]) -> Option<BBox<E>> {
    assert_eq!(mask.len(), height * width, "mask_to_box: a mask of {height} x {width}");
    let mut bounds: Option<[usize; 4]> = None;
    for (y, row) in mask.chunks(width.max(1)).enumerate() {
        let Some(first) = row.iter().position(|&v| v != 0) else { continue };
        let last = row.iter().rposition(|&v| v != 0).unwrap_or(first);
        let b = bounds.get_or_insert([first, y, last, y]);
        *b = [b[0].min(first), b[1], b[2].max(last), y];
    }
    bounds.map(|b| b.map(E::from_usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BBox<f64> = [0.0, 0.0, 4.0, 2.0];
    const B: BBox<f64> = [1.0, 1.0, 5.0, 3.0];

    #[test]
    fn known_values() {
        // I = 3 x 1, U = 8 + 8 - 3, hull 5 x 3, centres (1, 1) apart, equal aspect ratios.
        assert_eq!(Metric::Iou.of(&A, &B), 3.0 / 13.0);
        assert_eq!(Metric::Giou.of(&A, &B), 3.0 / 13.0 - 2.0 / 15.0);
        assert!((Metric::Diou.of(&A, &B) - (3.0 / 13.0 - 2.0 / 34.0)).abs() < 1e-9);
        assert_eq!(Metric::Ciou.of(&A, &B), Metric::Diou.of(&A, &B));
        assert_eq!(iou(&A, &[9.0, 9.0, 10.0, 10.0]), 0.0);
        assert_eq!(iou(&[1.0; 4], &[1.0; 4]), 0.0);
    }

    #[test]
    fn other_aspect_ratios_cost() {
        // I = 1 x 2, U = 4 + 8 - 2, hull 3 x 4, centres (1, 1) apart; widths over heights 1 and 1/2.
        let (a, b): (BBox<f64>, BBox<f64>) = ([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 4.0]);
        let v = 4.0 / std::f64::consts::PI.powi(2) * (1f64.atan() - 0.5f64.atan()).powi(2);
        let penalty = v * v / (1.0 - 0.2 + v);
        assert!((penalty - 0.00209078).abs() < 1e-8);
        // 1e-7 is added to v's divisor, to the union and to the hull: less than 1e-7 in the sum.
        assert!((Metric::Ciou.of(&a, &b) - (0.2 - 2.0 / 25.0 - penalty)).abs() < 1e-7);
        assert!((Metric::Ciou.loss(&a, &b) - (1.0 - 0.2 + 2.0 / 25.0 + penalty)).abs() < 1e-7);
    }

    #[test]
    fn gradients_equal_central_differences() {
        let (a, b) = ([0.1, 0.2, 4.0, 2.3], [1.0, 1.1, 5.0, 3.7]);
        // CIoU is not among them: its α carries no gradient.
        for metric in [Metric::Iou, Metric::Giou, Metric::Diou] {
            let (_, ga, gb) = metric.gradient(&a, &b);
            for i in 0..8 {
                let at = |h: f64| {
                    let (mut a, mut b) = (a, b);
                    if i < 4 {
                        a[i] += h
                    } else {
                        b[i - 4] += h
                    }
                    metric.of(&a, &b)
                };
                let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                let analytic = if i < 4 { ga[i] } else { gb[i - 4] };
                assert!((numeric - analytic).abs() < 1e-8, "{metric:?} {i}: {numeric} {analytic}");
            }
        }
    }

    #[test]
    fn masks_clips_and_small_boxes() {
        let mask = [0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0];
        assert_eq!(mask_to_box::<f32>(&mask, [3, 4]), Some([1.0, 1.0, 2.0, 2.0]));
        assert_eq!(mask_to_box::<f32>(&[0; 4], [2, 2]), None);
        let t = Tensor::from_slice([2, 4], &[-1.0f32, 2.0, 9.0, 30.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!(remove_small(&t, 2.0), [0]);
        assert_eq!(clip(t, [10, 8]).data(), [0.0, 2.0, 8.0, 10.0, 3.0, 3.0, 4.0, 4.0]);
    }

    /// As in torchvision 0.29: what is no number is no box at the image's side, and overlaps by no number.
    #[test]
    fn what_is_no_number_stays_none() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let t = Tensor::from_slice([2, 4], &[nan, -0.0, inf, nan, -inf, 1.0, nan, 3.0]);
        let clipped = clip(t, [10, 8]);
        let shown: Vec<String> = clipped.data().iter().map(f32::to_string).collect();
        assert_eq!(shown, ["NaN", "0", "8", "NaN", "0", "1", "NaN", "3"]);
        assert!(remove_small(&clipped, 1e-2).is_empty());
        for k in 0..4 {
            let mut a = A;
            a[k] = f64::NAN;
            assert!(iou(&a, &B).is_nan() && iou(&B, &a).is_nan(), "{k}");
            for metric in Metric::ALL {
                assert!(metric.of(&a, &B).is_nan() && metric.loss(&a, &B).is_nan(), "{} {k}", metric.name());
            }
        }
    }

    #[test]
    fn bad_boxes_are_refused() {
        assert!(check(&[0.0, 0.0, f32::NAN, 1.0]).unwrap_err().contains("finite"));
        assert!(check(&[2.0, 0.0, 1.0, 1.0f32]).unwrap_err().contains("inverted"));
        assert!(check(&[1.0, 1.0, 1.0, 1.0f32]).is_ok());
    }
}
