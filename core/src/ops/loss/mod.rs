//! Losses. Those of classes compare logits [.., C] with labels; those of pairs compare x with a target of its
//! shape.

mod classes;
mod pairs;

pub use classes::ClassLoss;
pub use pairs::BceWeights;

use super::elementwise::Map;
use crate::element::Element;

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

#[derive(Clone, Copy)]
struct Times;
impl<E: Element> Map<E> for Times {
    #[inline(always)]
    fn at(self, d: E, a: E, _: E) -> E {
        d * a
    }
}

#[cfg(test)]
fn close(a: &[f64], b: &[f64]) {
    // A few roundings of values of order 1.
    assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-14), "{a:?} {b:?}");
}
