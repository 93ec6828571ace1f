//! Products of stacks of matrices: C_b = A_b·B_b for each b of the leading axes, which broadcast as NumPy's.
//!
//! Backward: dA_b = dC_b·B_bᵀ, dB_b = A_bᵀ·dC_b, summed over the b that share one matrix.

use super::elementwise::broadcast;
use crate::gemm::output::Finish;
use crate::gemm::{self, Matrix, Precision};
use crate::parallel::{self, Shared};
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, shape::Shape, tensor::Tensor};

/// For each place of the stack `full`, in order, which matrix of the stack `own` it uses.
fn matrices(own: &Shape, full: &Shape) -> Vec<usize> {
    let (strides, pad) = (own.strides(), full.len() - own.len());
    let index = |mut i: usize| {
        let mut at = 0;
        for axis in (0..full.len()).rev() {
            if axis >= pad && own[axis - pad] > 1 {
                at += i % full[axis] * strides[axis - pad];
            }
            i /= full[axis];
        }
        at
    };
    (0..full.numel()).map(index).collect()
}

/// A stack of matrices: their extents, whether they are meant transposed, and which one each place uses.
#[derive(Clone, Copy)]
struct Stack<'a, E> {
    data: &'a [E],
    extent: [usize; 2],
    transposed: bool,
    used: &'a [usize],
}

impl<'a, E> Stack<'a, E> {
    fn matrix(&self, place: usize) -> Matrix<'a, E> {
        let [rows, cols] = self.extent;
        let m = Matrix::new(&self.data[self.used[place] * rows * cols..], rows, cols);
        if self.transposed { m.t() } else { m }
    }

    fn t(self) -> Self {
        Stack { transposed: !self.transposed, ..self }
    }
}

/// C_(used[i]) = Σ_i A_i·B_i, C's matrices one after the other, m x n each.
fn multiply_stacks<E: Element>(
    precision: Precision,
    a: Stack<'_, E>,
    b: Stack<'_, E>,
    [m, n]: [usize; 2],
    used: &[usize],
    c: &mut [E],
) {
    if c.is_empty() {
        return;
    }
    let count = c.len() / (m * n);
    let mut places = vec![Vec::new(); count];
    used.iter().enumerate().for_each(|(place, &matrix)| places[matrix].push(place));
    let c = Shared::new(c);
    parallel::for_each(count, |i| {
        // SAFETY: matrix i of C is this call's alone.
        let c = unsafe { c.slice(i * m * n..(i + 1) * m * n) };
        match places[i].split_first() {
            None => c.fill(E::ZERO),
            Some((&first, others)) => {
                gemm::run(precision, a.matrix(first), b.matrix(first), c, Finish::SET);
                others.iter().for_each(|&j| gemm::run(precision, a.matrix(j), b.matrix(j), c, Finish::ADD));
            }
        }
    });
}

impl<E: Element> Tape<E> {
    /// a·b: [.., m, k] by [.., k, n] to [.., m, n]; the leading axes broadcast as NumPy's (torch.matmul of
    /// two or more axes). Panics when the shapes do not fit.
    #[track_caller]
    pub fn matmul(&mut self, a: Var<E>, b: Var<E>) -> Var<E> {
        const OP: &str = "matmul";
        let _span = profile::span(OP, "forward");
        let precision = self.precision();
        let (a_shape, b_shape) = (*a.shape(), *b.shape());
        let (Some((a_batch, &[m, k])), Some((b_batch, &[b_k, n]))) =
            (a_shape.split_last_chunk::<2>(), b_shape.split_last_chunk::<2>())
        else {
            panic!("{OP}: two axes or more expected, got shapes {a_shape:?} and {b_shape:?}")
        };
        assert_eq!(k, b_k, "{OP}: {a_shape:?} by {b_shape:?}");
        let (a_batch, b_batch) = (Shape::from(a_batch), Shape::from(b_batch));
        let batch = broadcast(OP, &a_batch, &b_batch);
        let mut c = Tensor::result(OP, &[&batch[..], &[m, n]].concat());
        let used = [matrices(&a_batch, &batch), matrices(&b_batch, &batch), (0..batch.numel()).collect()];

        // Where all of A's matrices meet one B, they are one matrix.
        if b_batch.numel() == 1 && a_batch.numel() == batch.numel() {
            let (rows, a, b) = (batch.numel() * m, a.value.data(), b.value.data());
            let (a, b) = (Matrix::new(a, rows, k), Matrix::new(b, k, n));
            gemm::run(precision, a, b, c.data_mut(), Finish::SET);
        } else {
            let a = Stack { data: a.value.data(), extent: [m, k], transposed: false, used: &used[0] };
            let b = Stack { data: b.value.data(), extent: [k, n], transposed: false, used: &used[1] };
            multiply_stacks(precision, a, b, [m, n], &used[2], c.data_mut());
        }
        let parents = [a.node, b.node];
        let (a, b) = (parents[1].map(|_| a.value), parents[0].map(|_| b.value));
        self.record(OP, c, &parents, move |dc, slots| {
            let dc = Stack { data: dc.data(), extent: [m, n], transposed: false, used: &used[2] };
            if let Some(b) = b {
                slots.add(parents[0], || {
                    let mut da = Tensor::stale(a_shape);
                    let b = Stack { data: b.data(), extent: [k, n], transposed: true, used: &used[1] };
                    multiply_stacks(precision, dc, b, [m, k], &used[0], da.data_mut());
                    da
                });
            }
            if let Some(a) = a {
                slots.add(parents[1], || {
                    let mut db = Tensor::stale(b_shape);
                    let a = Stack { data: a.data(), extent: [m, k], transposed: false, used: &used[0] };
                    multiply_stacks(precision, a.t(), dc, [k, n], &used[1], db.data_mut());
                    db
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::gradients;
    use super::*;
    use crate::random::Rng;

    fn random(shape: &[usize], seed: u64) -> Tensor<f64> {
        let mut rng = Rng::seed(seed);
        Tensor::from_fn(shape, |_| rng.range(-1.0, 1.0))
    }

    /// Σ over all places of the product, by definition: C and Σ C's gradients.
    fn naive(a: &Tensor<f64>, b: &Tensor<f64>, shape: &[usize]) -> [Tensor<f64>; 3] {
        let (sa, sb) = (*a.shape(), *b.shape());
        let (m, k, n) = (sa[sa.len() - 2], sa[sa.len() - 1], sb[sb.len() - 1]);
        let batch = Shape::new(&shape[..shape.len() - 2]);
        let (ua, ub) = (
            matrices(&Shape::new(&sa[..sa.len() - 2]), &batch),
            matrices(&Shape::new(&sb[..sb.len() - 2]), &batch),
        );
        let [mut c, mut da, mut db] = [Tensor::zeros(shape), Tensor::zeros(sa), Tensor::zeros(sb)];
        for p in 0..batch.numel() {
            for (i, j, t) in (0..m * n * k).map(|q| (q / (n * k), q / k % n, q % k)) {
                let (x, y) = (ua[p] * m * k + i * k + t, ub[p] * k * n + t * n + j);
                c.data_mut()[p * m * n + i * n + j] += a.data()[x] * b.data()[y];
                da.data_mut()[x] += b.data()[y];
                db.data_mut()[y] += a.data()[x];
            }
        }
        [c, da, db]
    }

    fn assert_close(got: &Tensor<f64>, want: &Tensor<f64>) {
        assert_eq!(got.shape(), want.shape());
        // Sums of at most 1000 terms of at most 1.
        let close = |(g, w): (&f64, &f64)| (g - w).abs() <= 1e6 * f64::EPSILON;
        assert!(got.data().iter().zip(want.data()).all(close), "{got:?} {want:?}");
    }

    #[test]
    fn stacks_broadcast_in_value_and_gradients() {
        for (a, b, c) in [
            (&[3, 4][..], &[4, 5][..], &[3, 5][..]),
            (&[2, 3, 4], &[4, 5], &[2, 3, 5]),
            (&[3, 4], &[2, 4, 5], &[2, 3, 5]),
            (&[2, 1, 3, 4], &[3, 4, 5], &[2, 3, 3, 5]),
            (&[2, 3, 17, 9], &[2, 1, 9, 33], &[2, 3, 17, 33]),
            (&[2, 3, 0], &[0, 5], &[2, 3, 5]),
            (&[0, 3, 4], &[4, 5], &[0, 3, 5]),
        ] {
            let (x, y) = (random(a, 1), random(b, 2));
            let [want, da, db] = naive(&x, &y, c);
            let (value, grads) = gradients([x, y], |g, [a, b]| g.matmul(a, b));
            assert_close(&value, &want);
            assert_close(&grads[0], &da);
            assert_close(&grads[1], &db);
        }
    }

    #[test]
    fn numpys_index_rule() {
        let (own, full) = (Shape::new(&[3, 1, 2]), Shape::new(&[2, 3, 2, 2]));
        let want: Vec<usize> = (0..24).map(|i| i / 4 % 3 * 2 + i % 2).collect();
        assert_eq!(matrices(&own, &full), want);
    }

    #[test]
    #[should_panic(expected = "matmul: [2, 3] by [4, 5]")]
    fn depths_must_fit() {
        let [a, b] = [[2, 3], [4, 5]].map(|s| Tensor::<f32>::zeros(s).into());
        Tape::infer().matmul(a, b);
    }
}
