//! Products of small matrices inside of a piece of work: C = A B or C += A B.
//!
//! Winograd and the direct algorithm multiply matrices that they have just made, in memory that they laid out
//! themselves. There is nothing to pack and no edge to look for: A's rows are read where they lie, B is in
//! panels of whole vectors already, and each operand has room for whole register tiles, so that no tile is
//! ragged.

use crate::element::Element;
use crate::simd::{Simd, prefetch_far};

/// Rows of a register tile of `vectors` vectors: as many as leave registers for a row of B and one number of
/// A beside the sums.
#[inline(always)]
pub(super) const fn tile_rows(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (32.., 4) => 6,
        (32.., _) => 8,
        (16.., _) => 6,
        _ => 4,
    }
}

/// The most rows of a tile.
pub(super) const MAX_ROWS: usize = 8;

/// Vectors of a register tile for a matrix of `columns` columns: a number that divides those of a row, if
/// there is one, so that the last panel is as wide as the others.
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

/// Runs what was compiled for the register tile that the instruction set S has for `vectors` vectors: of R
/// rows and V vectors.
macro_rules! of_tile_shape {
    ($s:ident, $vectors:expr, |$r:ident, $v:ident| $run:expr) => {
        of_tile_shape!($s, $vectors, |$r, $v| $run, (6, 4), (8, 3), (8, 2), (8, 1), (6, 2), (6, 1), (4, 1))
    };
    ($s:ident, $vectors:expr, |$r:ident, $v:ident| $run:expr, $(($rows:literal, $columns:literal)),+) => {
        match (tile_rows($s::REGISTERS, $vectors), $vectors) {
            $(($rows, $columns) => {
                const $r: usize = $rows;
                const $v: usize = $columns;
                $run
            })+
            (rows, vectors) => unreachable!("a tile of {rows} rows and {vectors} vectors"),
        }
    };
}
pub(super) use of_tile_shape;

/// Where A's rows begin.
#[derive(Clone, Copy)]
pub(super) enum RowStarts<'a> {
    /// Equally spaced.
    Every(usize),
    /// At these places, `MAX_ROWS − 1` more than C has rows.
    At(&'a [usize]),
}

/// One product. Row i of A begins at `rows`' i-th place, its elements are `step` apart; row t of B's p-th
/// panel is at `p·panel + t·ld`; row i of C at `i·c_row`.
pub(super) struct SmallProduct<'a, E> {
    pub a: *const E,
    pub a_rows: RowStarts<'a>,
    pub step: usize,
    pub b: *const E,
    pub panel: usize,
    pub ld: usize,
    pub c: *mut E,
    pub c_row: usize,
    /// C's rows; up to `MAX_ROWS − 1` more are read and written.
    pub rows: usize,
    pub depth: usize,
    /// What the thread reads next. It is fetched into the second cache meanwhile.
    pub next: *const E,
    /// Vectors of a panel, and of C; the last panel may have fewer.
    pub panel_vectors: usize,
    pub vectors: usize,
    /// C += A B.
    pub add: bool,
}

impl<E: Element> SmallProduct<'_, E> {
    /// Computes it.
    ///
    /// # Safety
    /// For all i < rows + MAX_ROWS − 1 and t < depth, element t·step of A's row i is readable, and
    /// C's row i has `vectors` whole vectors that are initialised and nobody else's. For all t < depth B's
    /// panel p has a row of whole vectors at `p·panel + t·ld`: `panel_vectors`, the last panel what is left
    /// of `vectors`. `panel_vectors` is what [`tile_vectors`] gives for this instruction set.
    #[inline(always)]
    pub unsafe fn run<S: Simd<E>>(&self, s: S) {
        let mut done = 0;
        let mut b = self.b;
        while done < self.vectors {
            let vectors = self.panel_vectors.min(self.vectors - done);
            // SAFETY: done + vectors <= self.vectors, so that the panel at b has these vectors, and C's rows
            // have them from `done` on. A row of tiles touches at most MAX_ROWS − 1 rows beyond the last.
            unsafe {
                let c = self.c.add(done * S::LANES);
                let last = done + vectors == self.vectors;
                let next = if last { self.next } else { b.wrapping_add(self.panel) };
                of_tile_shape!(S, vectors, |R, V| self.panel::<S, R, { R / 2 }, V>(s, b, c, next));
                done += vectors;
                // Behind the last panel there need be nothing.
                b = b.wrapping_add(self.panel);
            }
        }
    }

    /// Tiles of R rows, the last one of half as many, H, if these do.
    ///
    /// # Safety
    /// As for [`SmallProduct::run`], of a panel of V vectors at `b` whose columns begin at `c` in
    /// C's first row; H <= R <= MAX_ROWS.
    #[inline(always)]
    unsafe fn panel<S: Simd<E>, const R: usize, const H: usize, const V: usize>(
        &self,
        s: S,
        b: *const E,
        c: *mut E,
        next: *const E,
    ) {
        // Each row of tiles fetches its share of the next panel, the same number of elements with each step.
        let share = (V * S::LANES).div_ceil(self.rows.div_ceil(R));
        for (k, i) in (0..self.rows).step_by(R).enumerate() {
            let next = next.wrapping_add(k * self.depth * share);
            // SAFETY: i < rows, and the tile's rows reach to i + R − 1 <= rows + MAX_ROWS − 2.
            unsafe {
                let c = c.add(i * self.c_row);
                if self.rows - i > H {
                    self.tile::<S, R, V>(s, i, b, c, next, share)
                } else {
                    self.tile::<S, H, V>(s, i, b, c, next, share)
                }
            }
        }
    }

    /// The tile of rows `first .. first + R`.
    ///
    /// # Safety
    /// As for [`SmallProduct::run`], of a panel of V vectors at `b` whose columns begin at `c` in
    /// C's row `first`; first + R < rows + MAX_ROWS.
    #[inline(always)]
    unsafe fn tile<S: Simd<E>, const R: usize, const V: usize>(
        &self,
        s: S,
        first: usize,
        b: *const E,
        c: *mut E,
        next: *const E,
        share: usize,
    ) {
        // SAFETY: first + i < rows + MAX_ROWS − 1 for all i < R: these rows of A have `depth` elements, and
        // those of C V vectors at c, of which each is read, where it is added to, and written.
        unsafe {
            let mut rows = [self.a; R];
            for (i, p) in rows.iter_mut().enumerate() {
                *p = match self.a_rows {
                    RowStarts::Every(row) => self.a.add((first + i) * row),
                    RowStarts::At(places) => self.a.add(places[first + i]),
                };
            }
            let ahead = Ahead { next, share };
            let acc = accumulate(s, [[s.zero(); V]; R], rows, self.step, b, self.ld, self.depth, ahead);
            for (i, row) in acc.iter().enumerate() {
                for (v, &sum) in row.iter().enumerate() {
                    let p = c.add(i * self.c_row + v * S::LANES);
                    s.store(p, if self.add { s.add(s.load(p), sum) } else { sum });
                }
            }
        }
    }
}

/// Memory to fetch during a product: `share` elements further on with each step.
#[derive(Clone, Copy)]
pub(super) struct Ahead<E> {
    pub next: *const E,
    pub share: usize,
}

/// acc_iv += Σ_t rows_i[t·step] · b[t·ld + v]
///
/// # Safety
/// For all t < depth, element t·step of each row is readable, and so are the V vectors of B at `b + t·ld`.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(super) unsafe fn accumulate<S: Simd<E>, E: Element, const R: usize, const V: usize>(
    s: S,
    mut acc: [[S::V; V]; R],
    rows: [*const E; R],
    step: usize,
    mut b: *const E,
    ld: usize,
    depth: usize,
    ahead: Ahead<E>,
) -> [[S::V; V]; R] {
    let Ahead { mut next, share } = ahead;
    let mut at = 0;
    for _ in 0..depth {
        // SAFETY: in the t-th turn, t < depth, b is at row t and `at` is t·step.
        unsafe {
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
        }
        // Behind the last row there need be nothing.
        b = b.wrapping_add(ld);
        prefetch_far(next);
        next = next.wrapping_add(share);
        at += step;
    }
    acc
}
