//! x = n π/2 + r with |r| <= π/4; sin r and cos r by their Taylor series to r¹⁷ and r¹⁸, and n says which of
//! them, and with which sign. r is a pair of numbers: below 2²⁰ it is what x less n times the parts of π/2
//! leaves (Cody and Waite's reduction), beyond, the fraction of x · 2/π, of which the bits that matter are
//! picked out of a long table (Payne and Hanek's).
//!
//! atan x = atan c + atan t, where t = (x - c) / (1 + c x), c the nearest eighth of x and so |t| <= 1/16; for
//! |x| > 1, atan x = π/2 - atan 1/x. All errors are below 1 unit in the last place.

use super::constants::{ATAN, ROUND, TWO_OVER_PI};
use super::pair::{add, add_smaller, divide, polynomial, split};

/// π/2 in parts: three of 33 bits, of which multiples up to 2²⁰ are exact, and the rest.
const HALF_PI_PARTS: [f64; 4] =
    [1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32];
/// π/2 as a pair.
const HALF_PI: (f64, f64) = (std::f64::consts::FRAC_PI_2, 6.123233995736766e-17);

/// 2¹²⁸
const TURN: f64 = 340282366920938463463374607431768211456.0;

/// (-1)ⁿ / (2n + 1)! for n = 1, 2, .., 8: sin r = r + r³ (c₁ + c₂ r² + ..).
const SIN: [f64; 8] = [
    -1.0 / 6.0,
    1.0 / 120.0,
    -1.0 / 5040.0,
    1.0 / 362880.0,
    -1.0 / 39916800.0,
    1.0 / 6227020800.0,
    -1.0 / 1307674368000.0,
    1.0 / 355687428096000.0,
];
/// (-1)ⁿ / (2n)! for n = 2, 3, .., 9: cos r = 1 - r²/2 + r⁴ (c₂ + c₃ r² + ..).
const COS: [f64; 8] = [
    1.0 / 24.0,
    -1.0 / 720.0,
    1.0 / 40320.0,
    -1.0 / 3628800.0,
    1.0 / 479001600.0,
    -1.0 / 87178291200.0,
    1.0 / 20922789888000.0,
    -1.0 / 6402373705728000.0,
];
/// (-1)ⁿ / (2n + 1) for n = 1, 2, .., 7.
const ARC: [f64; 7] = [-1.0 / 3.0, 1.0 / 5.0, -1.0 / 7.0, 1.0 / 9.0, -1.0 / 11.0, 1.0 / 13.0, -1.0 / 15.0];

/// n mod 4, and r.
#[inline(always)]
fn reduce(x: f64) -> (u64, (f64, f64)) {
    if x.abs() > 1048576.0 { reduce_large(x) } else { reduce_small(x) }
}

#[inline(always)]
fn reduce_small(x: f64) -> (u64, (f64, f64)) {
    let k = x * std::f64::consts::FRAC_2_PI + ROUND;
    let n = k - ROUND;
    let [a, b, c, d] = HALF_PI_PARTS;
    // The products are exact, and so are the pairs.
    let (h, e) = add(x - n * a, -(n * b));
    let (h, f) = add(h, -(n * c));
    (k.to_bits() & 3, add(h, e + f - n * d))
}

/// x = m 2ᵉ with a whole m below 2⁵³: of the bits of 2/π those before 2¹ / 2ᵉ make multiples of 4 and do not
/// matter; m times the 192 bits after them is n and 128 bits of a fraction or more.
#[cold]
fn reduce_large(x: f64) -> (u64, (f64, f64)) {
    if !x.is_finite() {
        return (0, (f64::NAN, 0.0));
    }
    let bits = x.abs().to_bits();
    let m = (bits & ((1 << 52) - 1)) | (1 << 52);
    // At least 2²⁰: e >= -32. The window starts 2 bits before the point of 2ᵉ 2/π.
    let start = (bits >> 52) as i64 - 1075 - 2;
    let word = |i: i64| {
        let part = |i: i64| usize::try_from(i).ok().and_then(|i| TWO_OVER_PI.get(i)).copied().unwrap_or(0);
        let (at, shift) = (start.div_euclid(64) + i, start.rem_euclid(64));
        let next = if shift == 0 { 0 } else { part(at + 1) >> (64 - shift) };
        u128::from((part(at) << shift) | next)
    };
    // The lowest 192 bits of the product: what is above them is a multiple of 4.
    let m = u128::from(m);
    let low = m * word(2);
    let middle = m * word(1) + (low >> 64);
    let high = (m * word(0)).wrapping_add(middle >> 64) as u64;
    let fraction = (u128::from(high) << 64 | u128::from(middle as u64)) << 2 | u128::from((low as u64) >> 62);
    // To the nearest multiple: a fraction from -1/2 to 1/2.
    let n = (high >> 62) + (fraction >> 127) as u64;
    let signed = fraction as i128;
    let turns = signed as f64;
    let rest = signed.wrapping_sub(turns as i128) as f64;
    let (h, l) = times_half_pi(turns / TURN, rest / TURN);
    if x < 0.0 { (n.wrapping_neg() & 3, (-h, -l)) } else { (n & 3, (h, l)) }
}

/// (a + b) π/2
fn times_half_pi(a: f64, b: f64) -> (f64, f64) {
    let ((ah, al), (ph, pl)) = (split(a), split(HALF_PI.0));
    let p = a * HALF_PI.0;
    let error = ((ah * ph - p) + ah * pl + al * ph) + al * pl;
    add_smaller(p, error + (a * HALF_PI.1 + b * HALF_PI.0))
}

#[inline(always)]
fn sin_near((r, rest): (f64, f64)) -> f64 {
    let z = r * r;
    r + (r * z * polynomial(z, SIN) + rest * (1.0 - 0.5 * z))
}

#[inline(always)]
fn cos_near((r, rest): (f64, f64)) -> f64 {
    let z = r * r;
    let half = 0.5 * z;
    let s = 1.0 - half;
    s + (((1.0 - s) - half) + (z * z * polynomial(z, COS) - r * rest))
}

/// sin(r + n π/2)
#[inline(always)]
fn quarter(n: u64, r: (f64, f64)) -> f64 {
    let y = if n & 1 == 0 { sin_near(r) } else { cos_near(r) };
    if n & 2 == 0 { y } else { -y }
}

/// sin x
#[inline(always)]
pub(crate) fn sin(x: f64) -> f64 {
    let (n, r) = reduce(x);
    // The sign of 0.
    if x == 0.0 { x } else { quarter(n, r) }
}

/// cos x
#[inline(always)]
pub(crate) fn cos(x: f64) -> f64 {
    let (n, r) = reduce(x);
    quarter(n + 1, r)
}

/// cos x for |x| <= 2²⁰: the same, without the branch that would keep a loop from becoming vectors.
#[inline(always)]
pub(crate) fn cos_of_small(x: f64) -> f64 {
    let (n, r) = reduce_small(x);
    quarter(n + 1, r)
}

/// The inverse tangent.
#[inline(always)]
pub(crate) fn atan(x: f64) -> f64 {
    // Beyond 2⁶⁰ the result is π/2, rounded.
    let a = if x.abs() > 1152921504606846976.0 { 1152921504606846976.0 } else { x.abs() };
    // The quotient a / b is the smaller of |x| and 1 / |x|.
    let inverse = a > 1.0;
    let (a, b) = if inverse { (1.0, a) } else { (a, 1.0) };
    let n = (a / b * 8.0 + 0.5) as usize;
    let c = n.min(8) as f64 / 8.0;
    let (upper, lower) = split(b);
    let (h, l) = add_smaller(a - c * upper, -(c * lower));
    let (t, rest) = divide((h, l), add_smaller(b, c * a));
    let z = t * t;
    let (value, lacks) = ATAN[n.min(8)];
    let (s, e) = add_smaller(value, t);
    let e = e + (rest + (lacks + t * z * polynomial(z, ARC)));
    let y = if inverse {
        let (s, f) = add_smaller(HALF_PI.0, -s);
        s + ((HALF_PI.1 - e) + f)
    } else {
        s + e
    };
    // NaN stays.
    if x.is_nan() { x } else { y.copysign(x) }
}
