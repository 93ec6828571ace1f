//! A convolution and its batch norm, the brick of ResNet and MobileNetV2: y = act(norm(x ∗ w) + residual).
//!
//! Where the norm is a fixed affine map (frozen, or outside of training with nothing to learn), the
//! convolution takes it over with the residual and the activation, and memory is written once. torchvision:
//! `Conv2dNormActivation`.

use gradus_core::init::{self, Fan};
use gradus_core::nn::{BatchNorm2d, Conv2d, FrozenBatchNorm2d};
use gradus_core::ops::conv::{Affine, Conv, Fused};
use gradus_core::{Activation, Element, Module, Rng, Tape, Var, Visitor};
use serde::{Deserialize, Serialize};

/// What becomes of batch norm in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Statistics and parameters stay as they were loaded: what small batches need.
    Frozen,
    /// It normalises by the batch, and learns.
    Trained,
}

#[derive(Debug)]
enum Layer<E: Element> {
    Frozen(FrozenBatchNorm2d<E>),
    Trained(BatchNorm2d<E>),
}

/// A convolution without bias, and batch norm.
#[derive(Debug)]
pub struct ConvNorm<E: Element = f32> {
    conv: Conv2d<E>,
    norm: Layer<E>,
}

impl<E: Element> ConvNorm<E> {
    /// Of `kernel` x `kernel` taps, from `c_in` channels to `c_out`; weights Kaiming normal (fan out, ReLU),
    /// the norm the identity.
    pub fn new([c_in, c_out]: [usize; 2], kernel: usize, geometry: Conv, norm: Norm, rng: &mut Rng) -> Self {
        let shape = [kernel, kernel, c_in / geometry.groups, c_out];
        let weight = init::kaiming_normal(shape, Fan::Out, init::RELU, rng);
        let norm = match norm {
            Norm::Frozen => Layer::Frozen(FrozenBatchNorm2d::new(c_out)),
            Norm::Trained => Layer::Trained(BatchNorm2d::new(c_out)),
        };
        ConvNorm { conv: Conv2d::new(weight, geometry, false), norm }
    }

    /// The number of output channels.
    pub fn channels(&self) -> usize {
        self.conv.weight.value.shape()[3]
    }

    /// ε of the norm.
    pub fn eps(&self) -> f64 {
        match &self.norm {
            Layer::Frozen(norm) => norm.eps,
            Layer::Trained(norm) => norm.eps,
        }
    }

    /// Sets ε of the norm.
    pub fn set_eps(&mut self, eps: f64) {
        match &mut self.norm {
            Layer::Frozen(norm) => norm.eps = eps,
            Layer::Trained(norm) => norm.eps = eps,
        }
    }

    /// act(norm(x ∗ w)): [n, h, w, c_in] to [n, oh, ow, c_out].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>, activation: Activation) -> Var<E> {
        match self.fixed(g) {
            Some(affine) => self.fused(g, x, affine, None, activation),
            None => self.live(g, x, activation),
        }
    }

    /// act(norm(x ∗ w) + residual), where the residual has the result's shape.
    #[track_caller]
    pub fn forward_onto(
        &self,
        g: &mut Tape<E>,
        x: Var<E>,
        residual: Var<E>,
        activation: Activation,
    ) -> Var<E> {
        if let Some(affine) = self.fixed(g) {
            return self.fused(g, x, affine, Some(residual), activation);
        }
        let y = self.live(g, x, Activation::None);
        let sum = g.add(y, residual);
        match activation {
            Activation::None => sum,
            Activation::Relu => g.relu(sum),
            Activation::Relu6 => g.relu6(sum),
        }
    }

    /// The norm as a map that nothing changes and no gradient is wanted of.
    fn fixed(&self, g: &mut Tape<E>) -> Option<Affine<E>> {
        match &self.norm {
            Layer::Frozen(norm) => Some(norm.affine()),
            Layer::Trained(norm) => {
                let learns =
                    g.is_training() || [&norm.weight, &norm.bias].iter().any(|p| g.param(p).node.is_some());
                (!learns).then(|| norm.affine())
            }
        }
    }

    #[track_caller]
    fn fused(
        &self,
        g: &mut Tape<E>,
        x: Var<E>,
        affine: Affine<E>,
        residual: Option<Var<E>>,
        activation: Activation,
    ) -> Var<E> {
        self.conv.forward(g, x, Fused { affine: Some(affine), residual, activation })
    }

    #[track_caller]
    fn live(&self, g: &mut Tape<E>, x: Var<E>, activation: Activation) -> Var<E> {
        let y = self.conv.forward(g, x, Activation::None);
        match &self.norm {
            Layer::Frozen(norm) => norm.forward(g, y, activation),
            Layer::Trained(norm) => norm.forward(g, y, activation),
        }
    }

    /// Shows the convolution and the norm under their names.
    pub fn visit_as(&mut self, v: &mut Visitor<'_, E>, [conv, norm]: [&str; 2]) {
        v.child(conv, &mut self.conv);
        match &mut self.norm {
            Layer::Frozen(layer) => v.child(norm, layer),
            Layer::Trained(layer) => v.child(norm, layer),
        }
    }
}

impl<E: Element> Module<E> for ConvNorm<E> {
    /// As torchvision's `Conv2dNormActivation`: 0 and 1.
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        self.visit_as(v, ["0", "1"]);
    }
}
