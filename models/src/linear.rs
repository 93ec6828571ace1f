//! PyTorch's default weights of a linear layer: uniform in ±1/√n, n the number of its inputs, biases too.

use gradus_core::nn::Linear;
use gradus_core::{Element, Rng, Shape, Tensor, init};

/// Of a tensor of a layer with so many inputs.
pub(crate) fn uniform<E: Element>(shape: impl Into<Shape>, inputs: usize, rng: &mut Rng) -> Tensor<E> {
    let bound = 1.0 / (inputs as f64).sqrt();
    init::uniform(shape, -bound, bound, rng)
}

/// A layer with bias.
pub(crate) fn linear<E: Element>(inputs: usize, outputs: usize, rng: &mut Rng) -> Linear<E> {
    let mut layer = Linear::new(uniform([inputs, outputs], inputs, rng), true);
    if let Some(bias) = &mut layer.bias {
        bias.value = uniform([outputs], inputs, rng);
    }
    layer
}
