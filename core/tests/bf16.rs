//! Mixed precision: products of operands rounded to bf16 are the sums of the rounded products, to within
//! f32's rounding.

use gradus_core::gemm::Precision;
use gradus_core::ops::conv::{self, Algorithm, Conv, ConvSpec, Fused, Pass};
use gradus_core::simd::Isa;
use gradus_core::{Activation, Epilogue, Rng, Tape, Tensor, Var};

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::seed(seed);
    (0..n).map(|_| rng.range(-1.0, 1.0) as f32).collect()
}

/// The nearest number of 8 significant bits.
fn rounded(x: f32) -> f64 {
    let (x, unit) = (f64::from(x), (f64::from(x).abs().log2().floor() - 7.0).exp2());
    if x == 0.0 { 0.0 } else { (x / unit).round() * unit }
}

/// A sum of products: of rounded operands, of exact ones, of absolute values.
#[derive(Clone, Copy, Default)]
struct Sum {
    rounded: f64,
    exact: f64,
    size: f64,
    terms: usize,
}

impl Sum {
    fn add(&mut self, a: f32, b: f32) {
        self.rounded += rounded(a) * rounded(b);
        self.exact += f64::from(a) * f64::from(b);
        self.size += (rounded(a) * rounded(b)).abs();
        self.terms += 1;
    }

    /// γ_(k+6) Σ|a||b|: what any order of summing may lose (Higham, §3.1).
    fn bound(&self) -> f64 {
        let n = (self.terms + 6) as f64 * f64::from(f32::EPSILON) / 2.0;
        n / (1.0 - n) * self.size
    }
}

/// Each result is its rounded sum, to within the bound where `strict`. The control: the root of the mean
/// square distance to the exact sums is more than 100 times that to the rounded ones. Of the operands'
/// rounding, 2⁻⁹ on average, and the sums', 2⁻²⁴, one would expect some 10,000; Winograd's maps take a part
/// of that.
fn check(got: &[f32], sums: &[Sum], strict: bool, what: &str) {
    let (mut to_rounded, mut to_exact) = (0.0, 0.0);
    for (&got, sum) in got.iter().zip(sums) {
        let off = f64::from(got) - sum.rounded;
        assert!(!strict || off.abs() <= sum.bound(), "{what}: {got}, not {} +- {}", sum.rounded, sum.bound());
        to_rounded += off.powi(2);
        to_exact += (f64::from(got) - sum.exact).powi(2);
    }
    assert!(
        to_rounded < 1e-4 * to_exact,
        "{what}: {to_rounded:e} from rounded sums, {to_exact:e} from exact ones"
    );
}

fn products() {
    let some = [(1, 40, 70), (5, 7, 3), (40, 70, 130), (70, 33, 16), (300, 90, 600)];
    // Every tail of rows, and of columns and depth; from 17 rows, 35 steps and 16 columns on a product is
    // made of bf16 itself.
    let tails = (0..33).map(|i| (17 + i, 16 + i * 7 % 33, 35 + i * 13 % 64));
    for (m, n, k) in some.into_iter().chain(tails) {
        let (a, b) = (random(m * k, 1), random(k * n, 2));
        let [x, y] = [([m, k], &a), ([k, n], &b)].map(|(shape, data)| Tensor::from_slice(shape, data));
        let up = random(m * n, 3);
        let seed = Tensor::from_slice([m, n], &up);
        let mut g = Tape::eval().in_precision(Precision::Bf16);
        let [x, y] = [g.input(x), g.input(y)];
        let c = g.matmul(x.clone(), y.clone());
        let grads = g.backward_from([(c.node, seed)]);
        let got = [&c.value, grads.of(&x).unwrap(), grads.of(&y).unwrap()];
        // C = A·B, dA = dC·Bᵀ, dB = Aᵀ·dC: each side transposed once.
        let sum = |len: usize, factors: &dyn Fn(usize) -> (f32, f32)| {
            (0..len).map(factors).fold(Sum::default(), |mut sum, (p, q)| {
                sum.add(p, q);
                sum
            })
        };
        let c_of = |at: usize| sum(k, &|t| (a[at / n * k + t], b[t * n + at % n]));
        let a_of = |at: usize| sum(n, &|t| (up[at / k * n + t], b[at % k * n + t]));
        let b_of = |at: usize| sum(m, &|t| (a[t * k + at / n], up[t * n + at % n]));
        let all: [&dyn Fn(usize) -> Sum; 3] = [&c_of, &a_of, &b_of];
        for ((got, of), name) in got.into_iter().zip(all).zip(["C", "dA", "dB"]) {
            let sums: Vec<Sum> = (0..got.len()).map(of).collect();
            check(got.data(), &sums, true, &format!("{name} of {m} x {n} x {k}"));
        }
    }
}

fn in_bf16(spec: ConvSpec) -> ConvSpec {
    ConvSpec { precision: Precision::Bf16, ..spec }
}

fn convolutions() {
    for (nhwc, c_out, kernel, stride, padding) in
        [([2, 9, 10, 20], 24, 3, 1, 1), ([1, 13, 11, 33], 17, 3, 2, 1), ([2, 6, 7, 40], 50, 1, 1, 0)]
    {
        let spec = in_bf16(ConvSpec::square(nhwc, c_out, kernel, stride, padding));
        let [oh, ow] = spec.out_hw();
        let (x, w, dy) = (random(spec.x_len(), 3), random(spec.w_len(), 4), random(spec.y_len(), 5));
        let mut sums = [spec.y_len(), spec.x_len(), spec.w_len()].map(|len| vec![Sum::default(); len]);
        for (n, p, q) in (0..spec.n * oh * ow).map(|i| (i / (oh * ow), i / ow % oh, i % ow)) {
            for t in 0..kernel * kernel {
                let (i, j) = (p * stride + t / kernel, q * stride + t % kernel);
                if i < padding || j < padding || i - padding >= spec.h || j - padding >= spec.w {
                    continue;
                }
                for (c, o) in (0..spec.c_in).flat_map(|c| (0..c_out).map(move |o| (c, o))) {
                    let xi = ((n * spec.h + i - padding) * spec.w + j - padding) * spec.c_in + c;
                    let (wi, yi) = ((t * spec.c_in + c) * c_out + o, ((n * oh + p) * ow + q) * c_out + o);
                    sums[0][yi].add(x[xi], w[wi]);
                    sums[1][xi].add(dy[yi], w[wi]);
                    sums[2][wi].add(x[xi], dy[yi]);
                }
            }
        }
        for (pass, sums) in Pass::ALL.into_iter().zip(&sums) {
            for algorithm in [Algorithm::Im2col, conv::choose(&spec, pass)] {
                let mut out = vec![0.0; sums.len()];
                let plain = Epilogue::default();
                match pass {
                    Pass::Forward => conv::forward(algorithm, &spec, &x, &w, &plain, &mut out),
                    Pass::BackwardData => conv::backward_data(algorithm, &spec, &dy, &w, &mut out),
                    Pass::BackwardWeight => conv::backward_weight(algorithm, &spec, &x, &dy, &mut out),
                }
                let what = format!("{algorithm:?} {pass:?} {spec:?}");
                check(&out, sums, algorithm == Algorithm::Im2col, &what);
            }
        }
    }
}

/// B is packed by the tasks on one thread and two, beforehand on three; blocks of the depth begin anywhere.
#[cfg(feature = "rayon")]
fn threads() {
    let (m, n, k) = (300, 600, 1000);
    let (a, b) = (random(m * k, 6), random(k * n, 7));
    let spec = in_bf16(ConvSpec::square([2, 14, 15, 320], 1280, 1, 1, 0));
    let (dy, w) = (random(spec.y_len(), 8), random(spec.w_len(), 9));
    let on = |n_threads| {
        rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads").install(|| {
            let mut dx = vec![0.0; spec.x_len()];
            let [a, b] = [([m, k], &a), ([k, n], &b)].map(|(s, x)| Var::from(Tensor::from_slice(s, x)));
            let c = Tape::infer().in_precision(Precision::Bf16).matmul(a, b).value;
            conv::backward_data(Algorithm::Im2col, &spec, &dy, &w, &mut dx);
            c.data().iter().copied().chain(dx).map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let one = on(1);
    for threads in [2, 3, 16] {
        assert!(on(threads) == one, "{threads} threads");
    }
}

#[test]
fn operands_are_rounded_and_nothing_else() {
    products();
    convolutions();
    #[cfg(feature = "rayon")]
    threads();
    // The same on the machine's other instruction sets, each in its own process.
    const AGAIN: &str = "GRADUS_BF16_AGAIN";
    if std::env::var_os(AGAIN).is_none() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let this = std::env::current_exe().expect("the test's own path");
            let run = std::process::Command::new(this).env(AGAIN, "1").env("GRADUS_ISA", isa.name()).output();
            let run = run.expect("the test runs itself");
            assert!(run.status.success(), "{isa}: {}", String::from_utf8_lossy(&run.stdout));
        }
    }
}

/// A tape's precision is its own: two threads compute in two, at the same time, what each computes alone.
#[test]
fn two_threads_have_two_precisions() {
    let net = |precision: Precision| {
        let x = Tensor::from_slice([2, 12, 12, 32], &random(2 * 12 * 12 * 32, 1));
        let w = Tensor::from_slice([3, 3, 32, 64], &random(9 * 32 * 64, 2));
        let v = Tensor::from_slice([64, 80], &random(64 * 80, 3));
        let mut g = Tape::eval().in_precision(precision);
        let [x, w, v] = [x, w, v].map(|t| g.input(t));
        let y = g.conv2d(x.clone(), &w, None, Conv::new(1, 1), Fused::default());
        let z = g.linear(y, &v, None, Activation::None);
        let seed = Tensor::full(*z.shape(), 1.0);
        let grads = g.backward_from([(z.node, seed)]);
        let all = [&z.value, grads.of(&x).unwrap(), grads.of(&w).unwrap(), grads.of(&v).unwrap()];
        all.iter().flat_map(|t| t.data()).map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    let alone = Precision::ALL.map(net);
    assert!(alone[0] != alone[1]);
    std::thread::scope(|s| {
        let again = |precision| move || (0..20).map(|_| net(precision)).collect::<Vec<_>>();
        let threads = Precision::ALL.map(|precision| s.spawn(again(precision)));
        for (thread, alone) in threads.into_iter().zip(&alone) {
            assert!(thread.join().expect("a thread").iter().all(|bits| bits == alone));
        }
    });
}
