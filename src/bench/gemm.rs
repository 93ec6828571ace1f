//! Matrix products, as a share of the peak that fused multiply-adds on registers reach here and now.

use super::middle;
use gradus_core::gemm::peak::peak_gflops;
use gradus_core::gemm::{Matrix, Precision, gemm_in};
use gradus_core::{Epilogue, Rng, Tensor, init, parallel};
use serde::Serialize;
use std::fmt;
use std::hint::black_box;
use std::time::Instant;

/// Square, skinny, odd and small; the sizes of AlexNet's linear layers among them.
const CASES: [[usize; 3]; 12] = [
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [4096, 4096, 256],
    [4096, 192, 576],
    [256, 4096, 4096],
    [256, 4096, 1024],
    [1000, 1000, 1000],
    [333, 777, 555],
    [128, 128, 128],
    [64, 64, 64],
    [16, 16, 16],
    [1, 4096, 4096],
];

/// One size.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// 2 m n k operations over the median time.
    pub gflops: f64,
    /// Of the peak at the same time.
    pub share: f64,
}

/// All sizes.
#[derive(Clone, Debug, Serialize)]
pub struct GemmBench {
    /// Computing threads.
    pub threads: usize,
    /// Of all threads together.
    pub peak_gflops: f64,
    /// The sizes.
    pub cases: Vec<Case>,
}

/// Times every size. Clocks drift by a tenth from one moment to the next, so the peak is measured right
/// before and right after every product, each time by one run as the product is, and a share is the median
/// over the runs of rate / mean of the two peaks.
pub fn run(runs: usize, precision: Precision) -> GemmBench {
    let mut rng = Rng::seed(2);
    let mut peaks = Vec::new();
    let mut cases = Vec::new();
    for [m, n, k] in CASES {
        let mut draw = |len| init::normal::<f32>([len], 0.0, 1.0, &mut rng);
        let (a, b) = (draw(m * k), draw(k * n));
        let mut c = Tensor::<f32>::zeros([m * n]);
        let flops = 2.0 * (m * n * k) as f64;
        // Small products are repeated, so that the clock's resolution does not matter.
        let repeats = (2e7 / flops).ceil().max(1.0) as usize;
        let mut rate = || {
            let start = Instant::now();
            for _ in 0..repeats {
                let (a, b) = (Matrix::new(a.data(), m, k), Matrix::new(b.data(), k, n));
                gemm_in(precision, a, b, c.data_mut(), &Epilogue::default());
            }
            flops * repeats as f64 / start.elapsed().as_secs_f64() / 1e9
        };
        for _ in 0..2 {
            black_box(rate());
        }
        let (mut rates, mut shares) = (Vec::new(), Vec::new());
        let mut before = peak_gflops(1);
        for _ in 0..runs.max(1) {
            let rate = rate();
            let after = peak_gflops(1);
            rates.push(rate);
            shares.push(2.0 * rate / (before + after));
            peaks.push(after);
            before = after;
        }
        cases.push(Case { m, n, k, gflops: middle(&mut rates), share: middle(&mut shares) });
    }
    GemmBench { threads: parallel::threads(), peak_gflops: middle(&mut peaks), cases }
}

impl fmt::Display for GemmBench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} threads, peak of fused multiply-adds {:.1} GFLOP/s", self.threads, self.peak_gflops)?;
        writeln!(f, "{:>6} {:>6} {:>6} {:>9} {:>7}", "m", "n", "k", "GFLOP/s", "share")?;
        for c in &self.cases {
            writeln!(f, "{:6} {:6} {:6} {:9.1} {:6.1} %", c.m, c.n, c.k, c.gflops, 100.0 * c.share)?;
        }
        Ok(())
    }
}
