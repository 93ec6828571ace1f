//! Gradients that are too long are shortened before a step (Pascanu, Mikolov and Bengio, *On the difficulty
//! of training recurrent neural networks*, ICML 2013).
//!
//! By norm, all parameters' gradients as one vector: g ← g · min(1, c / (‖g‖₂ + 1e-6)), as
//! `torch.nn.utils.clip_grad_norm_` does; ‖g‖² is summed in double precision. By value, each number into [−c,
//! c], as `torch.nn.utils.clip_grad_value_` does.

use crate::finite::all_finite;
use crate::{element::Element, finite::NotFinite, parallel, param::Module, tape::Gradients, tensor::Tensor};

/// Elements whose squares are summed in one go, 64 KiB of f32. It makes the order of the sum, and so the
/// bits; speed was not measured over it.
const PIECE: usize = 16 * 1024;

/// Σ t², in an order that the length alone decides.
fn sum_of_squares<E: Element>(t: &Tensor<E>) -> f64 {
    let piece = |i: usize| {
        let part = &t.data()[i * PIECE..t.len().min((i + 1) * PIECE)];
        part.iter().map(|v| v.to_f64() * v.to_f64()).sum::<f64>()
    };
    parallel::map(t.len().div_ceil(PIECE), piece).into_iter().sum()
}

impl<E: Element> Gradients<E> {
    /// ‖g‖₂ of all parameters' gradients as one vector.
    pub fn norm(&self) -> f64 {
        self.of_params().into_iter().map(sum_of_squares).sum::<f64>().sqrt()
    }

    /// Scales the parameters' gradients, together, to a norm of at most `longest`. Returns the norm that they
    /// had; where it is not finite they become what PyTorch makes of them, and [`crate::Optimizer::step`]
    /// refuses them.
    pub fn clip_norm(&mut self, longest: f64) -> f64 {
        let norm = self.norm();
        let factor = longest / (norm + 1e-6);
        // NaN is no less than 1, and stays.
        if factor < 1.0 || factor.is_nan() {
            let factor = E::from_f64(factor);
            self.change(|g| g * factor);
        }
        norm
    }

    /// Brings each number of the parameters' gradients into [−largest, largest]; NaN stays. Panics where
    /// `largest` is negative or NaN.
    #[track_caller]
    pub fn clip_value(&mut self, largest: f64) {
        assert!(largest >= 0.0, "clip_value: no number is within {largest} of 0");
        let (low, high) = (E::from_f64(-largest), E::from_f64(largest));
        self.change(|g| match g {
            g if g > high => high,
            g if g < low => low,
            g => g,
        });
    }

    fn change(&mut self, f: impl Fn(E) -> E + Send + Sync) {
        for gradient in self.of_params_mut() {
            parallel::chunks(gradient.data_mut(), PIECE, |_, part| part.iter_mut().for_each(|g| *g = f(*g)));
        }
    }

    /// Whether no parameter's gradient holds NaN or infinity.
    pub fn is_finite(&self) -> bool {
        let gradients: Vec<&[E]> = self.of_params_unknown().into_iter().map(Tensor::data).collect();
        all_finite(&gradients)
    }

    /// The first of a network's parameters whose gradient is not finite.
    pub(super) fn not_finite(&self, net: &mut impl Module<E>) -> NotFinite {
        let mut first = None;
        net.for_each_param(|name, p| {
            if first.is_none() && self.param(p).is_some_and(|g| !g.is_finite()) {
                first = Some(format!("the gradient of {name}"));
            }
        });
        NotFinite::new(first.unwrap_or_else(|| "the gradient of a parameter of another network".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param::{Layout, Param};
    use crate::tape::Tape;

    /// Gradients of two parameters, [3] and [2, 2], and of an input that no clipping looks at; and the
    /// parameters.
    fn gradients<E: Element>(a: [f64; 3], b: [f64; 4]) -> (Gradients<E>, [Param<E>; 2]) {
        let t = |shape: &[usize], v: &[f64]| Tensor::from_fn(shape, |i| E::from_f64(v[i]));
        let params = [Param::new(t(&[3], &a), Layout::Plain), Param::new(t(&[2, 2], &b), Layout::Plain)];
        let mut g = Tape::eval();
        let input = g.input(t(&[1], &[1e9]));
        let seeds = [
            (input.node, input.value),
            (g.param(&params[0]).node, t(&[3], &a)),
            (g.param(&params[1]).node, t(&[2, 2], &b)),
        ];
        (g.backward_from(seeds), params)
    }

    fn numbers<E: Element>(g: &Gradients<E>, params: &[Param<E>; 2]) -> Vec<f64> {
        params.iter().flat_map(|p| g.param(p).unwrap().data()).map(|v| v.to_f64()).collect()
    }

    const A: [f64; 3] = [3.0, -4.0, 0.5];
    const B: [f64; 4] = [12.0, -0.25, 1e-3, 7.0];

    /// The values are PyTorch's, in double precision; in single precision within a rounding or two of them.
    #[test]
    fn the_norm_is_clipped_as_pytorch_does() {
        fn agrees<E: Element>() {
            let bound = 4.0 * E::UNIT_ROUNDOFF;
            let close = |a: f64, b: f64| assert!((a - b).abs() <= bound * b.abs(), "{a} {b}");
            let (mut g, params) = gradients::<E>(A, B);
            close(g.norm(), 14.775401889627233);
            close(g.clip_norm(100.0), 14.775401889627233);
            let as_they_were = A.iter().chain(&B).map(|&v| E::from_f64(v).to_f64());
            assert_eq!(numbers(&g, &params), as_they_were.collect::<Vec<_>>());
            close(g.clip_norm(2.5), 14.775401889627233);
            let want = [
                0.507600371781755,
                -0.6768004957090067,
                0.08460006196362584,
                2.03040148712702,
                -0.04230003098181292,
                0.00016920012392725167,
                1.1844008674907618,
            ];
            numbers(&g, &params).into_iter().zip(want).for_each(|(a, b)| close(a, b));
        }
        agrees::<f64>();
        agrees::<f32>();
    }

    #[test]
    fn values_are_clipped_and_what_is_not_finite_goes_where_pytorchs_goes() {
        let (mut g, params) = gradients::<f64>([f64::NAN, -4.0, f64::INFINITY], B);
        g.clip_value(2.0);
        let got = numbers(&g, &params);
        assert!(got[0].is_nan() && got[1..] == [-2.0, 2.0, 2.0, -0.25, 1e-3, 2.0], "{got:?}");

        let (mut g, params) = gradients::<f64>([1.0, f64::INFINITY, 2.0], B);
        assert_eq!(g.clip_norm(2.0), f64::INFINITY);
        let got = numbers(&g, &params);
        assert!(got[1].is_nan() && got.iter().filter(|&&v| v == 0.0).count() == 6, "{got:?}");

        let (mut g, params) = gradients::<f64>([1.0, f64::NAN, 2.0], B);
        assert!(g.clip_norm(2.0).is_nan() && numbers(&g, &params).iter().all(|v| v.is_nan()));

        let (mut g, params) = gradients::<f64>([0.0; 3], [0.0; 4]);
        assert!(g.clip_norm(2.0) == 0.0 && numbers(&g, &params) == [0.0; 7]);
        let (mut g, params) = gradients::<f64>(A, B);
        g.clip_norm(0.0);
        assert_eq!(numbers(&g, &params), [0.0; 7]);
    }

    #[test]
    fn the_norm_has_the_same_bits_whatever_the_tables_order() {
        let norms = || gradients::<f32>([0.1, 0.7, 1e-4], [3e3, 0.3, 1e-6, 0.9]).0.norm().to_bits();
        let first = norms();
        assert!((0..20).all(|_| norms() == first));
    }
}
