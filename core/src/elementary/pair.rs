//! What the functions are made of: polynomials, and numbers of twice the width, where a pair (h, l) stands
//! for h + l, with l far below h.
//!
//! The pairs rest on additions that are exact where they look as if they were not: for any a and b the error
//! of s = a + b is itself a number of f64, and a few more additions find it (Knuth, The Art of Computer
//! Programming 2, 4.2.2, theorem B; theorem C where |a| >= |b|).

/// a + b and its error: exact.
#[inline(always)]
pub(super) fn add(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let of_b = s - a;
    (s, (a - (s - of_b)) + (b - of_b))
}

/// a + b and its error, where |a| >= |b| or a = 0: exact.
#[inline(always)]
pub(super) fn add_smaller(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    (s, b - (s - a))
}

/// The upper 26 bits and the rest, 27: products of two such parts are exact.
#[inline(always)]
pub(super) fn split(x: f64) -> (f64, f64) {
    let high = f64::from_bits(x.to_bits() & !0x7ff_ffff);
    (high, x - high)
}

/// (a + a') / (b + b'), to about 2^-100.
///
/// The upper bits of the quotient, times b in two parts, leave a remainder that is exact but for the last
/// products; the remainder over b is the rest of the quotient.
#[inline(always)]
pub(super) fn divide(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let (q, _) = split(a.0 / b.0);
    let (upper, lower) = split(b.0);
    let rest = ((a.0 - q * upper) - q * lower) + (a.1 - q * b.1);
    add_smaller(q, rest / b.0)
}

/// c₀ + c₁ z + c₂ z² + ..
#[inline(always)]
pub(super) fn polynomial<const N: usize>(z: f64, c: [f64; N]) -> f64 {
    let mut sum = c[N - 1];
    for i in (0..N - 1).rev() {
        sum = sum * z + c[i];
    }
    sum
}
