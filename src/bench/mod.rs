//! Timings of the same work that `benches/peers` times in other libraries. Medians, after warm-up.

pub mod alexnet;
pub mod conv;
pub mod detector;
pub mod gemm;

use std::time::Instant;

/// The median time of `f` in seconds, over `runs` runs after `warm_up`.
pub fn median(warm_up: usize, runs: usize, mut f: impl FnMut()) -> f64 {
    (0..warm_up).for_each(|_| f());
    let mut times: Vec<f64> = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        })
        .collect();
    middle(&mut times)
}

/// The median of a non-empty list (the upper one of an even number).
fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
