//! Writing a checkpoint: the whole file or none of it.

use super::atomic::write_atomically;
use super::error::{CheckpointError, Problem};
use super::format::{Metadata, StateDict};
use super::module::state_dict;
use super::safetensors;
use gradus_core::{Element, Module};
use std::path::Path;

/// Writes `tensors` and `metadata` as safetensors: the whole file or none of it (see [`write_atomically`]),
/// and the same bytes for the same input.
///
/// # Errors
/// [`Problem::Io`]; an earlier file at `path` is then untouched.
pub fn save(path: impl AsRef<Path>, tensors: &StateDict, metadata: &Metadata) -> Result<(), CheckpointError> {
    let path = path.as_ref();
    write_atomically(path, |out| safetensors::write(tensors, metadata, out))
        .map_err(|source| Problem::Io { doing: "write", source }.at(path))
}

/// Writes a network as safetensors that PyTorch loads; see [`save`].
///
/// # Errors
/// As [`save`].
pub fn save_module<E: Element>(
    path: impl AsRef<Path>,
    net: &mut impl Module<E>,
    metadata: &Metadata,
) -> Result<(), CheckpointError> {
    let path = path.as_ref();
    let tensors = Problem::within_memory("write", || Ok(state_dict(net)));
    save(path, &tensors.map_err(|problem| problem.at(path))?, metadata)
}
