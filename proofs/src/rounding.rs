//! Rounding-error constants (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1).

use gradus_core::Element;

/// γ_n = n u / (1 - n u): the relative error of n roundings in sequence, for E's unit roundoff u. Infinite
/// where n u >= 1.
pub fn gamma<E: Element>(n: usize) -> f64 {
    let nu = n as f64 * E::UNIT_ROUNDOFF;
    if nu < 1.0 { nu / (1.0 - nu) } else { f64::INFINITY }
}
