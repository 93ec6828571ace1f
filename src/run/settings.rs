//! A run's settings, `args.json`.
//!
//! A run is a function of its settings as the program computes it, and what the program computes has changed:
//! [`BITS`] counts how often. A run goes on where that is what it was when it was begun; otherwise it would
//! end as a run of neither program.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::{files, looks};

pub(super) const ARGS: &str = "args.json";
/// More than the settings of any run, the names of thousands of classes among them.
pub(super) const TEXT: u64 = 16 << 20;

/// Which bits trainings have. It is raised by each change after which some recipe gives others:
///
/// 1. those of runs whose `args.json` says none: elementary functions were the C library's, and f32 was
///    rounded as the instruction set had it;
/// 2. elementary functions are the program's own, f32 is the same on every processor, and JPEG's pixels are.
pub const BITS: u64 = 2;
pub(super) const BITS_NAME: &str = "bits";
const WITHOUT: u64 = 1;

/// Error: the run in `folder` was begun when trainings had other bits.
pub(super) fn must_have_these_bits(folder: &Path) -> Result<()> {
    let settings: Value = read(folder)?;
    let bits = settings.get(BITS_NAME).map_or(WITHOUT, |bits| bits.as_u64().unwrap_or_default());
    if bits == BITS {
        return Ok(());
    }
    let (when, run) = (if bits < BITS { "an earlier" } else { "a later" }, folder.display());
    let what = format!(
        "was begun by {when} gradus, whose trainings have other bits ({bits}, here {BITS}): it would end as a run of \
         neither"
    );
    let command = format!("`gradus train detector --weights {run}/weights/last.safetensors`");
    let anew = match settings["task"].as_str() {
        Some("detector") => format!("{command} begins a new run with its weights"),
        _ => "begin a new run with another --out".into(),
    };
    let remedy = format!("{anew}; all other commands read its weights as before");
    Err(Error::input(what).in_file(folder).remedy(remedy))
}

/// The settings that the run in `folder` goes by.
pub(super) fn read<T: DeserializeOwned>(folder: &Path) -> Result<T> {
    let path = folder.join(ARGS);
    let bytes = files::read(&path, TEXT).map_err(|e| e.remedy("name the folder of a run"));
    let bytes = bytes.map_err(|e| match path.exists() {
        true => e,
        false => looks::instead(e, folder, "the folder of a run"),
    })?;
    let other = |e: &str| e.starts_with("missing field") || e.contains("expected struct");
    serde_json::from_slice(&bytes).map_err(|e| {
        let settings: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match settings["task"].as_str() {
            // One of the other kind lacks some, or has others.
            Some(task) if other(&e.to_string()) => {
                Error::input(format!("is a run of `gradus train {task}`, and another is wanted here"))
                    .in_file(folder)
                    .remedy("name a run of the kind that this command takes")
            }
            _ => Error::input(format!("does not hold a run's settings: {e}"))
                .in_file(path)
                .remedy("name the folder of a run"),
        }
    })
}

/// Writes a run's settings.
pub(super) fn write(folder: &Path, settings: Map<String, Value>) -> Result<()> {
    let text = serde_json::to_string_pretty(&Value::Object(settings)).map_err(internal)?;
    files::write_atomic(folder.join(ARGS), (text + "\n").as_bytes())
}

/// The error of what is no JSON, which is the program's own fault.
pub(super) fn internal(e: serde_json::Error) -> Error {
    Error::failure(format!("the settings or a log line cannot be written as JSON: {e}"))
}

/// The settings as an object, with the program's version and [`BITS`].
pub(super) fn complete(settings: &impl Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(settings).map_err(internal)? {
        Value::Object(mut map) => {
            map.insert("version".into(), env!("CARGO_PKG_VERSION").into());
            map.insert(BITS_NAME.into(), BITS.into());
            Ok(map)
        }
        other => Err(Error::failure(format!("settings are a struct or a map, not {other}"))),
    }
}
