//! Layers: an op with its parameters. They are made from their initial weights (see [`crate::init`]), so that nothing
//! about initialisation is hidden, and named as in PyTorch: `weight`, `bias`.

use super::{Layout, Module, Param, Visitor};
use crate::ops::conv::{Conv, Fused};
use crate::{Element, Tape, Tensor, Var};

/// A convolution (torch.nn.Conv2d).
#[derive(Debug)]
pub struct Conv2d<E: Element = f32> {
    /// [kh, kw, in / groups, out]
    pub weight: Param<E>,
    /// [out]
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

    /// [n, h, w, in] to [n, oh, ow, out], with what `fused` asks for (an [`crate::Activation`] will do).
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
