//! A1: every op's gradient equals the central difference in f64, and lies between the one-sided derivatives
//! at kinks. A2 is in `adjoints.rs`, X1 in `threads.rs`, X2 in `resume.rs`, X3
//! in `processors.rs`.

use crate::gradient::{TOLERANCE, between_one_sided, compare, distinct, equals_differences, ties};
use crate::property::{refutes, settings as cases};
use gradus_core::ops::conv::{Affine, Conv, Fused};
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::ops::{BceWeights, ClassLoss, PoolSpec, Reduction};
use gradus_core::{Activation, Element, Rng, Tape, Tensor, Var};
use proptest::prelude::*;
use proptest::sample::select;

#[path = "adjoints.rs"]
mod adjoints;
#[path = "processors.rs"]
mod processors;
#[path = "resume.rs"]
mod resume;
#[path = "threads.rs"]
mod threads;

type Tape64 = Tape<f64>;
type Unary = fn(&mut Tape64, Var<f64>) -> Var<f64>;
/// A function's name, the function, a map of (-3, 3) into its domain.
type Pointwise = (&'static str, Unary, fn(f64) -> f64);
type Binary = fn(&mut Tape64, Var<f64>, Var<f64>) -> Var<f64>;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];
const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];
/// Where activations have kinks.
const KINKS: [f64; 2] = [0.0, 6.0];

const POINTWISE: [Pointwise; 12] = [
    ("relu", Tape::relu, |x| x),
    ("relu6", |t, x| t.relu6(x), |x| 3.0 * x),
    ("sigmoid", Tape::sigmoid, |x| 2.0 * x),
    ("tanh", Tape::tanh, |x| x),
    ("exp", Tape::exp, |x| x),
    ("log", Tape::log, |x| x.abs() + 0.05),
    ("sqrt", Tape::sqrt, |x| x.abs() + 0.05),
    ("abs", Tape::abs, |x| x),
    ("neg", Tape::neg, |x| x),
    ("clamp", |t, x| t.clamp(x, -1.0, 1.5), |x| x),
    ("add_scalar", |t, x| t.add_scalar(x, 1.25), |x| x),
    ("mul_scalar", |t, x| t.mul_scalar(x, -0.75), |x| x),
];

const ARITHMETIC: [(&str, Binary); 6] = [
    ("add", Tape::add),
    ("sub", Tape::sub),
    ("mul", Tape::mul),
    ("div", Tape::div),
    ("maximum", Tape::maximum),
    ("minimum", Tape::minimum),
];

/// Shapes of 1 to 4 axes.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..5, 1..=4)
}

/// [n, h, w, c]
fn image() -> impl Strategy<Value = [usize; 4]> {
    (1usize..3, 1usize..8, 1usize..8, 1usize..6).prop_map(|(n, h, w, c)| [n, h, w, c])
}

/// Two numbers of lo..hi.
fn pair(lo: usize, hi: usize) -> impl Strategy<Value = [usize; 2]> {
    [lo..hi, lo..hi]
}

fn pool_spec() -> impl Strategy<Value = PoolSpec> {
    (pair(1, 4), pair(1, 4), pair(0, 2), pair(1, 3), any::<bool>()).prop_map(
        |(kernel, stride, padding, dilation, ceil_mode)| {
            let half = |a: usize| padding[a].min((dilation[a] * (kernel[a] - 1)).div_ceil(2));
            PoolSpec { kernel, stride, padding: [half(0), half(1)], dilation, ceil_mode }
        },
    )
}

fn fits(spec: &PoolSpec, [_, h, w, _]: [usize; 4]) -> bool {
    [h, w].iter().enumerate().all(|(a, n)| n + 2 * spec.padding[a] > spec.dilation[a] * (spec.kernel[a] - 1))
}

/// One of two sorts of shape that broadcast to `full`: some axes of extent 1, some leading ones missing.
fn part(full: &[usize], ones: u8, skip: usize) -> Vec<usize> {
    let dims = full.iter().enumerate().map(|(i, &n)| if ones >> i & 1 == 1 { 1 } else { n });
    dims.skip(skip.min(full.len())).collect()
}

/// Two stacks that broadcast.
fn part_of_stack() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    (prop::collection::vec(1usize..4, 0..=2), any::<u8>(), any::<u8>(), 0usize..3)
        .prop_map(|(full, a, b, skip)| (part(&full, a & !b, 0), part(&full, b, skip)))
}

/// A convolution: image, geometry, kernel, channels out of a group.
fn convolution() -> impl Strategy<Value = ([usize; 4], Conv, [usize; 2], usize)> {
    (image(), pair(1, 4), pair(1, 3), pair(0, 3), pair(1, 3), 1usize..4, 1usize..4)
        .prop_map(|([n, h, w, c], kernel, stride, padding, dilation, groups, out)| {
            let geometry = Conv { stride, padding, dilation, groups };
            ([n, h, w, c.min(2) * groups], geometry, kernel, out)
        })
        .prop_filter("the kernel fits", |([_, h, w, _], g, k, _)| {
            [h, w].iter().enumerate().all(|(a, n)| **n + 2 * g.padding[a] > g.dilation[a] * (k[a] - 1))
        })
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a1_pointwise(op in select(&POINTWISE[..]), shape in shape(), seed: u64) {
        let kinks = [0.0, -1.0, 1.5, 2.0];
        let x = distinct(seed, &[&shape], &kinks).remove(0).map(op.2);
        equals_differences(&[x], |t, x| op.1(t, x[0].clone()))?;
    }

    #[test]
    fn a1_pointwise_at_kinks(op in select(vec![0usize, 1, 7, 9]), shape in shape(), seed: u64) {
        let x = ties(seed, &shape).map(POINTWISE[op].2);
        between_one_sided(&[x], |t, x| POINTWISE[op].1(t, x[0].clone()))?;
    }

    #[test]
    fn a1_arithmetic(op in select(&ARITHMETIC[..]), full in shape(), ones: (u8, u8), skip in 0usize..3, seed: u64) {
        // Axis i is kept by one side at least where both would drop it.
        let (a, b) = (part(&full, ones.0 & !ones.1, 0), part(&full, ones.1, skip));
        let mut x = distinct(seed, &[&a, &b], &[0.0]);
        if op.0 == "div" {
            x[1] = x[1].clone().map(|v| v + v.signum());
        }
        equals_differences(&x, |t, x| op.1(t, x[0].clone(), x[1].clone()))?;
    }

    #[test]
    fn a1_arithmetic_at_ties(op in select(&ARITHMETIC[4..]), full in shape(), ones: u8, seed: u64) {
        let x = [ties(seed, &full), ties(!seed, &part(&full, ones, 0))];
        between_one_sided(&x, |t, x| op.1(t, x[0].clone(), x[1].clone()))?;
    }

    #[test]
    fn a1_reductions(which in 0..3, shape in shape(), set: u8, keepdim: bool, seed: u64) {
        let axes: Vec<isize> = (0..shape.len()).filter(|a| set >> a & 1 == 1).map(|a| a as isize).collect();
        let x = distinct(seed, &[&shape], &[]);
        equals_differences(&x, |t, x| match which {
            0 => t.sum(x[0].clone(), &axes, keepdim),
            1 => t.mean(x[0].clone(), &axes, keepdim),
            _ => t.max(x[0].clone(), &axes, keepdim),
        })?;
        between_one_sided(&[ties(seed, &shape)], |t, x| t.max(x[0].clone(), &axes, keepdim))?;
    }

    #[test]
    fn a1_softmax(log: bool, shape in shape(), axis in 0usize..4, seed: u64) {
        let axis = (axis % shape.len()) as isize;
        let x = distinct(seed, &[&shape], &[]);
        equals_differences(&x, |t, x| if log { t.log_softmax(x[0].clone(), axis) } else { t.softmax(x[0].clone(), axis) })?;
    }

    #[test]
    fn a1_losses_of_classes(
        rows in 1usize..6, c in 2usize..6, nll: bool, weighted: bool, smoothing in select(vec![0.0, 0.1, 1.0]),
        reduction in select(&REDUCTIONS[..]), seed: u64,
    ) {
        let mut rng = Rng::seed(seed);
        let labels: Vec<i64> = (0..2 * rows).map(|i| if i > 0 && rng.chance(0.2) { -7 } else { rng.below(c) as i64 }).collect();
        let weight: Vec<f64> = (0..c).map(|_| rng.range(0.2, 2.0)).collect();
        let label_smoothing = if nll { 0.0 } else { smoothing };
        let how = ClassLoss { class_weight: weighted.then_some(&weight[..]), ignore_index: -7, label_smoothing, reduction };
        let x = distinct(seed, &[&[2, rows, c]], &[]);
        equals_differences(&x, |t, x| match nll {
            true => t.nll_loss(x[0].clone(), &labels, &how),
            false => t.cross_entropy_with(x[0].clone(), &labels, &how),
        })?;
    }

    #[test]
    fn a1_losses_of_pairs(
        which in 0..3, shape in shape(), beta in select(vec![0.0, 1.0 / 9.0, 1.0]), weighted: (bool, bool),
        reduction in select(&REDUCTIONS[..]), seed: u64,
    ) {
        let mut x = distinct(seed, &[&shape, &shape], &[]);
        // Away from |x - t| = beta, where the second derivative jumps.
        let t = x[1].clone();
        for (x, t) in x[0].data_mut().iter_mut().zip(t.data()) {
            let d = (*x - t).abs();
            if d < 1e-3 || (d - beta).abs() < 1e-3 {
                *x = t + (*x - t).signum() * (beta + 2e-3);
            }
        }
        let last = [shape[shape.len() - 1]];
        let factors: Vec<Tensor<f64>> = distinct(seed, &[&last, &last], &[]).into_iter().map(|w| w.map(|v| v + 3.5)).collect();
        let weights = BceWeights { weight: weighted.0.then_some(&factors[0]), pos_weight: weighted.1.then_some(&factors[1]) };
        if which == 2 {
            x[1] = x[1].clone().map(|t| (t + 3.0) / 6.0);
        }
        equals_differences(&x, |t, x| match which {
            0 => t.mse(x[0].clone(), x[1].clone(), reduction),
            1 => t.smooth_l1(x[0].clone(), x[1].clone(), beta, reduction),
            _ => t.bce_with_logits(x[0].clone(), x[1].clone(), weights, reduction),
        })?;
    }

    #[test]
    fn a1_batch_norm(which in 0..3, image in image(), activation in select(&ACTIVATIONS[..]), seed: u64) {
        let c = [image[3]];
        prop_assume!(image[..3].iter().product::<usize>() > 2);
        let x = distinct(seed, &[&image, &c, &c], &[0.0]);
        let fixed: Vec<Tensor<f64>> = distinct(!seed, &[&c, &c], &[]).into_iter().map(|v| v.map(|v| v + 3.5)).collect();
        let op = |t: &mut Tape64, x: &[Var<f64>], act| {
            let [x, g, b] = [x[0].clone(), x[1].clone(), x[2].clone()];
            match which {
                0 => t.batch_norm_train(x, g, b, 1e-3, act).0,
                1 => t.batch_norm_eval(x, g, b, &fixed[0], &fixed[1], 1e-3, act),
                _ => t.affine(x, g, b, act),
            }
        };
        let vars: Vec<Var<f64>> = x.iter().map(|x| x.clone().into()).collect();
        let z = op(&mut Tape::infer(), &vars, Activation::None).value;
        prop_assume!(z.data().iter().all(|z| KINKS.iter().all(|k| (z - k).abs() > 1e-3)));
        equals_differences(&x, |t, x| op(t, x, activation))?;
        // Frozen: gradients of x alone.
        equals_differences(&x[..1], |t, v| op(t, &[v[0].clone(), x[1].clone().into(), x[2].clone().into()], activation))?;
    }

    #[test]
    fn a1_max_pool(spec in pool_spec(), image in image(), activation in select(&ACTIVATIONS[..]), seed: u64) {
        prop_assume!(fits(&spec, image));
        let x = distinct(seed, &[&image], &[0.0]).remove(0).map(|v| v * 3.0);
        prop_assume!(x.data().iter().all(|x| (x - 6.0).abs() > 1e-3));
        // A dilated window over a tiny image may see nothing but padding, which is -∞.
        let y = Tape::infer().max_pool2d(x.clone().into(), spec, activation).value;
        prop_assume!(y.data().iter().all(|y| y.is_finite()));
        equals_differences(&[x], |t, x| t.max_pool2d(x[0].clone(), spec, activation))?;
        let small = [1, image[1].min(5), image[2].min(5), 1];
        if fits(&spec, small) && spec.dilation == [1, 1] {
            between_one_sided(&[ties(seed, &small)], |t, x| t.max_pool2d(x[0].clone(), spec, activation))?;
        }
    }

    #[test]
    fn a1_averages_and_resizing(which in 0..4, spec in pool_spec(), image in image(), size in (1usize..9, 1usize..9), pad: bool, seed: u64) {
        let spec = PoolSpec { dilation: [1, 1], padding: [spec.padding[0].min(spec.kernel[0] / 2), spec.padding[1].min(spec.kernel[1] / 2)], ..spec };
        prop_assume!(which > 0 || fits(&spec, image));
        equals_differences(&distinct(seed, &[&image], &[]), |t, x| spatial(t, x[0].clone(), which, spec, [size.0, size.1], pad))?;
    }

    #[test]
    fn a1_moves(which in 0..MOVES, shape in prop::collection::vec(1usize..5, 3), seed: u64) {
        let x = distinct(seed, &[&shape, &shape], &[]);
        equals_differences(&x, |t, x| {
            let y = move_elements(t, x[0].clone(), which, seed);
            // The second input joins, so that concatenation has two live parts.
            let z = move_elements(t, x[1].clone(), which, seed);
            t.concat(vec![y.clone(), z, y], -1)
        })?;
    }

    #[test]
    fn a1_dropout(shape in shape(), p in 0.0..0.9, given: bool, seed: u64) {
        let x = distinct(seed, &[&shape], &[]);
        let mask: Vec<bool> = x[0].data().iter().map(|v| *v > 0.0).collect();
        equals_differences(&x, |t, x| match given {
            true => t.dropout_with_mask(x[0].clone(), &mask, p),
            false => t.dropout(x[0].clone(), p),
        })?;
    }

    #[test]
    fn a1_conv2d((image, geometry, [kh, kw], out) in convolution(), affine: bool, residual: bool, activation in select(&ACTIVATIONS[..]), seed: u64) {
        let (c_in, c_out) = (image[3], out * geometry.groups);
        let weight = [kh, kw, c_in / geometry.groups, c_out];
        let x = distinct(seed, &[&image, &weight, &[c_out]], &[]);
        let fixed = distinct(!seed, &[&[c_out], &[c_out]], &[]);
        let affine = affine.then(|| Affine { scale: fixed[0].clone(), shift: fixed[1].clone() });
        let op = |t: &mut Tape64, x: &[Var<f64>], fused: Fused<f64>| t.conv2d(x[0].clone(), &x[1], Some(&x[2]), geometry, fused);
        let plain = |residual, activation| Fused { affine: affine.clone(), residual, activation };
        let vars: Vec<Var<f64>> = x.iter().map(|x| x.clone().into()).collect();
        let z = op(&mut Tape::infer(), &vars, plain(None, Activation::None)).value;
        let r = distinct(seed ^ 1, &[z.shape()], &[]).remove(0);
        let z = if residual { Tape::infer().add(z.into(), r.clone().into()).value } else { z };
        prop_assume!(z.data().iter().all(|z| KINKS.iter().all(|k| (z - k).abs() > 1e-3)));
        let inputs = [&x[..], &[r]].concat();
        equals_differences(&inputs, |t, x| op(t, x, plain(residual.then(|| x[3].clone()), activation)))?;
    }

    #[test]
    fn a1_conv_transpose2d((image, geometry, [kh, kw], out) in convolution(), more: bool, seed: u64) {
        let output_padding =
            std::array::from_fn(|a| if more { geometry.stride[a].max(geometry.dilation[a]) - 1 } else { 0 });
        let full = |a: usize, n: usize, k: usize| (n - 1) * geometry.stride[a] + geometry.dilation[a] * (k - 1) + 1 + output_padding[a];
        prop_assume!(full(0, image[1], kh) > 2 * geometry.padding[0] && full(1, image[2], kw) > 2 * geometry.padding[1]);
        let x = distinct(seed, &[&image, &[kh, kw, image[3], out], &[out * geometry.groups]], &[]);
        equals_differences(&x, |t, x| {
            t.conv_transpose2d(x[0].clone(), &x[1], Some(&x[2]), geometry, output_padding, Fused::default())
        })?;
    }

    #[test]
    fn a1_linear(rows in 1usize..5, inputs in 1usize..9, outputs in 1usize..9, bias: bool, seed: u64) {
        let x = distinct(seed, &[&[2, rows, inputs], &[inputs, outputs], &[outputs]], &[]);
        equals_differences(&x, |t, x| t.linear(x[0].clone(), &x[1], bias.then_some(&x[2]), Activation::None))?;
    }

    #[test]
    fn a1_matmul(stack in part_of_stack(), m in 1usize..5, k in 1usize..5, n in 1usize..5, seed: u64) {
        let (a, b) = ([&stack.0[..], &[m, k]].concat(), [&stack.1[..], &[k, n]].concat());
        equals_differences(&distinct(seed, &[&a, &b], &[]), |t, x| t.matmul(x[0].clone(), x[1].clone()))?;
    }

    #[test]
    fn a1_roi_align(image in image(), sampling in 0usize..3, aligned: bool, seed: u64) {
        let (maps, rois, align) = regions::<f64>(image, sampling, aligned, seed);
        equals_differences(&maps, |t, x| t.roi_align(x, &[1.0, 0.5], &rois, align))?;
    }
}

/// The largest case the register tiles of Winograd's convolution want, and a network: shared values, every
/// family in turn.
#[test]
fn a1_networks() -> Result<(), TestCaseError> {
    let x = distinct(5, &[&[1, 9, 10, 16], &[3, 3, 16, 16], &[16], &[16, 5]], &[0.0]);
    equals_differences(&x, |t, x| {
        let small = t.mul_scalar(x[1].clone(), 0.05);
        let y = t.conv2d(x[0].clone(), &small, None, Conv::new(1, 1), Fused::default());
        let y = t.tanh(y);
        // Used twice: as a residual and through a second convolution with the same weights.
        let fused = Fused { residual: Some(y.clone()), ..Fused::default() };
        let y = t.conv2d(y, &small, Some(&x[2]), Conv::new(1, 1), fused);
        let one = Var::from(Tensor::full([16], 1.0));
        let y = t.batch_norm_train(y, one, x[2].clone(), 1e-5, Activation::None).0;
        let y = t.sigmoid(y);
        let y = t.max_pool2d(y, PoolSpec::square(3, 2), Activation::None);
        let y = t.adaptive_avg_pool2d(y, [1, 1]);
        let y = t.flatten_chw(y);
        let y = t.dropout(y, 0.25);
        let y = t.linear(y, &x[3], None, Activation::None);
        t.cross_entropy(y, &[3])
    })
}

/// Average pooling, adaptive pooling and both resizings.
fn spatial<E: Element>(
    t: &mut Tape<E>,
    x: Var<E>,
    which: i32,
    spec: PoolSpec,
    size: [usize; 2],
    pad: bool,
) -> Var<E> {
    match which {
        0 => t.avg_pool2d(x, spec, pad),
        1 => t.adaptive_avg_pool2d(x, size),
        2 => t.resize_bilinear(x, size),
        _ => t.resize_nearest(x, size),
    }
}

const MOVES: i32 = 6;

/// Ops on three axes that move elements.
fn move_elements<E: Element>(t: &mut Tape<E>, x: Var<E>, which: i32, seed: u64) -> Var<E> {
    let mut rng = Rng::seed(seed);
    let axis = rng.below(3);
    let (n, shape) = (x.shape()[axis], x.shape().to_vec());
    match which {
        0 => t.reshape(x, &[-1, shape[0] as isize]),
        1 => t.permute(x, &rng.permutation(3)),
        2 => t.slice(x, axis as isize, rng.below(n) as isize - n as isize, isize::MAX, 1 + rng.below(3)),
        3 => t.index_select(x, axis as isize, &(0..5).map(|_| rng.below(n)).collect::<Vec<_>>()),
        4 => {
            let mut dims = shape.clone();
            dims[axis] = 4;
            let index: Vec<usize> = (0..dims.iter().product()).map(|_| rng.below(n)).collect();
            t.gather(x, axis as isize, &index, &dims)
        }
        _ => {
            let x = t.reshape(x, &[1, shape[0] as isize, shape[1] as isize, shape[2] as isize]);
            t.flatten_chw(x)
        }
    }
}

/// Two feature maps and regions of both, some over the edge.
fn regions<E: Element>(
    [n, h, w, c]: [usize; 4],
    sampling: usize,
    aligned: bool,
    seed: u64,
) -> (Vec<Tensor<E>>, Vec<Roi<E>>, RoiAlign) {
    let maps = distinct(seed, &[&[n, h, w, c], &[n, h.div_ceil(2), w.div_ceil(2), c]], &[]);
    let mut rng = Rng::seed(seed);
    let mut region = |k: usize| {
        let (x, y) = (rng.range(-1.0, w as f64), rng.range(-1.0, h as f64));
        let bounds = [x, y, x + rng.range(0.1, w as f64), y + rng.range(0.1, h as f64)].map(E::from_f64);
        Roi { level: k % 2, image: k % n, bounds }
    };
    let rois = (0..5).map(&mut region).collect();
    (maps.iter().map(Tensor::cast).collect(), rois, RoiAlign { output: [2, 3], sampling, aligned })
}

/// x² with a gradient that is off by a relative `off`.
fn planted(t: &mut Tape64, x: &Var<f64>, off: f64) -> Var<f64> {
    let (value, node) = (x.value.clone(), x.node);
    t.record("planted", value.clone().map(|v| v * v), &[node], move |g, slots| {
        let slope = value.map(|v| 2.0 * v * (1.0 + off));
        slots.add(node, || Tape::infer().mul(g.into(), slope.into()).value);
    })
}

#[test]
fn a1_control_a_gradient_off_by_a_millionth_is_refuted() {
    let claim = |off: f64| {
        move |(shape, seed): (Vec<usize>, u64)| {
            equals_differences(&distinct(seed, &[&shape], &[]), |t, x| planted(t, &x[0], off))
        }
    };
    assert!(refutes(16, (shape(), any::<u64>()), claim(1e-6)));
    assert!(!refutes(16, (shape(), any::<u64>()), claim(0.0)));
}

#[test]
fn a1_control_differences_across_a_kink_are_seen() {
    // With samples on the kinks, central differences are the mean of the sides: not what relu says.
    let x = ties(3, &[20]);
    let c = compare(&[x], |t, x| t.relu(x[0].clone()));
    assert!(c.relative() > TOLERANCE, "{c:?}");
}

#[test]
fn a1_control_a_slope_outside_of_its_sides_is_refuted() {
    // relu with slope 1.01 at 0.
    let claim = |seed: u64| {
        between_one_sided(&[ties(seed, &[6])], |t, x| {
            let (value, node) = (x[0].value.clone(), x[0].node);
            let y = value.clone().map(|v| v.max(0.0));
            t.record("planted", y, &[node], move |g, slots| {
                let slope = value.map(|v| if v == 0.0 { 1.01 } else { f64::from(v > 0.0) });
                slots.add(node, || Tape::infer().mul(g.into(), slope.into()).value);
            })
        })
    };
    assert!(refutes(16, any::<u64>(), claim));
}

#[test]
fn a1_control_one_sided_slopes_do_not_bound_compositions() {
    // max(0, x) - max(0, -x) = x has slope 1 at 0; op by op the result is 0.
    let claim = |seed: u64| {
        between_one_sided(&[ties(seed, &[6])], |t, x| {
            let minus = t.neg(x[0].clone());
            let (a, b) = (t.relu(x[0].clone()), t.relu(minus));
            t.sub(a, b)
        })
    };
    assert!(refutes(16, any::<u64>(), claim));
}

#[test]
fn a1_control_batch_norm_without_its_mean_terms_is_refuted() {
    // The statistics as constants: gradients through μ and σ are missing.
    let claim = |fixed: bool| {
        move |(rows, seed): (usize, u64)| {
            let x = distinct(seed, &[&[rows, 2], &[2], &[2]], &[]);
            let (_, stats) = Tape::infer().batch_norm_train(
                x[0].clone().into(),
                x[1].clone().into(),
                x[2].clone().into(),
                0.1,
                Activation::None,
            );
            let var = stats.unbiased_var.map(|v| v * (rows as f64 - 1.0) / rows as f64);
            equals_differences(&x[..1], |t, v| {
                let (g, b) = (Var::from(x[1].clone()), Var::from(x[2].clone()));
                let right = t.batch_norm_train(v[0].clone(), g.clone(), b.clone(), 0.1, Activation::None).0;
                if !fixed {
                    return right;
                }
                // The same value with the wrong gradient: at the sample both are equal, around it the op is
                // the right one.
                let wrong = t.batch_norm_eval(v[0].clone(), g, b, &stats.mean, &var, 0.1, Activation::None);
                Var { value: right.value, node: wrong.node }
            })
        }
    };
    assert!(refutes(16, (2usize..9, any::<u64>()), claim(true)));
    assert!(!refutes(16, (2usize..9, any::<u64>()), claim(false)));
}

#[test]
fn a1_control_a_wrong_sign_or_factor_is_refuted() {
    for off in [-2.0, 1.0] {
        assert!(refutes(16, (shape(), any::<u64>()), |(shape, seed)| {
            equals_differences(&distinct(seed, &[&shape], &[]), |t, x| planted(t, &x[0], off))
        }));
    }
}
