//! Parity with PyTorch, torchvision, pycocotools and ONNX: every case of a folder is run in f64 and in f32.
//!
//! `cargo test --test golden` runs the cases of tests/golden; with `GOLDEN_DIR` it runs those of another
//! folder, which may hold suites or be one. Arguments filter by name, as for any test. A case of an unknown
//! op fails. The format is told in tests/golden/README.md.

#[path = "golden_cases/mod.rs"]
mod cases;

use cases::case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// How many cases of an op ran, and the greatest part of the allowed error that was used in (f64, f32).
type Counts = Arc<Mutex<BTreeMap<String, (usize, [f64; 2])>>>;

fn main() -> ExitCode {
    let given = std::env::var_os("GOLDEN_DIR").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    let mut found = Vec::new();
    if let Err(e) = walk(&folder, String::new(), &mut found) {
        eprintln!("{}: {e}", folder.display());
        return ExitCode::FAILURE;
    }
    found.sort();
    if found.is_empty() {
        eprintln!("{}: no case there", folder.display());
        return ExitCode::FAILURE;
    }
    let counts = Counts::default();
    let mut trials: Vec<Trial> = found.into_iter().map(|(name, path)| trial(name, path, &counts)).collect();
    trials.extend(cases::controls::trials());
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    for (op, (n, [f64, f32])) in &*counts.lock().expect("no test panics while it counts") {
        println!("{n:4} {op:36} {:4.0} % {:4.0} %", 100.0 * f64, 100.0 * f32);
    }
    conclusion.exit_code()
}

/// Finds the cases below a folder: files, and folders of COCO evaluations.
fn walk(folder: &Path, name: String, found: &mut Vec<(String, PathBuf)>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let below = |file: &str| if name.is_empty() { file.to_string() } else { format!("{name}/{file}") };
        if path.is_dir() {
            walk(&path, below(&file), found)?;
        } else if let Some(stem) = file.strip_suffix(".safetensors") {
            found.push((below(stem), path));
        } else if file == "expected.json" {
            let own = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((if name.is_empty() { own } else { name.clone() }, folder.to_path_buf()));
        }
    }
    Ok(())
}

fn trial(name: String, path: PathBuf, counts: &Counts) -> Trial {
    let case = if path.is_dir() { Case::evaluation(&name, &path) } else { Case::read(&name, &path) };
    let counts = counts.clone();
    Trial::test(name, move || run(&case?, &counts))
}

fn run(case: &Case, counts: &Counts) -> Result<(), Failed> {
    let both = [cases::differences::<f64>(case)?, cases::differences::<f32>(case)?];
    let mut counts = counts.lock().expect("no test panics while it counts");
    let (n, used) = counts.entry(case.op.clone()).or_default();
    *n += 1;
    let mut failures = Vec::new();
    for ((found, used), precision) in both.iter().zip(used).zip(["f64", "f32"]) {
        for d in found {
            *used = used.max(if d.bound > 0.0 { d.error / d.bound } else { 0.0 });
            failures.extend(d.failure().map(|f| format!("{precision} {f}")));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}
