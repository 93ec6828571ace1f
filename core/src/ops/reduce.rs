//! Sum, mean and maximum over axes.
//!
//! y = ⊕ x over the reduced axes, with ⊕ either + or max. Neighbouring axes that are all reduced or all kept
//! are joined; then the reduced groups collapse one after the other, the innermost first, each as [outer, r,
//! inner] → [outer, inner]. The r terms are cut into blocks, the blocks' results are reduced in turn: the
//! order of additions is a function of the shape alone, and the error of a sum grows with the length of a
//! block and the depth, not with r.

use super::elementwise::{Map, apply, maps};
use crate::buffer::Buffer;
use crate::parallel::{self, GRAIN, Shared};
use crate::simd::{Kernel, Simd};
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, shape::Shape, tensor::Tensor};

/// An associative operation. Mark `join` with `#[inline(always)]`.
pub(crate) trait Fold<E>: Copy + Send + Sync + 'static {
    const EMPTY: E;
    fn join(self, a: E, b: E) -> E;
}

#[derive(Clone, Copy)]
pub(crate) struct Sum;
impl<E: Element> Fold<E> for Sum {
    const EMPTY: E = E::ZERO;
    #[inline(always)]
    fn join(self, a: E, b: E) -> E {
        a + b
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Max;
impl<E: Element> Fold<E> for Max {
    const EMPTY: E = E::NEG_INFINITY;
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn join(self, a: E, b: E) -> E {
        if a > b || a != a { a } else { b }
    }
}

/// Terms in a block: of a contiguous row, and of rows of channels. They bound the error, which grows with a
/// block's length: a row is summed in 32 strands, so that 4096 terms are chains of 128 in either case. They
/// make the bits. Speed was not measured over them.
const ROW_BLOCK: usize = 4096;
const BLOCK: usize = 128;
/// The widest stretch of channels that one task works on: 16 KiB of f32, so that the sums stay in the first
/// cache while rows pass. Not measured.
const STRETCH: usize = 4096;

/// [outer, r, inner] → [outer, inner].
pub(crate) fn fold<E: Element, F: Fold<E>>(src: &[E], dst: &mut [E], [outer, r, inner]: [usize; 3], f: F) {
    debug_assert!(src.len() == outer * r * inner && dst.len() == outer * inner);
    if src.is_empty() || dst.is_empty() {
        dst.fill(F::EMPTY);
        return;
    }
    let block = if inner == 1 { ROW_BLOCK } else { BLOCK };
    let blocks = r.div_ceil(block);
    if blocks == 1 {
        return fold_blocks(src, dst, [outer, r, inner], block, f);
    }
    let mut partial = Buffer::stale(outer * blocks * inner);
    fold_blocks(src, &mut partial, [outer, r, inner], block, f);
    fold(&partial, dst, [outer, blocks, inner], f);
}

/// [outer, r, inner] → [outer, blocks of r, inner].
fn fold_blocks<E: Element, F: Fold<E>>(
    src: &[E],
    dst: &mut [E],
    [outer, r, inner]: [usize; 3],
    block: usize,
    f: F,
) {
    let (blocks, stretches) = (r.div_ceil(block), inner.div_ceil(STRETCH));
    let tasks = outer * blocks * stretches;
    let together = (GRAIN / (block.min(r) * inner.min(STRETCH))).max(1);
    let dst = Shared::new(dst);
    parallel::ranges(tasks, together, |range| {
        for task in range {
            let (cell, stretch) = (task / stretches, task % stretches);
            let first = cell / blocks * r + cell % blocks * block;
            let rows = block.min(r - cell % blocks * block);
            let columns = stretch * STRETCH..inner.min((stretch + 1) * STRETCH);
            // SAFETY: (cell, stretch) names a part of dst that no other task has.
            let out = unsafe { dst.slice(cell * inner + columns.start..cell * inner + columns.end) };
            E::dispatch(FoldRows { src: &src[first * inner + columns.start..], stride: inner, rows, out, f });
        }
    });
}

/// out ← ⊕ of `rows` rows of its length that lie `stride` apart.
struct FoldRows<'a, E, F> {
    src: &'a [E],
    stride: usize,
    rows: usize,
    out: &'a mut [E],
    f: F,
}

impl<E: Element, F: Fold<E>> Kernel<E> for FoldRows<'_, E, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let FoldRows { src, stride, rows, out, f } = self;
        if stride == 1 {
            out[0] = fold_row(&src[..rows], f);
            return;
        }
        let width = out.len();
        out.copy_from_slice(&src[..width]);
        for row in 1..rows {
            for (o, &s) in out.iter_mut().zip(&src[row * stride..][..width]) {
                *o = f.join(*o, s);
            }
        }
    }
}

/// ⊕ of a contiguous row, in 32 interleaved strands.
#[inline(always)]
fn fold_row<E: Element, F: Fold<E>>(row: &[E], f: F) -> E {
    let mut strands = [F::EMPTY; 32];
    let (chunks, rest) = row.as_chunks::<32>();
    for chunk in chunks {
        for (s, &x) in strands.iter_mut().zip(chunk) {
            *s = f.join(*s, x);
        }
    }
    for (s, &x) in strands.iter_mut().zip(rest) {
        *s = f.join(*s, x);
    }
    let mut n = strands.len();
    while n > 1 {
        n /= 2;
        for i in 0..n {
            strands[i] = f.join(strands[i], strands[i + n]);
        }
    }
    strands[0]
}

/// The sum of all elements.
pub(crate) fn sum_all<E: Element>(src: &[E]) -> E {
    let mut out = [E::ZERO];
    fold(src, &mut out, [1, src.len(), 1], Sum);
    out[0]
}

/// The marked axes reduced, and kept with extent 1.
fn reduce<E: Element, F: Fold<E>>(x: &Tensor<E>, reduced: &[bool], f: F) -> Tensor<E> {
    let shape = kept_shape(x.shape(), reduced);
    let mut groups: Vec<(bool, usize)> = Vec::new();
    for (&n, &is_reduced) in x.shape().iter().zip(reduced).filter(|&(&n, _)| n != 1) {
        match groups.last_mut() {
            Some((same, m)) if *same == is_reduced => *m *= n,
            _ => groups.push((is_reduced, n)),
        }
    }
    let mut y = x.clone();
    let mut inner = 1;
    while let Some((is_reduced, n)) = groups.pop() {
        if is_reduced {
            let outer: usize = groups.iter().map(|&(_, n)| n).product();
            let mut out = Tensor::stale([outer * inner]);
            fold(y.data(), out.data_mut(), [outer, n, inner], f);
            y = out;
        } else {
            inner *= n;
        }
    }
    y.reshape(shape)
}

fn kept_shape(shape: &Shape, reduced: &[bool]) -> Shape {
    let dims: Vec<usize> = shape.iter().zip(reduced).map(|(&n, &r)| if r { 1 } else { n }).collect();
    Shape::from(&dims)
}

/// g summed over the axes along which `shape` was repeated to become g's: the adjoint of broadcasting.
pub(crate) fn sum_to<E: Element>(g: Tensor<E>, shape: Shape) -> Tensor<E> {
    if *g.shape() == shape {
        return g;
    }
    let skip = g.shape().len() - shape.len();
    let reduced: Vec<bool> =
        (0..g.shape().len()).map(|i| i < skip || shape[i - skip] != g.shape()[i]).collect();
    reduce(&g, &reduced, Sum).reshape(shape)
}

maps! { |c: E, d, a, b|
    ScaledBy: a * c;
    DividedBy: d / c;
}
maps! { |d, a, b|
    Equal: if a == b { E::ONE } else { E::ZERO };
    Split: d * (a / b);
}

/// Which axes are meant, and the result's shape: (marks, with extent 1 for reduced axes, as wanted).
#[track_caller]
fn reduced_axes(op: &str, shape: &Shape, axes: &[isize], keepdim: bool) -> (Vec<bool>, Shape, Shape) {
    let mut reduced = vec![axes.is_empty(); shape.len()];
    for &a in axes {
        let a = shape.axis(a);
        assert!(
            !std::mem::replace(&mut reduced[a], true),
            "{op}: axis {a} twice in {axes:?}, shape {shape:?}"
        );
    }
    let kept = kept_shape(shape, &reduced);
    let left: Vec<usize> = shape.iter().zip(&reduced).filter(|&(_, &r)| !r).map(|(&n, _)| n).collect();
    let wanted = if keepdim { kept } else { Shape::from(&left) };
    (reduced, kept, wanted)
}

impl<E: Element> Tape<E> {
    /// Σ x over `axes` (negative ones count from the back; none means all). Reduced axes stay with extent 1
    /// if `keepdim`.
    #[track_caller]
    pub fn sum(&mut self, x: Var<E>, axes: &[isize], keepdim: bool) -> Var<E> {
        self.sum_over("sum", x, axes, keepdim, false)
    }

    /// The mean over `axes` (negative ones count from the back; none means all); NaN over no elements.
    #[track_caller]
    pub fn mean(&mut self, x: Var<E>, axes: &[isize], keepdim: bool) -> Var<E> {
        self.sum_over("mean", x, axes, keepdim, true)
    }

    #[track_caller]
    fn sum_over(&mut self, op: &'static str, x: Var<E>, axes: &[isize], keepdim: bool, mean: bool) -> Var<E> {
        let _span = profile::span(op, "forward");
        let (node, shape) = (x.node, *x.shape());
        let (reduced, kept, wanted) = reduced_axes(op, &shape, axes, keepdim);
        let n: usize = shape.iter().zip(&reduced).filter(|&(_, &r)| r).map(|(&n, _)| n).product();
        let mut y = reduce(&x.value, &reduced, Sum).reshape(wanted);
        if mean {
            apply(&mut y, None, None, DividedBy(E::from_usize(n)));
        }
        let share = if mean { E::ONE / E::from_usize(n) } else { E::ONE };
        self.record(op, y, &[node], move |g, slots| {
            slots.add(node, || {
                let mut d = Tensor::stale(shape);
                apply(&mut d, Some(&g.reshape(kept)), None, ScaledBy(share));
                d
            });
        })
    }

    /// The maximum over `axes` (negative ones count from the back; none means all), NaN where there is one;
    /// the gradient is split evenly among ties, and NaN where the maximum is, as by PyTorch's `amax`. Panics
    /// over no elements.
    #[track_caller]
    pub fn max(&mut self, x: Var<E>, axes: &[isize], keepdim: bool) -> Var<E> {
        let _span = profile::span("max", "forward");
        let (node, shape) = (x.node, *x.shape());
        let (reduced, kept, wanted) = reduced_axes("max", &shape, axes, keepdim);
        let empty = shape.iter().zip(&reduced).any(|(&n, &r)| r && n == 0);
        assert!(!empty, "max: no elements along {axes:?} of {shape:?}");
        let y = reduce(&x.value, &reduced, Max);
        let records = self.records(&[node]);
        let saved = records.then(|| (x.value, y.clone()));
        self.record("max", y.reshape(wanted), &[node], move |g, slots| {
            let Some((x, y)) = saved else { return };
            slots.add(node, || {
                let mut d = Tensor::stale(shape);
                apply(&mut d, Some(&x), Some(&y), Equal);
                let ties = reduce(&d, &reduced, Sum);
                apply(&mut d, Some(&g.reshape(kept)), Some(&ties), Split);
                d
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::gradients;

    /// The sum over the marked axes by definition.
    fn naive(x: &Tensor<f64>, reduced: &[bool]) -> Vec<f64> {
        let (s, st) = (x.shape(), x.shape().strides());
        let kept = kept_shape(s, reduced);
        let mut y = vec![0.0; kept.numel()];
        for (i, v) in x.data().iter().enumerate() {
            let at: usize =
                (0..s.len()).filter(|&k| !reduced[k]).map(|k| i / st[k] % s[k] * kept.strides()[k]).sum();
            y[at] += v;
        }
        y
    }

    #[test]
    fn every_set_of_axes() {
        // Small integers: sums are exact in any order.
        for shape in [[2, 3, 4, 5], [1, 300, 2, 7], [3, 1, 5000, 1], [2, 5, 1, 4100]] {
            let x = Tensor::<f64>::from_fn(shape, |i| (i * 7919 % 31) as f64 - 15.0);
            for set in 1..16usize {
                let axes: Vec<isize> = (0..4).filter(|a| set >> a & 1 == 1).collect();
                let reduced: Vec<bool> = (0..4).map(|a| set >> a & 1 == 1).collect();
                let y = Tape::infer().sum(x.clone().into(), &axes, true);
                assert_eq!(y.value.data(), naive(&x, &reduced), "{shape:?} {axes:?}");
                assert_eq!(*y.shape(), kept_shape(x.shape(), &reduced));
            }
        }
    }

    #[test]
    fn gradients_spread() {
        let x = Tensor::from_slice([2, 2], &[1.0, 4.0, 4.0, 4.0]);
        let (y, [g]) = gradients([x.clone()], |t, [x]| t.mean(x, &[-1], false));
        assert_eq!((y.data(), g.data()), (&[2.5, 4.0][..], &[0.5; 4][..]));
        let (y, [g]) = gradients([x], |t, [x]| t.max(x, &[], false));
        assert_eq!((y.item(), g.data()), (4.0, &[0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0][..]));
    }

    #[test]
    fn not_a_number_takes_all_of_a_maximums_gradient() {
        let x = Tensor::from_slice([2, 2], &[f64::NAN, 4.0, f64::INFINITY, f64::INFINITY]);
        let (y, [g]) = gradients([x], |t, [x]| t.max(x, &[-1], false));
        assert!(y.data()[0].is_nan() && g.data()[..2].iter().all(|v| v.is_nan()));
        assert_eq!((y.data()[1], &g.data()[2..]), (f64::INFINITY, &[0.5, 0.5][..]));
    }

    #[test]
    fn nothing_sums_to_zero() {
        let y = Tape::<f32>::infer().sum(Tensor::zeros([0, 3]).into(), &[0], false);
        assert_eq!(y.value.data(), [0.0; 3]);
        assert!(Tape::<f32>::infer().mean(Tensor::zeros([0]).into(), &[], false).value.item().is_nan());
    }

    #[test]
    fn long_sums_stay_accurate() {
        // 2^24 ones and more: one running f32 sum would stop at 2^24.
        let n = (1 << 24) + 4096;
        assert_eq!(sum_all(&vec![1.0f32; n]), n as f32);
    }
}
