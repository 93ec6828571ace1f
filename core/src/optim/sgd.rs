//! SGD (Polyak 1964; Nesterov 1983; in the form of Sutskever et al., ICML 2013): g ← g + λp, v ← μv + g, p ←
//! p − ηv, or p ← p − η(g + μv) with Nesterov's momentum; without momentum p ← p − ηg.

use super::block::{Formula, ParamBlock, get, put};
use crate::element::Element;
use crate::simd::Simd;

/// Stochastic gradient descent. `Sgd { momentum: 0.9, ..Sgd::new(0.1) }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The learning rate η.
    pub lr: f64,
    /// The momentum μ.
    pub momentum: f64,
    /// The weight decay λ, added to the gradient.
    pub weight_decay: f64,
    /// How much of the gradient the velocity leaves out after the first step: v ← μv + (1 − dampening) g. 0
    /// is usual.
    pub dampening: f64,
    /// Whether to look ahead along the velocity.
    pub nesterov: bool,
}

impl Sgd {
    /// Without momentum and weight decay.
    pub fn new(lr: f64) -> Self {
        Sgd { lr, momentum: 0.0, weight_decay: 0.0, dampening: 0.0, nesterov: false }
    }
}

/// The constants of one step.
#[derive(Clone, Copy)]
pub(super) struct SgdStep<E> {
    lr: E,
    momentum: Option<E>,
    take: E,
    decay: E,
    nesterov: bool,
}

impl Sgd {
    /// Those of step t = 1, 2, ..
    pub(super) fn at_step<E: Element>(&self, t: u64) -> SgdStep<E> {
        SgdStep {
            lr: E::from_f64(self.lr),
            momentum: (self.momentum != 0.0).then_some(E::from_f64(self.momentum)),
            // The velocity begins as the first gradient.
            take: E::from_f64(if t == 1 { 1.0 } else { 1.0 - self.dampening }),
            decay: E::from_f64(self.weight_decay),
            nesterov: self.nesterov,
        }
    }
}

impl<E: Element> Formula<E> for SgdStep<E> {
    #[inline(always)]
    fn update<S: Simd<E>>(self, s: S, block: &mut ParamBlock<'_, E>, i: usize) {
        let ParamBlock { p, g, state: [velocity, ..], .. } = block;
        let x = get(s, p, i);
        let mut d = s.fma(s.splat(self.decay), x, get(s, g, i));
        if let Some(mu) = self.momentum {
            let v = s.fma(s.splat(mu), get(s, velocity, i), s.mul(s.splat(self.take), d));
            put(s, velocity, i, v);
            d = if self.nesterov { s.fma(s.splat(mu), v, d) } else { v };
        }
        put(s, p, i, s.fma(s.splat(-self.lr), d, x));
    }
}
