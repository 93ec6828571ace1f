//! Checkpoints: named tensors in a file, as PyTorch and safetensors write them.
//!
//! [`load`] recognises a file by its content; [`save`] writes safetensors, which PyTorch reads back. Names and
//! layouts are PyTorch's. A file is never trusted: it cannot run code, cause a panic, or take more memory than a small
//! multiple of its own size and a fixed sum; what is wrong with it is told by [`CheckpointError`].
//!
//! ```
//! use gradus_models::checkpoint::{self, Metadata, RawTensor, StateDict};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("weights.safetensors");
//! let weights = StateDict::from([("fc.bias".to_string(), RawTensor::from_f32(&[2], &[0.5, -1.0]))]);
//! checkpoint::save(&path, &weights, &Metadata::new())?;
//! let loaded = checkpoint::load(&path)?;
//! assert_eq!(loaded.tensors["fc.bias"].to_f32(), [0.5, -1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod error;
mod hash;
mod module;
mod names;
mod pickle;
mod pretrained;
mod pth;
mod raw;
mod safetensors;
mod torch;

pub use atomic::write_atomically;
pub use error::{CheckpointError, Problem};
pub use hash::verify_name_hash;
pub use module::{LoadReport, from_raw, load_exact, load_matching, save_module, state_dict, to_raw};
pub use names::{modern_name, modernise};
pub use pretrained::{NORM_EPS, Pretrained, Source, load_pretrained, norm_eps, pretrain};
pub use raw::{Dtype, RawTensor};

use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

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

/// What [`load`] found in a file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file's format.
    pub format: Format,
    /// The tensors by name.
    pub tensors: StateDict,
    /// The text beside them; PyTorch's own files have none.
    pub metadata: Metadata,
    /// The keys that led to the tensors in a PyTorch file, such as `["state_dict"]`.
    pub found_under: Vec<String>,
    /// The prefix that every name in the file has and `tensors` has not: `module.`, of `torch.nn.DataParallel`.
    pub stripped: Option<&'static str>,
    /// Names beside the tensors that are no tensors.
    pub ignored: Vec<String>,
}

impl Loaded {
    fn new(format: Format, tensors: StateDict, metadata: Metadata) -> Self {
        Loaded { format, tensors, metadata, found_under: vec![], stripped: None, ignored: vec![] }
    }

    /// What was done beyond reading, in sentences for the user; empty for plain files.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.found_under.is_empty() {
            notes.push(format!("the weights were found under {:?}", self.found_under.join(".")));
        }
        if let Some(prefix) = self.stripped {
            notes.push(format!("the prefix {prefix:?} was removed from every name"));
        }
        if !self.ignored.is_empty() {
            let names: Vec<_> = self.ignored.iter().take(8).map(|name| error::quote(name)).collect();
            notes.push(format!(
                "{} entries are no tensors and were left: {}",
                self.ignored.len(),
                names.join(", ")
            ));
        }
        notes
    }
}

/// Reads a checkpoint, whatever its name.
///
/// # Errors
/// See [`Problem`].
pub fn load(path: impl AsRef<Path>) -> Result<Loaded, CheckpointError> {
    let path = path.as_ref();
    open(path).and_then(|file| read(BufReader::new(file))).map_err(|problem| problem.at(path))
}

fn open(path: &Path) -> Result<File, Problem> {
    let opening = |source| Problem::Io { doing: "open", source };
    // Before opening: to open a pipe would wait for its other end.
    let about = fs::metadata(path).map_err(opening)?;
    if !about.is_file() {
        let looks = if about.is_dir() { "it is a folder" } else { "it is not a regular file" };
        return Err(Problem::Unrecognised { looks: looks.into() });
    }
    File::open(path).map_err(opening)
}

/// Reads a checkpoint that is not a file by itself, from its start to its end.
///
/// # Errors
/// See [`Problem`].
pub fn read(mut source: impl Read + Seek) -> Result<Loaded, Problem> {
    let reading = |source| Problem::Io { doing: "read", source };
    let len = source.seek(SeekFrom::End(0)).map_err(reading)?;
    let mut start = Vec::new();
    source.rewind().map_err(reading)?;
    source.by_ref().take(512).read_to_end(&mut start).map_err(reading)?;
    source.rewind().map_err(reading)?;
    match start.as_slice() {
        // First: a header of 640 bytes begins as a pickle does.
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => safetensors::read(&mut source, len),
        [b'P', b'K', 3, 4, ..] => pth::read_zip(&mut source, len),
        [0x80, 2..=5, ..] => pth::read_legacy(&mut source, len),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(&mut source, len),
        start => Err(Problem::Unrecognised { looks: describe(start) }),
    }
}

/// What a file that is no checkpoint looks like.
fn describe(start: &[u8]) -> String {
    if start.is_empty() {
        return "it is empty".into();
    }
    let known: [(&[u8], &str); 5] = [
        (b"version https://git-lfs", "it is a Git LFS pointer: fetch the content with `git lfs pull`"),
        (b"\x89HDF", "it is an HDF5 file, as Keras writes"),
        (b"\x93NUMPY", "it is a NumPy array"),
        (b"GGUF", "it is a GGUF file"),
        (b"<", "it is a web page, perhaps a failed download"),
    ];
    if start.get(257..262) == Some(b"ustar") {
        return "it is a tar archive; PyTorch before 0.2 wrote such, and a later one can convert it".into();
    }
    match known.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, looks)) => looks.to_string(),
        None => format!("it begins with the bytes {:02x?}", &start[..start.len().min(8)]),
    }
}

/// Writes `tensors` and `metadata` as safetensors: the whole file or none of it (see [`write_atomically`]), and the
/// same bytes for the same input.
///
/// # Errors
/// [`Problem::Io`]; an earlier file at `path` is then untouched.
pub fn save(path: impl AsRef<Path>, tensors: &StateDict, metadata: &Metadata) -> Result<(), CheckpointError> {
    let path = path.as_ref();
    write_atomically(path, |out| safetensors::write(tensors, metadata, out))
        .map_err(|source| Problem::Io { doing: "write", source }.at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_is_no_checkpoint_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let said = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            load(&path).unwrap_err().to_string()
        };
        assert!(said(b"").contains("x.safetensors is not a checkpoint: it is empty."));
        assert!(said(b"<!DOCTYPE html>").contains("web page"));
        assert!(said(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(said(b"abc").contains("it begins with the bytes [61, 62, 63]"));
        assert!(load(folder.path()).unwrap_err().to_string().contains("it is a folder"));
        let missing = load(folder.path().join("none.pth")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot open") && missing.contains("none.pth"), "{missing}");
        let all_640 = [&640u64.to_le_bytes()[..], &b"{}"[..], &[b' '; 638]].concat();
        assert!(read(io::Cursor::new(all_640)).is_ok());
        assert!(said(b"\x09\0\0\0\0\0\0\0{").contains("damaged safetensors file"));
    }
}
