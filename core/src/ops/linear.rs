//! Linear layers: Y = act(X·W + b), X [rows, in], W [in, out].
//!
//! Backward: dZ = dY where the activation passed, dX = dZ·Wᵀ, dW = Xᵀ·dZ, db = the sum of dZ's rows.

use super::fused::Fused;
use crate::finite::product_is_finite;
use crate::gemm::output::Finish;
use crate::gemm::{self, Matrix};
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Activation, profile, tensor::Tensor};

impl<E: Element> Tape<E> {
    /// y = act(x·w + b): [.., in] to [.., out], with weights [in, out] (torch.nn.Linear, transposed) and a
    /// bias `[out]`. Panics when the shapes do not fit.
    #[track_caller]
    pub fn linear(
        &mut self,
        x: Var<E>,
        weight: &Var<E>,
        bias: Option<&Var<E>>,
        activation: Activation,
    ) -> Var<E> {
        const OP: &str = "linear";
        let _span = profile::span(OP, "forward");
        let shape = *x.shape();
        let [inputs, outputs] = weight.value.dims(OP);
        let Some((&last, leading)) = shape.split_last() else { panic!("{OP}: input is a scalar") };
        let bias_shape = bias.map(|b| *b.shape());
        assert!(
            last == inputs && bias_shape.is_none_or(|b| b[..] == [outputs]),
            "{OP}: input {shape:?}, weight {:?}, bias {bias_shape:?}",
            weight.shape()
        );
        let rows = leading.iter().product();
        let mut y = Tensor::result(OP, &[leading, &[outputs]].concat());
        let tail = Fused::from(activation).tail(OP, bias, &y);
        let (a, b) =
            (Matrix::new(x.value.data(), rows, inputs), Matrix::new(weight.value.data(), inputs, outputs));
        let precision = self.precision();
        gemm::run(precision, a, b, y.data_mut(), Finish::with(&tail.epilogue()));

        let (to_x, to_w) = (x.node, weight.node);
        let parents = tail.parents([to_x, to_w]);
        if !self.records(&parents) {
            return y.into();
        }
        let w = to_x.map(|_| weight.value.clone());
        let x = to_w.map(|_| x.value);
        let back = tail.back(&y, to_x.or(to_w).is_some());
        self.record(OP, y, &parents, move |dy, slots| {
            let dz = back.backward(dy, slots);
            let dz_matrix = Matrix::new(dz.data(), rows, outputs);
            // In this order, since x's buffer may then serve its gradient.
            if let Some(x) = x {
                slots.add_known(to_w, || {
                    let mut dw = Tensor::stale([inputs, outputs]);
                    let by_rows = Matrix::new(x.data(), rows, inputs);
                    gemm::run(precision, by_rows.t(), dz_matrix, dw.data_mut(), Finish::SET);
                    // Large weights are proven finite by what is multiplied, far smaller than they.
                    let finite = 4 * (x.len() + dz.len()) <= dw.len() && product_is_finite(&x, &dz);
                    (dw, finite)
                });
            }
            if let Some(w) = w {
                slots.add(to_x, || {
                    let mut dx = Tensor::stale(shape);
                    let w = Matrix::new(w.data(), inputs, outputs);
                    gemm::run(precision, dz_matrix, w.t(), dx.data_mut(), Finish::SET);
                    dx
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_and_gradients_by_hand() {
        let mut g = Tape::<f64>::eval();
        let x = g.input(Tensor::from_slice([2, 2], &[1.0, 2.0, -3.0, 1.0]));
        let w = g.input(Tensor::from_slice([2, 3], &[1.0, 0.0, 2.0, 0.0, 1.0, -1.0]));
        let b = g.input(Tensor::from_slice([3], &[0.5, 0.0, 0.0]));
        let y = g.linear(x.clone(), &w, Some(&b), Activation::Relu);
        assert_eq!(y.value.data(), [1.5, 2.0, 0.0, 0.0, 1.0, 0.0]);
        let seed = Tensor::from_slice([2, 3], &[1.0, 1.0, 1.0, 1.0, 10.0, 1.0]);
        let grads = g.backward_from([(y.node, seed)]);
        assert_eq!(grads.of(&x).unwrap().data(), [1.0, 1.0, 0.0, 10.0]);
        assert_eq!(grads.of(&w).unwrap().data(), [1.0, -29.0, 0.0, 2.0, 12.0, 0.0]);
        assert_eq!(grads.of(&b).unwrap().data(), [1.0, 11.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "linear: input [2, 3], weight [2, 4]")]
    fn shapes_must_fit() {
        let w = Tensor::<f32>::zeros([2, 4]).into();
        Tape::infer().linear(Tensor::zeros([2, 3]).into(), &w, None, Activation::None);
    }
}
