//! Elementary functions in f32 and f64: numbers of every sign and exponent, infinities and NaN among them.

use super::case::{Case, whole};
use gradus_core::elementary::{atan, atan2, cos, erf, exp, hypot, ln, ln_1p, powi, sigmoid, sin, tanh};

/// Bit patterns from 0 to the last, this far apart; both are primes.
const STEP_F32: usize = 65_521;
const STEP_F64: usize = 281_474_976_710_597;

fn singles() -> impl Iterator<Item = f32> {
    (0..=u32::MAX).step_by(STEP_F32).map(f32::from_bits)
}

fn doubles() -> impl Iterator<Item = f64> {
    (0..=u64::MAX).step_by(STEP_F64).map(f64::from_bits)
}

pub(super) fn cases() -> Vec<Case> {
    type Function = (&'static str, fn(f32) -> f32, fn(f64) -> f64);
    let functions: [Function; 9] = [
        ("exp", exp, exp),
        ("ln", ln, ln),
        ("ln-1p", ln_1p, ln_1p),
        ("tanh", tanh, tanh),
        ("sigmoid", sigmoid, sigmoid),
        ("sin", sin, sin),
        ("cos", cos, cos),
        ("atan", atan, atan),
        ("erf", erf, erf),
    ];
    let of_one = functions.into_iter().map(|(name, single, double)| {
        whole(format!("elementary/{name}"), move |d| {
            d.floats(&singles().map(single).collect::<Vec<_>>());
            d.doubles(&doubles().map(double).collect::<Vec<_>>());
        })
    });
    let of_two = whole("elementary/hypot-atan2-powi", |d| {
        let pairs = singles().zip(singles().skip(7));
        d.floats(&pairs.flat_map(|(x, y)| [hypot(x, y), atan2(x, y), powi(x, 13)]).collect::<Vec<_>>());
        let pairs = doubles().zip(doubles().skip(7));
        d.doubles(&pairs.flat_map(|(x, y)| [hypot(x, y), atan2(x, y), powi(x, -5)]).collect::<Vec<_>>());
    });
    of_one.chain([of_two]).collect()
}
