//! The register tile: MR rows by NV vectors of C, the innermost loop of every product.
//!
//! C_ij = Σ_t A_it B_tj as a sum of outer products: for each depth t, NV vectors of B are loaded, MR elements of A
//! broadcast, and MR·NV fused multiply-adds done on sums that stay in registers. NV vectors by MR broadcasts cost
//! MR + NV loads for MR·NV multiply-adds; with two of each a cycle, 8 x 3 (AVX-512) and 6 x 2 (AVX2) are bound by
//! arithmetic. The depth comes in segments (the taps of a convolution), each with its own addresses of A's rows: A is
//! read where it lies.

use super::Matrix;
use crate::simd::{Simd, prefetch, prefetch_far};
use crate::{Activation, Element, Epilogue};

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
pub(crate) struct Strip<E> {
    /// Rows: MAX_MR addresses a segment, row i's element t at `[i] + t`. Packed: one address a segment, row i's
    /// element t at `+ t·mr + i`.
    pub addresses: Vec<*const E>,
    pub segments: Vec<Segment>,
    /// Where a packed strip lies.
    pub scratch: Vec<E>,
}

/// The right operand of one tile: row k of its columns at `ptr + k·ld`, NV whole vectors readable.
#[derive(Clone, Copy)]
pub(super) struct Panel<E> {
    pub ptr: *const E,
    pub ld: usize,
    /// Whether its rows are fetched `FAR` ahead: those in place are far apart.
    pub far: bool,
    /// Where its rows, fetched ahead, are packed in passing; or null.
    pub copy: *mut E,
    pub vectors: usize,
    /// Its first column in B, and its columns.
    pub col: usize,
    pub cols: usize,
}

/// Where a tile goes.
#[derive(Clone, Copy)]
pub(super) struct Target<'a, E> {
    /// C's first element; row i of the tile begins at `offsets[i]`, its columns at `col`.
    pub c: *mut E,
    pub offsets: [usize; MAX_MR],
    pub rows: usize,
    pub col: usize,
    pub cols: usize,
    /// Add to what C holds.
    pub add: bool,
    /// What is done to the sum before it is stored.
    pub epilogue: Option<&'a Epilogue<'a, E>>,
}

/// Rows of a panel that are fetched ahead.
const FAR: usize = 48;

/// Rows of memory to be brought into the first cache while a tile is made, a line a step: all rows' first lines, then
/// their second ones.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<E> {
    pub rows: [*const E; MAX_MR],
    /// Lines of each row, and elements from one to the next.
    pub lines: usize,
    pub step: usize,
}

/// What is fetched while a tile is made, in turn.
pub(super) type Fetched<E> = [Ahead<E>; 4];

impl<E> Ahead<E> {
    /// The elements of a line.
    pub const LINE: usize = 64 / size_of::<E>();

    pub const NONE: Self = Ahead { rows: [std::ptr::null(); MAX_MR], lines: 0, step: 0 };

    /// Rows of `cols` elements.
    #[inline(always)]
    pub fn new(rows: [*const E; MAX_MR], cols: usize) -> Self {
        Ahead { rows, lines: cols.div_ceil(Self::LINE), step: Self::LINE }
    }

    /// One of `parts` parts of a strip in place that is one stretch of the depth.
    #[inline(always)]
    pub fn share(strip: &Strip<E>, part: usize, parts: usize) -> Self {
        let [Segment { len, .. }] = strip.segments[..] else { return Self::NONE };
        let lines = len.div_ceil(Self::LINE);
        let (from, to) = (part * lines / parts, (part + 1) * lines / parts);
        let rows = std::array::from_fn(|i| strip.addresses[i].wrapping_add(from * Self::LINE));
        Ahead { rows, lines: to - from, step: Self::LINE }
    }

    /// Eight of a matrix' runs at a time, spread over `parts` parts: all of them, if there are so many parts.
    #[inline(always)]
    pub fn runs(m: &Matrix<'_, E>, part: usize, parts: usize) -> Self {
        let (runs, len) = if m.transposed { (m.cols, m.rows) } else { (m.rows, m.cols) };
        let before = |part: usize| part * runs.div_ceil(MAX_MR) / parts;
        if before(part) == before(part + 1) {
            return Self::NONE;
        }
        let run = |i: usize| m.data.as_ptr().wrapping_add((before(part) * MAX_MR + i).min(runs - 1) * m.ld);
        Ahead::new(std::array::from_fn(run), len)
    }

    /// The line of step t.
    #[inline(always)]
    fn line(&self, t: usize) -> *const E {
        self.rows[t % MAX_MR].wrapping_add(t / MAX_MR * self.step)
    }
}

/// Multiplies one tile.
///
/// # Safety
/// The strip's addresses hold `len` steps for MR rows (those from `rows` on may repeat others), the panel every
/// segment's rows; the target's rows and columns lie in C, the epilogue's vectors hold its columns, its residual C's
/// range. No other thread writes the tile.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd<E>, E: Element, const PACKED: bool>(
    s: S,
    a: &Strip<E>,
    b: Panel<E>,
    c: &Target<'_, E>,
    ahead: &Fetched<E>,
) {
    // SAFETY: the caller's.
    unsafe {
        match (c.rows, tile_shape(S::REGISTERS).0) {
            (1, _) => tile_of_rows::<S, E, PACKED, 1>(s, a, b, c, ahead),
            (2, _) => tile_of_rows::<S, E, PACKED, 2>(s, a, b, c, ahead),
            (3 | 4, _) => tile_of_rows::<S, E, PACKED, 4>(s, a, b, c, ahead),
            (_, 6) => tile_of_rows::<S, E, PACKED, 6>(s, a, b, c, ahead),
            (_, 8) => tile_of_rows::<S, E, PACKED, 8>(s, a, b, c, ahead),
            _ => unreachable!("a tile has no more rows than tile_shape says"),
        }
    }
}

#[inline(always)]
unsafe fn tile_of_rows<S: Simd<E>, E: Element, const PACKED: bool, const MR: usize>(
    s: S,
    a: &Strip<E>,
    b: Panel<E>,
    c: &Target<'_, E>,
    ahead: &Fetched<E>,
) {
    // SAFETY: the caller's.
    unsafe {
        match (b.vectors, tile_shape(S::REGISTERS).1) {
            (1, _) => tile_of::<S, E, PACKED, MR, 1>(s, a, b, c, ahead),
            (2, 2..) => tile_of::<S, E, PACKED, MR, 2>(s, a, b, c, ahead),
            (3, 3..) => tile_of::<S, E, PACKED, MR, 3>(s, a, b, c, ahead),
            _ => unreachable!("a panel has no more vectors than tile_shape says"),
        }
    }
}

#[inline(always)]
unsafe fn tile_of<S: Simd<E>, E: Element, const PACKED: bool, const MR: usize, const NV: usize>(
    s: S,
    a: &Strip<E>,
    b: Panel<E>,
    c: &Target<'_, E>,
    ahead: &Fetched<E>,
) {
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
                acc = multiply(s, acc, rows, mr, b, segment, ahead, done);
            } else {
                let rows = a.addresses.as_ptr().add(q * MAX_MR).cast::<[*const E; MR]>().read();
                acc = multiply(s, acc, rows, 1, b, segment, ahead, done);
            }
            done += segment.len;
        }
    }
    // SAFETY: the caller's.
    unsafe { finish(s, acc, c) }
}

/// acc_iv += Σ_t rows[i][t·stride] · b[t][v] over a segment, after `done` steps of others.
///
/// # Safety
/// Each row has the segment's elements, the panel its rows; a copy has room for them.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn multiply<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    rows: [*const E; MR],
    stride: usize,
    panel: Panel<E>,
    &Segment { k, len }: &Segment,
    ahead: &Fetched<E>,
    done: usize,
) -> [[S::V; NV]; MR] {
    let (mut b, ld) = (panel.ptr.wrapping_add(k * panel.ld), panel.ld);
    let mut t = 0;
    while panel.far && t < len {
        // SAFETY: t < len.
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
    for ahead in ahead {
        let to = from + ahead.lines * MAX_MR;
        while t < len && done + t < to {
            prefetch(ahead.line(done + t - from));
            // SAFETY: t < len.
            acc = unsafe { step(s, acc, &rows, t * stride, b) };
            (b, t) = (b.wrapping_add(ld), t + 1);
        }
        from = to;
    }
    while t < len {
        // SAFETY: t < len.
        acc = unsafe { step(s, acc, &rows, t * stride, b) };
        (b, t) = (b.wrapping_add(ld), t + 1);
    }
    acc
}

/// acc_iv += rows[i][at] · b[v]
///
/// # Safety
/// Each row has more than `at` elements, B NV vectors.
#[inline(always)]
unsafe fn step<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    rows: &[*const E; MR],
    at: usize,
    b: *const E,
) -> [[S::V; NV]; MR] {
    // SAFETY: the caller's.
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

/// C = act(scale · (acc + C) + bias + residual), on the target's rows and columns; (+ C) where it adds.
///
/// # Safety
/// The target is as for [`tile`].
#[inline(always)]
pub(super) unsafe fn finish<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    c: &Target<'_, E>,
) {
    // SAFETY (all of it): rows below c.rows and columns below c.cols lie in C, in the residual and in the vectors.
    unsafe {
        if c.add {
            acc = add_matrix(s, acc, c.c, c);
        }
        if let Some(e) = c.epilogue {
            if let Some(scale) = e.scale {
                let v = channel_vectors::<S, E, NV>(s, scale, c);
                for row in &mut acc {
                    for j in 0..NV {
                        row[j] = s.mul(row[j], v[j]);
                    }
                }
            }
            if let Some(bias) = e.bias {
                let v = channel_vectors::<S, E, NV>(s, bias, c);
                for row in &mut acc {
                    for j in 0..NV {
                        row[j] = s.add(row[j], v[j]);
                    }
                }
            }
            if let Some(residual) = e.residual {
                acc = add_matrix(s, acc, residual.as_ptr(), c);
            }
            acc = activate(s, acc, e.activation);
        }
        let last = c.cols - (NV - 1) * S::LANES;
        for (i, row) in acc.iter().enumerate() {
            if i < c.rows {
                let p = c.c.add(c.offsets[i] + c.col);
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
    let top = s.splat(if activation == Activation::Relu6 { E::from_f64(6.0) } else { E::INFINITY });
    for row in &mut acc {
        for v in row {
            *v = s.min(s.max(*v, s.zero()), top);
        }
    }
    acc
}

/// The columns' part of a vector over channels.
#[inline(always)]
unsafe fn channel_vectors<S: Simd<E>, E: Element, const NV: usize>(
    s: S,
    x: &[E],
    c: &Target<'_, E>,
) -> [S::V; NV] {
    let mut out = [s.zero(); NV];
    // SAFETY: x holds the columns col .. col + cols; only the last vector may be ragged.
    unsafe {
        let p = x.as_ptr().add(c.col);
        for v in 0..NV - 1 {
            out[v] = s.load(p.add(v * S::LANES));
        }
        out[NV - 1] = s.load_n(p.add((NV - 1) * S::LANES), c.cols - (NV - 1) * S::LANES);
    }
    out
}

/// acc + the target's place in a matrix laid out as C.
#[inline(always)]
unsafe fn add_matrix<S: Simd<E>, E: Element, const MR: usize, const NV: usize>(
    s: S,
    mut acc: [[S::V; NV]; MR],
    m: *const E,
    c: &Target<'_, E>,
) -> [[S::V; NV]; MR] {
    let last = c.cols - (NV - 1) * S::LANES;
    for i in 0..MR {
        if i < c.rows {
            // SAFETY: row i and the columns lie in the matrix.
            unsafe {
                let p = m.add(c.offsets[i] + c.col);
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
