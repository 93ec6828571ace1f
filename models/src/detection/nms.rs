//! Greedy non-maximum suppression: in order of descending score, a box is kept unless its IoU with one kept
//! before is greater than a threshold.
//!
//! Boxes lie by coordinate, in order of score. Each kept box marks, a vector at a time, the later ones that
//! it overlaps: n² comparisons at worst, memory for n boxes. The IoU is [`iou`](super::boxes::iou)'s,
//! operation for operation.

use super::boxes::{boxes, clip, remove_small, rows};
use gradus_core::simd::{Kernel, Simd};
use gradus_core::{Element, Tensor};

/// Suppression among all boxes [n, 4] (torchvision's `nms`). Equal scores keep the input's order, NaN comes
/// last. Returns the kept boxes' indices, in order of score.
#[track_caller]
pub fn nms<E: Element>(t: &Tensor<E>, scores: &[E], threshold: f64) -> Vec<usize> {
    batched_nms(t, scores, &vec![0; scores.len()], threshold)
}

/// [`nms`] in which only boxes of the same class suppress each other (torchvision's `batched_nms`).
#[track_caller]
pub fn batched_nms<E: Element>(t: &Tensor<E>, scores: &[E], classes: &[usize], threshold: f64) -> Vec<usize> {
    let b = boxes(t);
    assert!(b.len() == scores.len() && b.len() == classes.len(), "nms: boxes, scores and classes");
    let order = by_score(scores);
    let mut by_class = order.clone();
    by_class.sort_by_key(|&i| classes[i]);
    let mut kept = vec![false; b.len()];
    for class in by_class.chunk_by(|&i, &j| classes[i] == classes[j]) {
        let coordinate = |k: usize| class.iter().map(|&i| b[i][k]).collect();
        let mut columns = Columns { at: [0, 1, 2, 3].map(coordinate), dropped: vec![E::ZERO; class.len()] };
        for (place, &i) in class.iter().enumerate() {
            kept[i] = columns.dropped[place] == E::ZERO;
            if kept[i] {
                E::dispatch(Suppress { columns: &mut columns, place, threshold: floor(threshold) });
            }
        }
    }
    order.into_iter().filter(|&i| kept[i]).collect()
}

/// Which of an image's candidates stay.
pub(super) struct Survivors {
    /// The image's [height, width].
    pub size: [usize; 2],
    /// Boxes of a side less than this are dropped, in pixels.
    pub min_side: f64,
    /// Boxes of a class overlap no more than this IoU.
    pub nms_thresh: f64,
    /// How many at most.
    pub most: usize,
}

impl Survivors {
    /// Of candidates, whose coordinates follow each other in `found`, cut at the image's borders: the boxes
    /// [k, 4] that stay and their places among the candidates, in order of score.
    pub fn of<E: Element>(&self, found: &[E], scores: &[E], classes: &[usize]) -> (Tensor<E>, Vec<usize>) {
        let found = clip(Tensor::from_slice([scores.len(), 4], found), self.size);
        let large = remove_small(&found, E::from_f64(self.min_side));
        let scores: Vec<E> = large.iter().map(|&i| scores[i]).collect();
        let classes: Vec<usize> = large.iter().map(|&i| classes[i]).collect();
        let kept = batched_nms(&rows(&found, &large), &scores, &classes, self.nms_thresh);
        let kept: Vec<usize> = kept.into_iter().take(self.most).map(|k| large[k]).collect();
        (rows(&found, &kept), kept)
    }
}

/// Indices in order of descending score; equal scores keep their order, NaN comes last.
pub(super) fn by_score<E: Element>(scores: &[E]) -> Vec<usize> {
    let key = |i: usize| {
        let s = scores[i].to_f64();
        if s.is_nan() { f64::NEG_INFINITY } else { s }
    };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| key(j).total_cmp(&key(i)));
    order
}

/// The greatest E that is no more than x: v > x is then v > floor(x), for each v of E.
fn floor<E: Element>(x: f64) -> E {
    let near = E::from_f64(x);
    if near.to_f64() <= x {
        return near;
    }
    // The next below: 1.25 u is more than half of its distance and less than one and a half of it.
    near - E::from_f64(1.25 * E::UNIT_ROUNDOFF) * near.abs()
}

/// Boxes by coordinate, and which are dropped (1, else 0).
struct Columns<E> {
    at: [Vec<E>; 4],
    dropped: Vec<E>,
}

/// Drops the boxes after `place` that the one there overlaps.
struct Suppress<'a, E> {
    columns: &'a mut Columns<E>,
    place: usize,
    threshold: E,
}

impl<E: Element> Kernel<E> for Suppress<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let Suppress { columns: Columns { at, dropped }, place, threshold } = self;
        let own: [S::V; 4] = std::array::from_fn(|k| s.splat(at[k][place]));
        let area = |b: &[S::V; 4]| s.mul(s.sub(b[2], b[0]), s.sub(b[3], b[1]));
        let (own_area, threshold, zero, one) = (area(&own), s.splat(threshold), s.zero(), s.splat(E::ONE));
        let mut j = place + 1;
        while j < dropped.len() {
            let n = S::LANES.min(dropped.len() - j);
            let b: [S::V; 4] = std::array::from_fn(|k| s.read_tail(&at[k][j..j + n]));
            let w = s.max(s.sub(s.min(own[2], b[2]), s.max(own[0], b[0])), zero);
            let h = s.max(s.sub(s.min(own[3], b[3]), s.max(own[1], b[1])), zero);
            let i = s.mul(w, h);
            let u = s.sub(s.add(own_area, area(&b)), i);
            // 0 / 0 is NaN, which is not greater.
            let overlaps = s.gt(s.div(i, u), threshold);
            let d = &mut dropped[j..j + n];
            let marked = s.select(overlaps, one, s.read_tail(d));
            s.write_tail(d, marked);
            j += n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::boxes::iou;
    use super::*;
    use gradus_core::Rng;

    #[test]
    fn the_best_are_kept_and_ties_in_order() {
        let t = Tensor::from_slice(
            [4, 4],
            &[0.0, 0.0, 8.0, 8.0, 0.0, 0.0, 8.0, 4.0, 0.0, 0.0, 8.0, 8.0, 20.0, 0.0, 28.0, 8.0f32],
        );
        // Box 1 has IoU 0.5 with 0, which is not greater than the threshold.
        assert_eq!(nms(&t, &[0.9, 0.8, 0.9, 0.1], 0.5), [0, 1, 3]);
        assert_eq!(batched_nms(&t, &[0.9, 0.8, 0.9, 0.1], &[0, 0, 1, 0], 0.5), [0, 2, 1, 3]);
        assert_eq!(nms(&t, &[f32::NAN, 0.8, 0.9, 0.1], 0.5), [2, 1, 3]);
    }

    #[test]
    fn vectors_agree_with_the_definition() {
        let mut rng = Rng::seed(5);
        for threshold in [0.0, 0.3, 0.5, 0.7, 1.0] {
            let n = 203;
            let t = Tensor::<f32>::from_fn([n, 4], |_| 0.0);
            let mut t = t;
            for b in t.data_mut().chunks_exact_mut(4) {
                // On a grid, so that thresholds are met exactly, and boxes without area occur.
                let at = [rng.below(12), rng.below(12), rng.below(9), rng.below(9)].map(|v| v as f32);
                b.copy_from_slice(&[at[0], at[1], at[0] + at[2], at[1] + at[3]]);
            }
            let scores: Vec<f32> = (0..n).map(|_| rng.below(50) as f32).collect();
            let classes: Vec<usize> = (0..n).map(|_| rng.below(3)).collect();
            let b = boxes(&t);
            let mut want: Vec<usize> = Vec::new();
            for i in by_score(&scores) {
                let by = |&k: &usize| classes[k] == classes[i] && f64::from(iou(&b[k], &b[i])) > threshold;
                if !want.iter().any(by) {
                    want.push(i);
                }
            }
            assert_eq!(batched_nms(&t, &scores, &classes, threshold), want, "{threshold}");
        }
    }

    #[test]
    fn the_threshold_is_rounded_down() {
        for x in [0.7, 0.3, 0.5, 0.1, 0.05, 1.0 / 3.0, 0.0] {
            let f = floor::<f32>(x);
            assert!(f64::from(f) <= x && f64::from(f.next_up()) > x, "{x} {f}");
            assert_eq!(floor::<f64>(x), x);
        }
    }
}
