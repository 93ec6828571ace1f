//! The columns of a convolution as a left operand: never written down, found by address.
//!
//! The matrix of columns has a row for each pixel of a grid, and in it a run of channels for each tap: A[(n,
//! p, q), (tap, c)] = x[n, p·step + tap_y, q·step + tap_x, c], which is 0 outside of the image. In NHWC the
//! channels of a tap are neighbours in memory, so that a row of A is a list of addresses ([`Columns`]). A tap
//! that is padding for all rows of a tile is left out, and neighbouring taps whose runs join are one segment.
//!
//! The transpose, for the gradient of the weights, has a row for each (tap, c), and the pixels are its depth.
//! Its rows are no runs in memory, and so strips of them are copied, from runs of channels
//! ([`ColumnsTransposed`]).

use crate::element::Element;
use crate::gemm::kernel::{MAX_MR, MAX_PACKED, RowStrip, Segment};
use crate::gemm::lhs::{DepthBlock, Lhs};
use crate::gemm::output::Pixels;
use crate::simd::{Isa, Kernel, Simd};

/// Images as they lie in memory, and the channels of one group.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, E> {
    pub data: &'a [E],
    pub h: usize,
    pub w: usize,
    /// Channels of all groups: pixels are this far apart.
    pub ld: usize,
    /// The group's first channel.
    pub channel: usize,
    /// The group's channels.
    pub run: usize,
}

impl<E> Source<'_, E> {
    #[inline(always)]
    fn contains(&self, y: isize, x: isize) -> bool {
        (y as usize) < self.h && (x as usize) < self.w
    }

    /// The address of a group's run; outside of the image, an address that must not be read.
    #[inline(always)]
    fn at(&self, n: usize, y: isize, x: isize) -> *const E {
        let pixel = (n * self.h) as isize + y;
        let i = (pixel * self.w as isize + x) * self.ld as isize + self.channel as isize;
        self.data.as_ptr().wrapping_offset(i)
    }
}

/// Rows are pixels of `pixels`, the depth is (tap, channel).
pub(super) struct Columns<'a, E> {
    pub source: Source<'a, E>,
    pub pixels: Pixels,
    /// Steps in the source for a step in the grid.
    pub step: [usize; 2],
    /// Each tap's place in the source, from the grid's pixel.
    pub taps: &'a [[isize; 2]],
    /// A run of zeros: what padding reads.
    pub zeros: &'a [E],
}

impl<E: Element> Lhs<E> for Columns<'_, E> {
    fn packed(&self) -> bool {
        false
    }

    fn rows(&self) -> usize {
        self.pixels.len()
    }

    fn segments(&self) -> (usize, usize) {
        (self.taps.len(), self.source.run)
    }

    fn skips(&self) -> bool {
        let last = [0, 1].map(|i| (self.pixels.extent[i].max(1) - 1) * self.step[i]).map(|at| at as isize);
        let inside = |[y, x]: &[isize; 2]| {
            self.source.contains(*y, *x) && self.source.contains(last[0] + y, last[1] + x)
        };
        !self.taps.iter().all(inside)
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
        for (j, strip) in strips.iter_mut().enumerate() {
            self.addresses(row + j * mr, mr.min(count - j * mr), block, strip);
        }
    }
}

impl<E: Element> Columns<'_, E> {
    /// The addresses of one tile's rows.
    fn addresses(&self, row: usize, count: usize, block: &DepthBlock, strip: &mut RowStrip<E>) {
        let x = &self.source;
        let mut places = [(0, 0, 0); MAX_MR];
        let mut origins = [x.data.as_ptr(); MAX_MR];
        for i in 0..MAX_MR {
            let (n, p, q) = self.pixels.at(row + i.min(count - 1));
            let (p, q) = ((p * self.step[0]) as isize, (q * self.step[1]) as isize);
            places[i] = (n, p, q);
            origins[i] = x.at(n, p, q);
        }
        let (start, len) = (block.steps.start, block.steps.len());
        let mut end = [std::ptr::null(); MAX_MR];
        for (j, tap) in self.taps[block.segments.clone()].iter().enumerate() {
            let mut inside = 0u32;
            for (i, place) in places.iter().enumerate() {
                inside |= u32::from(x.contains(place.1 + tap[0], place.2 + tap[1])) << i;
            }
            if inside == 0 {
                continue;
            }
            let offset = (tap[0] * x.w as isize + tap[1]) * x.ld as isize + start as isize;
            let mut addresses = [std::ptr::null(); MAX_MR];
            for i in 0..MAX_MR {
                let there = origins[i].wrapping_offset(offset);
                addresses[i] = if inside >> i & 1 == 1 { there } else { self.zeros.as_ptr() };
            }
            // The tap is joined to the segment before it where each row's run goes on in memory, and B's rows
            // go on too.
            match strip.segments.last_mut() {
                Some(last) if addresses == end && last.k + last.len == j * len => last.len += len,
                _ => {
                    strip.addresses.extend_from_slice(&addresses);
                    strip.segments.push(Segment { k: j * len, len });
                }
            }
            let all = inside == (1 << MAX_MR) - 1;
            end = if all { addresses.map(|a| a.wrapping_add(len)) } else { [std::ptr::null(); MAX_MR] };
        }
    }
}

/// Rows are (tap, channel), the depth is the pixels of `pixels`.
pub(super) struct ColumnsTransposed<'a, E> {
    pub source: Source<'a, E>,
    pub pixels: Pixels,
    pub step: [usize; 2],
    pub taps: &'a [[isize; 2]],
}

/// A tile's rows as runs: rows `row .. row + len` read consecutive elements at a pixel.
#[derive(Clone, Copy, Default)]
struct ChannelRun {
    row: usize,
    len: usize,
    /// The first element's tap, and the last's.
    y: isize,
    x: [isize; 2],
    /// The first element's distance from the grid's pixel.
    offset: isize,
}

impl<E: Element> Lhs<E> for ColumnsTransposed<'_, E> {
    fn packed(&self) -> bool {
        true
    }

    fn rows(&self) -> usize {
        self.taps.len() * self.source.run
    }

    fn skips(&self) -> bool {
        self.pixels.images_inner
    }

    fn segments(&self) -> (usize, usize) {
        if self.pixels.images_inner {
            (self.pixels.extent[0] * self.pixels.extent[1], self.pixels.images)
        } else {
            (1, self.pixels.len())
        }
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
        E::dispatch_on(isa, CopyStrips { columns: self, row, count, mr, block, strips });
    }
}

/// [`Lhs::strips`] of transposed columns.
struct CopyStrips<'a, 'b, E> {
    columns: &'a ColumnsTransposed<'b, E>,
    row: usize,
    count: usize,
    mr: usize,
    block: &'a DepthBlock,
    strips: &'a mut [RowStrip<E>],
}

impl<E: Element> Kernel<E> for CopyStrips<'_, '_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let CopyStrips { columns, row, count, mr, block, strips } = self;
        let len = block.steps.len();
        for (j, strip) in strips.iter_mut().enumerate() {
            let row = row + j * mr;
            let mut runs = [ChannelRun::default(); MAX_PACKED];
            let runs = columns.runs(row, mr.min(count - j * mr), &mut runs);
            let mut dst = strip.room(block.segments.len() * len, mr);
            for (i, segment) in block.segments.clone().enumerate() {
                let from = segment * columns.segments().1 + block.steps.start;
                // SAFETY: the scratch has room for all steps of the block, `mr` elements each, of which those
                // of the i-th segment at most are behind dst; the runs are those of at most `mr` rows, and mr
                // <= LANES.
                let any = unsafe {
                    if columns.pixels.images_inner {
                        columns.images(s, from, len, runs, dst, mr)
                    } else {
                        columns.raster(s, from, len, runs, dst, mr);
                        true
                    }
                };
                if any {
                    strip.addresses.push(dst);
                    strip.segments.push(Segment { k: i * len, len });
                    dst = dst.wrapping_add(len * mr);
                }
            }
        }
    }
}

impl<E: Element> ColumnsTransposed<'_, E> {
    /// The runs of rows `row .. row + count`.
    #[inline(always)]
    fn runs<'r>(&self, row: usize, count: usize, runs: &'r mut [ChannelRun; MAX_PACKED]) -> &'r [ChannelRun] {
        let x = &self.source;
        let mut n = 0;
        for i in 0..count {
            let (tap, c) = ((row + i) / x.run, (row + i) % x.run);
            let [ty, tx] = self.taps[tap];
            let offset = (ty * x.w as isize + tx) * x.ld as isize + c as isize;
            match runs[..n].last_mut() {
                Some(r) if r.y == ty && r.offset + r.len as isize == offset => {
                    (r.len, r.x[1]) = (r.len + 1, tx)
                }
                _ => {
                    runs[n] = ChannelRun { row: i, len: 1, y: ty, x: [tx, tx], offset };
                    n += 1;
                }
            }
        }
        &runs[..n]
    }

    /// Copies steps `from .. from + len` of pixels in raster order.
    ///
    /// # Safety
    /// `dst` has room for len·mr elements. The runs are those of at most `mr` rows, and mr <= LANES.
    #[inline(always)]
    unsafe fn raster<S: Simd<E>>(
        &self,
        s: S,
        from: usize,
        len: usize,
        runs: &[ChannelRun],
        dst: *mut E,
        mr: usize,
    ) {
        let w = self.pixels.extent[1];
        let mut t = 0;
        while t < len {
            let (n, p, q) = self.pixels.at(from + t);
            let end = w.min(q + len - t);
            for run in runs {
                // SAFETY: steps t .. t + end - q are below len, so that there is room for them.
                unsafe { self.row_of_pixels(s, (n, p), q, end, run, dst.add(t * mr + run.row), mr) };
            }
            t += end - q;
        }
    }

    /// Copies a run at pixels q .. end of row p of image n of the grid, to places `mr` apart.
    ///
    /// # Safety
    /// For each of these pixels `dst + (pixel - q)·mr` has room for the run's elements, of which
    /// there are at most LANES.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn row_of_pixels<S: Simd<E>>(
        &self,
        s: S,
        (n, p): (usize, usize),
        q: usize,
        end: usize,
        run: &ChannelRun,
        dst: *mut E,
        mr: usize,
    ) {
        let (x, step) = (&self.source, self.step[1]);
        let y = (p * self.step[0]) as isize;
        let inside_y = x.contains(y + run.y, 0);
        // Pixels at which the whole run lies in the image.
        let (first, last) = if inside_y {
            let low = (-run.x[0]).max(0) as usize;
            let high = (x.w as isize - run.x[1]).max(0) as usize;
            let first = low.div_ceil(step).clamp(q, end);
            (first, high.div_ceil(step).clamp(first, end))
        } else {
            (end, end)
        };
        // SAFETY: what is read are elements of pixels that the image contains: one by one where that is asked
        // of each tap, and as whole runs for pixels first .. last, where the first tap and the last lie in
        // the image's row, and so all between. What is written is the run's elements at the pixels q .. end.
        unsafe {
            for j in (q..first).chain(last..end) {
                let to = dst.add((j - q) * mr);
                let at = (j * step) as isize;
                for i in 0..run.len {
                    // Element i of the run is in tap x[0] or a later one.
                    let tap = run.x[0] + ((self.phase(run) + i) / x.run) as isize;
                    let inside = inside_y && x.contains(0, at + tap);
                    *to.add(i) =
                        if inside { *x.at(n, y, at).offset(run.offset + i as isize) } else { E::ZERO };
                }
            }
            let mut from = x.at(n, y, (first * step) as isize).wrapping_offset(run.offset);
            for j in first..last {
                s.store_n(dst.add((j - q) * mr), s.load_n(from, run.len), run.len);
                from = from.wrapping_add(step * x.ld);
            }
        }
    }

    /// The channel of a run's first element.
    #[inline(always)]
    fn phase(&self, run: &ChannelRun) -> usize {
        let x = &self.source;
        (run.offset - (run.y * x.w as isize + run.x[0]) * x.ld as isize) as usize
    }

    /// Copies steps of one pixel of consecutive images; says whether any run lies in the image.
    ///
    /// # Safety
    /// As for [`ColumnsTransposed::raster`].
    #[inline(always)]
    unsafe fn images<S: Simd<E>>(
        &self,
        s: S,
        from: usize,
        len: usize,
        runs: &[ChannelRun],
        dst: *mut E,
        mr: usize,
    ) -> bool {
        let (n, p, q) = self.pixels.at(from);
        let mut any = false;
        for run in runs {
            let y = (p * self.step[0]) as isize + run.y;
            let [first, last] = run.x.map(|tap| (q * self.step[1]) as isize + tap);
            // A run that is longer than the image is wide may begin and end outside of it.
            any |= (y as usize) < self.source.h && first < self.source.w as isize && last >= 0;
        }
        if any {
            for i in 0..len {
                for run in runs {
                    // SAFETY: i < len, so that there is room for this step.
                    unsafe {
                        self.row_of_pixels(s, (n + i, p), q, q + 1, run, dst.add(i * mr + run.row), mr)
                    };
                }
            }
        }
        any
    }
}
