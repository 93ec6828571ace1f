//! The three passes against a direct sum over pixels, taps and channels.

use super::*;
use crate::gemm::lhs::Lhs;
use crate::{epilogue::Activation, random::Rng};
use proptest::prelude::*;

fn random(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::seed(seed);
    (0..n).map(|_| f64::from(rng.range(-1.0, 1.0) as f32)).collect()
}

/// Calls `f(x, w, y)` with the indices of each multiply-add.
fn each(spec: &ConvSpec, mut f: impl FnMut(usize, usize, usize)) {
    let ([oh, ow], ci, co) = (spec.out_hw(), spec.group_in(), spec.group_out());
    let source = |axis: usize, out: usize, tap: usize| {
        let at = (out * spec.stride[axis] + tap * spec.dilation[axis]).checked_sub(spec.padding[axis])?;
        (at < [spec.h, spec.w][axis]).then_some(at)
    };
    for i in 0..spec.n * oh * ow * spec.kernel[0] * spec.kernel[1] * spec.c_out * ci {
        let (c, i) = (i % ci, i / ci);
        let (o, i) = (i % spec.c_out, i / spec.c_out);
        let (s, i) = (i % spec.kernel[1], i / spec.kernel[1]);
        let (r, pixel) = (i % spec.kernel[0], i / spec.kernel[0]);
        let (n, p, q) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
        if let (Some(y), Some(x)) = (source(0, p, r), source(1, q, s)) {
            let x = ((n * spec.h + y) * spec.w + x) * spec.c_in + o / co * ci + c;
            f(x, ((r * spec.kernel[1] + s) * ci + c) * spec.c_out + o, pixel * spec.c_out + o);
        }
    }
}

/// |got - want| <= γ_{k+6} · size, where `size` sums the terms' absolute values.
fn assert_close<E: Element>(name: &str, spec: &ConvSpec, got: &[E], want: &[(f64, f64)], k: usize) {
    let gamma = (k + 6) as f64 * E::UNIT_ROUNDOFF * 1.01;
    for (i, (g, (w, size))) in got.iter().zip(want).enumerate() {
        let bound = gamma * size + f64::MIN_POSITIVE;
        assert!((g.to_f64() - w).abs() <= bound, "{name}[{i}] {g}, not {w} +- {bound}: {spec:?}");
    }
}

fn check_all<E: Element>(spec: &ConvSpec) {
    let (x, w, dy) = (random(spec.x_len(), 1), random(spec.w_len(), 2), random(spec.y_len(), 3));
    let (bias, residual) = (random(spec.c_out, 4), random(spec.y_len(), 5));
    let cast = |v: &[f64]| v.iter().map(|&v| E::from_f64(v)).collect::<Vec<E>>();
    let mut y: Vec<_> = residual.iter().enumerate().map(|(i, r)| (r + bias[i % spec.c_out], 2.0)).collect();
    let mut dx = vec![(0.0, 0.0); x.len()];
    let mut dw = vec![(0.0, 0.0); w.len()];
    each(spec, |i, j, k| {
        let add = |to: &mut (f64, f64), v: f64| *to = (to.0 + v, to.1 + v.abs());
        add(&mut y[k], x[i] * w[j]);
        add(&mut dx[i], dy[k] * w[j]);
        add(&mut dw[j], dy[k] * x[i]);
    });
    y.iter_mut().for_each(|v| v.0 = v.0.max(0.0));
    let (x, w, dy, bias, residual) = (cast(&x), cast(&w), cast(&dy), cast(&bias), cast(&residual));
    let epilogue =
        Epilogue { scale: None, bias: Some(&bias), residual: Some(&residual), activation: Activation::Relu };
    // What the passes do not write must show.
    let nan = E::from_f64(f64::NAN);
    let (mut gy, mut gx, mut gw) = (vec![nan; y.len()], vec![nan; x.len()], vec![nan; w.len()]);
    forward(spec, &x, &w, &epilogue, &mut gy);
    backward_data(spec, &dy, &w, &mut gx);
    backward_weight(spec, &x, &dy, &mut gw);
    let taps = spec.kernel[0] * spec.kernel[1];
    let [oh, ow] = spec.out_hw();
    assert_close("y", spec, &gy, &y, taps * spec.group_in());
    assert_close("dx", spec, &gx, &dx, taps * spec.group_out());
    assert_close("dw", spec, &gw, &dw, spec.n * oh * ow);
}

fn specs() -> impl Strategy<Value = ConvSpec> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let image = (prop_oneof![1usize..4, 15usize..20], 1usize..12, 1usize..12);
    let channels = (1usize..20, 1usize..20, prop_oneof![Just(1usize), 1usize..4]);
    (image, channels, pair(1..5), pair(1..4), pair(0..4), pair(1..3))
        .prop_map(|((n, h, w), (ci, co, groups), kernel, stride, padding, dilation)| {
            let plain = ConvSpec::square([n, h, w, ci * groups], co * groups, 1, 1, 0);
            ConvSpec { kernel, stride, padding, dilation, groups, ..plain }
        })
        .prop_filter("the kernel fits", |s| {
            (0..2).all(|a| [s.h, s.w][a] + 2 * s.padding[a] > s.dilation[a] * (s.kernel[a] - 1))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_convolution(spec in specs()) {
        check_all::<f32>(&spec);
    }
    #[test]
    fn any_convolution_in_double_precision(spec in specs()) {
        check_all::<f64>(&spec);
    }
}

#[test]
fn a_kernel_wider_than_the_image_reads_its_middle() {
    // The taps' run begins and ends in the padding: only the middle one sees the pixel.
    let spec = ConvSpec { kernel: [1, 3], padding: [0, 1], ..ConvSpec::square([16, 1, 1, 1], 1, 1, 1, 0) };
    check_all::<f32>(&spec);
    check_all::<f64>(&spec);
}

#[test]
fn networks_layers() {
    for spec in [
        ConvSpec::square([2, 32, 32, 3], 64, 3, 2, 1),
        ConvSpec::square([1, 64, 64, 3], 64, 11, 4, 2),
        ConvSpec::square([1, 40, 56, 3], 64, 7, 2, 3),
        ConvSpec::square([16, 4, 4, 48], 64, 3, 1, 1),
        ConvSpec::square([16, 4, 4, 600], 8, 3, 1, 1),
        ConvSpec::square([1, 70, 70, 16], 32, 3, 1, 1),
        ConvSpec::square([1, 70, 70, 16], 32, 1, 1, 0),
        ConvSpec { groups: 2, ..ConvSpec::square([2, 9, 7, 32], 64, 5, 1, 2) },
    ] {
        check_all::<f32>(&spec);
    }
}

/// Whether a grid's rows read padding, and whether that is a tenth or more of what they read, counted tap by
/// tap.
#[test]
fn rows_that_read_padding_are_known() {
    let small = |most: usize| 1..=most;
    for (h, w) in small(6).flat_map(|h| small(6).map(move |w| (h, w))) {
        for (kernel, stride) in small(3).flat_map(|k| small(3).map(move |s| (k, s))) {
            for (padding, dilation) in (0..3).flat_map(|p| small(2).map(move |d| (p, d))) {
                let square = ConvSpec::square([16, h, w, 1], 1, kernel, stride, padding);
                let spec = ConvSpec { dilation: [dilation; 2], ..square };
                if [h, w].into_iter().any(|size| size + 2 * padding < dilation * (kernel - 1) + 1) {
                    continue;
                }
                let (extent, taps) = (spec.out_hw(), forward_taps(&spec));
                let all = 16 * taps.len() * extent[0] * extent[1];
                let mut read = 0;
                each(&spec, |_, _, _| read += 1);
                let source = Source { data: &[0.0f64; 0], h, w, ld: 1, channel: 0, run: 1 };
                let pixels = Pixels { images: 16, extent, images_inner: false };
                let columns = Columns { source, pixels, step: spec.stride, taps: &taps, zeros: &[] };
                assert_eq!(columns.skips(), read < all, "{spec:?}");
                let inner = |images: usize| images_inner(images, extent, [h, w], spec.stride, &taps);
                assert_eq!((inner(16), inner(15)), (10 * read <= 9 * all, false), "{spec:?}");
            }
        }
    }
}

/// Tiles of other rows leave out other padding, but the same bits come of them: a term that is too small for
/// anything but its sign makes a sum -0, which a step of zeros would make +0.
#[test]
fn padding_that_is_left_out_changes_no_bit() {
    let images = |images_inner: bool| Pixels { images: 16, extent: [2, 5], images_inner };
    let (w, zeros) = ([0.0, 0.0, 0.0, 1e-30, 1e-30, 1e-30, 0.0, 0.0, 0.0f32], [0.0]);
    let taps: Vec<_> = (0..9).map(|t| [t / 3 - 1, t % 3 - 1]).collect();
    let x = [-1e-30f32; 160];
    let source = Source { data: &x, h: 2, w: 5, ld: 1, channel: 0, run: 1 };
    for isa in crate::simd::Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let plan = Plan::on_vectors::<f32>(isa, crate::gemm::Precision::F32);
        for pixels in [images(false), images(true)] {
            let mut y = [1f32; 160];
            let map = RowMap::Grid { pixels, base: 0, image: 10, row: 5, col: 1 };
            let out = Output { c: Shared::new(&mut y), map, finish: Finish::SET };
            let columns = Columns { source, pixels, step: [1; 2], taps: &taps, zeros: &zeros };
            multiply_stack(&columns, StackedRhs { plan, parts: &[Matrix::new(&w, 9, 1)] }, out);
            assert_eq!(y.map(f32::to_bits), [0; 160], "{isa}, {pixels:?}");
        }
        let (pixels, dy) = (images(true), [1e-30f32; 160]);
        let parts: Vec<_> = (0..10).map(|i| Matrix::strided(&dy[i..], 16, 1, 10)).collect();
        let mut dw = [1f32; 9];
        let out = Output { c: Shared::new(&mut dw), map: RowMap::Even { ld: 1 }, finish: Finish::SET };
        let columns = ColumnsTransposed { source, pixels, step: [1; 2], taps: &taps };
        let right = PackedRhs::stack(StackedRhs { plan, parts: &parts });
        multiply(&columns, Rhs::Packed(&right), out);
        assert_eq!(dw.map(f32::to_bits), [0; 9], "{isa}: the weights' gradient");
    }
}
