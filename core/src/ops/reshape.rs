//! Ops that move elements and compute nothing: reshape, permute, concatenate, slice, select, gather.
//!
//! Each is a linear map y_i = x_σ(i), and its gradient adds g_i to ∂x_σ(i). A tensor that is cut along an
//! axis is seen as [outer, n, inner] around it, and elements that are neighbours before and after move
//! together.

use crate::parallel::{self, GRAIN, Shared};
use crate::shape::Around;
use crate::simd::{Kernel, Simd};
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, shape::Shape, tensor::Tensor};

impl<E: Element> Tensor<E> {
    /// The axes in another order: axis i of the result is axis `axes[i]` of this. Panics unless `axes` is a
    /// permutation.
    #[track_caller]
    pub fn permute(&self, axes: &[usize]) -> Tensor<E> {
        let shape = self.shape();
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..shape.len()), "permute: axes {axes:?} of shape {shape:?}");
        let dims: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
        let strides = shape.strides();
        // (extent, stride in self) of the result's axes; neighbours in both are joined.
        let mut joined: Vec<(usize, usize)> = Vec::new();
        for (n, stride) in axes.iter().map(|&a| (shape[a], strides[a])).filter(|&(n, _)| n != 1) {
            match joined.last_mut() {
                Some((m, outer)) if *outer == n * stride => (*m, *outer) = (*m * n, stride),
                _ => joined.push((n, stride)),
            }
        }
        if joined.len() <= 1 || self.is_empty() {
            return self.clone().reshape(&dims);
        }
        let mut y = Tensor::stale(&dims);
        let plan = Permutation::new(&joined);
        plan.run(self.data(), y.data_mut());
        y
    }
}

/// A permutation as many transpositions [m, k] → [k, m], where k runs along the axis that is innermost in the
/// source, and m along the one that is innermost in the result. If that is the same axis, m is one and rows
/// of k are copied.
struct Permutation {
    /// (extent, stride in the source, stride in the result) of the other axes.
    outer: Vec<(usize, usize, usize)>,
    k: usize,
    /// Stride of k in the result; that in the source is 1.
    k_stride: usize,
    m: usize,
    /// Stride of m in the source; that in the result is 1.
    m_stride: usize,
}

impl Permutation {
    fn new(axes: &[(usize, usize)]) -> Self {
        let mut stride = 1;
        let mut outer: Vec<(usize, usize, usize)> = axes
            .iter()
            .rev()
            .map(|&(n, s)| {
                let own = stride;
                stride *= n;
                (n, s, own)
            })
            .collect();
        outer.reverse();
        let (m, m_stride, _) = outer.pop().unwrap_or((1, 1, 1));
        if m_stride == 1 {
            return Permutation { outer, k: m, k_stride: 1, m: 1, m_stride: 1 };
        }
        let at = outer.iter().position(|&(_, s, _)| s == 1).unwrap_or(0);
        let (k, _, k_stride) = outer.remove(at);
        Permutation { outer, k, k_stride, m, m_stride }
    }

    fn run<E: Element>(&self, src: &[E], dst: &mut [E]) {
        let transpositions: usize = self.outer.iter().map(|a| a.0).product();
        let copies = self.m == 1;
        let tiles = if copies { 1 } else { self.k.div_ceil(TILE) };
        let work = self.m * if copies { self.k } else { TILE.min(self.k) };
        let dst = Shared::new(dst);
        parallel::ranges(transpositions * tiles, (GRAIN / work).max(1), |range| {
            for task in range {
                let (mut from, mut to, mut rest) = (0, 0, task / tiles);
                for &(n, s, d) in self.outer.iter().rev() {
                    (from, to) = (from + rest % n * s, to + rest % n * d);
                    rest /= n;
                }
                if copies {
                    // SAFETY: each task names another row of the result.
                    unsafe { dst.slice(to..to + self.k) }.copy_from_slice(&src[from..from + self.k]);
                    continue;
                }
                let first = task % tiles * TILE;
                let rows = TILE.min(self.k - first);
                let (from, to) = (from + first, to + first * self.k_stride);
                // SAFETY: (outer, k) names a row of the result that no other task has.
                let row =
                    |k: usize| unsafe { dst.slice(to + k * self.k_stride..to + k * self.k_stride + self.m) };
                let mut out: [&mut [E]; TILE] =
                    std::array::from_fn(|k| if k < rows { row(k) } else { Default::default() });
                E::dispatch(Transpose {
                    src: &src[from..],
                    m_stride: self.m_stride,
                    m: self.m,
                    out: &mut out[..rows],
                });
            }
        });
    }
}

/// Rows and columns that are transposed together: a cache line of f32 each way. Other sizes were not
/// measured.
const TILE: usize = 16;

/// out[k][m] = src[m · m_stride + k] for up to TILE rows of m.
struct Transpose<'a, 'b, E> {
    src: &'a [E],
    m_stride: usize,
    m: usize,
    out: &'a mut [&'b mut [E]],
}

impl<E: Element> Kernel<E> for Transpose<'_, '_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let mut first = 0;
        if self.out.len() == TILE {
            while first + TILE <= self.m {
                let mut tile = [[E::ZERO; TILE]; TILE];
                for (m, row) in tile.iter_mut().enumerate() {
                    row.copy_from_slice(&self.src[(first + m) * self.m_stride..][..TILE]);
                }
                for (k, out) in self.out.iter_mut().enumerate() {
                    let column: [E; TILE] = std::array::from_fn(|m| tile[m][k]);
                    out[first..first + TILE].copy_from_slice(&column);
                }
                first += TILE;
            }
        }
        for m in first..self.m {
            for (out, &x) in self.out.iter_mut().zip(&self.src[m * self.m_stride..]) {
                out[m] = x;
            }
        }
    }
}

/// A stretch of indices along an axis: (first, length).
type IndexRun = (usize, usize);

/// Calls `f(place in whole, place in part, length)` for each stretch of elements that the runs select, where
/// the part is [outer, Σ lengths, inner].
fn stretches(around: Around, runs: &[IndexRun], outer: usize, mut f: impl FnMut(usize, usize, usize)) {
    let Around { n, inner, .. } = around;
    let selected: usize = runs.iter().map(|r| r.1).sum();
    let mut place = outer * selected * inner;
    for &(first, len) in runs {
        f((outer * n + first) * inner, place, len * inner);
        place += len * inner;
    }
}

/// How many slabs of the outer extent make a task.
fn slabs(around: Around) -> usize {
    (GRAIN / (around.n * around.inner).max(1)).max(1)
}

/// The part of x that the runs select along an axis.
fn select<E: Element>(x: &[E], around: Around, runs: &[IndexRun], part: &mut [E]) {
    let part = Shared::new(part);
    parallel::ranges(around.outer, slabs(around), |range| {
        for o in range {
            stretches(around, runs, o, |from, to, len| {
                // SAFETY: the part of each outer index is its own.
                unsafe { part.slice(to..to + len) }.copy_from_slice(&x[from..from + len]);
            });
        }
    });
}

/// d[i] += s[i]
struct AddTo<'a, E> {
    d: &'a mut [E],
    s: &'a [E],
}
impl<E: Element> Kernel<E> for AddTo<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        for (d, &s) in self.d.iter_mut().zip(self.s) {
            *d += s;
        }
    }
}

/// The adjoint of [`select`]: zeros, to which the part's elements are added where they came from.
fn scatter<E: Element>(part: &[E], around: Around, runs: &[IndexRun], shape: Shape) -> Tensor<E> {
    let mut d = Tensor::stale(shape);
    let whole = Shared::new(d.data_mut());
    let slab = around.n * around.inner;
    parallel::ranges(around.outer, slabs(around), |range| {
        for o in range {
            // SAFETY: the slab of each outer index is its own.
            let slab_of = unsafe { whole.slice(o * slab..(o + 1) * slab) };
            slab_of.fill(E::ZERO);
            stretches(around, runs, o, |to, from, len| {
                let to = to - o * slab;
                E::dispatch(AddTo { d: &mut slab_of[to..to + len], s: &part[from..from + len] });
            });
        }
    });
    d
}

impl<E: Element> Tape<E> {
    /// The same elements in another shape; one extent may be -1, which is worked out from the others.
    #[track_caller]
    pub fn reshape(&mut self, x: Var<E>, shape: &[isize]) -> Var<E> {
        let _span = profile::span("reshape", "forward");
        let (node, old) = (x.node, *x.shape());
        let holes = shape.iter().filter(|&&d| d == -1).count();
        assert!(shape.iter().all(|&d| d >= -1) && holes <= 1, "reshape: {old:?} to {shape:?}");
        let extents =
            |hole: usize| shape.iter().map(|&d| usize::try_from(d).unwrap_or(hole)).collect::<Vec<_>>();
        let known = Shape::of_result("reshape", &extents(1)).numel();
        let hole = if holes == 1 { x.value.len().checked_div(known) } else { Some(1) };
        let dims = hole.map(|n| Shape::of_result("reshape", &extents(n)));
        let dims = dims.filter(|d| d.numel() == x.value.len());
        let y = x.value.reshape(dims.unwrap_or_else(|| panic!("reshape: {old:?} to {shape:?}")));
        self.record("reshape", y, &[node], move |g, slots| slots.add(node, || g.reshape(old)))
    }

    /// The axes in another order: axis i of the result is axis `axes[i]` of x.
    #[track_caller]
    pub fn permute(&mut self, x: Var<E>, axes: &[usize]) -> Var<E> {
        let _span = profile::span("permute", "forward");
        let node = x.node;
        let y = x.value.permute(axes);
        let mut back = vec![0; axes.len()];
        axes.iter().enumerate().for_each(|(i, &a)| back[a] = i);
        self.record("permute", y, &[node], move |g, slots| slots.add(node, || g.permute(&back)))
    }

    /// [N, ..] to [N, the rest], as it lies; a linear layer on it is [`crate::nn::Linear::on_maps`].
    #[track_caller]
    pub fn flatten(&mut self, x: Var<E>) -> Var<E> {
        let n = *x.shape().first().expect("flatten: a scalar");
        let rest: usize = x.shape()[1..].iter().product();
        self.reshape(x, &[n as isize, rest as isize])
    }

    /// [N, H, W, C] to [N, C·H·W], channels outermost: the order in which PyTorch's linear layers expect
    /// images.
    #[track_caller]
    pub fn flatten_chw(&mut self, x: Var<E>) -> Var<E> {
        let [n, h, w, c] = x.value.dims("flatten_chw");
        let y = self.permute(x, &[0, 3, 1, 2]);
        self.reshape(y, &[n as isize, (c * h * w) as isize])
    }

    /// Tensors one after the other along an axis (negative ones count from the back); their other extents
    /// agree.
    #[track_caller]
    pub fn concat(&mut self, parts: Vec<Var<E>>, axis: isize) -> Var<E> {
        let _span = profile::span("concat", "forward");
        let first = *parts.first().expect("concat: no tensors").shape();
        let axis = first.axis(axis);
        let mut dims = first.to_vec();
        dims[axis] = 0;
        for p in &parts {
            let same = p.shape().len() == first.len()
                && (0..first.len()).all(|a| a == axis || p.shape()[a] == first[a]);
            assert!(same, "concat: {:?} to {first:?} along axis {axis}", p.shape());
            dims[axis] = dims[axis].saturating_add(p.shape()[axis]);
        }
        let mut y = Tensor::result("concat", &dims);
        let around = y.shape().around(axis);
        let (mut start, mut pieces) = (0, Vec::with_capacity(parts.len()));
        let whole = Shared::new(y.data_mut());
        for p in &parts {
            let (n, data) = (p.shape()[axis], p.value.data());
            pieces.push((p.node, *p.shape(), (start, n)));
            parallel::ranges(around.outer, slabs(around), |range| {
                for o in range {
                    stretches(around, &[(start, n)], o, |to, from, len| {
                        // SAFETY: parts are copied one after the other, and the place of each outer index is
                        // its own.
                        unsafe { whole.slice(to..to + len) }.copy_from_slice(&data[from..from + len]);
                    });
                }
            });
            start += n;
        }
        let nodes: Vec<_> = parts.iter().map(|p| p.node).collect();
        self.record("concat", y, &nodes, move |g, slots| {
            for (node, shape, run) in pieces {
                slots.add(node, || {
                    let mut d = Tensor::stale(shape);
                    select(g.data(), around, &[run], d.data_mut());
                    d
                });
            }
        })
    }

    #[track_caller]
    fn select_runs(&mut self, name: &'static str, x: Var<E>, axis: usize, runs: Vec<IndexRun>) -> Var<E> {
        let _span = profile::span(name, "forward");
        let (node, shape) = (x.node, *x.shape());
        let around = shape.around(axis);
        let mut dims = shape.to_vec();
        dims[axis] = runs.iter().map(|r| r.1).sum();
        let mut y = Tensor::result(name, &dims);
        select(x.value.data(), around, &runs, y.data_mut());
        self.record(name, y, &[node], move |g, slots| {
            slots.add(node, || scatter(g.data(), around, &runs, shape))
        })
    }

    /// Indices `start`, `start + step`, .. below `end` along an axis. As in Python, negative indices count
    /// from the back and all are clipped to the extent; `isize::MAX` as `end` means all.
    #[track_caller]
    pub fn slice(&mut self, x: Var<E>, axis: isize, start: isize, end: isize, step: usize) -> Var<E> {
        assert!(step > 0, "slice: a step of 0");
        let axis = x.shape().axis(axis);
        let n = x.shape()[axis] as isize;
        let clip = |i: isize| if i < 0 { i.saturating_add(n).max(0) } else { i.min(n) } as usize;
        let (start, end) = (clip(start), clip(end));
        let runs = match step {
            1 => vec![(start, end.saturating_sub(start))],
            _ => (start..end).step_by(step).map(|i| (i, 1)).collect(),
        };
        self.select_runs("slice", x, axis, runs)
    }

    /// The given indices along an axis (negative axes count from the back), in their order; repeated ones add
    /// their gradients. Panics for an index out of range.
    #[track_caller]
    pub fn index_select(&mut self, x: Var<E>, axis: isize, indices: &[usize]) -> Var<E> {
        let axis = x.shape().axis(axis);
        let mut runs: Vec<IndexRun> = Vec::new();
        for &i in indices {
            assert!(i < x.shape()[axis], "index_select: index {i} along axis {axis} of {:?}", x.shape());
            match runs.last_mut() {
                Some((first, len)) if *first + *len == i => *len += 1,
                _ => runs.push((i, 1)),
            }
        }
        self.select_runs("index_select", x, axis, runs)
    }

    /// y[.., j, ..] = x[.., index[.., j, ..], ..] along an axis: `index` has `shape`, which is x's but for
    /// the axis, or smaller. Source: `torch.gather`. Panics for an index out of range.
    #[track_caller]
    pub fn gather(&mut self, x: Var<E>, axis: isize, index: &[usize], shape: impl Into<Shape>) -> Var<E> {
        let _span = profile::span("gather", "forward");
        let (node, whole, shape) = (x.node, *x.shape(), shape.into());
        let axis = whole.axis(axis);
        let fits = shape.len() == whole.len() && (0..whole.len()).all(|a| a == axis || shape[a] <= whole[a]);
        assert!(
            fits && shape.numel() == index.len(),
            "gather: {} indices of shape {shape:?} from {whole:?}",
            index.len()
        );
        let (own, from) = (shape.strides(), whole.strides());
        let place = |(flat, &i): (usize, &usize)| {
            assert!(i < whole[axis], "gather: index {i} along axis {axis} of {whole:?}");
            let other = |a: usize| flat / own[a] % shape[a] * from[a];
            (0..shape.len()).map(|a| if a == axis { i * from[a] } else { other(a) }).sum()
        };
        let places: Vec<usize> = index.iter().enumerate().map(place).collect();
        let y = Tensor::from_fn(shape, |i| x.value.data()[places[i]]);
        self.record("gather", y, &[node], move |g, slots| {
            slots.add(node, || {
                let mut d = Tensor::zeros(whole);
                let data = d.data_mut();
                places.iter().zip(g.data()).for_each(|(&p, &g)| data[p] += g);
                d
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::gradients;

    fn count(shape: &[usize]) -> Tensor<f64> {
        Tensor::from_fn(shape, |i| i as f64)
    }

    #[test]
    fn every_permutation_of_four_axes() {
        for dims in [[2, 3, 4, 5], [1, 37, 1, 19], [3, 1, 40, 33], [2, 70, 1, 1], [0, 2, 3, 4]] {
            let x = count(&dims);
            for p in 0..256usize {
                let axes = [p & 3, p >> 2 & 3, p >> 4 & 3, p >> 6];
                if (0..4).any(|a| !axes.contains(&a)) {
                    continue;
                }
                let y = x.permute(&axes);
                let (s, t) = (y.shape().strides(), x.shape().strides());
                for (i, &v) in y.data().iter().enumerate() {
                    let from: usize = (0..4).map(|a| i / s[a] % y.shape()[a] * t[axes[a]]).sum();
                    assert_eq!(v, from as f64, "{dims:?} {axes:?}");
                }
                let mut back = [0; 4];
                axes.iter().enumerate().for_each(|(i, &a)| back[a] = i);
                assert_eq!(y.permute(&back), x);
            }
        }
    }

    #[test]
    fn flattening_puts_channels_first() {
        let y = Tape::infer().flatten_chw(count(&[2, 2, 1, 3]).into()).value;
        assert_eq!(
            y,
            Tensor::from_slice([2, 6], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0])
        );
    }

    #[test]
    fn reshape_works_out_an_extent() {
        let y = Tape::infer().reshape(count(&[2, 6]).into(), &[4, -1]);
        assert_eq!(y.shape()[..], [4, 3]);
    }

    #[test]
    #[should_panic(expected = "reshape: [2, 6] to [5, -1]")]
    fn reshape_needs_a_divisor() {
        Tape::infer().reshape(count(&[2, 6]).into(), &[5, -1]);
    }

    #[test]
    fn concat_and_slices_are_inverse() {
        let parts = [count(&[2, 3, 2]), count(&[2, 1, 2]), count(&[2, 0, 2]), count(&[2, 2, 2])];
        let mut t = Tape::eval();
        let x = parts.clone().map(|p| t.input(p));
        let y = t.concat(x.to_vec(), 1);
        assert_eq!(y.shape()[..], [2, 6, 2]);
        let mut start = 0;
        for p in &parts {
            let end = start + p.shape()[1] as isize;
            assert_eq!(Tape::infer().slice(y.value.clone().into(), 1, start, end, 1).value, *p);
            start = end;
        }
        let g = t.backward_from([(y.node, y.value)]);
        x.iter().zip(&parts).for_each(|(x, p)| assert_eq!(g.of(x), Some(p)));
    }

    #[test]
    fn slices_are_pythons() {
        let s = |start, end, step| {
            Tape::infer().slice(count(&[6]).into(), 0, start, end, step).value.data().to_vec()
        };
        assert_eq!(s(1, 4, 1), [1.0, 2.0, 3.0]);
        assert_eq!(s(-2, isize::MAX, 1), [4.0, 5.0]);
        assert_eq!(s(0, -1, 2), [0.0, 2.0, 4.0]);
        assert_eq!(s(4, 2, 1), [0.0; 0]);
        assert_eq!(s(-100, 100, 5), [0.0, 5.0]);
    }

    #[test]
    fn repeated_indices_add_their_gradients() {
        let (y, [g]) = gradients([count(&[5, 2])], |t, [x]| t.index_select(x, 0, &[4, 0, 1, 4]));
        assert_eq!(y.data(), [8.0, 9.0, 0.0, 1.0, 2.0, 3.0, 8.0, 9.0]);
        assert_eq!(g.data(), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0]);
        let (y, [g]) = gradients([count(&[2, 3])], |t, [x]| t.gather(x, -1, &[2, 2, 0, 1], [2, 2]));
        assert_eq!(y.data(), [2.0, 2.0, 3.0, 4.0]);
        assert_eq!(g.data(), [0.0, 0.0, 2.0, 1.0, 1.0, 0.0]);
    }
}
