//! Batch norm with running statistics, and batch norm frozen for good.
//!
//! y = γ (x − μ) / √(σ² + ε) + β for each channel. In training μ and σ² are the batch's, and running means of
//! them (σ² with the unbiased divisor) are kept; otherwise the running ones serve, and the layer is an affine
//! map that a convolution before it can take over: see [`BatchNorm2d::affine`].

use crate::ops::conv::Affine;
use crate::param::{Layout, Module, Param, Visitor};
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Activation, tensor::Tensor};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What training has seen so far: names as in PyTorch.
#[derive(Clone, Debug)]
pub struct Running<E: Element = f32> {
    /// `[C]`, 0 at first.
    pub mean: Tensor<E>,
    /// `[C]`, 1 at first.
    pub var: Tensor<E>,
    /// A scalar: the number of batches.
    pub num_batches_tracked: Tensor<E>,
}

/// Batch norm over all axes but the last (torch.nn.BatchNorm2d).
#[derive(Debug)]
pub struct BatchNorm2d<E: Element = f32> {
    /// γ `[C]`, 1 at first.
    pub weight: Param<E>,
    /// β `[C]`, 0 at first.
    pub bias: Param<E>,
    /// ε, added to the variance: 1e-5.
    pub eps: f64,
    /// How much of the batch's statistics goes into the running ones: 0.1.
    pub momentum: f64,
    running: Mutex<Running<E>>,
}

impl<E: Element> BatchNorm2d<E> {
    /// Of `channels` channels, with PyTorch's defaults.
    pub fn new(channels: usize) -> Self {
        let constant = |v: f64| Tensor::full([channels], E::from_f64(v));
        BatchNorm2d {
            weight: Param::new(constant(1.0), Layout::Plain),
            bias: Param::new(constant(0.0), Layout::Plain),
            eps: 1e-5,
            momentum: 0.1,
            running: Mutex::new(Running {
                mean: constant(0.0),
                var: constant(1.0),
                num_batches_tracked: Tensor::scalar(E::ZERO),
            }),
        }
    }

    /// The running statistics.
    pub fn running(&self) -> Running<E> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Running<E>> {
        // Statistics are whole at every unlock, also after a panic elsewhere.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The map that this layer is outside of training. No gradient reaches γ and β through it.
    pub fn affine(&self) -> Affine<E> {
        let running = self.lock();
        affine([&self.weight.value, &self.bias.value, &running.mean, &running.var], self.eps)
    }

    /// [.., C] to [.., C], then the activation. In training it also moves the running statistics, and they
    /// stay moved where the loss or a gradient turns out not to be finite and the optimiser refuses the step.
    /// [`Self::running`] tells them.
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>, activation: Activation) -> Var<E> {
        let (gamma, beta) = (g.param(&self.weight), g.param(&self.bias));
        if !g.is_training() {
            let Running { mean, var, .. } = self.running();
            return g.batch_norm_eval(x, gamma, beta, &mean, &var, self.eps, activation);
        }
        let (y, stats) = g.batch_norm_train(x, gamma, beta, self.eps, activation);
        let Running { mean, var, num_batches_tracked } = &mut *self.lock();
        stats.update(mean, var, self.momentum);
        num_batches_tracked.data_mut()[0] += E::ONE;
        y
    }
}

impl<E: Element> Module<E> for BatchNorm2d<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.param("weight", &mut self.weight);
        v.param("bias", &mut self.bias);
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        v.buffer("running_mean", &mut running.mean);
        v.buffer("running_var", &mut running.var);
        v.buffer("num_batches_tracked", &mut running.num_batches_tracked);
    }
}

/// Batch norm whose statistics and parameters never change (torchvision.ops.FrozenBatchNorm2d): four buffers.
#[derive(Clone, Debug)]
pub struct FrozenBatchNorm2d<E: Element = f32> {
    /// γ `[C]`
    pub weight: Tensor<E>,
    /// β `[C]`
    pub bias: Tensor<E>,
    /// μ `[C]`
    pub running_mean: Tensor<E>,
    /// σ² `[C]`
    pub running_var: Tensor<E>,
    /// ε: 1e-5.
    pub eps: f64,
}

impl<E: Element> FrozenBatchNorm2d<E> {
    /// Of `channels` channels: the identity, but for ε.
    pub fn new(channels: usize) -> Self {
        let constant = |v: f64| Tensor::full([channels], E::from_f64(v));
        FrozenBatchNorm2d {
            weight: constant(1.0),
            bias: constant(0.0),
            running_mean: constant(0.0),
            running_var: constant(1.0),
            eps: 1e-5,
        }
    }

    /// The map that this layer is, for a convolution to take over.
    pub fn affine(&self) -> Affine<E> {
        affine([&self.weight, &self.bias, &self.running_mean, &self.running_var], self.eps)
    }

    /// [.., C] to [.., C], then the activation.
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>, activation: Activation) -> Var<E> {
        let Affine { scale, shift } = self.affine();
        g.affine(x, scale.into(), shift.into(), activation)
    }
}

impl<E: Element> Module<E> for FrozenBatchNorm2d<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.buffer("weight", &mut self.weight);
        v.buffer("bias", &mut self.bias);
        v.buffer("running_mean", &mut self.running_mean);
        v.buffer("running_var", &mut self.running_var);
    }
}

/// x ↦ scale·x + shift for γ, β, μ, σ².
fn affine<E: Element>([gamma, beta, mean, var]: [&Tensor<E>; 4], eps: f64) -> Affine<E> {
    let (eps, shape) = (E::from_f64(eps), *gamma.shape());
    let scale = Tensor::from_fn(shape, |c| gamma.data()[c] / (var.data()[c] + eps).sqrt());
    let shift = Tensor::from_fn(shape, |c| beta.data()[c] - mean.data()[c] * scale.data()[c]);
    Affine { scale, shift }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    fn batch() -> Tensor<f64> {
        Tensor::from_slice([4, 1, 1, 2], &[1.0, -2.0, 3.0, 0.0, 5.0, 2.0, 7.0, 4.0])
    }

    #[test]
    fn training_normalises_and_moves_the_running_statistics() {
        let mut layer = BatchNorm2d::<f64>::new(2);
        let y = layer.forward(&mut Tape::train(&mut Rng::seed(0)), batch().into(), Activation::None);
        // Means 4 and 1, biased variance 5, unbiased 20/3.
        for (y, x) in y.value.data().chunks(2).zip([-3.0, -1.0, 1.0, 3.0]) {
            let want = x / (5.0f64 + 1e-5).sqrt();
            assert!(y.iter().all(|y| (y - want).abs() < 1e-14), "{y:?} {want}");
        }
        let running = layer.running();
        let near =
            |t: &Tensor<f64>, want: [f64; 2]| t.data().iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-14);
        assert!(near(&running.mean, [0.4, 0.1]) && near(&running.var, [0.9 + 2.0 / 3.0; 2]));
        let mut names = Vec::new();
        layer.for_each(|name, _| names.push(name.to_string()));
        assert_eq!(names, ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]);
        assert_eq!(running.num_batches_tracked.item(), 1.0);
    }

    #[test]
    fn evaluation_is_the_affine_map_and_changes_nothing() {
        let layer = BatchNorm2d::<f64>::new(2);
        layer.forward(&mut Tape::train(&mut Rng::seed(0)), batch().into(), Activation::None);
        let before = layer.running();
        let y = layer.forward(&mut Tape::eval(), batch().into(), Activation::Relu).value;
        let Affine { scale, shift } = layer.affine();
        for (i, (y, x)) in y.data().iter().zip(batch().data()).enumerate() {
            let want = (scale.data()[i % 2] * x + shift.data()[i % 2]).max(0.0);
            assert!((y - want).abs() < 1e-14, "{y} {want}");
        }
        assert!(before.mean == layer.running().mean);
        assert_eq!(layer.running().num_batches_tracked.item(), 1.0);
    }

    #[test]
    fn frozen_batch_norm_is_its_running_one() {
        let live = BatchNorm2d::<f64>::new(2);
        live.forward(&mut Tape::train(&mut Rng::seed(0)), batch().into(), Activation::None);
        let running = live.running();
        let mut frozen = FrozenBatchNorm2d { eps: live.eps, ..FrozenBatchNorm2d::new(2) };
        (frozen.running_mean, frozen.running_var) = (running.mean, running.var);
        let x: Var<f64> = batch().into();
        let mut g = Tape::train(&mut Rng::seed(0));
        let y = frozen.forward(&mut g, x.clone(), Activation::None).value;
        let want = live.forward(&mut Tape::eval(), x, Activation::None).value;
        assert!(y.data().iter().zip(want.data()).all(|(a, b)| (a - b).abs() < 1e-14));
        assert_eq!(frozen.num_params(), 0);
    }
}
