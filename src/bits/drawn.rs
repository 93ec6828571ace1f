//! Cases drawn at random, without recorded digests: for two instruction sets, or two machines, to be
//! compared.
//!
//! Case k of a seed is a function of both: an op, extents that fill vectors and tiles or not, numbers of
//! several magnitudes, small integers (which tie), and now and then what is not finite, -0, or subnormal.

use super::case::{Case, forward_and_backward, parts};
use super::convolutions::passes;
use gradus_core::ops::conv::{Algorithm, Conv, ConvSpec, Fused};
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::ops::{BceWeights, ClassLoss, PoolSpec, Reduction};
use gradus_core::{Activation, Rng, Tape, Tensor, Var};

/// What a drawn op computes.
type Compute = Box<dyn Fn(&mut Tape, &[Var]) -> Var + Send + Sync>;

/// An op with its inputs.
struct Drawn {
    what: String,
    inputs: Vec<Tensor>,
    op: Compute,
}

fn drawn_op(
    what: impl Into<String>,
    inputs: Vec<Tensor>,
    op: impl Fn(&mut Tape, &[Var]) -> Var + Send + Sync + 'static,
) -> Drawn {
    Drawn { what: what.into(), inputs, op: Box::new(op) }
}

/// Case k of a seed.
pub fn drawn(seed: u64, k: usize) -> Case {
    type Draw = fn(&mut Rng) -> Drawn;
    const OPS: [Draw; 15] = [
        pointwise,
        binary,
        reduction,
        softmax,
        classes,
        pairs,
        batch_norm,
        pooling,
        resizing,
        moving,
        matmul,
        linear,
        convolution,
        transposed,
        regions,
    ];
    let mut rng = Rng::seed(seed).stream("drawn").at(k as u64);
    // Convolutions are made in most ways.
    let which = rng.below(OPS.len() + 5);
    let Some(draw) = OPS.get(which) else { return by_algorithm(k, &mut rng) };
    let Drawn { what, inputs, op } = draw(&mut rng);
    let shapes: Vec<String> = inputs.iter().map(|x| format!("{:?}", x.shape())).collect();
    let name = format!("drawn/{k}: {what} of {}", shapes.join(", "));
    let upstream = rng.stream("upstream");
    parts(name, move || forward_and_backward(inputs.clone(), &mut upstream.clone(), &op))
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.below(choices.len())]
}

/// An extent: of a vector's length, or about it.
fn extent(rng: &mut Rng, most: usize) -> usize {
    const LIKELY: [usize; 14] = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64];
    if rng.chance(0.5) { one_of(rng, &LIKELY).min(most) } else { 1 + rng.below(most) }
}

/// Extents of so many axes.
fn shape(rng: &mut Rng, axes: usize) -> Vec<usize> {
    let most = [2000, 60, 20, 12][axes - 1];
    (0..axes).map(|_| extent(rng, most)).collect()
}

/// Numbers of any kind.
fn values(rng: &mut Rng, shape: &[usize]) -> Tensor {
    const SPECIAL: [f32; 6] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40, f32::MAX];
    numbers(rng, shape, &SPECIAL)
}

/// Numbers that are finite. What multiplies padding is: 0 times infinity is NaN, and how many of the zeros
/// beside an image are multiplied, or skipped, depends on the tiles of an instruction set.
fn finite(rng: &mut Rng, shape: &[usize]) -> Tensor {
    numbers(rng, shape, &[-0.0, 1e-40, -1e-40])
}

fn numbers(rng: &mut Rng, shape: &[usize], special: &[f32]) -> Tensor {
    let scale = (1 << rng.below(5)) as f32 / 4.0;
    let (integers, with_special) = (rng.chance(0.2), rng.chance(0.15));
    Tensor::from_fn(shape, |_| {
        let v = scale * (2.0 * rng.f32() - 1.0);
        if with_special && rng.chance(0.02) {
            one_of(rng, special)
        } else if integers {
            (4.0 * v) as i32 as f32
        } else {
            v
        }
    })
}

fn activation(rng: &mut Rng) -> Activation {
    one_of(rng, &[Activation::None, Activation::Relu, Activation::Relu6])
}

fn pointwise(rng: &mut Rng) -> Drawn {
    type Unary = fn(&mut Tape, Var) -> Var;
    const OPS: [(&str, Unary); 11] = [
        ("relu", |t, x| t.relu(x)),
        ("relu6", |t, x| t.relu6(x)),
        ("sigmoid", |t, x| t.sigmoid(x)),
        ("tanh", |t, x| t.tanh(x)),
        ("exp", |t, x| t.exp(x)),
        ("log", |t, x| t.log(x)),
        ("sqrt", |t, x| t.sqrt(x)),
        ("abs", |t, x| t.abs(x)),
        ("clamp", |t, x| t.clamp(x, -0.75, 1.5)),
        ("mul_scalar", |t, x| t.mul_scalar(x, 1.1)),
        ("dropout", |t, x| t.dropout(x, 0.3)),
    ];
    let ((name, f), axes) = (one_of(rng, &OPS), 1 + rng.below(4));
    let shape = shape(rng, axes);
    drawn_op(name, vec![values(rng, &shape)], move |t, x| f(t, x[0].clone()))
}

fn binary(rng: &mut Rng) -> Drawn {
    type Binary = fn(&mut Tape, Var, Var) -> Var;
    const OPS: [(&str, Binary); 6] = [
        ("add", |t, a, b| t.add(a, b)),
        ("sub", |t, a, b| t.sub(a, b)),
        ("mul", |t, a, b| t.mul(a, b)),
        ("div", |t, a, b| t.div(a, b)),
        ("maximum", |t, a, b| t.maximum(a, b)),
        ("minimum", |t, a, b| t.minimum(a, b)),
    ];
    let ((name, f), axes) = (one_of(rng, &OPS), 1 + rng.below(4));
    let whole = shape(rng, axes);
    let mut part = whole[rng.below(axes)..].to_vec();
    part.iter_mut().for_each(|n| *n = if rng.chance(0.3) { 1 } else { *n });
    let inputs = vec![values(rng, &whole), values(rng, &part)];
    drawn_op(name, inputs, move |t, x| f(t, x[0].clone(), x[1].clone()))
}

fn reduction(rng: &mut Rng) -> Drawn {
    type Reduce = fn(&mut Tape, Var, &[isize]) -> Var;
    const OPS: [(&str, Reduce); 3] = [
        ("sum", |t, x, axes| t.sum(x, axes, false)),
        ("mean", |t, x, axes| t.mean(x, axes, true)),
        ("max", |t, x, axes| t.max(x, axes, false)),
    ];
    let ((name, f), axes) = (one_of(rng, &OPS), 1 + rng.below(4));
    let mut shape = shape(rng, axes);
    if axes == 1 {
        shape[0] *= 1 + rng.below(9);
    }
    let over: Vec<isize> = (0..axes as isize).filter(|_| rng.chance(0.5)).collect();
    drawn_op(format!("{name} over {over:?}"), vec![values(rng, &shape)], move |t, x| {
        f(t, x[0].clone(), &over)
    })
}

fn softmax(rng: &mut Rng) -> Drawn {
    let axes = 1 + rng.below(4);
    let (shape, axis, log) = (shape(rng, axes), rng.below(axes) as isize, rng.chance(0.5));
    drawn_op(format!("softmax along {axis}, log {log}"), vec![values(rng, &shape)], move |t, x| {
        if log { t.log_softmax(x[0].clone(), axis) } else { t.softmax(x[0].clone(), axis) }
    })
}

fn classes(rng: &mut Rng) -> Drawn {
    let [rows, classes] = [extent(rng, 60), extent(rng, 100)];
    let labels: Vec<usize> = (0..rows).map(|_| rng.below(classes)).collect();
    let reduction = one_of(rng, &[Reduction::Mean, Reduction::Sum, Reduction::None]);
    let label_smoothing = one_of(rng, &[0.0, 0.1]);
    let weight = rng.chance(0.5).then(|| values(rng, &[classes]).map(f32::abs));
    drawn_op("cross entropy", vec![values(rng, &[rows, classes])], move |t, x| {
        let class_weight = weight.as_ref().map(Tensor::data);
        let how = ClassLoss { class_weight, label_smoothing, reduction, ..ClassLoss::default() };
        t.cross_entropy_with(x[0].clone(), &labels, &how)
    })
}

fn pairs(rng: &mut Rng) -> Drawn {
    let shape = shape(rng, 2);
    let (which, reduction) = (rng.below(3), one_of(rng, &[Reduction::Mean, Reduction::Sum, Reduction::None]));
    let inputs = vec![values(rng, &shape), values(rng, &shape)];
    drawn_op(format!("loss of pairs, number {which}"), inputs, move |t, x| {
        let [x, target] = [x[0].clone(), x[1].clone()];
        match which {
            0 => t.mse(x, target, reduction),
            1 => t.smooth_l1(x, target, 0.11, reduction),
            _ => {
                let target = target.value.map(|v| if v > 0.0 { 1.0 } else { 0.0 });
                t.bce_with_logits(x, target, BceWeights::default(), reduction)
            }
        }
    })
}

fn batch_norm(rng: &mut Rng) -> Drawn {
    let [n, h, w, c] = [2 + rng.below(3), extent(rng, 12), extent(rng, 12), extent(rng, 70)];
    let (activation, training) = (activation(rng), rng.chance(0.7));
    let inputs = vec![values(rng, &[n, h, w, c]), values(rng, &[c]), values(rng, &[c])];
    drawn_op(format!("batch norm, training {training}"), inputs, move |t, x| {
        let (mean, var) = (x[2].value.clone(), x[1].value.clone().map(|v| v * v));
        let [x, gamma, beta] = [0, 1, 2].map(|i| x[i].clone());
        if training {
            t.batch_norm_train(x, gamma, beta, 1e-5, activation).0
        } else {
            t.batch_norm_eval(x, gamma, beta, &mean, &var, 1e-5, activation)
        }
    })
}

fn pooling(rng: &mut Rng) -> Drawn {
    let (kernel, which) = (1 + rng.below(4), rng.below(3));
    let shape = [1 + rng.below(2), kernel + extent(rng, 17), kernel + extent(rng, 17), extent(rng, 40)];
    let square = PoolSpec::square(kernel, 1 + rng.below(3)).padded(rng.below(kernel / 2 + 1));
    let spec = PoolSpec { ceil_mode: rng.chance(0.3), ..square };
    let (activation, counts) = (activation(rng), rng.chance(0.5));
    drawn_op(
        format!("pooling number {which}, {spec:?}"),
        vec![values(rng, &shape)],
        move |t, x| match which {
            0 => t.max_pool2d(x[0].clone(), spec, activation),
            1 => t.avg_pool2d(x[0].clone(), spec, counts),
            _ => t.adaptive_avg_pool2d(x[0].clone(), [kernel, 2 * kernel]),
        },
    )
}

fn resizing(rng: &mut Rng) -> Drawn {
    let shape = [1 + rng.below(2), extent(rng, 20), extent(rng, 20), extent(rng, 40)];
    let (size, nearest) = ([extent(rng, 33), extent(rng, 33)], rng.chance(0.3));
    drawn_op(format!("resizing to {size:?}, nearest {nearest}"), vec![values(rng, &shape)], move |t, x| {
        if nearest { t.resize_nearest(x[0].clone(), size) } else { t.resize_bilinear(x[0].clone(), size) }
    })
}

fn moving(rng: &mut Rng) -> Drawn {
    let (shape, which) = (shape(rng, 4), rng.below(4));
    let (order, axis) = (rng.permutation(4), rng.below(4));
    let places: Vec<usize> = (0..extent(rng, 30)).map(|_| rng.below(shape[axis])).collect();
    drawn_op(format!("movement number {which} along {axis}"), vec![values(rng, &shape)], move |t, x| {
        let (x, axis) = (x[0].clone(), axis as isize);
        match which {
            0 => t.permute(x, &order),
            1 => t.concat(vec![x.clone(), x], axis),
            2 => t.slice(x, axis, 0, isize::MAX, 2),
            _ => t.index_select(x, axis, &places),
        }
    })
}

fn matmul(rng: &mut Rng) -> Drawn {
    let [m, n] = [extent(rng, 90), extent(rng, 90)];
    let k = if rng.chance(0.2) { 200 + rng.below(2000) } else { extent(rng, 200) };
    let batch = 1 + rng.below(3);
    let inputs = vec![values(rng, &[batch, m, k]), values(rng, &[k, n])];
    drawn_op("matmul", inputs, |t, x| t.matmul(x[0].clone(), x[1].clone()))
}

fn linear(rng: &mut Rng) -> Drawn {
    let [rows, inputs, outputs] = [extent(rng, 70), extent(rng, 600), extent(rng, 120)];
    let activation = activation(rng);
    let inputs = vec![values(rng, &[rows, inputs]), values(rng, &[inputs, outputs]), values(rng, &[outputs])];
    drawn_op("linear", inputs, move |t, x| t.linear(x[0].clone(), &x[1], Some(&x[2]), activation))
}

/// A geometry, the extents of its images and the number of channels that come out.
fn geometry(rng: &mut Rng) -> ConvSpec {
    let kernel = one_of(rng, &[1, 2, 3, 3, 3, 5, 7]);
    let (stride, dilation) = (one_of(rng, &[1, 1, 2, 3]), one_of(rng, &[1, 1, 1, 2]));
    let reach = dilation * (kernel - 1) + 1;
    let side = |rng: &mut Rng| reach.max(extent(rng, 24));
    let (n, h, w) = (1 + rng.below(2), side(rng), side(rng));
    let (groups, c_in, c_out) = match rng.below(4) {
        0 => {
            let c = extent(rng, 48);
            (c, c, c)
        }
        1 => {
            let groups = 1 + rng.below(3);
            (groups, groups * extent(rng, 12), groups * extent(rng, 12))
        }
        _ => (1, one_of(rng, &[1, 3, 4, 5, 16, 19, 32]), extent(rng, 40)),
    };
    let square = ConvSpec::square([n, h, w, c_in], c_out, kernel, stride, rng.below(kernel / 2 + 1));
    ConvSpec { dilation: [dilation; 2], groups, ..square }
}

fn convolution(rng: &mut Rng) -> Drawn {
    let (s, activation) = (geometry(rng), activation(rng));
    let [oh, ow] = s.out_hw();
    let x = values(rng, &[s.n, s.h, s.w, s.c_in]);
    let w = finite(rng, &[s.kernel[0], s.kernel[1], s.group_in(), s.c_out]);
    let inputs = vec![x, w, values(rng, &[s.c_out]), values(rng, &[s.n, oh, ow, s.c_out])];
    let conv = Conv { stride: s.stride, padding: s.padding, dilation: s.dilation, groups: s.groups };
    drawn_op(format!("{conv:?}"), inputs, move |t, x| {
        let fused = Fused { residual: Some(x[3].clone()), activation, ..Fused::default() };
        t.conv2d(x[0].clone(), &x[1], Some(&x[2]), conv, fused)
    })
}

fn by_algorithm(k: usize, rng: &mut Rng) -> Case {
    let spec = geometry(rng);
    let serving: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(|a| a.applies(&spec)).collect();
    // The general one is chosen often enough where nothing else serves.
    let algorithm = serving[serving.len() - 1 - rng.below(serving.len().min(2))];
    passes(format!("drawn/{k}: {spec:?}"), spec, algorithm)
}

fn transposed(rng: &mut Rng) -> Drawn {
    let [c_in, c_out] = [extent(rng, 24), extent(rng, 24)];
    let (kernel, stride) = (2 + rng.below(2), 1 + rng.below(2));
    let shape = [1 + rng.below(2), 1 + extent(rng, 12), 1 + extent(rng, 12), c_in];
    let weight = finite(rng, &[kernel, kernel, c_in, c_out]);
    let inputs = vec![finite(rng, &shape), weight, values(rng, &[c_out])];
    drawn_op(format!("transposed convolution of stride {stride}"), inputs, move |t, x| {
        let fused = Fused::from(Activation::Relu);
        t.conv_transpose2d(x[0].clone(), &x[1], Some(&x[2]), Conv::new(stride, 0), [0, 0], fused)
    })
}

fn regions(rng: &mut Rng) -> Drawn {
    let shape = [1 + rng.below(2), extent(rng, 24), extent(rng, 24), extent(rng, 40)];
    let sampling = rng.below(3);
    let align = RoiAlign { output: [1 + rng.below(7), 1 + rng.below(7)], sampling, aligned: rng.chance(0.5) };
    let mut region = |_| {
        let [x, y] = [0, 0].map(|_| 60.0 * rng.f32() - 5.0);
        let bounds = [x, y, x + 1.0 + 50.0 * rng.f32(), y + 1.0 + 50.0 * rng.f32()];
        Roi { level: 0, image: rng.below(shape[0]), bounds }
    };
    let rois: Vec<Roi<f32>> = (0..7).map(&mut region).collect();
    let what = format!("RoIAlign, {align:?}");
    drawn_op(what, vec![values(rng, &shape)], move |t, x| t.roi_align(x, &[0.25], &rois, align))
}
