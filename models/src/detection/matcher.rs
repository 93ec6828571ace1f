//! Which object each box answers for (Ren et al., *Faster R-CNN*, 2015, section 3.1.2; torchvision's
//! `Matcher`).
//!
//! With q(i, j) the IoU of object i and box j, box j is matched to the first i of greatest q if that is at
//! least `high`, to nothing if it is less than `low`, and left out between. Where low-quality matches are
//! allowed, every box j with q(i, j) = maxⱼ q(i, j) for some object i, ties included, is matched to its own
//! best object whatever q is.
//!
//! The matrix q has a row for each object and up to a quarter of a million columns: it is never held. Pieces
//! of columns are matched on all threads, a row at a time, and each piece keeps the greatest of each row, so
//! that only pieces that hold a row's maximum are looked at again.

use super::boxes::{BBox, iou};
use gradus_core::simd::{Kernel, Simd};
use gradus_core::{Element, Tensor, parallel};

/// What becomes of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It answers for this object.
    Object(usize),
    /// It overlaps no object enough.
    Background,
    /// Neither: it is not trained on.
    Between,
}

/// The thresholds of the IoU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// Matched from here on.
    pub high: f64,
    /// Background below.
    pub low: f64,
    /// Whether an object's best boxes are matched in any case.
    pub allow_low_quality: bool,
}

/// Columns of a piece.
const PIECE: usize = 2048;

/// IoU of an object and boxes.
struct OverlapRow<'a, E> {
    object: &'a BBox<E>,
    boxes: &'a [BBox<E>],
    out: &'a mut [E],
}

impl<E: Element> Kernel<E> for OverlapRow<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        for (o, b) in self.out.iter_mut().zip(self.boxes) {
            *o = iou(self.object, b);
        }
    }
}

/// The matrix q by its rows: `row` writes the columns `from .. from + out.len()` of row i.
struct Quality<F> {
    rows: usize,
    columns: usize,
    row: F,
}

/// A piece of columns: the first object of greatest quality of each, that quality, and each row's greatest.
struct Piece<E> {
    object: Vec<u32>,
    quality: Vec<E>,
    row_max: Vec<E>,
}

impl<E: Element> Piece<E> {
    fn new(q: &Quality<impl Fn(usize, usize, &mut [E])>, from: usize) -> Self {
        let n = PIECE.min(q.columns - from);
        let mut piece = Piece {
            object: vec![0; n],
            quality: vec![E::NEG_INFINITY; n],
            row_max: Vec::with_capacity(q.rows),
        };
        let mut row = vec![E::ZERO; n];
        for i in 0..q.rows {
            (q.row)(i, from, &mut row);
            let max = E::dispatch(Best { row: &row, i: i as u32, piece: &mut piece });
            piece.row_max.push(max);
        }
        piece
    }
}

/// Takes in a row; its greatest element.
struct Best<'a, E> {
    row: &'a [E],
    i: u32,
    piece: &'a mut Piece<E>,
}

impl<E: Element> Kernel<E> for Best<'_, E> {
    type Output = E;
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) -> E {
        let Piece { object, quality, .. } = self.piece;
        for ((&q, best), object) in self.row.iter().zip(quality).zip(object) {
            let better = q > *best;
            *object = if better { self.i } else { *object };
            *best = if better { q } else { *best };
        }
        self.row.iter().fold(E::NEG_INFINITY, |m, &q| q.max(m))
    }
}

impl Matcher {
    /// What each box answers for. Without objects all are background.
    pub fn boxes<E: Element>(&self, objects: &[BBox<E>], boxes: &[BBox<E>]) -> Vec<Match> {
        let row = |i: usize, from: usize, out: &mut [E]| {
            let boxes = &boxes[from..from + out.len()];
            E::dispatch(OverlapRow { object: &objects[i], boxes, out });
        };
        self.run(&Quality { rows: objects.len(), columns: boxes.len(), row })
    }

    /// The same for a given matrix [objects, boxes] of qualities.
    #[track_caller]
    pub fn matrix<E: Element>(&self, quality: &Tensor<E>) -> Vec<Match> {
        let [rows, columns] = quality.dims("matcher");
        let row = |i: usize, from: usize, out: &mut [E]| {
            out.copy_from_slice(&quality.data()[i * columns + from..][..out.len()]);
        };
        self.run(&Quality { rows, columns, row })
    }

    fn run<E: Element>(&self, q: &Quality<impl Fn(usize, usize, &mut [E]) + Sync>) -> Vec<Match> {
        let n = q.columns;
        if q.rows == 0 {
            return vec![Match::Background; n];
        }
        let pieces = parallel::map(n.div_ceil(PIECE), |p| Piece::new(q, p * PIECE));
        let row_max: Vec<E> =
            (0..q.rows).map(|i| pieces.iter().fold(E::NEG_INFINITY, |m, p| p.row_max[i].max(m))).collect();
        let matches = parallel::map(pieces.len(), |p| self.piece(q, p * PIECE, &pieces[p], &row_max));
        matches.concat()
    }

    fn piece<E: Element>(
        &self,
        q: &Quality<impl Fn(usize, usize, &mut [E])>,
        from: usize,
        piece: &Piece<E>,
        row_max: &[E],
    ) -> Vec<Match> {
        let (high, low) = (E::from_f64(self.high), E::from_f64(self.low));
        let best = piece.quality.iter().zip(&piece.object);
        let mut matches: Vec<Match> = best
            .map(|(&quality, &object)| match quality {
                v if v < low => Match::Background,
                v if v < high => Match::Between,
                _ => Match::Object(object as usize),
            })
            .collect();
        if self.allow_low_quality {
            let mut row = vec![E::ZERO; matches.len()];
            for (i, &max) in row_max.iter().enumerate().filter(|&(i, max)| piece.row_max[i] == *max) {
                (q.row)(i, from, &mut row);
                for (j, _) in row.iter().enumerate().filter(|&(_, &v)| v == max) {
                    matches[j] = Match::Object(piece.object[j] as usize);
                }
            }
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATCHER: Matcher = Matcher { high: 0.7, low: 0.3, allow_low_quality: false };

    #[test]
    fn thresholds_include_their_own_value() {
        let q = Tensor::from_slice([2, 5], &[0.7, 0.3, 0.29, 0.1, 0.8, 0.2, 0.1, 0.1, 0.6, 0.8f64]);
        use Match::*;
        assert_eq!(MATCHER.matrix(&q), [Object(0), Between, Background, Between, Object(0)]);
        let low = Matcher { allow_low_quality: true, ..MATCHER };
        // Row 0 is greatest in column 4, row 1 too.
        assert_eq!(low.matrix(&q), [Object(0), Between, Background, Between, Object(0)]);
    }

    #[test]
    fn an_objects_best_boxes_are_matched_ties_too() {
        // Over several pieces: object 1 overlaps columns 5 and PIECE + 7 alike, object 0 column 9 alone.
        let n = PIECE + 10;
        let mut q = Tensor::<f32>::zeros([2, n]);
        for (i, j, v) in [(1, 5, 0.2), (1, PIECE + 7, 0.2), (0, 9, 0.1), (1, 9, 0.15)] {
            q.data_mut()[i * n + j] = v;
        }
        let low = Matcher { allow_low_quality: true, ..MATCHER };
        let matches = low.matrix(&q);
        let matched: Vec<usize> = (0..n).filter(|&j| matches[j] != Match::Background).collect();
        assert_eq!(matched, [5, 9, PIECE + 7]);
        // Column 9 is object 0's best, but answers for its own best, object 1.
        assert_eq!(matches[9], Match::Object(1));
    }

    #[test]
    fn nothing_to_match() {
        let boxes = [[0.0, 0.0, 1.0, 1.0f32]; 3];
        assert_eq!(MATCHER.boxes(&[], &boxes), [Match::Background; 3]);
        assert!(MATCHER.boxes(&boxes, &[]).is_empty());
    }
}
