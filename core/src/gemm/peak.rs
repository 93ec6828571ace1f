//! What this machine can do at most: fused multiply-adds on registers alone.

use crate::parallel;
use crate::simd::{Kernel, Simd};
use crate::{element::Element, simd};
use std::hint::black_box;
use std::time::Instant;

struct Fmas(usize);

/// Independent sums: more than latency times throughput of any machine, fewer than its registers.
const SUMS: usize = 12;

impl Kernel<f32> for Fmas {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) -> f32 {
        let (x, y) = (s.splat(black_box(0.5)), s.splat(black_box(1.0)));
        let mut sums = [s.zero(); SUMS];
        for _ in 0..self.0 {
            for v in &mut sums {
                *v = s.fma(*v, x, y);
            }
        }
        let mut total = sums[0];
        for v in sums {
            total = s.add(total, v);
        }
        let mut lanes = [0.0; 16];
        s.write(&mut lanes, total);
        lanes.iter().sum()
    }
}

struct Lanes;
impl Kernel<f32> for Lanes {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, _: S) -> usize {
        S::LANES
    }
}

/// The most floating-point operations a second, in units of 10^9, over all threads of `parallel`: the best of
/// `repeats` runs of some milliseconds (so long that waking the threads takes little of it), a multiply-add
/// counted as two.
pub fn peak_gflops(repeats: usize) -> f64 {
    let (steps, threads) = (2_000_000, parallel::threads());
    let work = 2.0 * (steps * SUMS * threads * f32::dispatch_on(simd::isa(), Lanes)) as f64;
    let mut best = f64::INFINITY;
    for _ in 0..repeats {
        let start = Instant::now();
        parallel::for_each(threads, |_| {
            black_box(f32::dispatch(Fmas(steps)));
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    work / best / 1e9
}
