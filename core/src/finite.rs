//! NaN and infinity: whether there are any, and where they came from.
//!
//! x − x is 0 for every finite x and NaN for the others, and a sum that has met NaN stays NaN: Σ (x − x) is 0
//! where all of x are finite. Two additions a vector cost less than reading it.

use crate::param::{Module, Slot};
use crate::simd::{Kernel, Simd};
use crate::{element::Element, parallel, tensor::Tensor};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Elements that a thread looks at in a turn: 256 KiB of f32, some ten microseconds. Other sizes were not
/// measured; the whole search costs 0.2 % of AlexNet's step.
const PIECE: usize = 64 * 1024;

/// Sums that are made side by side: four vectors of AVX-512.
const STRANDS: usize = 64;

/// Whether no element of these is NaN or infinite.
pub(crate) fn all_finite<E: Element>(parts: &[&[E]]) -> bool {
    let pieces: Vec<&[E]> = parts.iter().flat_map(|part| part.chunks(PIECE)).collect();
    let finite = AtomicBool::new(true);
    parallel::for_each(pieces.len(), |i| {
        if finite.load(Relaxed) && E::dispatch(SumOf::<_, false>(pieces[i])) != E::ZERO {
            finite.store(false, Relaxed);
        }
    });
    finite.into_inner()
}

/// Σ x² where `SQUARES`, infinite or NaN where an x is, or where it overflows; else Σ (x − x), 0 or NaN.
struct SumOf<'a, E, const SQUARES: bool>(&'a [E]);

impl<E: Element, const SQUARES: bool> Kernel<E> for SumOf<'_, E, SQUARES> {
    type Output = E;

    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) -> E {
        let add = |x, sum| if SQUARES { s.fma(x, x, sum) } else { s.add(sum, s.sub(x, x)) };
        let mut rest = self.0;
        let mut sums = [s.zero(); STRANDS / 4];
        let sums = &mut sums[..STRANDS / S::LANES];
        while rest.len() >= STRANDS {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = add(s.read(&rest[k * S::LANES..]), *sum);
            }
            rest = &rest[STRANDS..];
        }
        for (sum, rest) in sums.iter_mut().zip(rest.chunks(S::LANES)) {
            *sum = add(s.read_tail(rest), *sum);
        }
        s.sum::<STRANDS>(sums)
    }
}

/// Whether XᵀZ is finite for sure: by Cauchy and Schwarz no element is beyond ‖X‖·‖Z‖. That reads the
/// factors, where the product may be many times their size.
pub(crate) fn product_is_finite<E: Element>(x: &Tensor<E>, z: &Tensor<E>) -> bool {
    let squares = |t: &Tensor<E>| {
        let piece =
            |i: usize| E::dispatch(SumOf::<_, true>(&t.data()[i * PIECE..t.len().min((i + 1) * PIECE)]));
        parallel::map(t.len().div_ceil(PIECE), piece).into_iter().map(E::to_f64).sum::<f64>().sqrt()
    };
    // A root of each, lest their product overflows in f64: at most 2^64. The half covers all roundings.
    let most = if E::NAME == "f64" { f64::MAX } else { f64::from(f32::MAX) };
    squares(x).sqrt() * squares(z).sqrt() < (most / 2.0).sqrt()
}

impl<E: Element> Tensor<E> {
    /// Whether no element is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        all_finite(&[self.data()])
    }
}

/// A tensor that holds NaN or infinity where only numbers make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// Which one, as a noun: "the gradient of features.0.weight".
    pub what: String,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} holds NaN or infinity", self.what)
    }
}

impl std::error::Error for NotFinite {}

impl NotFinite {
    /// A tensor, told by a noun.
    pub fn new(what: impl Into<String>) -> Self {
        NotFinite { what: what.into() }
    }

    /// The first of a network's parameters and buffers that is not finite.
    pub fn in_module<E: Element>(net: &mut impl Module<E>) -> Option<Self> {
        let mut first = None;
        net.for_each(|name, slot| {
            let tensor: &Tensor<E> = match &slot {
                Slot::Param(p) => &p.value,
                Slot::Buffer(t) => t,
            };
            if first.is_none() && !tensor.is_finite() {
                first = Some(NotFinite::new(name));
            }
        });
        first
    }
}

/// Looks at every op's result, and remembers the first that is not finite.
#[derive(Default)]
pub(crate) struct Watch {
    ops: BTreeMap<&'static str, usize>,
    pub(crate) first: Option<NotFinite>,
}

impl Watch {
    pub(crate) fn see<E: Element>(&mut self, op: &'static str, result: &Tensor<E>) {
        let number = self.ops.entry(op).or_default();
        *number += 1;
        if self.first.is_none() && !result.is_finite() {
            self.first = Some(NotFinite::new(format!("the result of {op} {number}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{epilogue::Activation, tape::Tape};

    #[test]
    fn one_bad_number_anywhere_is_seen() {
        fn holds<E: Element>(bad: [E; 3]) {
            for n in [0, 1, 3, 16, 17, 64, 129, PIECE, 2 * PIECE + 77] {
                let mut t = Tensor::<E>::from_fn([n], |i| E::from_f64(if i % 2 == 0 { 1e30 } else { -0.0 }));
                assert!(t.is_finite(), "{n}");
                for place in [0, n / 3, n / 2, n.saturating_sub(1)].into_iter().filter(|&i| i < n) {
                    for bad in bad {
                        let kept = std::mem::replace(&mut t.data_mut()[place], bad);
                        assert!(!t.is_finite(), "{bad} at {place} of {n}");
                        t.data_mut()[place] = kept;
                    }
                }
            }
        }
        holds([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        holds([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        let most = [f32::MAX, f32::MIN, f32::from_bits(1), f32::MIN_POSITIVE];
        assert!(Tensor::from_fn([1000], |i| most[i % 4]).is_finite());
    }

    #[test]
    fn a_product_is_finite_for_sure_only_where_it_is() {
        let t = |v: f32| Tensor::full([300, 70], v);
        for (x, z, sure) in [
            (1.0, 1.0, true),
            (1e16, 1e16, true),
            // 300 times 1e38, and what might be more than is.
            (1e19, 1e19, false),
            (1e25, 1e-25, false),
            (f32::NAN, 1.0, false),
            (1.0, f32::INFINITY, false),
            (0.0, f32::INFINITY, false),
        ] {
            assert_eq!(product_is_finite(&t(x), &t(z)), sure, "{x} {z}");
            assert_eq!(product_is_finite(&t(z), &t(x)), sure, "{z} {x}");
        }
        let mut one = t(1.0);
        one.data_mut()[20_999] = f32::NAN;
        assert!(!product_is_finite(&one, &t(0.0)));
        assert!(product_is_finite(&Tensor::<f64>::full([3, 3], 1e150), &Tensor::full([3, 3], 1e150)));
        assert!(!product_is_finite(&Tensor::<f64>::full([3, 3], 1e153), &Tensor::full([3, 3], 1e160)));
    }

    #[test]
    fn a_watching_tape_names_the_first_result() {
        for mut g in [Tape::<f32>::eval().watching(), Tape::infer().watching()] {
            let w = Tensor::full([1, 1], 1e30).into();
            let x = g.linear(Tensor::full([1, 1], 2.0).into(), &w, None, Activation::None);
            assert_eq!(g.not_finite(), None);
            let x = g.linear(x, &w, None, Activation::None);
            g.softmax(x, -1);
            assert_eq!(g.not_finite().unwrap().to_string(), "the result of linear 2 holds NaN or infinity");
        }
    }
}
