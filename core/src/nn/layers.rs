//! Layers: an op with its parameters. They are made from their initial weights (see [`crate::init`]), so that
//! nothing about initialisation is hidden, and named as in PyTorch: `weight`, `bias`.

use crate::ops::conv::{Conv, Fused};
use crate::param::{Layout, Module, Param, Visitor};
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Activation, tensor::Tensor};

/// A convolution (torch.nn.Conv2d).
#[derive(Debug)]
pub struct Conv2d<E: Element = f32> {
    /// [kh, kw, in / groups, out]
    pub weight: Param<E>,
    /// `[out]`
    pub bias: Option<Param<E>>,
    /// Stride, padding, dilation, groups.
    pub geometry: Conv,
}

impl<E: Element> Conv2d<E> {
    /// From initial weights [kh, kw, in / groups, out]. With a bias it starts at 0.
    #[track_caller]
    pub fn new(weight: Tensor<E>, geometry: Conv, bias: bool) -> Self {
        let [_, _, _, out] = weight.dims("Conv2d");
        Conv2d {
            weight: Param::new(weight, Layout::Conv),
            bias: bias.then(|| Param::new(Tensor::zeros([out]), Layout::Plain)),
            geometry,
        }
    }

    /// [n, h, w, in] to [n, oh, ow, out], with what `fused` asks for (an [`Activation`] will do).
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>, fused: impl Into<Fused<E>>) -> Var<E> {
        let weight = g.param(&self.weight);
        let bias = self.bias.as_ref().map(|b| g.param(b));
        g.conv2d(x, &weight, bias.as_ref(), self.geometry, fused.into())
    }
}

impl<E: Element> Module<E> for Conv2d<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.param("weight", &mut self.weight);
        if let Some(bias) = &mut self.bias {
            v.param("bias", bias);
        }
    }
}

/// A linear layer (torch.nn.Linear).
#[derive(Debug)]
pub struct Linear<E: Element = f32> {
    /// [in, out]
    pub weight: Param<E>,
    /// `[out]`
    pub bias: Option<Param<E>>,
}

impl<E: Element> Linear<E> {
    /// From initial weights [in, out]. With a bias it starts at 0.
    #[track_caller]
    pub fn new(weight: Tensor<E>, bias: bool) -> Self {
        let [_, out] = weight.dims("Linear");
        Linear {
            weight: Param::new(weight, Layout::Linear),
            bias: bias.then(|| Param::new(Tensor::zeros([out]), Layout::Plain)),
        }
    }

    /// The same layer, for maps of so many pixels that [`Tape::flatten`] makes rows of.
    pub fn on_maps(mut self, pixels: usize) -> Self {
        self.weight.layout = Layout::LinearOnMap { pixels };
        self
    }

    /// [.., in] to [.., out], then the activation.
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>, activation: Activation) -> Var<E> {
        let weight = g.param(&self.weight);
        let bias = self.bias.as_ref().map(|b| g.param(b));
        g.linear(x, &weight, bias.as_ref(), activation)
    }
}

impl<E: Element> Module<E> for Linear<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.param("weight", &mut self.weight);
        if let Some(bias) = &mut self.bias {
            v.param("bias", bias);
        }
    }
}
