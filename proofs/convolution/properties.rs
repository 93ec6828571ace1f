//! Claims C1 and C2, over the convolutions that networks run, each algorithm by itself.
//!
//! The oracle adds the definition's terms, and their absolute values, in f64. Where all numbers are small
//! integers, sums are exact in f32 and C2 compares bits. [`every_instruction_set`] repeats it all on each.

use gradus_core::gemm::{Matrix, gemm};
use gradus_core::ops::conv::{
    Algorithm, Conv, ConvSpec, Fused, Pass, backward_data, backward_weight, forward, phases,
};
use gradus_core::{Epilogue, Rng, Tape, Tensor};
use gradus_proofs::property::{ensure, few, holds, holds_with, on_each_instruction_set, refuted};
use gradus_proofs::rational::Rational;
use gradus_proofs::rounding::gamma;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// A convolution and its operands.
#[derive(Clone, Debug)]
struct Case {
    spec: ConvSpec,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    /// With operands from `number`.
    fn new(spec: ConvSpec, number: impl Fn(&mut Rng) -> f32, seed: u64) -> Case {
        let mut rng = Rng::seed(seed);
        let mut draw = |len: usize| (0..len).map(|_| number(&mut rng)).collect();
        Case { spec, x: draw(spec.x_len()), w: draw(spec.w_len()), dy: draw(spec.y_len()) }
    }

    /// Calls `term` with the places in x, w and y of each product of the definition.
    fn terms(&self, mut term: impl FnMut(usize, usize, usize)) {
        let s = &self.spec;
        let ([oh, ow], (gi, go)) = (s.out_hw(), (s.group_in(), s.group_out()));
        let source = |out: usize, tap: usize, a: usize, extent: usize| {
            (out * s.stride[a] + tap * s.dilation[a]).checked_sub(s.padding[a]).filter(|&i| i < extent)
        };
        for (n, p, q) in (0..s.n).flat_map(|n| (0..oh * ow).map(move |i| (n, i / ow, i % ow))) {
            for tap in 0..s.kernel[0] * s.kernel[1] {
                let (i, j) = (source(p, tap / s.kernel[1], 0, s.h), source(q, tap % s.kernel[1], 1, s.w));
                let (Some(i), Some(j)) = (i, j) else { continue };
                for (o, k) in (0..s.c_out).flat_map(|o| (0..gi).map(move |k| (o, k))) {
                    let x = ((n * s.h + i) * s.w + j) * s.c_in + o / go * gi + k;
                    term(x, (tap * gi + k) * s.c_out + o, ((n * oh + p) * ow + q) * s.c_out + o);
                }
            }
        }
    }

    /// For each element of a pass' result the exact sum, the sum of absolute values and the number of terms.
    fn oracle(&self, pass: Pass) -> Vec<(f64, f64, usize)> {
        let mut sums = vec![(0.0, 0.0, 0); self.len(pass)];
        self.terms(|x, w, y| {
            let (at, a, b) = match pass {
                Pass::Forward => (y, self.x[x], self.w[w]),
                Pass::BackwardData => (x, self.dy[y], self.w[w]),
                Pass::BackwardWeight => (w, self.x[x], self.dy[y]),
            };
            let product = f64::from(a) * f64::from(b);
            sums[at] = (sums[at].0 + product, sums[at].1 + product.abs(), sums[at].2 + 1);
        });
        sums
    }

    fn len(&self, pass: Pass) -> usize {
        match pass {
            Pass::Forward => self.spec.y_len(),
            Pass::BackwardData => self.spec.x_len(),
            Pass::BackwardWeight => self.spec.w_len(),
        }
    }

    fn run(&self, algorithm: Algorithm, pass: Pass) -> Vec<f32> {
        // What is not written shows.
        let (s, mut out) = (&self.spec, vec![f32::NAN; self.len(pass)]);
        match pass {
            Pass::Forward => forward(algorithm, s, &self.x, &self.w, &Epilogue::default(), &mut out),
            Pass::BackwardData => backward_data(algorithm, s, &self.dy, &self.w, &mut out),
            Pass::BackwardWeight => backward_weight(algorithm, s, &self.x, &self.dy, &mut out),
        }
        out
    }
}

/// Any convolution: odd sizes, padding, strides, dilation, groups, tails of channels.
fn spec() -> impl Strategy<Value = ConvSpec> {
    let pair = |r: std::ops::Range<usize>| [r.clone(), r];
    let channels = (1..4usize, 1..18usize, 1..18usize);
    let lines = (1..3usize, pair(1..9), pair(1..4), pair(1..3), pair(0..3), pair(1..3));
    (lines, channels).prop_filter_map("the kernel fits", |(lines, (groups, ci, co))| {
        let (n, [h, w], kernel, stride, padding, dilation) = lines;
        let (c_in, c_out) = (ci * groups, co * groups);
        let fits = |a: usize, extent: usize| extent + 2 * padding[a] > dilation[a] * (kernel[a] - 1);
        let square = ConvSpec::square([n, h, w, c_in], c_out, 1, 1, 0);
        let spec = ConvSpec { kernel, stride, padding, dilation, groups, ..square };
        (fits(0, h) && fits(1, w)).then_some(spec)
    })
}

fn depthwise_spec() -> impl Strategy<Value = ConvSpec> {
    (spec(), 1..40usize, 1..3usize).prop_map(|(s, groups, m)| ConvSpec {
        c_in: groups,
        c_out: groups * m,
        groups,
        ..s
    })
}

/// r x r, stride 1.
fn winograd_spec(r: usize) -> impl Strategy<Value = ConvSpec> {
    (1..3usize, 1..11usize, 1..11usize, 1..40usize, 1..40usize, r / 2..r).prop_map(
        move |(n, h, w, c_in, c_out, padding)| ConvSpec::square([n, h, w, c_in], c_out, r, 1, padding),
    )
}

/// Two to three strides wide.
fn phases_spec() -> impl Strategy<Value = ConvSpec> {
    (1..3usize, 5..20usize, 5..20usize, 1..8usize, 1..40usize, 0..4usize, 5..=6usize)
        .prop_map(|(n, h, w, c_in, c_out, padding, k)| {
            ConvSpec::square([n, h, w, c_in], c_out, k, 2, padding)
        })
        .prop_filter("the kernel fits", |s| s.h.min(s.w) + 2 * s.padding[0] >= s.kernel[0])
}

fn uniform(rng: &mut Rng) -> f32 {
    rng.range(-1.0, 1.0) as f32
}

/// Numbers of many orders of magnitude, many of them 0.
fn uneven(rng: &mut Rng) -> f32 {
    if rng.chance(0.5) { 0.0 } else { (rng.range(-1.0, 1.0) * 2f64.powi(rng.below(24) as i32)) as f32 }
}

fn small_integer(rng: &mut Rng) -> f32 {
    rng.below(17) as f32 - 8.0
}

// C1

/// Within (γ_K + γ'_K) Σ|ab| of the f64 sum, element by element.
fn within_direct_bound(case: &Case, algorithm: Algorithm) -> TestCaseResult {
    if !algorithm.applies(&case.spec) {
        return Ok(());
    }
    for pass in Pass::ALL {
        for (i, (y, (sum, size, k))) in case.run(algorithm, pass).iter().zip(case.oracle(pass)).enumerate() {
            let (error, bound) = ((f64::from(*y) - sum).abs(), (gamma::<f32>(k) + gamma::<f64>(k)) * size);
            ensure(error <= bound, || {
                format!("{algorithm:?} {pass:?} [{i}]: {y}, exactly {sum}, bound {bound:e}")
            })?;
        }
    }
    Ok(())
}

/// A kernel's cases cost as much as a thousand of the scalar claims'.
const FEW: u32 = 100;

#[test]
fn c1_the_matrix_products_kernel_and_the_direct_one() {
    holds_with(few(FEW), (spec(), any::<u64>(), any::<bool>()), |(spec, seed, rough)| {
        let case = Case::new(spec, if rough { uneven } else { uniform }, seed);
        within_direct_bound(&case, Algorithm::Im2col)?;
        within_direct_bound(&case, Algorithm::Direct)
    });
}

#[test]
fn c1_the_depthwise_kernel() {
    holds_with(few(FEW), (depthwise_spec(), any::<u64>(), any::<bool>()), |(spec, seed, rough)| {
        let case = Case::new(spec, if rough { uneven } else { uniform }, seed);
        within_direct_bound(&case, Algorithm::Depthwise)
    });
}

#[test]
fn c1_matrix_products_of_every_tail() {
    let sizes = (1..80usize, 1..80usize, 1..80usize);
    holds_with(few(FEW), (sizes, any::<u64>()), |((m, n, k), seed)| {
        let mut rng = Rng::seed(seed);
        let mut draw = |len: usize| (0..len).map(|_| uneven(&mut rng)).collect::<Vec<f32>>();
        let (a, b, mut c) = (draw(m * k), draw(k * n), vec![f32::NAN; m * n]);
        gemm(Matrix::new(&a, m, k), Matrix::new(&b, k, n), &mut c, &Epilogue::default());
        for (i, y) in c.iter().enumerate() {
            let products = (0..k).map(|l| f64::from(a[i / n * k + l]) * f64::from(b[l * n + i % n]));
            let (sum, size) = products.fold((0.0, 0.0), |(s, t), p| (s + p, t + p.abs()));
            let bound = (gamma::<f32>(k) + gamma::<f64>(k)) * size;
            ensure((f64::from(*y) - sum).abs() <= bound, || format!("[{i}]: {y}, exactly {sum}"))?;
        }
        Ok(())
    });
}

/// Winograd's three matrices for tiles of m: A (as A[k][i]), G[i][j], B (as B[i][l]), from the points.
struct Maps {
    a: Vec<Vec<Rational>>,
    g: Vec<Vec<Rational>>,
    b: Vec<Vec<Rational>>,
}

fn q(n: i128, d: i128) -> Rational {
    Rational::new(n, d)
}

/// A polynomial times (z - p), lowest coefficient first.
fn times_root(poly: &[Rational], p: Rational) -> Vec<Rational> {
    let shifted = std::iter::once(q(0, 1)).chain(poly.iter().copied());
    let scaled = poly.iter().map(|&c| c * p).chain([q(0, 1)]);
    shifted.zip(scaled).map(|(s, c)| s - c).collect()
}

impl Maps {
    /// For m outputs and r taps, by Lagrange's formula: row i of B holds the coefficients of Π_{j≠i} (z -
    /// p_j), whose denominators are in G; the last row, of the point ∞, those of Π (z - p_j).
    fn new(m: usize, r: usize) -> Maps {
        let points = match m + r - 1 {
            4 => vec![q(0, 1), q(1, 1), q(-1, 1)],
            6 => vec![q(0, 1), q(5, 8), q(-5, 8), q(3, 2), q(-3, 2)],
            n => unreachable!("{n} points"),
        };
        let one = q(1, 1);
        let others = |i: usize| points.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, &p)| p);
        let mut b: Vec<Vec<Rational>> =
            (0..points.len()).map(|i| others(i).fold(vec![one], |poly, p| times_root(&poly, p))).collect();
        b.iter_mut().for_each(|row| row.push(q(0, 1)));
        b.push(points.iter().fold(vec![one], |poly, &p| times_root(&poly, p)));
        let denominator = |i: usize| others(i).fold(one, |d, p| d * (points[i] - p));
        let last = |k: usize, count: usize| if k == count - 1 { one } else { q(0, 1) };
        let mut g: Vec<Vec<Rational>> = (0..points.len())
            .map(|i| (0..r).map(|j| points[i].pow(j as u32) / denominator(i)).collect())
            .collect();
        g.push((0..r).map(|j| last(j, r)).collect());
        let row = |k: usize| points.iter().map(|p| p.pow(k as u32)).chain([last(k, m)]).collect();
        Maps { a: (0..m).map(row).collect(), g, b }
    }

    /// α = max_k Σ_i |A_ki| Σ_j |G_ij| Σ_l |B_il|; for the gradient of the weights A and G change their
    /// places.
    fn amplification(&self, pass: Pass) -> Rational {
        let total = |row: &Vec<Rational>| row.iter().fold(q(0, 1), |s, v| s + v.abs());
        let column = |i: usize| self.a.iter().fold(q(0, 1), |s, row| s + row[i].abs());
        let points = 0..self.b.len();
        let through = |entry: &dyn Fn(usize) -> Rational, other: &dyn Fn(usize) -> Rational| {
            points.clone().fold(q(0, 1), |s, i| s + entry(i).abs() * other(i) * total(&self.b[i]))
        };
        let rows: Vec<Rational> = match pass {
            Pass::BackwardWeight => {
                (0..self.g[0].len()).map(|j| through(&|i| self.g[i][j], &column)).collect()
            }
            _ => self.a.iter().map(|row| through(&|i| row[i], &|i| total(&self.g[i]))).collect(),
        };
        rows.into_iter().fold(q(0, 1), |best, r| if r > best { r } else { best })
    }
}

/// The tilings: outputs and taps on an axis, and α.
fn tilings() -> [(usize, usize, Rational); 3] {
    [(2, 3, q(8, 1)), (4, 3, q(423_859, 17_850)), (2, 5, q(9_608_119, 285_600))]
}

#[test]
fn c1_winograds_maps_compute_the_convolution() {
    // Σ_i A_ki G_ij B_il = [l = k + j], and the amplification that the text states.
    for (m, r, alpha) in tilings() {
        let (maps, n) = (Maps::new(m, r), m + r - 1);
        for (k, j, l) in (0..m).flat_map(|k| (0..r * n).map(move |i| (k, i % r, i / r))) {
            let sum = (0..n).fold(q(0, 1), |s, i| s + maps.a[k][i] * maps.g[i][j] * maps.b[i][l]);
            assert_eq!(sum, q(i128::from(l == k + j), 1), "F({m}, {r}) {k} {j} {l}");
        }
        assert_eq!(maps.amplification(Pass::Forward), alpha, "F({m}, {r})");
    }
}

/// Within γ_N α² T max|a| max|b| of the exact sum, N = T + 24, or T + 26 with five taps, T the products at a
/// point: channels, or tiles.
fn within_winograds_bound(case: &Case, algorithm: Algorithm) -> TestCaseResult {
    let (m, s) = match algorithm {
        Algorithm::Phases => (4, phases::unstrided(&case.spec)),
        Algorithm::Winograd4 => (4, case.spec),
        _ => (2, case.spec),
    };
    let ([oh, ow], r) = (s.out_hw(), s.kernel[0]);
    let (maps, roundings) = (Maps::new(m, r), if r == 5 { 26 } else { 24 });
    let largest = |v: &[f32]| f64::from(v.iter().fold(0f32, |m, v| m.max(v.abs())));
    for pass in Pass::ALL {
        let (products, size) = match pass {
            Pass::Forward => (s.c_in, largest(&case.x) * largest(&case.w)),
            Pass::BackwardData => (s.c_out, largest(&case.dy) * largest(&case.w)),
            Pass::BackwardWeight => {
                (s.n * oh.div_ceil(m) * ow.div_ceil(m), largest(&case.x) * largest(&case.dy))
            }
        };
        let alpha = maps.amplification(pass).to_f64();
        let bound = gamma::<f32>(products + roundings) * alpha * alpha * products as f64 * size;
        for (i, (y, (sum, sizes, k))) in case.run(algorithm, pass).iter().zip(case.oracle(pass)).enumerate() {
            let (error, bound) = ((f64::from(*y) - sum).abs(), bound + gamma::<f64>(k) * sizes);
            ensure(error <= bound, || {
                format!("{algorithm:?} {pass:?} [{i}]: {y}, exactly {sum}, bound {bound:e}")
            })?;
        }
    }
    Ok(())
}

#[test]
fn c1_winograds_kernels() {
    let specs = (winograd_spec(3), winograd_spec(5), phases_spec(), any::<u64>(), any::<bool>());
    holds_with(few(FEW), specs, |(three, five, strided, seed, rough)| {
        let case = |spec| Case::new(spec, if rough { uneven } else { uniform }, seed);
        within_winograds_bound(&case(three), Algorithm::Winograd4)?;
        within_winograds_bound(&case(three), Algorithm::Winograd2)?;
        within_winograds_bound(&case(five), Algorithm::Winograd2)?;
        within_winograds_bound(&case(strided), Algorithm::Phases)
    });
}

#[test]
fn c1_control_winograd_within_the_direct_bound() {
    // A pixel spoils its whole tile, where the direct sum does not see it.
    refuted((winograd_spec(3), any::<u64>()), |(spec, seed)| {
        within_direct_bound(&Case::new(spec, uneven, seed), Algorithm::Winograd4)
    });
}

#[test]
fn c1_control_relative_to_the_result() {
    // Sums that cancel.
    refuted((spec(), any::<u64>()), |(spec, seed)| {
        let case = Case::new(spec, uneven, seed);
        for (y, (sum, _, k)) in
            case.run(Algorithm::Im2col, Pass::Forward).iter().zip(case.oracle(Pass::Forward))
        {
            let error = (f64::from(*y) - sum).abs();
            ensure(error <= gamma::<f32>(k) * sum.abs(), || format!("{y}, exactly {sum}"))?;
        }
        Ok(())
    });
}

#[test]
fn c1_control_a_tap_off_by_one() {
    refuted((spec(), any::<u64>()), |(spec, seed)| {
        let mut case = Case::new(spec, uniform, seed);
        let exact = case.oracle(Pass::Forward);
        case.w.rotate_right(spec.group_in() * spec.c_out);
        let y = case.run(Algorithm::Im2col, Pass::Forward);
        let close = |(y, (sum, size, k)): (&f32, &(f64, f64, usize))| {
            (f64::from(*y) - sum).abs() <= (gamma::<f32>(*k) + gamma::<f64>(*k)) * size
        };
        ensure(y.iter().zip(&exact).all(close), || "another result".to_string())
    });
}

// C2

/// The tape's convolution.
fn conv(x: &Tensor, w: &Tensor, geometry: Conv) -> Tensor {
    Tape::infer().conv2d(x.clone().into(), &w.clone().into(), None, geometry, Fused::default()).value
}

fn geometry(s: &ConvSpec) -> Conv {
    Conv { stride: s.stride, padding: s.padding, dilation: s.dilation, groups: s.groups }
}

fn integers(shape: [usize; 4], seed: u64) -> Tensor {
    let mut rng = Rng::seed(seed);
    Tensor::from_fn(shape, |_| small_integer(&mut rng))
}

fn shapes(s: &ConvSpec) -> ([usize; 4], [usize; 4]) {
    ([s.n, s.h, s.w, s.c_in], [s.kernel[0], s.kernel[1], s.group_in(), s.c_out])
}

fn mix(a: f32, x: &Tensor, b: f32, z: &Tensor) -> Tensor {
    Tensor::from_fn(*x.shape(), |i| a * x.data()[i] + b * z.data()[i])
}

#[test]
fn c2_linear_in_the_image_and_in_the_weights() {
    holds((prop_oneof![spec(), depthwise_spec()], any::<u64>(), -4..4i8, -4..4i8), |(s, seed, a, b)| {
        let (a, b, g, (xs, ws)) = (f32::from(a), f32::from(b), geometry(&s), shapes(&s));
        let [x, z] = [0, 1].map(|k| integers(xs, seed ^ k));
        let [w, v] = [2, 3].map(|k| integers(ws, seed ^ k));
        let in_x = (conv(&mix(a, &x, b, &z), &w, g), mix(a, &conv(&x, &w, g), b, &conv(&z, &w, g)));
        ensure(in_x.0 == in_x.1, || "in the image".to_string())?;
        let in_w = (conv(&x, &mix(a, &w, b, &v), g), mix(a, &conv(&x, &w, g), b, &conv(&x, &v, g)));
        ensure(in_w.0 == in_w.1, || "in the weights".to_string())
    });
}

/// The part of an image from (top, left) on.
fn crop(x: &Tensor, [top, left]: [usize; 2], [h, w]: [usize; 2]) -> Tensor {
    let [n, _, width, c] = x.dims("crop");
    let height = x.shape()[1];
    Tensor::from_fn([n, h, w, c], |i| {
        let (image, row, column) = (i / c / w / h, i / c / w % h + top, i / c % w + left);
        x.data()[((image * height + row) * width + column) * c + i % c]
    })
}

/// The convolution of a shifted image against the shifted convolution, where both are there.
fn shifted(s: &ConvSpec, seed: u64, by: [usize; 2], out: [usize; 2], padding: [usize; 2]) -> TestCaseResult {
    let (mut xs, ws) = shapes(s);
    (xs[1], xs[2]) = (s.h + by[0], s.w + by[1]);
    let (x, w, g) = (integers(xs, seed), integers(ws, !seed), Conv { padding, ..geometry(s) });
    let whole = conv(&x, &w, g);
    let part = conv(&crop(&x, by, [s.h, s.w]), &w, g);
    let [oh, ow] = [part.shape()[1], part.shape()[2]];
    if whole.shape()[1] < oh + out[0] || whole.shape()[2] < ow + out[1] {
        return Ok(());
    }
    ensure(crop(&whole, out, [oh, ow]) == part, || format!("{part:?}"))
}

fn fits_without_padding(s: &ConvSpec) -> bool {
    s.h > s.dilation[0] * (s.kernel[0] - 1) && s.w > s.dilation[1] * (s.kernel[1] - 1)
}

#[test]
fn c2_commutes_with_shifts_by_multiples_of_the_stride() {
    holds((spec(), any::<u64>(), 0..3usize, 0..3usize), |(s, seed, down, right)| {
        if !fits_without_padding(&s) {
            return Ok(());
        }
        shifted(&s, seed, [down * s.stride[0], right * s.stride[1]], [down, right], [0, 0])
    });
}

#[test]
fn c2_control_shifts_across_the_border() {
    refuted((spec(), any::<u64>()), |(s, seed)| shifted(&s, seed, s.stride, [1, 1], s.padding));
}

#[test]
fn c2_control_shifts_by_less_than_the_stride() {
    refuted((spec(), any::<u64>()), |(s, seed)| {
        if !fits_without_padding(&s) {
            return Ok(());
        }
        shifted(&s, seed, [1, 1], [1, 1], [0, 0])
    });
}

/// Channels from `first` on, `count` of them.
fn channels(x: &Tensor, first: usize, count: usize) -> Tensor {
    let shape = x.shape();
    let c = shape[3];
    Tensor::from_fn([shape[0], shape[1], shape[2], count], |i| x.data()[i / count * c + first + i % count])
}

#[test]
fn c2_groups_are_convolutions_side_by_side() {
    holds((prop_oneof![spec(), depthwise_spec()], any::<u64>()), |(s, seed)| {
        let (xs, ws) = shapes(&s);
        let (x, w, g) = (integers(xs, seed), integers(ws, !seed), geometry(&s));
        let whole = conv(&x, &w, g);
        let (gi, go) = (s.group_in(), s.group_out());
        for group in 0..s.groups {
            let part =
                conv(&channels(&x, group * gi, gi), &channels(&w, group * go, go), Conv { groups: 1, ..g });
            ensure(channels(&whole, group * go, go) == part, || format!("group {group}: {part:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn c2_one_by_one_is_a_product_of_matrices() {
    holds(
        (1..3usize, 1..7usize, 1..7usize, 1..40usize, 1..40usize, any::<u64>()),
        |(n, h, w, ci, co, seed)| {
            let (x, k) = (integers([n, h, w, ci], seed), integers([1, 1, ci, co], !seed));
            let y = conv(&x, &k, Conv::default());
            let mut product = vec![f32::NAN; n * h * w * co];
            let (rows, weights) = (Matrix::new(x.data(), n * h * w, ci), Matrix::new(k.data(), ci, co));
            gemm(rows, weights, &mut product, &Epilogue::default());
            ensure(y.data() == product, || format!("{y:?}"))
        },
    );
}

#[test]
fn c2_control_groups_see_all_channels() {
    refuted((spec(), any::<u64>()), |(s, seed)| {
        let (xs, ws) = shapes(&s);
        let (x, w, g) = (integers(xs, seed), integers(ws, !seed), geometry(&s));
        // The image without its last channel's values: the first group's result would change.
        let other = Tensor::from_fn(xs, |i| if (i + 1) % s.c_in == 0 { 99.0 } else { x.data()[i] });
        let [before, after] = [&x, &other].map(|x| channels(&conv(x, &w, g), 0, s.group_out()));
        ensure(before != after, || "the first group does not see the last channel".to_string())
    });
}

#[test]
fn every_instruction_set() {
    on_each_instruction_set(&[], 8);
}
