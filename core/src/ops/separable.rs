//! Linear maps of images that act on rows and columns apart: average pooling and resizing.
//!
//! y[n, p, q, c] = Σ_{i, j} A[p, i] B[q, j] x[n, i, j, c] with sparse A and B. The gradient is the same map
//! with Aᵀ and Bᵀ, so that an op is no more than its two lists of taps, and backward gathers as forward does.

use super::taps::Taps;
use crate::parallel;
use crate::simd::{Kernel, Simd};
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, tensor::Tensor};

/// x [N, H, W, C] to y [N, P, Q, C].
fn apply_taps<E: Element>(x: &Tensor<E>, mut y: Tensor<E>, rows: &Taps<E>, columns: &Taps<E>) -> Tensor<E> {
    let ([_, h, w, c], [_, p, q, _]) = (x.dims("separable"), y.dims("separable"));
    debug_assert!((h, w, p, q) == (rows.inputs(), columns.inputs(), rows.outputs(), columns.outputs()));
    let image = h * w * c;
    parallel::chunks(y.data_mut(), q * c, |i, out| {
        let x = &x.data()[i / p * image..][..image];
        E::dispatch(OutputRow { x, w, c, row: rows.row(i % p), columns, out });
    });
    y
}

/// One output row of one image.
struct OutputRow<'a, E> {
    x: &'a [E],
    w: usize,
    c: usize,
    row: &'a [(usize, E)],
    columns: &'a Taps<E>,
    out: &'a mut [E],
}

impl<E: Element> Kernel<E> for OutputRow<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(mut self, s: S) {
        for q in 0..self.columns.outputs() {
            let mut c = 0;
            while c + 4 * S::LANES <= self.c {
                self.channels::<S, 4>(s, q, c);
                c += 4 * S::LANES;
            }
            while c + S::LANES <= self.c {
                self.channels::<S, 1>(s, q, c);
                c += S::LANES;
            }
            if c < self.c {
                self.last_channels(s, q, c);
            }
        }
    }
}

impl<E: Element> OutputRow<'_, E> {
    /// V vectors of channels from c.
    #[inline(always)]
    fn channels<S: Simd<E>, const V: usize>(&mut self, s: S, q: usize, c: usize) {
        let mut sum = [s.zero(); V];
        for &(i, a) in self.row {
            for &(j, b) in self.columns.row(q) {
                let x = &self.x[(i * self.w + j) * self.c + c..][..V * S::LANES];
                let weight = s.splat(a * b);
                for (v, sum) in sum.iter_mut().enumerate() {
                    *sum = s.fma(s.read(&x[v * S::LANES..]), weight, *sum);
                }
            }
        }
        let out = &mut self.out[q * self.c + c..][..V * S::LANES];
        for (v, sum) in sum.into_iter().enumerate() {
            s.write(&mut out[v * S::LANES..], sum);
        }
    }

    /// The channels from c, fewer than a vector.
    #[inline(always)]
    fn last_channels<S: Simd<E>>(&mut self, s: S, q: usize, c: usize) {
        let mut sum = s.zero();
        for &(i, a) in self.row {
            for &(j, b) in self.columns.row(q) {
                let x = &self.x[(i * self.w + j) * self.c + c..][..self.c - c];
                sum = s.fma(s.read_tail(x), s.splat(a * b), sum);
            }
        }
        s.write_tail(&mut self.out[q * self.c + c..][..self.c - c], sum);
    }
}

impl<E: Element> Tape<E> {
    /// Applies two lists of taps to the rows and the columns of images [N, H, W, C], into y.
    pub(crate) fn separable(
        &mut self,
        name: &'static str,
        x: Var<E>,
        y: Tensor<E>,
        rows: Taps<E>,
        columns: Taps<E>,
    ) -> Var<E> {
        let _span = profile::span(name, "forward");
        let (node, shape) = (x.node, *x.shape());
        let y = apply_taps(&x.value, y, &rows, &columns);
        self.record(name, y, &[node], move |g, slots| {
            slots.add(node, || apply_taps(&g, Tensor::stale(shape), &rows.transpose(), &columns.transpose()));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_channels() {
        // Weights and values are small integers: exact.
        for c in [1, 3, 7, 8, 9, 16, 17, 64, 100] {
            let x = Tensor::<f32>::from_fn([2, 3, 4, c], |i| (i % 23) as f32);
            let rows = Taps::new("", 3, 2, |p| [(p, 1.0f32), (p + 1, 2.0)]);
            let columns = Taps::new("", 4, 5, |q| (0..q.min(4)).map(move |j| (j, (q + j) as f32)));
            let y = apply_taps(&x, Tensor::stale([2, 2, 5, c]), &rows, &columns);
            for (i, &got) in y.data().iter().enumerate() {
                let (n, p, q, k) = (i / c / 10, i / c / 5 % 2, i / c % 5, i % c);
                let mut want = 0.0;
                for &(r, a) in rows.row(p) {
                    for &(s, b) in columns.row(q) {
                        want += a * b * x.data()[((n * 3 + r) * 4 + s) * c + k];
                    }
                }
                assert_eq!(got, want);
            }
        }
    }
}
