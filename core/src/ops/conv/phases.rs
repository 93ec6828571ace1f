//! Strided convolution as one of stride 1.
//!
//! An output of stride s meets tap r = s u + a at the input pixel s (p + u) + a − padding: a is the tap's
//! phase. With the pixels of each s x s square, between zeros, as s² times as many channels, and the taps
//! alike,
//!
//! ```text
//! x'[i, j, (a, b, c)] = x[s i + a − padding, s j + b − padding, c]      w'[u, v, (a, b, c), o] = w[s u + a, s v + b, c, o]
//! y[p, q, o] = Σ_{u, v, a, b, c} x'[p + u, q + v, (a, b, c)] w'[u, v, (a, b, c), o]
//! ```
//!
//! is the same convolution, of stride 1 and ⌈k / s⌉ x ⌈k / s⌉ taps, those beyond the kernel zeros: 11x11 of
//! stride 4 becomes 3x3 of 16 times as many channels, which Winograd's tiles of 4x4 outputs make with a
//! fourth of the products. The gradients pass the same maps the other way. Nothing is rounded but by
//! Winograd's transforms, so their bound holds.

use super::{ConvSpec, winograd};
use crate::buffer::Buffer;
use crate::parallel;
use crate::{Element, Epilogue};

/// Outputs on an axis of a tile, and taps.
const M: usize = 4;
const TAPS: usize = 3;

/// Whether it serves this convolution.
pub fn applies(spec: &ConvSpec) -> bool {
    let ([kh, kw], [stride, across]) = (spec.kernel, spec.stride);
    (kh, stride, spec.dilation, spec.groups) == (kw, across, [1; 2], 1)
        && stride > 1
        && kh.div_ceil(stride) == TAPS
}

/// The convolution of the phases.
pub fn unstrided(spec: &ConvSpec) -> ConvSpec {
    let ([oh, ow], s) = (spec.out_hw(), spec.stride[0]);
    ConvSpec::square([spec.n, oh + TAPS - 1, ow + TAPS - 1, s * s * spec.c_in], spec.c_out, TAPS, 1, 0)
}

/// For a line (n, i) of x' and a row of phases a: the line of x, as a range of its elements.
fn line(spec: &ConvSpec, row: usize, a: usize) -> Option<std::ops::Range<usize>> {
    let lines = unstrided(spec).h;
    let y = (row % lines * spec.stride[0] + a).checked_sub(spec.padding[0]).filter(|&y| y < spec.h)?;
    let at = (row / lines * spec.h + y) * spec.w * spec.c_in;
    Some(at..at + spec.w * spec.c_in)
}

/// For the j-th pixel of x', whose row of phases is a run of s·c_in elements: where they lie in a line of x,
/// and the first one's place in the run.
fn run(spec: &ConvSpec, j: usize) -> (std::ops::Range<usize>, usize) {
    let (len, zeros) = (spec.stride[1] * spec.c_in, spec.padding[1] * spec.c_in);
    let (from, end) = (j * len, spec.w * spec.c_in + zeros);
    let range = from.clamp(zeros, end)..(from + len).clamp(zeros, end);
    (range.start - zeros..range.end - zeros, range.start.saturating_sub(from).min(len))
}

/// x'
fn split<E: Element>(spec: &ConvSpec, x: &[E]) -> Buffer<E> {
    let (inner, len) = (unstrided(spec), spec.stride[1] * spec.c_in);
    let mut phases = Buffer::zeros(inner.x_len());
    parallel::chunks(&mut phases, inner.w * inner.c_in, |row, to| {
        for a in 0..spec.stride[0] {
            let Some(line) = line(spec, row, a) else { continue };
            for (j, pixel) in to.chunks_exact_mut(inner.c_in).enumerate() {
                let (from, first) = run(spec, j);
                pixel[a * len + first..][..from.len()].copy_from_slice(&x[line.clone()][from]);
            }
        }
    });
    phases
}

/// Pairs of a tap of w and one of w', as places of their [c_in, c_out] numbers.
fn taps(spec: &ConvSpec) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (k, s, tap) = (spec.kernel[0], spec.stride[0], spec.c_in * spec.c_out);
    (0..k * k).map(move |t| {
        let (r, q) = (t / k, t % k);
        (t * tap, ((r / s * TAPS + q / s) * s * s + r % s * s + q % s) * tap)
    })
}

/// w'
fn split_taps<E: Element>(spec: &ConvSpec, w: &[E]) -> Buffer<E> {
    let tap = spec.c_in * spec.c_out;
    let mut phases = Buffer::zeros(unstrided(spec).w_len());
    for (from, to) in taps(spec) {
        phases[to..][..tap].copy_from_slice(&w[from..][..tap]);
    }
    phases
}

/// y = act(scale · (x ∗ w) + bias + residual).
pub fn forward<E: Element>(spec: &ConvSpec, x: &[E], w: &[E], epilogue: &Epilogue<'_, E>, y: &mut [E]) {
    winograd::forward(M, &unstrided(spec), &split(spec, x), &split_taps(spec, w), epilogue, y);
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x.
pub fn backward_data<E: Element>(spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    let inner = unstrided(spec);
    let mut phases = Buffer::stale(inner.x_len());
    winograd::backward_data(M, &inner, dy, &split_taps(spec, w), &mut phases);
    let (s, len) = (spec.stride[0], spec.stride[1] * spec.c_in);
    let width = spec.w * spec.c_in;
    parallel::chunks(dx, width, |i, to| {
        let (n, y) = (i / spec.h, i % spec.h + spec.padding[0]);
        // A line that no tap reaches has no gradient.
        to.fill(E::ZERO);
        if y / s >= inner.h {
            return;
        }
        let line = &phases[(n * inner.h + y / s) * inner.w * inner.c_in..][..inner.w * inner.c_in];
        for (j, pixel) in line.chunks_exact(inner.c_in).enumerate() {
            let (at, first) = run(spec, j);
            let from = &pixel[y % s * len + first..][..at.len()];
            to[at].copy_from_slice(from);
        }
    });
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w.
pub fn backward_weight<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    let (inner, tap) = (unstrided(spec), spec.c_in * spec.c_out);
    let mut phases = Buffer::stale(inner.w_len());
    winograd::backward_weight(M, &inner, &split(spec, x), dy, &mut phases);
    for (to, from) in taps(spec) {
        dw[to..][..tap].copy_from_slice(&phases[from..][..tap]);
    }
}
