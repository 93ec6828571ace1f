//! Where IoU is not differentiable: how two boxes lie to each other, and the coordinates at which its
//! one-sided derivatives differ (claim I6). IoU itself is [`iou`](gradus_models::detection::boxes::iou).

use gradus_models::detection::boxes::{BBox, area, overlap};
use gradus_models::scalar::Scalar;

/// Where the metric's value has a kink or a plateau, for explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Some area is shared: the gradient of IoU is not zero, but for nested boxes under translation of the
    /// inner one.
    Overlapping,
    /// Edges touch and the other axis overlaps: the plateau of the disjoint boxes begins here, with a kink.
    TouchingEdge,
    /// Only corners touch, or a box has no area: IoU is 0 and its gradient too.
    TouchingCorner,
    /// Apart: IoU is 0 on a neighbourhood, its gradient is exactly 0.
    Disjoint,
}

/// How two boxes lie to each other.
pub fn relation<S: Scalar>(a: &BBox<S>, b: &BBox<S>) -> Relation {
    let w = a[2].min(b[2]) - a[0].max(b[0]);
    let h = a[3].min(b[3]) - a[1].max(b[1]);
    let zero = S::constant(0.0);
    if w > zero && h > zero {
        Relation::Overlapping
    } else if w < zero || h < zero {
        Relation::Disjoint
    } else if w > zero || h > zero {
        Relation::TouchingEdge
    } else {
        Relation::TouchingCorner
    }
}

/// One coordinate's kink: where IoU, as a function of that coordinate of box a, has one-sided derivatives
/// that differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kink<E> {
    /// 0..4: x1, y1, x2, y2 of a.
    pub coordinate: usize,
    /// 0..4: the coordinate of b that it meets.
    pub meets: usize,
    /// By how much the one-sided derivatives differ.
    pub jump: E,
}

/// The kinks of IoU at these boxes, of positive area, as functions of each coordinate of `a` (claim I6). At
/// ties of like edges (x1 = u1) while the boxes overlap, the derivatives differ by ih (A + B) / U²; where
/// unlike edges touch (x2 = u1) and the other axis overlaps, by ih / (A + B); in y with iw for ih.
pub fn kinks<S: Scalar>(a: &BBox<S>, b: &BBox<S>) -> Vec<Kink<S>> {
    let zero = S::constant(0.0);
    let [w, h] = overlap(a, b);
    let across = [h, w];
    let sum = area(a) + area(b);
    let u = sum - w * h;
    let mut found = Vec::new();
    for (coordinate, &at) in a.iter().enumerate() {
        let axis = coordinate % 2;
        let (like, unlike) = (coordinate, (coordinate + 2) % 4);
        if across[axis] > zero && sum > zero {
            if w > zero && h > zero && at == b[like] {
                found.push(Kink { coordinate, meets: like, jump: across[axis] * sum / (u * u) });
            } else if at == b[unlike] {
                found.push(Kink { coordinate, meets: unlike, jump: across[axis] / sum });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_models::detection::boxes::iou;

    #[test]
    fn kinks_have_the_stated_jumps() {
        // One-sided derivatives by differences, at a tie of like edges and at an edge touch.
        let cases: [(BBox<f64>, BBox<f64>); 2] =
            [([1.0, 0.0, 3.0, 2.0], [1.0, 1.0, 4.0, 3.0]), ([0.0, 0.0, 1.0, 2.0], [1.0, 1.0, 4.0, 3.0])];
        for (a, b) in cases {
            for kink in kinks(&a, &b) {
                let at = |h: f64| {
                    let mut a = a;
                    a[kink.coordinate] += h;
                    iou(&a, &b)
                };
                let h = 1e-6;
                let jump = ((at(h) - at(0.0)) / h - (at(0.0) - at(-h)) / h).abs();
                assert!((jump - kink.jump).abs() < 1e-5, "{kink:?}: {jump}");
            }
            assert_eq!(kinks(&a, &b).len(), 1);
        }
        assert!(kinks(&[0.0, 0.0, 4.0, 2.0], &[1.0, 1.0, 5.0, 3.0]).is_empty());
        assert!(kinks(&[0.0, 0.0, 1.0, 1.0], &[1.0, 1.0, 2.0, 2.0]).is_empty(), "a corner touch is none");
        assert!(
            kinks(&[0.0, 0.0, 1.0, 1.0], &[0.0, 5.0, 1.0, 6.0]).is_empty(),
            "a tie while disjoint is none"
        );
    }
}
