//! Checkpoints: named tensors in a file, as PyTorch and safetensors write them.
//!
//! [`load`] recognises a file by its content; [`save`] writes safetensors, which PyTorch reads back. Names
//! and layouts are PyTorch's. A file is never trusted: it cannot run code, cause a panic, or take more memory
//! than a small multiple of its own size and a fixed sum; what is wrong with it is told by
//! [`CheckpointError`].
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
mod loaded;
mod looks;
mod module;
mod pickle;
mod pth;
mod raw;
mod safetensors;
mod select;
mod torch;

pub use atomic::write_atomically;
pub use error::{CheckpointError, Problem};
pub use hash::verify_name_hash;
pub use loaded::Loaded;
pub use looks::{Kind, Looks, NOT_READ, READ, Remedy, is_picture, looks, members};
pub use module::{LoadReport, from_raw, load_exact, load_matching, save_module, state_dict, to_raw};
pub use raw::{Dtype, RawTensor};

pub(crate) use error::quote;
pub(crate) use hash::sha256;
pub(crate) use loaded::must_be_read;

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

/// What of a file is meant.
#[derive(Clone, Copy, Default)]
struct How<'a> {
    /// Under which key, of dictionaries or of the beginning of names.
    key: Option<&'a str>,
    /// Whether a tensor is wanted, by its name; where it is none, all are.
    wanted: Option<&'a dyn Fn(&str) -> bool>,
    /// Whether names stay as they are.
    verbatim: bool,
}

/// Reads a checkpoint, whatever its name: the weights, wherever a training script put them in the file, under
/// names without what wrappers put before all of them (`module.`, `_orig_mod.`, `model.`, ...). What was done
/// stands in the result, see [`Loaded::notes`]. A file of a network of one's own whose names all begin so is
/// for [`load_verbatim`].
///
/// # Errors
/// See [`Problem`].
pub fn load(path: impl AsRef<Path>) -> Result<Loaded, CheckpointError> {
    load_how(path.as_ref(), How::default())
}

/// [`load`] of what stands under a key, such as `model_ema`: a dictionary in the file, or the beginning of
/// names, with dots between where one is in another (`state_dict.teacher`).
///
/// # Errors
/// See [`Problem`].
pub fn load_key(path: impl AsRef<Path>, key: Option<&str>) -> Result<Loaded, CheckpointError> {
    load_how(path.as_ref(), How { key, ..How::default() })
}

/// [`load_key`] of the tensors alone that are `wanted` by their names. The data of others are not read, so
/// that of a large file it is soon known what it holds.
///
/// # Errors
/// See [`Problem`].
pub fn load_some(
    path: impl AsRef<Path>,
    key: Option<&str>,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Loaded, CheckpointError> {
    load_how(path.as_ref(), How { key, wanted: Some(wanted), verbatim: false })
}

/// [`load`] with names as they stand in the file.
///
/// # Errors
/// See [`Problem`].
pub fn load_verbatim(path: impl AsRef<Path>) -> Result<Loaded, CheckpointError> {
    load_how(path.as_ref(), How { verbatim: true, ..How::default() })
}

fn load_how(path: &Path, how: How<'_>) -> Result<Loaded, CheckpointError> {
    open(path).and_then(|file| read_how(BufReader::new(file), how)).map_err(|problem| problem.at(path))
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

/// Reads a checkpoint that is not a file by itself, from its start to its end, as [`load`] does.
///
/// # Errors
/// See [`Problem`].
pub fn read(source: impl Read + Seek) -> Result<Loaded, Problem> {
    read_how(source, How::default())
}

fn read_how(mut source: impl Read + Seek, how: How<'_>) -> Result<Loaded, Problem> {
    let reading = |source| Problem::Io { doing: "read", source };
    let len = source.seek(SeekFrom::End(0)).map_err(reading)?;
    let mut start = Vec::new();
    source.rewind().map_err(reading)?;
    source.by_ref().take(4096).read_to_end(&mut start).map_err(reading)?;
    source.rewind().map_err(reading)?;
    match start.as_slice() {
        // First: a header of 640 bytes begins as a pickle does.
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => safetensors::read(&mut source, len, how),
        [b'P', b'K', 3, 4, ..] => pth::read_zip(&mut source, len, how),
        [0x80, 2..=5, ..] => pth::read_legacy(&mut source, len, how),
        start => match looks(start) {
            Some(looks) => Err(Problem::Unrecognised { looks: looks.to_string() }),
            None if start.get(8) == Some(&b'{') => safetensors::read(&mut source, len, how),
            None => {
                let looks = format!("it begins with the bytes {:02x?}", &start[..start.len().min(8)]);
                Err(Problem::Unrecognised { looks })
            }
        },
    }
}

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

    /// A source that counts what is read of it.
    struct Counted(io::Cursor<Vec<u8>>, usize);

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read(buffer)?;
            self.1 += n;
            Ok(n)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn of_tensors_that_are_not_wanted_nothing_is_read() {
        let tensor = |n: usize| RawTensor::from_f32(&[n], &vec![0.5; n]);
        let tensors = StateDict::from([("fc.weight".into(), tensor(1 << 16)), ("fc.bias".into(), tensor(3))]);
        let mut file = Vec::new();
        safetensors::write(&tensors, &Metadata::new(), &mut file).unwrap();
        let header = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
        let mut source = Counted(io::Cursor::new(file), 0);
        let wanted = |name: &str| name.ends_with(".bias");
        let loaded = read_how(&mut source, How { wanted: Some(&wanted), ..How::default() }).unwrap();
        assert_eq!(loaded.tensors.keys().collect::<Vec<_>>(), ["fc.bias"]);
        // The first 4096 bytes tell what the file is.
        assert_eq!(source.1, 4096 + header + 12);
        // An archive whose storages are damaged: nobody looks.
        let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bad_checksum.pth");
        assert!(load(&damaged).is_err());
        assert!(load_some(&damaged, None, &|_| false).unwrap().tensors.is_empty());
    }
}
