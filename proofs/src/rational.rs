//! Exact fractions, to evaluate the library's formulas without rounding.
//!
//! A fraction of two `i128` in lowest terms, the denominator positive. Nothing is ever rounded: a result that
//! does not fit panics, so that a test cannot pass by accident. It is a [`Scalar`]: what the library computes
//! in floats for its users, it computes here exactly, by the same source.

use gradus_models::scalar::Scalar;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// n / d in lowest terms, d > 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rational {
    n: i128,
    d: i128,
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

fn fits(x: Option<i128>) -> i128 {
    x.expect("a rational outgrew 127 bits: the test's generator has to draw simpler numbers")
}

impl Rational {
    /// 0
    pub const ZERO: Rational = Rational { n: 0, d: 1 };
    /// 1
    pub const ONE: Rational = Rational { n: 1, d: 1 };

    /// n / d. Panics when d is 0.
    #[track_caller]
    pub fn new(n: i128, d: i128) -> Self {
        assert!(d != 0, "the denominator of {n} / 0");
        let g = gcd(n, d) * d.signum();
        Rational { n: n / g, d: d / g }
    }

    /// The very value of a float. Panics when it needs more than 127 bits.
    #[track_caller]
    pub fn exactly(x: f64) -> Self {
        assert!(x.is_finite(), "{x} is no fraction");
        let (mut n, mut d) = (x, 1i128);
        while n.fract() != 0.0 {
            (n, d) = (n * 2.0, fits(d.checked_mul(2)));
        }
        assert!(n.abs() < 2f64.powi(126), "{x} does not fit");
        Rational::new(n as i128, d)
    }

    /// The nearest f64, but for an error below 2⁻⁵² of it.
    pub fn to_f64(self) -> f64 {
        // Three roundings, of the numerator, the denominator and the quotient: (1 + u)² / (1 - u) < 1 + 4u
        // with u = 2⁻⁵³, and exact where both are below 2⁵³ and the quotient is a float.
        self.n as f64 / self.d as f64
    }

    /// |x|
    pub fn abs(self) -> Self {
        Rational { n: self.n.abs(), d: self.d }
    }

    /// x^k
    pub fn pow(self, k: u32) -> Self {
        (0..k).fold(Rational::ONE, |product, _| product * self)
    }
}

impl From<i64> for Rational {
    fn from(n: i64) -> Self {
        Rational { n: n.into(), d: 1 }
    }
}

impl fmt::Debug for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.d == 1 { write!(f, "{}", self.n) } else { write!(f, "{}/{}", self.n, self.d) }
    }
}

impl Add for Rational {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        // Over the least common denominator.
        let g = gcd(self.d, o.d);
        let n = self.n.checked_mul(o.d / g).zip(o.n.checked_mul(self.d / g));
        let n = n.and_then(|(a, b)| a.checked_add(b));
        Rational::new(fits(n), fits(self.d.checked_mul(o.d / g)))
    }
}

impl Neg for Rational {
    type Output = Self;
    fn neg(self) -> Self {
        Rational { n: -self.n, d: self.d }
    }
}

impl Sub for Rational {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self + -o
    }
}

impl Mul for Rational {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        // Common factors leave before the products are formed.
        let (g, h) = (gcd(self.n, o.d).max(1), gcd(o.n, self.d).max(1));
        let n = (self.n / g).checked_mul(o.n / h);
        let d = (self.d / h).checked_mul(o.d / g);
        Rational { n: fits(n), d: fits(d) }
    }
}

impl Div for Rational {
    type Output = Self;
    #[track_caller]
    fn div(self, o: Self) -> Self {
        assert!(o.n != 0, "{self:?} / 0");
        let sign = o.n.signum();
        self * Rational { n: o.d * sign, d: o.n * sign }
    }
}

impl PartialOrd for Rational {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}

impl Ord for Rational {
    fn cmp(&self, o: &Self) -> Ordering {
        (*self - *o).n.cmp(&0)
    }
}

impl Scalar for Rational {
    /// The simplest fraction that rounds to x: 1e-7 means a ten-millionth, not the double next to it. (The
    /// convergents of x's continued fraction, until one is x when rounded.)
    fn constant(x: f64) -> Self {
        let (mut last, mut this, mut rest) = ((0i128, 1i128), (1i128, 0i128), x);
        loop {
            let whole = rest.floor();
            let next = |last: i128, this: i128| {
                fits((whole as i128).checked_mul(this).and_then(|v| v.checked_add(last)))
            };
            (last, this) = (this, (next(last.0, this.0), next(last.1, this.1)));
            if this.0 as f64 / this.1 as f64 == x {
                return Rational::new(this.0, this.1);
            }
            rest = 1.0 / (rest - whole);
        }
    }

    fn atan(self) -> Self {
        panic!("the inverse tangent of {self:?} is no fraction")
    }

    fn exp(self) -> Self {
        panic!("e to the power of {self:?} is no fraction")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::law;

    fn q(n: i128, d: i128) -> Rational {
        Rational::new(n, d)
    }

    #[test]
    fn a_field_with_an_order() {
        law(|(a, b, c): ((i32, i32), (i32, i32), (i32, i32))| {
            let [a, b, c] = [a, b, c].map(|(n, d)| q(n.into(), i128::from(d).abs() + 1));
            (a + b) + c == a + (b + c)
                && a * (b + c) == a * b + a * c
                && a - a == Rational::ZERO
                && (a == Rational::ZERO || a / a == Rational::ONE)
                && (a < b) == (a + c < b + c)
                && (a.to_f64() == b.to_f64() || (a.to_f64() < b.to_f64()) == (a < b))
        });
    }

    #[test]
    fn lowest_terms_and_constants() {
        assert_eq!(format!("{:?} {:?}", q(6, -4), q(8, 4)), "-3/2 2");
        assert_eq!(Rational::exactly(0.375), q(3, 8));
        assert_ne!(Rational::exactly(0.1), q(1, 10));
        assert_eq!(Rational::constant(1e-7), q(1, 10_000_000));
        assert_eq!([0.0, -2.5, 3.0].map(Rational::constant), [q(0, 1), q(-5, 2), q(3, 1)]);
        assert_eq!(q(2, 3).pow(3), q(8, 27));
    }

    #[test]
    #[should_panic(expected = "outgrew 127 bits")]
    fn what_does_not_fit_panics() {
        let _ = q(i128::MAX / 2, 1) * q(3, 1);
    }
}
