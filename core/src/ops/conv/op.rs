//! Convolution on the tape: y = act(scale · (x ∗ w + bias) + shift + residual), recorded.
//!
//! Forward makes y in one pass over the product. Backward turns dy into dP with the tail that a linear layer
//! has too (`ops::fused`), and dP into dw and dx by the other two passes of the convolution. dw comes first,
//! so that x is free when dx needs memory.

use super::choose::choose;
use super::passes::{backward_data, backward_weight, forward};
use super::spec::{ConvSpec, Pass};
use crate::gemm::Precision;
use crate::ops::fused::Fused;
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, tensor::Tensor};

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

    /// The convolution of inputs [n, h, w, c_in] to c_out channels.
    pub(super) fn spec(
        &self,
        [n, h, w, c_in]: [usize; 4],
        c_out: usize,
        kernel: [usize; 2],
        precision: Precision,
    ) -> ConvSpec {
        let Conv { stride, padding, dilation, groups } = *self;
        ConvSpec { n, h, w, c_in, c_out, kernel, stride, padding, dilation, groups, precision }.clipped()
    }
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w, by the algorithm that is chosen for it.
pub(super) fn weight_gradient<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E]) -> Tensor<E> {
    let [kh, kw] = spec.kernel;
    let mut dw = Tensor::stale([kh, kw, spec.group_in(), spec.c_out]);
    backward_weight(choose(spec, Pass::BackwardWeight), spec, x, dy, dw.data_mut());
    dw
}

impl<E: Element> Tape<E> {
    /// y = act(scale · (x ∗ w + bias) + shift + residual): [n, h, w, c_in] to [n, oh, ow, c_out], with
    /// weights [kh, kw, c_in / groups, c_out] and oh = ⌊(h + 2 padding − dilation (kh − 1) − 1) / stride⌋ + 1
    /// (torch.nn.Conv2d, with what follows it fused). Panics when the shapes do not fit.
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
        let (input @ [_, _, _, c_in], [kh, kw, group_in, c_out]) = (x.value.dims(OP), weight.value.dims(OP));
        let groups = geometry.groups;
        assert!(
            groups > 0 && group_in * groups == c_in && c_out.is_multiple_of(groups),
            "{OP}: input {:?}, weight {:?}, {groups} groups",
            x.shape(),
            weight.shape()
        );
        let spec = geometry.spec(input, c_out, [kh, kw], self.precision());
        let [oh, ow] = spec.out_hw();
        let mut y = Tensor::result(OP, &[spec.n, oh, ow, spec.c_out]);
        let tail = fused.tail(OP, bias, &y);
        let algorithm = choose(&spec, Pass::Forward);
        forward(algorithm, &spec, x.value.data(), weight.value.data(), &tail.epilogue(), y.data_mut());

        let (to_x, to_w) = (x.node, weight.node);
        let parents = tail.parents([to_x, to_w]);
        if !self.records(&parents) {
            return y.into();
        }
        let w = to_x.map(|_| weight.value.clone());
        let x = to_w.map(|_| self.keep(x));
        let back = tail.back(&y, to_x.or(to_w).is_some());
        self.record(OP, y, &parents, move |dy, slots| {
            let dp = back.backward(dy, slots);
            // In this order, since x's buffer may then serve its gradient.
            if let Some(x) = x {
                slots.add(to_w, || weight_gradient(&spec, x.get().data(), dp.data()));
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
