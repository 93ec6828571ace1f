//! Inputs: numbers of a stream that the case's name chooses. u is a multiple of 2^-24 in [0, 1); what is made
//! of it is exact, or one correctly rounded operation.

use gradus_core::{Rng, Shape, Tensor};

/// The stream of a case.
pub(super) fn stream(name: &str) -> Rng {
    Rng::seed(754).stream(name)
}

/// An input's extents and the interval that its numbers are from.
#[derive(Clone, Copy)]
pub struct Input {
    shape: Shape,
    low: f32,
    width: f32,
}

/// From [-1, 1).
pub(super) fn signed(shape: &[usize]) -> Input {
    Input { shape: Shape::new(shape), low: -1.0, width: 2.0 }
}

/// From [-8, 8).
pub(super) fn wide(shape: &[usize]) -> Input {
    Input { shape: Shape::new(shape), low: -8.0, width: 16.0 }
}

/// From [1/8, 17/8): for what is divided by, or has a root or a logarithm.
pub(super) fn positive(shape: &[usize]) -> Input {
    Input { shape: Shape::new(shape), low: 0.125, width: 2.0 }
}

impl Input {
    /// Its numbers from a stream.
    pub(super) fn draw(&self, rng: &mut Rng) -> Tensor {
        Tensor::from_fn(self.shape, |_| self.low + self.width * rng.f32())
    }
}

/// From [-1, 1).
pub(super) fn tensor(shape: &[usize], rng: &mut Rng) -> Tensor {
    signed(shape).draw(rng)
}
