//! ln x = k ln 2 + ln m, where x = 2ᵏ m and √½ <= m < √2. With f = m - 1 and s = f / (2 + f), ln m = 2 artanh
//! s = 2s + s R, where R = 2/3 s² + 2/5 s⁴ + .. + 2/21 s²⁰; |s| < 0.172, so that what is cut off is below
//! 2^-60 of the result. Since 2s = f - s f and s f = f²/2 - s f²/2, ln m = f - (f²/2 - s (f²/2 + R)): the one
//! large term, f, is exact, and the errors of the others are small beside it. The error is below 1 unit in
//! the last place. The arrangement is that of fdlibm's logarithm (Sun Microsystems, 1993).

use super::constants::{LN2_HIGH, LN2_LOW};
use super::pair::polynomial;

/// The bits of √½, and those of 1 above them.
const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;

/// 2/3, 2/5, .., 2/21
const R: [f64; 10] = [
    2.0 / 3.0,
    2.0 / 5.0,
    2.0 / 7.0,
    2.0 / 9.0,
    2.0 / 11.0,
    2.0 / 13.0,
    2.0 / 15.0,
    2.0 / 17.0,
    2.0 / 19.0,
    2.0 / 21.0,
];

/// x = 2ᵏ m for a positive normal x: k as a number, and m.
#[inline(always)]
fn parts(x: f64) -> (f64, f64) {
    // 2048 more than k, since every processor shifts unsigned vectors.
    let k = (x.to_bits().wrapping_sub(ROOT_HALF).wrapping_add(2048 << 52)) >> 52;
    let m = x.to_bits().wrapping_sub(k.wrapping_sub(2048) << 52);
    // An integer below 2⁵² in the last bits of 2⁵².
    let number = f64::from_bits(0x4330_0000_0000_0000 | k) - (4503599627370496.0 + 2048.0);
    (number, f64::from_bits(m))
}

/// k ln 2 + ln(1 + f) + rest.
#[inline(always)]
fn sum(k: f64, f: f64, rest: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * polynomial(z, R);
    let half = 0.5 * f * f;
    k * LN2_HIGH - ((half - (s * (half + r) + (k * LN2_LOW + rest))) - f)
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    let subnormal = x < f64::MIN_POSITIVE;
    let (k, m) = parts(if subnormal { x * 18014398509481984.0 } else { x });
    let y = sum(if subnormal { k - 54.0 } else { k }, m - 1.0, 0.0);
    outside(x, 0.0, y)
}

/// ln(1 + x)
#[inline(always)]
pub(crate) fn ln_1p(x: f64) -> f64 {
    let u = 1.0 + x;
    let (k, m) = parts(u);
    // 1 + x = u + c, exactly; where k is 0, x itself is f.
    let c = if x > 1.0 { 1.0 - (u - x) } else { x - (u - 1.0) };
    let near = k == 0.0;
    let y = sum(k, if near { x } else { m - 1.0 }, if near { 0.0 } else { c / u });
    // The sign of 0.
    if x == 0.0 { x } else { outside(x, -1.0, y) }
}

/// y, but where x is `low`, below it, infinite or NaN.
#[inline(always)]
fn outside(x: f64, low: f64, y: f64) -> f64 {
    let y = if x == f64::INFINITY { x } else { y };
    let y = if x == low { f64::NEG_INFINITY } else { y };
    if x >= low { y } else { f64::NAN }
}
