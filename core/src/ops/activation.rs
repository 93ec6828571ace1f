//! Pointwise functions of one argument: y = f(x), ∂L/∂x = f'(x) · ∂L/∂y.
//!
//! The table says for each what backward keeps (x, y or nothing), the value, and the gradient from g = ∂L/∂y
//! and what was kept. Kinks and NaN are PyTorch's: NaN passes through; relu has slope 0 at 0, relu6 at 0 and
//! at 6, abs at 0, clamp at its bounds (since PyTorch 2.15; 1 before). At NaN the slope of relu and relu6 is
//! 1 (PyTorch's vectors of relu6 have 0 there, its single numbers 1), that of abs and clamp 0.

use super::elementwise::{Map, apply, maps};
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Activation, profile, tensor::Tensor};

/// What backward keeps.
#[derive(PartialEq)]
pub(crate) enum Keeps {
    Nothing,
    X,
    Y,
}

/// A pointwise function. Mark the methods with `#[inline(always)]`.
pub(crate) trait Pointwise<E>: Copy + Send + Sync + 'static {
    const NAME: &'static str;
    const KEEPS: Keeps;
    fn value(self, x: E) -> E;
    /// ∂L/∂x from g = ∂L/∂y and what was kept.
    fn gradient(self, g: E, kept: E) -> E;
}

/// `Name { parameters } "name" keeps What: value from x; gradient from g and what is kept.`
macro_rules! table {
    ($($op:ident { $($p:ident),* } $name:literal keeps $keeps:ident: |$x:ident| $value:expr; |$g:ident, $k:ident| $gradient:expr;)*) => { $(
        #[derive(Clone, Copy)]
        struct $op<E> { $($p: E,)* unit: std::marker::PhantomData<E> }
        impl<E: Element> $op<E> {
            fn new($($p: E),*) -> Self {
                Self { $($p,)* unit: std::marker::PhantomData }
            }
        }
        impl<E: Element> Pointwise<E> for $op<E> {
            const NAME: &'static str = $name;
            const KEEPS: Keeps = Keeps::$keeps;
            #[inline(always)]
            #[allow(clippy::eq_op)]
            fn value(self, $x: E) -> E {
                $(let $p = self.$p;)*
                $value
            }
            #[inline(always)]
            #[allow(unused_variables)]
            fn gradient(self, $g: E, $k: E) -> E {
                $(let $p = self.$p;)*
                $gradient
            }
        }
    )* };
}

table! {
    Relu {} "relu" keeps Y: |x| Activation::Relu.apply(x); |g, y| if Activation::Relu.passes(y) { g } else { E::ZERO };
    Relu6 {} "relu6" keeps Y: |x| Activation::Relu6.apply(x); |g, y| if Activation::Relu6.passes(y) { g } else { E::ZERO };
    Sigmoid {} "sigmoid" keeps Y: |x| x.sigmoid(); |g, y| g * (E::ONE - y) * y;
    Tanh {} "tanh" keeps Y: |x| x.tanh(); |g, y| g * (E::ONE - y * y);
    Exp {} "exp" keeps Y: |x| x.exp(); |g, y| g * y;
    Log {} "log" keeps X: |x| x.ln(); |g, x| g / x;
    Sqrt {} "sqrt" keeps Y: |x| x.sqrt(); |g, y| g / (y + y);
    Abs {} "abs" keeps X: |x| x.abs(); |g, x| if x > E::ZERO { g } else if x < E::ZERO { -g } else { E::ZERO };
    Neg {} "neg" keeps Nothing: |x| -x; |g, x| -g;
    Clamp { lo, hi } "clamp" keeps X: |x| if lo != lo { lo } else if hi != hi { hi } else { hi.min(lo.max(x)) };
        |g, x| if (x > lo || lo == E::NEG_INFINITY) && (x < hi || hi == E::INFINITY) { g } else { E::ZERO };
    Shift { c } "add" keeps Nothing: |x| x + c; |g, x| g;
    Scale { c } "mul" keeps Nothing: |x| x * c; |g, x| g * c;
}

maps! { |f: Pointwise, d, a, b|
    InPlace: f.value(d);
    ValueOf: f.value(a);
    GradientOf: f.gradient(d, a);
}

/// f of each element, in place where the buffer has no other owner.
fn values<E: Element, F: Pointwise<E>>(mut x: Tensor<E>, f: F) -> Tensor<E> {
    if x.is_unique() {
        apply(&mut x, None, None, InPlace(f));
        x
    } else {
        let mut y = Tensor::stale(*x.shape());
        apply(&mut y, Some(&x), None, ValueOf(f));
        y
    }
}

/// `d` with `f` applied in place, or into a new buffer where `d` is shared.
pub(crate) fn update<E: Element, F: Map<E>>(
    mut d: Tensor<E>,
    a: Option<&Tensor<E>>,
    b: Option<&Tensor<E>>,
    f: F,
) -> Tensor<E> {
    apply(&mut d, a, b, f);
    d
}

impl<E: Element> Tape<E> {
    fn pointwise<F: Pointwise<E>>(&mut self, x: Var<E>, f: F) -> Var<E> {
        let _span = profile::span(F::NAME, "forward");
        let node = x.node;
        if !self.records(&[node]) {
            return values(x.value, f).into();
        }
        let kept_x = (F::KEEPS == Keeps::X).then(|| x.value.clone());
        let y = values(x.value, f);
        let kept = if F::KEEPS == Keeps::Y { Some(y.clone()) } else { kept_x };
        self.record(F::NAME, y, &[node], move |g, slots| {
            slots.add(node, || update(g, kept.as_ref(), None, GradientOf(f)));
        })
    }

    /// max(x, 0). Any shape.
    pub fn relu(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Relu::new())
    }

    /// min(max(x, 0), 6). Any shape.
    pub fn relu6(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Relu6::new())
    }

    /// 1 / (1 + e⁻ˣ). Any shape.
    pub fn sigmoid(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Sigmoid::new())
    }

    /// The hyperbolic tangent. Any shape.
    pub fn tanh(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Tanh::new())
    }

    /// eˣ. Any shape.
    pub fn exp(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Exp::new())
    }

    /// The natural logarithm: -∞ at 0, NaN below. Any shape.
    pub fn log(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Log::new())
    }

    /// The square root: NaN below 0; its slope at 0 is infinite. Any shape.
    pub fn sqrt(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Sqrt::new())
    }

    /// |x|. Any shape.
    pub fn abs(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Abs::new())
    }

    /// -x. Any shape.
    pub fn neg(&mut self, x: Var<E>) -> Var<E> {
        self.pointwise(x, Neg::new())
    }

    /// min(max(x, lo), hi), NaN where a bound is NaN; ±∞ is no bound, and lets the gradient of infinite x
    /// pass. Any shape.
    pub fn clamp(&mut self, x: Var<E>, lo: f64, hi: f64) -> Var<E> {
        self.pointwise(x, Clamp::new(E::from_f64(lo), E::from_f64(hi)))
    }

    /// x + c. Any shape.
    pub fn add_scalar(&mut self, x: Var<E>, c: f64) -> Var<E> {
        self.pointwise(x, Shift::new(E::from_f64(c)))
    }

    /// c x. Any shape.
    pub fn mul_scalar(&mut self, x: Var<E>, c: f64) -> Var<E> {
        self.pointwise(x, Scale::new(E::from_f64(c)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y and ∂Σy/∂x.
    fn both(x: &[f64], f: impl Fn(&mut Tape<f64>, Var<f64>) -> Var<f64>) -> (Vec<f64>, Vec<f64>) {
        let mut t = Tape::eval();
        let x = t.input(Tensor::from_slice([x.len()], x));
        let y = f(&mut t, x.clone());
        let value = y.value.data().to_vec();
        let seed = Tensor::full(*y.shape(), 1.0);
        let g = t.backward_from([(y.node, seed)]);
        (value, g.of(&x).unwrap().data().to_vec())
    }

    #[test]
    fn kinks_are_pytorchs() {
        assert_eq!(both(&[-1.0, 0.0, 2.0], Tape::relu), (vec![0.0, 0.0, 2.0], vec![0.0, 0.0, 1.0]));
        let (y, g) = both(&[-1.0, 0.0, 0.5, 6.0, 6.5], Tape::relu6);
        assert_eq!((y, g), (vec![0.0, 0.0, 0.5, 6.0, 6.0], vec![0.0, 0.0, 1.0, 0.0, 0.0]));
        assert_eq!(both(&[-2.0, 0.0, 3.0], Tape::abs), (vec![2.0, 0.0, 3.0], vec![-1.0, 0.0, 1.0]));
        let (y, g) = both(&[-2.0, -1.0, 0.0, 1.0, 2.0], |t, x| t.clamp(x, -1.0, 1.0));
        assert_eq!((y, g), (vec![-1.0, -1.0, 0.0, 1.0, 1.0], vec![0.0, 0.0, 1.0, 0.0, 0.0]));
    }

    #[test]
    fn nan_passes_through() {
        for f in [Tape::relu, Tape::relu6, Tape::abs] {
            assert!(both(&[f64::NAN], f).0[0].is_nan());
        }
        for (lo, hi) in [(-1.0, 1.0), (f64::NAN, 1.0), (-1.0, f64::NAN)] {
            let (y, g) = both(&[f64::NAN, 3.0], |t, x| t.clamp(x, lo, hi));
            assert!(y[0].is_nan() && (y[1].is_nan() || lo + hi == 0.0) && g == [0.0, 0.0], "{y:?} {g:?}");
        }
        let ends = [f64::NEG_INFINITY, f64::INFINITY];
        for (lo, hi, want) in [(-1.0, f64::INFINITY, [0.0, 1.0]), (f64::NEG_INFINITY, 6.0, [1.0, 0.0])] {
            assert_eq!(both(&ends, |t, x| t.clamp(x, lo, hi)).1, want);
        }
        // The slopes there.
        let slope = |f: fn(&mut Tape<f64>, Var<f64>) -> Var<f64>| both(&[f64::NAN], f).1[0];
        assert_eq!([Tape::relu, Tape::relu6, Tape::abs].map(slope), [1.0, 1.0, 0.0]);
    }

    #[test]
    fn works_in_place_only_on_what_nobody_else_owns() {
        let mut t = Tape::<f32>::infer();
        let x = Tensor::from_slice([2], &[-1.0, 1.0]);
        let y = t.relu(x.clone().into());
        assert_eq!((x.data(), y.value.data()), (&[-1.0, 1.0][..], &[0.0, 1.0][..]));
        let p = y.value.data().as_ptr();
        assert_eq!(t.neg(y).value.data().as_ptr(), p);
    }

    #[test]
    fn nothing_is_recorded_without_a_live_parent() {
        let mut t = Tape::<f32>::eval();
        let x = Tensor::full([3], 2.0);
        let place = x.data().as_ptr();
        let y = t.log(x.into());
        assert!(y.node.is_none() && t.is_empty());
        // Nor is the operand kept: its place takes the result.
        assert_eq!(y.value.data().as_ptr(), place);
    }
}
