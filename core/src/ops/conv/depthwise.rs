//! Depthwise convolution: each channel by itself, groups = c_in.
//!
//! There are few multiply-adds for each number that is read, so that memory bounds it, and every pass reads
//! each operand once.
//!
//! On one axis, forward reads input i·stride + t·dilation − padding for output i and tap t. The gradient of
//! the input at position j = i·stride + r reads output i + (r + padding − t·dilation) / stride, for the taps
//! t where that is whole. Both are the same gather, out\[i·a + r\] = Σ_t in\[i·b + offset_t\] · w\[t\], one
//! for each residue r < a: forward has a = 1 and b = stride, the gradient a = stride and b = 1. A line of it
//! is computed in blocks of pixels and, within them, vectors of channels, so that memory is read in order and
//! a weight is loaded once a block. The gradient of the weights is the same walk, with a sum for each tap in
//! registers.
//!
//! Where there are m = c_out / c_in > 1 outputs for each channel, the input's channels are repeated m times,
//! which leaves the case m = 1.

mod axis;

use super::spec::ConvSpec;
use crate::buffer::{Buffer, add_to};
use crate::parallel;
use crate::simd::{Kernel, Simd, prefetch};
use crate::{element::Element, epilogue::Epilogue};
use axis::{Axis, LineTap, Stretch, line_taps};
use std::ops::Range;

/// Pixels whose sums are in registers together: AVX2 has 16, of which the sums leave some for a weight and a
/// pixel. Other numbers were not measured.
const BLOCK: usize = 8;
/// Positions of a line that are done for one residue before the next has its turn. Measured for a gradient of
/// stride 2: 7.7 ms without turns, 7.2 with these.
const TURN: usize = 4 * BLOCK;
/// Pixels of the input over which the weights' sums stay in registers. With the next ones, which are fetched
/// meanwhile, of a hundred channels, they must not be more than the first cache holds. Measured with stride 2
/// on one thread: 3.8 ms, and 5.2 with blocks of twice as many pixels of the input.
const SUM_BLOCK: usize = 16;
/// Elements of a result that the caches do not hold until it is read: 8 MiB of f32. Measured on a result of
/// 21 MB: written past the caches, with the next block fetched, 2.3 to 2.9 ms, and 3.1 to 4.3 written through
/// them. From which size on that pays depends on the machine's last cache, and was not measured.
const FAR: usize = 2 * 1024 * 1024;
/// Elements of one piece of work: some of them for each thread of a layer of a usual size. Not measured.
const PIECE: usize = 64 * 1024;

/// Whether it serves this convolution.
pub(super) fn applies(spec: &ConvSpec) -> bool {
    spec.groups == spec.c_in && spec.c_in > 0
}

/// Both axes of a gather: the vertical one for each residue, the horizontal one with its stretches besides.
struct GatherAxes<'a> {
    spec: &'a ConvSpec,
    rows: Vec<Axis>,
    columns: Vec<(Axis, Vec<Stretch>)>,
    /// Height and width of an image that is read, and of one that is written.
    input: [usize; 2],
    output: [usize; 2],
}

impl<'a> GatherAxes<'a> {
    fn forward(spec: &'a ConvSpec) -> Self {
        let columns = Axis::forward(spec, 1);
        let stretches = columns.stretches();
        let (rows, columns) = (vec![Axis::forward(spec, 0)], vec![(columns, stretches)]);
        GatherAxes { spec, rows, columns, input: [spec.h, spec.w], output: spec.out_hw() }
    }

    fn backward(spec: &'a ConvSpec) -> Self {
        let with_stretches = |a: Axis| {
            let stretches = a.stretches();
            (a, stretches)
        };
        let rows = Axis::backward(spec, 0);
        let columns = Axis::backward(spec, 1).into_iter().map(with_stretches).collect();
        GatherAxes { spec, rows, columns, input: spec.out_hw(), output: [spec.h, spec.w] }
    }

    /// Computes every line. A piece of work is whole lines.
    fn run<E: Element>(&self, input: &[E], weights: &[E], epilogue: &Epilogue<'_, E>, out: &mut [E]) {
        let line = self.output[1] * self.spec.c_in;
        let (lines, far) = (PIECE.div_ceil(line.max(1)), out.len() >= FAR);
        parallel::chunks(out, lines * line, |i, out| {
            let epilogue = epilogue.of_rows(i * lines * line, out.len());
            E::dispatch(GatherLines { axes: self, first: i * lines, input, weights, out, far, epilogue });
        });
    }
}

/// Consecutive lines of the output: out[(i·step + residue)·c ..] = epilogue(Σ_taps in[(at + i·stride)·c ..] ·
/// w[tap·c ..]).
struct GatherLines<'a, E> {
    axes: &'a GatherAxes<'a>,
    first: usize,
    input: &'a [E],
    weights: &'a [E],
    out: &'a mut [E],
    far: bool,
    epilogue: Epilogue<'a, E>,
}

impl<E: Element> Kernel<E> for GatherLines<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let g = self.axes;
        let c = g.spec.c_in;
        let (line, image) = (g.output[1] * c, g.input[0] * g.input[1] * c);
        let mut taps = Vec::new();
        for at in 0..self.out.len() / line {
            let (n, y) = ((self.first + at) / g.output[0], (self.first + at) % g.output[0]);
            let rows = &g.rows[y % g.rows[0].step];
            let whole = &mut self.out[at * line..][..line];
            let epilogue = self.epilogue.of_rows(at * line, line);
            // Pixels of all residues lie side by side in the result: the residues take turns, so that they
            // meet in the first cache.
            for from in (0..g.columns[0].0.len).step_by(TURN) {
                for (columns, stretches) in &g.columns {
                    for stretch in stretches {
                        let Range { start, end } = stretch.positions;
                        let (mut start, end) = (start.max(from), end.min(from + TURN));
                        if start >= end {
                            continue;
                        }
                        line_taps(g.spec, rows, y / rows.step, columns, stretch, &mut taps);
                        let input = &self.input[n * image..][..image];
                        let (taps, weights) = (&taps[..], self.weights);
                        let mut run = GatherStretch {
                            taps,
                            axis: columns,
                            c,
                            input,
                            weights,
                            out: &mut *whole,
                            far: self.far,
                            epilogue,
                        };
                        while end - start >= BLOCK {
                            run.block::<S, BLOCK>(s, start);
                            start += BLOCK;
                        }
                        for i in start..end {
                            run.block::<S, 1>(s, i);
                        }
                    }
                }
            }
        }
        if self.far {
            s.fence();
        }
    }
}

/// A stretch of a line.
struct GatherStretch<'a, E> {
    taps: &'a [LineTap],
    axis: &'a Axis,
    c: usize,
    /// One image.
    input: &'a [E],
    weights: &'a [E],
    /// One line.
    out: &'a mut [E],
    far: bool,
    epilogue: Epilogue<'a, E>,
}

impl<E: Element> GatherStretch<'_, E> {
    /// B pixels from i on, all channels.
    #[inline(always)]
    fn block<S: Simd<E>, const B: usize>(&mut self, s: S, i: usize) {
        let mut c = 0;
        while c + S::LANES <= self.c {
            self.vector::<S, B, false>(s, i, c);
            c += S::LANES;
        }
        if c < self.c {
            self.vector::<S, B, true>(s, i, c);
        }
    }

    /// B pixels from i on, the vector of channels from c on.
    #[inline(always)]
    fn vector<S: Simd<E>, const B: usize, const TAIL: bool>(&mut self, s: S, i: usize, c: usize) {
        let n = (self.c - c).min(S::LANES);
        let step = self.axis.stride * self.c;
        let mut acc = [s.zero(); B];
        for t in self.taps {
            let at = (t.at + (i * self.axis.stride) as isize) as usize * self.c + c;
            debug_assert!(at + (B - 1) * step + n <= self.input.len());
            debug_assert!((t.weight * self.c) + c + n <= self.weights.len());
            // SAFETY: positions i .. i + B lie in the stretch that the taps were found for, at all of which
            // `Axis::source` has this tap inside of the image; from c on a pixel has n channels more at
            // least, LANES unless TAIL. The weights have a row of as many channels for each tap of the
            // kernel.
            unsafe {
                let w = load::<S, E, TAIL>(s, self.weights.as_ptr().add(t.weight * self.c + c), n);
                let x = self.input.as_ptr().add(at);
                // The processor would have to learn the run of each row of taps and of each vector of
                // channels anew, so that what the next block reads is fetched here.
                if B > 1 {
                    (0..B).for_each(|b| prefetch(x.wrapping_add((b + B) * step)));
                }
                for (b, acc) in acc.iter_mut().enumerate() {
                    *acc = s.fma(load::<S, E, TAIL>(s, x.add(b * step), n), w, *acc);
                }
            }
        }
        for (b, &v) in acc.iter().enumerate() {
            let at = ((i + b) * self.axis.step + self.axis.residue) * self.c + c;
            debug_assert!(at + n <= self.out.len());
            // SAFETY: position i + b is below the axis' length, so that its pixel lies in the line of the
            // output and of the residual; c + n is at most the number of channels, and n is LANES unless
            // TAIL.
            unsafe {
                let v = self.epilogue.vector(s, v, c, at, n);
                store::<S, E, TAIL>(s, self.out.as_mut_ptr().add(at), v, n, self.far);
            }
        }
    }
}

/// LANES elements, or the n < LANES of the last vector.
///
/// # Safety
/// `p .. p + n` is readable, and n is LANES unless TAIL.
#[inline(always)]
unsafe fn load<S: Simd<E>, E: Element, const TAIL: bool>(s: S, p: *const E, n: usize) -> S::V {
    // SAFETY: `load_n` reads n elements, and `load` LANES, which are n.
    unsafe { if TAIL { s.load_n(p, n) } else { s.load(p) } }
}

/// Writes LANES elements, or the n < LANES of the last vector; streams whole ones where the result is `far`.
///
/// # Safety
/// `p .. p + n` is writable, and n is LANES unless TAIL.
#[inline(always)]
unsafe fn store<S: Simd<E>, E: Element, const TAIL: bool>(s: S, p: *mut E, v: S::V, n: usize, far: bool) {
    // SAFETY: `store_n` writes n elements, `stream` and `store` LANES, which are n.
    unsafe {
        match (TAIL, far) {
            (true, _) => s.store_n(p, v, n),
            (false, true) => s.stream(p, v),
            (false, false) => s.store(p, v),
        }
    }
}

/// Sums of x·dy for each tap over consecutive lines of dy.
struct TapSums<'a, E> {
    axes: &'a GatherAxes<'a>,
    lines: Range<usize>,
    x: &'a [E],
    dy: &'a [E],
    sums: &'a mut [E],
}

impl<E: Element> Kernel<E> for TapSums<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let g = self.axes;
        let c = g.spec.c_in;
        let (line, image) = (g.output[1] * c, g.input[0] * g.input[1] * c);
        let (rows, (columns, stretches)) = (&g.rows[0], &g.columns[0]);
        let mut taps = Vec::new();
        for at in self.lines {
            let (n, y) = (at / g.output[0], at % g.output[0]);
            for stretch in stretches {
                line_taps(g.spec, rows, y, columns, stretch, &mut taps);
                let Range { start, end } = stretch.positions;
                let block = SUM_BLOCK.div_ceil(columns.stride);
                for from in (start..end).step_by(block) {
                    let mut part = PixelBlock {
                        pixels: from..end.min(from + block),
                        block,
                        stride: columns.stride,
                        c,
                        x: &self.x[n * image..][..image],
                        dy: &self.dy[at * line..][..line],
                        sums: self.sums,
                    };
                    let mut rest = &taps[..];
                    while let Some((group, after)) = rest.split_at_checked(9) {
                        part.all_channels::<S, 9>(s, group);
                        rest = after;
                    }
                    while let Some((group, after)) = rest.split_at_checked(3) {
                        part.all_channels::<S, 3>(s, group);
                        rest = after;
                    }
                    for t in rest {
                        part.all_channels::<S, 1>(s, std::slice::from_ref(t));
                    }
                }
            }
        }
    }
}

/// A block of pixels of a line of dy.
struct PixelBlock<'a, E> {
    pixels: Range<usize>,
    /// The pixels of a block, this one or the next.
    block: usize,
    stride: usize,
    c: usize,
    x: &'a [E],
    dy: &'a [E],
    sums: &'a mut [E],
}

impl<E: Element> PixelBlock<'_, E> {
    #[inline(always)]
    fn all_channels<S: Simd<E>, const T: usize>(&mut self, s: S, taps: &[LineTap]) {
        let mut c = 0;
        while c + S::LANES <= self.c {
            self.vector::<S, T, false>(s, taps, c);
            c += S::LANES;
        }
        if c < self.c {
            self.vector::<S, T, true>(s, taps, c);
        }
    }

    /// sums[tap] += Σ_pixels x · dy, for T taps and the vector of channels from c on.
    #[inline(always)]
    fn vector<S: Simd<E>, const T: usize, const TAIL: bool>(&mut self, s: S, taps: &[LineTap], c: usize) {
        let n = (self.c - c).min(S::LANES);
        let step = self.stride * self.c;
        let Range { start, end } = self.pixels;
        let mut acc = [s.zero(); T];
        let mut x = [self.x.as_ptr(); T];
        for (t, tap) in taps.iter().enumerate() {
            let at = (tap.at + (start * self.stride) as isize) as usize * self.c + c;
            debug_assert!(at + (end - 1 - start) * step + n <= self.x.len());
            debug_assert!(end * self.c <= self.dy.len() && (tap.weight + 1) * self.c <= self.sums.len());
            // SAFETY: the pixels lie in the stretch that the taps were found for, at all of which
            // `Axis::source` has this tap inside of the image; the sums have a row of channels for each tap
            // of the kernel; from c on there are n channels more at least, LANES unless TAIL.
            unsafe {
                x[t] = x[t].add(at);
                acc[t] = load::<S, E, TAIL>(s, self.sums.as_ptr().add(tap.weight * self.c + c), n);
            }
        }
        // What the next block reads and this one does not are, of a 3x3 kernel, the last taps of its last
        // rows.
        let (mut new, mut count) = ([x[T - 1]; 4], 0);
        for t in (0..T).rev() {
            if (T - 1 - t) / 3 < self.stride && (T - 1 - t) % 3 < self.stride && count < new.len() {
                new[count] = x[t].wrapping_add(self.block * step);
                count += 1;
            }
        }
        let next_dy = self.dy.as_ptr().wrapping_add(self.block * self.c + c);
        for i in start..end {
            // SAFETY: `start <= i < end`: pixel i lies in the line of dy, and x[t] is at the pixel that tap t
            // reads for `start`, so that (i - start)·step further on is the one that it reads for i.
            unsafe {
                let d = load::<S, E, TAIL>(s, self.dy.as_ptr().add(i * self.c + c), n);
                prefetch(next_dy.wrapping_add(i * self.c));
                for x in &new[..count] {
                    prefetch(x.wrapping_add((i - start) * step));
                }
                for t in 0..T {
                    acc[t] = s.fma(load::<S, E, TAIL>(s, x[t].add((i - start) * step), n), d, acc[t]);
                }
            }
        }
        for (t, tap) in taps.iter().enumerate() {
            // SAFETY: the place that was loaded from above.
            unsafe {
                store::<S, E, TAIL>(s, self.sums.as_mut_ptr().add(tap.weight * self.c + c), acc[t], n, false)
            };
        }
    }
}

/// out[i·m + j] = x[i]
fn repeat<E: Element>(x: &[E], m: usize) -> Buffer<E> {
    let mut out = Buffer::stale(x.len() * m);
    let piece = parallel::GRAIN;
    parallel::chunks(&mut out, piece * m, |k, out| {
        for (to, &v) in out.chunks_exact_mut(m).zip(&x[k * piece..]) {
            to.fill(v);
        }
    });
    out
}

/// The same convolution with the input's channels repeated, and the multiplier.
fn repeated(spec: &ConvSpec) -> (ConvSpec, usize) {
    (ConvSpec { c_in: spec.c_out, groups: spec.c_out, ..*spec }, spec.c_out / spec.c_in)
}

/// y = act(scale · (x ∗ w) + bias + residual).
pub(super) fn forward<E: Element>(
    spec: &ConvSpec,
    x: &[E],
    w: &[E],
    epilogue: &Epilogue<'_, E>,
    y: &mut [E],
) {
    match repeated(spec) {
        (spec, 1) => GatherAxes::forward(&spec).run(x, w, epilogue, y),
        (spec, m) => GatherAxes::forward(&spec).run(&repeat(x, m), w, epilogue, y),
    }
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x.
pub(super) fn backward_data<E: Element>(spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    let (each, m) = repeated(spec);
    let axes = GatherAxes::backward(&each);
    if m == 1 {
        return axes.run(dy, w, &Epilogue::default(), dx);
    }
    let mut apart = Buffer::stale(dx.len() * m);
    axes.run(dy, w, &Epilogue::default(), &mut apart);
    let piece = parallel::GRAIN;
    parallel::chunks(dx, piece, |k, dx| {
        for (to, from) in dx.iter_mut().zip(apart[k * piece * m..].chunks_exact(m)) {
            *to = from.iter().copied().sum();
        }
    });
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w.
pub(super) fn backward_weight<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    match repeated(spec) {
        (spec, 1) => tap_sums(&spec, x, dy, dw),
        (spec, m) => tap_sums(&spec, &repeat(x, m), dy, dw),
    }
}

/// At most this many partial sums, so that they stay small beside x and dy. They make the bits; speed was not
/// measured over them.
const PARTS: usize = 64;

fn tap_sums<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    let axes = GatherAxes::forward(spec);
    let [oh, ow] = spec.out_hw();
    let lines = spec.n * oh;
    let piece = lines.div_ceil(PARTS).max(PIECE.div_ceil((ow * spec.c_in).max(1)));
    let parts = parallel::map(lines.div_ceil(piece), |i| {
        let mut sums = Buffer::zeros(dw.len());
        let lines = i * piece..lines.min((i + 1) * piece);
        E::dispatch(TapSums { axes: &axes, lines, x, dy, sums: &mut sums });
        sums
    });
    dw.fill(E::ZERO);
    parts.iter().for_each(|part| add_to(dw, part));
}
