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

/// The derivatives of IoU by one coordinate of `a`, of boxes with an area: from the left and from the right. They
/// differ where that coordinate has a [`Kink`] and nowhere else.
///
/// With s = min(x2, u2) - max(x1, u1) the overlap's side is max(0, s). Going one way, a minimum and a maximum change
/// with the coordinate where it is the one that decides on that way, and IoU follows by the quotient's rule.
#[track_caller]
pub fn one_sided(a: &BBox<f64>, b: &BBox<f64>, coordinate: usize) -> [f64; 2] {
    let axis = coordinate % 2;
    let (at, like, upper) = (a[coordinate], b[coordinate], coordinate >= 2);
    let span = a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis]);
    let [w, h] = overlap(a, b);
    let (across, i) = ([h, w][axis], w * h);
    let u = area(a) + area(b) - i;
    assert!(u > 0.0, "one_sided: boxes with an area, got {a:?} and {b:?}");
    let side = a[3 - axis] - a[1 - axis];
    // Where the coordinate bounds the overlap it widens it (x2) or narrows it (x1).
    let sign = if upper { 1.0 } else { -1.0 };
    [-1.0, 1.0].map(|way: f64| {
        let decides = at == like && way != sign || (if upper { at < like } else { at > like });
        let moves = if decides { sign } else { 0.0 };
        let grows = span > 0.0 || span == 0.0 && moves * way > 0.0;
        let di = if grows { moves * across } else { 0.0 };
        let du = sign * side - di;
        (u * di - i * du) / (u * u)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_models::detection::boxes::iou;

    /// Every pair of boxes on a grid of 0..4, from which ties of all kinds come.
    #[test]
    fn one_sided_derivatives_are_differences_and_jump_at_kinks() {
        let sides = [(0.0, 1.0), (0.0, 2.0), (1.0, 2.0), (1.0, 3.0), (2.0, 3.0)];
        let boxes = sides.map(|(x1, x2)| sides.map(|(y1, y2)| [x1, y1, x2, y2]));
        let (h, mut jumps) = (1e-6, 0);
        for (a, b) in boxes.iter().flatten().flat_map(|a| boxes.iter().flatten().map(move |b| (a, b))) {
            let kinks = kinks(a, b);
            for coordinate in 0..4 {
                let at = |h: f64| {
                    let mut a = *a;
                    a[coordinate] += h;
                    iou(&a, b)
                };
                let [left, right] = one_sided(a, b, coordinate);
                // A quotient of degree two whose second derivative is below 10 here: the difference is off by
                // 5 h, and by rounding of 2^-52 / h.
                let differences = [(at(0.0) - at(-h)) / h, (at(h) - at(0.0)) / h];
                for (exact, difference) in [left, right].iter().zip(differences) {
                    assert!(
                        (exact - difference).abs() < 1e-5,
                        "{a:?} {b:?} {coordinate}: {exact} {difference}"
                    );
                }
                let jump = kinks.iter().find(|k| k.coordinate == coordinate).map_or(0.0, |k| k.jump);
                assert!(
                    ((left - right).abs() - jump).abs() < 1e-15,
                    "{a:?} {b:?} {coordinate}: {left} {right}"
                );
                jumps += usize::from(jump > 0.0);
            }
        }
        assert!(jumps > 100, "{jumps}");
    }

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
