//! The forward pass in tiles: y = Aᵀ [Σ_c U_co ⊙ (Bᵀ x_c B)] A, block after block of tiles.

use super::tiles::{Images, LEAST_BLOCK, OutputTiles, Planes, Points, Registers};
use super::transform::{InputMap, OutputMap, POINTS, both_axes, points};
use super::weights::MappedWeights;
use crate::cut::is_even;
use crate::ops::conv::product::{RowStarts, SmallProduct, tile_rows};
use crate::ops::conv::spec::ConvSpec;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd, prefetch};
use crate::{buffer::Buffer, element::Element, epilogue::Epilogue};
use std::ops::{Range, RangeInclusive};

/// A block's tiles, at most: enough that U, read once a block, costs little, and few enough for the second
/// cache. Measured from 24 to 256 on CIFAR's AlexNet and ResNet-50: 48 was best or equal everywhere.
const BLOCK: usize = 48;
/// Pieces of work, at least, where there are fewer threads. Measured on two threads: with 16 pieces
/// r50_l3_3x3 mapped its input four times and took 3.60 ms, with four 2.95.
const PIECES: usize = 4;

/// How many blocks of tiles and ranges of panels there are: the fewest that come in whole rounds of the
/// threads, or else the fewest that leave the threads idle for little of the time.
fn even_cut(blocks: RangeInclusive<usize>, ranges: RangeInclusive<usize>) -> (usize, usize) {
    let fewest = (*blocks.start(), *ranges.start());
    let cuts = || blocks.clone().map(|b| (b, fewest.1)).chain(ranges.clone().map(|r| (fewest.0, r)));
    let whole = cuts().find(|(b, r)| (b * r).is_multiple_of(parallel::threads()));
    whole.or_else(|| cuts().find(|(b, r)| is_even(b * r, parallel::threads()))).unwrap_or(fewest)
}

/// The forward pass in tiles of M x M.
pub(super) fn forward_in_tiles<E: Element, const M: usize, const R: usize>(
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
