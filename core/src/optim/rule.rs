//! The formulas behind one face: a parameter's step by whichever rule there is.

use super::adam::Adam;
use super::block::{BLOCK, ParamBlock, step_blocks};
use super::sgd::Sgd;
use crate::element::Element;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// An optimiser's formula and settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam or AdamW.
    Adam(Adam),
}

impl From<Sgd> for Rule {
    fn from(r: Sgd) -> Self {
        Rule::Sgd(r)
    }
}

impl From<Adam> for Rule {
    fn from(r: Adam) -> Self {
        Rule::Adam(r)
    }
}

impl Rule {
    /// The learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Rule::Sgd(r) => r.lr,
            Rule::Adam(r) => r.lr,
        }
    }

    /// Changes the learning rate.
    pub fn set_lr(&mut self, lr: f64) {
        match self {
            Rule::Sgd(r) => r.lr = lr,
            Rule::Adam(r) => r.lr = lr,
        }
    }

    /// Changes the momentum: μ of SGD, β₁ of Adam, as PyTorch's one-cycle schedule does.
    pub fn set_momentum(&mut self, momentum: f64) {
        match self {
            Rule::Sgd(r) => r.momentum = momentum,
            Rule::Adam(r) => r.betas.0 = momentum,
        }
    }

    /// PyTorch's names of the tensors kept for each parameter.
    pub fn state_names(&self) -> &'static [&'static str] {
        match self {
            Rule::Sgd(r) if r.momentum == 0.0 => &[],
            Rule::Sgd(_) => &["momentum_buffer"],
            Rule::Adam(r) if r.amsgrad => &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
            Rule::Adam(_) => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// One step of one parameter: p is its values, g its gradient, of equal length. `state` starts as
    /// `State::default()` and belongs to the parameter. Panics when lengths differ.
    #[track_caller]
    pub fn step<E: Element>(&self, p: &mut [E], g: &[E], state: &mut State<E>) {
        self.step_shaped(&Shape::new(&[p.len()]), p, g, state);
    }

    /// [`Rule::step`] of a parameter whose state has this shape. Cut into blocks by its length alone, which
    /// threads share.
    #[track_caller]
    pub(super) fn step_shaped<E: Element>(&self, shape: &Shape, p: &mut [E], g: &[E], state: &mut State<E>) {
        let n = p.len();
        assert_eq!(g.len(), n, "optimizer: {n} values and {} gradients", g.len());
        let kept = state.buffers.iter().find(|b| b.len() != n).map(Tensor::len);
        assert_eq!(kept, None, "optimizer: {n} values and a state of another length");
        state.step += 1;
        state.buffers.resize_with(self.state_names().len(), || Tensor::zeros(*shape));
        let mut pieces = state.buffers.iter_mut().map(|b| b.data_mut().chunks_mut(BLOCK));
        let mut pieces = [pieces.next(), pieces.next(), pieces.next()];
        let block = |(p, g)| {
            let state = pieces.each_mut().map(|of| of.as_mut().and_then(Iterator::next).unwrap_or_default());
            ParamBlock { p, g, state }
        };
        let mut blocks: Vec<_> = p.chunks_mut(BLOCK).zip(g.chunks(BLOCK)).map(block).collect();
        match self {
            Rule::Sgd(r) => step_blocks(r.at_step(state.step), &mut blocks),
            Rule::Adam(r) => step_blocks(r.at_step(state.step), &mut blocks),
        }
    }
}

/// What an optimiser keeps of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct State<E: Element = f32> {
    /// Steps taken.
    pub step: u64,
    /// The tensors that [`Rule::state_names`] names, in the parameter's shape; none before the first step.
    pub buffers: Vec<Tensor<E>>,
}

impl<E: Element> Default for State<E> {
    fn default() -> Self {
        State { step: 0, buffers: Vec::new() }
    }
}
