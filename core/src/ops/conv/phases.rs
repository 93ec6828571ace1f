//! A strided convolution as one of stride 1.
//!
//! An output of stride s meets tap r = s u + a at the input pixel s (p + u) + a − padding; a is the tap's
//! phase. Let the s² pixels of each s x s square, between zeros, become one pixel with s² times as many
//! channels, and the taps alike:
//!
//! ```text
//! x'[i, j, (a, b, c)]    = x[s i + a − padding, s j + b − padding, c]
//! w'[u, v, (a, b, c), o] = w[s u + a, s v + b, c, o]
//! y[p, q, o]             = Σ_{u, v, a, b, c} x'[p + u, q + v, (a, b, c)] w'[u, v, (a, b, c), o]
//! ```
//!
//! That is the same convolution, of stride 1 and ⌈k / s⌉ x ⌈k / s⌉ taps, of which those beyond the kernel are
//! zeros. An 11x11 kernel of stride 4 becomes 3x3 of 16 times as many channels, which Winograd's tiles of 4x4
//! outputs make with a fourth of the products. The gradients pass the same maps the other way. Nothing is
//! rounded but by Winograd's transforms, so that their bound holds.

use super::spec::ConvSpec;
use super::winograd;
use crate::buffer::Buffer;
use crate::ops::window::Window;
use crate::parallel;
use crate::{element::Element, epilogue::Epilogue};
use std::ops::Range;

/// Outputs on an axis of a tile, and taps.
const M: usize = 4;
const TAPS: usize = 3;

/// Whether it serves this convolution.
pub(super) fn applies(spec: &ConvSpec) -> bool {
    let ([kh, kw], [stride, across]) = (spec.kernel, spec.stride);
    (kh, stride, spec.dilation, spec.groups) == (kw, across, [1; 2], 1)
        && stride > 1
        && kh.div_ceil(stride) == TAPS
}

/// The convolution of x' with w'.
pub fn unstrided(spec: &ConvSpec) -> ConvSpec {
    let ([oh, ow], s) = (spec.out_hw(), spec.stride[0]);
    ConvSpec::square([spec.n, oh + TAPS - 1, ow + TAPS - 1, s * s * spec.c_in], spec.c_out, TAPS, 1, 0)
}

/// The squares along an axis, as the window that the pixels of x' are the outputs of.
fn squares(spec: &ConvSpec, axis: usize) -> Window {
    Window { taps: spec.stride[axis], ..spec.window(axis) }
}

/// For each pixel of a line of x', whose row of phases is a run of s·c_in elements: which elements of a line
/// of x it holds, and the first one's place in the run; the others are zeros.
fn runs(spec: &ConvSpec) -> Vec<(Range<usize>, usize)> {
    let (squares, c) = (squares(spec, 1), spec.c_in);
    let run = |j| {
        let mut inputs = squares.inputs(j);
        let len = inputs.len();
        let (x, phase) = inputs.next().unwrap_or((0, 0));
        (x * c..(x + len) * c, phase * c)
    };
    (0..unstrided(spec).w).map(run).collect()
}

/// x'
fn split<E: Element>(spec: &ConvSpec, x: &[E]) -> Buffer<E> {
    let (inner, len, width) = (unstrided(spec), spec.stride[1] * spec.c_in, spec.w * spec.c_in);
    let (squares, runs) = (squares(spec, 0), runs(spec));
    let mut phases = Buffer::zeros(inner.x_len());
    parallel::chunks(&mut phases, inner.w * inner.c_in, |row, to| {
        for (y, a) in squares.inputs(row % inner.h) {
            let line = &x[(row / inner.h * spec.h + y) * width..][..width];
            for (pixel, (from, first)) in to.chunks_exact_mut(inner.c_in).zip(&runs) {
                pixel[a * len + first..][..from.len()].copy_from_slice(&line[from.clone()]);
            }
        }
    });
    phases
}

/// For each tap of w, where its [c_in, c_out] numbers begin in w and in w'.
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
pub(super) fn forward<E: Element>(
    spec: &ConvSpec,
    x: &[E],
    w: &[E],
    epilogue: &Epilogue<'_, E>,
    y: &mut [E],
) {
    winograd::forward(M, &unstrided(spec), &split(spec, x), &split_taps(spec, w), epilogue, y);
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x.
pub(super) fn backward_data<E: Element>(spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    let inner = unstrided(spec);
    let mut phases = Buffer::stale(inner.x_len());
    winograd::backward_data(M, &inner, dy, &split_taps(spec, w), &mut phases);
    let (squares, runs, len) = (squares(spec, 0), runs(spec), spec.stride[1] * spec.c_in);
    parallel::chunks(dx, spec.w * spec.c_in, |i, to| {
        // A pixel that no tap reaches has no gradient.
        to.fill(E::ZERO);
        let (n, y) = (i / spec.h, i % spec.h);
        let Some((row, a)) = squares.readers(y, inner.h).next() else { return };
        let line = &phases[(n * inner.h + row) * inner.w * inner.c_in..][..inner.w * inner.c_in];
        for (pixel, (at, first)) in line.chunks_exact(inner.c_in).zip(&runs) {
            to[at.clone()].copy_from_slice(&pixel[a * len + first..][..at.len()]);
        }
    });
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w.
pub(super) fn backward_weight<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    let (inner, tap) = (unstrided(spec), spec.c_in * spec.c_out);
    let mut phases = Buffer::stale(inner.w_len());
    winograd::backward_weight(M, &inner, &split(spec, x), dy, &mut phases);
    for (to, from) in taps(spec) {
        dw[to..][..tap].copy_from_slice(&phases[from..][..tap]);
    }
}
