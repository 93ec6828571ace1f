//! Numbers that are too large: an op says its name and what does not fit, or does what they mean, and does
//! not wrap, hang or ask for memory without end. And as many axes as a tensor can have.

use gradus_core::ops::PoolSpec;
use gradus_core::ops::conv::{Algorithm, Conv, ConvSpec, Fused, backward_data, backward_weight, forward};
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::{Activation, Epilogue, OutOfMemory, Tape, Tensor, Var};
use std::panic::{AssertUnwindSafe, catch_unwind};

const HUGE: usize = 1 << 63;

/// What a panic says: it must hold these words.
fn refused<T>(words: &[&str], f: impl FnOnce() -> T) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else { panic!("not refused: {words:?}") };
    let said =
        panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|s| s.to_string()));
    let said = said.or(panic.downcast_ref::<OutOfMemory>().map(OutOfMemory::to_string)).unwrap_or_default();
    assert!(words.iter().all(|w| said.contains(w)), "{words:?}: {said}");
}

fn tensor(shape: &[usize]) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| (i * 7919 % 31) as f64 - 15.0)
}

fn zeros(shape: &[usize]) -> Var<f64> {
    Tensor::zeros(shape).into()
}

fn conv(x: &[usize], w: &[usize], geometry: Conv) -> Tensor<f64> {
    let mut g = Tape::eval();
    let (x, w) = (g.input(tensor(x)), g.input(tensor(w)));
    let y = g.conv2d(x.clone(), &w, None, geometry, Fused::default());
    let grads = g.backward_from([(y.node, Tensor::full(*y.shape(), 1.0))]);
    assert!(grads.of(&x).is_some() && grads.of(&w).is_some());
    y.value
}

#[test]
fn long_steps_of_convolutions_take_one() {
    // Few channels, many, each by itself; the gradients as well.
    for (c, groups) in [(3, 1), (40, 1), (6, 6), (8, 2)] {
        let (x, w) = ([2, 5, 6, c], [3, 3, c / groups, 2 * c]);
        let short = conv(&x, &w, Conv { stride: [5; 2], groups, ..Conv::new(1, 1) });
        for stride in [1_000_000_000, 1 << 40, HUGE, usize::MAX] {
            let long = conv(&x, &w, Conv { stride: [stride; 2], groups, ..Conv::new(1, 1) });
            assert_eq!(long.shape()[..], [2, 1, 1, 2 * c]);
            let first = |i: usize| short.data()[i / (2 * c) * short.len() / 2 + i % (2 * c)];
            assert!((0..4 * c).all(|i| (long.data()[i] - first(i)).abs() < 1e-9), "{c} {groups} {stride}");
        }
        // One tap has no distance to another.
        let one = [1, 1, c / groups, 2 * c];
        assert_eq!(
            conv(&x, &one, Conv { dilation: [HUGE; 2], groups, ..Conv::default() }),
            conv(&x, &one, Conv { groups, ..Conv::default() })
        );
    }
}

#[test]
fn convolutions_that_do_not_fit_are_refused() {
    const LARGER: [&str; 2] = ["conv2d", "the kernel is larger than the padded input"];
    let (x, w) = ([1, 4, 4, 3], [3, 3, 3, 8]);
    for dilation in [HUGE, usize::MAX, 1 << 62] {
        refused(&LARGER, || conv(&x, &w, Conv::default().dilation(dilation)));
    }
    for padding in [HUGE, usize::MAX] {
        refused(&["conv2d", "more padding than"], || conv(&x, &w, Conv::new(1, padding)));
    }
    refused(&["conv2d", "has more elements than memory has addresses"], || {
        conv(&x, &w, Conv::new(1, 1 << 40))
    });
    refused(&["conv2d: no memory for a tensor of shape [1, 33554434, 33554434, 8]"], || {
        conv(&x, &w, Conv::new(1, 1 << 24))
    });
    // Taps far out on padding, a result of few elements.
    let apart = Conv { stride: [1, 1], padding: [1 << 39; 2], dilation: [1 << 39; 2], groups: 1 };
    refused(&["conv2d", "too large a number"], || conv(&x, &w, apart));
    let spec = ConvSpec { dilation: [HUGE; 2], ..ConvSpec::square(x, 8, 3, 1, 0) };
    for algorithm in Algorithm::ALL {
        let [x, w, mut y] = [48, 216, 32].map(|n| vec![0f32; n]);
        refused(&LARGER, || forward(algorithm, &spec, &x, &w, &Epilogue::default(), &mut y));
        refused(&LARGER, || backward_data(algorithm, &spec, &y.clone(), &w, &mut x.clone()));
        refused(&LARGER, || backward_weight(algorithm, &spec, &x, &y, &mut w.clone()));
    }
}

#[test]
fn transposed_convolutions_that_do_not_fit_are_refused() {
    let of = |geometry, more| {
        let (x, w) = (zeros(&[1, 4, 4, 3]), zeros(&[3, 3, 3, 8]));
        Tape::infer().conv_transpose2d(x, &w, None, geometry, [more; 2], Fused::default())
    };
    const LARGE: [&str; 2] = ["conv_transpose2d", "has more elements than memory has addresses"];
    refused(&LARGE, || of(Conv::new(HUGE, 0), 0));
    refused(&LARGE, || of(Conv::new(usize::MAX, 0), usize::MAX - 1));
    refused(&LARGE, || of(Conv::default().dilation(HUGE), 0));
    refused(&LARGE, || of(Conv::default().dilation(HUGE), 1 << 62));
    refused(&["conv_transpose2d", "nothing is left"], || of(Conv::new(1, usize::MAX), 0));
    refused(&["conv_transpose2d: no memory for a tensor of shape"], || of(Conv::new(1 << 24, 0), 0));
}

#[test]
fn windows_of_any_size_look_at_the_image_alone() {
    let x = tensor(&[2, 4, 4, 3]);
    let pool = |spec: PoolSpec| {
        let mut g = Tape::eval();
        let v = g.input(x.clone());
        let y = g.max_pool2d(v.clone(), spec, Activation::None);
        let grads = g.backward_from([(y.node, Tensor::full(*y.shape(), 1.0))]);
        assert_eq!(grads.of(&v).unwrap().data().iter().sum::<f64>(), y.value.len() as f64);
        y.value
    };
    // All of the image, for each of 5 x 5 places.
    let largest = Tape::infer().max(x.clone().into(), &[1, 2], false).value;
    let y = pool(PoolSpec::square(60_000, 1).padded(30_000));
    assert_eq!(y.shape()[..], [2, 5, 5, 3]);
    assert!(y.data().iter().enumerate().all(|(i, &v)| v == largest.data()[i / 75 * 3 + i % 3]));
    for stride in [1_000_000_000, HUGE, usize::MAX] {
        assert_eq!(
            pool(PoolSpec { ceil_mode: true, ..PoolSpec::square(4, stride) }).shape()[..],
            [2, 1, 1, 3]
        );
    }
    refused(&["max_pool2d", "taps"], || pool(PoolSpec::square(1 << 40, 1).padded(1 << 39)));
    // A line of 2^23 pixels, of which half as many windows see half each.
    let line = || zeros(&[1, 1, 1 << 23, 1]);
    let spec = PoolSpec { kernel: [1, 1 << 22], ..PoolSpec::square(1, 1) };
    refused(&["max_pool2d: no memory"], || Tape::infer().max_pool2d(line(), spec, Activation::None));
    refused(&["avg_pool2d: no memory"], || Tape::infer().avg_pool2d(line(), spec, true));
    let spec = PoolSpec { dilation: [HUGE; 2], ..PoolSpec::square(2, 1) };
    refused(&["pooling", "larger than the padded input"], || pool(spec));
    refused(&["max_pool2d", "taps"], || pool(PoolSpec::square(usize::MAX, 1)));
    refused(&["pooling", "larger than the padded input"], || PoolSpec::square(usize::MAX, 1).out_hw([4, 4]));
    refused(&["pooling", "without pixels"], || {
        Tape::infer().max_pool2d(zeros(&[1, 0, 2, 1]), PoolSpec::square(2, 1).padded(1), Activation::None)
    });
    let spec = PoolSpec::square(1 << 40, 1).padded(1 << 39);
    let means = Tape::infer().avg_pool2d(x.clone().into(), spec, false).value;
    let mean = Tape::infer().mean(x.clone().into(), &[1, 2], false).value;
    assert!(
        means.data().iter().enumerate().all(|(i, v)| (v - mean.data()[i / 75 * 3 + i % 3]).abs() < 1e-12)
    );
}

#[test]
fn results_larger_than_memory_are_refused_by_name() {
    let infer = Tape::<f64>::infer;
    let most = "has more elements than memory has addresses";
    // 2^44 numbers of 8 bytes: all that a process may address. Where nothing is summed they have no operands.
    let (n, shape) = (1 << 22, "[4194304, 4194304]");
    refused(&["add: no memory", shape], || infer().add(zeros(&[n, 1]), zeros(&[1, n])));
    refused(&["tensor: no memory", shape], || Tensor::<f64>::zeros([n, n]));
    refused(&["matmul: no memory", shape], || infer().matmul(zeros(&[n, 0]), zeros(&[0, n])));
    refused(&["linear: no memory", shape], || {
        infer().linear(zeros(&[n, 0]), &zeros(&[0, n]), None, Activation::None)
    });
    let n = 1 << 40;
    refused(&["mul: [1099511627776, 1099511627776, 0]", most], || {
        infer().mul(zeros(&[n, 1, 0]), zeros(&[n, 0]))
    });
    refused(&["matmul: [1099511627776, 1099511627776]", most], || {
        infer().matmul(zeros(&[n, 0]), zeros(&[0, n]))
    });
    for size in [[1 << 24, 1 << 25], [1 << 45, 4]] {
        let x = || zeros(&[1, 2, 2, 1]);
        refused(&["resize_bilinear: no memory"], || infer().resize_bilinear(x(), size));
        refused(&["resize_nearest: no memory"], || infer().resize_nearest(x(), size));
        refused(&["adaptive_avg_pool2d: no memory"], || infer().adaptive_avg_pool2d(x(), size));
        let align = RoiAlign { output: size, sampling: 0, aligned: false };
        let roi = Roi { level: 0, image: 0, bounds: [0.0, 0.0, 1.0, 1.0] };
        refused(&["roi_align: no memory"], || infer().roi_align(&[x()], &[1.0], &[roi], align));
    }
    for shape in [&[1 << 40, 1 << 40][..], &[isize::MAX, 2], &[isize::MAX, -1]] {
        refused(&["reshape: [", most], || infer().reshape(zeros(&[4]), shape));
    }
    for shape in [&[-2, -2][..], &[0, -1], &[-1, -1], &[isize::MIN, -1]] {
        refused(&["reshape: [4] to ["], || infer().reshape(zeros(&[4]), shape));
    }
    let empty = || zeros(&[1 << 59, 0]);
    refused(&["concat: [", most], || infer().concat(vec![empty(), empty(), empty()], 0));
}

/// Eight axes, against the same elements in fewer.
#[test]
fn ops_take_eight_axes() {
    let (dims, joined) = ([2, 3, 1, 2, 2, 1, 3, 2], [6, 4, 3, 2]);
    let x = tensor(&dims);
    let infer = Tape::<f64>::infer;
    let in_four = |x: &Tensor<f64>| Var::from(x.clone().reshape(joined));
    // Reductions, softmax.
    let sums = [infer().sum(x.clone().into(), &[3, 4], false), infer().sum(in_four(&x), &[1], false)];
    assert_eq!(sums[0].shape()[..], [2, 3, 1, 1, 3, 2]);
    assert_eq!(sums[0].value.data(), sums[1].value.data());
    let tops = [infer().max(x.clone().into(), &[0, 1, -1], true), infer().max(in_four(&x), &[0, 3], true)];
    assert_eq!(tops[0].value.data(), tops[1].value.data());
    let soft = [infer().softmax(x.clone().into(), -2), infer().softmax(in_four(&x), 2)];
    assert_eq!(soft[0].value.data(), soft[1].value.data());
    // Broadcasting, with gradients.
    let sum = |x: Tensor<f64>, y: Tensor<f64>| {
        let mut g = Tape::eval();
        let (x, y) = (g.input(x), g.input(y));
        let z = g.mul(x.clone(), y.clone());
        let grads = g.backward_from([(z.node, Tensor::full(*z.shape(), 1.0))]);
        [z.value.data(), grads.of(&x).unwrap().data(), grads.of(&y).unwrap().data()].map(<[f64]>::to_vec)
    };
    let y = tensor(&[2, 3, 1, 1, 1, 1, 3, 1]);
    assert_eq!(sum(x.clone(), y.clone()), sum(x.clone().reshape(joined), y.reshape([6, 1, 3, 1])));
    // Axes in another order, one by one.
    let axes = [7, 2, 4, 0, 6, 1, 5, 3];
    let (z, from) = (x.permute(&axes), x.shape().strides());
    let to = z.shape().strides();
    for (i, &v) in z.data().iter().enumerate() {
        let at: usize = (0..8).map(|a| i / to[a] % z.shape()[a] * from[axes[a]]).sum();
        assert_eq!(v, x.data()[at]);
    }
    // Along axes.
    let parts = |axis: isize, n: isize| {
        let part = |start, end| infer().slice(x.clone().into(), axis, start, end, 1);
        infer().concat(vec![part(0, 1), part(1, n)], axis).value
    };
    assert!([(0, 2), (1, 3), (-2, 3), (7, 2)].into_iter().all(|(axis, n)| parts(axis, n) == x));
    let picked = infer().index_select(x.clone().into(), 6, &[2, 0]).value;
    let index: Vec<usize> = (0..96).map(|i| [2, 0][i / 2 % 2]).collect();
    assert_eq!(picked, infer().gather(x.clone().into(), 6, &index, [2, 3, 1, 2, 2, 1, 2, 2]).value);
    // Stacks of matrices.
    let w = tensor(&[2, 1, 1, 2, 1, 1, 2, 5]);
    let y = infer().matmul(x.clone().into(), w.clone().into()).value;
    assert_eq!(y.shape()[..], [2, 3, 1, 2, 2, 1, 3, 5]);
    for (i, &v) in y.data().iter().enumerate() {
        let (matrix, row, column) = (i / 15, i / 5 % 3, i % 5);
        let other = matrix / 12 * 2 + matrix / 2 % 2;
        let want: f64 = (0..2)
            .map(|k| x.data()[(matrix * 3 + row) * 2 + k] * w.data()[(other * 2 + k) * 5 + column])
            .sum();
        assert_eq!(v, want);
    }
    refused(&["matmul: shapes"], || infer().matmul(x.clone().into(), zeros(&[3, 1, 1, 1, 1, 1, 2, 5])));
    refused(&["more than 8 axes"], || infer().reshape(x.clone().into(), &[1, 2, 3, 1, 2, 2, 1, 3, 2]));
}

/// Beyond 2²³ a scale in f32 rounds up: the last place of an axis would be read behind it.
#[test]
fn the_last_of_ten_million_places_is_still_in_the_image() {
    let x = Tensor::<f32>::from_fn([1, 1, 77, 1], |i| i as f32);
    let y = Tape::infer().resize_nearest(x.into(), [1, 10_000_000]).value;
    assert_eq!((y.data()[0], y.data()[9_999_999]), (0.0, 76.0));
    assert!(y.data().is_sorted());
}

#[test]
fn winograd_makes_no_channels_of_none() {
    let spec = ConvSpec::square([1, 8, 8, 16], 0, 3, 1, 1);
    let x = vec![1f32; spec.x_len()];
    forward(Algorithm::Winograd4, &spec, &x, &[], &Epilogue::default(), &mut []);
}
