//! Convolution on the tape.

use super::{ConvSpec, Pass, backward_data, backward_weight, choose, forward, pointwise};
use crate::gemm::Precision;
use crate::{Activation, Element, Epilogue, Tape, Tensor, Var, profile};

/// A convolution's parameters, besides its weights. Pairs are [vertical, horizontal].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Steps of the kernel over the input.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// Distance of taps.
    pub dilation: [usize; 2],
    /// Input and output channels are cut into this many independent parts.
    pub groups: usize,
}

impl Default for Conv {
    /// Stride 1, no padding, dilation 1, one group.
    fn default() -> Self {
        Conv { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 }
    }
}

impl Conv {
    /// The same stride and padding on both axes, dilation 1, one group.
    pub fn new(stride: usize, padding: usize) -> Self {
        Conv { stride: [stride; 2], padding: [padding; 2], ..Conv::default() }
    }

    /// With another number of groups.
    pub fn groups(self, groups: usize) -> Self {
        Conv { groups, ..self }
    }

    /// With another distance of taps, the same on both axes.
    pub fn dilation(self, dilation: usize) -> Self {
        Conv { dilation: [dilation; 2], ..self }
    }

    /// The convolution of an input [n, h, w, c_in] with weights [kh, kw, c_in / groups, c_out].
    #[track_caller]
    fn spec<E: Element>(&self, op: &str, x: &Tensor<E>, w: &Tensor<E>, precision: Precision) -> ConvSpec {
        let ([n, h, width, c_in], [kh, kw, group_in, c_out]) = (x.dims(op), w.dims(op));
        let Conv { stride, padding, dilation, groups } = *self;
        assert!(
            groups > 0 && group_in * groups == c_in && c_out.is_multiple_of(groups),
            "{op}: input {:?}, weight {:?}, {groups} groups",
            x.shape(),
            w.shape()
        );
        let kernel = [kh, kw];
        let spec =
            ConvSpec { n, h, w: width, c_in, c_out, kernel, stride, padding, dilation, groups, precision };
        spec.clipped()
    }
}

/// A fixed affine map of each channel: frozen batch norm. No gradient flows to it.
#[derive(Clone, Debug)]
pub struct Affine<E: Element = f32> {
    /// `[c]`
    pub scale: Tensor<E>,
    /// `[c]`
    pub shift: Tensor<E>,
}

/// What is done to the product while it is still in registers: y = act(scale · (x ∗ w + bias) + shift + residual).
#[derive(Clone, Debug)]
pub struct Fused<E: Element = f32> {
    /// The identity if absent.
    pub affine: Option<Affine<E>>,
    /// Of the result's shape; 0 if absent.
    pub residual: Option<Var<E>>,
    /// Applied last.
    pub activation: Activation,
}

impl<E: Element> Default for Fused<E> {
    fn default() -> Self {
        Fused { affine: None, residual: None, activation: Activation::None }
    }
}

impl<E: Element> From<Activation> for Fused<E> {
    fn from(activation: Activation) -> Self {
        Fused { activation, ..Fused::default() }
    }
}

impl<E: Element> Fused<E> {
    /// The epilogue's factor and term of each channel: scale, scale · bias + shift. Panics on another length than c.
    #[track_caller]
    pub(super) fn scale_and_bias(
        &self,
        op: &str,
        bias: Option<&Tensor<E>>,
        c: usize,
    ) -> (Option<Tensor<E>>, Option<Tensor<E>>) {
        let affine = self.affine.as_ref();
        let vectors = [bias, affine.map(|a| &a.scale), affine.map(|a| &a.shift)];
        for v in vectors.into_iter().flatten() {
            assert_eq!(v.len(), c, "{op}: a bias, scale or shift of shape {:?} for {c} channels", v.shape());
        }
        let Some(Affine { scale, shift }) = affine else { return (None, bias.cloned()) };
        let folded = bias.map_or_else(
            || shift.clone(),
            |b| Tensor::from_fn([c], |i| scale.data()[i] * b.data()[i] + shift.data()[i]),
        );
        (Some(scale.clone()), Some(folded))
    }

    /// The residual's value. Panics when its shape is not the result's.
    #[track_caller]
    pub(super) fn residual_for(&self, op: &str, y: &Tensor<E>) -> Option<Tensor<E>> {
        let residual = &self.residual.as_ref()?.value;
        assert_eq!(residual.shape(), y.shape(), "{op}: residual and result");
        Some(residual.clone())
    }
}

impl<E: Element> Tape<E> {
    /// y = act(scale · (x ∗ w + bias) + shift + residual): [n, h, w, c_in] to [n, oh, ow, c_out], with weights
    /// [kh, kw, c_in / groups, c_out] and oh = ⌊(h + 2 padding − dilation (kh − 1) − 1) / stride⌋ + 1 (torch.nn.Conv2d,
    /// with what follows it fused). Panics when the shapes do not fit.
    #[track_caller]
    pub fn conv2d(
        &mut self,
        x: Var<E>,
        weight: &Var<E>,
        bias: Option<&Var<E>>,
        geometry: Conv,
        fused: Fused<E>,
    ) -> Var<E> {
        const OP: &str = "conv2d";
        let _span = profile::span(OP, "forward");
        let spec = geometry.spec(OP, &x.value, &weight.value, self.precision());
        let [oh, ow] = spec.out_hw();
        let mut y = Tensor::result(OP, &[spec.n, oh, ow, spec.c_out]);
        let (scale, term) = fused.scale_and_bias(OP, bias.map(|b| &b.value), spec.c_out);
        let residual = fused.residual_for(OP, &y);
        let epilogue = Epilogue {
            scale: scale.as_ref().map(Tensor::data),
            bias: term.as_ref().map(Tensor::data),
            residual: residual.as_ref().map(Tensor::data),
            activation: fused.activation,
        };
        let algorithm = choose(&spec, Pass::Forward);
        forward(algorithm, &spec, x.value.data(), weight.value.data(), &epilogue, y.data_mut());

        let (to_x, to_w) = (x.node, weight.node);
        let (to_bias, to_residual) = (bias.and_then(|b| b.node), fused.residual.and_then(|r| r.node));
        let parents = [to_x, to_w, to_bias, to_residual];
        if !self.records(&parents) {
            return y.into();
        }
        let w = to_x.map(|_| weight.value.clone());
        let x = to_w.map(|_| self.keep(x));
        let after = pointwise::After { activation: fused.activation, scale, to_residual, to_bias };
        let kept = after.needs_result().then(|| y.clone());
        self.record(OP, y, &parents, move |dy, slots| {
            let dp = after.backward(dy, kept, to_x.or(to_w).is_some(), slots);
            // In this order, since x's buffer may then serve its gradient.
            if let Some(x) = x {
                slots.add(to_w, || {
                    let [kh, kw] = spec.kernel;
                    let mut dw = Tensor::stale([kh, kw, spec.group_in(), spec.c_out]);
                    let algorithm = choose(&spec, Pass::BackwardWeight);
                    backward_weight(algorithm, &spec, x.get().data(), dp.data(), dw.data_mut());
                    dw
                });
            }
            if let Some(w) = w {
                slots.add(to_x, || {
                    let mut dx = Tensor::stale([spec.n, spec.h, spec.w, spec.c_in]);
                    let algorithm = choose(&spec, Pass::BackwardData);
                    backward_data(algorithm, &spec, dp.data(), w.data(), dx.data_mut());
                    dx
                });
            }
        })
    }
}
