//! Transposed convolution: the gradient of a convolution's input, as an op.
//!
//! Let C be the convolution with the same kernel, stride, padding, dilation and groups that takes `out`
//! channels to `in`. It is linear in its input, x' ↦ C x', and the transposed convolution is x ↦ Cᵀ x. Each
//! of its passes is therefore a pass of C: forward is C's gradient of the input, dx is C itself, and dw is
//! C's gradient of the weights with the roles of x and dy exchanged. C's weights are [kh, kw, out / groups,
//! in], which is this op's [kh, kw, in, out / groups] with two axes swapped.

use super::choose::choose;
use super::op::Conv;
use super::passes::{backward_data, backward_weight, forward};
use super::spec::Pass;
use crate::ops::fused::Fused;
use crate::ops::window::Window;
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Epilogue, profile, shape::Shape, tensor::Tensor};

const OP: &str = "conv_transpose2d";

impl Conv {
    /// The height and width of what this convolution takes to an input [n, h, w, c], with `output_padding`
    /// more at the end. Panics where that is too much padding, or nothing is left.
    #[track_caller]
    fn covered(&self, input: &Shape, kernel: [usize; 2], output_padding: [usize; 2]) -> [usize; 2] {
        let Conv { stride, padding, dilation, .. } = *self;
        assert!(
            (0..2).all(|a| stride[a] > 0 && output_padding[a] < stride[a].max(dilation[a])),
            "{OP}: output_padding {output_padding:?}, stride {stride:?}, dilation {dilation:?}"
        );
        std::array::from_fn(|a| {
            let window = Window::along(a, [0; 2], kernel, stride, padding, dilation);
            window.covering(input[1 + a], output_padding[a]).unwrap_or_else(|| {
                panic!("{OP}: input {input:?}, kernel {kernel:?}, padding {padding:?}: nothing is left")
            })
        })
    }
}

/// Swaps the last two axes of [kh, kw, a, b].
fn swap_channels<E: Element>(w: &Tensor<E>) -> Tensor<E> {
    let [kh, kw, a, b] = w.dims(OP);
    let mut out = Tensor::stale([kh, kw, b, a]);
    for (to, from) in
        out.data_mut().chunks_exact_mut((a * b).max(1)).zip(w.data().chunks_exact((a * b).max(1)))
    {
        for (j, row) in to.chunks_exact_mut(a).enumerate() {
            row.iter_mut().enumerate().for_each(|(i, v)| *v = from[i * b + j]);
        }
    }
    out
}

impl<E: Element> Tape<E> {
    /// Transposed convolution (torch.nn.ConvTranspose2d): [n, h, w, in] to [n, oh, ow, out], with weights
    /// [kh, kw, in, out / groups] and oh = (h − 1) stride − 2 padding + dilation (kh − 1) +
    /// output_padding + 1. Panics when the shapes do not fit, or output_padding is not less than the larger
    /// of stride and dilation.
    #[track_caller]
    pub fn conv_transpose2d(
        &mut self,
        x: Var<E>,
        weight: &Var<E>,
        bias: Option<&Var<E>>,
        geometry: Conv,
        output_padding: [usize; 2],
        fused: Fused<E>,
    ) -> Var<E> {
        let _span = profile::span(OP, "forward");
        let ([n, h, w, c], [kh, kw, c_in, group_out]) = (x.value.dims(OP), weight.value.dims(OP));
        let Conv { stride, groups, .. } = geometry;
        assert!(
            c == c_in && groups > 0 && c_in.is_multiple_of(groups),
            "{OP}: input {:?}, weight {:?}, {groups} groups",
            x.shape(),
            weight.shape()
        );
        let out = geometry.covered(x.shape(), [kh, kw], output_padding);
        let c_out = group_out.saturating_mul(groups);
        let shape = Shape::of_result(OP, &[n, out[0], out[1], c_out]);
        // A whole stride of output padding is what one more zero at the input's end would reach, so that such
        // zeros are appended, and what is left is less than a stride.
        let zeros: [usize; 2] = std::array::from_fn(|a| output_padding[a] / stride[a]);
        if zeros != [0, 0] {
            let x = self.concat(vec![x, Tensor::zeros([n, zeros[0], w, c]).into()], 1);
            let x = self.concat(vec![x, Tensor::zeros([n, h + zeros[0], zeros[1], c]).into()], 2);
            let rest = std::array::from_fn(|a| output_padding[a] % stride[a]);
            return self.conv_transpose2d(x, weight, bias, geometry, rest, fused);
        }
        let mut y = Tensor::result(OP, &shape);
        // C goes from the result's extents to the input's.
        let spec = geometry.spec([n, out[0], out[1], c_out], c, [kh, kw], self.precision());
        assert_eq!(spec.out_hw(), [h, w], "{OP}: {spec:?}");

        let swapped = swap_channels(&weight.value);
        backward_data(choose(&spec, Pass::BackwardData), &spec, x.value.data(), swapped.data(), y.data_mut());
        let tail = fused.tail(OP, bias, &y);
        let y = tail.apply(y);

        let (to_x, to_w) = (x.node, weight.node);
        let parents = tail.parents([to_x, to_w]);
        if !self.records(&parents) {
            return y.into();
        }
        let swapped = to_x.map(|_| swapped);
        let x = to_w.map(|_| x.value);
        let back = tail.back(&y, to_x.or(to_w).is_some());
        self.record(OP, y, &parents, move |dy, slots| {
            let dp = back.backward(dy, slots);
            // In this order, since x's buffer may then serve its gradient.
            if let Some(x) = x {
                slots.add(to_w, || {
                    let mut dw = Tensor::stale([kh, kw, group_out, c]);
                    let algorithm = choose(&spec, Pass::BackwardWeight);
                    backward_weight(algorithm, &spec, dp.data(), x.data(), dw.data_mut());
                    swap_channels(&dw)
                });
            }
            if let Some(w) = swapped {
                slots.add(to_x, || {
                    let mut dx = Tensor::stale([n, h, spec.out_hw()[1], c]);
                    let algorithm = choose(&spec, Pass::Forward);
                    forward(algorithm, &spec, dp.data(), w.data(), &Epilogue::default(), dx.data_mut());
                    dx
                });
            }
        })
    }
}
