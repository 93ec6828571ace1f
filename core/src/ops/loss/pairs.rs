//! Losses ℓ(x, t) of pairs: squares, smooth absolute differences, binary cross entropy.
//!
//! Each is three functions of an element: the loss and its two partial derivatives; backward evaluates them
//! anew.

use super::reduction::{Reduction, Times};
use crate::ops::elementwise::{Map, apply, maps};
use crate::ops::reduce::sum_all;
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, tensor::Tensor};

/// A loss ℓ(x, t) of a pair, with a parameter p for each. Mark the methods with `#[inline(always)]`.
trait Pair<E>: Copy + Send + Sync + 'static {
    const NAME: &'static str;
    fn loss(self, p: E, x: E, t: E) -> E;
    fn dx(self, p: E, x: E, t: E) -> E;
    fn dt(self, p: E, x: E, t: E) -> E;
}

/// (x - t)²
#[derive(Clone, Copy)]
struct Mse;
impl<E: Element> Pair<E> for Mse {
    const NAME: &'static str = "mse";
    #[inline(always)]
    fn loss(self, _: E, x: E, t: E) -> E {
        (x - t) * (x - t)
    }
    #[inline(always)]
    fn dx(self, _: E, x: E, t: E) -> E {
        (x - t) + (x - t)
    }
    #[inline(always)]
    fn dt(self, _: E, x: E, t: E) -> E {
        (t - x) + (t - x)
    }
}

/// d² / (2 β) for d = |x - t| < β, else d - β / 2.
#[derive(Clone, Copy)]
struct SmoothL1<E>(E);
impl<E: Element> Pair<E> for SmoothL1<E> {
    const NAME: &'static str = "smooth_l1";
    #[inline(always)]
    fn loss(self, _: E, x: E, t: E) -> E {
        let (d, half) = ((x - t).abs(), E::from_f64(0.5));
        if d < self.0 { half * d * d / self.0 } else { d - half * self.0 }
    }
    #[inline(always)]
    fn dx(self, _: E, x: E, t: E) -> E {
        let d = x - t;
        if d.abs() < self.0 {
            d / self.0
        } else if d > E::ZERO {
            E::ONE
        } else if d < E::ZERO {
            -E::ONE
        } else if self.0 > E::ZERO {
            // NaN.
            d
        } else {
            // The sign of 0, and of NaN.
            E::ZERO
        }
    }
    #[inline(always)]
    fn dt(self, p: E, x: E, t: E) -> E {
        -self.dx(p, x, t)
    }
}

/// (1 - t) x + (1 + (p - 1) t) ln(1 + e⁻ˣ): -p t ln σ(x) - (1 - t) ln(1 - σ(x)) without overflow.
#[derive(Clone, Copy)]
struct Bce;
impl Bce {
    /// ln(1 + e⁻ˣ)
    #[inline(always)]
    fn softplus_neg<E: Element>(x: E) -> E {
        (-x.abs()).exp().ln_1p() + (-x).max(E::ZERO)
    }
}
impl<E: Element> Pair<E> for Bce {
    const NAME: &'static str = "bce_with_logits";
    #[inline(always)]
    fn loss(self, p: E, x: E, t: E) -> E {
        (E::ONE - t) * x + (E::ONE + (p - E::ONE) * t) * Self::softplus_neg(x)
    }
    #[inline(always)]
    fn dx(self, p: E, x: E, t: E) -> E {
        // 1 - t - (1 + (p - 1) t) σ(-x) = (1 - t) σ(x) - p t σ(-x)
        let e = (-x.abs()).exp();
        let (big, small) = (E::ONE / (E::ONE + e), e / (E::ONE + e));
        let (pos, neg) = if x > E::ZERO { (big, small) } else { (small, big) };
        (E::ONE - t) * pos - p * t * neg
    }
    #[inline(always)]
    fn dt(self, p: E, x: E, _: E) -> E {
        // Without a factor there is nothing that an infinite logit could make NaN of.
        let weighted = if p == E::ONE { E::ZERO } else { (p - E::ONE) * Self::softplus_neg(x) };
        weighted - x
    }
}

maps! { |f: Pair, d, a, b|
    LossOf: f.loss(d, a, b);
    DxOf: f.dx(d, a, b);
    DtOf: f.dt(d, a, b);
}

/// Factors of [`Tape::bce_with_logits`]; both broadcast to the logits' shape.
#[derive(Clone, Copy, Debug)]
pub struct BceWeights<'a, E: Element> {
    /// A factor for the loss of each element; 1 if absent.
    pub weight: Option<&'a Tensor<E>>,
    /// A factor for the part of the loss that a positive target contributes; 1 if absent.
    pub pos_weight: Option<&'a Tensor<E>>,
}

impl<E: Element> Default for BceWeights<'_, E> {
    fn default() -> Self {
        BceWeights { weight: None, pos_weight: None }
    }
}

/// The functions of a pair with their parameters: what forward and backward share.
#[derive(Clone)]
struct Pairs<E: Element> {
    x: Tensor<E>,
    t: Tensor<E>,
    p: Option<Tensor<E>>,
    weight: Option<Tensor<E>>,
}

impl<E: Element> Pairs<E> {
    /// weight · f(p, x, t), element by element.
    #[track_caller]
    fn each(&self, f: impl Map<E>) -> Tensor<E> {
        let mut d = Tensor::full(*self.x.shape(), E::ONE);
        if let Some(p) = &self.p {
            apply(&mut d, Some(p), None, Times);
        }
        apply(&mut d, Some(&self.x), Some(&self.t), f);
        if let Some(w) = &self.weight {
            apply(&mut d, Some(w), None, Times);
        }
        d
    }
}

impl<E: Element> Tape<E> {
    #[track_caller]
    fn pair_loss<F: Pair<E>>(
        &mut self,
        f: F,
        [x, t]: [Var<E>; 2],
        [weight, p]: [Option<&Tensor<E>>; 2],
        reduction: Reduction,
    ) -> Var<E> {
        let _span = profile::span(F::NAME, "forward");
        assert_eq!(x.shape(), t.shape(), "{}: shapes of x and target", F::NAME);
        let nodes = [x.node, t.node];
        let pairs = Pairs { x: x.value, t: t.value, p: p.cloned(), weight: weight.cloned() };
        let losses = pairs.each(LossOf(f));
        let n = E::from_usize(losses.len());
        let y = match reduction {
            Reduction::Mean => Tensor::scalar(sum_all(losses.data()) / n),
            Reduction::Sum => Tensor::scalar(sum_all(losses.data())),
            Reduction::None => losses,
        };
        self.record(F::NAME, y, &nodes, move |g, slots| {
            let g = if reduction == Reduction::Mean { Tensor::scalar(g.item() / n) } else { g };
            let times_g = |mut d: Tensor<E>| {
                apply(&mut d, Some(&g), None, Times);
                d
            };
            slots.add(nodes[0], || times_g(pairs.each(DxOf(f))));
            slots.add(nodes[1], || times_g(pairs.each(DtOf(f))));
        })
    }

    /// (x - target)². Equal shapes.
    #[track_caller]
    pub fn mse(&mut self, x: Var<E>, target: impl Into<Var<E>>, reduction: Reduction) -> Var<E> {
        self.pair_loss(Mse, [x, target.into()], [None, None], reduction)
    }

    /// d² / (2 β) where d = |x - target| < β, else d - β / 2; β = 0 is the absolute difference. Equal shapes.
    #[track_caller]
    pub fn smooth_l1(
        &mut self,
        x: Var<E>,
        target: impl Into<Var<E>>,
        beta: f64,
        reduction: Reduction,
    ) -> Var<E> {
        assert!(beta >= 0.0, "smooth_l1: beta {beta} is negative");
        self.pair_loss(SmoothL1(E::from_f64(beta)), [x, target.into()], [None, None], reduction)
    }

    /// -w (p t ln σ(x) + (1 - t) ln(1 - σ(x))) of logits x and targets t in [0, 1]. Equal shapes. The mean
    /// divides by the number of elements, whatever the weights (PyTorch's definition).
    #[track_caller]
    pub fn bce_with_logits(
        &mut self,
        logits: Var<E>,
        target: impl Into<Var<E>>,
        weights: BceWeights<'_, E>,
        reduction: Reduction,
    ) -> Var<E> {
        self.pair_loss(Bce, [logits, target.into()], [weights.weight, weights.pos_weight], reduction)
    }
}

#[cfg(test)]
mod tests {
    use super::super::reduction::close;
    use super::*;
    use crate::ops::testing::gradients;

    fn t(shape: &[usize], data: &[f64]) -> Tensor<f64> {
        Tensor::from_slice(shape, data)
    }

    #[test]
    fn pairs() {
        let x = t(&[4], &[0.5, -3.0, 1.0, 2.0]);
        let zero = Tensor::zeros([4]);
        let (y, [g, h]) =
            gradients([x.clone(), zero.clone()], |t, [x, z]| t.smooth_l1(x, z, 1.0, Reduction::None));
        assert_eq!(y.data(), [0.125, 2.5, 0.5, 1.5]);
        assert_eq!(g.data(), [0.5, -1.0, 1.0, 1.0]);
        assert_eq!(h.data(), [-0.5, 1.0, -1.0, -1.0]);
        let (y, [g, _]) = gradients([x, zero], |t, [x, z]| t.mse(x, z, Reduction::Mean));
        assert_eq!((y.item(), g.data()), (14.25 / 4.0, &[0.25, -1.5, 0.5, 1.0][..]));
    }

    /// Values of PyTorch 2.15.
    #[test]
    fn not_a_number_is_pytorchs() {
        let (x, zero) = (t(&[3], &[f64::NAN, f64::NEG_INFINITY, 2.0]), Tensor::zeros([3]));
        let smooth = |beta| {
            gradients([x.clone(), zero.clone()], |t, [x, z]| t.smooth_l1(x, z, beta, Reduction::None)).1
        };
        assert_eq!(smooth(0.0)[0].data(), [0.0, -1.0, 1.0]);
        assert!(smooth(1.0)[0].data()[0].is_nan());
        let bce = |weights| {
            gradients([x.clone(), zero.clone()], |t, [x, z]| {
                t.bce_with_logits(x, z, weights, Reduction::None)
            })
        };
        let (y, [g, h]) = bce(BceWeights::default());
        assert!(y.data()[0].is_nan() && y.data()[1].is_nan() && g.data()[0].is_nan() && h.data()[0].is_nan());
        assert_eq!((g.data()[1], &h.data()[1..]), (0.0, &[f64::INFINITY, -2.0][..]));
        let none = Tensor::zeros([0]);
        for f in [Tape::mse, |t: &mut Tape<f64>, x, z, r| t.smooth_l1(x, z, 1.0, r)] {
            let f: fn(&mut Tape<f64>, Var<f64>, Var<f64>, Reduction) -> Var<f64> = f;
            let (y, [g, _]) =
                gradients([none.clone(), none.clone()], |t, [x, z]| f(t, x, z, Reduction::Mean));
            assert!(y.item().is_nan() && g.is_empty());
        }
    }

    #[test]
    fn bce_is_finite_at_any_logit_and_weighted() {
        let x = t(&[4], &[1000.0, -1000.0, 0.0, 0.0]);
        let z = t(&[4], &[0.0, 1.0, 1.0, 0.0]);
        let (w, p) = (t(&[], &[2.0]), t(&[1], &[3.0]));
        let weights = BceWeights { weight: Some(&w), pos_weight: Some(&p) };
        let (y, [g, _]) = gradients([x, z], |t, [x, z]| t.bce_with_logits(x, z, weights, Reduction::None));
        close(y.data(), &[2000.0, 6000.0, 6.0 * 2f64.ln(), 2.0 * 2f64.ln()]);
        close(g.data(), &[2.0, -6.0, -3.0, 1.0]);
    }

    /// Each loss is a polynomial of the target, of degree 2 at most, on a stretch of 1/4 either way: central
    /// differences are exact.
    #[test]
    fn gradients_of_targets() {
        let x = t(&[5], &[-3.0, -0.6, 0.1, 0.7, 2.0]);
        let z = t(&[5], &[1.0, 0.0, 0.5, 1.5, -0.3]);
        let (w, p) = (t(&[5], &[2.0, 0.5, 3.0, 1.0, 0.25]), t(&[1], &[3.0]));
        let bce = BceWeights { weight: Some(&w), pos_weight: Some(&p) };
        let losses: [&dyn Fn(&mut Tape<f64>, Var<f64>, Var<f64>) -> Var<f64>; 4] = [
            &|g, x, z| g.mse(x, z, Reduction::None),
            &|g, x, z| g.smooth_l1(x, z, 4.5, Reduction::None),
            &|g, x, z| g.bce_with_logits(x, z, BceWeights::default(), Reduction::None),
            &|g, x, z| g.bce_with_logits(x, z, bce, Reduction::None),
        ];
        for loss in losses {
            let (_, [_, found]) = gradients([x.clone(), z.clone()], |g, [x, z]| loss(g, x, z));
            let at = |step: f64| {
                let z = Tensor::from_fn([5], |i| z.data()[i] + step);
                loss(&mut Tape::infer(), x.clone().into(), z.into()).value
            };
            let (above, below) = (at(0.25), at(-0.25));
            let want: Vec<f64> = above.data().iter().zip(below.data()).map(|(a, b)| 2.0 * (a - b)).collect();
            close(found.data(), &want);
        }
    }
}
