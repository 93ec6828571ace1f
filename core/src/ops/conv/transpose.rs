//! Transposed convolution: the gradient of a convolution's input, as an op.
//!
//! Let C be the convolution with the same kernel, stride, padding, dilation and groups that takes `out`
//! channels to `in`. It is linear in its input, x' ↦ C x', and the transposed convolution is x ↦ Cᵀ x. Each
//! of its passes is therefore a pass of C: forward is C's gradient of the input, dx is C itself, and dw is
//! C's gradient of the weights with the roles of x and dy exchanged. C's weights are [kh, kw, out / groups,
//! in], which is this op's [kh, kw, in, out / groups] with two axes swapped.

use super::choose::choose;
use super::op::{Conv, weight_gradient};
use super::passes::{backward_data, forward};
use super::spec::Pass;
use crate::ops::fused::Fused;
use crate::ops::window::Window;
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Epilogue, profile, shape::Shape, tensor::Tensor};

const OP: &str = "conv_transpose2d";

impl Conv {
    /// The extents [n, oh, ow, out] of what this convolution takes to an input [n, h, w, in], with
    /// `output_padding` more at the end. Panics where that is too much padding, nothing is left, or the
    /// weights [kh, kw, in, out / groups] do not fit.
    #[track_caller]
    fn covered(&self, input: &Shape, weight: &Shape, output_padding: [usize; 2]) -> [usize; 4] {
        let Conv { stride, padding, dilation, groups } = *self;
        assert!(
            input[3] == weight[2] && groups > 0 && input[3].is_multiple_of(groups),
            "{OP}: input {input:?}, weight {weight:?}, {groups} groups"
        );
        let kernel = [weight[0], weight[1]];
        assert!(
            (0..2).all(|a| stride[a] > 0 && output_padding[a] < stride[a].max(dilation[a])),
            "{OP}: output_padding {output_padding:?}, stride {stride:?}, dilation {dilation:?}"
        );
        let [oh, ow] = std::array::from_fn(|a| {
            let window = Window::along(a, [0; 2], kernel, stride, padding, dilation);
            window.covering(input[1 + a], output_padding[a]).unwrap_or_else(|| {
                panic!("{OP}: input {input:?}, kernel {kernel:?}, padding {padding:?}: nothing is left")
            })
        });
        [input[0], oh, ow, weight[3].saturating_mul(groups)]
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
    /// [n, h, w, c] with so many rows and columns of zeros below and to the right.
    fn with_zeros_behind(&mut self, x: Var<E>, [down, right]: [usize; 2]) -> Var<E> {
        let [n, h, w, c] = x.value.dims(OP);
        let x = self.concat(vec![x, Tensor::zeros([n, down, w, c]).into()], 1);
        self.concat(vec![x, Tensor::zeros([n, h + down, right, c]).into()], 2)
    }

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
        let ([n, h, w, c], [kh, kw, _, _]) = (x.value.dims(OP), weight.value.dims(OP));
        let stride = geometry.stride;
        let covered = geometry.covered(x.shape(), weight.shape(), output_padding);
        let shape = Shape::of_result(OP, &covered);
        // A whole stride of output padding is what one more zero at the input's end would reach, so that such
        // zeros are appended, and what is left is less than a stride.
        let zeros: [usize; 2] = std::array::from_fn(|a| output_padding[a] / stride[a]);
        if zeros != [0, 0] {
            let rest = std::array::from_fn(|a| output_padding[a] % stride[a]);
            let x = self.with_zeros_behind(x, zeros);
            return self.conv_transpose2d(x, weight, bias, geometry, rest, fused);
        }
        let mut y = Tensor::result(OP, &shape);
        // C goes from the result's extents to the input's.
        let spec = geometry.spec(covered, c, [kh, kw], self.precision());
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
                slots.add(to_w, || swap_channels(&weight_gradient(&spec, dp.data(), x.data())));
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
