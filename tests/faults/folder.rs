//! What a run leaves, without what measures time: two runs that end alike leave the same.

use gradus_models::checkpoint;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of files within a run's folder, and what is in them.
pub type Contents = BTreeMap<String, Vec<u8>>;

/// All files of a run.
pub fn contents(folder: &Path) -> Contents {
    let mut found = Contents::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(folder.join(&at)).expect("a run's folder") {
            let name = at.join(entry.expect("an entry").file_name());
            let path = folder.join(&name);
            if path.is_dir() {
                folders.push(name);
                continue;
            }
            let bytes = fs::read(&path).expect("a run's file");
            let name = gradus::files::name_of(name);
            // A lock's says nothing by itself, and a disk that fails may keep it; what a run does now tells
            // time.
            if name == ".lock" || name.contains("live.json") {
                continue;
            }
            let (name, bytes) = match name.strip_prefix("events.out.") {
                Some(own) => {
                    let of = if own.ends_with(".end.gradus") { "events of the end" } else { "events" };
                    (of.to_string(), events(&bytes))
                }
                None if name.ends_with("state.safetensors") => (name, state(&path)),
                None => (name, bytes),
            };
            // A second event file is one too many.
            let name = if found.contains_key(&name) { format!("another {name}") } else { name };
            found.insert(name, bytes);
        }
    }
    found
}

/// The first difference.
pub fn difference(whole: &Contents, broken: &Contents) -> Option<String> {
    let missing = whole.keys().find(|name| !broken.contains_key(*name));
    let more = broken.keys().find(|name| !whole.contains_key(*name));
    let differs = whole.iter().find(|(name, bytes)| broken.get(*name).is_some_and(|b| b != *bytes));
    let missing = missing.map(|name| format!("{name} is missing"));
    missing
        .or_else(|| more.map(|name| format!("{name} is left over")))
        .or_else(|| differs.map(|(name, _)| format!("{name} differs")))
}

/// The records of an event file, without their wall times and the checksums of these. What is no record stays
/// as it is.
fn events(mut bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let record = |bytes: &[u8]| {
        let length = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
        // Length and its checksum, tag and time; the rest of the data, and its checksum.
        Some((12 + 9, bytes.get(..length.checked_add(16)?)?.len()))
    };
    while let Some((begin, end)) = record(bytes) {
        kept.extend_from_slice(bytes.get(begin..end - 4).unwrap_or_default());
        bytes = &bytes[end..];
    }
    kept.extend_from_slice(bytes);
    kept
}

/// The tensors of a state and its metadata, without seconds and the checksum of these. What is no state stays
/// as it is.
fn state(path: &Path) -> Vec<u8> {
    let Ok(loaded) = checkpoint::load_verbatim(path) else { return fs::read(path).expect("a run's file") };
    let mut kept = Vec::new();
    for (name, tensor) in loaded.tensors.iter().collect::<BTreeMap<_, _>>() {
        kept.extend_from_slice(format!("{name} {:?}\n", tensor.shape()).as_bytes());
        kept.extend_from_slice(tensor.bytes());
    }
    for (name, text) in loaded.metadata.iter().collect::<BTreeMap<_, _>>() {
        if name != "crc32c" {
            let mut value: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
            timeless(&mut value);
            kept.extend_from_slice(format!("{name} {value}\n").as_bytes());
        }
    }
    kept
}

fn timeless(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| name != "seconds" && name != "images_per_second");
            map.values_mut().for_each(timeless);
        }
        Value::Array(list) => list.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// A folder for all runs: in memory, where the system has such a place, since nothing here is for keeps.
pub fn temporary() -> tempfile::TempDir {
    #[cfg(unix)]
    let memory = Path::new("/dev/shm");
    #[cfg(not(unix))]
    let memory = Path::new("");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// Copies a run.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).expect("a copy")),
        }
    }
}
