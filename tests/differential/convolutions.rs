//! A convolution's three maps by each algorithm that applies, whatever the automatic choice is.
//!
//! What the backward maps are given, dP, is made of what PyTorch expects: the upstream gradient where the
//! expected result passes the activation, times the scale. Sums in the order of the definition are within the
//! case's own bounds; those by Winograd's transforms within κ² (c + r) u c max|a| max|b| of a pass over c
//! products with r roundings in the maps (`winograd::error`). The transforms mix the pixels of a tile: where
//! an operand holds a number that is not finite, what is finite in PyTorch need not be here, but nothing that
//! is not finite may be lost.

use crate::cases::case::Case;
use crate::cases::conv::geometry;
use crate::cases::run::{CONV, IMAGE, Run, permute};
use crate::compare::{Tolerance, agrees, agrees_or_spreads, first_wrong, may_spread};
use gradus_core::gemm::Precision;
use gradus_core::ops::conv::{
    Algorithm, ConvSpec, Pass, backward_data, backward_weight, forward, phases, winograd,
};
use gradus_core::{Activation, Element, Epilogue, Tensor};

/// The tensors of a case in the library's layouts.
struct Operands<E: Element> {
    spec: ConvSpec,
    x: Tensor<E>,
    w: Tensor<E>,
    scale: Option<Tensor<E>>,
    term: Option<Tensor<E>>,
    residual: Option<Tensor<E>>,
    activation: Activation,
    /// ∂L/∂(the product)
    dp: Tensor<E>,
}

impl<E: Element> Operands<E> {
    fn of(case: &Case) -> Self {
        let run = Run::<E>::new(case);
        let at = |name: &str, axes: &[usize]| case.get(name).map(|raw| run.read(raw, axes));
        let whole = |name: &str, axes: &[usize]| at(name, axes).expect("a tensor of every case");
        let (x, w) = (whole("in.x", IMAGE), whole("in.weight", CONV));
        let ([n, h, width, c_in], [kh, kw, _, c_out]) = (x.dims("x"), w.dims("weight"));
        let g = geometry(&run);
        let spec = ConvSpec {
            n,
            h,
            w: width,
            c_in,
            c_out,
            kernel: [kh, kw],
            stride: g.stride,
            padding: g.padding,
            dilation: g.dilation,
            groups: g.groups,
            precision: Precision::F32,
        };
        let (scale, shift, bias) = (at("in.scale", &[0]), at("in.shift", &[0]), at("in.bias", &[0]));
        // scale (P + bias) + shift
        let folded = |c: usize| {
            let of = |t: &Option<Tensor<E>>, default: E| t.as_ref().map_or(default, |t| t.data()[c]);
            of(&scale, E::ONE) * of(&bias, E::ZERO) + of(&shift, E::ZERO)
        };
        let term = (shift.is_some() || bias.is_some()).then(|| Tensor::from_fn([c_out], folded));
        let activation = case.activation();
        let (y, up) = (permute_f64(case, "out.y"), whole("up.y", IMAGE));
        let dp = Tensor::from_fn(*up.shape(), |i| {
            let scale = scale.as_ref().map_or(E::ONE, |s| s.data()[i % c_out]);
            if passes(activation, y[i]) { up.data()[i] * scale } else { E::ZERO }
        });
        Operands { spec, x, w, scale, term, residual: at("in.residual", IMAGE), activation, dp }
    }

    /// A pass by an algorithm.
    fn compute(&self, algorithm: Algorithm, pass: Pass) -> Vec<f64> {
        let Operands { spec, x, w, dp, .. } = self;
        let mut out = Tensor::<E>::stale([match pass {
            Pass::Forward => spec.y_len(),
            Pass::BackwardData => spec.x_len(),
            Pass::BackwardWeight => spec.w_len(),
        }]);
        let to = out.data_mut();
        match pass {
            Pass::Forward => {
                let epilogue = Epilogue {
                    scale: self.scale.as_ref().map(Tensor::data),
                    bias: self.term.as_ref().map(Tensor::data),
                    residual: self.residual.as_ref().map(Tensor::data),
                    activation: self.activation,
                };
                forward(algorithm, spec, x.data(), w.data(), &epilogue, to);
            }
            Pass::BackwardData => backward_data(algorithm, spec, dp.data(), w.data(), to),
            Pass::BackwardWeight => backward_weight(algorithm, spec, x.data(), dp.data(), to),
        }
        out.data().iter().map(|v| v.to_f64()).collect()
    }

    /// What Winograd's transforms add to the bound of a number of the pass, if the algorithm has them, and
    /// whether an operand holds what is not finite.
    fn of_transforms(&self, algorithm: Algorithm, pass: Pass) -> Option<(f64, bool)> {
        let (m, spec) = match algorithm {
            Algorithm::Winograd4 => (4, self.spec),
            Algorithm::Winograd2 => (2, self.spec),
            Algorithm::Phases => (4, phases::unstrided(&self.spec)),
            _ => return None,
        };
        let [oh, ow] = spec.out_hw();
        let (products, a, b) = match pass {
            Pass::Forward => (spec.c_in, &self.x, &self.w),
            Pass::BackwardData => (spec.c_out, &self.dp, &self.w),
            Pass::BackwardWeight => (spec.n * oh.div_ceil(m) * ow.div_ceil(m), &self.x, &self.dp),
        };
        let (amplification, roundings) = winograd::error::of(m, spec.kernel[0], pass);
        let products = products as f64;
        let bound =
            amplification * (products + roundings) * products * E::UNIT_ROUNDOFF * greatest(a) * greatest(b);
        let spreads = [a, b].iter().any(|t| t.data().iter().any(|v| !v.is_finite()));
        Some((bound, spreads))
    }
}

/// max |v| of what is finite.
fn greatest<E: Element>(t: &Tensor<E>) -> f64 {
    t.data().iter().filter(|v| v.is_finite()).fold(0.0, |m, v| v.to_f64().abs().max(m))
}

fn permute_f64(case: &Case, name: &str) -> Vec<f64> {
    let raw = case.tensor(name);
    permute(raw.shape(), &raw.to_f64(), IMAGE).1
}

/// Whether a gradient passes where PyTorch's result is y, which may be NaN.
fn passes(activation: Activation, y: f64) -> bool {
    match activation {
        Activation::None => true,
        Activation::Relu => y > 0.0 || y.is_nan(),
        Activation::Relu6 => (y > 0.0 && y < 6.0) || y.is_nan(),
    }
}

/// What is wrong, by each algorithm and pass.
pub fn by_each_algorithm<E: Element>(case: &Case) -> Vec<String> {
    let operands = Operands::<E>::of(case);
    let mut wrong = Vec::new();
    for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&operands.spec)) {
        for (pass, name, axes) in [
            (Pass::Forward, "out.y", IMAGE),
            (Pass::BackwardData, "grad.x", IMAGE),
            (Pass::BackwardWeight, "grad.weight", CONV),
        ] {
            let got = operands.compute(algorithm, pass);
            let said = compare_pass(case, &operands, (algorithm, pass), (name, axes), &got);
            wrong.extend(said.map(|s| format!("{} {}: {s}", algorithm.name(), pass.name())));
        }
    }
    wrong
}

fn compare_pass<E: Element>(
    case: &Case,
    operands: &Operands<E>,
    (algorithm, pass): (Algorithm, Pass),
    (name, axes): (&str, &[usize]),
    got: &[f64],
) -> Option<String> {
    let tolerance = Tolerance::of(case);
    let shape = case.tensor(name).shape();
    let here = |v: Vec<f64>| permute(shape, &v, axes).1;
    let want = here(case.tensor(name).to_f64());
    let (bounds, sizes) = (here(tolerance.bounds::<E>(name)), here(tolerance.sizes(name)));
    let transforms = operands.of_transforms(algorithm, pass);
    let c = operands.spec.c_out;
    let scale = |i: usize| match &operands.scale {
        Some(s) if pass == Pass::Forward => s.data()[i % c].to_f64().abs(),
        _ => 1.0,
    };
    let spreads = may_spread(case, name);
    let (bounds, spreads): (Vec<f64>, bool) = match transforms {
        None => (bounds, spreads),
        Some((more, mixes)) => (bounds.iter().enumerate().map(|(i, b)| b + scale(i) * more).collect(), mixes),
    };
    let agrees = if spreads { agrees_or_spreads::<E> } else { agrees::<E> };
    first_wrong(name, got, &want, &bounds, |i| agrees(got[i], want[i], bounds[i], sizes[i]))
}
