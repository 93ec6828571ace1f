//! Claims F1 to F9, over the filters that users run (`gradus::lessons::filters`), through the convolution
//! that networks use.
//!
//! Images of bytes and integer kernels: every sum is an integer far below 2^24 and so exact in f32, and most
//! tests compare bits. The oracle sums in i64. Elsewhere the tolerance is derived beside the test; u is the
//! unit roundoff. [`every_instruction_set_and_algorithm`] runs all of it again on each path of the
//! convolution. F8 and F9 are in `algebra.rs`.

use gradus::lessons::filters::{Border, FILTERS, Filter, Kernel3, Kind, correlate, find};
use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::{Element, Rng, Tape, Tensor};
use gradus_proofs::generators::bytes_image;
use gradus_proofs::property::{cases, ensure, holds, on_each_instruction_set, refuted, refuted_at, tried};
use gradus_proofs::rational::Rational;
use proptest::prelude::*;
use std::f64::consts::PI;

mod algebra;

const U: f64 = f64::UNIT_ROUNDOFF;

fn filter(name: &str) -> &'static Filter {
    find(name).unwrap_or_else(|| panic!("a filter called {name}"))
}

fn parts(f: &Filter) -> (Kernel3, i32) {
    match f.kind {
        Kind::Linear { weights, divisor } => (weights, divisor),
        _ => panic!("{} is not linear", f.name),
    }
}

/// Every linear filter of the library.
fn linear() -> impl Strategy<Value = &'static Filter> {
    let all: Vec<_> = FILTERS.iter().filter(|f| matches!(f.kind, Kind::Linear { .. })).collect();
    prop::sample::select(all)
}

/// An image of one channel, x(row, column).
fn image(h: usize, w: usize, x: impl Fn(usize, usize) -> f64) -> Tensor {
    Tensor::from_fn([1, h, w, 1], |i| x(i / w, i % w) as f32)
}

/// The nine weights in a row.
fn nine(w: &Kernel3) -> [i64; 9] {
    std::array::from_fn(|i| w[i / 3][i % 3].into())
}

/// Σ w(k, l) x(i + k, j + l) in integers.
fn sums(x: &Tensor, w: &Kernel3) -> Vec<i64> {
    let [_, h, width, c] = x.dims("sums");
    let at = |row: usize, column: usize, ch: usize| x.data()[(row * width + column) * c + ch] as i64;
    let inner = (0..h - 2).flat_map(|i| (0..width - 2).map(move |j| (i, j)));
    let pixel = |i: usize, j: usize, ch: usize| {
        (0..9).map(|k| nine(w)[k] * at(i + k / 3, j + k % 3, ch)).sum::<i64>()
    };
    inner.flat_map(|(i, j)| (0..c).map(move |ch| pixel(i, j, ch)).collect::<Vec<_>>()).collect()
}

/// Any small kernel.
fn kernel(limit: i32) -> impl Strategy<Value = Kernel3> {
    prop::array::uniform3(prop::array::uniform3(-limit..=limit))
}

fn any_image() -> impl Strategy<Value = Tensor> {
    (1..=5usize).prop_flat_map(|channels| bytes_image(3..9, channels))
}

/// Correlation with taps that need not be integers, by the same convolution.
fn with_taps(x: &Tensor, taps: [f32; 9]) -> Tensor {
    let w = Tensor::from_slice([3, 3, 1, 1], &taps);
    Tape::infer().conv2d(x.clone().into(), &w.into(), None, Conv::default(), Fused::default()).value
}

// F1

#[test]
fn f1_a_flat_image_leaves_with_the_gain() {
    holds((linear(), 0..=255u8, 1..6usize, 1..20usize, 1..5usize), |(f, v, h, w, c)| {
        let flat = Tensor::full([1, h, w, c], f32::from(v));
        let expected = f32::from(v) * f.gain().unwrap() as f32;
        for border in [Border::Reflect, Border::Replicate, Border::Wrap] {
            let y = f.apply(&flat, border);
            ensure(y.data().iter().all(|&y| y == expected), || format!("{} {border:?}: {y:?}", f.name))?;
        }
        let y = f.apply(&flat.cast::<f64>(), Border::Reflect);
        ensure(y.data().iter().all(|&y| y == f64::from(expected)), || format!("{}: {y:?}", f.name))
    });
}

#[test]
fn f1_edges_have_gain_zero_and_the_others_one() {
    for f in &FILTERS {
        let edges = ["sobel", "prewitt", "scharr", "laplacian"].iter().any(|name| f.name.starts_with(name));
        if let Kind::Linear { .. } = f.kind {
            assert_eq!(f.gain(), Some(if edges { 0.0 } else { 1.0 }), "{}", f.name);
        }
    }
    tried(FILTERS.len() as u64);
}

#[test]
fn f1_sums_are_exact_and_one_rounding_remains() {
    holds((any_image(), kernel(30), 1..40i32), |(x, weights, divisor)| {
        let exact = sums(&x, &weights);
        let y = correlate(&x, weights);
        ensure(y.data().iter().zip(&exact).all(|(&y, &e)| y as i64 == e && y.fract() == 0.0), || {
            format!("{y:?}")
        })?;
        let f = Filter { kind: Kind::Linear { weights, divisor }, ..*filter("box") };
        let y = f.apply_valid(&x);
        let quotients = exact.iter().map(|&e| e as f32 / divisor as f32);
        ensure(y.data().iter().zip(quotients).all(|(&y, q)| y == q), || format!("{y:?}"))
    });
}

#[test]
fn f1_control_rounded_taps() {
    let ninth = 1f32 / 9.0;
    refuted(0..=255u8, |v| {
        let y = with_taps(&Tensor::full([1, 3, 3, 1], f32::from(v)), [ninth; 9]);
        ensure(y.item() == f32::from(v), || format!("{} for {v}", y.item()))
    });
    // From left to right, without fused operations.
    let off: Vec<_> = (0..=255u8)
        .map(f32::from)
        .map(|v| ((0..9).fold(0f32, |sum, _| sum + v * ninth), v))
        .filter(|(y, v)| y != v)
        .collect();
    assert_eq!((off.len(), off.iter().filter(|(y, v)| y > v).count()), (119, 66));
}

// F2

#[test]
fn f2_sobel_measures_ramps_and_steps() {
    holds((3..9usize, 4..12usize, -20..20i32, 0..100i32, 0..12usize), |(h, w, slope, offset, at)| {
        let sobel = filter("sobel-x");
        let (s, o, at) = (f64::from(slope), f64::from(offset), at % (w - 1));
        let ramp = sobel.apply_valid(&image(h, w, |_, j| s * j as f64 + o));
        ensure(ramp.data().iter().all(|&y| f64::from(y) == 8.0 * s), || format!("ramp {ramp:?}"))?;
        // A step of height `slope` between the columns at and at + 1; column j of the result is centred on
        // j + 1.
        let step = sobel.apply_valid(&image(h, w, |_, j| if j > at { s } else { 0.0 }));
        let right = |(i, &y): (usize, &f32)| {
            let column = i % (w - 2) + 1;
            f64::from(y) == if column == at || column == at + 1 { 4.0 * s } else { 0.0 }
        };
        ensure(step.data().iter().enumerate().all(right), || format!("step {step:?}"))?;
        // The other direction sees nothing, the magnitude the same.
        let along = filter("sobel-y").apply_valid(&image(h, w, |_, j| s * j as f64 + o));
        let size = filter("sobel").apply_valid(&image(h, w, |_, j| s * j as f64 + o));
        let zero = along.data().iter().all(|&y| y == 0.0);
        ensure(zero && size.data().iter().all(|&y| f64::from(y) == 8.0 * s.abs()), || format!("{along:?}"))
    });
}

/// Sums of nine terms w/d cos(φ), φ = ±ωx ± ωy with |ω| <= π: φ is off by at most 2πu, so the cosine by 7.3u
/// with its own ulp, each term by 9u, the sum by 8u more: 17u Σ|w|/d; the closed forms are shorter.
fn response_error(f: &Filter) -> f64 {
    let (w, d) = parts(f);
    2.0 * 17.0 * U * nine(&w).iter().map(|w| w.abs()).sum::<i64>() as f64 / f64::from(d)
}

fn frequency() -> impl Strategy<Value = f64> {
    prop_oneof![4 => -PI..PI, 1 => (-6..=6i8).prop_map(|k| f64::from(k) * PI / 6.0)]
}

/// The response against its closed form (real, imaginary).
fn responds(
    name: &'static str,
    closed: impl Fn(f64, f64) -> (f64, f64),
) -> impl Fn((f64, f64)) -> proptest::test_runner::TestCaseResult {
    move |(wx, wy)| {
        let f = filter(name);
        let ((re, im), (a, b)) = (f.response(wx, wy).unwrap(), closed(wx, wy));
        let error = (re - a).abs().max((im - b).abs());
        ensure(error <= response_error(f), || format!("({re}, {im}), not ({a}, {b})"))
    }
}

#[test]
fn f2_sobels_response() {
    holds(
        (frequency(), frequency()),
        responds("sobel-x", |x, y| (0.0, 2.0 * x.sin() * (2.0 + 2.0 * y.cos()))),
    );
}

/// A pattern with a period along the columns.
fn periodic() -> impl Strategy<Value = Tensor> {
    prop::collection::vec(0..=255u8, 1..5).prop_map(|p| image(4, 12, |_, j| f64::from(p[j % p.len()])))
}

#[test]
fn f2_sobel_is_blind_to_the_finest_stripes() {
    holds((0..=255u8, 0..=255u8), |(a, b)| {
        let stripes = image(5, 9, |_, j| f64::from(if j % 2 == 0 { a } else { b }));
        let y = filter("sobel").apply_valid(&stripes);
        ensure(y.data().iter().all(|&y| y == 0.0), || format!("{y:?}"))
    });
}

#[test]
fn f2_control_fires_on_every_image_that_is_not_constant() {
    refuted(periodic(), |x| {
        let constant = x.data().iter().all(|&v| v == x.data()[0]);
        let y = filter("sobel").apply_valid(&x);
        ensure(constant || y.data().iter().any(|&y| y != 0.0), || format!("blind to {:?}", &x.data()[..4]))
    });
}

#[test]
fn f2_control_a_ramp_gives_four() {
    refuted(-20..20i32, |slope| {
        let y = filter("sobel-x").apply_valid(&image(3, 3, |_, j| f64::from(slope) * j as f64)).item();
        ensure(f64::from(y) == 4.0 * f64::from(slope), || format!("{y}"))
    });
}

// F3

#[test]
fn f3_the_laplacian_is_zero_on_planes_and_four_on_the_paraboloid() {
    holds((3..9usize, 3..9usize, -20..20i32, -20..20i32, -99..99i32), |(h, w, a, b, c)| {
        let [a, b, c] = [a, b, c].map(f64::from);
        let laplacian = filter("laplacian");
        let plane = laplacian.apply_valid(&image(h, w, |i, j| a * i as f64 + b * j as f64 + c));
        ensure(plane.data().iter().all(|&y| y == 0.0), || format!("{plane:?}"))?;
        let bowl = laplacian.apply_valid(&image(h, w, |i, j| a * (i * i + j * j) as f64 + b * j as f64));
        ensure(bowl.data().iter().all(|&y| f64::from(y) == 4.0 * a), || format!("{bowl:?}"))
    });
}

#[test]
fn f3_control_zero_on_quadratics() {
    refuted((-9..9i32, -9..9i32, -9..9i32), |(a, b, c)| {
        let [a, b, c] = [a, b, c].map(f64::from);
        let x = image(3, 3, |i, j| a * (i * i) as f64 + b * (i * j) as f64 + c * (j * j) as f64);
        let y = filter("laplacian").apply_valid(&x).item();
        ensure(y == 0.0, || format!("{y}"))
    });
}

// F4

#[test]
fn f4_the_boxs_response() {
    let axis = |w: f64| (1.0 + 2.0 * w.cos()) / 3.0;
    holds((frequency(), frequency()), responds("box", move |x, y| (axis(x) * axis(y), 0.0)));
    let at = |w: f64| filter("box").response(w, 0.0).unwrap().0;
    assert!(at(2.0 * PI / 3.0).abs() < response_error(filter("box")));
    assert!((at(PI) + 1.0 / 3.0).abs() < response_error(filter("box")));
}

#[test]
fn f4_the_binomials_response() {
    let axis = |w: f64| (w / 2.0).cos().powi(2);
    holds((frequency(), frequency()), responds("binomial", move |x, y| (axis(x) * axis(y), 0.0)));
}

#[test]
fn f4_a_wave_leaves_multiplied_by_the_response() {
    // The image cos φ, φ = ωx j + ωy i, gives Re H cos φ - Im H sin φ. φ <= 14π is off by 3 * 14πu, and so is
    // the cosine beyond its ulp: 134u, on the way in (Σ|w|/d of it) and out (|H| <= Σ|w|/d); the sum and the
    // quotient add 10u.
    holds((linear(), frequency(), frequency()), |(f, wx, wy)| {
        let phase = |i: usize| wx * (i % 8) as f64 + wy * (i / 8) as f64;
        let wave = Tensor::from_fn([1, 8, 8, 1], |i| phase(i).cos());
        let (re, im) = f.response(wx, wy).unwrap();
        let y = f.apply_valid(&wave);
        let (w, d) = parts(f);
        let size = nine(&w).iter().map(|w| w.abs()).sum::<i64>() as f64 / f64::from(d);
        for (i, y) in y.data().iter().enumerate() {
            let at = phase((i / 6 + 1) * 8 + i % 6 + 1);
            let error = (y - (re * at.cos() - im * at.sin())).abs();
            ensure(error <= size * (3.0 * 134.0 + 10.0) * U + response_error(f), || {
                format!("{}: {error:e}", f.name)
            })?;
        }
        Ok(())
    });
}

/// Stripes of one pixel, a and b, blurred: the values where a was and where b was.
fn blurred_stripes(name: &str, a: u8, b: u8) -> (f32, f32) {
    let y = filter(name).apply_valid(&image(3, 4, |_, j| f64::from(if j % 2 == 1 { a } else { b })));
    (y.data()[0], y.data()[1])
}

#[test]
fn f4_the_box_inverts_the_finest_stripes_and_the_binomial_does_not() {
    holds((0..=255u8, 0..=255u8), |(a, b)| {
        let (at_a, at_b) = blurred_stripes("box", a, b);
        ensure((a < b) == (at_a > at_b), || format!("box: {at_a} {at_b}"))?;
        let (at_a, at_b) = blurred_stripes("binomial", a, b);
        ensure(at_a == at_b && at_a == (f32::from(a) + f32::from(b)) / 2.0, || {
            format!("binomial: {at_a} {at_b}")
        })
    });
}

#[test]
fn f4_control_the_box_never_inverts() {
    refuted((0..=255u8, 0..=255u8), |(a, b)| {
        let (at_a, at_b) = blurred_stripes("box", a, b);
        ensure((a <= b) == (at_a <= at_b), || format!("{at_a} {at_b}"))
    });
}

// F5

#[test]
fn f5_horizontal_sharpenings_response_is_between_one_and_five() {
    let name = "sharpen-horizontal";
    holds((frequency(), frequency()), responds(name, |x, _| (3.0 - 2.0 * x.cos(), 0.0)));
    holds((frequency(), frequency()), |(x, y)| {
        let (re, slack) = (filter(name).response(x, y).unwrap().0, response_error(filter(name)));
        ensure((1.0 - slack..=5.0 + slack).contains(&re), || format!("{re}"))
    });
}

#[test]
fn f5_what_varies_only_vertically_passes() {
    holds(prop::collection::vec(0..=255u8, 1..10), |rows| {
        let x = image(rows.len(), 5, |i, _| f64::from(rows[i]));
        let y = filter("sharpen-horizontal").apply(&x, Border::Replicate);
        ensure(y == x, || format!("{y:?}"))
    });
}

#[test]
fn f5_vertical_edges_overshoot_on_both_sides() {
    holds((0..=255u8, 0..=255u8), |(a, b)| {
        let [a, b] = [a, b].map(f32::from);
        let x = image(3, 6, |_, j| f64::from(if j < 3 { a } else { b }));
        let y = filter("sharpen-horizontal").apply_valid(&x);
        ensure(y.data() == [a, a - (b - a), b + (b - a), b], || format!("{y:?}"))
    });
}

#[test]
fn f5_control_what_varies_only_horizontally_passes() {
    refuted(prop::collection::vec(0..=255u8, 1..10), |columns| {
        let x = image(4, columns.len(), |_, j| f64::from(columns[j]));
        let y = filter("sharpen-horizontal").apply(&x, Border::Replicate);
        ensure(y == x, || format!("{y:?}"))
    });
}

// F6

/// The variance of a filter's output on Gaussian noise of variance 1, over 10,000 windows that do not
/// overlap.
fn noise_left(f: &Filter, rng: &mut Rng) -> f64 {
    const SIDE: usize = 300;
    let noise = Tensor::<f32>::from_fn([1, SIDE, SIDE, 1], |_| rng.normal() as f32);
    let y = f.apply_valid(&noise);
    let width = SIDE - 2;
    let windows = (0..100).flat_map(|i| (0..100).map(move |j| 3 * i * width + 3 * j));
    let values: Vec<f64> = windows.map(|at| y.data()[at].into()).collect();
    let mean = values.iter().sum::<f64>() / 1e4;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (1e4 - 1.0)
}

#[test]
fn f6_noise_leaves_with_the_sum_of_squares() {
    // (N - 1) s²/σ² is χ² with N - 1 degrees of freedom: relative deviation √(2/(N - 1)), six of which are
    // exceeded with a probability below 2e-7; rounding (1e-6) has no say.
    let known = [("box", 1.0 / 9.0), ("binomial", 9.0 / 64.0), ("sobel-x", 12.0), ("laplacian", 20.0)];
    let rounds = u64::from(cases()).div_ceil(100);
    for (name, gain) in known.into_iter().chain([("sharpen-horizontal", 11.0)]) {
        assert_eq!(filter(name).noise_gain(), Some(gain), "{name}");
        for round in 0..rounds {
            let ratio = noise_left(filter(name), &mut Rng::seed(round)) / gain;
            assert!((ratio - 1.0).abs() < 6.0 * (2.0f64 / 9999.0).sqrt(), "{name}, seed {round}: {ratio}");
        }
    }
    tried(rounds * 5 * 10_000);
}

/// Σ (w/s)², s = Σ w, if that is not 0: the noise left by the filter scaled to gain 1.
fn scaled_energy(w: &Kernel3) -> Option<Rational> {
    let (sum, squares) = nine(w).iter().fold((0, 0), |(s, q), &w| (s + w, q + w * w));
    (sum != 0).then(|| Rational::new(squares.into(), i128::from(sum * sum)))
}

#[test]
fn f6_no_filter_of_gain_one_leaves_less_than_the_box() {
    let around_a_constant = (-9..=9i32, kernel(1)).prop_map(|(c, w)| w.map(|row| row.map(|w| w + c)));
    holds(prop_oneof![kernel(20), around_a_constant, (1..9i32).prop_map(|c| [[c; 3]; 3])], |w| {
        let Some(energy) = scaled_energy(&w) else { return Ok(()) };
        let constant = nine(&w).iter().all(|&v| v == nine(&w)[0]);
        let least = Rational::new(1, 9);
        ensure(energy >= least && (energy == least) == constant, || format!("{energy:?}"))
    });
}

#[test]
fn f6_control_the_binomial_leaves_least() {
    refuted(kernel(2), |w| {
        let Some(energy) = scaled_energy(&w) else { return Ok(()) };
        ensure(energy >= Rational::new(9, 64), || format!("{energy:?}"))
    });
}

#[test]
fn f6_control_the_sum_of_weights() {
    // "Noise leaves with the square of the gain": it would vanish behind every edge filter.
    let ratio = noise_left(filter("laplacian"), &mut Rng::seed(1));
    assert!(ratio > 1.0);
    refuted_at(("the Laplacian of noise of variance 1 has the variance", ratio));
}

// F7

/// Of non-negative kernels, what a window of bytes gives and the window's least and greatest value.
fn stays_in_range(f: &Filter, x: &Tensor) -> proptest::test_runner::TestCaseResult {
    let y = f.apply_valid(x);
    let [_, h, w, c] = x.dims("range");
    for (i, &y) in y.data().iter().enumerate() {
        let (row, column, ch) = (i / c / (w - 2), i / c % (w - 2), i % c);
        let window = (0..9).map(|k| x.data()[((row + k / 3) * w + column + k % 3) * c + ch]);
        let (low, high) = window.fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
        ensure(low <= y && y <= high, || format!("{y} outside of {low} .. {high} ({h} rows)"))?;
    }
    Ok(())
}

#[test]
fn f7_means_stay_in_range() {
    let means = prop::array::uniform3(prop::array::uniform3(0..20i32));
    holds((any_image(), means), |(x, weights)| {
        let divisor = nine(&weights).iter().sum::<i64>() as i32;
        let weighted = Filter { kind: Kind::Linear { weights, divisor }, ..*filter("box") };
        let mean = if divisor > 0 { &weighted } else { filter("box") };
        stays_in_range(mean, &x)?;
        stays_in_range(filter("binomial"), &x)?;
        stays_in_range(filter("median"), &x)
    });
}

#[test]
fn f7_control_sharpening_stays_in_range() {
    refuted(any_image(), |x| stays_in_range(filter("sharpen"), &x));
}

#[test]
fn f7_control_rounded_taps_stay_in_range() {
    refuted(bytes_image(3..4, 1), |x| {
        let y = with_taps(&x, [1f32 / 9.0; 9]).item();
        let high = x.data().iter().copied().fold(0f32, f32::max);
        ensure(y <= high, || format!("{y} > {high}"))
    });
}

// All of it, on each path

/// Paths whose sums are the nine products themselves, in some order, and so exact here. (Winograd's
/// transforms in tiles of 4x4 divide by 6 and 24; its own bound is claim C1's.)
const EXACT: [&str; 3] = ["im2col", "direct", "depthwise"];

#[test]
fn every_instruction_set_and_algorithm() {
    for algorithm in EXACT {
        on_each_instruction_set(&[("GRADUS_CONV", algorithm)], 8);
    }
}
