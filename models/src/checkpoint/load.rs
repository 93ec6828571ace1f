//! Reading a checkpoint: the content tells the format, and [`How`] what of it is meant.

use super::error::{CheckpointError, Problem};
use super::file::CheckpointFile;
use super::loaded::Loaded;
use super::looks::looks;
use super::select::How;
use super::{pth, safetensors};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Reads a checkpoint, whatever its name: the weights, wherever a training script put them in the file, under
/// names without what wrappers put before all of them (`module.`, `_orig_mod.`, `model.`, ...). What was done
/// stands in the result, see [`Loaded::notes`]. A file of a network of one's own whose names all begin so is
/// for [`load_verbatim`].
///
/// # Errors
/// See [`Problem`].
pub fn load(path: impl AsRef<Path>) -> Result<Loaded, CheckpointError> {
    CheckpointFile::open(path)?.load_how(How::default())
}

/// [`load`] of what stands under a key, such as `model_ema`: a dictionary in the file, or the beginning of
/// names, with dots between where one is in another (`state_dict.teacher`).
///
/// # Errors
/// See [`Problem`].
pub fn load_key(path: impl AsRef<Path>, key: Option<&str>) -> Result<Loaded, CheckpointError> {
    CheckpointFile::open(path)?.load(key)
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
    CheckpointFile::open(path)?.load_how(How { key, wanted: Some(wanted), verbatim: false })
}

/// [`load`] with names as they stand in the file.
///
/// # Errors
/// See [`Problem`].
pub fn load_verbatim(path: impl AsRef<Path>) -> Result<Loaded, CheckpointError> {
    CheckpointFile::open(path)?.load_how(How { verbatim: true, ..How::default() })
}

impl CheckpointFile {
    /// Reads it as [`load_key`] does.
    ///
    /// # Errors
    /// See [`Problem`].
    pub fn load(&self, key: Option<&str>) -> Result<Loaded, CheckpointError> {
        self.load_how(How { key, ..How::default() })
    }

    fn load_how(&self, how: How<'_>) -> Result<Loaded, CheckpointError> {
        let loaded = self.with(|file| read_how(BufReader::new(file), how))?;
        Ok(Loaded { file: Some(self.clone()), ..loaded })
    }
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

#[cfg(test)]
mod tests {
    use super::super::format::{Metadata, StateDict};
    use super::super::raw::RawTensor;
    use super::*;
    use byteorder::{ByteOrder, LE, WriteBytesExt};
    use std::fs;
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
        let mut all_640 = Vec::new();
        all_640.write_u64::<LE>(640).unwrap();
        all_640.extend([&b"{}"[..], &[b' '; 638]].concat());
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
        let header = 8 + LE::read_u64(&file) as usize;
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
