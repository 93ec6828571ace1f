//! The network of the first stage: three convolutions, shared by all levels.

use crate::detection::patches::patches;
use gradus_core::nn::Conv2d;
use gradus_core::ops::conv::Conv;
use gradus_core::{Activation, Element, Module, Rng, Tape, Var, Visitor, init};

/// The three convolutions.
#[derive(Debug)]
pub struct RpnHead<E: Element = f32> {
    conv: Conv2d<E>,
    cls_logits: Conv2d<E>,
    bbox_pred: Conv2d<E>,
}

/// What the head says of a level: for each image and cell, A logits and A codes.
#[derive(Clone, Debug)]
pub struct Predictions<E: Element = f32> {
    /// [n, h, w, A]
    pub objectness: Var<E>,
    /// [n, h, w, 4 A], anchor by anchor.
    pub deltas: Var<E>,
}

impl<E: Element> Predictions<E> {
    /// Whether all of them are.
    pub fn is_finite(&self) -> bool {
        self.objectness.value.is_finite() && self.deltas.value.is_finite()
    }
}

impl<E: Element> RpnHead<E> {
    /// For levels of so many channels and so many anchors a cell: weights normal with deviation 0.01, biases
    /// 0.
    pub fn new(channels: usize, anchors: usize, rng: &mut Rng) -> Self {
        let mut layer = |k: usize, out: usize| {
            let weight = init::normal([k, k, channels, out], 0.0, 0.01, rng);
            Conv2d::new(weight, Conv::new(1, k / 2), true)
        };
        RpnHead { conv: layer(3, channels), cls_logits: layer(1, anchors), bbox_pred: layer(1, 4 * anchors) }
    }

    /// A: the anchors of a cell.
    pub fn per_location(&self) -> usize {
        self.cls_logits.weight.value.shape()[3]
    }

    /// A level [n, h, w, c].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Predictions<E> {
        let x = self.conv.forward(g, x, Activation::Relu);
        let objectness = self.cls_logits.forward(g, x.clone(), Activation::None);
        Predictions { objectness, deltas: self.bbox_pred.forward(g, x, Activation::None) }
    }

    /// At some cells of a level alone (flat indices into [n, h, w], in ascending order): [k, A] and [k, 4 A].
    #[track_caller]
    pub fn at(&self, g: &mut Tape<E>, x: Var<E>, cells: &[usize]) -> Predictions<E> {
        let x = patches(g, x, cells);
        let x = linear(g, &self.conv, x, Activation::Relu);
        let objectness = linear(g, &self.cls_logits, x.clone(), Activation::None);
        Predictions { objectness, deltas: linear(g, &self.bbox_pred, x, Activation::None) }
    }
}

/// A convolution of patches that lie in rows.
fn linear<E: Element>(g: &mut Tape<E>, conv: &Conv2d<E>, x: Var<E>, activation: Activation) -> Var<E> {
    let [kh, kw, c_in, out] = conv.weight.value.dims("rpn");
    let weight = g.param(&conv.weight);
    let weight = g.reshape(weight, &[(kh * kw * c_in) as isize, out as isize]);
    let bias = conv.bias.as_ref().map(|b| g.param(b));
    g.linear(x, &weight, bias.as_ref(), activation)
}

impl<E: Element> Module<E> for RpnHead<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("conv.0.0", &mut self.conv);
        v.child("cls_logits", &mut self.cls_logits);
        v.child("bbox_pred", &mut self.bbox_pred);
    }
}
