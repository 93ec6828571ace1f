//! A run loses nothing, whichever of its file calls is its last, or fails.
//!
//! A tiny training (`child.rs`) is begun, resumed, replaced and interrupted; strace (`strace.rs`) tells its
//! calls on the run's folder. Then, for each call: a process killed at it, and one for which it fails (EIO,
//! ENOSPC, EMFILE, EACCES). Whoever is failed may take no notice, and then leaves what an unbroken run
//! leaves, or ends with a message that names a file; and the run goes on without faults to the bytes of the
//! unbroken one (`folder.rs`).
//!
//! A sample of all that by default. With `GRADUS_FAULTS=all` all of it; with `GRADUS_FAULTS=programs` the
//! sample and, killed at random calls, the command itself (`programs.rs`), with `GRADUS_FAULTS=moments` the
//! same at random moments, and with `programs:detector`, say, one of them alone; with any other text those
//! cases whose names hold it.

mod cases;
mod child;
mod folder;
mod programs;
mod strace;

use cases::{Case, Outcome, Place};
use gradus_core::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Of a sample: cases of each kind of call and fault.
const OF_EACH: usize = 2;
/// They wait for each other's processes more than they compute.
const WORKERS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[..] {
        [_, child, how, folder] if child == "child" => child::main(how, Path::new(folder)),
        _ => campaign(),
    }
}

fn campaign() -> ExitCode {
    if let Err(why) = strace::must_work() {
        println!("faults: {why}");
        return ExitCode::FAILURE;
    }
    let (start, what) = (Instant::now(), std::env::var("GRADUS_FAULTS").unwrap_or_default());
    let temporary = folder::temporary();
    let place = Place::new(temporary.path());
    let mut all = place.cases();
    println!("{} calls on {} runs' folders: {} cases", place.calls(), place.scenes(), all.len());
    Rng::seed(22).shuffle(&mut all);
    let (what, program) = what.split_once(':').unwrap_or((&what, ""));
    let chosen = match what {
        "" | "programs" | "moments" => sample(all),
        "all" => all,
        text => all.into_iter().filter(|case| place.name(case).contains(text)).collect(),
    };
    let (outcomes, mut findings) = meet(&place, &chosen);
    tell(&chosen, &outcomes);
    match what {
        "programs" => findings.extend(programs::killed(program, temporary.path())),
        "moments" => findings.extend(programs::killed_at_moments(program, temporary.path())),
        _ => {}
    }
    findings.iter().for_each(|finding| println!("FINDING: {finding}"));
    println!("{} findings, {:.0} s", findings.len(), start.elapsed().as_secs_f64());
    if findings.is_empty() && !chosen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Some cases of each kind of call and fault, the same each time.
fn sample(mut all: Vec<Case>) -> Vec<Case> {
    let mut counts = BTreeMap::new();
    all.retain(|case| {
        let count = counts.entry(case.kind()).or_insert(0);
        *count += 1;
        *count <= OF_EACH
    });
    all
}

/// What came of each case, None for a finding; and what was found.
fn meet(place: &Place, cases: &[Case]) -> (Vec<Option<Outcome>>, Vec<String>) {
    let (next, found) = (AtomicUsize::new(0), Mutex::new((vec![None; cases.len()], Vec::new())));
    let work = || loop {
        let i = next.fetch_add(1, Relaxed);
        let Some(case) = cases.get(i) else { return };
        let outcome = place.meet(i, case);
        let (outcomes, findings) = &mut *found.lock().expect("no panic");
        match outcome {
            Ok(outcome) => outcomes[i] = Some(outcome),
            Err(what) => findings.push(format!("{}: {what}", place.name(case))),
        }
        if i % 500 == 499 {
            println!("{} of {} cases, {} findings", i + 1, cases.len(), findings.len());
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().expect("no panic")
}

/// A line for each kind of call, and one for all.
fn tell(cases: &[Case], outcomes: &[Option<Outcome>]) {
    let line = |name: &str, of: &dyn Fn(&Case) -> bool| {
        let count = |wanted: Option<Outcome>| {
            cases.iter().zip(outcomes).filter(|(case, outcome)| of(case) && **outcome == wanted).count()
        };
        let [killed, tolerated, told] =
            [Outcome::Killed, Outcome::Tolerated, Outcome::Told].map(|o| count(Some(o)));
        println!(
            "{name:12} {killed:5} kills, {:5} errors ({tolerated} tolerated, {told} told), {} lost",
            tolerated + told,
            count(None)
        );
    };
    let kinds: BTreeSet<&str> = cases.iter().map(|case| case.call.kind.as_str()).collect();
    kinds.iter().for_each(|kind| line(kind, &|case| case.call.kind == *kind));
    line("in all", &|_| true);
}
