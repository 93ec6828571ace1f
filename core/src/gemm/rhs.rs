//! The right operand: B cut into panels of columns, and made ready for the engine that reads it.
//!
//! A panel has at most as many vectors of columns as a tile; with nv vectors there are ⌈nv / most⌉ panels,
//! whose widths differ by at most one. The last vector is filled up with zeros. Packed, a panel's rows lie
//! one after the other, so that a tile reads B as one aligned stream. Where few rows of A would pay for that,
//! and for a task's first tile, B is read where it lies and only a last panel that is no whole number of
//! vectors is packed. The engine of pairs has a format of its own (`pairs`).

use super::kernel::Panel;
use super::matrix::Matrix;
#[cfg(target_arch = "x86_64")]
use super::pairs::pack as pairs;
use super::plan::{Engine, PanelWidths, Plan};
use crate::buffer::Buffer;
use crate::cut::Extents;
use crate::element::Element;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd, prefetch_far};
use std::ops::Range;

/// The right operand of a product.
#[derive(Clone, Copy)]
pub(crate) enum Rhs<'a, E: Element> {
    /// Packed beforehand.
    Packed(&'a PackedRhs<'a, E>),
    /// Packed by each task, block by block.
    Fresh(StackedRhs<'a, E>),
}

impl<E: Element> Rhs<'_, E> {
    pub fn plan(&self) -> &Plan {
        match self {
            Rhs::Packed(b) => &b.plan,
            Rhs::Fresh(b) => &b.plan,
        }
    }

    pub fn depth(&self) -> usize {
        match self {
            Rhs::Packed(b) => b.depth,
            Rhs::Fresh(b) => b.depth(),
        }
    }

    pub fn widths(&self) -> PanelWidths {
        match self {
            Rhs::Packed(b) => b.widths,
            Rhs::Fresh(b) => b.widths(),
        }
    }

    /// The extents of its product with a left operand of so many rows.
    pub fn extents(&self, rows: usize) -> Extents {
        let PanelWidths { cols, count, .. } = self.widths();
        Extents { rows, depth: self.depth(), cols, panels: count, tile: self.plan().rows }
    }
}

/// Matrices of equal width that lie above one another, to be packed.
#[derive(Clone, Copy)]
pub(crate) struct StackedRhs<'a, E> {
    pub plan: Plan,
    pub parts: &'a [Matrix<'a, E>],
}

impl<E: Element> StackedRhs<'_, E> {
    pub fn depth(&self) -> usize {
        self.parts.iter().map(|m| m.rows).sum()
    }

    fn widths(&self) -> PanelWidths {
        self.plan.panels(self.parts.first().map_or(0, |m| m.cols))
    }

    /// A part of it, unless it spans several matrices.
    pub fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Option<Matrix<'_, E>> {
        let mut top = 0;
        let holds = |part: &&Matrix<'_, E>| {
            top += part.rows;
            rows.end <= top
        };
        let part = self.parts.iter().find(holds)?;
        let above = top - part.rows;
        (rows.start >= above).then(|| part.block(rows.start - above, rows.len(), cols.start, cols.len()))
    }

    /// A part of it that is read where it lies, unless it is transposed, spans several matrices, or is for
    /// pairs.
    pub fn in_place(&self, rows: Range<usize>, cols: Range<usize>) -> Option<PackedRhs<'_, E>> {
        let part = self.part(rows, cols).filter(|m| !m.transposed && self.plan.engine == Engine::Vectors)?;
        Some(PackedRhs::in_place(self.plan, part, false))
    }

    /// Packs a part of it, on the calling thread.
    pub fn pack(&self, rows: Range<usize>, cols: Range<usize>) -> PackedRhs<'static, E> {
        let mut packed = PackedRhs::empty(self.plan, rows.len(), cols.len());
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

/// A right operand that the engine can read.
pub(crate) struct PackedRhs<'a, E: Element> {
    plan: Plan,
    depth: usize,
    widths: PanelWidths,
    form: Form<'a, E>,
}

/// Where the panels are.
enum Form<'a, E: Element> {
    /// Those that are whole vectors in the matrix, a last one that is not in the buffer.
    InPlace { matrix: Matrix<'a, E>, last: Buffer<E> },
    /// One after the other, each with its rows one after the other.
    Panels(Buffer<E>),
    /// One after the other, as the engine of pairs reads them.
    #[cfg(target_arch = "x86_64")]
    Pairs(Buffer<f32>),
}

/// Elements below which packing stays on the calling thread: 256 KiB of f32. Not measured.
const GRAIN: usize = 64 * 1024;
/// Rows that one task packs. Not measured.
const PIECE: usize = 64;
/// Rows that are packed into one panel after the other, so that a plain source is read as it lies. Not
/// measured by itself; a transposed one is packed over all of its depth (39.4 to 36.4 ms for 256 x 4096 x
/// 4096).
const STRIPE: usize = 32;

impl<'a, E: Element> PackedRhs<'a, E> {
    /// Packs matrices of equal width that lie above one another, on all threads where they are large.
    #[track_caller]
    pub fn stack(StackedRhs { plan, parts }: StackedRhs<'_, E>) -> PackedRhs<'static, E> {
        let cols = parts.first().map_or(0, |m| m.cols);
        assert!(parts.iter().all(|m| m.cols == cols), "gemm: stacked matrices differ in width");
        let mut packed = PackedRhs::empty(plan, parts.iter().map(|m| m.rows).sum(), cols);
        let mut above = 0;
        for part in parts {
            packed.fill(part, above, true);
            above += part.rows;
        }
        packed
    }

    /// B read where it lies, but for a last panel that is no whole number of vectors. A transposed one is
    /// packed, and so is any for pairs; on all threads where it is large, if `spread`.
    pub fn in_place(plan: Plan, b: Matrix<'a, E>, spread: bool) -> PackedRhs<'a, E> {
        let mut packed = if b.transposed || plan.engine != Engine::Vectors {
            PackedRhs::empty(plan, b.rows, b.cols)
        } else {
            let widths = plan.panels(b.cols);
            let whole = widths.count - usize::from(!b.cols.is_multiple_of(widths.lanes));
            let width = b.cols.next_multiple_of(widths.lanes) - widths.start(whole) * widths.lanes;
            let form = Form::InPlace { matrix: b, last: Buffer::stale(b.rows * width) };
            PackedRhs { plan, depth: b.rows, widths, form }
        };
        packed.fill(&b, 0, spread);
        packed
    }

    fn empty(plan: Plan, depth: usize, cols: usize) -> PackedRhs<'static, E> {
        let widths = plan.panels(cols);
        let form = match plan.engine {
            Engine::Vectors => Form::Panels(Buffer::stale(depth * cols.next_multiple_of(widths.lanes))),
            #[cfg(target_arch = "x86_64")]
            Engine::Pairs(_) => Form::Pairs(pairs::empty(widths, depth)),
        };
        PackedRhs { plan, depth, widths, form }
    }

    /// Packs a matrix below `above` rows.
    fn fill(&mut self, part: &Matrix<'_, E>, above: usize, spread: bool) {
        let &mut PackedRhs { plan, depth, widths, ref mut form } = self;
        let piecewise = |len: usize, pack: &(dyn Fn(Range<usize>) + Sync)| {
            if spread && len > GRAIN { parallel::ranges(part.rows, PIECE, pack) } else { pack(0..part.rows) }
        };
        let (first, buffer) = match form {
            Form::InPlace { last, .. } => (widths.count - usize::from(!last.is_empty()), last),
            Form::Panels(buffer) => (0, buffer),
            #[cfg(target_arch = "x86_64")]
            Form::Pairs(buffer) => {
                let part =
                    E::own::<Matrix<'_, f32>, _>(*part, Some, |_| None).expect("pairs are made of f32");
                let (len, out) = (buffer.len(), Shared::new(buffer));
                // SAFETY: ranges of rows do not overlap, nor do parts, which lie below one another; a plan
                // has pairs only where the processor has the instructions.
                let pack = |rows| unsafe { pairs::pack_rows(&part, widths, rows, depth, above, out) };
                return piecewise(len, &pack);
            }
        };
        let (len, out) = (buffer.len(), Shared::new(buffer));
        let pack = |rows| E::dispatch_on(plan.isa, PackRows { part, widths, first, rows, depth, above, out });
        piecewise(len, &pack);
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    pub fn widths(&self) -> PanelWidths {
        self.widths
    }

    /// Room to pack what is read in place.
    pub fn room(&self) -> PackedRhs<'static, E> {
        PackedRhs::empty(self.plan, self.depth, self.widths.cols)
    }

    /// Where each panel begins, for those who pack it; nowhere but where panels lie one after the other.
    pub fn places(&mut self) -> Vec<*mut E> {
        let (widths, depth) = (self.widths, self.depth);
        let Form::Panels(buffer) = &mut self.form else { return Vec::new() };
        let buffer = buffer.as_mut_ptr();
        (0..widths.count).map(|p| buffer.wrapping_add(depth * widths.start(p) * widths.lanes)).collect()
    }

    /// Some panels for a sweep: from row k on, but of pairs, which have `ld` 0; in C from column `col` on;
    /// each to be packed at its place, where there is one.
    pub(super) fn panels(
        &self,
        panels: Range<usize>,
        k: usize,
        col: usize,
        places: &[*mut E],
    ) -> Vec<Panel<E>> {
        let places = places.iter().copied().chain(std::iter::repeat(std::ptr::null_mut()));
        let from_row = |(p, copy): (usize, *mut E)| {
            let panel = self.panel(p);
            let ptr = panel.ptr.wrapping_add(k * panel.ld);
            Panel { ptr, far: panel.far || !copy.is_null(), copy, col: col + panel.col, ..panel }
        };
        panels.zip(places).map(from_row).collect()
    }

    fn panel(&self, p: usize) -> Panel<E> {
        let &PackedRhs { depth, widths, ref form, .. } = self;
        let (col, cols, vectors) = widths.extent(p);
        let packed = |buffer: &Buffer<E>, first: usize| {
            let before = (widths.start(p) - widths.start(first)) * widths.lanes;
            (buffer.as_ptr().wrapping_add(depth * before), vectors * widths.lanes, false)
        };
        let (ptr, ld, far) = match form {
            Form::InPlace { last, .. } if p + 1 == widths.count && !last.is_empty() => packed(last, p),
            Form::InPlace { matrix, .. } => (matrix.data.as_ptr().wrapping_add(col), matrix.ld, true),
            Form::Panels(buffer) => packed(buffer, 0),
            // Blocks of the depth begin at chunks, not at rows.
            #[cfg(target_arch = "x86_64")]
            Form::Pairs(buffer) => {
                let before = pairs::panel_len(depth, widths.start(p));
                (buffer.as_ptr().wrapping_add(before).cast(), 0, false)
            }
        };
        Panel { ptr, ld, far, copy: std::ptr::null_mut(), vectors, col, cols }
    }
}

/// Packs some rows of a part into every panel from `first` on.
struct PackRows<'a, E: Element> {
    part: &'a Matrix<'a, E>,
    widths: PanelWidths,
    first: usize,
    rows: Range<usize>,
    depth: usize,
    above: usize,
    out: Shared<'a, E>,
}

impl<E: Element> Kernel<E> for PackRows<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let PackRows { part, widths, first, rows: Range { start: from, end }, depth, above, out } = self;
        assert!(end <= part.rows && above + part.rows <= depth && widths.cols == part.cols);
        let base = widths.start(first);
        // A few rows over all panels, or all rows, where those are its columns: the source is read as it
        // lies.
        let mut row = from;
        while row < end {
            let len = if part.transposed { end - from } else { STRIPE.min(end - row) };
            for p in first..widths.count {
                let (col, cols, vectors) = widths.extent(p);
                let width = vectors * S::LANES;
                let start = depth * (widths.start(p) - base) * S::LANES + (above + row) * width;
                let src = part.block(row, len, col, cols);
                // SAFETY: a matrix holds its block; rows `above + row ..` of a panel lie in the buffer, and
                // no other call writes them.
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

/// dst[k][j] = src[k][j], and 0 from `cols` to `width`.
///
/// # Safety
/// `rows` rows of `cols` elements, `ld` apart, are readable at src; as many of `width` elements are writable
/// at dst.
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

/// dst[k][j] = src[j][k], and 0 from `cols` to `width`.
///
/// # Safety
/// `cols` runs of `rows` elements, `ld` apart, are readable at src; `rows` rows of `width` elements are
/// writable at dst.
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
