//! The matrix products at one point: C = A B or C += A B, of buffers that this module lays out with room for whole
//! register tiles, so that no tile is ragged.

use crate::Element;
use crate::simd::Simd;

/// Rows of a register tile of `vectors` vectors: as many sums as leave registers for B's vectors and one of A.
#[inline(always)]
const fn tile_rows(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (32.., 4) => 6,
        (32.., _) => 8,
        (16.., _) => 6,
        _ => 4,
    }
}

/// The most rows of a tile.
pub(super) const MAX_ROWS: usize = 8;

/// Vectors of a register tile for a matrix of `columns` columns: a divisor of its vectors, if it can be.
#[inline(always)]
pub(super) fn tile_vectors(registers: usize, lanes: usize, columns: usize) -> usize {
    let vectors = columns.div_ceil(lanes);
    let most = match registers {
        32.. => 4,
        16.. => 2,
        _ => 1,
    };
    if vectors <= most {
        vectors.max(1)
    } else if most == 4 && !vectors.is_multiple_of(4) && vectors.is_multiple_of(3) {
        3
    } else {
        most
    }
}

/// One product. Element (i, t) of A is at `i·row + t·step`; row t of B's p-th panel is at `p·panel + t·ld`; row i of C
/// at `i·c_row`.
pub(super) struct Product<E> {
    pub a: *const E,
    pub row: usize,
    pub step: usize,
    pub b: *const E,
    pub panel: usize,
    pub ld: usize,
    pub c: *mut E,
    pub c_row: usize,
    /// C's rows; up to `MAX_ROWS − 1` more are read and written.
    pub rows: usize,
    pub depth: usize,
    /// Vectors of a panel, and of C; the last panel may have fewer.
    pub panel_vectors: usize,
    pub vectors: usize,
    /// C += A B.
    pub add: bool,
}

impl<E: Element> Product<E> {
    /// Computes it.
    ///
    /// # Safety
    /// A has rows up to the next multiple of `MAX_ROWS` readable, B whole vectors, C the same rows and vectors
    /// writable, by this thread alone.
    #[inline(always)]
    pub unsafe fn run<S: Simd<E>>(&self, s: S, registers: usize) {
        let mut done = 0;
        let mut b = self.b;
        while done < self.vectors {
            let vectors = self.panel_vectors.min(self.vectors - done);
            // SAFETY: the caller's.
            unsafe {
                let c = self.c.add(done * S::LANES);
                match (tile_rows(registers, vectors), vectors) {
                    (6, 4) => self.panel::<S, 6, 4>(s, b, c),
                    (8, 3) => self.panel::<S, 8, 3>(s, b, c),
                    (8, 2) => self.panel::<S, 8, 2>(s, b, c),
                    (8, 1) => self.panel::<S, 8, 1>(s, b, c),
                    (6, 2) => self.panel::<S, 6, 2>(s, b, c),
                    (6, 1) => self.panel::<S, 6, 1>(s, b, c),
                    (4, 1) => self.panel::<S, 4, 1>(s, b, c),
                    (rows, vectors) => unreachable!("a tile of {rows} rows and {vectors} vectors"),
                }
                done += vectors;
                b = b.add(self.panel);
            }
        }
    }

    #[inline(always)]
    unsafe fn panel<S: Simd<E>, const R: usize, const V: usize>(&self, s: S, b: *const E, c: *mut E) {
        for i in (0..self.rows).step_by(R) {
            // SAFETY: the caller's.
            unsafe { self.tile::<S, R, V>(s, self.a.add(i * self.row), b, c.add(i * self.c_row)) }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd<E>, const R: usize, const V: usize>(
        &self,
        s: S,
        a: *const E,
        mut b: *const E,
        c: *mut E,
    ) {
        let mut acc = [[s.zero(); V]; R];
        // SAFETY: the caller's.
        unsafe {
            let mut rows: [*const E; R] = [a; R];
            for (i, p) in rows.iter_mut().enumerate() {
                *p = a.add(i * self.row);
            }
            let mut at = 0;
            for _ in 0..self.depth {
                let mut bv = [s.zero(); V];
                for (v, bv) in bv.iter_mut().enumerate() {
                    *bv = s.load(b.add(v * S::LANES));
                }
                for i in 0..R {
                    let x = s.splat(*rows[i].add(at));
                    for v in 0..V {
                        acc[i][v] = s.fma(x, bv[v], acc[i][v]);
                    }
                }
                at += self.step;
                b = b.add(self.ld);
            }
            for (i, row) in acc.iter().enumerate() {
                for (v, &sum) in row.iter().enumerate() {
                    let p = c.add(i * self.c_row + v * S::LANES);
                    s.store(p, if self.add { s.add(s.load(p), sum) } else { sum });
                }
            }
        }
    }
}
