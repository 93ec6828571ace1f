//! Elementary functions that have the same bits on every machine.
//!
//! The standard library hands exp, ln, sin and their like to the system's C library, and the last bits of
//! those differ between glibc's versions, musl, Apple's and Microsoft's; a network trained with one of them
//! is not the network trained with another. These need nothing but IEEE 754's addition, subtraction,
//! multiplication and division, which every processor rounds alike. They have no branch where they run on
//! many numbers, so that a loop over them becomes vectors.
//!
//! In f64 the error is below one unit in the last place. In f32 every result is correctly rounded: it is the
//! f64 result, rounded once more, and that is right unless the f64 result lies so near to the middle between
//! two numbers of f32 that its error decides. All 2³² arguments of each function were tried; the few that
//! went wrong are listed in `single.rs`, with the results that they should have. Such tables are how
//! correctly rounded libraries are made (Lim and Nagarakatte, RLIBM, PLDI 2021; Zimmermann's CORE-MATH).

mod constants;
pub(crate) mod double;
mod error_function;
mod exponential;
mod logarithm;
mod pair;
pub(crate) mod single;
mod trigonometric;

use crate::element::Element;

/// A function of each element, in f32 and in f64.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        ///
        /// In f32 correctly rounded; in f64 within one unit in the last place.
        #[inline(always)]
        pub fn $name<E: Element>(x: E) -> E {
            x.$name()
        }
    )* };
}

functions! {
    /// eˣ
    exp;
    /// The natural logarithm: -∞ at 0, NaN below.
    ln;
    /// ln(1 + x), accurate near 0: -∞ at -1, NaN below.
    ln_1p;
    /// The hyperbolic tangent.
    tanh;
    /// 1 / (1 + e⁻ˣ)
    sigmoid;
    /// The sine of x radians, however large x is; NaN where it is infinite.
    sin;
    /// The cosine of x radians, however large x is; NaN where it is infinite.
    cos;
    /// The inverse tangent, from -π/2 to π/2.
    atan;
    /// 2/√π times the integral of e^(-t²) from 0 to x.
    erf;
}

/// xⁿ by squaring: less than 2 log₂ |n| products, each of which rounds once. The relative error is below |n|
/// u with u the unit roundoff, where x^|n| and what it is made of are normal numbers.
pub fn powi<E: Element>(x: E, n: i32) -> E {
    let (mut rest, mut square, mut product) = (n.unsigned_abs(), x, E::ONE);
    while rest > 0 {
        if rest & 1 == 1 {
            product *= square;
        }
        square *= square;
        rest >>= 1;
    }
    if n < 0 { E::ONE / product } else { product }
}

/// √(x² + y²), in f32 by way of f64; neither overflows nor underflows before the result does. Within one unit
/// in the last place.
pub fn hypot<E: Element>(x: E, y: E) -> E {
    let (x, y) = (x.to_f64().abs(), y.to_f64().abs());
    if x == f64::INFINITY || y == f64::INFINITY {
        return E::INFINITY;
    }
    // Powers of two change no digit.
    let largest = if x > y { x } else { y };
    let scale = if largest > LARGE {
        1.0 / LARGE
    } else if largest < 1.0 / LARGE {
        LARGE
    } else {
        1.0
    };
    let (x, y) = (x * scale, y * scale);
    E::from_f64((x * x + y * y).sqrt() / scale)
}

/// 2⁶⁰⁰
const LARGE: f64 = f64::from_bits((1023 + 600) << 52);

/// The angle from the positive x axis to (x, y), from -π to π. Within two units in the last place.
pub fn atan2<E: Element>(y: E, x: E) -> E {
    use std::f64::consts::{FRAC_PI_2, PI};
    let (x, y) = (x.to_f64(), y.to_f64());
    let of = |a: f64, b: f64| if a == 0.0 { 0.0 } else { double::atan(a / b) };
    let steep = y.abs() > x.abs();
    let angle = match (steep, x.is_sign_negative()) {
        (true, _) => FRAC_PI_2 - of(x, y.abs()),
        (false, false) => of(y.abs(), x),
        (false, true) => PI - of(y.abs(), -x),
    };
    // 0/0 and ∞/∞ are no angles here.
    E::from_f64(angle.copysign(y))
}
