//! The right operand: B cut into panels of at most NV vectors of columns, each panel's rows one after the other.
//!
//! A panel's row is then one aligned run, and a tile reads B as one stream. With nv vectors of columns there are
//! ⌈nv / NV⌉ panels whose widths differ by at most one vector; the last vector is filled up with zeros. Where few
//! rows of A pay for it, whole vectors of a row-major B are read where they lie and only a ragged last panel is packed.

use super::Matrix;
use super::tile::{Panel, tile_shape};
use crate::Element;
use crate::buffer::Buffer;
use crate::parallel::{self, Shared};
use crate::simd::{Isa, Kernel, Simd, isa};

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
        if self.count == 0 { 0 } else { p * self.cols.div_ceil(self.lanes) / self.count }
    }

    /// The panel's first column, columns and vectors.
    pub fn extent(&self, p: usize) -> (usize, usize, usize) {
        let (from, to) = (self.start(p), self.start(p + 1));
        (from * self.lanes, self.cols.min(to * self.lanes) - from * self.lanes, to - from)
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
    /// Panels from here on are in the buffer, those before in the matrix.
    first_packed: usize,
    matrix: Option<Matrix<'a, E>>,
    buffer: Buffer<E>,
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
    E::dispatch_on(isa, Geometry)
}

/// Multiply-adds below which packing stays on the calling thread.
const GRAIN: usize = 64 * 1024;

impl<'a, E: Element> Packed<'a, E> {
    /// Packs B, on all threads where it is large.
    pub fn new(b: Matrix<'_, E>) -> Packed<'static, E> {
        Packed::stack(&[b])
    }

    /// Packs matrices of equal width that lie above one another.
    #[track_caller]
    pub fn stack(parts: &[Matrix<'_, E>]) -> Packed<'static, E> {
        Packed::stack_on(isa(), parts, true)
    }

    /// As [`Packed::stack`], for an instruction set, and on the calling thread alone if not `spread`.
    #[track_caller]
    pub(super) fn stack_on(isa: Isa, parts: &[Matrix<'_, E>], spread: bool) -> Packed<'static, E> {
        let cols = parts.first().map_or(0, |m| m.cols);
        assert!(parts.iter().all(|m| m.cols == cols), "gemm: stacked matrices differ in width");
        let depth = parts.iter().map(|m| m.rows).sum();
        let (lanes, mr, nv) = geometry::<E>(isa);
        let panels = Panels::new(cols, lanes, nv);
        let buffer = Buffer::stale(depth * cols.next_multiple_of(lanes));
        let mut packed = Packed { isa, depth, panels, mr, first_packed: 0, matrix: None, buffer };
        packed.fill(parts, spread);
        packed
    }

    /// B read where it lies, but for a last panel that is no whole number of vectors. A transposed one is packed.
    pub(super) fn in_place_on(isa: Isa, b: Matrix<'a, E>) -> Packed<'a, E> {
        if b.transposed {
            return Packed::stack_on(isa, &[b], true);
        }
        let (lanes, mr, nv) = geometry::<E>(isa);
        let panels = Panels::new(b.cols, lanes, nv);
        let first_packed = panels.count - usize::from(!b.cols.is_multiple_of(lanes));
        let width = b.cols.next_multiple_of(lanes) - panels.start(first_packed) * lanes;
        let buffer = Buffer::stale(b.rows * width);
        let mut packed = Packed { isa, depth: b.rows, panels, mr, first_packed, matrix: Some(b), buffer };
        packed.fill(&[b], true);
        packed
    }

    fn fill(&mut self, parts: &[Matrix<'_, E>], spread: bool) {
        let first = self.first_packed;
        let (panels, depth, isa) = (self.panels, self.depth, self.isa);
        let base = panels.start(first);
        let whole = panels.cols.div_ceil(panels.lanes);
        let size = depth * (whole - base) * panels.lanes;
        let out = Shared::new(&mut self.buffer);
        let count = (panels.count - first) * parts.len();
        // A piece is a panel of a part, or a few hundred rows of it.
        let rows = if spread && size > GRAIN { 256 } else { usize::MAX };
        let pieces: Vec<(usize, usize, usize)> = (0..count)
            .flat_map(|i| {
                let part = i % parts.len();
                let above: usize = parts[..part].iter().map(|m| m.rows).sum();
                let step = rows.min(parts[part].rows.max(1));
                (0..parts[part].rows).step_by(step).map(move |r| (i, above, r))
            })
            .collect();
        let pack = |j: usize| {
            let (i, above, row) = pieces[j];
            let (p, part) = (first + i / parts.len(), &parts[i % parts.len()]);
            let (col, cols, vectors) = panels.extent(p);
            let width = vectors * panels.lanes;
            let len = rows.min(part.rows - row);
            let start = depth * (panels.start(p) - base) * panels.lanes + (above + row) * width;
            // SAFETY: pieces are distinct rows of distinct panels.
            let dst = unsafe { out.slice(start..start + len * width) };
            E::dispatch_on(isa, PackPanel { src: part.block(row, len, col, cols), width, dst });
        };
        if spread && size > GRAIN {
            parallel::for_each(pieces.len(), pack);
        } else {
            (0..pieces.len()).for_each(pack);
        }
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

    /// Rows of a tile.
    pub(super) fn mr(&self) -> usize {
        self.mr
    }

    pub(super) fn panels(&self) -> Panels {
        self.panels
    }

    /// A panel's address: rows are `ld` apart.
    #[inline(always)]
    pub(super) fn panel(&self, p: usize) -> Panel<E> {
        let (col, _, vectors) = self.panels.extent(p);
        match &self.matrix {
            Some(m) if p < self.first_packed => {
                Panel { ptr: m.data.as_ptr().wrapping_add(col), ld: m.ld, vectors }
            }
            _ => {
                let before = self.panels.start(p) - self.panels.start(self.first_packed);
                let ptr = self.buffer.as_ptr().wrapping_add(self.depth * before * self.panels.lanes);
                Panel { ptr, ld: vectors * self.panels.lanes, vectors }
            }
        }
    }
}

/// dst[k][..width] = src's row k, then zeros.
struct PackPanel<'a, E: Element> {
    src: Matrix<'a, E>,
    width: usize,
    dst: &'a mut [E],
}

impl<E: Element> Kernel<E> for PackPanel<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let Matrix { rows, cols, ld, .. } = self.src;
        assert!(cols <= self.width && self.dst.len() >= rows * self.width);
        assert!(self.width.is_multiple_of(S::LANES));
        let (src, dst) = (self.src.data.as_ptr(), self.dst.as_mut_ptr());
        // SAFETY: a matrix's constructor warrants its elements; dst's size is checked above.
        unsafe {
            if self.src.transposed {
                pack_transposed(s, src, ld, rows, cols, dst, self.width);
            } else {
                pack_plain(s, src, ld, rows, cols, dst, self.width);
            }
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
