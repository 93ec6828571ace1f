//! erf x = 2/√π ∫₀ˣ e^(-t²) dt, an odd function.
//!
//! Below 1/2 its Taylor series at 0, to x²⁵. Beyond, its Taylor series at the nearest c = n/8: with g = 2/√π
//! e^(-t²), erf' = g and g' = -2 t g, so that the coefficients of g at c follow from each other: (n + 1) gₙ₊₁
//! = -2 (c gₙ + gₙ₋₁), and those of erf are gₙ / (n + 1). |x - c| <= 1/16: fifteen terms are enough. From 6
//! on the result is 1. The error is below 1 unit in the last place.

use super::constants::ERF;
use super::pair::{add_smaller, polynomial};

/// 2/√π - 1
const SLOPE: f64 = 0.1283791670955126;
const TERMS: usize = 15;

/// 2/√π (-1)ⁿ / (n! (2n + 1)) for n = 1, 2, .., 12.
const NEAR: [f64; 12] = {
    let (mut c, mut factorial, mut n) = ([0.0; 12], 1.0, 1);
    while n <= 12 {
        factorial *= -(n as f64);
        c[n - 1] = (1.0 + SLOPE) / (factorial * (2 * n + 1) as f64);
        n += 1;
    }
    c
};

/// The error function.
#[inline(always)]
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    let y = if a < 0.5 {
        a + a * (SLOPE + a * a * polynomial(a * a, NEAR))
    } else if a < 6.0 {
        // The nearest eighth; ERF begins at 4/8.
        let n = (a * 8.0 + 0.5) as usize;
        let (value, rest, slope) = ERF[n.min(47) - 4];
        around(n.min(47) as f64 / 8.0, a, value, rest, slope)
    } else {
        1.0
    };
    y.copysign(x)
}

/// erf x from its value and slope at c.
#[inline(always)]
fn around(c: f64, x: f64, value: f64, rest: f64, slope: f64) -> f64 {
    let h = x - c;
    let (mut before, mut g, mut power, mut sum) = (0.0, slope, h, 0.0);
    for n in 1..TERMS {
        let next = -2.0 * (c * g + before) / n as f64;
        (before, g) = (g, next);
        power *= h;
        sum += g * power / (n + 1) as f64;
    }
    let (s, e) = add_smaller(value, slope * h);
    s + (e + (rest + sum))
}
