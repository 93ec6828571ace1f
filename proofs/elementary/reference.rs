//! Elementary functions to as many digits as one asks for, by whole numbers alone: a value v stands as v 2ᵇ,
//! rounded down. Slow, and as near to the definitions as can be: series, and what shortens their arguments.

use gradus_core::{Element, elementary};
use num_bigint::{BigInt, Sign};

/// The functions under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Exp,
    Ln,
    Ln1p,
    Tanh,
    Sigmoid,
    Sin,
    Cos,
    Atan,
    Erf,
}

impl Function {
    pub const ALL: [Function; 9] = {
        use Function::*;
        [Exp, Ln, Ln1p, Tanh, Sigmoid, Sin, Cos, Atan, Erf]
    };

    /// As the library calls it.
    pub fn name(self) -> &'static str {
        match self {
            Function::Exp => "exp",
            Function::Ln => "ln",
            Function::Ln1p => "ln_1p",
            Function::Tanh => "tanh",
            Function::Sigmoid => "sigmoid",
            Function::Sin => "sin",
            Function::Cos => "cos",
            Function::Atan => "atan",
            Function::Erf => "erf",
        }
    }

    /// Its value as the library has it.
    #[inline(always)]
    pub fn computed<E: Element>(self, x: E) -> E {
        match self {
            Function::Exp => elementary::exp(x),
            Function::Ln => elementary::ln(x),
            Function::Ln1p => elementary::ln_1p(x),
            Function::Tanh => elementary::tanh(x),
            Function::Sigmoid => elementary::sigmoid(x),
            Function::Sin => elementary::sin(x),
            Function::Cos => elementary::cos(x),
            Function::Atan => elementary::atan(x),
            Function::Erf => elementary::erf(x),
        }
    }

    /// Whether it is a finite number there, and not so near to a limit that digits run out.
    pub fn is_defined_at(self, x: f64) -> bool {
        match self {
            Function::Exp => (-760.0..710.0).contains(&x),
            Function::Ln => x > 0.0 && x.is_finite(),
            Function::Ln1p => x > -1.0 && x.is_finite(),
            Function::Tanh => x.abs() < 40.0,
            Function::Sigmoid => x.abs() < 760.0,
            Function::Erf => x.abs() < 7.0,
            Function::Sin | Function::Cos | Function::Atan => x.is_finite(),
        }
    }

    /// Its value.
    pub fn value(self, x: f64) -> Number {
        // Enough for the smallest results and the least differences of large arguments: the exponent of x
        // counts twice.
        let size = (x.to_bits() >> 52 & 0x7ff) as i64 - 1023;
        let small = if matches!(self, Function::Exp | Function::Sigmoid) { 1200 } else { 0 };
        let bits = 320 + 2 * size.unsigned_abs() as usize + small;
        let f = Fixed { bits };
        let x = f.of(x);
        let value = match self {
            Function::Exp => f.exp(&x),
            Function::Ln => f.ln(&x),
            Function::Ln1p => f.ln(&(f.one() + x)),
            Function::Tanh => {
                let e = f.exp(&(x << 1));
                f.div(&(&e - f.one()), &(&e + f.one()))
            }
            Function::Sigmoid => f.div(&f.one(), &(f.one() + f.exp(&-x))),
            Function::Sin => f.sin_cos(&x).0,
            Function::Cos => f.sin_cos(&x).1,
            Function::Atan => f.atan(&x),
            Function::Erf => f.erf(&x),
        };
        Number { value, bits }
    }
}

/// value / 2^bits
pub struct Number {
    value: BigInt,
    bits: usize,
}

impl Number {
    /// The nearest number of a format with `digits` binary digits and least positive number 2^least, ties to
    /// even; as f64, which has all of f32.
    pub fn round(&self, digits: i64, least: i64) -> f64 {
        let magnitude = self.value.magnitude();
        // 2^(exponent - 1) <= |v| < 2^exponent
        let exponent = magnitude.bits() as i64 - self.bits as i64;
        let unit = (exponent - digits).max(least);
        let shift = unit + self.bits as i64;
        assert!(shift > 64, "too few digits");
        let half = BigInt::from(1) << (shift - 1);
        let whole = (BigInt::from_biguint(Sign::Plus, magnitude.clone()) + half) >> shift;
        // A tie would need the value to have no digit after the half: none of these functions has such
        // values.
        let mantissa = u64::try_from(&whole).expect("at most 54 bits") as f64;
        let value = mantissa * power(unit.max(-1022)) * power(unit - unit.max(-1022));
        if self.value.sign() == Sign::Minus { -value } else { value }
    }

    /// |y - v| in units of the last place that numbers of v's size have in f64.
    pub fn error(&self, y: f64) -> f64 {
        let exponent = self.value.magnitude().bits() as i64 - self.bits as i64;
        let unit = (exponent - 53).max(-1074) + self.bits as i64;
        let difference = Fixed { bits: self.bits }.of(y) - &self.value;
        let thousandths = (difference * 1000) >> unit;
        i64::try_from(&thousandths).map_or(f64::INFINITY, |t| t.abs() as f64 / 1000.0)
    }
}

/// 2^n, for n from -1022 to 1023.
fn power(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// Arithmetic of numbers v 2^bits.
struct Fixed {
    bits: usize,
}

impl Fixed {
    fn one(&self) -> BigInt {
        BigInt::from(1) << self.bits
    }

    fn of(&self, x: f64) -> BigInt {
        let bits = x.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
        let mantissa = BigInt::from(if exponent == 0 { fraction } else { fraction | 1 << 52 });
        let shift = exponent.max(1) - 1075 + self.bits as i64;
        let magnitude = if shift >= 0 { mantissa << shift } else { mantissa >> -shift };
        if x < 0.0 { -magnitude } else { magnitude }
    }

    fn mul(&self, a: &BigInt, b: &BigInt) -> BigInt {
        (a * b) >> self.bits
    }

    fn div(&self, a: &BigInt, b: &BigInt) -> BigInt {
        (a << self.bits) / b
    }

    /// first + first·x/d(1) + first·x²/(d(1) d(2)) + .. until terms vanish.
    fn series(&self, first: BigInt, x: &BigInt, d: impl Fn(u64) -> u64) -> BigInt {
        let (mut term, mut sum, mut n) = (first, BigInt::ZERO, 1);
        // Rounding down leaves -1 of a negative number for ever.
        while term.magnitude().bits() > 1 {
            sum += &term;
            term = self.mul(&term, x) / d(n);
            n += 1;
        }
        sum
    }

    /// Σ sign^n x^(2n + 1) / (2n + 1): artanh x, or arctan x with alternating signs.
    fn odd_series(&self, x: &BigInt, alternating: bool) -> BigInt {
        let square = self.mul(x, x);
        let (mut power, mut sum, mut n) = (x.clone(), BigInt::ZERO, 0u64);
        while power.magnitude().bits() > 1 {
            let term = &power / (2 * n + 1);
            sum += if alternating && n % 2 == 1 { -term } else { term };
            power = self.mul(&power, &square);
            n += 1;
        }
        sum
    }

    fn ln2(&self) -> BigInt {
        self.odd_series(&(self.one() / 3), false) << 1
    }

    /// Machin: π = 16 arctan 1/5 - 4 arctan 1/239.
    fn pi(&self) -> BigInt {
        (self.odd_series(&(self.one() / 5), true) << 4) - (self.odd_series(&(self.one() / 239), true) << 2)
    }

    fn exp(&self, x: &BigInt) -> BigInt {
        let ln2 = self.ln2();
        // Any whole number near to the quotient will do.
        let n = i64::try_from(&(x / &ln2)).expect("an exponent");
        let r = x - &ln2 * n;
        let e = self.series(self.one(), &r, |n| n);
        if n >= 0 { e << n } else { e >> -n }
    }

    fn ln(&self, x: &BigInt) -> BigInt {
        // x = 2^n m with 1/2 <= m < 1.
        let n = x.magnitude().bits() as i64 - self.bits as i64;
        let m = if n >= 0 { x >> n } else { x << -n };
        let s = self.div(&(&m - self.one()), &(&m + self.one()));
        (self.odd_series(&s, false) << 1) + self.ln2() * n
    }

    fn sin_cos(&self, x: &BigInt) -> (BigInt, BigInt) {
        let quarter = self.pi() >> 1;
        let n = x / &quarter;
        let r = x - &n * quarter;
        let minus = -self.mul(&r, &r);
        let sin = self.series(r, &minus, |n| 2 * n * (2 * n + 1));
        let cos = self.series(self.one(), &minus, |n| (2 * n - 1) * 2 * n);
        match i64::try_from(n & BigInt::from(3)).expect("two bits") {
            0 => (sin, cos),
            1 => (cos, -sin),
            2 => (-sin, -cos),
            _ => (-cos, sin),
        }
    }

    /// Three times arctan x = 2 arctan (x / (1 + √(1 + x²))).
    fn atan(&self, x: &BigInt) -> BigInt {
        let mut t = x.clone();
        for _ in 0..3 {
            let root = ((self.one() << self.bits) + &t * &t).sqrt();
            t = self.div(&t, &(self.one() + root));
        }
        self.odd_series(&t, true) << 3
    }

    /// 2/√π Σ (-1)ⁿ x^(2n + 1) / (n! (2n + 1))
    fn erf(&self, x: &BigInt) -> BigInt {
        let minus = -self.mul(x, x);
        let (mut power, mut sum, mut n) = (x.clone(), BigInt::ZERO, 0u64);
        while power.magnitude().bits() > 1 {
            sum += &power / (2 * n + 1);
            n += 1;
            power = self.mul(&power, &minus) / n;
        }
        let root = (self.pi() << self.bits).sqrt();
        self.div(&(sum << 1), &root)
    }
}
