//! Runs the target that `GRADUS_FUZZ` names under libFuzzer. See `run`.
#![no_main]

mod targets;

use std::sync::LazyLock;
use targets::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("GRADUS_FUZZ").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| {
        let names: Vec<&str> = targets::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("GRADUS_FUZZ={name} is none of {}", names.join(" "));
        std::process::exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.check(input));
