//! The taps mapped to points: U = G g Gᵀ for each pair of channels.
//!
//! U is larger than the taps by N² / R², and is read once for each block of tiles. So it is written in
//! panels, in the order in which the products read it, by pieces of work that each fill rows of one panel at
//! all points.

use super::tiles::Registers;
use super::transform::{POINTS, WeightMap, both_axes, points};
use crate::ops::conv::product::tile_vectors;
use crate::ops::conv::spec::ConvSpec;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd};
use crate::{buffer::Buffer, element::Element};
use std::ops::Range;

/// U of all points: row `in` of the p-th panel of point k is at `k·plane + (p·c_in + in)·width`.
pub(super) struct MappedWeights<E: Element> {
    pub data: Buffer<E>,
    pub plane: usize,
    /// Vectors of a panel, and columns.
    pub panel_vectors: usize,
    pub width: usize,
    pub panels: usize,
}

impl<E: Element> MappedWeights<E> {
    /// From taps [R, R, c_in, c_out].
    pub fn new<const M: usize, const R: usize>(w: &[E], c_in: usize, c_out: usize) -> Self {
        let (lanes, registers) = E::dispatch(Registers);
        let panel_vectors = tile_vectors(registers, lanes, c_out);
        let width = panel_vectors * lanes;
        let panels = c_out.div_ceil(width);
        // Planes begin a cache line further on than a power of two, because the points of a pair of channels
        // would else meet in one set of each cache. Measured: 10 to 13 % faster where the processors are far
        // apart, else the same.
        let plane = panels * c_in * width + 64 / size_of::<E>();
        let points = points(M, R) * points(M, R);
        let mut data = Buffer::stale(points * plane);
        let u = Shared::new(&mut data);
        let strip = (4 * parallel::GRAIN / (points * width)).max(1);
        let strips = c_in.div_ceil(strip);
        parallel::for_each(panels * strips, |i| {
            let (panel, from) = (i / strips, i % strips * strip);
            let rows = from..c_in.min(from + strip);
            E::dispatch(MapWeights::<E, M, R> {
                w,
                c_in,
                c_out,
                rows,
                columns: panel * width..c_out.min((panel + 1) * width),
                width,
                plane,
                u,
            });
        });
        MappedWeights { data, plane, panel_vectors, width, panels }
    }
}

/// Maps the taps of some input channels and a panel's output channels.
struct MapWeights<'a, E, const M: usize, const R: usize> {
    w: &'a [E],
    c_in: usize,
    c_out: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    width: usize,
    plane: usize,
    u: Shared<'a, E>,
}

impl<E: Element, const M: usize, const R: usize> Kernel<E> for MapWeights<'_, E, M, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let (points, tap) = (points(M, R), self.c_in * self.c_out);
        let panel = self.columns.start * self.c_in;
        for row in self.rows {
            for o in self.columns.clone().step_by(S::LANES) {
                let mut g = [[s.zero(); POINTS]; POINTS];
                for i in 0..R {
                    for j in 0..R {
                        let at = (i * R + j) * tap + row * self.c_out + o;
                        g[i][j] = s.read_tail(&self.w[at..][..S::LANES.min(self.c_out - o)]);
                    }
                }
                both_axes::<WeightMap, S, E, M, R>(s, &mut g);
                let at = panel + row * self.width + o - self.columns.start;
                for i in 0..points {
                    for j in 0..points {
                        let at = (i * points + j) * self.plane + at;
                        // SAFETY: these input channels' rows of this panel are this piece's alone.
                        s.write(unsafe { self.u.slice(at..at + S::LANES) }, g[i][j]);
                    }
                }
            }
        }
    }
}

/// The convolution whose forward pass is this one's gradient of the input, and its taps: turned around,
/// channels exchanged.
pub(super) fn adjoint<E: Element>(spec: &ConvSpec, w: &[E]) -> (ConvSpec, Buffer<E>) {
    let ConvSpec { c_in, c_out, .. } = *spec;
    let [h, width] = spec.out_hw();
    let taps = spec.kernel[0] * spec.kernel[1];
    let padding = spec.padding.map(|p| spec.kernel[0] - 1 - p);
    let back = ConvSpec { h, w: width, c_in: c_out, c_out: c_in, padding, ..*spec };
    let mut turned = Buffer::stale(w.len());
    // Strips of output channels, a line of f32 wide, so that reads and writes both stay in few lines. Other
    // widths were not measured.
    const STRIP: usize = 16;
    let tap = c_in * c_out;
    for (t, to) in turned.chunks_exact_mut(tap.max(1)).enumerate() {
        let from = &w[(taps - 1 - t) * tap..][..tap];
        parallel::chunks(to, STRIP * c_in, |strip, to| {
            for (i, row) in from.chunks_exact(c_out).enumerate() {
                for (o, &v) in row[strip * STRIP..].iter().take(STRIP).enumerate() {
                    to[o * c_in + i] = v;
                }
            }
        });
    }
    (back, turned)
}
