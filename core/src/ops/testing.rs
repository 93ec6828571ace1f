//! What tests of ops share.

use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// f(inputs) and the gradients of Σ f with respect to the inputs.
pub(crate) fn gradients<const N: usize>(
    inputs: [Tensor<f64>; N],
    f: impl FnOnce(&mut Tape<f64>, [Var<f64>; N]) -> Var<f64>,
) -> (Tensor<f64>, [Tensor<f64>; N]) {
    let mut tape = Tape::eval();
    let x = inputs.map(|t| tape.input(t));
    let y = f(&mut tape, x.clone());
    let g = tape.backward_from([(y.node, Tensor::full(*y.shape(), 1.0))]);
    let grads = x.map(|x| g.of(&x).cloned().unwrap_or_else(|| Tensor::zeros(*x.shape())));
    (y.value, grads)
}
