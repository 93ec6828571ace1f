//! What the project depends on is what `deny.toml` allows: licences, one version of a crate, no crate that is
//! banned, one source.
//!
//! `cargo deny` reads the same file and looks deeper, but takes longer to install than this crate to test.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The quoted texts of a list of `deny.toml`, those that follow `before` where that is given.
fn list(text: &str, name: &str, before: &str) -> BTreeSet<String> {
    let start = text.find(&format!("\n{name} = [")).unwrap_or_else(|| panic!("deny.toml has no {name}"));
    let list = &text[start..][..text[start..].find("\n]").expect("the list's end")];
    let lines = list.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let after = lines.filter_map(|line| line.split_once(&format!("{before}\"")).map(|(_, rest)| rest));
    after.filter_map(|rest| rest.split('"').next().map(String::from)).collect()
}

/// Whether one of the licences that an expression lets one choose between is allowed; an exception belongs to
/// its licence. Parentheses hold no `AND` here, which the test would otherwise refuse.
fn allowed(expression: &str, licences: &BTreeSet<String>) -> bool {
    let plain = expression.replace(['(', ')'], "").replace(" / ", " OR ").replace('/', " OR ");
    plain.split(" AND ").all(|part| part.split(" OR ").any(|one| licences.contains(one.trim())))
}

fn metadata() -> Value {
    let said = |command: &mut Command| {
        let told = command.output().expect("a tool of Rust's");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        told.stdout
    };
    // Crates for other platforms than this one need not be here.
    let version = said(Command::new("rustc").arg("-vV"));
    let version = String::from_utf8_lossy(&version);
    let here = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc's host");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", here]);
    serde_json::from_slice(&said(cargo.arg("--manifest-path").arg(manifest))).expect("cargo's metadata")
}

#[test]
fn dependencies_are_what_is_allowed() {
    let rules = include_str!("../deny.toml");
    let licences = list(rules, "allow", "");
    let banned = list(rules, "deny", "name = ");
    let skipped = list(rules, "skip", "crate = ");
    assert!(licences.contains("MIT") && banned.contains("ttf-parser") && !skipped.is_empty());
    let metadata = metadata();
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let (name, source) = (text("name"), text("source"));
        if !used.contains(text("id")) || source.is_empty() {
            continue;
        }
        assert!(source.starts_with("registry+"), "{name} comes from {source}");
        assert!(!banned.contains(name), "{name} is banned");
        assert!(allowed(text("license"), &licences), "{name}: {}", text("license"));
        let version = format!("{name}@{}", text("version"));
        if !skipped.contains(&version) {
            versions.entry(name).or_default().push(version);
        }
    }
    assert!(versions.len() > 100, "{} crates", versions.len());
    let twice: Vec<_> = versions.values().filter(|versions| versions.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}: one of each must go, or stand in deny.toml with a reason");
}

/// The names and versions in a lock file.
fn locked(text: &str) -> BTreeSet<(&str, &str)> {
    let values = |key| text.lines().filter_map(move |line| line.strip_prefix(key)?.strip_suffix('"'));
    values("name = \"").zip(values("version = \"")).collect()
}

/// `fuzz/` stands outside of the workspace and has a lock file of its own, which no build of the project renews.
#[test]
fn what_is_fuzzed_is_what_is_built() {
    let (ours, fuzzed) = (locked(include_str!("../Cargo.lock")), locked(include_str!("../fuzz/Cargo.lock")));
    let names: BTreeSet<&str> = ours.iter().map(|(name, _)| *name).collect();
    let other: Vec<_> = fuzzed.difference(&ours).filter(|(name, _)| names.contains(name)).collect();
    assert!(other.is_empty(), "{other:?} are of other versions than Cargo.lock's");
    let metadata = metadata();
    let every = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let built: BTreeSet<String> = every(&metadata, "packages")
        .iter()
        .filter(|package| package["source"].is_null() && package["name"] != "gradus-proofs")
        .flat_map(|package| every(package, "dependencies"))
        .filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| dependency["name"].as_str().map(String::from))
        .collect();
    assert!(built.contains("png"), "{built:?}");
    let fuzzed: BTreeSet<&str> = fuzzed.iter().map(|(name, _)| *name).collect();
    let lacking: Vec<_> = built.iter().filter(|name| !fuzzed.contains(name.as_str())).collect();
    assert!(
        lacking.is_empty(),
        "fuzz/Cargo.lock lacks {lacking:?}: cargo update -w --manifest-path fuzz/Cargo.toml"
    );
}

#[test]
fn licences_are_read_as_choices_and_demands() {
    let some: BTreeSet<String> = ["MIT", "ISC"].map(String::from).into();
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND ISC"] {
        assert!(allowed(good, &some), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT WITH exception"] {
        assert!(!allowed(bad, &some), "{bad}");
    }
}
