//! eˣ = 2ᵏ eʳ, where k is the integer next to x / ln 2 and |r| <= ln 2 / 2, eʳ by its Taylor series to r¹³.
//! What is cut off is below r¹⁴/14! < 2^-57; the sum is kept as s + c with s = 1 + r, whose rounding is known
//! exactly, so that only the last addition rounds to 53 bits: eˣ has an error below 0.6 units in the last
//! place, a subnormal one below 1.
//!
//! tanh x = (e²ˣ - 1) / (e²ˣ + 1) and σ(x) = 1 / (1 + e⁻ˣ) are quotients of such pairs.

use super::constants::{LN2_HIGH, LN2_LOW, ROUND};
use super::pair::{add, add_smaller, divide, polynomial};

/// 1/n! for n = 2, 4, .., 12 and for n = 3, 5, .., 13.
const EVEN: [f64; 6] =
    [1.0 / 2.0, 1.0 / 24.0, 1.0 / 720.0, 1.0 / 40320.0, 1.0 / 3628800.0, 1.0 / 479001600.0];
const ODD: [f64; 6] =
    [1.0 / 6.0, 1.0 / 120.0, 1.0 / 5040.0, 1.0 / 362880.0, 1.0 / 39916800.0, 1.0 / 6227020800.0];

/// eˣ = 2ᵏ (1 + r + c).
struct Parts {
    k: Exponent,
    r: f64,
    c: f64,
}

/// An integer between -2000 and 2000, as the last bits of [`ROUND`] + k.
#[derive(Clone, Copy)]
struct Exponent(f64);

impl Exponent {
    /// 2 to the power of half of k, and of the rest: products by both round once, even where the result is
    /// subnormal, and overflow only where they should.
    #[inline(always)]
    fn halves(self) -> [f64; 2] {
        // Biased, so that halving is a shift of unsigned numbers, which every processor does on vectors.
        let k = self.0.to_bits().wrapping_add(4096) & 0xffff;
        let half = k >> 1;
        let power = |k: u64| f64::from_bits(k.wrapping_sub(2048 - 1023) << 52);
        [power(half), power(k - half)]
    }

    /// x 2ᵏ
    #[inline(always)]
    fn scale(self, x: f64) -> f64 {
        let [a, b] = self.halves();
        x * a * b
    }
}

/// For |x| < 1000.
#[inline(always)]
fn parts(x: f64) -> Parts {
    let k = x * std::f64::consts::LOG2_E + ROUND;
    let n = k - ROUND;
    // Exact: n times 42 bits, and the difference is between numbers of about one size.
    let high = x - n * LN2_HIGH;
    let low = n * LN2_LOW;
    let r = high - low;
    let rest = (high - r) - low;
    let z = r * r;
    let c = z * (polynomial(z, EVEN) + r * polynomial(z, ODD)) + (rest + rest * r);
    Parts { k: Exponent(k), r, c }
}

/// x, but no less than low and no more than high; NaN stays.
#[inline(always)]
fn within(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// eˣ
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    // Beyond these the result is 0 and infinite.
    let Parts { k, r, c } = parts(within(x, -746.0, 710.0));
    let (s, e) = add_smaller(1.0, r);
    k.scale(s + (e + c))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f64) -> f64 {
    let a = x.abs();
    // From 20 on it is 1, rounded.
    let Parts { k, r, c } = parts(2.0 * within(a, 0.0, 20.0));
    let p = k.scale(1.0);
    // e²ᵃ - 1 = (p + p r) - 1 + p c
    let (s, e) = add_smaller(p, p * r);
    let (h, e1) = add(s, -1.0);
    let (h, l) = add(h, (e + e1) + p * c);
    let (b, e2) = add(h, 2.0);
    let (q, rest) = divide((h, l), (b, e2 + l));
    // Below 2^-28 the cube is no part of the result.
    let y = if a < 3.7e-9 { a } else { q + rest };
    y.copysign(x)
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    // With z = e^-|x|: 1 / (1 + z), or z / (1 + z) for negative x, scaled last.
    let Parts { k, r, c } = parts(within(-x.abs(), -746.0, 0.0));
    let [a, b] = k.halves();
    let p = a * b;
    let (s, e) = add_smaller(1.0, r);
    let (s, e) = add_smaller(s, e + c);
    let (h, l) = add_smaller(1.0, s * p);
    let below = (h, l + e * p);
    let negative = x < 0.0;
    let (q, rest) = divide(if negative { (s, e) } else { (1.0, 0.0) }, below);
    let y = q + rest;
    let y = if negative { y * a * b } else { y };
    // NaN, which the bounds above let pass in either sign.
    if x.is_nan() { x } else { y }
}
