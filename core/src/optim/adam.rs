//! Adam (Kingma and Ba, ICLR 2015): g ← g + λp, m ← m + (1 − β₁)(g − m), v ← β₂v + (1 − β₂)g²,
//! p ← p − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).
//!
//! AdamW (Loshchilov and Hutter, ICLR 2019): p ← (1 − ηλ)p in the place of g ← g + λp.

use super::block::{Formula, ParamBlock, get, put};
use crate::element::Element;
use crate::elementary;
use crate::simd::Simd;

/// Adam and AdamW. `Adam { weight_decay: 1e-4, ..Adam::new(1e-3) }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// The learning rate η.
    pub lr: f64,
    /// (β₁, β₂): how much of the gradient's mean and mean square is kept a step.
    pub betas: (f64, f64),
    /// ε, added to the root of the mean square.
    pub eps: f64,
    /// The weight decay λ.
    pub weight_decay: f64,
    /// AdamW: the weight decay shrinks the parameter; otherwise it is added to the gradient.
    pub decoupled: bool,
    /// AMSGrad (Reddi et al., ICLR 2018): the greatest v so far is used in the place of v.
    pub amsgrad: bool,
}

impl Adam {
    /// Adam with PyTorch's defaults: betas 0.9 and 0.999, ε = 1e-8, no weight decay.
    pub fn new(lr: f64) -> Self {
        Adam { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false, amsgrad: false }
    }

    /// AdamW with PyTorch's defaults: as [`Adam::new`], with a decoupled weight decay of 0.01.
    pub fn decoupled(lr: f64) -> Self {
        Adam { weight_decay: 0.01, decoupled: true, ..Adam::new(lr) }
    }
}

/// The constants of one step.
#[derive(Clone, Copy)]
pub(super) struct AdamStep<E> {
    /// λ, where it is added to the gradient
    decay: E,
    /// 1 − ηλ, where it shrinks the parameter
    keep: E,
    /// 1 − β₁
    first: E,
    /// β₂ and 1 − β₂
    second: [E; 2],
    /// η/(1 − β₁ᵗ)
    rate: E,
    /// √(1 − β₂ᵗ)
    root: E,
    eps: E,
    amsgrad: bool,
}

impl Adam {
    /// Those of step t = 1, 2, ..
    pub(super) fn at_step<E: Element>(&self, t: u64) -> AdamStep<E> {
        let e = E::from_f64;
        let (beta1, beta2) = self.betas;
        let power = |beta| elementary::powi(beta, i32::try_from(t).unwrap_or(i32::MAX));
        let (shrink, decay) =
            if self.decoupled { (self.lr * self.weight_decay, 0.0) } else { (0.0, self.weight_decay) };
        AdamStep {
            decay: e(decay),
            keep: e(1.0 - shrink),
            first: e(1.0 - beta1),
            second: [e(beta2), e(1.0 - beta2)],
            rate: e(self.lr / (1.0 - power(beta1))),
            root: e((1.0 - power(beta2)).sqrt()),
            eps: e(self.eps),
            amsgrad: self.amsgrad,
        }
    }
}

impl<E: Element> Formula<E> for AdamStep<E> {
    #[inline(always)]
    fn update<S: Simd<E>>(self, s: S, block: &mut ParamBlock<'_, E>, i: usize) {
        let ParamBlock { p, g, state: [mean, square, greatest], .. } = block;
        let x = get(s, p, i);
        let d = s.fma(s.splat(self.decay), x, get(s, g, i));
        let (m, v) = (get(s, mean, i), get(s, square, i));
        let m = s.fma(s.splat(self.first), s.sub(d, m), m);
        let v = s.fma(s.splat(self.second[0]), v, s.mul(s.splat(self.second[1]), s.mul(d, d)));
        put(s, mean, i, m);
        put(s, square, i, v);
        let v = if self.amsgrad { s.max(v, get(s, greatest, i)) } else { v };
        if self.amsgrad {
            put(s, greatest, i, v);
        }
        let size = s.add(s.div(s.sqrt(v), s.splat(self.root)), s.splat(self.eps));
        put(s, p, i, s.fma(s.splat(-self.rate), s.div(m, size), s.mul(s.splat(self.keep), x)));
    }
}
