//! What all passes in tiles share: the tiles of an output, patches of images, and their map to points.

use super::transform::{AxisMap, POINTS, Tile, both_axes, points};
use crate::buffer::Buffer;
use crate::element::Element;
use crate::ops::conv::product::MAX_ROWS;
use crate::ops::conv::spec::ConvSpec;
use crate::simd::{Kernel, Simd, prefetch};
use std::ops::Range;

/// Calls a pass that was compiled for tiles of m x m outputs and the spec's taps.
macro_rules! tiled {
    ($pass:ident($m:expr, $spec:expr $(, $operand:expr)*)) => {
        match ($m, $spec.kernel[0]) {
            (4, 3) => $pass::<E, 4, 3>($spec $(, $operand)*),
            (2, 3) => $pass::<E, 2, 3>($spec $(, $operand)*),
            (2, 5) => $pass::<E, 2, 5>($spec $(, $operand)*),
            (m, _) => unreachable!("tiles of {m} x {m} outputs for {:?}", $spec),
        }
    };
}
pub(super) use tiled;

/// A block's tiles, at least, about. Measured as blocks of all convolutions, 24 tiles cost 1 to 4 % on large
/// maps, and help small ones, of which few blocks come, to keep the threads busy.
pub(super) const LEAST_BLOCK: usize = 24;
/// Elements of a block's points on one side, at most, if that leaves so many tiles: they bound a thread's
/// memory where channels are thousands. Not measured.
const BLOCK_LEN: usize = 4 * 1024 * 1024;
/// Lanes and registers of the instruction set in use.
pub(super) struct Registers;

impl<E: Element> Kernel<E> for Registers {
    type Output = (usize, usize);
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) -> (usize, usize) {
        (S::LANES, S::REGISTERS)
    }
}

/// NHWC images, read in patches.
#[derive(Clone, Copy)]
pub(super) struct Images<'a, E> {
    pub data: &'a [E],
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

impl<E: Element> Images<'_, E> {
    /// The addresses of `extent` by `extent` pixels from (y, x) on; outside of the image that of `zeros`.
    #[inline(always)]
    pub fn patch(&self, n: usize, y: isize, x: isize, extent: usize, zeros: &[E]) -> Tile<*const E> {
        assert!(zeros.len() >= self.c);
        let mut patch = [[zeros.as_ptr(); POINTS]; POINTS];
        for (i, row) in patch.iter_mut().enumerate().take(extent) {
            let y = y + i as isize;
            if y < 0 || y >= self.h as isize {
                continue;
            }
            for (j, p) in row.iter_mut().enumerate().take(extent) {
                let x = x + j as isize;
                if x >= 0 && x < self.w as isize {
                    *p = self.data[((n * self.h + y as usize) * self.w + x as usize) * self.c..][..self.c]
                        .as_ptr();
                }
            }
        }
        patch
    }
}

/// The points of a block: element (tile, channel) of point k is at `k·plane + tile·ld + channel`.
pub(super) struct Planes<E: Element> {
    pub data: Buffer<E>,
    pub plane: usize,
    pub ld: usize,
}

impl<E: Element> Planes<E> {
    /// Room for whole vectors and register tiles. Planes begin a vector further on than their size says,
    /// because the points of a tile and channel would else all lie in one set of the cache.
    pub fn new(points: usize, rows: usize, columns: usize, lanes: usize) -> Self {
        let ld = columns.next_multiple_of(lanes);
        let plane = (rows.next_multiple_of(MAX_ROWS) + MAX_ROWS) * ld + lanes;
        Planes { data: Buffer::stale(points * plane + MAX_ROWS), plane, ld }
    }
}

/// The tiles of a convolution's output.
#[derive(Clone, Copy)]
pub(super) struct OutputTiles {
    /// Outputs on an axis of a tile, and points.
    pub m: usize,
    pub points: usize,
    /// Of an image.
    pub rows: usize,
    pub columns: usize,
    /// Of all images.
    pub total: usize,
}

impl OutputTiles {
    pub fn new(spec: &ConvSpec, m: usize) -> Self {
        let [oh, ow] = spec.out_hw();
        let (rows, columns) = (oh.div_ceil(m), ow.div_ceil(m));
        OutputTiles { m, points: points(m, spec.kernel[0]), rows, columns, total: spec.n * rows * columns }
    }

    /// A tile's image and first output.
    #[inline(always)]
    pub fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let (n, at) = (tile / (self.rows * self.columns), tile % (self.rows * self.columns));
        (n, at / self.columns * self.m, at % self.columns * self.m)
    }

    /// The tiles of a block, `most` at most, for `channels` channels at each point.
    pub fn block(&self, most: usize, channels: usize) -> usize {
        let points = self.points * self.points;
        let most = (BLOCK_LEN / (points * channels)).clamp(LEAST_BLOCK, most);
        self.total.div_ceil(self.total.div_ceil(most)).next_multiple_of(MAX_ROWS)
    }
}

/// Maps the patches of consecutive tiles to points.
pub(super) struct Points<'a, E> {
    pub images: Images<'a, E>,
    pub tiles: OutputTiles,
    /// A patch begins so many pixels before the tile's first output.
    pub padding: [usize; 2],
    pub channels: Range<usize>,
    pub zeros: &'a [E],
}

impl<E: Element> Points<'_, E> {
    /// The addresses of a tile's pixels.
    #[inline(always)]
    pub fn patch(&self, tile: usize, extent: usize) -> Tile<*const E> {
        let (n, y, x) = self.tiles.origin(tile);
        let [top, left] = self.padding;
        let (y, x) = (y as isize - top as isize, x as isize - left as isize);
        self.images.patch(n, y, x, extent, self.zeros)
    }

    /// Maps tiles, one at least. Meanwhile the pixels of the next tile are fetched, but for those that it
    /// shares with this one, its neighbour on the left.
    #[inline(always)]
    pub fn map<L: AxisMap, S: Simd<E>, const M: usize, const R: usize>(
        &self,
        s: S,
        tiles: Range<usize>,
        to: &mut Planes<E>,
    ) {
        assert!(tiles.len() * to.ld <= to.plane && self.channels.len() <= to.ld);
        let extent = L::extents(M, R).0;
        let Range { start: first, end: beyond } = tiles;
        let mut coming = self.patch(first, extent);
        for tile in first..beyond {
            let (row, mut patch) = (tile - first, coming);
            coming = self.patch((tile + 1).min(beyond - 1), extent);
            // Where the last channels do not fill a vector they are mapped from a copy that does.
            let mut copies;
            let Range { start, end } = self.channels;
            for c in (start..end).step_by(S::LANES) {
                if end - c < S::LANES {
                    copies = [[[E::ZERO; 16]; POINTS]; POINTS];
                    for (i, j) in (0..extent * extent).map(|k| (k / extent, k % extent)) {
                        // SAFETY: each address is that of a pixel's channels or of `zeros`, which are as many
                        // at least (`Images::patch`); the range is one of these channels, and c < end.
                        let from = unsafe { std::slice::from_raw_parts(patch[i][j].add(c), end - c) };
                        copies[i][j][..end - c].copy_from_slice(from);
                        patch[i][j] = copies[i][j].as_ptr().wrapping_sub(c);
                    }
                }
                for line in &coming[..extent] {
                    line[extent - M..extent].iter().for_each(|p| prefetch(p.wrapping_add(c)));
                }
                // SAFETY: the patch's addresses have LANES numbers from c on: channels, or the copy of the
                // last ones. `ld` is a multiple of LANES, so that the row holds a whole vector from c - start
                // on, and by the assertion all rows lie in the plane of each point.
                unsafe {
                    let to_row = to.data.as_mut_ptr().add(row * to.ld + c - start);
                    vector_of_points::<L, S, E, M, R>(s, &patch, c, to_row, to.plane);
                }
            }
        }
    }
}

/// Maps LANES channels of a patch.
///
/// # Safety
/// The LANES elements from c on of each address of the patch, `extent` by `extent` of them, are
/// readable. Those at `to + k·plane` are writable for each point k, and nobody else's.
#[inline(always)]
pub(super) unsafe fn vector_of_points<L: AxisMap, S: Simd<E>, E: Element, const M: usize, const R: usize>(
    s: S,
    patch: &Tile<*const E>,
    c: usize,
    to: *mut E,
    plane: usize,
) {
    let (extent, points) = L::extents(M, R);
    let mut x = [[s.zero(); POINTS]; POINTS];
    for i in 0..extent {
        for j in 0..extent {
            // SAFETY: i, j < extent: the address has LANES elements from c on.
            x[i][j] = unsafe { s.load(patch[i][j].wrapping_add(c)) };
        }
    }
    both_axes::<L, S, E, M, R>(s, &mut x);
    for (i, row) in x.iter().enumerate().take(points) {
        for (j, &v) in row.iter().enumerate().take(points) {
            // SAFETY: i, j < points: number i·points + j is that of a point.
            unsafe { s.store(to.add((i * points + j) * plane), v) };
        }
    }
}
