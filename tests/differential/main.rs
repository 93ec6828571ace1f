//! Differential tests against PyTorch: random cases of every op, values and gradients, in f64 and, on each
//! instruction set of the machine, in f32.
//!
//! `cargo test --test differential` runs the thousand cases of stored.cases.gz; `tests/differential/campaign`
//! makes new ones without end and hands them to this program (`--check FILE PRECISION`). README.md tells the
//! rest.

#[allow(dead_code)]
#[path = "../golden_cases/mod.rs"]
mod cases;
mod check;
mod compare;
mod container;
mod controls;
mod convolutions;

use gradus_core::simd::Isa;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The stored cases.
fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/stored.cases.gz")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--check", file, precision] => checked(Path::new(file), precision),
        ["--instruction-sets"] => {
            instruction_sets().for_each(|isa| println!("{isa}"));
            ExitCode::SUCCESS
        }
        _ => {
            let trial = |isa: Option<Isa>| Trial::test(name(isa), move || in_a_process(isa));
            let mut trials = vec![trial(None)];
            trials.extend(instruction_sets().map(|isa| trial(Some(isa))));
            trials.extend(controls::trials());
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

/// Those whose products of f32 are made of f32.
fn instruction_sets() -> impl Iterator<Item = Isa> {
    [Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().filter(|isa| isa.is_available())
}

fn name(isa: Option<Isa>) -> String {
    isa.map_or("stored_cases/f64".into(), |isa| format!("stored_cases/f32_{isa}"))
}

/// The stored cases in a process of its own: the instruction set is chosen once for each.
fn in_a_process(isa: Option<Isa>) -> Result<(), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--check").arg(stored()).arg(if isa.is_some() { "f32" } else { "f64" });
    if let Some(isa) = isa {
        command.env("GRADUS_ISA", isa.name());
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A file with too few cases would pass.
    let count = said.lines().last().and_then(|l| l.split(' ').next()).and_then(|n| n.parse::<usize>().ok());
    if !output.status.success() || count.is_none_or(|n| n < 1000) {
        return Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// Checks a file's cases; a line for each wrong one, `WRONG number name op what`, and at the end `count
/// cases, count wrong`.
fn checked(file: &Path, precision: &str) -> ExitCode {
    // What panics is said with the case.
    std::panic::set_hook(Box::new(|_| {}));
    let cases = match container::read(file) {
        Ok(cases) => cases,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    let wrong = if precision == "f64" { check::all::<f64>(&cases) } else { check::all::<f32>(&cases) };
    for (i, what) in &wrong {
        let case = &cases[*i];
        println!("WRONG {i} {} {} {}", case.name, case.op, what.join("; "));
    }
    println!("{} cases, {} wrong", cases.len(), wrong.len());
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
