//! What is computed against what is expected, number by number.
//!
//! The size s of an expected number is the sum of the sizes of the terms that it is made of (`size.<name>` of
//! a case; its own magnitude where there is none). In f64 a result may be off by 1e-12 s, and by the least
//! normal number. In f32, with n roundings on the way (`roundings` of a case) and u = 2⁻²⁴, it may be off by
//! γ_n s, γ_n = n u / (1 - n u) (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition,
//! section 3.1), and by n least subnormals, where products fall below the normal range. NaN and infinities
//! stand at the same places; +0 and -0 are equal. There is one exception: where s is more than f32 holds, a
//! partial sum may overflow, so that a result may be infinite or NaN there in f32. In the tensors that a case
//! names in `spreads` what is not finite may reach further than in PyTorch; nowhere may it be lost.

use crate::cases::case::Case;
use crate::cases::run::{Computed, Values};
use gradus_core::Element;

/// What is allowed in f64 of a size.
const REFERENCE: f64 = 1e-12;

/// How exact the results of a case are.
pub struct Tolerance<'c> {
    case: &'c Case,
    /// What a number may be off by in f32 however small it is: where the op's own formula overflows before.
    least: f64,
}

impl<'c> Tolerance<'c> {
    pub fn of(case: &'c Case) -> Self {
        Tolerance { case, least: case.number_or("least", 0.0) }
    }

    fn roundings(&self, name: &str) -> f64 {
        let of = self.case.attr("roundings").and_then(|r| r.get(name));
        of.and_then(|n| n.as_f64()).unwrap_or(0.0)
    }

    /// The sizes of a tensor's numbers.
    pub fn sizes(&self, name: &str) -> Vec<f64> {
        match self.case.get(&format!("size.{name}")) {
            Some(sizes) => sizes.to_f64(),
            None => self.case.tensor(name).to_f64().into_iter().map(f64::abs).collect(),
        }
    }

    /// What a number of this size may be off by.
    fn bound<E: Element>(&self, n: f64, size: f64) -> f64 {
        if E::NAME == "f64" {
            // Below the normal range PyTorch's vectors of exponentials are 0.
            return REFERENCE * size + f64::MIN_POSITIVE;
        }
        let nu = n * E::UNIT_ROUNDOFF;
        nu / (1.0 - nu) * size + n * f64::from(f32::from_bits(1)) + self.least
    }

    /// What a tensor's numbers may be off by.
    pub fn bounds<E: Element>(&self, name: &str) -> Vec<f64> {
        let n = self.roundings(name);
        self.sizes(name).into_iter().map(|size| self.bound::<E>(n, size)).collect()
    }
}

/// Whether got is no more than `bound` from want, whose size is s.
pub fn agrees<E: Element>(got: f64, want: f64, bound: f64, size: f64) -> bool {
    let overflows = E::NAME == "f32" && size.is_finite() && size >= f64::from(f32::MAX);
    if want.is_finite() && !bound.is_finite() {
        // A size without end: an infinite term that an activation or a branch left out. The result is exact.
        return got == E::from_f64(want).to_f64();
    }
    match (got.is_finite(), want.is_finite()) {
        (true, true) => (got - want).abs() <= bound,
        (false, false) => got == want || got.is_nan() && want.is_nan(),
        (false, true) => overflows,
        (true, false) => false,
    }
}

/// Whether what is not finite may reach further in this tensor than in PyTorch.
pub fn may_spread(case: &Case, name: &str) -> bool {
    let names = case.attr("spreads").and_then(|names| names.as_array());
    names.is_some_and(|names| names.iter().any(|n| n == name))
}

/// As [`agrees`], where what is not finite may spread.
pub fn agrees_or_spreads<E: Element>(got: f64, want: f64, bound: f64, size: f64) -> bool {
    !got.is_finite() || agrees::<E>(got, want, bound, size)
}

/// What is wrong with a tensor, if anything.
pub fn wrong<E: Element>(case: &Case, got: &Computed) -> Option<String> {
    let (name, expected) = (&got.name, case.tensor(&got.name));
    if got.shape != expected.shape() {
        return Some(format!("{name} has the shape {:?}, expected {:?}", got.shape, expected.shape()));
    }
    match (&got.values, expected.to_i64()) {
        (Values::Integers(got), Some(want)) => {
            let at = got.iter().zip(&want).position(|(g, w)| g != w)?;
            Some(format!("{name}[{at}] is {}, expected {}", got[at], want[at]))
        }
        (Values::Floats(got), None) => {
            let tolerance = Tolerance::of(case);
            let (want, bounds) = (expected.to_f64(), tolerance.bounds::<E>(name));
            let agrees = if may_spread(case, name) { agrees_or_spreads::<E> } else { agrees::<E> };
            let sizes = tolerance.sizes(name);
            first_wrong(name, got, &want, &bounds, |i| agrees(got[i], want[i], bounds[i], sizes[i]))
        }
        _ => Some(format!("{name}: numbers where integers are expected, or the other way round")),
    }
}

/// The first number that does not agree, and how many do not.
pub fn first_wrong(
    name: &str,
    got: &[f64],
    want: &[f64],
    bounds: &[f64],
    agrees: impl Fn(usize) -> bool,
) -> Option<String> {
    let wrong: Vec<usize> = (0..want.len()).filter(|&i| !agrees(i)).collect();
    let &at = wrong.first()?;
    Some(format!(
        "{name}[{at}] is {:e}, expected {:e} within {:.1e} ({} of {} are wrong)",
        got[at],
        want[at],
        bounds[at],
        wrong.len(),
        want.len()
    ))
}
