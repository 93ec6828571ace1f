//! Convolution as a matrix product whose columns are made inside of it.
//!
//! Forward, Y[pixel, o] = Σ_(tap, c) A[pixel, (tap, c)] W[(tap, c), o], where A are the columns of x: a row
//! for each output pixel, with the input pixels that its taps see. They would take kh·kw times the memory of
//! x, so that they are never written down, but found by address while the product reads them (`columns`).
//!
//! The gradient of x falls apart by phases: the input's pixels of equal (y mod stride, x mod stride) are seen
//! by the same taps, and by those alone. So each phase is a convolution of dy with step 1 and its taps'
//! transposed weights. The gradient of w is dW = Aᵀ dY, whose depth is all pixels of the batch.
//!
//! On small images padding is a tenth of all taps or more. Rows are then ordered by pixel first and image
//! second, so that all rows of a tile see the same padding, which is skipped.

mod columns;

use super::spec::ConvSpec;
use crate::buffer::Buffer;
use crate::gemm::Matrix;
use crate::gemm::drive::{multiply, multiply_deep, multiply_stack};
use crate::gemm::lhs::ColumnMajor;
use crate::gemm::output::{Finish, Output, Pixels, RowMap};
use crate::gemm::plan::Plan;
use crate::gemm::rhs::{PackedRhs, Rhs, StackedRhs};
use crate::parallel::Shared;
use crate::{element::Element, epilogue::Epilogue};
use columns::{Columns, ColumnsTransposed, Source};

/// Where each tap lies in the input, seen from output pixel · stride, row by row of the kernel.
fn forward_taps(spec: &ConvSpec) -> Vec<[isize; 2]> {
    let ([down, across], [kh, kw]) = ([0, 1].map(|a| spec.window(a)), spec.kernel);
    (0..kh * kw).map(|t| [down.offset(t / kw), across.offset(t % kw)]).collect()
}

/// Whether images vary fastest among rows: the images are many, and a tenth or more of the taps are padding.
/// A tile of rows has 16 at most, which then lie at one pixel; the tenth was not measured.
fn images_inner(
    images: usize,
    extent: [usize; 2],
    source: [usize; 2],
    step: [usize; 2],
    taps: &[[isize; 2]],
) -> bool {
    let valid = |axis: usize, tap: &[isize; 2]| {
        (0..extent[axis])
            .filter(|i| (((i * step[axis]) as isize + tap[axis]) as usize) < source[axis])
            .count()
    };
    let all = taps.len() * extent[0] * extent[1];
    images >= 16 && all <= 1 << 16 && {
        let valid: usize = taps.iter().map(|t| valid(0, t) * valid(1, t)).sum();
        valid * 10 <= all * 9
    }
}

/// The epilogue of a group's columns, of which `channel` is the first.
fn group_epilogue<'a, E>(e: &Epilogue<'a, E>, channel: usize) -> Epilogue<'a, E> {
    Epilogue {
        scale: e.scale.map(|s| &s[channel..]),
        bias: e.bias.map(|b| &b[channel..]),
        residual: e.residual.map(|r| &r[channel..]),
        activation: e.activation,
    }
}

/// y = act(scale · (x ∗ w) + bias + residual).
pub(super) fn forward<E: Element>(
    spec: &ConvSpec,
    x: &[E],
    w: &[E],
    epilogue: &Epilogue<'_, E>,
    y: &mut [E],
) {
    let [oh, ow] = spec.out_hw();
    let (ci, co, taps) = (spec.group_in(), spec.group_out(), forward_taps(spec));
    let inner = images_inner(spec.n, [oh, ow], [spec.h, spec.w], spec.stride, &taps);
    let pixels = Pixels { images: spec.n, extent: [oh, ow], images_inner: inner };
    let zeros = Buffer::zeros(ci);
    let y = Shared::new(y);
    let plan = Plan::new::<E>(spec.precision, [pixels.len(), taps.len() * ci, co]);
    let (x, w) = (&*plan.operand(x), &*plan.operand(w));
    for g in 0..spec.groups {
        let source = Source { data: x, h: spec.h, w: spec.w, ld: spec.c_in, channel: g * ci, run: ci };
        let columns = Columns { source, pixels, step: spec.stride, taps: &taps, zeros: &zeros };
        let w = Matrix::strided(&w[(g * co).min(w.len())..], taps.len() * ci, co, spec.c_out);
        let c = spec.c_out;
        // SAFETY: groups are computed one after the other, and each writes its own columns of every row.
        let part = unsafe { y.part(g * co..y.len()) };
        let map = RowMap::Grid { pixels, base: 0, image: oh * ow * c, row: ow * c, col: c };
        let epilogue = group_epilogue(epilogue, g * co);
        let out = Output { c: part, map, finish: Finish::with(&epilogue) };
        multiply_stack(&columns, StackedRhs { plan, parts: &[w] }, out);
    }
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x.
pub(super) fn backward_data<E: Element>(spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    let [oh, ow] = spec.out_hw();
    let (ci, co, [sy, sx]) = (spec.group_in(), spec.group_out(), spec.stride);
    let (zeros, dx) = (Buffer::zeros(co), Shared::new(dx));
    let (rows, depth) = (spec.n * spec.h * spec.w / (sy * sx), spec.kernel[0] * spec.kernel[1] * co);
    let plan = Plan::new::<E>(spec.precision, [rows, depth, ci]);
    let (dy, w) = (&*plan.operand(dy), &*plan.operand(w));
    for phase in 0..sy.min(spec.h) * sx.min(spec.w) {
        let (py, px) = (phase / sx.min(spec.w), phase % sx.min(spec.w));
        // Taps are taken from the last to the first, so that the places they read ascend and their runs may
        // join.
        let [rows, cols] =
            [(0, py), (1, px)].map(|(a, phase)| spec.window(a).residue(phase).rev().collect::<Vec<_>>());
        let taps: Vec<_> = rows.iter().flat_map(|r| cols.iter().map(|c| [r.1, c.1])).collect();
        let extent = [(spec.h - py).div_ceil(sy), (spec.w - px).div_ceil(sx)];
        let images_inner = images_inner(spec.n, extent, [oh, ow], [1, 1], &taps);
        let pixels = Pixels { images: spec.n, extent, images_inner };
        for g in 0..spec.groups {
            let source = Source { data: dy, h: oh, w: ow, ld: spec.c_out, channel: g * co, run: co };
            let columns = Columns { source, pixels, step: [1, 1], taps: &taps, zeros: &zeros };
            let tap_weights = |r: usize, s: usize| {
                let w = &w[(r * spec.kernel[1] + s) * ci * spec.c_out + g * co..];
                Matrix::strided(w, ci, co, spec.c_out).t()
            };
            let mut parts: Vec<_> =
                rows.iter().flat_map(|r| cols.iter().map(|c| tap_weights(r.0, c.0))).collect();
            if parts.is_empty() {
                parts.push(Matrix::new(&[], 0, ci));
            }
            let (c, base) = (spec.c_in, (py * spec.w + px) * spec.c_in);
            // SAFETY: phases and groups are computed one after the other, and each writes its own columns of
            // its own pixels.
            let part = unsafe { dx.part(g * ci..dx.len()) };
            let map =
                RowMap::Grid { pixels, base, image: spec.h * spec.w * c, row: sy * spec.w * c, col: sx * c };
            let out = Output { c: part, map, finish: Finish::SET };
            multiply_stack(&columns, StackedRhs { plan, parts: &parts }, out);
        }
    }
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w.
pub(super) fn backward_weight<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    let extent = spec.out_hw();
    let (ci, co, taps) = (spec.group_in(), spec.group_out(), forward_taps(spec));
    let inner = images_inner(spec.n, extent, [spec.h, spec.w], spec.stride, &taps);
    let pixels = Pixels { images: spec.n, extent, images_inner: inner };
    let plan = Plan::new::<E>(spec.precision, [taps.len() * ci, pixels.len(), co]);
    let (x, dy) = (&*plan.operand(x), &*plan.operand(dy));
    for g in 0..spec.groups {
        let source = Source { data: x, h: spec.h, w: spec.w, ld: spec.c_in, channel: g * ci, run: ci };
        let columns = ColumnsTransposed { source, pixels, step: spec.stride, taps: &taps };
        let (dw, dy) = (&mut dw[g * co..], &dy[g * co..]);
        if inner {
            let per = extent[0] * extent[1];
            let pixel = |i: usize| Matrix::strided(&dy[i * spec.c_out..], spec.n, co, per * spec.c_out);
            let parts: Vec<_> = (0..per).map(pixel).collect();
            let map = RowMap::Even { ld: spec.c_out };
            let out = Output { c: Shared::new(dw), map, finish: Finish::SET };
            multiply(&columns, Rhs::Packed(&PackedRhs::stack(StackedRhs { plan, parts: &parts })), out);
        } else {
            let dy = Matrix::strided(dy, pixels.len(), co, spec.c_out);
            if (&taps[..], spec.stride, extent) == (&[[0; 2]][..], [1; 2], [spec.h, spec.w]) {
                let x = Matrix::strided(&x[g * ci..], pixels.len(), ci, spec.c_in);
                multiply_deep(plan, &ColumnMajor(x.t()), dy, dw, spec.c_out);
            } else {
                multiply_deep(plan, &columns, dy, dw, spec.c_out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
