//! Timings of the same work that `benches/peers` times in other libraries. Medians, after warm-up.

pub mod alexnet;
pub mod conv;
pub mod detector;
pub mod gemm;
pub mod infer;

use crate::error::{Error, Result};
use gradus_core::parallel;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// Runs `gradus bench` on one thing in a process of its own, on as many threads as this one has, so that its peak of memory
/// is its own. Under a profile the process tells its own and writes its trace beside `trace`, with `name` in
/// its name. Returns what it printed.
///
/// # Errors
/// The program cannot be started again, or failed.
fn alone<T: DeserializeOwned>(
    bench: &str,
    options: &[(&str, &dyn Display)],
    name: &str,
    trace: Option<&Path>,
) -> Result<T> {
    let program =
        std::env::current_exe().map_err(|e| Error::failure(format!("the program's own path: {e}")))?;
    let mut command = Command::new(&program);
    command.args(arguments(bench, options, name, trace));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| Error::failure(format!("{}: {e}", program.display())))?;
    let failed = |_| Error::failure(format!("the process that timed {name} ended with {}", output.status));
    serde_json::from_slice(&output.stdout).map_err(failed)
}

fn arguments(bench: &str, options: &[(&str, &dyn Display)], name: &str, trace: Option<&Path>) -> Vec<String> {
    let mut all = ["bench", bench, "--json", "--here"].map(String::from).to_vec();
    all.extend(options.iter().map(|(option, value)| format!("--{option}={value}")));
    all.push(format!("--threads={}", parallel::threads()));
    all.extend(trace.map(|trace| format!("--profile={}", trace_of(name, trace).display())));
    all
}

/// `profile-r50.json` of `profile.json`.
fn trace_of(name: &str, trace: &Path) -> PathBuf {
    let stem = trace.file_stem().unwrap_or_default().to_string_lossy();
    let end = trace.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    trace.with_file_name(format!("{stem}-{name}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_works_is_the_one_that_is_profiled() {
        let trace = Path::new("out").join("profile.json");
        let own = arguments("detector", &[("runs", &5)], "r50", Some(&trace));
        let expected = format!("--profile={}", Path::new("out").join("profile-r50.json").display());
        assert!(own.contains(&"--here".into()) && own.contains(&"--runs=5".into()), "{own:?}");
        assert_eq!(own.last(), Some(&expected));
        assert!(!arguments("detector", &[], "r50", None).concat().contains("profile"));
    }
}
