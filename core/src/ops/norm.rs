//! Batch normalisation and its frozen form, y = act(γ x̂ + β) with x̂ = (x - μ) / √(σ² + ε), over the last
//! axis (channels).
//!
//! Training reads memory twice forward and twice backward. Moments: a block of n_b rows has a mean m_b,
//! rounded, and about it a sum of differences and one of squares; blocks join exactly (after Chan, Golub,
//! LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances*, 1979): μ = Σ_b (n_b
//! m_b + Σ (x - m_b)) / m, M₂ = Σ_b Σ (x - m_b)² + 2 (m_b - μ) Σ (x - m_b) + n_b (m_b - μ)². Backward, with
//! g' the gradient behind the activation and m rows: ∂β = Σ g', ∂γ = Σ g' x̂, ∂x = γ / √(σ² + ε) · (g' - ∂β /
//! m - x̂ ∂γ / m). Whether the activation passes a gradient is computed anew from x, in the same way as in
//! forward, so that y is not kept; a convolution that reads y makes it again as well.

mod blocks;
mod channels;

use super::elementwise::{Map, apply};
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd};
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Activation, profile, tensor::Tensor};
use blocks::{block_rows, blocks};
use channels::Channels;

/// What a batch knows of its channels: `[C]` each, 0 of a batch of nothing.
#[derive(Clone, Debug)]
pub struct BatchStats<E: Element> {
    /// The mean.
    pub mean: Tensor<E>,
    /// The variance with divisor m - 1.
    pub unbiased_var: Tensor<E>,
    /// Whether there are any values.
    known: bool,
}

impl<E: Element> BatchStats<E> {
    /// Moves running statistics towards the batch's: r ← (1 - momentum) r + momentum v. A batch of nothing
    /// moves none.
    pub fn update(&self, running_mean: &mut Tensor<E>, running_var: &mut Tensor<E>, momentum: f64) {
        if !self.known {
            return;
        }
        let (keep, take) = (E::from_f64(1.0 - momentum), E::from_f64(momentum));
        for (r, v) in [(running_mean, &self.mean), (running_var, &self.unbiased_var)] {
            r.data_mut().iter_mut().zip(v.data()).for_each(|(r, &v)| *r = keep * *r + take * v);
        }
    }
}

/// For each channel of a block of rows the rounded mean, and about it the sum of differences (what the
/// rounding left) and the sum of squares.
struct BlockMoments<'a, E> {
    x: &'a [E],
    mean: &'a mut [E],
    rest: &'a mut [E],
    m2: &'a mut [E],
}

impl<E: Element> Kernel<E> for BlockMoments<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let c = self.mean.len();
        self.mean.fill(E::ZERO);
        self.rest.fill(E::ZERO);
        self.m2.fill(E::ZERO);
        for row in self.x.chunks_exact(c) {
            for (s, &x) in self.mean.iter_mut().zip(row) {
                *s += x;
            }
        }
        let n = E::from_usize(self.x.len() / c);
        for s in self.mean.iter_mut() {
            *s /= n;
        }
        for row in self.x.chunks_exact(c) {
            let sums = self.rest.iter_mut().zip(self.m2.iter_mut());
            for (((rest, m2), &mean), &x) in sums.zip(self.mean.iter()).zip(row) {
                let d = x - mean;
                *rest += d;
                *m2 += d * d;
            }
        }
    }
}

/// The mean and the sum of squares about it of each channel of [rows, c], in double precision.
fn moments<E: Element>(x: &[E], c: usize) -> (Vec<f64>, Vec<f64>) {
    if x.is_empty() {
        return (vec![0.0; c], vec![0.0; c]);
    }
    let rows = x.len() / c;
    let n = rows.div_ceil(block_rows(c));
    let mut partial = Tensor::<E>::stale([n, 3 * c]);
    let out = Shared::new(partial.data_mut());
    blocks(rows, c, |b, range| {
        // SAFETY: block b's part is this call's alone.
        let (mean, sums) = unsafe { out.slice(b * 3 * c..(b + 1) * 3 * c) }.split_at_mut(c);
        let (rest, m2) = sums.split_at_mut(c);
        E::dispatch(BlockMoments { x: &x[range], mean, rest, m2 });
    });
    let mut joined = vec![(0.0, 0.0); c];
    parallel::chunks(&mut joined, 64, |i, channels| join_moments(partial.data(), rows, c, i * 64, channels));
    joined.into_iter().unzip()
}

/// (mean, sum of squares about it) of the channels from `first`, from what the blocks know: [blocks, 3, c].
fn join_moments<E: Element>(partial: &[E], rows: usize, c: usize, first: usize, channels: &mut [(f64, f64)]) {
    let size = |b: usize| block_rows(c).min(rows - b * block_rows(c)) as f64;
    let blocks = || {
        partial.chunks_exact(3 * c).enumerate().map(|(b, p)| {
            let of = move |what: usize, k: usize| p[what * c + first + k].to_f64();
            (size(b), of)
        })
    };
    for (n, of) in blocks() {
        for (k, (mean, _)) in channels.iter_mut().enumerate() {
            *mean += n * of(0, k) + of(1, k);
        }
    }
    channels.iter_mut().for_each(|m| m.0 /= rows as f64);
    for (n, of) in blocks() {
        for (k, (mean, m2)) in channels.iter_mut().enumerate() {
            let shift = of(0, k) - *mean;
            *m2 += of(2, k) + shift * (2.0 * of(1, k) + n * shift);
        }
    }
}

/// g scale where the activation let the result pass, else 0.
#[derive(Clone, Copy)]
struct Frozen(Activation);
impl<E: Element> Map<E> for Frozen {
    #[inline(always)]
    fn at(self, g: E, y: E, scale: E) -> E {
        if self.0.passes(y) { g * scale } else { E::ZERO }
    }
}

fn zip<E: Element>(a: &Tensor<E>, b: &Tensor<E>, f: impl Fn(E, E) -> E) -> Tensor<E> {
    Tensor::from_fn(*a.shape(), |k| f(a.data()[k], b.data()[k]))
}

#[track_caller]
fn check<E: Element>(op: &str, x: &Tensor<E>, vectors: &[&Tensor<E>]) -> usize {
    let c = *x.shape().last().unwrap_or_else(|| panic!("{op}: [.., C] expected, got a scalar"));
    for v in vectors {
        assert_eq!(
            v.shape()[..],
            [c],
            "{op}: x of shape {:?} and a vector of shape {:?}",
            x.shape(),
            v.shape()
        );
    }
    c
}

impl<E: Element> Tape<E> {
    /// Normalises [.., C] by the batch's mean and biased variance, then γ, β (`[C]` each) and an activation.
    /// Also returns the batch's statistics, for running ones. Panics where a channel has one value only; of
    /// none comes none. Source: Ioffe, Szegedy, *Batch normalization*, 2015, algorithm 1;
    /// `torch.nn.BatchNorm2d`.
    #[track_caller]
    pub fn batch_norm_train(
        &mut self,
        x: Var<E>,
        gamma: Var<E>,
        beta: Var<E>,
        eps: f64,
        activation: Activation,
    ) -> (Var<E>, BatchStats<E>) {
        let _span = profile::span("batch_norm", "forward");
        let c = check("batch_norm", &x.value, &[&gamma.value, &beta.value]);
        let rows: usize = x.shape().iter().rev().skip(1).product();
        assert!(
            rows != 1,
            "batch_norm: more than one value a channel is needed to train, got {:?}",
            x.shape()
        );
        let nodes = [x.node, gamma.node, beta.node];
        let (mean, m2) = moments(x.value.data(), c);
        let vector = |f: &dyn Fn(usize) -> f64| Tensor::<E>::from_fn([c], |k| E::from_f64(f(k)));
        let rstd = vector(&|k| 1.0 / (m2[k] / rows.max(1) as f64 + eps).sqrt());
        let stats = BatchStats {
            mean: vector(&|k| mean[k]),
            unbiased_var: vector(&|k| m2[k] / (rows as f64 - 1.0)),
            known: rows > 0,
        };
        let scale = zip(&gamma.value, &rstd, |g, r| g * r);
        let at = Channels::new(stats.mean.clone(), scale, beta.value, activation);
        let kept = self.records(&nodes).then(|| x.value.clone());
        let y = at.forward(x.value);
        let again = kept.clone().map(|x| (at.clone(), x));
        let y = self.record("batch_norm", y, &nodes, move |mut g, slots| {
            let Some(x) = kept else { return };
            let [sum, dot] = at.sums(&x, &g);
            slots.add(nodes[0], || {
                let m = E::from_usize(rows);
                let a = sum.clone().map(|s| s / m);
                let b = zip(&dot, &rstd, |d, r| d * r * r / m);
                at.backward(&x, &mut g, Some([a.data(), b.data()]));
                g
            });
            slots.add(nodes[1], || zip(&dot, &rstd, |d, r| d * r));
            slots.add(nodes[2], || sum);
        });
        if let Some((at, x)) = again {
            self.can_make_again(&y, move || {
                let _span = profile::span("batch_norm", "again");
                at.forward(x.clone())
            });
        }
        (y, stats)
    }

    /// Batch norm with given statistics (`[C]` each): evaluation mode. Gradients reach x, γ and β.
    #[track_caller]
    #[allow(clippy::too_many_arguments)]
    pub fn batch_norm_eval(
        &mut self,
        x: Var<E>,
        gamma: Var<E>,
        beta: Var<E>,
        mean: &Tensor<E>,
        var: &Tensor<E>,
        eps: f64,
        activation: Activation,
    ) -> Var<E> {
        check("batch_norm", &x.value, &[&gamma.value, &beta.value, mean, var]);
        let rstd = var.clone().map(|v| E::ONE / (v + E::from_f64(eps)).sqrt());
        let scale = self.mul(gamma, rstd.into());
        let offset = self.mul(scale.clone(), mean.clone().into());
        let shift = self.sub(beta, offset);
        self.affine(x, scale, shift, activation)
    }

    /// act(x · scale + shift) for [.., C] with `[C]` each: a frozen batch norm. Where neither vector is live,
    /// backward keeps no more than the result, and without activation nothing.
    #[track_caller]
    pub fn affine(&mut self, x: Var<E>, scale: Var<E>, shift: Var<E>, activation: Activation) -> Var<E> {
        let _span = profile::span("affine", "forward");
        let c = check("affine", &x.value, &[&scale.value, &shift.value]);
        let nodes = [x.node, scale.node, shift.node];
        let vectors_live = self.records(&nodes[1..]);
        let at = Channels::new(Tensor::zeros([c]), scale.value, shift.value, activation);
        let kept_x = vectors_live.then(|| x.value.clone());
        let y = at.forward(x.value);
        let keep_y = !vectors_live && activation != Activation::None && self.records(&nodes);
        let kept_y = keep_y.then(|| y.clone());
        self.record("affine", y, &nodes, move |mut g, slots| {
            let Some(x) = kept_x else {
                let f = if kept_y.is_some() { Frozen(activation) } else { Frozen(Activation::None) };
                return slots.add(nodes[0], || {
                    apply(&mut g, kept_y.as_ref(), Some(&at.scale), f);
                    g
                });
            };
            let [sum, dot] = at.sums(&x, &g);
            slots.add(nodes[0], || {
                at.backward(&x, &mut g, None);
                g
            });
            slots.add(nodes[1], || dot);
            slots.add(nodes[2], || sum);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::gradients;

    fn image(c: usize, rows: usize) -> Tensor<f64> {
        Tensor::from_fn([rows, 1, 1, c], |i| ((i * 7919 + i / 3) % 101) as f64 / 10.0 - 3.0)
    }

    fn close(a: &Tensor<f64>, b: &Tensor<f64>, tolerance: f64) {
        let scale = b.data().iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let off = a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(a.shape() == b.shape() && off <= tolerance * scale, "{off} of {scale}");
    }

    #[test]
    fn moments_join_exactly() {
        for (c, rows) in [(1, 2), (3, 1000), (17, 257), (64, 513)] {
            let x = image(c, rows);
            let (mean, m2) = moments(x.data(), c);
            for k in 0..c {
                let column: Vec<f64> = x.data().iter().skip(k).step_by(c).copied().collect();
                let m = column.iter().sum::<f64>() / rows as f64;
                let s: f64 = column.iter().map(|x| (x - m).powi(2)).sum();
                // Sums of up to 1000 terms in double precision: gamma_1000 is 1.1e-13.
                assert!((mean[k] - m).abs() < 1e-12 && (m2[k] - s).abs() <= 1e-12 * s);
            }
        }
    }

    #[test]
    fn variance_survives_a_large_mean() {
        // The naive formula E x² - (E x)² loses all digits of this variance in f32.
        let x = Tensor::<f32>::from_fn([10_000, 1], |i| 4096.0 + (i % 2) as f32);
        let (mean, m2) = moments(x.data(), 1);
        assert_eq!((mean[0], m2[0] / 10_000.0), (4096.5, 0.25));
    }

    /// Batch norm out of elementary ops.
    fn composed(t: &mut Tape<f64>, [x, gamma, beta]: [Var<f64>; 3], act: Activation) -> Var<f64> {
        let mean = t.mean(x.clone(), &[0, 1, 2], true);
        let d = t.sub(x, mean);
        let squares = t.mul(d.clone(), d.clone());
        let var = t.mean(squares, &[0, 1, 2], true);
        let var = t.add_scalar(var, 1e-5);
        let std = t.sqrt(var);
        let y = t.div(d, std);
        let y = t.mul(y, gamma);
        let y = t.add(y, beta);
        match act {
            Activation::None => y,
            Activation::Relu => t.relu(y),
            Activation::Relu6 => t.relu6(y),
        }
    }

    #[test]
    fn equals_its_composition_forward_and_backward() {
        for act in [Activation::None, Activation::Relu, Activation::Relu6] {
            let (x, c) = (image(5, 700), 5);
            let gamma = Tensor::from_fn([c], |k| 0.5 + k as f64);
            let beta = Tensor::from_fn([c], |k| k as f64 - 1.5);
            let weight = Tensor::from_fn(*x.shape(), |i| (i * 31 % 17) as f64 - 7.0);
            let weigh = |t: &mut Tape<f64>, y: Var<f64>| t.mul(y, weight.clone().into());
            let fused = gradients([x.clone(), gamma.clone(), beta.clone()], |t, [x, g, b]| {
                let y = t.batch_norm_train(x, g, b, 1e-5, act).0;
                weigh(t, y)
            });
            let apart = gradients([x, gamma, beta], |t, v| {
                let y = composed(t, v, act);
                weigh(t, y)
            });
            // Sums of 700 terms of either sign in double precision.
            close(&fused.0, &apart.0, 1e-12);
            fused.1.iter().zip(&apart.1).for_each(|(a, b)| close(a, b, 1e-11));
        }
    }

    #[test]
    fn in_place_it_is_the_same() {
        let (x, c) = (image(5, 700), 5);
        let vector = |first: f64| Var::from(Tensor::from_fn([c], |k| first + k as f64));
        for act in [Activation::None, Activation::Relu, Activation::Relu6] {
            let norm = |x: Tensor<f64>| {
                Tape::infer().batch_norm_train(x.into(), vector(0.5), vector(-1.5), 1e-5, act).0.value
            };
            let alone = Tensor::from_slice(*x.shape(), x.data());
            let place = alone.data().as_ptr();
            let (apart, in_place) = (norm(x.clone()), norm(alone));
            assert_eq!((in_place.data(), in_place.data().as_ptr()), (apart.data(), place));
        }
    }

    #[test]
    fn affine_keeps_what_it_needs_and_no_more() {
        let x = image(3, 50);
        let (scale, shift) =
            (Tensor::from_slice([3], &[2.0, -1.0, 0.5]), Tensor::from_slice([3], &[0.1, 0.2, 0.3]));
        for act in [Activation::None, Activation::Relu, Activation::Relu6] {
            let live =
                gradients([x.clone(), scale.clone(), shift.clone()], |t, [x, s, b]| t.affine(x, s, b, act));
            let frozen =
                gradients([x.clone()], |t, [x]| t.affine(x, scale.clone().into(), shift.clone().into(), act));
            assert_eq!((&live.0, &live.1[0]), (&frozen.0, &frozen.1[0]));
        }
    }

    #[test]
    fn a_batch_of_nothing_moves_nothing() {
        let one = || Tensor::full([2], 1.0);
        let mut t = Tape::<f64>::eval();
        let inputs = [Tensor::zeros([0, 3, 3, 2]), one(), one()].map(|v| t.input(v));
        let [x, gamma, beta] = inputs.clone();
        let (y, stats) = t.batch_norm_train(x, gamma, beta, 1e-5, Activation::Relu);
        let (mut m, mut v) = (Tensor::zeros([2]), one());
        stats.update(&mut m, &mut v, 0.1);
        assert_eq!(
            (m.data(), v.data(), y.shape()[..].to_vec()),
            (&[0.0; 2][..], &[1.0; 2][..], vec![0, 3, 3, 2])
        );
        let g = t.backward_from([(y.node, y.value)]);
        assert_eq!(inputs.map(|v| g.of(&v).unwrap().data().to_vec()), [vec![], vec![0.0; 2], vec![0.0; 2]]);
    }

    #[test]
    fn infinite_values_pass_a_frozen_norm() {
        let x = Tensor::from_slice([3, 1], &[f64::INFINITY, f64::NEG_INFINITY, 1.0]);
        for (act, want) in [
            (Activation::None, [2.0; 3]),
            (Activation::Relu, [2.0, 0.0, 2.0]),
            (Activation::Relu6, [0.0, 0.0, 2.0]),
        ] {
            let live = [x.clone(), Tensor::full([1], 2.0), Tensor::zeros([1])];
            let (_, g) = gradients(live, |t, [x, s, b]| t.affine(x, s, b, act));
            assert_eq!(g[0].data(), want);
        }
    }

    #[test]
    fn running_statistics() {
        let x = Tensor::from_slice([4, 1], &[1.0, 2.0, 3.0, 6.0]);
        let one = || Var::from(Tensor::full([1], 1.0));
        let mut t = Tape::<f64>::infer();
        let (_, stats) = t.batch_norm_train(x.clone().into(), one(), one(), 0.0, Activation::None);
        let (mut m, mut v) = (Tensor::zeros([1]), Tensor::full([1], 1.0));
        stats.update(&mut m, &mut v, 0.25);
        // mean 3, squares about it 14, unbiased 14 / 3
        assert!((m.item() - 0.75).abs() < 1e-15 && (v.item() - (0.75 + 14.0 / 12.0)).abs() < 1e-15);
        let y =
            t.batch_norm_eval(x.into(), one(), one(), &m, &Tensor::full([1], 0.25), 0.0, Activation::None);
        assert_eq!(y.value.data(), [1.5, 3.5, 5.5, 11.5]);
    }
}
