//! `cargo run -p gradus-proofs`: runs every test and machine proof, and prints what stands for each claim.

use gradus_proofs::claims::{self, Book, Claim};
use gradus_proofs::property::REPORT;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

const HELP: &str = "\
Checks the claims under gradus: runs their tests, their negative controls and their machine proofs.

Usage: cargo run -p gradus-proofs -- [--json] [--tables] [LABEL...]

  LABEL      only these claims, such as D2 I6
  --json     one JSON value on standard output
  --tables   only writes the tables of claims into the README files

PROPTEST_CASES=20000 tries more cases (1000 by default), PROPTEST_RNG_SEED=7 others.
Machine proofs need coqc and z3 (Debian: coq, z3) and bash. Exit code 1 if anything failed.
";

/// What one test did.
#[derive(Clone, Debug, Default)]
struct Outcome {
    passed: bool,
    cases: u64,
    counterexamples: Vec<String>,
}

/// What became of a machine proof.
#[derive(Clone, Debug)]
enum Checked {
    Passed(String),
    Failed(String),
    ToolMissing,
}

fn main() -> ExitCode {
    let (mut as_json, mut tables, mut labels) = (false, false, Vec::new());
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--json" => as_json = true,
            "--tables" => tables = true,
            "--help" | "-h" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            label if claims::label_of(label).is_some() => labels.push(label.to_uppercase()),
            other => {
                eprintln!("{other}: neither an option nor a claim's label\n\n{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    let result = if tables { write_tables() } else { check(&labels, as_json) };
    result.unwrap_or_else(|e| {
        eprintln!("gradus-proofs: {e}");
        ExitCode::FAILURE
    })
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn write_tables() -> Result<ExitCode> {
    let book = claims::read(&claims::root())?;
    for (path, page) in claims::pages(&claims::root(), &book)? {
        std::fs::write(&path, page)?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn check(labels: &[String], as_json: bool) -> Result<ExitCode> {
    let mut book = claims::read(&claims::root())?;
    if let Some(unknown) = labels.iter().find(|l| book.claims.iter().all(|c| c.label != **l)) {
        return Err(format!("no claim is called {unknown}").into());
    }
    book.claims.retain(|c| labels.is_empty() || labels.contains(&c.label));
    let tests = run_tests(labels)?;
    let proofs = run_proofs(&book)?;
    let failed: Vec<&str> = tests.iter().filter(|(_, o)| !o.passed).map(|(name, _)| name.as_str()).collect();
    let proven = proofs.values().all(|p| !matches!(p, Checked::Failed(_)));
    let complete = book
        .claims
        .iter()
        .all(|c| [&c.tests, &c.controls].iter().all(|v| v.iter().all(|t| tests.contains_key(t))));
    let passed = failed.is_empty() && proven && complete && book.problems.is_empty();
    if as_json {
        println!("{:#}", as_value(&book, &tests, &proofs, passed));
    } else {
        print_table(&book, &tests, &proofs);
        failed.iter().for_each(|name| println!("FAILED: {name}"));
        book.problems.iter().for_each(|p| println!("PROBLEM: {p}"));
        println!("{}", if passed { "Every claim stands." } else { "Not every claim stands." });
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the tests in a cargo of their own, which says how each ended; the tests themselves report the cases
/// they tried.
fn run_tests(labels: &[String]) -> Result<HashMap<String, Outcome>> {
    let report = tempfile::NamedTempFile::new()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // At least two threads: on one, libtest would not give each test a thread of its name.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let mut run = Command::new(cargo);
    run.args(["test", "--no-fail-fast", "--manifest-path"]).arg(claims::root().join("Cargo.toml"));
    run.args(["--", "--test-threads", &threads.to_string()]);
    run.args(labels.iter().map(|l| format!("{}_", l.to_lowercase())));
    run.env(REPORT, report.path()).stderr(Stdio::inherit());
    let output = run.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut tests: HashMap<String, Outcome> = said.lines().filter_map(outcome).collect();
    if tests.is_empty() {
        return Err(format!("the tests did not run:\n{said}").into());
    }
    if !output.status.success() {
        eprintln!("{said}");
    }
    for line in std::fs::read_to_string(report.path())?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let name = line["test"].as_str().and_then(|name| name.rsplit("::").next());
        let Some(test) = name.and_then(|name| tests.get_mut(name)) else { continue };
        test.cases += line["cases"].as_u64().unwrap_or(0);
        test.counterexamples.extend(line["counterexample"].as_str().map(str::to_string));
    }
    Ok(tests)
}

/// A line of libtest: "test NAME ... ok".
fn outcome(line: &str) -> Option<(String, Outcome)> {
    let (name, end) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.split(" - ").next()?.rsplit("::").next()?;
    Some((name.to_string(), Outcome { passed: end.trim() == "ok", ..Outcome::default() }))
}

/// Runs proofs/check-machine on the files of each tool, and reads its lines: "ok 1.2 s folder/file what it
/// says".
fn run_proofs(book: &Book) -> Result<HashMap<String, Checked>> {
    let mut results = HashMap::new();
    for extension in ["v", "smt2"] {
        let of_tool = |f: &String| Path::new(f).extension().is_some_and(|e| e == extension);
        let named = book.claims.iter().flat_map(|c| c.proofs.iter().map(|f| format!("{}/{f}", c.folder)));
        let mut files: Vec<String> = named.filter(of_tool).collect();
        files.sort();
        files.dedup();
        if files.is_empty() {
            continue;
        }
        let mut script = Command::new(claims::root().join("check-machine"));
        script.args(files.iter().map(|f| claims::root().join(f)));
        let Ok(output) = script.stderr(Stdio::inherit()).output() else {
            results.extend(files.into_iter().map(|f| (f, Checked::ToolMissing)));
            continue;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for file in files {
            let line = said.lines().find(|l| l.split_whitespace().nth(3) == Some(&file));
            let verdict =
                || line.unwrap_or_default().split_once(&file).map_or("", |l| l.1).trim().to_string();
            let checked = match line.and_then(|l| l.split_whitespace().next()) {
                Some("ok") => Checked::Passed(verdict()),
                Some(_) => Checked::Failed(verdict()),
                None if output.status.code() == Some(3) => Checked::ToolMissing,
                None => Checked::Failed("check-machine said nothing of it".to_string()),
            };
            results.insert(file, checked);
        }
    }
    Ok(results)
}

fn as_value(
    book: &Book,
    tests: &HashMap<String, Outcome>,
    proofs: &HashMap<String, Checked>,
    passed: bool,
) -> Value {
    let test = |name: &String| {
        let o = tests.get(name).cloned().unwrap_or_default();
        json!({"name": name, "passed": o.passed, "cases": o.cases, "counterexamples": o.counterexamples})
    };
    let proof = |c: &Claim, file: &String| {
        let (status, says) = match &proofs[&format!("{}/{file}", c.folder)] {
            Checked::Passed(says) => ("checked", says.as_str()),
            Checked::Failed(says) => ("failed", says.as_str()),
            Checked::ToolMissing => ("tool not installed", ""),
        };
        json!({"file": format!("{}/{file}", c.folder), "status": status, "says": says})
    };
    let claim = |c: &Claim| {
        json!({
            "label": c.label, "title": c.title, "folder": c.folder,
            "tests": c.tests.iter().map(test).collect::<Vec<_>>(),
            "controls": c.controls.iter().map(test).collect::<Vec<_>>(),
            "proofs": c.proofs.iter().map(|f| proof(c, f)).collect::<Vec<_>>(),
        })
    };
    json!({
        "passed": passed,
        "claims": book.claims.iter().map(claim).collect::<Vec<_>>(),
        "problems": book.problems,
    })
}

fn print_table(book: &Book, tests: &HashMap<String, Outcome>, proofs: &HashMap<String, Checked>) {
    let mut folder = "";
    for c in &book.claims {
        if c.folder != folder {
            folder = &c.folder;
            println!("\n{folder}");
            println!(
                "  {:<5} {:<48} {:>7} {:>11} {:>9}  machine proof",
                "claim", "", "tests", "cases", "controls"
            );
        }
        let share = |names: &[String]| {
            let passed = names.iter().filter(|t| tests.get(*t).is_some_and(|o| o.passed)).count();
            if passed == names.len() {
                format!("{passed} ok")
            } else {
                format!("{passed} of {}", names.len())
            }
        };
        let cases = thousands(c.tests.iter().filter_map(|t| tests.get(t)).map(|o| o.cases).sum());
        let machine = c.proofs.iter().map(|f| match &proofs[&format!("{folder}/{f}")] {
            Checked::Passed(_) => format!("{f} checked"),
            Checked::Failed(says) => format!("{f} FAILED: {says}"),
            Checked::ToolMissing => format!("{f} not checked: tool not installed"),
        });
        let machine = machine.collect::<Vec<_>>().join(", ");
        let title = shortened(&c.title, 48);
        let (tests_ok, controls_ok) = (share(&c.tests), share(&c.controls));
        println!("  {:<5} {title:<48} {tests_ok:>7} {cases:>11} {controls_ok:>9}  {machine}", c.label);
        for name in &c.controls {
            let planted = name.splitn(3, '_').nth(2).unwrap_or(name).replace('_', " ");
            for case in tests.get(name).iter().flat_map(|o| &o.counterexamples) {
                println!("        \"{planted}\" is refuted by {}", shortened(case, 100));
            }
        }
    }
    println!();
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap_or_default()).collect();
    groups.join(",")
}

/// On one line, at most so many characters.
fn shortened(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most { line } else { line.chars().take(most - 1).chain(['…']).collect() }
}
