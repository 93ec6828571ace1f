//! The left operand: what a tile's rows are, and where they lie.
//!
//! A's depth is cut into equal segments, the segments into blocks of about KC steps, for which a tile's strip
//! of A and a panel of B stay in the caches. Rows that lie in memory as runs along the depth are read in
//! place. Rows along which the depth jumps (a transposed matrix: a gradient of weights) are first copied to a
//! strip of [step][row].

use super::kernel::{CacheLines, MAX_MR, RowPointers, RowStrip, Segment};
use super::matrix::Matrix;
use crate::cut::share;
use crate::element::Element;
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// The depth of a block. Sums are ordered by it: one number for every machine, so that bits are the same on
/// all. Measured: blocks of 1024 steps are 0 to 3.5 % faster, but sums then err as those term by term do
/// (1.0, for 0.71 with 512), and with a transposed A they are 10 % slower on another machine; 352 steps are 2
/// % slower.
pub(super) const KC: usize = 512;

/// A part of the depth: whole segments, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct DepthBlock {
    pub segments: Range<usize>,
    /// Steps of each of them.
    pub steps: Range<usize>,
}

impl DepthBlock {
    /// The steps of all its segments.
    pub fn depth(&self) -> usize {
        self.segments.len() * self.steps.len()
    }
}

/// A matrix that hands out its rows tile by tile.
pub(crate) trait Lhs<E: Element>: Sync {
    /// Whether strips are copies in [step][row] order.
    fn packed(&self) -> bool;
    /// A's rows.
    fn rows(&self) -> usize;
    /// The number of segments, and the steps of each.
    fn segments(&self) -> (usize, usize);
    /// The first elements of eight runs, where strips are copied from runs.
    fn runs(&self) -> RowPointers<E> {
        [std::ptr::null(); MAX_MR]
    }
    /// What strips of these rows over these steps will be copied from, one of `parts` parts, seen from those
    /// runs: it is fetched while others are multiplied.
    fn ahead(&self, _rows: Range<usize>, _steps: Range<usize>, _part: usize, _parts: usize) -> CacheLines {
        CacheLines::NONE
    }
    /// Whether strips may leave segments out: those of zeros. It depends on the shape alone.
    fn skips(&self) -> bool {
        false
    }
    /// Addresses rows `row .. row + count` on a block, `mr` rows a strip; the strips are empty. B's rows are
    /// counted from the block's first, all segments of it.
    ///
    /// # Safety
    /// The addresses stay valid for as long as `self` and the strips do, for all `mr` rows of each strip.
    unsafe fn strips(
        &self,
        isa: Isa,
        row: usize,
        count: usize,
        mr: usize,
        block: &DepthBlock,
        strips: &mut [RowStrip<E>],
    );
}

/// The blocks of a depth of `count` segments of `len` steps: an empty one, if there is none.
pub(crate) fn blocks(count: usize, len: usize) -> Vec<DepthBlock> {
    let even = |n: usize, parts: usize| (0..parts).map(move |i| i * n / parts..(i + 1) * n / parts);
    if len == 0 || count == 0 {
        return vec![DepthBlock { segments: 0..0, steps: 0..0 }];
    }
    if len > KC {
        let parts = len.div_ceil(KC);
        let of = |q| even(len, parts).map(move |steps| DepthBlock { segments: q..q + 1, steps });
        return (0..count).flat_map(of).collect();
    }
    let parts = (count * len).div_ceil(KC).min(count);
    even(count, parts).map(|segments| DepthBlock { segments, steps: 0..len }).collect()
}

/// A matrix in memory whose rows are runs.
pub(super) struct RowMajor<'a, E>(pub Matrix<'a, E>);

impl<E: Element> Lhs<E> for RowMajor<'_, E> {
    fn packed(&self) -> bool {
        false
    }
    fn rows(&self) -> usize {
        self.0.rows
    }
    fn segments(&self) -> (usize, usize) {
        (1, self.0.cols)
    }
    unsafe fn strips(
        &self,
        _: Isa,
        row: usize,
        count: usize,
        mr: usize,
        block: &DepthBlock,
        strips: &mut [RowStrip<E>],
    ) {
        let m = &self.0;
        for (j, strip) in strips.iter_mut().enumerate() {
            let base = m.data.as_ptr().wrapping_add(block.steps.start);
            let last = row + count - 1;
            let rows = row + j * mr..row + j * mr + MAX_MR;
            strip.addresses.extend(rows.map(|i| base.wrapping_add(i.min(last) * m.ld)));
            strip.segments.push(Segment { k: 0, len: block.steps.len() });
        }
    }
}

/// A matrix in memory whose columns are runs.
pub(crate) struct ColumnMajor<'a, E>(pub Matrix<'a, E>);

impl<E: Element> Lhs<E> for ColumnMajor<'_, E> {
    fn packed(&self) -> bool {
        true
    }
    fn rows(&self) -> usize {
        self.0.rows
    }
    fn segments(&self) -> (usize, usize) {
        (1, self.0.cols)
    }
    fn runs(&self) -> RowPointers<E> {
        self.0.runs()
    }
    fn ahead(&self, rows: Range<usize>, steps: Range<usize>, part: usize, parts: usize) -> CacheLines {
        // A step's lines, each over some parts of the steps.
        let lines = rows.len().div_ceil(CacheLines::len::<E>());
        let parts = parts.checked_div(lines).unwrap_or(0);
        let Some(line) = part.checked_div(parts).filter(|&line| line < lines) else {
            return CacheLines::NONE;
        };
        let share = share(part % parts, parts, steps.len());
        let at = (steps.start + share.start) * self.0.ld + rows.start + line * CacheLines::len::<E>();
        CacheLines { at, step: MAX_MR * self.0.ld, count: share.len().div_ceil(MAX_MR) }
    }
    unsafe fn strips(
        &self,
        isa: Isa,
        row: usize,
        count: usize,
        mr: usize,
        block: &DepthBlock,
        strips: &mut [RowStrip<E>],
    ) {
        let (m, len) = (&self.0, block.steps.len());
        for strip in &mut *strips {
            let at = strip.room(len, mr);
            strip.addresses.push(at);
            strip.segments.push(Segment { k: 0, len });
        }
        let src = m.data.as_ptr().wrapping_add(block.steps.start * m.ld + row);
        E::dispatch_on(isa, CopySteps { src, ld: m.ld, count, len, strips, mr });
    }
}

/// strips[j][t·mr + i] = src[t·ld + j·mr + i] for steps t < len and rows j·mr + i < count, 0 for rows from
/// there on.
struct CopySteps<'a, E> {
    src: *const E,
    ld: usize,
    count: usize,
    len: usize,
    strips: &'a [RowStrip<E>],
    mr: usize,
}

impl<E: Element> Kernel<E> for CopySteps<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let CopySteps { src, ld, count, len, strips, mr } = self;
        // Some steps over all strips: a step's rows are neighbours in memory.
        for from in (0..len).step_by(64) {
            for (j, strip) in strips.iter().enumerate() {
                let rows = mr.min(count - j * mr);
                for t in from..len.min(from + 64) {
                    // SAFETY: `strips` passes a block of a matrix and scratches of len · mr elements; rows <=
                    // mr <= LANES.
                    unsafe {
                        let to = strip.addresses[0].cast_mut().add(t * mr);
                        let from = src.add(t * ld + j * mr);
                        if rows == 8 {
                            to.cast::<[E; 8]>().write_unaligned(from.cast::<[E; 8]>().read_unaligned());
                        } else {
                            s.store_n(to, s.load_n(from, rows), mr);
                        }
                    }
                }
            }
        }
    }
}
