//! The gradient of the weights: dw = Gᵀ (Σ_t V_tc ⊙ (A dy Aᵀ)_to) G.
//!
//! The sum goes over all tiles, and its N² planes have a number for each pair of channels. A piece of work is
//! a range of input channels by a range of output channels, whose sums are read and written once for each
//! block of tiles. Where this leaves few pieces the tiles are cut into parts as well; the parts' sums are
//! added in order, and then mapped back to taps.

use super::tiles::{Images, OutputTiles, Planes, Points, Registers, tiled};
use super::transform::{InputMap, OutputGradientMap, POINTS, WeightGradientMap, both_axes, points};
use crate::cut::is_even;
use crate::ops::conv::product::{RowStarts, SmallProduct, tile_vectors};
use crate::ops::conv::spec::ConvSpec;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd};
use crate::{buffer::Buffer, element::Element};
use std::ops::Range;

/// A block's tiles, at most, for r taps: the sums are read and written once a block, the points lie in the
/// second cache. Measured for three taps: 128 was best. For five, 48 to 96 were as good as each other (14.4
/// ms), and 128 took 16.8.
const fn most_tiles(r: usize) -> usize {
    if r == 3 { 128 } else { 64 }
}
/// Channels of one range of the weights' gradient: 36 planes of sums of 128 x 128 are 2.4 MB of f32, which a
/// piece of work reads and writes once a block. Not measured.
const RANGE: usize = 128;
/// Elements of all partial sums of the weights' gradient, at most, which is 32 MiB of f32, and parts. They
/// bound the memory and the additions at the end, and make the bits; speed was not measured over them.
const PARTIAL_LEN: usize = 8 * 1024 * 1024;
const PARTS: usize = 16;
/// Pieces of work, about, up to which the tiles are cut into more parts: four for each of 16 threads. Not
/// measured; it looks at no thread, because parts make the bits.
const PIECES: usize = 64;
/// How often ranges are halved for the sake of threads: more would map tiles again for too few products. Not
/// measured.
const HALVINGS: usize = 3;

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w, in tiles of m x m outputs.
pub(in crate::ops::conv) fn backward_weight<E: Element>(
    m: usize,
    spec: &ConvSpec,
    x: &[E],
    dy: &[E],
    dw: &mut [E],
) {
    tiled!(backward_weight_in_tiles(m, spec, x, dy, dw));
}

fn backward_weight_in_tiles<E: Element, const M: usize, const R: usize>(
    spec: &ConvSpec,
    x: &[E],
    dy: &[E],
    dw: &mut [E],
) {
    let (lanes, _) = E::dispatch(Registers);
    let tiles = OutputTiles::new(spec, M);
    let points = points(M, R) * points(M, R);
    let GradientCut { block, part, rows, columns } = GradientCut::new(spec, &tiles, most_tiles(R), lanes);
    let parts = tiles.total.div_ceil(part);
    let (down, across) = (spec.c_in.div_ceil(rows), spec.c_out.div_ceil(columns));
    let range = |i: usize, step: usize, end: usize| i * step..end.min((i + 1) * step);
    let zeros = Buffer::zeros(spec.c_in.max(spec.c_out));
    let [oh, ow] = spec.out_hw();
    let partial = parallel::map(parts * down * across, |i| {
        let (i, across_i) = (i / across, i % across);
        let (part_i, down_i) = (i / down, i % down);
        let (c_in, c_out) = (range(down_i, rows, spec.c_in), range(across_i, columns, spec.c_out));
        let mut sums = Planes::new(points, c_in.len(), c_out.len(), lanes);
        E::dispatch(PointSums::<E, M, R> {
            x: Points {
                images: Images { data: x, h: spec.h, w: spec.w, c: spec.c_in },
                tiles,
                padding: spec.padding,
                channels: c_in,
                zeros: &zeros,
            },
            dy: Points {
                images: Images { data: dy, h: oh, w: ow, c: spec.c_out },
                tiles,
                padding: [0; 2],
                channels: c_out,
                zeros: &zeros,
            },
            tiles: range(part_i, part, tiles.total),
            block,
            sums: &mut sums,
        });
        sums
    });
    let dw = Shared::new(dw);
    parallel::for_each(spec.c_in, |row| {
        for across_i in 0..across {
            let piece = |part| &partial[(part * down + row / rows) * across + across_i];
            let sums: Vec<&Planes<E>> = (0..parts).map(piece).collect();
            let columns = range(across_i, columns, spec.c_out);
            E::dispatch(TapGradients::<E, M, R> { spec, sums: &sums, row, first: row % rows, columns, dw });
        }
    });
}

/// How the work is cut: the tiles into parts, these into blocks, the channels into ranges.
struct GradientCut {
    /// Tiles of a block, and of a part, which is whole blocks.
    block: usize,
    part: usize,
    /// Input channels of a range, and output channels.
    rows: usize,
    columns: usize,
}

impl GradientCut {
    /// Blocks and parts make the bits, and depend on the shape alone; ranges do not, and may depend on the
    /// threads.
    fn new(spec: &ConvSpec, tiles: &OutputTiles, most: usize, lanes: usize) -> GradientCut {
        let even = |c: usize| c.div_ceil(c.div_ceil(RANGE)).next_multiple_of(lanes);
        let (rows, columns) = (even(spec.c_in), even(spec.c_out));
        let ranges = spec.c_in.div_ceil(rows) * spec.c_out.div_ceil(columns);
        let block = tiles.block(most, rows.max(columns));
        // Parts: enough pieces of work, each of a few blocks, within the room for partial sums.
        let sums = tiles.points * tiles.points * spec.c_in * spec.c_out;
        let parts = PARTS.min(PARTIAL_LEN / sums).min(PIECES.div_ceil(ranges)).min(tiles.total / block);
        let part = tiles.total.div_ceil(parts.max(1)).next_multiple_of(block);
        let (rows, columns) = even_ranges(spec, tiles.total.div_ceil(part), rows, columns, lanes);
        GradientCut { block, part, rows, columns }
    }
}

/// Ranges of input and output channels, smaller where pieces of the given ones would leave threads idle. The
/// sums over tiles, which make the bits, are cut before.
fn even_ranges(spec: &ConvSpec, parts: usize, rows: usize, columns: usize, lanes: usize) -> (usize, usize) {
    let half = |n: usize| (n / 2).next_multiple_of(lanes);
    let smaller = |&(r, c): &(usize, usize)| Some(if r >= c { (half(r), c) } else { (r, half(c)) });
    let even = |r, c| is_even(parts * spec.c_in.div_ceil(r) * spec.c_out.div_ceil(c), parallel::threads());
    let mut cuts = std::iter::successors(Some((rows, columns)), smaller).take(1 + HALVINGS);
    cuts.find(|&(r, c)| even(r, c)).unwrap_or((rows, columns))
}

/// Σ_tiles V ⊗ (A dy Aᵀ) for a range of channels of x and of dy.
struct PointSums<'a, E: Element, const M: usize, const R: usize> {
    x: Points<'a, E>,
    dy: Points<'a, E>,
    tiles: Range<usize>,
    block: usize,
    sums: &'a mut Planes<E>,
}

impl<E: Element, const M: usize, const R: usize> Kernel<E> for PointSums<'_, E, M, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let (rows, columns) = (self.x.channels.len(), self.dy.channels.len());
        let points = points(M, R) * points(M, R);
        let panel_vectors = tile_vectors(S::REGISTERS, S::LANES, columns);
        let mut v = Planes::<E>::new(points, self.block, rows, S::LANES);
        let mut z = Planes::<E>::new(points, self.block, columns, S::LANES);
        let Range { start, end } = self.tiles;
        for first in (start..end).step_by(self.block) {
            let tiles = first..end.min(first + self.block);
            self.x.map::<InputMap, S, M, R>(s, tiles.clone(), &mut v);
            self.dy.map::<OutputGradientMap, S, M, R>(s, tiles.clone(), &mut z);
            for k in 0..points {
                // SAFETY: A's rows are the channels of v, `rows` of them and up to MAX_ROWS − 1 beyond, which
                // lie in the next tile's row or behind the plane, where `Planes::new` left as many; its steps
                // are the tiles of the block. z and the sums have whole vectors in each row, and the sums,
                // this piece's own, MAX_ROWS rows more than channels.
                unsafe {
                    let product = SmallProduct {
                        a: v.data.as_ptr().add(k * v.plane),
                        a_rows: RowStarts::Every(1),
                        step: v.ld,
                        b: z.data.as_ptr().add(k * z.plane),
                        panel: panel_vectors * S::LANES,
                        ld: z.ld,
                        c: self.sums.data.as_mut_ptr().add(k * self.sums.plane),
                        c_row: self.sums.ld,
                        rows,
                        depth: tiles.len(),
                        next: z.data.as_ptr().wrapping_add((k + 1) * z.plane),
                        panel_vectors,
                        vectors: columns.div_ceil(S::LANES),
                        add: first > start,
                    };
                    product.run(s);
                }
            }
        }
    }
}

/// dw of one input channel: Gᵀ (Σ_parts sums) G.
struct TapGradients<'a, E: Element, const M: usize, const R: usize> {
    spec: &'a ConvSpec,
    sums: &'a [&'a Planes<E>],
    row: usize,
    /// The row's place in the sums.
    first: usize,
    columns: Range<usize>,
    dw: Shared<'a, E>,
}

impl<E: Element, const M: usize, const R: usize> Kernel<E> for TapGradients<'_, E, M, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let (points, ConvSpec { c_in, c_out, .. }) = (points(M, R), *self.spec);
        for o in self.columns.clone().step_by(S::LANES) {
            let mut g = [[s.zero(); POINTS]; POINTS];
            for sums in self.sums {
                let at = self.first * sums.ld + o - self.columns.start;
                for i in 0..points {
                    for j in 0..points {
                        g[i][j] = s.add(g[i][j], s.read(&sums.data[(i * points + j) * sums.plane + at..]));
                    }
                }
            }
            both_axes::<WeightGradientMap, S, E, M, R>(s, &mut g);
            for i in 0..R {
                for j in 0..R {
                    let at = ((i * R + j) * c_in + self.row) * c_out + o;
                    // SAFETY: channel `row` of the input and these columns of the output are this piece's
                    // alone.
                    s.write_tail(unsafe { self.dw.slice(at..at + S::LANES.min(c_out - o)) }, g[i][j]);
                }
            }
        }
    }
}
