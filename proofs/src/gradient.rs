//! Gradients by finite differences, and samples to take them at.
//!
//! For L(x) = ⟨s, f(x)⟩ with a random seed s, backward gives ∂L/∂x_j; the central difference gives Σ_i s_i
//! (f_i(x + h e_j) - f_i(x - h e_j)) / 2h, off by h² |f'''| / 6 of truncation and u |f| / h of rounding. In
//! f64 and with h = 5e-6 max(1, |x_j|) both are about 1e-11 for functions of order 1.

use gradus_core::{Rng, Shape, Tape, Tensor, Var};
use proptest::prelude::TestCaseError;

/// Relative step of the differences.
pub const STEP: f64 = 5e-6;
/// The largest admissible error, relative to [`Comparison::scale`].
pub const TOLERANCE: f64 = 1e-7;
/// Partial derivatives that are compared for each input, at most.
const COORDINATES: usize = 48;

/// Backward against differences, over all compared coordinates.
#[derive(Debug)]
pub struct Comparison {
    /// The largest absolute difference.
    pub error: f64,
    /// The gradient's scale: the largest Σ_i |s_i ∂f_i/∂x_j|, that is, before terms cancel.
    pub scale: f64,
}

impl Comparison {
    /// Error relative to scale; 0 for nothing in nothing.
    pub fn relative(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.scale }
    }
}

/// The tape of an evaluation: always the same randomness, so that dropout is one function.
fn tape() -> Tape<f64> {
    Tape::train(&mut Rng::seed(7))
}

/// f without recording.
fn value(inputs: &[Tensor<f64>], f: impl Fn(&mut Tape<f64>, &[Var<f64>]) -> Var<f64>) -> Tensor<f64> {
    let x: Vec<Var<f64>> = inputs.iter().map(|t| t.clone().into()).collect();
    f(&mut tape(), &x).value
}

/// f, and the gradients of ⟨seed(f's shape), f⟩; `None` where an input does not matter.
fn backward(
    inputs: &[Tensor<f64>],
    f: impl Fn(&mut Tape<f64>, &[Var<f64>]) -> Var<f64>,
    seed: impl FnOnce(&Shape) -> Tensor<f64>,
) -> (Tensor<f64>, Tensor<f64>, Vec<Option<Tensor<f64>>>) {
    let mut t = tape();
    let x: Vec<Var<f64>> = inputs.iter().map(|v| t.input(v.clone())).collect();
    let y = f(&mut t, &x);
    let seed = seed(y.shape());
    let g = t.backward_from([(y.node, seed.clone())]);
    let gradients = x.iter().map(|x| g.of(x).cloned()).collect();
    (y.value, seed, gradients)
}

/// `inputs` with element j of input k moved by h; and by how much it moved.
fn moved(inputs: &[Tensor<f64>], k: usize, j: usize, h: f64) -> (Vec<Tensor<f64>>, f64) {
    let mut inputs = inputs.to_vec();
    let x = &mut inputs[k].data_mut()[j];
    let before = *x;
    *x += h;
    let by = *x - before;
    (inputs, by)
}

/// Backward against central differences, for each input of f, at up to 48 coordinates of each.
pub fn compare(inputs: &[Tensor<f64>], f: impl Fn(&mut Tape<f64>, &[Var<f64>]) -> Var<f64>) -> Comparison {
    let mut rng = Rng::seed(11);
    let mut sign = |shape: &Shape| {
        Tensor::from_fn(*shape, |_| rng.range(0.5, 1.5) * if rng.chance(0.5) { 1.0 } else { -1.0 })
    };
    let (_, seed, gradients) = backward(inputs, &f, &mut sign);
    let mut c = Comparison { error: 0.0, scale: 0.0 };
    for (k, x) in inputs.iter().enumerate() {
        let mut coordinates = Rng::seed(13).permutation(x.len());
        coordinates.truncate(COORDINATES);
        for j in coordinates {
            let h = STEP * x.data()[j].abs().max(1.0);
            let ((plus, up), (minus, down)) = (moved(inputs, k, j, h), moved(inputs, k, j, -h));
            let (plus, minus) = (value(&plus, &f), value(&minus, &f));
            let term = |i: usize| seed.data()[i] * (plus.data()[i] - minus.data()[i]) / (up - down);
            let difference: f64 = (0..seed.len()).map(term).sum();
            let gradient = gradients[k].as_ref().map_or(0.0, |g| g.data()[j]);
            c.error = c.error.max((difference - gradient).abs());
            c.scale = c.scale.max((0..seed.len()).map(|i| term(i).abs()).sum());
            if !(difference - gradient).is_finite() {
                c.error = f64::INFINITY;
            }
        }
    }
    c
}

/// Fails unless backward equals the central differences to [`TOLERANCE`].
///
/// # Errors
/// The comparison, as proptest's failure.
pub fn equals_differences(
    inputs: &[Tensor<f64>],
    f: impl Fn(&mut Tape<f64>, &[Var<f64>]) -> Var<f64>,
) -> Result<(), TestCaseError> {
    let c = compare(inputs, f);
    if c.relative() <= TOLERANCE { Ok(()) } else { Err(TestCaseError::fail(format!("{c:?}"))) }
}

/// Fails unless each ∂f_i/∂x_j by backward lies between its one-sided differences: what is asked of a
/// gradient at a kink. For functions that are linear on either side of where they are evaluated.
///
/// # Errors
/// The derivatives, as proptest's failure.
pub fn between_one_sided(
    inputs: &[Tensor<f64>],
    f: impl Fn(&mut Tape<f64>, &[Var<f64>]) -> Var<f64>,
) -> Result<(), TestCaseError> {
    let y = value(inputs, &f);
    for i in 0..y.len() {
        let one = |shape: &Shape| Tensor::from_fn(*shape, |k| if k == i { 1.0 } else { 0.0 });
        let (_, _, gradients) = backward(inputs, &f, one);
        for (k, x) in inputs.iter().enumerate() {
            for j in 0..x.len() {
                let side = |h: f64| {
                    let (x, by) = moved(inputs, k, j, h);
                    (value(&x, &f).data()[i] - y.data()[i]) / by
                };
                let (left, right) = (side(-STEP), side(STEP));
                let gradient = gradients[k].as_ref().map_or(0.0, |g| g.data()[j]);
                // Rounding of values of order 1, and a quadratic's h.
                let slack = 2.0 * STEP * left.abs().max(right.abs()).max(1.0);
                if gradient < left.min(right) - slack || gradient > left.max(right) + slack {
                    let text = format!("∂f_{i}/∂x_{j}: {gradient}, one-sided {left} and {right}");
                    return Err(TestCaseError::fail(text));
                }
            }
        }
    }
    Ok(())
}

/// Values in (-3, 3) that differ from each other by 3 / (their number) at least, and from each of `kinks` by
/// 1e-3, spread over tensors of the given shapes.
pub fn distinct(seed: u64, shapes: &[&[usize]], kinks: &[f64]) -> Vec<Tensor<f64>> {
    let n: usize = shapes.iter().map(|s| Shape::new(s).numel()).sum();
    let mut rng = Rng::seed(seed);
    let places = rng.permutation(n);
    let mut values = places.into_iter().map(|p| {
        let v = 6.0 * (p as f64 + rng.range(0.25, 0.75)) / n as f64 - 3.0;
        kinks.iter().find(|&&k| (v - k).abs() < 1e-3).map_or(v, |k| k + 1e-3)
    });
    shapes.iter().map(|s| Tensor::from_fn(*s, |_| values.next().unwrap_or_default())).collect()
}

/// Small integers: plenty of ties and of values at 0.
pub fn ties(seed: u64, shape: &[usize]) -> Tensor<f64> {
    let mut rng = Rng::seed(seed);
    Tensor::from_fn(shape, |_| rng.below(5) as f64 - 2.0)
}
