//! Sum, difference, product, quotient, maximum and minimum of two tensors, with NumPy's broadcasting.
//!
//! For y = f(a, b): ∂L/∂a = Σ f_a(a, b) ∂L/∂y over the axes along which a was repeated. Where maximum and
//! minimum meet a tie, each side gets half.

use super::activation::update;
use super::elementwise::{Map, apply, broadcast, maps};
use super::reduce::sum_to;
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, shape::Shape, tensor::Tensor};

/// A function of two arguments. `PASSES` and `KEEPS` spare work: the gradient that is g itself, what no
/// gradient needs.
trait Binary<E>: Copy + Send + Sync + 'static {
    const NAME: &'static str;
    /// Whether ∂L/∂a is g itself, and ∂L/∂b.
    const PASSES: [bool; 2] = [false, false];
    /// Whether a gradient (that is wanted) of a looks at a and b; whether that of b does.
    const KEEPS: [[bool; 2]; 2];
    fn value(self, a: E, b: E) -> E;
    fn gradient_a(self, g: E, a: E, b: E) -> E;
    fn gradient_b(self, g: E, a: E, b: E) -> E;
}

macro_rules! table {
    ($($op:ident $name:literal passes $passes:tt keeps $keeps:tt: |$a:ident, $b:ident| $value:expr; |$g:ident| $ga:expr, $gb:expr;)*) => { $(
        #[derive(Clone, Copy)]
        struct $op;
        impl<E: Element> Binary<E> for $op {
            const NAME: &'static str = $name;
            const PASSES: [bool; 2] = $passes;
            const KEEPS: [[bool; 2]; 2] = $keeps;
            #[inline(always)]
            fn value(self, $a: E, $b: E) -> E {
                $value
            }
            #[inline(always)]
            #[allow(unused_variables)]
            fn gradient_a(self, $g: E, $a: E, $b: E) -> E {
                $ga
            }
            #[inline(always)]
            #[allow(unused_variables)]
            fn gradient_b(self, $g: E, $a: E, $b: E) -> E {
                $gb
            }
        }
    )* };
}

const NONE: [[bool; 2]; 2] = [[false, false], [false, false]];
const ALL: [[bool; 2]; 2] = [[true, true], [true, true]];

table! {
    Add "add" passes [true, true] keeps NONE: |a, b| a + b; |g| g, g;
    Sub "sub" passes [true, false] keeps NONE: |a, b| a - b; |g| g, -g;
    Mul "mul" passes [false, false] keeps [[false, true], [true, false]]: |a, b| a * b; |g| g * b, g * a;
    Div "div" passes [false, false] keeps [[false, true], [true, true]]: |a, b| a / b; |g| g / b, -g * ((a / b) / b);
    Maximum "maximum" passes [false, false] keeps ALL: |a, b| if a > b || is_nan(a) { a } else { b };
        |g| winners_share(g, a, b), winners_share(g, b, a);
    Minimum "minimum" passes [false, false] keeps ALL: |a, b| if a < b || is_nan(a) { a } else { b };
        |g| winners_share(g, b, a), winners_share(g, a, b);
}

#[inline(always)]
#[allow(clippy::eq_op)]
fn is_nan<E: Element>(x: E) -> bool {
    x != x
}

/// The gradient of the side whose value is `this` in a contest for the greater.
#[inline(always)]
fn winners_share<E: Element>(g: E, this: E, other: E) -> E {
    if this == other {
        g * E::from_f64(0.5)
    } else if this < other {
        E::ZERO
    } else {
        g
    }
}

maps! { |f: Binary, d, a, b|
    FreshOf: f.value(a, b);
    IntoA: f.value(d, b);
    IntoB: f.value(a, d);
    GradientA: f.gradient_a(d, a, b);
    GradientB: f.gradient_b(d, a, b);
}

/// f(a, b), into the buffer of a or b if it has the result's shape and no other owner.
fn combine<E: Element, F: Binary<E>>(shape: Shape, mut a: Tensor<E>, mut b: Tensor<E>, f: F) -> Tensor<E> {
    if *a.shape() == shape && a.is_unique() {
        update(a, None, Some(&b), IntoA(f))
    } else if *b.shape() == shape && b.is_unique() {
        update(b, Some(&a), None, IntoB(f))
    } else {
        let mut y = Tensor::result(F::NAME, &shape);
        apply(&mut y, Some(&a), Some(&b), FreshOf(f));
        y
    }
}

impl<E: Element> Tape<E> {
    #[track_caller]
    fn binary<F: Binary<E>>(&mut self, a: Var<E>, b: Var<E>, f: F) -> Var<E> {
        let _span = profile::span(F::NAME, "forward");
        let nodes @ [node_a, node_b] = [a.node, b.node];
        let shapes = [*a.shape(), *b.shape()];
        let shape = broadcast(F::NAME, &shapes[0], &shapes[1]);
        if !self.records(&nodes) {
            return combine(shape, a.value, b.value, f).into();
        }
        let kept = |operand: usize, t: &Tensor<E>| {
            let wanted = (0..2).any(|k| nodes[k].is_some() && F::KEEPS[k][operand]);
            wanted.then(|| t.clone())
        };
        let (kept_a, kept_b) = (kept(0, &a.value), kept(1, &b.value));
        let y = combine(shape, a.value, b.value, f);
        self.record(F::NAME, y, &nodes, move |g, slots| {
            let (a, b) = (kept_a.as_ref(), kept_b.as_ref());
            let g_b = node_b.map(|_| g.clone());
            slots.add(node_a, || {
                let g = if F::PASSES[0] { g } else { update(g, a, b, GradientA(f)) };
                sum_to(g, shapes[0])
            });
            slots.add(node_b, || {
                let g = g_b.expect("kept where node_b is live");
                let g = if F::PASSES[1] { g } else { update(g, a, b, GradientB(f)) };
                sum_to(g, shapes[1])
            });
        })
    }

    /// a + b. Shapes broadcast as in NumPy.
    #[track_caller]
    pub fn add(&mut self, a: Var<E>, b: Var<E>) -> Var<E> {
        self.binary(a, b, Add)
    }

    /// a - b. Shapes broadcast as in NumPy.
    #[track_caller]
    pub fn sub(&mut self, a: Var<E>, b: Var<E>) -> Var<E> {
        self.binary(a, b, Sub)
    }

    /// a b, element by element. Shapes broadcast as in NumPy.
    #[track_caller]
    pub fn mul(&mut self, a: Var<E>, b: Var<E>) -> Var<E> {
        self.binary(a, b, Mul)
    }

    /// a / b. Shapes broadcast as in NumPy.
    #[track_caller]
    pub fn div(&mut self, a: Var<E>, b: Var<E>) -> Var<E> {
        self.binary(a, b, Div)
    }

    /// The greater of a and b, NaN where either is; ties split the gradient. Shapes broadcast as in NumPy.
    #[track_caller]
    pub fn maximum(&mut self, a: Var<E>, b: Var<E>) -> Var<E> {
        self.binary(a, b, Maximum)
    }

    /// The lesser of a and b, NaN where either is; ties split the gradient. Shapes broadcast as in NumPy.
    #[track_caller]
    pub fn minimum(&mut self, a: Var<E>, b: Var<E>) -> Var<E> {
        self.binary(a, b, Minimum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::gradients;

    fn t(shape: &[usize], data: &[f64]) -> Tensor<f64> {
        Tensor::from_slice(shape, data)
    }

    #[test]
    fn broadcasting_is_numpys() {
        let s = |d: &[usize]| Shape::new(d);
        assert_eq!(broadcast("x", &s(&[4, 1]), &s(&[1, 6])), s(&[4, 6]));
        assert_eq!(broadcast("x", &s(&[]), &s(&[2, 3])), s(&[2, 3]));
        assert_eq!(broadcast("x", &s(&[2, 1, 3]), &s(&[5, 1])), s(&[2, 5, 3]));
        assert_eq!(broadcast("x", &s(&[0, 3]), &s(&[1])), s(&[0, 3]));
    }

    #[test]
    #[should_panic(expected = "add: shapes [2, 3] and [2] do not broadcast")]
    fn shapes_that_do_not_fit_are_named() {
        Tape::<f32>::infer().add(Tensor::zeros([2, 3]).into(), Tensor::zeros([2]).into());
    }

    #[test]
    fn gradients_are_summed_over_repeated_axes() {
        let (a, b) = (t(&[2, 1], &[2.0, 3.0]), t(&[3], &[5.0, 7.0, 11.0]));
        let (y, g) = gradients([a, b], |t, [a, b]| t.mul(a, b));
        assert_eq!(y, t(&[2, 3], &[10.0, 14.0, 22.0, 15.0, 21.0, 33.0]));
        assert_eq!(g, [t(&[2, 1], &[23.0, 23.0]), t(&[3], &[5.0, 5.0, 5.0])]);
    }

    #[test]
    fn ties_split_the_gradient() {
        let (y, g) = gradients([t(&[3], &[1.0, 2.0, 3.0]), t(&[], &[2.0])], |t, [a, b]| t.maximum(a, b));
        assert_eq!(y.data(), [2.0, 2.0, 3.0]);
        assert_eq!((g[0].data(), g[1].item()), (&[0.0, 0.5, 1.0][..], 1.5));
    }

    #[test]
    fn an_operand_may_meet_itself() {
        let mut tape = Tape::eval();
        let x = tape.input(t(&[1], &[3.0]));
        let y = tape.mul(x.clone(), x.clone());
        assert_eq!(tape.backward(&y).of(&x).unwrap().item(), 6.0);
    }

    #[test]
    fn long_rows_and_vectors_of_channels() {
        // More than one piece of work, and pieces that begin inside of a run.
        let (rows, c) = (7001, 13);
        let a = Tensor::<f32>::from_fn([rows, c], |i| i as f32);
        let b = Tensor::<f32>::from_fn([c], |i| (1000 * i) as f32);
        let y = Tape::infer().sub(a.into(), b.into());
        assert!(y.value.data().iter().enumerate().all(|(i, &v)| v == i as f32 - (1000 * (i % c)) as f32));
    }
}
