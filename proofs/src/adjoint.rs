//! The adjoint identity of linear ops: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩, with Aᵀ what backward computes.
//!
//! If each element of A x and of Aᵀ y is a sum of at most n products, computed with relative errors of γ_n a
//! term, and the inner products are exact beside that (they are taken in double precision, or counted among
//! the n), the sides differ by at most 2 γ_n ⟨|A| |x|, |y|⟩.

use crate::rounding::gamma;
use gradus_core::{Element, Rng, Tape, Tensor, Var};
use proptest::prelude::TestCaseError;

fn inner<E: Element>(a: &Tensor<E>, b: &Tensor<E>) -> f64 {
    a.data().iter().zip(b.data()).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// Fails unless ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ within 2 γ_n ⟨|A| |x|, |y|⟩ for a random x of this shape and a random y.
/// `op` is A, `absolute` is |A|; n counts the roundings behind a term, those of the inner product in E
/// included for f64.
///
/// # Errors
/// Both sides and the bound, as proptest's failure.
pub fn is_adjoint<E: Element>(
    seed: u64,
    shape: &[usize],
    n: usize,
    op: impl Fn(&mut Tape<E>, Var<E>) -> Var<E>,
    absolute: impl Fn(&mut Tape<E>, Var<E>) -> Var<E>,
) -> Result<(), TestCaseError> {
    let mut rng = Rng::seed(seed);
    let mut random = |shape: &[usize]| Tensor::<E>::from_fn(shape, |_| E::from_f64(rng.range(-1.0, 1.0)));
    let x = random(shape);
    let mut tape = Tape::eval();
    let at = tape.input(x.clone());
    let ax = op(&mut tape, at.clone());
    let y = random(ax.shape());
    let gradients = tape.backward_from([(ax.node, y.clone())]);
    let aty = gradients.of(&at).cloned().unwrap_or_else(|| Tensor::zeros(shape));
    let (left, right) = (inner(&ax.value, &y), inner(&x, &aty));
    let size = absolute(&mut Tape::infer(), x.map(E::abs).into()).value;
    // The bound is itself computed: a factor 1 + 1e-3 covers its rounding.
    let bound = 2.0 * gamma::<E>(n) * inner(&size, &y.map(E::abs)) * 1.001;
    if (left - right).abs() <= bound {
        Ok(())
    } else {
        Err(TestCaseError::fail(format!("⟨Ax, y⟩ = {left}, ⟨x, Aᵀy⟩ = {right}, bound {bound}")))
    }
}
