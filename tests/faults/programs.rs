//! The command itself, killed: a classifier and a detector, whose states are hundreds of megabytes and whose
//! threads are several. Each is killed at file calls, or at moments, drawn at random, goes on, and ends with
//! the same weights.

use crate::folder::{self, Contents};
use crate::strace::{Call, Fault, Program};
use gradus_core::Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// At file calls, of each program.
const KILLS: usize = 10;
/// At moments, of each program.
const MOMENTS: usize = 500;
/// A run that is killed again and again is let alone after so many kills, so that it ends.
const OF_A_RUN: usize = 12;

/// Each program's name and arguments.
const PROGRAMS: [(&str, &str); 2] = [
    ("classifier", "train alexnet --data synthetic:48 --batch 12 --epochs 2"),
    (
        "detector",
        "train detector --model fasterrcnn --backbone mobilenet-v2-fpn --data synthetic:4:64x48 --test-split last:1 \
         --min-size 48 --max-size 64 --batch 1 --epochs 2",
    ),
];

fn program(arguments: &str, folder: &Path) -> Program {
    let mut arguments: Vec<String> = arguments.split_whitespace().map(String::from).collect();
    arguments.extend(["--threads".into(), "2".into(), "--out".into(), folder.display().to_string()]);
    if folder.join("args.json").exists() {
        arguments.push("--resume".into());
    }
    Program { path: PathBuf::from(env!("CARGO_BIN_EXE_gradus")), arguments, threads: true }
}

/// What of a run's files is a function of its settings.
fn weights(folder: &Path) -> Contents {
    let mut contents = folder::contents(folder);
    contents.retain(|name, _| name.starts_with("weights/") || name.starts_with("state/"));
    contents
}

/// A run's folder where a program leaves nothing out, and what it leaves there; how long it takes.
fn whole(name: &str, arguments: &str, folder: &Path) -> Result<(Contents, Duration), String> {
    let start = Instant::now();
    let ended = program(arguments, folder).run();
    let took = start.elapsed();
    if ended.code != Some(0) {
        return Err(format!("{name} ends with {:?}: {}", ended.code, ended.said.trim()));
    }
    let left = weights(folder);
    fs::remove_dir_all(folder).expect("a run's folder");
    Ok((left, took))
}

/// Those whose names hold `text`.
fn programs(text: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    PROGRAMS.into_iter().filter(move |(name, _)| name.contains(text))
}

/// Kills the programs whose names hold `text` at moments that are drawn at random, each run several times.
/// Returns what is lost.
pub fn killed_at_moments(text: &str, root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    let mut rng = Rng::seed(23);
    for (name, arguments) in programs(text) {
        let folder = root.join(name);
        let (left, takes) = match whole(name, arguments, &folder) {
            Ok(whole) => whole,
            Err(what) => {
                findings.push(what);
                continue;
            }
        };
        let (mut kills, mut runs, mut of_this) = (0, 0, 0);
        while kills < MOMENTS || of_this > 0 {
            // Soon, so that a run meets several on its way; the later ones are far on it.
            let patience = takes.mul_f64(rng.range(0.0, 0.6));
            let ended = match of_this < OF_A_RUN && kills < MOMENTS {
                true => program(arguments, &folder).run_for(patience),
                false => program(arguments, &folder).run(),
            };
            match ended.code {
                None if ended.said.contains("panicked") => {
                    findings.push(format!("{name} panics: {}", ended.said.trim()));
                    break;
                }
                None => {
                    kills += 1;
                    of_this += 1;
                    continue;
                }
                Some(0) => {
                    let lost = folder::difference(&left, &weights(&folder));
                    findings.extend(
                        lost.map(|what| format!("{name}, run {runs}, killed {of_this} times: {what}")),
                    );
                }
                Some(code) => findings.push(format!("{name} ends with {code}: {}", ended.said.trim())),
            }
            (runs, of_this) = (runs + 1, 0);
            let _ = fs::remove_dir_all(&folder);
            if runs % 20 == 0 {
                println!("{name}: {kills} kills of {runs} runs, {} findings", findings.len());
            }
        }
        println!("{name}: {kills} kills of {runs} runs, which took {:.1} s unbroken", takes.as_secs_f64());
    }
    findings
}

/// Kills the programs whose names hold `text` at file calls. Returns what is lost.
pub fn killed(text: &str, root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, arguments) in programs(text) {
        let (whole, log) = (root.join(name), root.join(format!("{name}.log")));
        let (ended, mut calls) = program(arguments, &whole).trace(&whole, &log);
        if ended.code != Some(0) {
            findings.push(format!("{name} ends with {:?}: {}", ended.code, ended.said.trim()));
            continue;
        }
        let left = weights(&whole);
        fs::remove_dir_all(&whole).expect("a run's folder");
        let writes = |call: &Call| {
            let of_run = call.line.contains("RUN");
            of_run && ["rename", "fsync", "fdatasync", "write"].iter().any(|kind| call.kind.starts_with(kind))
        };
        calls.retain(writes);
        println!("{name}: {} writes, syncs and renames", calls.len());
        Rng::seed(22).shuffle(&mut calls);
        for call in &calls[..KILLS.min(calls.len())] {
            let what = kill(arguments, &whole, &log, call, &left);
            println!(
                "{name}, killed at {} {}: {}",
                call.kind,
                call.number,
                what.as_deref().unwrap_or("the same bits")
            );
            findings.extend(what.map(|what| format!("{name}, killed at {}: {what}", call.line)));
            let _ = fs::remove_dir_all(&whole);
        }
    }
    findings
}

/// Kills a run at a call, and lets it go on. Returns what is lost.
fn kill(arguments: &str, folder: &Path, log: &Path, call: &Call, left: &Contents) -> Option<String> {
    let ended = program(arguments, folder).inject(call, Fault::Kill, log);
    if ended.code.is_some() {
        return Some(format!("it was not killed: {}", ended.said.trim()));
    }
    let ended = program(arguments, folder).run();
    match ended.code {
        Some(0) => folder::difference(left, &weights(folder)),
        code => Some(format!("it does not go on, {code:?}: {}", ended.said.trim())),
    }
}
