//! The right operand: B cut into panels of at most NV vectors of columns, each panel's rows one after the other.
//!
//! A panel's row is then one aligned run, and a tile reads B as one stream. With nv vectors of columns there are
//! ⌈nv / NV⌉ panels whose widths differ by at most one vector; the last vector is filled up with zeros. Where few
//! rows of A pay for it, and for a task's first tile, whole vectors of a row-major B are read where they lie and only a ragged last panel is packed.

use super::precision::operand;
use super::tile::{Panel, tile_shape};
use super::{Matrix, planes};
use crate::Element;
use crate::buffer::Buffer;
use crate::parallel::{self, Shared};
use crate::simd::{Isa, Kernel, Simd, isa, prefetch_far};
use std::ops::Range;

/// How columns are cut into panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panels {
    pub cols: usize,
    pub lanes: usize,
    pub count: usize,
}

impl Panels {
    fn new(cols: usize, lanes: usize, most: usize) -> Panels {
        Panels { cols, lanes, count: cols.div_ceil(lanes).div_ceil(most) }
    }

    /// The vectors before panel p.
    fn start(&self, p: usize) -> usize {
        (p * self.cols.div_ceil(self.lanes)).checked_div(self.count).unwrap_or(0)
    }

    /// The panel's first column, columns and vectors.
    pub fn extent(&self, p: usize) -> (usize, usize, usize) {
        let (from, to) = (self.start(p), self.start(p + 1));
        (from * self.lanes, self.cols.min(to * self.lanes) - from * self.lanes, to - from)
    }

    /// The columns of some panels.
    pub fn columns(&self, panels: Range<usize>) -> Range<usize> {
        self.start(panels.start) * self.lanes..self.cols.min(self.start(panels.end) * self.lanes)
    }

    /// The columns of a panel, at most.
    pub fn widest(&self) -> usize {
        self.cols.div_ceil(self.lanes).div_ceil(self.count.max(1)) * self.lanes
    }
}

/// A right operand ready for multiplication: packed, or read in place.
///
/// Packing costs k·n copies; pack once what is multiplied several times (a layer's weights).
pub struct Packed<'a, E: Element> {
    isa: Isa,
    depth: usize,
    panels: Panels,
    mr: usize,
    /// Summands of a number (`planes`), 0 where it is packed as it is.
    planes: usize,
    /// Panels from here on are in the buffer, those before in the matrix.
    first_packed: usize,
    matrix: Option<Matrix<'a, E>>,
    buffer: Buffer<E>,
}

/// Matrices of equal width that lie above one another, to be packed for an instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Stack<'a, E> {
    pub isa: Isa,
    pub parts: &'a [Matrix<'a, E>],
}

impl<E: Element> Stack<'_, E> {
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|m| m.rows).sum()
    }

    pub(super) fn panels(&self) -> Panels {
        let (lanes, _, nv) = geometry::<E>(self.isa);
        Panels::new(self.parts.first().map_or(0, |m| m.cols), lanes, nv)
    }

    /// A part of it, unless it spans several matrices.
    pub(super) fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Option<Matrix<'_, E>> {
        let mut top = 0;
        let holds = |part: &&Matrix<'_, E>| {
            top += part.rows;
            rows.end <= top
        };
        let part = self.parts.iter().find(holds)?;
        let above = top - part.rows;
        (rows.start >= above).then(|| part.block(rows.start - above, rows.len(), cols.start, cols.len()))
    }

    /// A part of it that is read where it lies, unless it is transposed or spans several matrices.
    pub(super) fn in_place(&self, rows: Range<usize>, cols: Range<usize>) -> Option<Packed<'_, E>> {
        let part = self.part(rows, cols).filter(|m| !m.transposed && planes::of::<E>(self.isa) == 0)?;
        Some(Packed::in_place_on(self.isa, part, false))
    }

    /// Packs a part of it, on the calling thread.
    pub(super) fn pack(&self, rows: Range<usize>, cols: Range<usize>) -> Packed<'static, E> {
        let mut packed = Packed::empty(self.isa, rows.len(), cols.len());
        let mut top = 0;
        for part in self.parts {
            let (from, to) = (rows.start.max(top), rows.end.min(top + part.rows));
            if from < to {
                let block = part.block(from - top, to - from, cols.start, cols.len());
                packed.fill(&block, from - rows.start, false);
            }
            top += part.rows;
        }
        packed
    }
}

struct Geometry;
impl<E: Element> Kernel<E> for Geometry {
    type Output = (usize, usize, usize);
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) -> Self::Output {
        let (mr, nv) = tile_shape(S::REGISTERS);
        (S::LANES, mr, nv)
    }
}

/// Lanes, rows of a tile, vectors of a tile.
pub(super) fn geometry<E: Element>(isa: Isa) -> (usize, usize, usize) {
    if planes::of::<E>(isa) > 0 {
        return (16, planes::ROWS, planes::VECTORS);
    }
    E::dispatch_on(isa, Geometry)
}

/// Elements below which packing stays on the calling thread.
const GRAIN: usize = 64 * 1024;
/// Rows that one task packs.
const PIECE: usize = 64;
/// Rows that are packed into one panel after the other.
const STRIPE: usize = 32;

impl<'a, E: Element> Packed<'a, E> {
    /// Packs B, on all threads where it is large.
    pub fn new(b: Matrix<'_, E>) -> Packed<'static, E> {
        Packed::stack(&[b])
    }

    /// Packs matrices of equal width that lie above one another, rounded if the precision asks for it.
    #[track_caller]
    pub fn stack(parts: &[Matrix<'_, E>]) -> Packed<'static, E> {
        let rounded: Vec<_> = parts.iter().map(|m| operand(isa(), m.span())).collect();
        let parts: Vec<_> = parts.iter().zip(&rounded).map(|(m, data)| Matrix { data, ..*m }).collect();
        Packed::stack_on(isa(), &parts, true)
    }

    /// As [`Packed::stack`], for an instruction set, and on the calling thread alone if not `spread`.
    #[track_caller]
    pub(crate) fn stack_on(isa: Isa, parts: &[Matrix<'_, E>], spread: bool) -> Packed<'static, E> {
        let cols = parts.first().map_or(0, |m| m.cols);
        assert!(parts.iter().all(|m| m.cols == cols), "gemm: stacked matrices differ in width");
        let mut packed = Packed::empty(isa, parts.iter().map(|m| m.rows).sum(), cols);
        let mut above = 0;
        for part in parts {
            packed.fill(part, above, spread);
            above += part.rows;
        }
        packed
    }

    fn empty(isa: Isa, depth: usize, cols: usize) -> Packed<'static, E> {
        let (lanes, mr, nv) = geometry::<E>(isa);
        let panels = Panels::new(cols, lanes, nv);
        let planes = planes::of::<E>(isa);
        if planes > 0 {
            let mut buffer = Buffer::<E>::stale(planes::panel_len(planes, depth, cols.div_ceil(lanes)));
            for p in 0..panels.count {
                let (before, vectors) = (panels.start(p), panels.extent(p).2);
                // SAFETY: panels lie one behind the other in the buffer, of f32.
                unsafe {
                    let panel = buffer.as_mut_ptr().add(planes::panel_len(planes, depth, before));
                    planes::clear_last(planes, panel.cast(), depth, vectors);
                }
            }
            return Packed { isa, depth, panels, mr, planes, first_packed: 0, matrix: None, buffer };
        }
        let buffer = Buffer::stale(depth * cols.next_multiple_of(lanes));
        Packed { isa, depth, panels, mr, planes, first_packed: 0, matrix: None, buffer }
    }

    /// B read where it lies, but for a last panel that is no whole number of vectors. A transposed one is packed.
    pub(super) fn in_place_on(isa: Isa, b: Matrix<'a, E>, spread: bool) -> Packed<'a, E> {
        if b.transposed || planes::of::<E>(isa) > 0 {
            return Packed::stack_on(isa, &[b], spread);
        }
        let (lanes, mr, nv) = geometry::<E>(isa);
        let panels = Panels::new(b.cols, lanes, nv);
        let first_packed = panels.count - usize::from(!b.cols.is_multiple_of(lanes));
        let width = b.cols.next_multiple_of(lanes) - panels.start(first_packed) * lanes;
        let buffer = Buffer::stale(b.rows * width);
        let mut packed =
            Packed { isa, depth: b.rows, panels, mr, planes: 0, first_packed, matrix: Some(b), buffer };
        packed.fill(&b, 0, spread);
        packed
    }

    /// Packs a matrix below `above` rows.
    fn fill(&mut self, part: &Matrix<'_, E>, above: usize, spread: bool) {
        let (panels, first, depth, isa) = (self.panels, self.first_packed, self.depth, self.isa);
        let planes = self.planes;
        let spread = spread && self.buffer.len() > GRAIN;
        let out = Shared::new(&mut self.buffer);
        let pack = |rows: Range<usize>| {
            let rows = (rows.start, rows.len());
            // SAFETY: ranges of rows are apart, and so are parts.
            E::dispatch_on(isa, PackRows { planes, part, panels, first, rows, depth, above, out });
        };
        if spread { parallel::ranges(part.rows, PIECE, pack) } else { pack(0..part.rows) }
    }

    /// The depth: B's rows.
    pub fn rows(&self) -> usize {
        self.depth
    }

    /// B's columns.
    pub fn cols(&self) -> usize {
        self.panels.cols
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    /// Summands of a number, 0 where it is packed as it is.
    pub(super) fn planes(&self) -> usize {
        self.planes
    }

    /// Rows of a tile.
    pub(super) fn mr(&self) -> usize {
        self.mr
    }

    pub(super) fn panels(&self) -> Panels {
        self.panels
    }

    /// Room to pack what is read in place.
    pub(super) fn room(&self) -> Packed<'static, E> {
        debug_assert!(self.planes == 0);
        let &Packed { isa, depth, panels, mr, planes, .. } = self;
        let buffer = Buffer::stale(depth * panels.cols.next_multiple_of(panels.lanes));
        Packed { isa, depth, panels, mr, planes, first_packed: 0, matrix: None, buffer }
    }

    /// Where each panel begins, for those who pack it.
    pub(super) fn places(&mut self) -> Vec<*mut E> {
        let (panels, depth, buffer) = (self.panels, self.depth, self.buffer.as_mut_ptr());
        let place = |p| buffer.wrapping_add(depth * panels.start(p) * panels.lanes);
        (0..panels.count).map(place).collect()
    }

    /// A panel.
    pub(super) fn panel(&self, p: usize) -> Panel<E> {
        let (col, cols, vectors) = self.panels.extent(p);
        let (ptr, ld, far) = match &self.matrix {
            Some(m) if p < self.first_packed => (m.data.as_ptr().wrapping_add(col), m.ld, true),
            _ if self.planes > 0 => {
                let before = planes::panel_len(self.planes, self.depth, self.panels.start(p));
                (self.buffer.as_ptr().wrapping_add(before), 0, false)
            }
            _ => {
                let before = self.panels.start(p) - self.panels.start(self.first_packed);
                let ptr = self.buffer.as_ptr().wrapping_add(self.depth * before * self.panels.lanes);
                (ptr, vectors * self.panels.lanes, false)
            }
        };
        Panel { ptr, ld, far, copy: std::ptr::null_mut(), vectors, col, cols }
    }
}

/// Packs some rows of a part into every panel from `first` on.
struct PackRows<'a, E: Element> {
    /// 0 where a row is packed as it is.
    planes: usize,
    part: &'a Matrix<'a, E>,
    panels: Panels,
    first: usize,
    rows: (usize, usize),
    depth: usize,
    above: usize,
    out: Shared<'a, E>,
}

impl<E: Element> Kernel<E> for PackRows<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let PackRows { planes, part, panels, first, rows: (from, count), depth, above, out } = self;
        assert!(from + count <= part.rows && above + part.rows <= depth && panels.cols == part.cols);
        if S::LANES == 16 && planes > 0 {
            // SAFETY: E is f32.
            return unsafe { self.run_for_tiles() };
        }
        let base = panels.start(first);
        // A few rows over all panels, or all rows, where those are its columns: the source is read as it lies.
        let mut row = from;
        while row < from + count {
            let len = if part.transposed { count } else { STRIPE.min(from + count - row) };
            for p in first..panels.count {
                let (col, cols, vectors) = panels.extent(p);
                let width = vectors * S::LANES;
                let start = depth * (panels.start(p) - base) * S::LANES + (above + row) * width;
                let src = part.block(row, len, col, cols);
                // SAFETY: a matrix holds its block; rows `above + row ..` of a panel lie in the buffer, and no other
                // call writes them.
                unsafe {
                    let dst = out.slice(start..start + len * width).as_mut_ptr();
                    if part.transposed {
                        pack_transposed(s, src.data.as_ptr(), src.ld, len, cols, dst, width);
                    } else {
                        pack_plain(s, src.data.as_ptr(), src.ld, len, cols, dst, width);
                    }
                }
            }
            row += len;
        }
    }
}

impl<E: Element> PackRows<'_, E> {
    /// Packs planes for tiles.
    ///
    /// # Safety
    /// E is f32, the machine has AVX-512.
    unsafe fn run_for_tiles(self) {
        let PackRows { planes, part, panels, first, rows: (from, count), depth, above, out } = self;
        let mut row = from;
        while row < from + count {
            // A chunk over all panels, so that the source is read as it lies; or all rows, where those are its columns.
            let chunk = planes::CHUNK - (above + row) % planes::CHUNK;
            let len = (from + count - row).min(if part.transposed { count } else { chunk });
            for p in first..panels.count {
                let (col, cols, vectors) = panels.extent(p);
                let src = part.block(row, len, col, cols);
                // SAFETY: E is f32; rows `above + row ..` of a panel lie in the buffer, and no other call writes them.
                unsafe {
                    let panel = out.as_mut_ptr().add(planes::panel_len(planes, depth, panels.start(p)));
                    let src = &*std::ptr::from_ref(&src).cast::<Matrix<'_, f32>>();
                    planes::pack_right(planes, src, above + row, vectors, panel.cast());
                }
            }
            row += len;
        }
    }
}

#[inline(always)]
unsafe fn pack_plain<S: Simd<E>, E: Element>(
    s: S,
    src: *const E,
    ld: usize,
    rows: usize,
    cols: usize,
    dst: *mut E,
    width: usize,
) {
    let whole = cols / S::LANES * S::LANES;
    for k in 0..rows {
        // SAFETY: row k of both; columns below cols of src, below width of dst.
        unsafe {
            let (from, to) = (src.add(k * ld), dst.add(k * width));
            for j in (0..whole).step_by(S::LANES) {
                s.store(to.add(j), s.load(from.add(j)));
            }
            if whole < width {
                s.store(to.add(whole), s.load_n(from.add(whole), cols - whole));
            }
        }
    }
}

/// dst[k][j] = src[j][k]
#[inline(always)]
unsafe fn pack_transposed<S: Simd<E>, E: Element>(
    s: S,
    src: *const E,
    ld: usize,
    rows: usize,
    cols: usize,
    dst: *mut E,
    width: usize,
) {
    let l = S::LANES;
    for j in (0..width).step_by(l) {
        for k in (0..rows).step_by(l) {
            // SAFETY: elements k < rows of src's rows j < cols are read, rows k of dst up to width written.
            unsafe {
                // The next columns' rows at the same depth.
                (j + l..j + 2 * l).for_each(|j| prefetch_far(src.wrapping_add(j * ld + k)));
                if j + l <= cols && k + l <= rows {
                    s.transpose(src.add(j * ld + k), ld, dst.add(k * width + j), width);
                } else {
                    for k in k..rows.min(k + l) {
                        for j in j..j + l {
                            let x = if j < cols { *src.add(j * ld + k) } else { E::ZERO };
                            *dst.add(k * width + j) = x;
                        }
                    }
                }
            }
        }
    }
}
