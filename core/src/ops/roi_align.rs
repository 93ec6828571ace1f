//! RoIAlign: a region of a feature map, resampled to a fixed number of bins (He et al., *Mask R-CNN*, 2017,
//! section 3; `torchvision.ops.roi_align`).
//!
//! A region is divided into bins, a bin's value is the mean of s_y · s_x samples on a regular grid in it, and
//! a sample is interpolated bilinearly. Interpolation and the mean are both separable, so that a bin is
//!
//!   y(p, q, c) = Σ_i Σ_j u_p(i) v_q(j) x(i, j, c),
//!
//! with short lists of row weights u_p and column weights v_q, computed once for a region and used for all
//! channels; samples that share a row or a column share its weight. Samples outside of the map (by more than
//! a pixel) count 0, so that a large region needs no more of them than the map is large: the first and the
//! last inside are found by halving, since places grow with their numbers. A region that is not finite reads
//! nothing and is 0, and so is one of which a bin would have 2²⁴ samples or more: in f32 they cannot be told
//! apart, and those inside weigh next to nothing. (torchvision has 0 for such without `sampling`, and reads
//! outside of its memory with it.) Backward adds u_p(i) v_q(j) dy(p, q, c) to dx(i, j, c). Forward is spread
//! over regions; backward, where regions overlap, over bands of the maps' rows, which stay in the second
//! cache meanwhile, about: the order of a pixel's additions is that of the regions, however the bands are
//! cut.

use super::taps::Taps;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd};
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, tensor::Tensor};
use std::ops::Range;

/// Elements of a map, about, that one task of backward takes: 1 MiB of f32, about what the second cache holds
/// while the regions pass. Measured: bands took RoIAlign's gradient from 44 to 16 ms of Mask R-CNN's step;
/// other sizes of them were not measured.
const BAND: usize = 256 * 1024;

const OP: &str = "roi_align";

/// A bin has fewer samples than this along an axis.
const SAMPLES: usize = 1 << 24;

/// How regions are resampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoiAlign {
    /// Bins [down, across].
    pub output: [usize; 2],
    /// Samples of a bin along each axis, less than 2²⁴; 0: as many as the bin has pixels, rounded up.
    pub sampling: usize,
    /// Whether pixel centres lie at half-integers (and regions may be smaller than a pixel).
    pub aligned: bool,
}

/// A region: a box of an image, and the feature map it is read from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roi<E> {
    /// Which feature map.
    pub level: usize,
    /// Which image of the batch.
    pub image: usize,
    /// x1, y1, x2, y2 in the image's coordinates.
    pub bounds: [E; 4],
}

/// The weights of one axis: for each bin the positions that it reads. `start` and `size` of the region and
/// the `extent` of the map are in the map's pixels.
fn bin_taps<E: Element>(start: E, size: E, extent: usize, bins: usize, sampling: usize) -> Taps<E> {
    let bin = size / E::from_usize(bins);
    let samples = if sampling > 0 { sampling } else { bin.to_f64().ceil().max(0.0) as usize };
    let readable = (start + size).is_finite() && samples < SAMPLES && extent > 0;
    let samples = if readable { samples } else { 0 };
    let share = E::ONE / E::from_usize(samples.max(1));
    let (mut taps, mut of_bin) = (Taps::none(extent), Vec::<(usize, E)>::new());
    for b in 0..bins {
        let place = |s: usize| {
            let step = (E::from_usize(s) + E::from_f64(0.5)) * bin / E::from_usize(samples);
            start + E::from_usize(b) * bin + step
        };
        let (low, high) = (-E::ONE, E::from_usize(extent));
        // Of a region with its ends exchanged places fall.
        let inside = if bin > E::ZERO {
            first_of(samples, |s| place(s) >= low)..first_of(samples, |s| place(s) > high)
        } else {
            0..samples
        };
        for at in inside.map(place).filter(|&at| at >= low && at <= high) {
            let at = at.max(E::ZERO);
            let low = (at.to_f64() as usize).min(extent - 1);
            let high = (low + 1).min(extent - 1);
            let part = if high == low { E::ZERO } else { at - E::from_usize(low) };
            for (position, weight) in [(low, (E::ONE - part) * share), (high, part * share)] {
                match of_bin.iter_mut().find(|t| t.0 == position) {
                    Some(tap) => tap.1 += weight,
                    None => of_bin.push((position, weight)),
                }
            }
        }
        taps.push(of_bin.drain(..));
    }
    taps
}

/// The first of 0..n from which on `holds` is true, n if there is none.
fn first_of(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, n);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) { to = middle } else { from = middle + 1 }
    }
    from
}

/// A region's place: its map, and the weights of both axes.
struct RoiWeights<E> {
    level: usize,
    image: usize,
    rows: Taps<E>,
    columns: Taps<E>,
}

impl<E: Element> RoiWeights<E> {
    fn new(roi: &Roi<E>, align: &RoiAlign, scale: E, [h, w]: [usize; 2]) -> Self {
        let offset = if align.aligned { E::from_f64(0.5) } else { E::ZERO };
        let at = roi.bounds.map(|v| v * scale - offset);
        let side = |size: E| if !align.aligned && size < E::ONE { E::ONE } else { size };
        let [down, across] = align.output;
        RoiWeights {
            level: roi.level,
            image: roi.image,
            rows: bin_taps(at[1], side(at[3] - at[1]), h, down, align.sampling),
            columns: bin_taps(at[0], side(at[2] - at[0]), w, across, align.sampling),
        }
    }

    /// Calls `f(bin, cells)` for each bin, in order. Its cells are those in some rows of the map [_, w, c]:
    /// the pixel's first channel, counted from the rows' first one, and its weight.
    #[inline(always)]
    fn bins(&self, rows: Range<usize>, [w, c]: [usize; 2], mut f: impl FnMut(usize, &[(usize, E)])) {
        let (down, across) = (self.rows.outputs(), self.columns.outputs());
        let mut cells = Vec::new();
        for bin in 0..down * across {
            cells.clear();
            for &(i, u) in self.rows.row(bin / across).iter().filter(|(i, _)| rows.contains(i)) {
                let row = self.columns.row(bin % across).iter();
                cells.extend(row.map(|&(j, v)| (((i - rows.start) * w + j) * c, u * v)));
            }
            f(bin, &cells);
        }
    }
}

/// What is done to the channels of a bin, some vectors at a time.
trait BinPass<E: Element> {
    /// Channels `from .. from + n` in V vectors, the last of which need not be whole.
    fn vectors<S: Simd<E>, const V: usize>(&mut self, s: S, from: usize, n: usize);

    #[inline(always)]
    fn all<S: Simd<E>>(&mut self, s: S, channels: usize) {
        let mut from = 0;
        while from + 4 * S::LANES <= channels {
            self.vectors::<S, 4>(s, from, 4 * S::LANES);
            from += 4 * S::LANES;
        }
        while from < channels {
            let n = S::LANES.min(channels - from);
            self.vectors::<S, 1>(s, from, n);
            from += n;
        }
    }
}

/// A bin's value from its cells.
struct BinValue<'a, E> {
    x: &'a [E],
    cells: &'a [(usize, E)],
    y: &'a mut [E],
}

impl<E: Element> BinPass<E> for BinValue<'_, E> {
    #[inline(always)]
    fn vectors<S: Simd<E>, const V: usize>(&mut self, s: S, from: usize, n: usize) {
        let mut sums = [s.zero(); V];
        for &(at, weight) in self.cells {
            let (x, weight) = (&self.x[at + from..][..n], s.splat(weight));
            for (sum, x) in sums.iter_mut().zip(x.chunks(S::LANES)) {
                *sum = s.fma(s.read_tail(x), weight, *sum);
            }
        }
        for (y, sum) in self.y[from..][..n].chunks_mut(S::LANES).zip(sums) {
            s.write_tail(y, sum);
        }
    }
}

/// A bin's gradient, added to its cells.
struct BinGradient<'a, E> {
    dy: &'a [E],
    cells: &'a [(usize, E)],
    dx: &'a mut [E],
}

impl<E: Element> BinPass<E> for BinGradient<'_, E> {
    #[inline(always)]
    fn vectors<S: Simd<E>, const V: usize>(&mut self, s: S, from: usize, n: usize) {
        let mut dy = [s.zero(); V];
        for (v, dy_v) in dy.iter_mut().zip(self.dy[from..][..n].chunks(S::LANES)) {
            *v = s.read_tail(dy_v);
        }
        for &(at, weight) in self.cells {
            let (dx, weight) = (&mut self.dx[at + from..][..n], s.splat(weight));
            for (dx, dy) in dx.chunks_mut(S::LANES).zip(dy) {
                let sum = s.fma(dy, weight, s.read_tail(dx));
                s.write_tail(dx, sum);
            }
        }
    }
}

/// One region's bins from its map.
struct RoiForward<'a, E> {
    region: &'a RoiWeights<E>,
    /// The image's map, [h, w, c].
    x: &'a [E],
    map: [usize; 3],
    /// [down, across, c]
    y: &'a mut [E],
}

impl<E: Element> Kernel<E> for RoiForward<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let RoiForward { region, x, map: [h, w, c], y } = self;
        region.bins(0..h, [w, c], |bin, cells| BinValue { x, cells, y: &mut y[bin * c..][..c] }.all(s, c));
    }
}

/// The gradient of some rows of an image's map.
struct RoiBackward<'a, E> {
    /// All regions, and their gradients, `each` = down · across · c elements.
    regions: &'a [RoiWeights<E>],
    dy: &'a [E],
    each: usize,
    level: usize,
    image: usize,
    rows: Range<usize>,
    w: usize,
    c: usize,
    /// [rows, w, c]
    dx: &'a mut [E],
}

impl<E: Element> Kernel<E> for RoiBackward<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let RoiBackward { regions, dy, each, level, image, rows, w, c, dx } = self;
        dx.fill(E::ZERO);
        for (region, dy) in regions.iter().zip(dy.chunks_exact(each)) {
            let here = (region.level, region.image) == (level, image);
            if here && region.rows.read().any(|i| rows.contains(&i)) {
                region.bins(rows.clone(), [w, c], |bin, cells| {
                    if !cells.is_empty() {
                        BinGradient { dy: &dy[bin * c..][..c], cells, dx }.all(s, c);
                    }
                });
            }
        }
    }
}

impl<E: Element> Tape<E> {
    /// Regions of feature maps: maps [n, h, w, c] of equal n and c, each with its scale (map pixels an image
    /// pixel), and K regions give [K, down, across, c]; one that is not finite gives 0. Regions carry no
    /// gradient. Panics where a region names no map or image.
    #[track_caller]
    pub fn roi_align(&mut self, maps: &[Var<E>], scales: &[f64], rois: &[Roi<E>], align: RoiAlign) -> Var<E> {
        let _span = profile::span(OP, "forward");
        let shapes: Vec<[usize; 4]> = maps.iter().map(|m| m.value.dims(OP)).collect();
        check(&shapes, scales, rois, &align);
        let ([down, across], c) = (align.output, shapes[0][3]);
        let mut y = Tensor::result(OP, &[rois.len(), down, across, c]);
        let region = |r: &Roi<E>| {
            let [_, h, w, _] = shapes[r.level];
            RoiWeights::new(r, &align, E::from_f64(scales[r.level]), [h, w])
        };
        let regions: Vec<RoiWeights<E>> = rois.iter().map(region).collect();
        let each = down * across * c;
        if each > 0 {
            parallel::chunks(y.data_mut(), each, |k, y| {
                let region = &regions[k];
                let [_, h, w, _] = shapes[region.level];
                let x = &maps[region.level].value.data()[region.image * h * w * c..][..h * w * c];
                E::dispatch(RoiForward { region, x, map: [h, w, c], y });
            });
        }
        let parents: Vec<_> = maps.iter().map(|m| m.node).collect();
        if !self.records(&parents) {
            return y.into();
        }
        let to = parents.clone();
        self.record(OP, y, &parents, move |dy, slots| {
            for (level, &shape) in shapes.iter().enumerate() {
                slots.add(to[level], || map_gradient(&regions, dy.data(), each, level, shape));
            }
        })
    }
}

/// Panics where a region names no map or image, or the maps do not fit each other.
#[track_caller]
fn check<E>(shapes: &[[usize; 4]], scales: &[f64], rois: &[Roi<E>], align: &RoiAlign) {
    let maps = shapes.len();
    assert!(maps > 0 && maps == scales.len(), "{OP}: {maps} maps, {} scales", scales.len());
    let [n, _, _, c] = shapes[0];
    assert!(shapes.iter().all(|s| s[0] == n && s[3] == c), "{OP}: maps {shapes:?}");
    assert!(rois.iter().all(|r| r.level < maps && r.image < n), "{OP}: a region of no map or image");
    assert!(align.sampling < SAMPLES, "{OP}: {} samples of a bin", align.sampling);
}

/// The gradient of a map of this shape, from all regions' gradients of `each` elements.
fn map_gradient<E: Element>(
    regions: &[RoiWeights<E>],
    dy: &[E],
    each: usize,
    level: usize,
    [n, h, w, c]: [usize; 4],
) -> Tensor<E> {
    if dy.is_empty() || n * h * w * c == 0 {
        return Tensor::zeros([n, h, w, c]);
    }
    let mut dx = Tensor::stale([n, h, w, c]);
    let band = (BAND / (w * c)).min((n * h).div_ceil(2 * parallel::threads())).clamp(1, h);
    let (bands, shared) = (h.div_ceil(band), Shared::new(dx.data_mut()));
    parallel::for_each(n * bands, |i| {
        let (image, from) = (i / bands, i % bands * band);
        let rows = from..h.min(from + band);
        let row = |i: usize| (image * h + i) * w * c;
        // SAFETY: these rows of this image are in no other band.
        let dx = unsafe { shared.slice(row(rows.start)..row(rows.end)) };
        E::dispatch(RoiBackward { regions, dy, each, level, image, rows, w, c, dx });
    });
    dx
}

#[cfg(test)]
mod tests;
