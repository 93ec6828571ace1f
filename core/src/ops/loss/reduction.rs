//! How losses of elements become one number, and the factor that they share.

use crate::element::Element;
use crate::ops::elementwise::{Map, maps};

/// How the losses of the elements become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean; NaN if there are none.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They stay apart.
    None,
}

maps! { |d, a, b|
    pub(super) Times: d * a;
}

#[cfg(test)]
pub(super) fn close(a: &[f64], b: &[f64]) {
    // A few roundings of values of order 1.
    assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-14), "{a:?} {b:?}");
}
