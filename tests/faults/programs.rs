//! The command itself, killed: a classifier and a detector, whose states are hundreds of megabytes and whose
//! threads are several. Each is killed at file calls drawn at random, goes on, and ends with the same weights.

use crate::folder::{self, Contents};
use crate::strace::{Call, Fault, Program};
use gradus_core::Rng;
use std::fs;
use std::path::{Path, PathBuf};

/// Of each program.
const KILLS: usize = 10;

/// Each program's name and arguments.
const PROGRAMS: [(&str, &str); 2] = [
    ("classifier", "train alexnet --data synthetic:48 --batch 12 --epochs 2"),
    (
        "detector",
        "train detector --model fasterrcnn --backbone mobilenet-v2 --data synthetic:4:96x64 --test-split last:1 \
         --min-size 64 --max-size 96 --batch 1 --epochs 2",
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

/// Kills them. Returns what is lost.
pub fn killed(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, arguments) in PROGRAMS {
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
