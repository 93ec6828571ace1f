//! The formats of checkpoints, and what all of them hold: tensors by name, and text.

use super::raw::RawTensor;
use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::fmt;

/// Tensors by name, in the order of the network.
pub type StateDict = IndexMap<String, RawTensor>;

/// Free text beside the tensors, safetensors' `__metadata__`.
pub type Metadata = BTreeMap<String, String>;

/// A checkpoint's file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// <https://github.com/huggingface/safetensors>
    Safetensors,
    /// `torch.save` since PyTorch 1.6: a zip archive.
    TorchZip,
    /// `torch.save` before PyTorch 1.6, and with `_use_new_zipfile_serialization=False`.
    TorchLegacy,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::TorchZip => "PyTorch",
            Format::TorchLegacy => "legacy PyTorch",
        })
    }
}
