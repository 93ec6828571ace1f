//! The kept inputs of the fuzzer (`fuzz/run`), read again: each is one that once went a way of its own
//! through a reader, or broke one. They are held to the targets' properties, memory among them.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use targets::{TARGETS, Target};

/// The inputs of a target by their names.
fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read(path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

/// One test, for memory is counted of the whole process.
#[test]
fn kept_inputs_are_read_as_promised() {
    // What is written is on no disk, which would take its time.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::env::override_temp_dir(memory).unwrap();
    }
    let mut wrong = Vec::new();
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for (name, input) in inputs {
            if catch_unwind(AssertUnwindSafe(|| target.check(&input))).is_err() {
                wrong.push(format!("fuzz/corpus/{}/{name}", target.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is beyond a target's memory is seen.
    let hungry = Target { run: |_| drop(vec![1_u8; 9 << 10]), memory: 8, ..*TARGETS.first().unwrap() };
    assert!(catch_unwind(|| hungry.check(&[])).is_err());
    assert!(Target::named("png").is_some() && Target::named("none").is_none());
}
