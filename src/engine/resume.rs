//! How a training resumes: all that it needs, in one file that is replaced as a whole. The trainer
//! (`trainer.rs`) saves it and goes on from it; which settings may differ then, `run/changes.rs` says.
//!
//! A training's future is a function of its weights, its optimiser's state and its position, since all
//! randomness is derived from (seed, position). The file is safetensors: `model.*` holds the weights,
//! `optimizer.*` what the optimiser keeps of each, and the metadata the position, as JSON, beside what the
//! weights' files say. A checksum over all of it finds the bit that a disk has turned.

use crate::error::{Error, Result};
use crate::looks;
use gradus_core::optim::{Optimizer, State};
use gradus_core::{Layout, Module};
use gradus_models::checkpoint::{self, Metadata, StateDict, from_raw, load_exact, state_dict, to_raw};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
const POSITION: &str = "position";
const STEPS: &str = "optimizer_steps";
const CHECKSUM: &str = "crc32c";

/// An error of a checkpoint, told by the application.
pub fn checkpoint_error(e: checkpoint::CheckpointError) -> Error {
    match &e.problem {
        checkpoint::Problem::Io { doing: "write", source } => Error::write(&e.path, source),
        checkpoint::Problem::Io { source, .. } => Error::read(&e.path, source),
        checkpoint::Problem::Unrecognised { .. } => looks::instead(
            Error::input(e.to_string()),
            &e.path,
            "a checkpoint (.safetensors, or .pth as torch.save writes it)",
        ),
        _ => Error::input(e.to_string()),
    }
}

/// Saves the network, the optimiser and the position; `about` is what the weights' files say of themselves.
pub fn save(
    path: &Path,
    net: &mut impl Module<f32>,
    optimizer: &Optimizer,
    position: &impl Serialize,
    about: &Metadata,
) -> Result<()> {
    let mut tensors: StateDict =
        state_dict(net).into_iter().map(|(name, raw)| (format!("{MODEL}{name}"), raw)).collect();
    let mut steps = BTreeMap::new();
    for (name, state) in optimizer.state() {
        steps.insert(name, state.step);
        for (what, t) in optimizer.rule.state_names().iter().zip(&state.buffers) {
            tensors.insert(format!("{OPTIMIZER}{name}.{what}"), to_raw(t, Layout::Plain));
        }
    }
    let json = |v: serde_json::Result<String>| v.map_err(|e| Error::failure(format!("state: {e}")));
    let mut metadata = about.clone();
    metadata.insert(POSITION.into(), json(serde_json::to_string(position))?);
    metadata.insert(STEPS.into(), json(serde_json::to_string(&steps))?);
    metadata.insert(CHECKSUM.into(), checksum(&tensors, &metadata));
    checkpoint::save(path, &tensors, &metadata).map_err(checkpoint_error)
}

/// The error of a file that is no state of the run, and why.
pub(super) fn damaged(path: &Path, what: impl Display) -> Error {
    Error::input(format!("is not a training state of this run: {what}"))
        .in_file(path)
        .remedy("start again with --force")
}

/// A checksum of the tensors, in whichever order the file has them, and of the position.
fn checksum(tensors: &StateDict, metadata: &Metadata) -> String {
    let mut sum = 0;
    let mut add = |bytes: &[u8]| sum = crc32c::crc32c_append(sum, bytes);
    for key in [POSITION, STEPS] {
        add(metadata.get(key).map_or(&[], String::as_bytes));
    }
    let sorted: BTreeMap<_, _> = tensors.iter().collect();
    for (name, tensor) in sorted {
        add(name.as_bytes());
        add(tensor.bytes());
    }
    format!("{sum:08x}")
}

/// Restores what [`save`] wrote into a network and an optimiser of the same settings, and returns the
/// position.
pub fn load<P: DeserializeOwned>(
    path: &Path,
    net: &mut impl Module<f32>,
    optimizer: &mut Optimizer,
) -> Result<P> {
    let loaded = checkpoint::load_verbatim(path).map_err(checkpoint_error)?;
    let damaged = |what| damaged(path, what);
    let text = |key: &str| loaded.metadata.get(key).ok_or_else(|| damaged(format!("no `{key}`")));
    // Written by those that knew of none, it has none.
    if let Some(own) = loaded.metadata.get(CHECKSUM)
        && *own != checksum(&loaded.tensors, &loaded.metadata)
    {
        return Err(damaged("its checksum is that of other content; the file is damaged".into()));
    }
    let position = serde_json::from_str(text(POSITION)?).map_err(|e| damaged(e.to_string()))?;
    let steps: BTreeMap<String, u64> =
        serde_json::from_str(text(STEPS)?).map_err(|e| damaged(e.to_string()))?;

    let weights =
        loaded.tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix(MODEL)?.to_string(), v.clone())));
    load_exact(net, &weights.collect(), path).map_err(checkpoint_error)?;

    let names = optimizer.rule.state_names();
    let mut states = BTreeMap::new();
    let mut missing = None;
    net.for_each_param(|name, p| {
        let Some(&step) = steps.get(name) else { return };
        let buffers = names.iter().map(|what| {
            let raw = loaded.tensors.get(&format!("{OPTIMIZER}{name}.{what}"))?;
            from_raw(raw, p.value.shape(), Layout::Plain)
        });
        match buffers.collect() {
            Some(buffers) => {
                states.insert(name.to_string(), State { step, buffers });
            }
            None => missing = Some(name.to_string()),
        }
    });
    if let Some(name) = missing {
        return Err(damaged(format!("the optimiser's tensors for {name}")));
    }
    optimizer.load_state(net, states).map_err(|e| damaged(e.to_string()))?;
    Ok(position)
}
