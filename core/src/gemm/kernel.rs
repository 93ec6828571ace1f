//! The register tile: MR rows by NV vectors of C, the innermost loop of every product.
//!
//! C_ij = Σ_t A_it B_tj as a sum of outer products: for each depth t, NV vectors of B are loaded, MR elements
//! of A broadcast, and MR·NV fused multiply-adds done on sums that stay in registers. NV vectors by MR
//! broadcasts cost MR + NV loads for MR·NV multiply-adds; with two of each a cycle, 8 x 3 (AVX-512) and 6 x 2
//! (AVX2) are bound by arithmetic. The depth comes in segments (the taps of a convolution), each with its own
//! addresses of A's rows: A is read where it lies.

use crate::cut;
use crate::element::Element;
use crate::epilogue::{Activation, Epilogue};
use crate::simd::{Simd, prefetch, prefetch_far};

/// The most rows of a tile, of any instruction set.
pub(crate) const MAX_MR: usize = 8;
/// The most rows of a packed strip.
pub(crate) const MAX_PACKED: usize = 16;

/// Rows and vectors of the tile that fills the registers.
#[inline(always)]
pub(super) const fn tile_shape(registers: usize) -> (usize, usize) {
    match registers {
        32.. => (8, 3),
        16.. => (6, 2),
        _ => (4, 1),
    }
}

/// A stretch of depth: `len` steps, beginning at B's row `k`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub k: usize,
    pub len: usize,
}

/// The left operand of one tile.
pub(crate) struct RowStrip<E> {
    /// Rows: MAX_MR addresses a segment, row i's element t at `[i] + t`. Packed: one address a segment, row
    /// i's element t at `+ t·mr + i`.
    pub addresses: Vec<*const E>,
    pub segments: Vec<Segment>,
    /// Where a packed strip lies.
    pub scratch: Vec<E>,
}

impl<E: Element> RowStrip<E> {
    pub fn new() -> Self {
        RowStrip { addresses: Vec::new(), segments: Vec::new(), scratch: Vec::new() }
    }

    pub fn clear(&mut self) {
        self.addresses.clear();
        self.segments.clear();
    }

    /// The rows, and their length, of a strip in place that is one stretch of the depth.
    pub fn stretch(&self) -> Option<(&RowPointers<E>, usize)> {
        let [Segment { len, .. }] = self.segments[..] else { return None };
        Some((self.addresses.first_chunk()?, len))
    }

    /// Room for `len` steps of `mr` rows.
    #[inline(always)]
    pub fn room(&mut self, len: usize, mr: usize) -> *mut E {
        if self.scratch.len() < len * mr {
            self.scratch.resize(len * mr, E::ZERO);
        }
        self.scratch.as_mut_ptr()
    }
}

/// The right operand of one tile: row k of its columns at `ptr + k·ld`, NV whole vectors readable.
#[derive(Clone, Copy)]
pub(super) struct Panel<E> {
    pub ptr: *const E,
    pub ld: usize,
    /// Whether the first tile of rows fetches its rows `FAR` ahead: those in place are far apart.
    pub far: bool,
    /// Where that tile packs in passing what it reads; or null.
    pub copy: *mut E,
    pub vectors: usize,
    /// Its first column, in B or, of a sweep's panel, in C; and its columns.
    pub col: usize,
    pub cols: usize,
}

/// The first elements of some rows.
pub(crate) type RowPointers<E> = [*const E; MAX_MR];

/// Where the tiles of a strip go.
pub(super) struct Target<'a, E> {
    /// The first elements of the strip's rows in C, and in the epilogue's residual if there is one; any from
    /// `height` on.
    pub results: RowPointers<E>,
    pub residuals: RowPointers<E>,
    pub height: usize,
    /// Add to what C holds.
    pub add: bool,
    /// What is done to the sum before it is stored.
    pub epilogue: Option<&'a Epilogue<'a, E>>,
}

/// A row of tiles: a strip times panels.
pub(super) struct Row<'a, E> {
    pub a: &'a RowStrip<E>,
    pub panels: &'a [Panel<E>],
    pub c: &'a Target<'a, E>,
    /// Whether strips may leave out steps of zeros.
    pub skips: bool,
    /// Whether no strip before met these panels.
    pub first: bool,
    /// What is fetched while they are multiplied: the next strip, what is packed next.
    pub next: Option<Fetched<'a, E>>,
    pub coming: Option<Fetched<'a, E>>,
}

/// CacheLines of some rows, for each panel.
pub(super) type Fetched<'a, E> = (&'a RowPointers<E>, &'a [CacheLines]);

/// Rows of a panel that are fetched ahead. Measured on the gradient of r50_l1_1x1_64_256's weights: 4.9 ms
/// with 48, 5.1 with 16, 5.4 with 8, 5.6 with none.
const FAR: usize = 48;

/// CacheLines of [`RowPointers`] to be brought into the first cache while a tile is made, a line a step: all
/// rows' first ones, then their second ones.
#[derive(Clone, Copy)]
pub(crate) struct CacheLines {
    /// Elements from a row's first to its first line, from one line to the next; and the lines of a row.
    pub at: usize,
    pub step: usize,
    pub count: usize,
}

impl CacheLines {
    pub const NONE: Self = CacheLines { at: 0, step: 0, count: 0 };

    /// The elements of a line.
    pub const fn len<E>() -> usize {
        64 / size_of::<E>()
    }

    /// The elements `at .. at + cols`.
    #[inline(always)]
    pub fn new<E>(at: usize, cols: usize) -> Self {
        CacheLines { at, step: Self::len::<E>(), count: cols.div_ceil(Self::len::<E>()) }
    }

    /// One of `parts` parts of a row of `len` elements.
    pub fn share<E>(len: usize, part: usize, parts: usize) -> Self {
        let lines = len.div_ceil(Self::len::<E>());
        let share = cut::share(part, parts, lines);
        CacheLines { at: share.start * Self::len::<E>(), step: Self::len::<E>(), count: share.len() }
    }

    /// The line of step t.
    #[inline(always)]
    fn line<E>(&self, rows: &RowPointers<E>, t: usize) -> *const E {
        rows[t % MAX_MR].wrapping_add(self.at + t / MAX_MR * self.step)
    }
}

/// Multiplies a row of tiles.
///
/// # Safety
/// The strip's addresses hold `len` steps for MR rows (those from `height` on may repeat others), the panels
/// every segment's rows; the target's rows hold the panels' columns, and so do the epilogue's vectors. No
/// other thread writes there.
#[inline(always)]
pub(super) unsafe fn multiply_row_of_tiles<S: Simd<E>, E: Element, const PACKED: bool>(
    s: S,
    row: &Row<'_, E>,
) {
    for p in 0..row.panels.len() {
        // SAFETY: p is the number of a panel, and each arm's MR is no less than the height.
        unsafe {
            match (row.c.height, tile_shape(S::REGISTERS).0) {
                (1, _) => tile_of_rows::<S, E, PACKED, 1>(s, row, p),
                (2, _) => tile_of_rows::<S, E, PACKED, 2>(s, row, p),
                (3 | 4, _) => tile_of_rows::<S, E, PACKED, 4>(s, row, p),
                (_, 6) => tile_of_rows::<S, E, PACKED, 6>(s, row, p),
                (_, 8) => tile_of_rows::<S, E, PACKED, 8>(s, row, p),
                _ => unreachable!("a tile has no more rows than tile_shape says"),
            }
        }
    }
}

/// The tile of panel p, of MR rows.
///
/// # Safety
/// As for [`multiply_row_of_tiles`]; p is the number of a panel, MR no less than the target's height.
#[inline(always)]
unsafe fn tile_of_rows<S: Simd<E>, E: Element, const PACKED: bool, const MR: usize>(
    s: S,
    row: &Row<'_, E>,
    p: usize,
) {
    // SAFETY: each arm's NV is the number of the panel's vectors.
    unsafe {
        match (row.panels[p].vectors, tile_shape(S::REGISTERS).1) {
            (1, _) => tile_of::<S, E, PACKED, MR, 1>(s, row, p),
            (2, 2..) => tile_of::<S, E, PACKED, MR, 2>(s, row, p),
            (3, 3..) => tile_of::<S, E, PACKED, MR, 3>(s, row, p),
            _ => unreachable!("a panel has no more vectors than tile_shape says"),
        }
    }
}

/// The tile of panel p, of MR rows by NV vectors.
///
/// # Safety
/// As for [`multiply_row_of_tiles`]; the panel p has NV vectors, MR is no less than the target's height.
#[inline(always)]
unsafe fn tile_of<'a, S: Simd<E>, E: Element, const PACKED: bool, const MR: usize, const NV: usize>(
    s: S,
    row: &Row<'a, E>,
    p: usize,
) {
    let &Row { a, panels, c, skips, first, next, coming } = row;
    let b = &panels[p];
    let lines = CacheLines::new::<E>(b.col, b.cols);
    let residual = if c.epilogue.and_then(|e| e.residual).is_some() { lines } else { CacheLines::NONE };
    let of_panel = |(rows, lines): Fetched<'a, E>| (rows, lines[p]);
    let none = (&c.results, CacheLines::NONE);
    let ahead = [
        (&c.residuals, residual),
        (&c.results, lines),
        next.map_or(none, of_panel),
        coming.map_or(none, of_panel),
    ];
    let far = b.far && first;
    let mut acc = [[s.zero(); NV]; MR];
    let mut done = 0;
    for (q, segment) in a.segments.iter().enumerate() {
        // SAFETY: the strip has addresses for each segment, the panel its rows.
        unsafe {
            if PACKED {
                let (a, mr) = (*a.addresses.as_ptr().add(q), tile_shape(S::REGISTERS).0);
                let mut rows = [a; MR];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = a.add(i);
                }
                acc = accumulate(s, acc, rows, mr, b, far, segment, &ahead, done);
            } else {
                let rows = a.addresses.as_ptr().add(q * MAX_MR).cast::<[*const E; MR]>().read();
                acc = accumulate(s, acc, rows, 1, b, far, segment, &ahead, done);
            }
            done += segment.len;
        }
    }
    if skips {
        // A sum may be -0, of terms too small for their size but not for their sign. A step of zeros makes
        // that +0, and whether it is left out depends on the rows of a tile: so it becomes +0 in any case.
        for row in &mut acc {
            for sum in row {
                *sum = s.add(*sum, s.zero());
            }
        }
    }
    // SAFETY: b and c are a panel and the target of the row.
    unsafe { finish(s, acc, b, c) }
}

/// acc_iv += Σ_t rows[i][t·stride] · b[t][v] over a segment, after `done` steps of others.
///
/// # Safety
/// Element t·stride of each row is readable for all t < len, and so are the panel's rows k .. k +
/// len, of NV vectors each; a copy, where there is one, has room for them.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn accumulate<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    rows: [*const E; MR],
    stride: usize,
    panel: &Panel<E>,
    far: bool,
    &Segment { k, len }: &Segment,
    ahead: &[(&RowPointers<E>, CacheLines)],
    done: usize,
) -> [[S::V; NV]; MR] {
    let (mut b, ld) = (panel.ptr.wrapping_add(k * panel.ld), panel.ld);
    let mut t = 0;
    while far && t < len {
        // SAFETY: t < len, and b is at row k + t, of NV vectors; the copy has room for row k + t.
        unsafe {
            for v in 0..NV {
                prefetch_far(b.wrapping_add(FAR * ld + v * S::LANES));
                if !panel.copy.is_null() {
                    s.store(panel.copy.add(((k + t) * NV + v) * S::LANES), s.load(b.add(v * S::LANES)));
                }
            }
            acc = step(s, acc, &rows, t * stride, b);
        }
        (b, t) = (b.wrapping_add(ld), t + 1);
    }
    let mut from = 0;
    for (rows_ahead, lines) in ahead {
        let to = from + lines.count * MAX_MR;
        while t < len && done + t < to {
            prefetch(lines.line(rows_ahead, done + t - from));
            // SAFETY: t < len, and b is at row k + t.
            acc = unsafe { step(s, acc, &rows, t * stride, b) };
            (b, t) = (b.wrapping_add(ld), t + 1);
        }
        from = to;
    }
    while t < len {
        // SAFETY: t < len, and b is at row k + t.
        acc = unsafe { step(s, acc, &rows, t * stride, b) };
        (b, t) = (b.wrapping_add(ld), t + 1);
    }
    acc
}

/// acc_iv += rows[i][at] · b[v]
///
/// # Safety
/// Element `at` of each row is readable, and so are NV vectors at b.
#[inline(always)]
unsafe fn step<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    rows: &[*const E; MR],
    at: usize,
    b: *const E,
) -> [[S::V; NV]; MR] {
    // SAFETY: vector v < NV of b is read, and element `at` of row i < MR.
    unsafe {
        let mut bv = [s.zero(); NV];
        for v in 0..NV {
            bv[v] = s.load(b.add(v * S::LANES));
        }
        for i in 0..MR {
            let x = s.splat(*rows[i].add(at));
            for v in 0..NV {
                acc[i][v] = s.fma(x, bv[v], acc[i][v]);
            }
        }
    }
    acc
}

/// C = act(scale · (acc + C) + bias + residual), on the target's rows and the panel's columns; (+ C) where it
/// adds.
///
/// # Safety
/// The panel and the target are as for [`multiply_row_of_tiles`].
#[inline(always)]
pub(super) unsafe fn finish<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    b: &Panel<E>,
    c: &Target<'_, E>,
) {
    // SAFETY (all of it): rows below c.height and columns below b.cols lie in C, in the residual and in the
    // vectors.
    unsafe {
        if c.add {
            acc = add_matrix(s, acc, &c.results, b, c.height);
        }
        if let Some(e) = c.epilogue {
            if let Some(scale) = e.scale {
                let v = channel_vectors::<S, E, NV>(s, scale, b);
                for row in &mut acc {
                    for j in 0..NV {
                        row[j] = s.mul(row[j], v[j]);
                    }
                }
            }
            if let Some(bias) = e.bias {
                let v = channel_vectors::<S, E, NV>(s, bias, b);
                for row in &mut acc {
                    for j in 0..NV {
                        row[j] = s.add(row[j], v[j]);
                    }
                }
            }
            if e.residual.is_some() {
                acc = add_matrix(s, acc, &c.residuals, b, c.height);
            }
            acc = activate(s, acc, e.activation);
        }
        let last = b.cols - (NV - 1) * S::LANES;
        for (i, row) in acc.iter().enumerate() {
            if i < c.height {
                let p = c.results[i].cast_mut().add(b.col);
                for v in 0..NV - 1 {
                    s.store(p.add(v * S::LANES), row[v]);
                }
                s.store_n(p.add((NV - 1) * S::LANES), row[NV - 1], last);
            }
        }
    }
}

#[inline(always)]
fn activate<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    activation: Activation,
) -> [[S::V; NV]; MR] {
    if activation == Activation::None {
        return acc;
    }
    for row in &mut acc {
        for v in row {
            *v = activation.vector(s, *v);
        }
    }
    acc
}

/// The columns' part of a vector over channels.
///
/// # Safety
/// The vector has as many elements as C has columns.
#[inline(always)]
unsafe fn channel_vectors<S: Simd<E>, E: Element, const NV: usize>(
    s: S,
    x: &[E],
    b: &Panel<E>,
) -> [S::V; NV] {
    let mut out = [s.zero(); NV];
    // SAFETY: x holds the columns col .. col + cols; only the last vector may be ragged.
    unsafe {
        let p = x.as_ptr().add(b.col);
        for v in 0..NV - 1 {
            out[v] = s.load(p.add(v * S::LANES));
        }
        out[NV - 1] = s.load_n(p.add((NV - 1) * S::LANES), b.cols - (NV - 1) * S::LANES);
    }
    out
}

/// acc + a panel's columns of a matrix' rows.
///
/// # Safety
/// Rows below `height` are readable over the panel's columns.
#[inline(always)]
unsafe fn add_matrix<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    rows: &RowPointers<E>,
    b: &Panel<E>,
    height: usize,
) -> [[S::V; NV]; MR] {
    let last = b.cols - (NV - 1) * S::LANES;
    for i in 0..MR {
        if i < height {
            // SAFETY: row i and the columns lie in the matrix.
            unsafe {
                let p = rows[i].add(b.col);
                for v in 0..NV - 1 {
                    acc[i][v] = s.add(acc[i][v], s.load(p.add(v * S::LANES)));
                }
                let x = s.load_n(p.add((NV - 1) * S::LANES), last);
                acc[i][NV - 1] = s.add(acc[i][NV - 1], x);
            }
        }
    }
    acc
}
