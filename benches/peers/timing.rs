//! What the programs of this folder share: medians and peak memory, as `gradus bench` takes them, and its
//! JSON.

use serde_json::{Value, json};
use std::time::Instant;

pub const BATCH: usize = 256;

/// The median time of `f` in seconds, over `runs` runs after `warm_up`.
pub fn median(warm_up: usize, runs: usize, mut f: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    for _ in 0..warm_up + runs {
        let start = Instant::now();
        f();
        times.push(start.elapsed().as_secs_f64());
    }
    let timed = &mut times[warm_up..];
    timed.sort_by(f64::total_cmp);
    timed[runs / 2]
}

/// The result of `alexnet`, of medians in seconds.
pub fn alexnet_report(train: f64, infer: f64) -> Value {
    let rate = |seconds: f64| json!({ "ms": 1e3 * seconds, "images_per_s": BATCH as f64 / seconds });
    json!({ "train": rate(train), "infer": rate(infer), "peak_mib": peak_mib() })
}

/// The most memory this process has held, in MiB.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}
