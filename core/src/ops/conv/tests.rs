//! Every algorithm against the definition.
//!
//! Bound: a sum of k products, in any order, differs from the exact one by at most (k + 1) u Σ|a||b| (Higham,
//! Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1). The oracle computes the sum and
//! Σ|a||b| in f64.

mod choice;

use super::*;
use crate::epilogue::{Activation, Epilogue};
use crate::{element::Element, random::Rng};
use proptest::prelude::*;

/// Numbers in [-1, 1).
pub(super) fn random<E: Element>(len: usize, rng: &mut Rng) -> Vec<E> {
    (0..len).map(|_| E::from_f64(2.0 * rng.f64() - 1.0)).collect()
}

/// A convolution's operands.
struct Case<E> {
    spec: ConvSpec,
    x: Vec<E>,
    w: Vec<E>,
    dy: Vec<E>,
}

impl<E: Element> Case<E> {
    fn new(spec: ConvSpec, seed: u64) -> Self {
        let mut rng = Rng::seed(seed);
        let x = random(spec.x_len(), &mut rng);
        let w = random(spec.w_len(), &mut rng);
        let dy = random(spec.y_len(), &mut rng);
        Case { spec, x, w, dy }
    }

    /// The definition: each output's sum and sum of absolute values, and the most terms a sum has.
    fn oracle(&self, pass: Pass) -> (Vec<f64>, Vec<f64>, usize) {
        let s = &self.spec;
        let [oh, ow] = s.out_hw();
        let (gi, go) = (s.group_in(), s.group_out());
        let len = match pass {
            Pass::Forward => s.y_len(),
            Pass::BackwardData => s.x_len(),
            Pass::BackwardWeight => s.w_len(),
        };
        let (mut sum, mut abs) = (vec![0.0; len], vec![0.0; len]);
        let taps = s.kernel[0] * s.kernel[1];
        for n in 0..s.n {
            for (p, q) in (0..oh).flat_map(|p| (0..ow).map(move |q| (p, q))) {
                for t in 0..taps {
                    let (r, c) = (t / s.kernel[1], t % s.kernel[1]);
                    let i = (p * s.stride[0] + r * s.dilation[0]) as isize - s.padding[0] as isize;
                    let j = (q * s.stride[1] + c * s.dilation[1]) as isize - s.padding[1] as isize;
                    if i < 0 || j < 0 || i >= s.h as isize || j >= s.w as isize {
                        continue;
                    }
                    for o in 0..s.c_out {
                        for k in 0..gi {
                            let x = ((n * s.h + i as usize) * s.w + j as usize) * s.c_in + o / go * gi + k;
                            let w = (t * gi + k) * s.c_out + o;
                            let y = ((n * oh + p) * ow + q) * s.c_out + o;
                            let (at, a, b) = match pass {
                                Pass::Forward => (y, self.x[x], self.w[w]),
                                Pass::BackwardData => (x, self.dy[y], self.w[w]),
                                Pass::BackwardWeight => (w, self.x[x], self.dy[y]),
                            };
                            sum[at] += a.to_f64() * b.to_f64();
                            abs[at] += (a.to_f64() * b.to_f64()).abs();
                        }
                    }
                }
            }
        }
        let terms = match pass {
            Pass::Forward => taps * gi,
            Pass::BackwardData => taps * go,
            Pass::BackwardWeight => s.n * oh * ow,
        };
        (sum, abs, terms)
    }

    fn compute(&self, algorithm: Algorithm, pass: Pass) -> Vec<E> {
        let s = &self.spec;
        // Filled with NaN: what is not written shows.
        let nan = E::from_f64(f64::NAN);
        match pass {
            Pass::Forward => {
                let mut y = vec![nan; s.y_len()];
                forward(algorithm, s, &self.x, &self.w, &Epilogue::default(), &mut y);
                y
            }
            Pass::BackwardData => {
                let mut dx = vec![nan; s.x_len()];
                backward_data(algorithm, s, &self.dy, &self.w, &mut dx);
                dx
            }
            Pass::BackwardWeight => {
                let mut dw = vec![nan; s.w_len()];
                backward_weight(algorithm, s, &self.x, &self.dy, &mut dw);
                dw
            }
        }
    }

    /// The bound, in units of roundoff: the head's, or κ² (k + 24) k with k products at a point (all operands
    /// are at most 1) for Winograd's, 26 with five taps.
    fn bound(&self, algorithm: Algorithm, pass: Pass, terms: usize, abs: f64) -> f64 {
        let (m, spec) = match algorithm {
            Algorithm::Winograd4 => (4, self.spec),
            Algorithm::Winograd2 => (2, self.spec),
            Algorithm::Phases => (4, phases::unstrided(&self.spec)),
            _ => return (terms + 1) as f64 * abs,
        };
        let [oh, ow] = spec.out_hw();
        let products = match pass {
            Pass::Forward => spec.c_in,
            Pass::BackwardData => spec.c_out,
            Pass::BackwardWeight => spec.n * oh.div_ceil(m) * ow.div_ceil(m),
        } as f64;
        let (amplification, roundings) = winograd::error::of(m, spec.kernel[0], pass);
        amplification * (products + roundings) * products
    }

    /// Each algorithm that applies, each pass, within the bound.
    fn check(&self) {
        for pass in Pass::ALL {
            let (sum, abs, terms) = self.oracle(pass);
            for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&self.spec)) {
                let got = self.compute(algorithm, pass);
                for (i, ((&g, &s), &a)) in got.iter().zip(&sum).zip(&abs).enumerate() {
                    let bound = E::UNIT_ROUNDOFF * self.bound(algorithm, pass, terms, a);
                    assert!(
                        (g.to_f64() - s).abs() <= bound,
                        "{algorithm:?} {pass:?} [{i}]: {g} for {s}, bound {bound:e}, {:?}",
                        self.spec
                    );
                }
            }
        }
    }
}

/// Any convolution that fits into a test: groups, odd maps, padding beyond the kernel, tails of channels.
fn any_spec() -> impl Strategy<Value = ConvSpec> {
    let pair = |r: std::ops::Range<usize>| [r.clone(), r];
    (
        1..3usize,
        pair(1..10),
        pair(1..5),
        pair(1..4),
        pair(0..5),
        pair(1..3),
        1..4usize,
        1..20usize,
        1..20usize,
    )
        .prop_map(|(n, [h, w], kernel, stride, padding, dilation, groups, ci, co)| {
            let plain = ConvSpec::square([n, h, w, ci * groups], co * groups, 1, 1, 0);
            ConvSpec { kernel, stride, padding, dilation, groups, ..plain }
        })
        .prop_filter("the kernel fits", fits)
}

/// Depthwise, with every tail of channels and some multipliers.
fn depthwise_spec() -> impl Strategy<Value = ConvSpec> {
    (any_spec(), 1..70usize, 1..4usize).prop_map(|(s, groups, m)| ConvSpec {
        c_in: groups,
        c_out: groups * m,
        groups,
        ..s
    })
}

/// Few input channels, any stride and vertical dilation.
fn direct_spec() -> impl Strategy<Value = ConvSpec> {
    (any_spec(), 1..9usize, 1..130usize)
        .prop_map(|(s, c_in, c_out)| ConvSpec { c_in, c_out, dilation: [s.dilation[0], 1], groups: 1, ..s })
        .prop_filter("the kernel fits", fits)
}

/// 3x3 and 5x5, stride 1: odd maps, 1x1 images, every tail of channels.
fn winograd_spec() -> impl Strategy<Value = ConvSpec> {
    let taps = (0..2usize).prop_flat_map(|five| (Just(3 + 2 * five), [0..3 + 2 * five, 0..3 + 2 * five]));
    (any_spec(), taps, 1..14usize, 1..70usize, 1..70usize)
        .prop_map(|(s, (kernel, padding), h, c_in, c_out)| ConvSpec {
            padding,
            ..ConvSpec::square([s.n, h, s.w, c_in], c_out, kernel, 1, 0)
        })
        .prop_filter("the kernel fits", fits)
}

/// Two to three strides wide: every phase, any padding, tails of channels.
fn phases_spec() -> impl Strategy<Value = ConvSpec> {
    let taps = (2..5usize).prop_flat_map(|stride| (Just(stride), 2 * stride + 1..=3 * stride));
    (any_spec(), taps, 1..30usize, 1..30usize, 1..20usize, 1..40usize)
        .prop_map(|(s, (stride, kernel), h, w, c_in, c_out)| ConvSpec {
            padding: s.padding,
            ..ConvSpec::square([s.n, h, w, c_in], c_out, kernel, stride, 0)
        })
        .prop_filter("the kernel fits", fits)
}

fn fits(s: &ConvSpec) -> bool {
    let reach = |a: usize| s.dilation[a] * (s.kernel[a] - 1) + 1;
    s.h + 2 * s.padding[0] >= reach(0) && s.w + 2 * s.padding[1] >= reach(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_convolution_f32(spec in any_spec(), seed: u64) {
        Case::<f32>::new(spec, seed).check();
    }

    #[test]
    fn any_convolution_f64(spec in any_spec(), seed: u64) {
        Case::<f64>::new(spec, seed).check();
    }

    #[test]
    fn winograd_f32(spec in winograd_spec(), seed: u64) {
        Case::<f32>::new(spec, seed).check();
    }

    #[test]
    fn winograd_f64(spec in winograd_spec(), seed: u64) {
        Case::<f64>::new(spec, seed).check();
    }

    #[test]
    fn phases_f32(spec in phases_spec(), seed: u64) {
        Case::<f32>::new(spec, seed).check();
    }

    #[test]
    fn phases_f64(spec in phases_spec(), seed: u64) {
        Case::<f64>::new(spec, seed).check();
    }

    #[test]
    fn direct_f32(spec in direct_spec(), seed: u64) {
        Case::<f32>::new(spec, seed).check();
    }

    #[test]
    fn direct_f64(spec in direct_spec(), seed: u64) {
        Case::<f64>::new(spec, seed).check();
    }

    #[test]
    fn depthwise_f32(spec in depthwise_spec(), seed: u64) {
        Case::<f32>::new(spec, seed).check();
    }

    #[test]
    fn depthwise_f64(spec in depthwise_spec(), seed: u64) {
        Case::<f64>::new(spec, seed).check();
    }
}

/// A result beyond the caches is streamed past them, where a vector is aligned: here one in three.
#[test]
fn depthwise_results_beyond_the_caches() {
    let spec = ConvSpec { groups: 132, ..ConvSpec::square([1, 254, 252, 132], 132, 3, 2, 1) };
    Case::<f32>::new(spec, 2).check();
}

/// Everything an algorithm computes, as bits.
#[cfg(feature = "rayon")]
fn bits(case: &Case<f32>, algorithm: Algorithm) -> Vec<u32> {
    Pass::ALL.iter().flat_map(|&pass| case.compute(algorithm, pass)).map(f32::to_bits).collect()
}

#[cfg(feature = "rayon")]
#[test]
fn the_number_of_threads_changes_no_bit() {
    let square =
        |nhwc, c_out, kernel, stride, padding| ConvSpec::square(nhwc, c_out, kernel, stride, padding);
    let specs = [
        square([2, 33, 30, 40], 48, 3, 1, 1),
        ConvSpec { groups: 72, ..square([1, 60, 57, 72], 72, 3, 2, 1) },
        square([3, 50, 47, 3], 64, 7, 2, 3),
        square([2, 17, 18, 24], 40, 5, 2, 2),
        square([2, 37, 31, 24], 40, 5, 1, 2),
        square([3, 63, 70, 3], 40, 11, 4, 2),
        // Weights that are packed by the tasks on one thread and two, beforehand on sixteen.
        square([1, 19, 21, 512], 512, 1, 1, 0),
        // The first tile of rows sees padding alone in the first tap, or row of taps.
        square([1, 14, 14, 512], 512, 3, 2, 1),
    ];
    // On sixteen there are threads enough to cut ranges of channels, blocks of tiles and tasks of rows
    // smaller.
    let pools =
        [1, 2, 3, 16].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads"));
    for spec in specs {
        let case = Case::new(spec, 1);
        for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&spec)) {
            let [one, others @ ..] = pools.each_ref().map(|pool| pool.install(|| bits(&case, algorithm)));
            assert!(others.iter().all(|other| *other == one), "{algorithm:?} {spec:?}");
        }
    }
}

/// Σ x w for stride 1, term by term.
fn direct_sums(case: &Case<f32>) -> Vec<f32> {
    let (s, [oh, ow]) = (&case.spec, case.spec.out_hw());
    let ([kh, kw], [top, left]) = (s.kernel, s.padding);
    let mut y = vec![0f32; s.y_len()];
    for (at, sum) in y.iter_mut().enumerate() {
        let (pixel, o) = (at / s.c_out, at % s.c_out);
        for (tap, c) in (0..kh * kw).flat_map(|t| (0..s.c_in).map(move |c| (t, c))) {
            let (i, j) = (pixel / ow % oh + tap / kw, pixel % ow + tap % kw);
            if (top..top + s.h).contains(&i) && (left..left + s.w).contains(&j) {
                let x = case.x[((i - top) * s.w + j - left) * s.c_in + c];
                *sum = x.mul_add(case.w[(tap * s.c_in + c) * s.c_out + o], *sum);
            }
        }
    }
    y
}

/// Errors on average, against those of a sum term by term: what the choice of Winograd's points gains.
/// Measured: im2col 0.71 to 0.72, Winograd 0.62 to 0.64 and 1.85 to 1.92, 1.27 with five taps.
#[test]
fn each_algorithm_is_about_as_exact_as_a_direct_sum() {
    for (kernel, algorithms) in [
        (3, &[(Algorithm::Im2col, 0.8), (Algorithm::Winograd2, 0.7), (Algorithm::Winograd4, 2.1)][..]),
        (5, &[(Algorithm::Im2col, 0.8), (Algorithm::Winograd2, 1.4)]),
    ] {
        let case = Case::<f32>::new(ConvSpec::square([1, 32, 32, 64], 32, kernel, 1, kernel / 2), 5);
        let (want, ..) = case.oracle(Pass::Forward);
        let error = |got: Vec<f32>| {
            let square = |(g, w): (&f32, &f64)| (f64::from(*g) - w).powi(2);
            (got.iter().zip(&want).map(square).sum::<f64>() / want.len() as f64).sqrt()
        };
        let direct = error(direct_sums(&case));
        for &(algorithm, most) in algorithms {
            let ratio = error(case.compute(algorithm, Pass::Forward)) / direct;
            println!("{algorithm:?} {kernel}x{kernel}: {ratio}");
            assert!(ratio < most, "{algorithm:?} {kernel}x{kernel}: {ratio}");
        }
    }
}

/// Memory whose end is the end of the readable pages: what reads or writes behind it, dies.
#[cfg(unix)]
struct Guarded {
    pages: *mut f32,
    len: usize,
    bytes: usize,
}

#[cfg(unix)]
impl Guarded {
    fn new(data: &[f32]) -> Self {
        const PAGE: usize = 4096;
        let bytes = size_of_val(data).next_multiple_of(PAGE);
        // SAFETY: a fresh private mapping of bytes + PAGE, of which the last page is closed; data fits before
        // it.
        unsafe {
            let (rw, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let p = libc::mmap(std::ptr::null_mut(), bytes + PAGE, rw, private, -1, 0);
            assert_ne!(p, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(p.byte_add(bytes), PAGE, libc::PROT_NONE), 0);
            let pages = p.byte_add(bytes - size_of_val(data)).cast::<f32>();
            pages.copy_from_nonoverlapping(data.as_ptr(), data.len());
            Guarded { pages, len: data.len(), bytes: bytes + PAGE }
        }
    }

    fn slice(&mut self) -> &mut [f32] {
        // SAFETY: len elements were written; &mut self is unique.
        unsafe { std::slice::from_raw_parts_mut(self.pages, self.len) }
    }
}

#[cfg(unix)]
impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made ends one page behind the data.
        unsafe { libc::munmap(self.pages.add(self.len).byte_sub(self.bytes - 4096).cast(), self.bytes) };
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_read_or_written_behind_the_operands() {
    for (c_in, c_out) in [(1, 1), (3, 5), (8, 16), (17, 31), (32, 64)] {
        for (kernel, stride, padding) in [(3, 1, 1), (3, 1, 0), (3, 2, 1), (5, 4, 2), (5, 1, 2), (6, 2, 1)] {
            let dense = ConvSpec::square([2, 9, 11, c_in], c_out, kernel, stride, padding);
            let each = ConvSpec { c_out: c_in, groups: c_in, ..dense };
            for spec in [dense, each] {
                let case = Case::<f32>::new(spec, 3);
                let [mut x, mut w, mut dy] = [&case.x, &case.w, &case.dy].map(|v| Guarded::new(v));
                let [mut gx, mut gw, mut gy] = [&case.x, &case.w, &case.dy].map(|v| Guarded::new(v));
                let mut residual = Guarded::new(&case.dy);
                let mut bias = Guarded::new(&vec![0.5; spec.c_out]);
                for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&spec)) {
                    let epilogue = Epilogue {
                        scale: None,
                        bias: Some(bias.slice()),
                        residual: Some(residual.slice()),
                        activation: Activation::Relu,
                    };
                    forward(algorithm, &spec, x.slice(), w.slice(), &epilogue, gy.slice());
                    backward_data(algorithm, &spec, dy.slice(), w.slice(), gx.slice());
                    backward_weight(algorithm, &spec, x.slice(), dy.slice(), gw.slice());
                }
            }
        }
    }
}

/// Each algorithm's fused epilogue against the same arithmetic on its plain result: exact but for the
/// rounding of three operations.
#[test]
fn epilogues_are_what_they_say() {
    for spec in [
        ConvSpec::square([2, 7, 9, 20], 35, 3, 1, 1),
        ConvSpec::square([2, 9, 7, 3], 35, 3, 2, 1),
        ConvSpec { groups: 35, ..ConvSpec::square([2, 9, 9, 35], 35, 3, 1, 1) },
    ] {
        let case = Case::<f32>::new(spec, 4);
        let mut rng = Rng::seed(9);
        let (scale, bias) = (random::<f32>(spec.c_out, &mut rng), random::<f32>(spec.c_out, &mut rng));
        for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&spec)) {
            let plain = case.compute(algorithm, Pass::Forward);
            for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
                let epilogue =
                    Epilogue { scale: Some(&scale), bias: Some(&bias), residual: Some(&case.dy), activation };
                let mut y = vec![f32::NAN; spec.y_len()];
                forward(algorithm, &spec, &case.x, &case.w, &epilogue, &mut y);
                for (i, (&y, &p)) in y.iter().zip(&plain).enumerate() {
                    let (scale, bias) = (scale[i % spec.c_out], bias[i % spec.c_out]);
                    let terms = [scale * p, bias, case.dy[i]];
                    let want = activation.apply(terms.iter().sum::<f32>());
                    let bound = 4.0 * f32::EPSILON * terms.iter().map(|t| t.abs()).sum::<f32>();
                    assert!((y - want).abs() <= bound, "{algorithm:?} {activation:?} [{i}]: {y} for {want}");
                }
            }
        }
    }
}

/// Kernels read and write where the spec says, so that all of it is looked at before.
#[test]
fn what_does_not_fit_is_refused() {
    let said = |algorithm: Algorithm, spec: ConvSpec, short: [usize; 5]| {
        let operand = |n: usize, short: usize| vec![1.0f32; n - short];
        let [x, w, dy] =
            [(spec.x_len(), 0), (spec.w_len(), 1), (spec.y_len(), 2)].map(|(n, i)| operand(n, short[i]));
        let (bias, residual) = (operand(spec.c_out, short[3]), operand(spec.y_len(), short[4]));
        let epilogue = Epilogue { bias: Some(&bias), residual: Some(&residual), ..Epilogue::default() };
        let passes: [&dyn Fn(); 3] = [
            &|| forward(algorithm, &spec, &x, &w, &epilogue, &mut dy.clone()),
            &|| backward_data(algorithm, &spec, &dy, &w, &mut x.clone()),
            &|| backward_weight(algorithm, &spec, &x, &dy, &mut w.clone()),
        ];
        passes.map(|pass| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(pass)).err();
            panic.map_or(String::new(), |p| p.downcast_ref::<String>().cloned().unwrap_or_default())
        })
    };
    let (dense, strided) =
        (ConvSpec::square([1, 9, 9, 6], 12, 3, 1, 1), ConvSpec::square([1, 9, 9, 3], 6, 3, 2, 1));
    for (algorithm, spec) in [(Algorithm::Depthwise, dense), (Algorithm::Winograd4, strided)] {
        for said in said(algorithm, spec, [0; 5]) {
            assert!(said.contains(&format!("conv2d: {} does not serve", algorithm.name())), "{said}");
        }
    }
    for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&dense)) {
        for operand in 0..3 {
            let short = std::array::from_fn(|i| usize::from(i == operand));
            assert!(
                said(algorithm, dense, short).iter().all(|s| s.contains("conv2d: elements of x, w and y"))
            );
        }
        assert_eq!(said(algorithm, dense, [0, 0, 0, 1, 0])[0], "conv2d: bias is shorter than 12 columns");
        assert_eq!(
            said(algorithm, dense, [0, 0, 0, 0, 1])[0],
            "conv2d: the residual is smaller than the result"
        );
        assert_eq!(said(algorithm, dense, [0; 5]), [""; 3]);
    }
}
