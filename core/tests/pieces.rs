//! Work on long tensors is cut into pieces (16·1024 elements, rows of images, bands): where a piece begins,
//! its operands begin. And it is done in place where it can be.
//!
//! Of an op that treats images apart, the result of a batch is the results of its images, one after another,
//! and so are the gradients; what the images share gets the sum of their gradients. Each image is longer than
//! a piece, and no multiple of one. The images of a short batch are cut elsewhere, and their sums may be in
//! another order: numbers are small integers, whose sums are exact, and functions that round may differ by a
//! few of f64's 2⁻⁵³.

use gradus_core::ops::conv::{Affine, Conv, Fused};
use gradus_core::ops::{BceWeights, ClassLoss, PoolSpec, Reduction};
use gradus_core::{Activation, Tape, Tensor, Var};

const IMAGES: usize = 5;
/// 17,160 elements.
const SHAPE: [usize; 4] = [IMAGES, 40, 33, 13];

/// An op of images x, of others of the same shape, and of a vector of channels.
type Op = fn(&mut Tape<f64>, [Var<f64>; 3]) -> Var<f64>;

fn integers(shape: &[usize], seed: usize) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| ((i * 7919 + i / 13 * 31 + seed) % 17) as f64 - 8.0)
}

/// Of the first images or of one: x, the others, a vector of channels.
fn operands(images: std::ops::Range<usize>) -> [Tensor<f64>; 3] {
    let each: usize = SHAPE[1..].iter().product();
    let shape = [images.len(), SHAPE[1], SHAPE[2], SHAPE[3]];
    let cut = |t: Tensor<f64>| Tensor::from_slice(shape, &t.data()[images.start * each..images.end * each]);
    [cut(integers(&SHAPE, 1)), cut(integers(&SHAPE, 5)), integers(&[SHAPE[3]], 9)]
}

/// The result, and the gradients of the three operands, where the upstream gradient differs from image to
/// image.
fn run(op: Op, images: std::ops::Range<usize>) -> (Tensor<f64>, [Option<Tensor<f64>>; 3]) {
    let mut t = Tape::eval();
    let inputs = operands(images.clone()).map(|x| t.input(x));
    let y = op(&mut t, inputs.clone());
    let each = y.value.len() / images.len();
    let seed = integers(&[IMAGES * each], 3);
    let seed = Tensor::from_slice(*y.shape(), &seed.data()[images.start * each..images.end * each]);
    let (node, y) = (y.node, y.value);
    let gradients = t.backward_from([(node, seed)]);
    (y, inputs.map(|x| gradients.of(&x).cloned()))
}

#[track_caller]
fn equal(what: &str, found: &[f64], want: &[f64]) {
    assert_eq!(found.len(), want.len(), "{what}");
    for (i, (&a, &b)) in found.iter().zip(want).enumerate() {
        let same = a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-12 * (1.0 + b.abs());
        assert!(same, "{what} [{i}]: {a} in the batch, {b} by itself");
    }
}

fn each_image_is_by_itself(name: &str, op: Op) {
    let (y, gradients) = run(op, 0..IMAGES);
    let apart: Vec<_> = (0..IMAGES).map(|i| run(op, i..i + 1)).collect();
    // Without gradients, operands that nobody else owns make room for the result.
    let in_place = op(&mut Tape::infer(), operands(0..IMAGES).map(Var::from));
    equal(&format!("{name} in place"), in_place.value.data(), y.data());
    let joined = |f: &dyn Fn(usize) -> Vec<f64>| (0..IMAGES).flat_map(f).collect::<Vec<_>>();
    equal(name, y.data(), &joined(&|i| apart[i].0.data().to_vec()));
    for (k, gradient) in gradients.iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        let of = |i: usize| apart[i].1[k].as_ref().expect("a gradient, as in the batch").data().to_vec();
        let want = if k < 2 {
            joined(&of)
        } else {
            (0..IMAGES).map(of).reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect()).expect("images")
        };
        equal(&format!("{name}: gradient {k}"), gradient.data(), &want);
    }
}

#[test]
fn ops_of_elements() {
    let ops: [(&str, Op); 17] = [
        ("relu", |t, [x, ..]| t.relu(x)),
        ("sigmoid", |t, [x, ..]| t.sigmoid(x)),
        ("abs", |t, [x, ..]| t.abs(x)),
        ("add", |t, [x, z, _]| t.add(x, z)),
        ("mul", |t, [x, z, _]| t.mul(x, z)),
        ("maximum", |t, [x, z, _]| t.maximum(x, z)),
        ("add of a vector", |t, [x, _, v]| t.add(x, v)),
        ("sub from a vector", |t, [x, _, v]| t.sub(v, x)),
        ("mul by a vector", |t, [x, _, v]| t.mul(x, v)),
        ("affine", |t, [x, _, v]| t.affine(x, v.clone(), v, Activation::Relu6)),
        ("batch_norm_eval", |t, [x, _, v]| {
            let (mean, var) = (integers(&[13], 4), Tensor::full([13], 3.0));
            t.batch_norm_eval(x, v.clone(), v, &mean, &var, 1.0, Activation::Relu)
        }),
        ("mse", |t, [x, z, _]| t.mse(x, z, Reduction::None)),
        ("smooth_l1", |t, [x, z, _]| t.smooth_l1(x, z, 2.0, Reduction::None)),
        ("bce", |t, [x, z, _]| t.bce_with_logits(x, z.value, BceWeights::default(), Reduction::None)),
        ("dropout_with_mask", |t, [x, ..]| {
            let mask: Vec<bool> = (0..x.value.len()).map(|i| i % 17160 % 3 > 0).collect();
            t.dropout_with_mask(x, &mask, 0.5)
        }),
        ("softmax", |t, [x, ..]| t.softmax(x, -1)),
        ("log_softmax over rows", |t, [x, ..]| t.log_softmax(x, 1)),
    ];
    ops.into_iter().for_each(|(name, op)| each_image_is_by_itself(name, op));
}

#[test]
fn ops_of_images() {
    let ops: [(&str, Op); 14] = [
        ("max_pool2d", |t, [x, ..]| t.max_pool2d(x, PoolSpec::square(3, 2).padded(1), Activation::Relu)),
        ("max_pool2d of 16x17", |t, [x, ..]| {
            t.max_pool2d(x, PoolSpec { kernel: [16, 17], ..PoolSpec::square(16, 1) }, Activation::None)
        }),
        ("avg_pool2d", |t, [x, ..]| t.avg_pool2d(x, PoolSpec::square(2, 2), true)),
        ("adaptive_avg_pool2d", |t, [x, ..]| t.adaptive_avg_pool2d(x, [7, 5])),
        ("resize_bilinear", |t, [x, ..]| t.resize_bilinear(x, [71, 50])),
        ("resize_nearest", |t, [x, ..]| t.resize_nearest(x, [17, 95])),
        ("sum of columns", |t, [x, ..]| t.sum(x, &[2], false)),
        ("mean", |t, [x, ..]| t.mean(x, &[1, 3], true)),
        ("max", |t, [x, ..]| t.max(x, &[3], false)),
        ("permute", |t, [x, ..]| t.permute(x, &[0, 3, 1, 2])),
        ("flatten_chw", |t, [x, ..]| t.flatten_chw(x)),
        ("concat", |t, [x, z, _]| t.concat(vec![x, z], 3)),
        ("slice", |t, [x, ..]| t.slice(x, 2, 3, 30, 2)),
        ("index_select", |t, [x, ..]| t.index_select(x, 3, &[4, 4, 0, 12])),
    ];
    ops.into_iter().for_each(|(name, op)| each_image_is_by_itself(name, op));
}

#[test]
fn losses_of_rows() {
    fn labels(x: &Var<f64>) -> Vec<i64> {
        (0..x.value.len() / 13).map(|i| (i % 1320 * 7 % 13) as i64).collect()
    }
    fn rows(t: &mut Tape<f64>, x: Var<f64>) -> Var<f64> {
        t.reshape(x, &[-1, 13])
    }
    fn apart() -> ClassLoss<'static, f64> {
        ClassLoss { reduction: Reduction::None, ..ClassLoss::default() }
    }
    each_image_is_by_itself("cross_entropy", |t, [x, ..]| {
        let (labels, x) = (labels(&x), rows(t, x));
        t.cross_entropy_with(x, &labels, &ClassLoss { label_smoothing: 0.25, ..apart() })
    });
    each_image_is_by_itself("nll_loss", |t, [x, ..]| {
        let (labels, x) = (labels(&x), rows(t, x));
        t.nll_loss(x, &labels, &apart())
    });
}

/// A convolution, and a transposed one, with all that can be fused.
#[test]
fn convolutions_and_what_is_fused() {
    fn fused(v: Var<f64>, residual: Var<f64>, activation: Activation) -> Fused<f64> {
        let affine = Affine { scale: v.value.clone(), shift: Tensor::full([13], 2.0) };
        Fused { affine: Some(affine), residual: Some(residual), activation }
    }
    let ops: [(&str, Op); 6] = [
        ("conv2d of three channels", |t, [x, z, v]| {
            let (x, w) = (t.slice(x, 3, 2, 5, 1), integers(&[7, 7, 3, 13], 2).into());
            t.conv2d(x, &w, Some(&v), Conv::new(1, 3), fused(v.clone(), z, Activation::Relu))
        }),
        ("conv2d of many taps in phases", |t, [x, ..]| {
            let (x, w) = (t.slice(x, 3, 2, 5, 1), integers(&[11, 11, 3, 16], 2).into());
            t.conv2d(x, &w, None, Conv::new(4, 2), Fused::default())
        }),
        ("conv2d", |t, [x, z, v]| {
            let w = integers(&[1, 1, 13, 13], 2).into();
            t.conv2d(x, &w, Some(&v), Conv::new(1, 0), fused(v.clone(), z, Activation::Relu))
        }),
        ("conv2d in groups", |t, [x, z, v]| {
            let w = integers(&[3, 3, 1, 13], 2).into();
            let geometry = Conv::new(1, 1).groups(13);
            t.conv2d(x, &w, Some(&v), geometry, fused(v.clone(), z, Activation::Relu6))
        }),
        ("conv_transpose2d", |t, [x, z, v]| {
            let w = integers(&[3, 3, 13, 13], 2).into();
            t.conv_transpose2d(
                x,
                &w,
                Some(&v),
                Conv::new(1, 1),
                [0, 0],
                fused(v.clone(), z, Activation::Relu),
            )
        }),
        ("conv_transpose2d without a residual", |t, [x, _, v]| {
            let w = integers(&[2, 2, 13, 13], 2).into();
            t.conv_transpose2d(x, &w, Some(&v), Conv::new(2, 0), [0, 0], Activation::Relu6.into())
        }),
    ];
    ops.into_iter().for_each(|(name, op)| each_image_is_by_itself(name, op));
}
