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
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

/// The stored cases.
fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/stored.cases.gz")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--check", file, precision] => checked(Path::new(file), precision),
        ["--digests", file] => digests(Path::new(file)),
        ["--instruction-sets"] => {
            instruction_sets().for_each(|isa| println!("{isa}"));
            ExitCode::SUCCESS
        }
        _ => {
            let trial = |isa: Option<Isa>| Trial::test(name(isa), move || in_a_process(isa));
            let mut trials = vec![trial(None)];
            trials.extend(instruction_sets().map(|isa| trial(Some(isa))));
            trials.push(Trial::test("stored_cases/same_bits_on_every_instruction_set", same_bits));
            trials.extend(controls::trials());
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

/// Those whose products of f32 are made of f32.
fn instruction_sets() -> impl Iterator<Item = Isa> {
    [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable].into_iter().filter(|isa| isa.is_available())
}

fn name(isa: Option<Isa>) -> String {
    isa.map_or("stored_cases/f64".into(), |isa| format!("stored_cases/f32_{isa}"))
}

/// This program in a process of its own: the instruction set is chosen once for each.
fn again(isa: Option<Isa>, arguments: &[&OsStr]) -> Result<Output, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    if let Some(isa) = isa {
        command.env("GRADUS_ISA", isa.name());
    }
    Ok(command.output()?)
}

/// The stored cases on an instruction set.
fn in_a_process(isa: Option<Isa>) -> Result<(), Failed> {
    let precision = if isa.is_some() { "f32" } else { "f64" };
    let output = again(isa, &["--check".as_ref(), stored().as_os_str(), precision.as_ref()])?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A file with too few cases would pass.
    let count = said.lines().last().and_then(|l| l.split(' ').next()).and_then(|n| n.parse::<usize>().ok());
    if !output.status.success() || count.is_none_or(|n| n < 1000) {
        return Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// The bits of every value and gradient are those of the first instruction set.
fn same_bits() -> Result<(), Failed> {
    let digests = |isa: Isa| -> Result<(Isa, String), Failed> {
        let output = again(Some(isa), &["--digests".as_ref(), stored().as_os_str()])?;
        Ok((isa, String::from_utf8(output.stdout)?))
    };
    let all = instruction_sets().map(digests).collect::<Result<Vec<_>, _>>()?;
    let (first, expected) = &all[0];
    if expected.lines().count() < 1000 {
        return Err(format!("{first}: {} digests", expected.lines().count()).into());
    }
    let differ = all.iter().flat_map(|(isa, digests)| {
        let pairs = digests.lines().zip(expected.lines()).filter(|(own, right)| own != right);
        pairs.map(move |(own, _)| format!("{isa}: {own}"))
    });
    let differ: Vec<String> = differ.collect();
    if differ.is_empty() { Ok(()) } else { Err(differ.join("\n").into()) }
}

/// A line for each case of a file: the digest of what it computes in f32, its name and its op.
fn digests(file: &Path) -> ExitCode {
    let Ok(cases) = container::read(file) else { return ExitCode::FAILURE };
    let ops = cases::table::<f32>();
    cases.iter().for_each(|case| println!("{} {} {}", check::digest(&ops, case), case.name, case.op));
    ExitCode::SUCCESS
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
