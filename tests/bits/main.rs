//! The recorded bits: every instruction set of this machine, on any number of threads, computes what
//! `recorded.txt` says, and the same in cases that are drawn at random.
//!
//! A process has one instruction set, so that the command `gradus bits` is run once for each. `controls.rs`
//! plants what would break the promise.

mod controls;

use gradus::bits::{Digests, RECORDED, parse};
use gradus_core::simd::Isa;
use rayon::prelude::*;
use serde_json::Value;
use std::process::Command;

/// Those of this machine, each with a number of threads, so that both are varied at once.
fn machines() -> Vec<(Isa, usize)> {
    let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    available.zip([2, 1, 3].into_iter().cycle()).collect()
}

/// What `gradus bits --json` prints there, and whether it ends with 0.
fn bits((isa, threads): (Isa, usize), args: &[&str]) -> (Value, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(["bits", "--json", "--threads", &threads.to_string()]).args(args);
    let out = command.env("GRADUS_ISA", isa.name()).env_remove("GRADUS_CONV").output().unwrap();
    let json = serde_json::from_slice(&out.stdout);
    let json: Value = json.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    assert_eq!(json["isa"], isa.name());
    (json, out.status.success())
}

/// The same of all machines, some of them at a time.
fn everywhere(args: &[&str]) -> Vec<((Isa, usize), (Value, bool))> {
    machines().into_par_iter().map(|machine| (machine, bits(machine, args))).collect()
}

fn digests(json: &Value) -> Digests {
    serde_json::from_value(json["digests"].clone()).expect("names and digests")
}

/// Names whose digests are not the same.
fn differing(a: &Digests, b: &Digests) -> Vec<String> {
    a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

#[test]
fn every_instruction_set_computes_the_recorded_bits() {
    let recorded = parse(RECORDED);
    let mut wrong = Vec::new();
    for (machine, (json, success)) in everywhere(&[]) {
        let differ = differing(&digests(&json), &recorded);
        assert_eq!((json["equal"].as_bool(), success), (Some(differ.is_empty()), differ.is_empty()));
        wrong.extend(differ.into_iter().map(|name| format!("{}: {name}", machine.0)));
    }
    assert!(wrong.is_empty(), "{} digests are not the recorded ones:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn drawn_cases_have_the_same_bits_on_every_instruction_set() {
    let runs = everywhere(&["--drawn", "400", "--seed", "3"]).into_iter();
    let all: Vec<(Isa, Digests)> = runs.map(|(machine, (json, _))| (machine.0, digests(&json))).collect();
    let (first, expected) = &all[0];
    assert!(expected.len() >= 800);
    for (isa, digests) in &all {
        let differ = differing(digests, expected);
        assert!(differ.is_empty(), "{isa} and {first} differ in {}", differ.join("\n"));
    }
}

#[test]
fn what_is_recorded_elsewhere_is_not_compared() {
    let refused = |args: &[&str], variable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
        let out = command.arg("bits").args(args).env(variable, "im2col").output().unwrap();
        assert_eq!(out.status.code(), Some(2));
        String::from_utf8(out.stderr).unwrap()
    };
    assert!(refused(&["--precision", "bf16"], "NOTHING").contains("no use for '--precision'"));
    assert!(refused(&[], "GRADUS_CONV").contains("unset it"));
}

/// An op that nobody recorded would not be promised.
#[test]
fn every_op_of_the_tape_is_recorded() {
    let sources = [
        "activation",
        "arithmetic",
        "conv/op",
        "conv/transpose",
        "dropout",
        "linear",
        "loss/classes",
        "loss/pairs",
        "matmul",
        "norm",
        "pool",
        "reduce",
        "reshape",
        "resize",
        "roi_align",
        "softmax",
    ];
    let text = |path: String| std::fs::read_to_string(path).unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let here: String = std::fs::read_dir(format!("{root}/src/bits"))
        .unwrap()
        .fold(String::new(), |all, entry| all + &text(entry.unwrap().path().display().to_string()));
    let mut seen = 0;
    for source in sources {
        let source = text(format!("{root}/core/src/ops/{source}.rs"));
        let ops = source
            .split("impl<E: Element> Tape<E> {")
            .skip(1)
            .flat_map(|part| part.split("\n    pub fn ").skip(1));
        for op in ops.filter_map(|op| op.split(['(', '<']).next()) {
            assert!(here.contains(&format!("t.{op}(")), "{op} has no case in src/bits");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} ops");
}
