//! Claims F8 and F9: filters as maps of images. Filtering twice, the median, linearity, and what convolution
//! is.

use super::{U, filter, image, kernel, linear, nine, parts};
use gradus::lessons::filters::{Border, Filter, Kernel3, Kind, correlate, median};
use gradus_core::{Element, Tensor};
use gradus_proofs::generators::bytes_image;
use gradus_proofs::property::{ensure, holds, law, refuted, tried};
use proptest::prelude::*;

// F8

/// Σ over the 5x5 support: the kernel applied twice to the image of a single 1, and once, times the divisor.
fn twice_is_once(w: Kernel3, divisor: i32) -> bool {
    let impulse = image(9, 9, |i, j| f64::from(u8::from(i == 4 && j == 4)));
    let once = correlate(&impulse, w);
    let twice = correlate(&once, w);
    let cut = correlate(&once, [[0, 0, 0], [0, divisor, 0], [0, 0, 0]]);
    twice == cut
}

#[test]
fn f8_on_the_plane_only_zero_and_the_identity_are_idempotent() {
    // Every kernel of -1, 0, 1, and of halves: P∘P = d P in integers.
    let mut tried_all = 0;
    for code in 0..3usize.pow(9) {
        let w: Kernel3 = std::array::from_fn(|i| {
            std::array::from_fn(|j| (code / 3usize.pow((3 * i + j) as u32) % 3) as i32 - 1)
        });
        for divisor in [1, 2] {
            let trivial = w == [[0; 3]; 3] || w == [[0, 0, 0], [0, divisor, 0], [0, 0, 0]];
            assert_eq!(twice_is_once(w, divisor), trivial, "{w:?} / {divisor}");
            tried_all += 1;
        }
    }
    tried(tried_all);
}

#[test]
fn f8_no_drawn_kernel_is_idempotent() {
    holds((kernel(30), 1..40i32), |(w, divisor)| {
        let trivial = w == [[0; 3]; 3] || w == [[0, 0, 0], [0, divisor, 0], [0, 0, 0]];
        ensure(twice_is_once(w, divisor) == trivial, || "idempotent".to_string())
    });
}

/// The integer sums on a torus.
fn on_torus(x: &Tensor, w: Kernel3) -> Tensor {
    correlate(&Border::Wrap.pad(x), w)
}

fn box_is_idempotent(x: &Tensor) -> proptest::test_runner::TestCaseResult {
    let once = on_torus(x, [[1; 3]; 3]);
    let twice = on_torus(&once, [[1; 3]; 3]);
    ensure(twice.data().iter().zip(once.data()).all(|(t, o)| *t == 9.0 * o), || {
        format!("{once:?}, {twice:?}")
    })
}

#[test]
fn f8_on_a_torus_of_nine_the_box_is_idempotent() {
    holds(bytes_image(3..4, 1), |x| {
        box_is_idempotent(&x)?;
        // And the identity less the box: 9 - 1 in the middle.
        let rest = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]];
        let once = on_torus(&x, rest);
        let twice = on_torus(&once, rest);
        ensure(twice.data().iter().zip(once.data()).all(|(t, o)| *t == 9.0 * o), || {
            format!("{once:?}, {twice:?}")
        })
    });
}

#[test]
fn f8_control_the_box_on_a_larger_torus() {
    refuted(bytes_image(3..6, 1), |x| box_is_idempotent(&x));
}

fn row() -> impl Strategy<Value = Tensor> {
    let levels = prop_oneof![0..=1u8, 0..=255u8];
    prop::collection::vec(levels, 1..14).prop_map(|v| image(3, v.len(), |_, j| f64::from(v[j])))
}

#[test]
fn f8_the_median_settles_on_finite_rows() {
    holds(row(), |mut x| {
        let [_, _, n, _] = x.dims("row");
        for _ in 0..n.saturating_sub(2).div_ceil(2) {
            x = filter("median").apply(&x, Border::Replicate);
        }
        let again = filter("median").apply(&x, Border::Replicate);
        ensure(again == x, || format!("{x:?}, then {again:?}"))
    });
}

#[test]
fn f8_the_median_oscillates_on_periodic_rows() {
    holds((0..=255u8, 0..=255u8, 1..8usize), |(a, b, pairs)| {
        let stripes = |first: u8, second: u8| {
            image(3, 2 * pairs, |_, j| f64::from(if j % 2 == 0 { first } else { second }))
        };
        let y = filter("median").apply(&stripes(a, b), Border::Wrap);
        ensure(y == stripes(b, a), || format!("{y:?}"))
    });
}

#[test]
fn f8_control_the_median_settles_on_every_row() {
    refuted(row(), |mut x| {
        (0..14).for_each(|_| x = filter("median").apply(&x, Border::Wrap));
        let again = filter("median").apply(&x, Border::Wrap);
        ensure(again == x, || format!("{x:?}, then {again:?}"))
    });
}

/// Salt and pepper: some of nine values replaced.
fn corrupted(most: usize) -> impl Strategy<Value = ([u8; 9], Vec<(usize, bool)>)> {
    let specks = prop::collection::vec((0..9usize, any::<bool>()), 0..=most);
    (prop::array::uniform9(50..200u8), specks)
}

/// Whether the result lies in the range of the values that are left.
fn ignores_specks(
    filter: fn(&Tensor) -> Tensor,
) -> impl Fn(([u8; 9], Vec<(usize, bool)>)) -> proptest::test_runner::TestCaseResult {
    move |(values, specks)| {
        let mut x = Tensor::from_fn([1, 3, 3, 1], |i| f32::from(values[i]));
        specks.iter().for_each(|&(i, salt)| x.data_mut()[i] = if salt { 255.0 } else { 0.0 });
        let clean = (0..9).filter(|i| specks.iter().all(|(s, _)| s != i)).map(|i| f32::from(values[i]));
        let (low, high) = clean.fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let y = filter(&x).item();
        ensure(low <= y && y <= high, || format!("{y} outside of {low} .. {high}"))
    }
}

#[test]
fn f8_the_median_ignores_four_specks_of_nine() {
    holds(corrupted(4), ignores_specks(|x| median(x)));
}

#[test]
fn f8_control_the_median_ignores_five() {
    refuted(corrupted(5), ignores_specks(|x| median(x)));
}

#[test]
fn f8_control_the_box_ignores_specks() {
    refuted(corrupted(4), ignores_specks(|x| filter("box").apply_valid(x)));
}

// F9

#[test]
fn f9_linear_and_shift_equivariant() {
    let images = (1..=3usize, 3..8usize, 3..8usize).prop_flat_map(|(c, h, w)| {
        let one = move || {
            prop::collection::vec(0..=255u8, h * w * c)
                .prop_map(move |v| Tensor::from_fn([1, h, w, c], |i| f32::from(v[i])))
        };
        (one(), one())
    });
    holds((images, kernel(9), -9..9i8, -9..9i8, 0..8usize, 0..8usize), |((x, z), w, a, b, down, right)| {
        let (a, b) = (f32::from(a), f32::from(b));
        let mix = |x: &Tensor, z: &Tensor| Tensor::from_fn(*x.shape(), |i| a * x.data()[i] + b * z.data()[i]);
        let (y, expected) = (on_torus(&mix(&x, &z), w), mix(&on_torus(&x, w), &on_torus(&z, w)));
        ensure(y == expected, || format!("{y:?}, {expected:?}"))?;
        let [_, h, width, c] = x.dims("shift");
        let shift = |x: &Tensor| {
            Tensor::from_fn(*x.shape(), |i| {
                let (row, column) = ((i / c / width + down) % h, (i / c % width + right) % width);
                x.data()[(row * width + column) * c + i % c]
            })
        };
        let (y, expected) = (on_torus(&shift(&x), w), shift(&on_torus(&x, w)));
        ensure(y == expected, || format!("{y:?}, {expected:?}"))
    });
}

/// Convolution on a torus of one channel, from its definition: Σ w(k, l) x(i - k, j - l).
fn convolve(x: &Tensor, w: &Kernel3) -> Vec<i64> {
    let [_, h, width, _] = x.dims("convolve");
    let at = |i: usize, k: usize, n: usize| (i + n + 1 - k) % n;
    let pixel = |i: usize| {
        let (row, column) = (i / width, i % width);
        let tap =
            |k: usize| nine(w)[k] * x.data()[at(row, k / 3, h) * width + at(column, k % 3, width)] as i64;
        (0..9).map(tap).sum()
    };
    (0..h * width).map(pixel).collect()
}

fn rotated(w: Kernel3) -> Kernel3 {
    std::array::from_fn(|i| std::array::from_fn(|j| w[2 - i][2 - j]))
}

#[test]
fn f9_correlation_is_convolution_with_the_rotated_kernel() {
    holds((bytes_image(3..8, 1), kernel(9)), |(x, w)| {
        let (y, expected) = (on_torus(&x, w), convolve(&x, &rotated(w)));
        ensure(y.data().iter().zip(&expected).all(|(&y, &e)| y as i64 == e), || {
            format!("{y:?}, {expected:?}")
        })
    });
    let (sobel, _) = parts(filter("sobel-x"));
    assert_eq!(rotated(sobel), sobel.map(|row| row.map(|w| -w)));
    for name in ["box", "binomial", "laplacian", "sharpen-horizontal"] {
        assert_eq!(rotated(parts(filter(name)).0), parts(filter(name)).0);
    }
}

#[test]
fn f9_rounding_stays_within_gamma_ten() {
    // The integer weights are exact: a product, at most eight sums and the quotient, nine factors 1 + δ and one to spare:
    // |error| <= γ₁₀ Σ|w||x| / d. The oracle in f64 has its own γ₁₀, 2⁻²⁹ of that.
    let gamma = |u: f64| 10.0 * u / (1.0 - 10.0 * u);
    let values = prop::collection::vec((-20..20i32, -1f32..1.0).prop_map(|(e, m)| m * 2f32.powi(e)), 36);
    holds((linear(), values), |(f, v)| {
        let x = Tensor::from_slice([1, 6, 6, 1], &v);
        let (y, exact) = (f.apply_valid(&x), f.apply_valid(&x.cast::<f64>()));
        let (w, d) = parts(f);
        let absolute =
            Filter { kind: Kind::Linear { weights: w.map(|r| r.map(i32::abs)), divisor: d }, ..*f };
        let sizes = absolute.apply_valid(&x.cast::<f64>().map(f64::abs));
        for ((y, e), size) in y.data().iter().zip(exact.data()).zip(sizes.data()) {
            let (error, bound) =
                ((f64::from(*y) - e).abs(), (gamma(f32::UNIT_ROUNDOFF) + 2.0 * gamma(U)) * size);
            ensure(error <= bound, || format!("{}: {error:e} > {bound:e}", f.name))?;
        }
        Ok(())
    });
}

#[test]
fn f9_symmetric_kernels_by_quickcheck() {
    // Correlation and convolution agree for kernels that rotation leaves alone.
    law(|((a, b, c), (d, e)): ((i8, i8, i8), (i8, i8))| {
        let [a, b, c, d, e] = [a, b, c, d, e].map(i32::from);
        let w = [[a, b, c], [d, e, d], [c, b, a]];
        let x = image(4, 5, |i, j| (i * i + 3 * j) as f64);
        on_torus(&x, w).data().iter().zip(convolve(&x, &w)).all(|(&y, e)| y as i64 == e)
    });
}

#[test]
fn f9_control_correlation_is_convolution() {
    refuted((bytes_image(3..8, 1), kernel(9)), |(x, w)| {
        let (y, other) = (on_torus(&x, w), convolve(&x, &w));
        ensure(y.data().iter().zip(&other).all(|(&y, &e)| y as i64 == e), || format!("{y:?}, {other:?}"))
    });
}

#[test]
fn f9_control_the_median_is_linear() {
    refuted((bytes_image(3..4, 1), prop::array::uniform9(0..=255u8)), |(x, z)| {
        let sum = Tensor::from_fn([1, 3, 3, 1], |i| x.data()[i] + f32::from(z[i]));
        let other = Tensor::from_fn([1, 3, 3, 1], |i| f32::from(z[i]));
        let (of_sum, sum_of) = (median(&sum).item(), median(&x).item() + median(&other).item());
        ensure(of_sum == sum_of, || format!("{of_sum}, {sum_of}"))
    });
}
