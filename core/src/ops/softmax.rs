//! softmax(x)ᵢ = e^(xᵢ - m) / s and log softmax(x)ᵢ = (xᵢ - m) - ln s along an axis, with m = max x and s = Σ
//! e^(xᵢ - m).
//!
//! Backward, with ⟨·⟩ the sum along the axis: y (g - ⟨g y⟩) for softmax, g - e^y ⟨g⟩ for its logarithm.

use super::lines::{Lines, WIDTH, exps, lns};
use crate::shape::Around;
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, tensor::Tensor};

/// softmax in place.
fn softmax<E: Element>(x: &mut Tensor<E>, around: Around) {
    Lines::for_each(x.data_mut(), around, |_, mut lines| {
        let m = lines.max();
        let (e, mut s) = lines.exps_less(m);
        lines.change_with(&mut s, &e, |s, x, e| *x = e / *s);
    });
}

/// log softmax in place.
fn log_softmax<E: Element>(x: &mut Tensor<E>, around: Around) {
    Lines::for_each(x.data_mut(), around, |_, mut lines| {
        let m = lines.max();
        let (_, mut s) = lines.exps_less(m);
        lns(&mut s);
        lines.change(&mut s, |ln_s, x| *x -= *ln_s);
    });
}

/// y (g - ⟨g y⟩), in place of g.
fn softmax_backward<E: Element>(g: &mut Tensor<E>, y: &Tensor<E>, around: Around) {
    Lines::for_each(g.data_mut(), around, |start, mut lines| {
        let (y, mut dot) = (lines.copy_of(y.data(), start), [E::ZERO; WIDTH]);
        lines.change_with(&mut dot, &y, |dot, g, y| *dot += *g * y);
        lines.change_with(&mut dot, &y, |dot, g, y| *g = y * (*g - *dot));
    });
}

/// g - e^y ⟨g⟩, in place of g.
fn log_softmax_backward<E: Element>(g: &mut Tensor<E>, y: &Tensor<E>, around: Around) {
    Lines::for_each(g.data_mut(), around, |start, mut lines| {
        let (mut e, mut sum) = (lines.copy_of(y.data(), start), [E::ZERO; WIDTH]);
        exps(&mut e);
        lines.change(&mut sum, |sum, g| *sum += *g);
        lines.change_with(&mut sum, &e, |sum, g, e| *g -= e * *sum);
    });
}

impl<E: Element> Tape<E> {
    /// The softmax along an axis (negative ones count from the back). Any shape of at least one axis.
    #[track_caller]
    pub fn softmax(&mut self, x: Var<E>, axis: isize) -> Var<E> {
        self.along("softmax", x, axis, softmax, softmax_backward)
    }

    /// The logarithm of the softmax along an axis (negative ones count from the back). Any shape of at least
    /// one axis.
    #[track_caller]
    pub fn log_softmax(&mut self, x: Var<E>, axis: isize) -> Var<E> {
        self.along("log_softmax", x, axis, log_softmax, log_softmax_backward)
    }

    #[track_caller]
    fn along(
        &mut self,
        op: &'static str,
        x: Var<E>,
        axis: isize,
        forward: fn(&mut Tensor<E>, Around),
        backward: fn(&mut Tensor<E>, &Tensor<E>, Around),
    ) -> Var<E> {
        let _span = profile::span(op, "forward");
        let around = x.shape().around(x.shape().axis(axis));
        let Var { value: mut y, node } = x;
        forward(&mut y, around);
        let kept = self.records(&[node]).then(|| y.clone());
        self.record(op, y, &[node], move |mut g, slots| {
            let Some(y) = kept else { return };
            slots.add(node, || {
                backward(&mut g, &y, around);
                g
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::gradients;

    #[test]
    fn every_axis_equals_the_definition() {
        let x = Tensor::<f64>::from_fn([3, 5, 70], |i| (i * 7919 % 101) as f64 / 25.0 - 2.0);
        let strides = x.shape().strides();
        for (axis, &n) in x.shape().iter().enumerate() {
            let stride = strides[axis];
            let y = Tape::infer().softmax(x.clone().into(), axis as isize).value;
            let z = Tape::infer().log_softmax(x.clone().into(), axis as isize - 3).value;
            for i in 0..x.len() {
                let first = i - i / stride % n * stride;
                let s: f64 = (0..n).map(|k| x.data()[first + k * stride].exp()).sum();
                let want = x.data()[i].exp() / s;
                // A handful of roundings on either side of values in [0, 1].
                assert!((y.data()[i] - want).abs() < 1e-14 && (z.data()[i] - want.ln()).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn along_an_axis_of_nothing_there_is_nothing() {
        for (shape, axis) in [([3, 0], 1), ([3, 0], 0), ([0, 3], 0)] {
            let x = || Tensor::<f64>::zeros(shape);
            for f in [Tape::softmax, Tape::log_softmax] {
                let (y, [g]) = gradients([x()], |t, [x]| f(t, x, axis));
                assert_eq!((y, g), (x(), x()));
            }
        }
    }

    /// As PyTorch 2.15: where the maximum is infinite or NaN, all of the line is.
    #[test]
    fn not_a_number_and_infinities_take_their_line() {
        const INF: f64 = f64::INFINITY;
        for line in [[f64::NAN, 1.0, 2.0], [INF, 1.0, 2.0], [-INF, 1.0, INF], [-INF; 3]] {
            for f in [Tape::softmax, Tape::log_softmax] {
                let (y, [g]) = gradients([Tensor::from_slice([3], &line)], |t, [x]| f(t, x, 0));
                assert!(y.data().iter().chain(g.data()).all(|v| v.is_nan()), "{line:?}");
            }
        }
        let x = || Tensor::from_slice([3], &[-INF, 1.0, 1.0]);
        assert_eq!(Tape::infer().softmax(x().into(), 0).value.data(), [0.0, 0.5, 0.5]);
        assert_eq!(Tape::infer().log_softmax(x().into(), 0).value.data()[0], -INF);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let x = Tensor::<f32>::from_slice([3], &[1000.0, 0.0, -1000.0]);
        assert_eq!(Tape::infer().softmax(x.clone().into(), 0).value.data(), [1.0, 0.0, 0.0]);
        assert_eq!(Tape::infer().log_softmax(x.into(), 0).value.data(), [0.0, -1000.0, -2000.0]);
    }
}
