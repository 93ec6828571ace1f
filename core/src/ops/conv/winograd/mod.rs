//! Winograd's convolution: R x R taps, stride 1, in tiles of M x M outputs: M = 4 or 2 of R = 3, M = 2 of R =
//! 5.
//!
//! Let N = M + R − 1. The N x N input pixels of a tile, and the taps, are mapped to N² points each, at which
//! the convolution is a product of numbers. For each pair of channels that is N² products in place of the
//! definition's R² M²: 1/4 of them for M = 4, 1/2.25 for M = 2, 1/2.8 for R = 5. With V = Bᵀ d B for each
//! tile d and input channel and U = G g Gᵀ for the taps g of each pair of channels:
//!
//! ```text
//! forward              y  = Aᵀ (Σ_c V_tc ⊙ U_co) A: at each point a product [tiles, in] by [in, out]
//! gradient of input    the same, of dy: taps turned around, channels exchanged, padding R − 1 − p
//! gradient of weights  dw = Gᵀ (Σ_t V_tc ⊙ (A dy Aᵀ)_to) G: at each point [in, tiles] by [tiles, out]
//! ```
//!
//! The points of an image are larger than any cache. So the tiles are computed in blocks, and a block stays
//! in the second cache from the map of its input through N² products to its result. A piece of work is a
//! block by a range of channels. The partial sums of the weights' gradient are cut by the shape alone.
//!
//! The entries of the maps make the error larger than that of a direct sum. With κ = max_i Σ_k |Aᵀ_ik| ‖G_k‖₁
//! ‖Bᵀ_k‖₁ a result is within κ² (c + 24) u c max|x| max|w| of the true one ([`error`], tests). Measured for
//! 64 channels of uniform numbers, the root mean square error is 0.6 of a direct sum's for M = 2, and 1.8 for
//! M = 4, where the usual points 0, ±1, ±2 give 4.2.

// An index of a point or tap names the same place in two arrays, and a loop over it says so.
#![allow(clippy::needless_range_loop)]

pub mod error;
mod gradient;
mod transform;
mod weights;

pub(super) use gradient::backward_weight;

use super::product::{MAX_ROWS, RowStarts, SmallProduct, tile_rows, tile_vectors};
use super::spec::ConvSpec;
use crate::buffer::Buffer;
use crate::cut::is_even;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd, prefetch};
use crate::{element::Element, epilogue::Epilogue};
use std::ops::{Range, RangeInclusive};
use transform::{
    AxisMap, InputMap, OutputGradientMap, OutputMap, POINTS, Tile, WeightGradientMap, WeightMap, both_axes,
    points,
};
use weights::{MappedWeights, adjoint};

/// Whether tiles of m x m outputs serve this convolution.
pub(super) fn applies(m: usize, spec: &ConvSpec) -> bool {
    let ConvSpec { kernel: [r, across], stride, padding, dilation, groups, .. } = *spec;
    matches!((m, r), (4 | 2, 3) | (2, 5))
        && (across, stride, dilation, groups) == (r, [1; 2], [1; 2], 1)
        && padding.iter().all(|&p| p < r)
}

/// How many tiles of m x m outputs all images have, and points each of them: their product is the number of
/// products for each pair of channels.
pub(super) fn products(m: usize, spec: &ConvSpec) -> (usize, usize) {
    let tiles = OutputTiles::new(spec, m);
    (tiles.total, tiles.points * tiles.points)
}

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
use tiled;

/// y = act(scale · (x ∗ w) + bias + residual), in tiles of m x m outputs.
pub(super) fn forward<E: Element>(
    m: usize,
    spec: &ConvSpec,
    x: &[E],
    w: &[E],
    epilogue: &Epilogue<'_, E>,
    y: &mut [E],
) {
    tiled!(forward_in_tiles(m, spec, x, w, epilogue, y));
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x, in tiles of m x m.
pub(super) fn backward_data<E: Element>(m: usize, spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    let (back, turned) = adjoint(spec, w);
    forward(m, &back, dy, &turned, &Epilogue::default(), dx);
}

/// A block's tiles, at most: enough that U, read once a block, costs little, and few enough for the second
/// cache. Measured from 24 to 256 on CIFAR's AlexNet and ResNet-50: 48 was best or equal everywhere.
const BLOCK: usize = 48;
/// A block's tiles, at least, about. Measured as blocks of all convolutions, 24 tiles cost 1 to 4 % on large
/// maps, and help small ones, of which few blocks come, to keep the threads busy.
const LEAST_BLOCK: usize = 24;
/// Elements of a block's points on one side, at most, if that leaves so many tiles: they bound a thread's
/// memory where channels are thousands. Not measured.
const BLOCK_LEN: usize = 4 * 1024 * 1024;
/// Pieces of work, at least, where there are fewer threads. Measured on two threads: with 16 pieces
/// r50_l3_3x3 mapped its input four times and took 3.60 ms, with four 2.95.
const PIECES: usize = 4;

/// Lanes and registers of the instruction set in use.
struct Registers;

impl<E: Element> Kernel<E> for Registers {
    type Output = (usize, usize);
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) -> (usize, usize) {
        (S::LANES, S::REGISTERS)
    }
}

/// NHWC images, read in patches.
#[derive(Clone, Copy)]
struct Images<'a, E> {
    data: &'a [E],
    h: usize,
    w: usize,
    c: usize,
}

impl<E: Element> Images<'_, E> {
    /// The addresses of `extent` by `extent` pixels from (y, x) on; outside of the image that of `zeros`.
    #[inline(always)]
    fn patch(&self, n: usize, y: isize, x: isize, extent: usize, zeros: &[E]) -> Tile<*const E> {
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
struct Planes<E: Element> {
    data: Buffer<E>,
    plane: usize,
    ld: usize,
}

impl<E: Element> Planes<E> {
    /// Room for whole vectors and register tiles. Planes begin a vector further on than their size says,
    /// because the points of a tile and channel would else all lie in one set of the cache.
    fn new(points: usize, rows: usize, columns: usize, lanes: usize) -> Self {
        let ld = columns.next_multiple_of(lanes);
        let plane = (rows.next_multiple_of(MAX_ROWS) + MAX_ROWS) * ld + lanes;
        Planes { data: Buffer::stale(points * plane + MAX_ROWS), plane, ld }
    }
}

/// The tiles of a convolution's output.
#[derive(Clone, Copy)]
struct OutputTiles {
    /// Outputs on an axis of a tile, and points.
    m: usize,
    points: usize,
    /// Of an image.
    rows: usize,
    columns: usize,
    /// Of all images.
    total: usize,
}

impl OutputTiles {
    fn new(spec: &ConvSpec, m: usize) -> Self {
        let [oh, ow] = spec.out_hw();
        let (rows, columns) = (oh.div_ceil(m), ow.div_ceil(m));
        OutputTiles { m, points: points(m, spec.kernel[0]), rows, columns, total: spec.n * rows * columns }
    }

    /// A tile's image and first output.
    #[inline(always)]
    fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let (n, at) = (tile / (self.rows * self.columns), tile % (self.rows * self.columns));
        (n, at / self.columns * self.m, at % self.columns * self.m)
    }

    /// The tiles of a block, `most` at most, for `channels` channels at each point.
    fn block(&self, most: usize, channels: usize) -> usize {
        let points = self.points * self.points;
        let most = (BLOCK_LEN / (points * channels)).clamp(LEAST_BLOCK, most);
        self.total.div_ceil(self.total.div_ceil(most)).next_multiple_of(MAX_ROWS)
    }
}

/// Maps the patches of consecutive tiles to points.
struct Points<'a, E> {
    images: Images<'a, E>,
    tiles: OutputTiles,
    /// A patch begins so many pixels before the tile's first output.
    padding: [usize; 2],
    channels: Range<usize>,
    zeros: &'a [E],
}

impl<E: Element> Points<'_, E> {
    /// The addresses of a tile's pixels.
    #[inline(always)]
    fn patch(&self, tile: usize, extent: usize) -> Tile<*const E> {
        let (n, y, x) = self.tiles.origin(tile);
        let [top, left] = self.padding;
        let (y, x) = (y as isize - top as isize, x as isize - left as isize);
        self.images.patch(n, y, x, extent, self.zeros)
    }

    /// Maps tiles, one at least. Meanwhile the pixels of the next tile are fetched, but for those that it
    /// shares with this one, its neighbour on the left.
    #[inline(always)]
    fn map<L: AxisMap, S: Simd<E>, const M: usize, const R: usize>(
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
unsafe fn vector_of_points<L: AxisMap, S: Simd<E>, E: Element, const M: usize, const R: usize>(
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

/// How many blocks of tiles and ranges of panels there are: the fewest that come in whole rounds of the
/// threads, or else the fewest that leave the threads idle for little of the time.
fn even_cut(blocks: RangeInclusive<usize>, ranges: RangeInclusive<usize>) -> (usize, usize) {
    let fewest = (*blocks.start(), *ranges.start());
    let cuts = || blocks.clone().map(|b| (b, fewest.1)).chain(ranges.clone().map(|r| (fewest.0, r)));
    let whole = cuts().find(|(b, r)| (b * r).is_multiple_of(parallel::threads()));
    whole.or_else(|| cuts().find(|(b, r)| is_even(b * r, parallel::threads()))).unwrap_or(fewest)
}

/// The forward pass in tiles of M x M.
fn forward_in_tiles<E: Element, const M: usize, const R: usize>(
    spec: &ConvSpec,
    x: &[E],
    w: &[E],
    epilogue: &Epilogue<'_, E>,
    y: &mut [E],
) {
    let u = MappedWeights::new::<M, R>(w, spec.c_in, spec.c_out);
    let tiles = OutputTiles::new(spec, M);
    let block = tiles.block(BLOCK, spec.c_in.max(spec.c_out));
    let blocks = tiles.total.div_ceil(block);
    // Where there are few tiles the output channels are cut as well, into ranges that are worth mapping the
    // input again.
    let fewest = 64usize.div_ceil(u.width);
    let pieces = parallel::threads().max(PIECES);
    let range = u.panels.div_ceil(pieces.div_ceil(blocks)).max(fewest).min(u.panels);
    let most = tiles.total.div_ceil(LEAST_BLOCK.min(block));
    let (blocks, ranges) = even_cut(blocks..=most, u.panels.div_ceil(range)..=u.panels.div_ceil(fewest));
    // Blocks differ by the rows of a register tile at most, ranges by a panel.
    let rows = tile_rows(E::dispatch(Registers).1, u.panel_vectors);
    let tile = |block: usize| tiles.total.min(block * tiles.total.div_ceil(rows) / blocks * rows);
    let panel = |range: usize| range * u.panels / ranges;
    let zeros = Buffer::zeros(spec.c_in);
    let y = Shared::new(y);
    parallel::for_each(blocks * ranges, |i| {
        let (block, range) = (i / ranges, i % ranges);
        E::dispatch(TileBlock::<E, M, R> {
            spec,
            points: Points {
                images: Images { data: x, h: spec.h, w: spec.w, c: spec.c_in },
                tiles,
                padding: spec.padding,
                channels: 0..spec.c_in,
                zeros: &zeros,
            },
            tiles: tile(block)..tile(block + 1),
            u: &u,
            panels: panel(range)..panel(range + 1),
            epilogue,
            y,
        });
    });
}

/// A block of tiles by a range of panels of output channels.
struct TileBlock<'a, E: Element, const M: usize, const R: usize> {
    spec: &'a ConvSpec,
    points: Points<'a, E>,
    tiles: Range<usize>,
    u: &'a MappedWeights<E>,
    panels: Range<usize>,
    epilogue: &'a Epilogue<'a, E>,
    y: Shared<'a, E>,
}

impl<E: Element, const M: usize, const R: usize> Kernel<E> for TileBlock<'_, E, M, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let (spec, u, rows) = (self.spec, self.u, self.tiles.len());
        let points = points(M, R) * points(M, R);
        let first = self.panels.start * u.width;
        let columns = (self.panels.end * u.width).min(spec.c_out) - first;
        let mut v = Planes::<E>::new(points, rows, spec.c_in, S::LANES);
        let mut m = Planes::<E>::new(points, rows, columns, S::LANES);
        self.points.map::<InputMap, S, M, R>(s, self.tiles.clone(), &mut v);
        let at_point =
            |k| u.data.as_ptr().wrapping_add(k * u.plane + self.panels.start * spec.c_in * u.width);
        for k in 0..points {
            // SAFETY: `Planes::new` made room for rows + MAX_ROWS rows of whole vectors in each plane of v
            // and m, which are this thread's; plane k of U has c_in rows of `width` numbers for each panel.
            unsafe {
                let product = SmallProduct {
                    a: v.data.as_ptr().add(k * v.plane),
                    a_rows: RowStarts::Every(v.ld),
                    step: 1,
                    b: at_point(k),
                    panel: spec.c_in * u.width,
                    ld: u.width,
                    c: m.data.as_mut_ptr().add(k * m.plane),
                    c_row: m.ld,
                    rows,
                    depth: spec.c_in,
                    next: at_point(k + 1),
                    panel_vectors: u.panel_vectors,
                    vectors: columns.div_ceil(S::LANES),
                    add: false,
                };
                product.run(s);
            }
        }
        let mut coming = self.outputs(self.tiles.start);
        for (row, tile) in self.tiles.clone().enumerate() {
            let outputs = coming;
            coming = self.outputs((tile + 1).min(self.tiles.end - 1));
            for c in (0..columns).step_by(S::LANES) {
                self.fetch(&coming, first + c);
                self.store::<S>(s, &m, row, &outputs, c, first + c);
            }
        }
    }
}

impl<E: Element, const M: usize, const R: usize> TileBlock<'_, E, M, R> {
    /// The outputs of a tile.
    #[inline(always)]
    fn outputs(&self, tile: usize) -> Outputs {
        let ([oh, ow], c) = (self.spec.out_hw(), self.spec.c_out);
        let (n, y, x) = self.points.tiles.origin(tile);
        let (first, extent) = (((n * oh + y) * ow + x) * c, [M.min(oh - y), M.min(ow - x)]);
        Outputs { first, extent, steps: [ow * c, c] }
    }

    /// Fetches the lines in which a vector of channels will be written, or be added to a residual.
    #[inline(always)]
    fn fetch(&self, outputs: &Outputs, channel: usize) {
        for (_, _, at) in outputs.each() {
            prefetch(self.y.as_mut_ptr().wrapping_add(at + channel));
            if let Some(residual) = self.epilogue.residual {
                prefetch(residual.as_ptr().wrapping_add(at + channel));
            }
        }
    }

    /// Maps a tile's vector of channels back to pixels and writes those inside.
    #[inline(always)]
    fn store<S: Simd<E>>(
        &self,
        s: S,
        m: &Planes<E>,
        row: usize,
        outputs: &Outputs,
        c: usize,
        channel: usize,
    ) {
        let mut x = [[s.zero(); POINTS]; POINTS];
        let points = points(M, R);
        for i in 0..points {
            for j in 0..points {
                // SAFETY: `row` is that of a tile of the block and c < columns, so that the vector from c on
                // lies in the row, whose length is a multiple of LANES.
                x[i][j] = unsafe { s.load(m.data.as_ptr().add((i * points + j) * m.plane + row * m.ld + c)) };
            }
        }
        both_axes::<OutputMap, S, E, M, R>(s, &mut x);
        let len = S::LANES.min(self.spec.c_out - channel);
        for (i, j, at) in outputs.each() {
            let at = at + channel;
            debug_assert!(at + len <= self.y.len());
            // SAFETY: `Outputs` are those of this tile that lie in the image, each of c_out channels, of
            // which this block, and no other, has channel .. channel + len.
            unsafe { self.epilogue.store(s, x[i][j], channel, at, len, self.y.as_mut_ptr()) };
        }
    }
}

/// A tile's outputs inside of the image: (i, j) at `first + i·steps[0] + j·steps[1]`.
#[derive(Clone, Copy)]
struct Outputs {
    first: usize,
    extent: [usize; 2],
    steps: [usize; 2],
}

impl Outputs {
    /// Row, column and place of each.
    #[inline(always)]
    fn each(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let Outputs { first, extent: [rows, columns], steps } = self;
        (0..rows).flat_map(move |i| (0..columns).map(move |j| (i, j, first + i * steps[0] + j * steps[1])))
    }
}
