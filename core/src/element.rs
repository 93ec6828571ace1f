//! The numbers a tensor is made of: f32, which runs, and f64, which proves.

use crate::arena::Arena;
use crate::elementary::double;
use crate::elementary::single;
use crate::simd::{Isa, Kernel, dispatch_f32_on, dispatch_f64_on};
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// What only this crate can implement.
mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A type that is written over an element, such as a matrix: [`Element::own`] hands one on.
#[doc(hidden)]
pub trait Over {
    /// The type over E.
    type Of<E: Element>;
}

/// f32 or f64. Every op is written once, generic over it: in f32 the intrinsics run, in f64 the portable
/// path.
///
/// It is sealed: kernels hand out memory of the arena as elements, whatever bits it holds, and read f32 where
/// an instruction set asks for it. Both are sound for f32 and f64, and would not be for any type.
pub trait Element:
    sealed::Sealed
    + Copy
    + Default
    + Debug
    + Display
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// +infinity
    const INFINITY: Self;
    /// -infinity
    const NEG_INFINITY: Self;
    /// The unit roundoff u: 2^-24 or 2^-53.
    const UNIT_ROUNDOFF: f64;
    /// "f32" or "f64"
    const NAME: &'static str;

    /// The nearest element.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// e^x, here and below as [`crate::elementary`] has it.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x), accurate near 0.
    fn ln_1p(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// 1 / (1 + e^-x)
    fn sigmoid(self) -> Self;
    /// The sine.
    fn sin(self) -> Self;
    /// The cosine.
    fn cos(self) -> Self;
    /// The inverse tangent.
    fn atan(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// |x|
    fn abs(self) -> Self;
    /// The largest integer not above.
    fn floor(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// The greater; `other` where either is NaN.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// The lesser; `other` where either is NaN.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    /// The nearest element to an integer.
    #[inline(always)]
    fn from_usize(n: usize) -> Self {
        Self::from_f64(n as f64)
    }

    /// Runs a kernel compiled for the instruction set in use.
    fn dispatch<K: Kernel<Self>>(kernel: K) -> K::Output {
        Self::dispatch_on(crate::simd::isa(), kernel)
    }
    /// Runs a kernel compiled for `isa`, or for the portable path where this machine or element lacks it.
    fn dispatch_on<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
    /// Hands what is over this element to the function for its own type.
    ///
    /// A generic function is compiled anew in every crate that uses it. Where the two functions are not
    /// generic, they are compiled in the crate that has them, and whoever depends on it compiles no kernel.
    #[doc(hidden)]
    fn own<T: Over, R>(
        of: T::Of<Self>,
        on_f32: impl FnOnce(T::Of<f32>) -> R,
        on_f64: impl FnOnce(T::Of<f64>) -> R,
    ) -> R;
    /// The arena that buffers of this element come from and return to.
    fn arena() -> &'static Arena<Self>;
}

macro_rules! elementary {
    ($functions:ident: $($name:ident)*) => { $(
        #[inline(always)]
        fn $name(self) -> Self {
            $functions::$name(self)
        }
    )* };
}

macro_rules! element {
    ($t:ident, $functions:ident, $dispatch:ident, $own:ident of ($on_f32:pat_param, $on_f64:pat_param)) => {
        impl Element for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const UNIT_ROUNDOFF: f64 = $t::EPSILON as f64 / 2.0;
            const NAME: &'static str = stringify!($t);
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            elementary! { $functions: exp ln ln_1p tanh sigmoid sin cos atan erf }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn floor(self) -> Self {
                $t::floor(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn dispatch_on<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output {
                $dispatch(isa, kernel)
            }
            #[inline(always)]
            fn own<T: Over, R>(
                of: T::Of<Self>,
                $on_f32: impl FnOnce(T::Of<f32>) -> R,
                $on_f64: impl FnOnce(T::Of<f64>) -> R,
            ) -> R {
                $own(of)
            }
            fn arena() -> &'static Arena<Self> {
                static ARENA: Arena<$t> = Arena::new();
                &ARENA
            }
        }
    };
}

element!(f32, single, dispatch_f32_on, own of (own, _));
element!(f64, double, dispatch_f64_on, own of (_, own));
