//! Numbers that a formula can be evaluated in: floats, exact rationals, and dual numbers, which carry
//! derivatives.
//!
//! A dual number v + Σ dᵢ εᵢ with εᵢ εⱼ = 0 follows f(v + d ε) = f(v) + f'(v) d ε: a formula written once
//! over [`Scalar`] gives its value in f32, its value and gradient in `Dual<f64, N>`, and its exact value in a
//! rational type (Clifford 1873; forward-mode differentiation, Wengert 1964).

use gradus_core::Element;
use std::ops::{Add, Div, Mul, Sub};

/// A field with an order, and the few functions beyond it that boxes need.
pub trait Scalar:
    Copy + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The nearest number of this type; `x` is a small integer, or a constant of a definition.
    fn constant(x: f64) -> Self;
    /// The inverse tangent. A type without one may panic: only CIoU needs it.
    fn atan(self) -> Self;
    /// e to this power. A type without one may panic: only decoding boxes needs it.
    fn exp(self) -> Self;
    /// The same value as a constant: derivatives do not pass.
    fn detach(self) -> Self {
        self
    }
    /// The greater. Where they are equal, derivatives are the mean of both sides'.
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// The lesser. Where they are equal, derivatives are the mean of both sides'.
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    /// max(self, 0). At 0 derivatives pass, as in PyTorch's `clamp`.
    fn at_least_zero(self) -> Self {
        let zero = Self::constant(0.0);
        if self >= zero { self } else { zero }
    }
}

impl<E: Element> Scalar for E {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        E::from_f64(x)
    }
    #[inline(always)]
    fn atan(self) -> Self {
        Element::atan(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        Element::exp(self)
    }
}

/// A value and its derivatives with respect to N variables.
#[derive(Clone, Copy, Debug)]
pub struct Dual<E, const N: usize> {
    /// The value.
    pub value: E,
    /// The derivatives.
    pub d: [E; N],
}

impl<E: Element, const N: usize> Dual<E, N> {
    /// The i-th variable.
    pub fn variable(value: E, i: usize) -> Self {
        let mut d = [E::ZERO; N];
        d[i] = E::ONE;
        Dual { value, d }
    }

    /// Value v, derivatives a·self.d + b·other.d.
    #[inline(always)]
    fn chain(self, value: E, a: E, other: Self, b: E) -> Self {
        Dual { value, d: std::array::from_fn(|i| a * self.d[i] + b * other.d[i]) }
    }
}

impl<E: Element, const N: usize> PartialEq for Dual<E, N> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<E: Element, const N: usize> PartialOrd for Dual<E, N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<E: Element, const N: usize> Add for Dual<E, N> {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        self.chain(self.value + o.value, E::ONE, o, E::ONE)
    }
}

impl<E: Element, const N: usize> Sub for Dual<E, N> {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self.chain(self.value - o.value, E::ONE, o, -E::ONE)
    }
}

impl<E: Element, const N: usize> Mul for Dual<E, N> {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        self.chain(self.value * o.value, o.value, o, self.value)
    }
}

impl<E: Element, const N: usize> Div for Dual<E, N> {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        let q = self.value / o.value;
        self.chain(q, E::ONE / o.value, o, -(q / o.value))
    }
}

impl<E: Element, const N: usize> Scalar for Dual<E, N> {
    fn constant(x: f64) -> Self {
        Dual { value: E::from_f64(x), d: [E::ZERO; N] }
    }
    fn atan(self) -> Self {
        self.chain(self.value.atan(), E::ONE / (E::ONE + self.value * self.value), self, E::ZERO)
    }
    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e, self, E::ZERO)
    }
    fn detach(self) -> Self {
        Dual { value: self.value, d: [E::ZERO; N] }
    }
    fn max(self, o: Self) -> Self {
        if self.value == o.value {
            let half = E::from_f64(0.5);
            return self.chain(self.value, half, o, half);
        }
        if self.value > o.value { self } else { o }
    }
    fn min(self, o: Self) -> Self {
        if self.value == o.value {
            let half = E::from_f64(0.5);
            return self.chain(self.value, half, o, half);
        }
        if self.value < o.value { self } else { o }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dual_numbers_differentiate() {
        // f(x, y) = atan(x / y) + x y - max(x, y), x = 2, y = 3.
        let (x, y) = (Dual::<f64, 2>::variable(2.0, 0), Dual::variable(3.0, 1));
        let f = (x / y).atan() + x * y - x.max(y);
        assert!((f.value - ((2.0f64 / 3.0).atan() + 3.0)).abs() < 1e-15);
        let r = 13.0;
        assert!((f.d[0] - (3.0 / r + 3.0)).abs() < 1e-15, "{:?}", f.d);
        assert!((f.d[1] - (-2.0 / r + 2.0 - 1.0)).abs() < 1e-15, "{:?}", f.d);
        assert_eq!(x.max(x - y + y).d, [1.0, 0.0]);
        assert_eq!(f.detach().d, [0.0; 2]);
    }
}
