//! The two containers of `torch.save`: a pickle and the storages that its tensors refer to. What a pickle
//! asks for is read and never run, see `pickle.rs`.
//!
//! Since PyTorch 1.6 it is a zip archive of stored (not compressed) entries in one folder of any name:
//! `data.pkl`, `data/KEY` for each storage, `byteorder`. Before, it was four pickles one after another (a
//! magic number, a protocol version, a dictionary about the machine, the object), a fifth with the list of
//! storage keys, and then for each key its number of elements as `i64` and its bytes.

use super::error::{Problem, quote};
use super::format::Format;
use super::loaded::Loaded;
use super::looks;
use super::pickle::{self, Id, Input, Pickle, Value};
use super::select::How;
use super::torch::{self, Storage, Storages};
use byteorder::{LE, ReadBytesExt};
use gradus_core::memory;
use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Reads a zip archive of `len` bytes.
pub(super) fn read_zip(file: impl Read + Seek, len: u64, how: How<'_>) -> Result<Loaded, Problem> {
    let format = Format::TorchZip;
    let mut archive = Archive::open(file, len)?;
    if archive.contains("byteorder") && archive.read("byteorder")? != b"little" {
        return Err(Problem::Unsupported { format, feature: "big-endian numbers".into() });
    }
    let program = archive.read("data.pkl")?;
    let mut input = Input { reader: program.as_slice(), left: program.len() as u64, format };
    let pickle = pickle::read(&mut input)?;
    torch::storages(&pickle, format)?;
    torch::load(&pickle, format, how, len, |key, storage| {
        let bytes = archive.read(&format!("data/{key}"))?;
        if storage.bytes() != Some(bytes.len() as u64) {
            return Err(archive.broken(format!(
                "the storage {} has {} bytes where {storage} are promised",
                quote(key),
                bytes.len()
            )));
        }
        Ok(bytes)
    })
}

/// A zip archive of stored entries in one folder.
struct Archive<R> {
    zip: ZipArchive<R>,
    folder: String,
    /// What entries may still take: together no more than the file has, or they would overlap.
    left: u64,
}

impl<R: Read + Seek> Archive<R> {
    fn open(file: R, len: u64) -> Result<Self, Problem> {
        // PyTorch writes nothing before the archive. Guessing a prefix fails where the first header is as
        // long as the two records at the end, 76 bytes: `maskrcnn_resnet50_fpn/data.pkl`.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, file).map_err(zip_problem)?;
        if zip.has_duplicate_names() {
            return Err(Problem::malformed(Format::TorchZip, "two of its entries have the same name"));
        }
        let programs =
            zip.file_names().filter_map(|name| Some(name.ok()?.strip_suffix("data.pkl")?.to_owned()));
        let mut folders: Vec<String> =
            programs.filter(|folder| folder.is_empty() || folder.ends_with('/')).take(2).collect();
        match (folders.pop(), folders.pop()) {
            (Some(folder), None) if folder.find('/') == folder.len().checked_sub(1) => {
                Ok(Archive { zip, folder, left: len })
            }
            (Some(_), None) => Err(Problem::Rezipped("its data.pkl is not in one folder of the archive")),
            (None, _) => {
                let names: Vec<String> =
                    zip.file_names().flatten().take(1000).map(|name| name.into_owned()).collect();
                let looks = looks::members("a zip archive", &names);
                let unknown = || "it is a zip archive without the data.pkl that torch.save writes".to_owned();
                Err(Problem::Unrecognised { looks: looks.map_or_else(unknown, |looks| looks.to_string()) })
            }
            _ => Err(Problem::malformed(Format::TorchZip, "it has data.pkl twice")),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}{name}", self.folder)).is_some()
    }

    /// An entry, whole, its checksum compared.
    fn read(&mut self, name: &str) -> Result<Vec<u8>, Problem> {
        let name = format!("{}{name}", self.folder);
        let index = self.zip.index_for_name(&name);
        let index = index.ok_or_else(|| self.broken(format!("it lacks the entry {}", quote(&name))))?;
        let mut entry = self.zip.by_index(index).map_err(zip_problem)?;
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(Problem::Rezipped("its entries are compressed or encrypted"));
        }
        let size = entry.size();
        if size != entry.compressed_size() || size > self.left {
            let reason = format!("its entry {} claims {size} bytes, more than the file holds", quote(&name));
            return Err(Problem::malformed(Format::TorchZip, reason));
        }
        self.left -= size;
        let mut bytes = memory::filled("weights", 0, size as usize);
        // One read more, at the end, is what compares the checksum.
        let read = entry.read_exact(&mut bytes).and_then(|()| io::copy(&mut entry, &mut io::sink()));
        read.map_err(|e| match Problem::reading(Format::TorchZip, e) {
            Problem::Malformed { format, reason } => {
                Problem::malformed(format, format!("its entry {}: {reason}", quote(&name)))
            }
            other => other,
        })?;
        Ok(bytes)
    }

    fn broken(&self, reason: String) -> Problem {
        Problem::malformed(Format::TorchZip, reason)
    }
}

fn zip_problem(error: ZipError) -> Problem {
    match error {
        ZipError::Io(e) => Problem::reading(Format::TorchZip, e),
        ZipError::CompressionMethodNotSupported(_) => Problem::Rezipped("its entries are compressed"),
        other => Problem::malformed(Format::TorchZip, other.to_string()),
    }
}

/// Reads a legacy file of `len` bytes from its start.
pub(super) fn read_legacy(file: impl Read + Seek, len: u64, how: How<'_>) -> Result<Loaded, Problem> {
    let format = Format::TorchLegacy;
    let mut input = Input { reader: file, left: len, format };
    let magic = pickle::read(&mut input)?;
    if !matches!(magic[magic.root], Value::Int(MAGIC)) {
        let looks = "it is a Python pickle, but not one that torch.save wrote".into();
        return Err(Problem::Unrecognised { looks });
    }
    let version = pickle::read(&mut input)?;
    if !matches!(version[version.root], Value::Int(VERSION)) {
        let feature = format!("the protocol version {}", version.describe(version.root));
        return Err(Problem::Unsupported { format, feature });
    }
    let machine = pickle::read(&mut input)?;
    if !is_little_endian(&machine) {
        return Err(Problem::Unsupported { format, feature: "big-endian numbers".into() });
    }
    let object = pickle::read(&mut input)?;
    let keys = pickle::read(&mut input)?;
    let places = place_storages(&mut input, len, &keys, &torch::storages(&object, format)?)?;
    torch::load(&object, format, how, len, |key, storage| {
        let missing = || Problem::malformed(format, format!("it lacks the storage {}", quote(key)));
        let (&start, bytes) = places.get(key).zip(storage.bytes()).ok_or_else(missing)?;
        let mut buffer = memory::filled("weights", 0, bytes as usize);
        let read =
            input.reader.seek(SeekFrom::Start(start)).and_then(|_| input.reader.read_exact(&mut buffer));
        read.map_err(|e| Problem::reading(format, e))?;
        Ok(buffer)
    })
}

fn is_little_endian(machine: &Pickle) -> bool {
    let Value::Dict(pairs) = &machine[machine.root] else { return false };
    pairs.iter().any(|&(key, value)| {
        machine.str(key) == Some("little_endian") && matches!(machine[value], Value::Bool(true))
    })
}

/// The place in the file of each storage's bytes: they follow the pickles in the order of `keys`.
fn place_storages(
    input: &mut Input<impl Read + Seek>,
    len: u64,
    keys: &Pickle,
    storages: &Storages,
) -> Result<HashMap<String, u64>, Problem> {
    let broken = |reason: String| Problem::malformed(Format::TorchLegacy, reason);
    let Value::List(ids) = &keys[keys.root] else {
        return Err(broken("its list of storages is no list".into()));
    };
    let mut places = HashMap::new();
    let mut at = len - input.left;
    for &id in ids {
        let (key, storage) = described(keys, id, storages).ok_or_else(|| {
            broken(format!("its list of storages holds {}, which no tensor uses", keys.describe(id)))
        })?;
        let numel = input.reader.seek(SeekFrom::Start(at)).and_then(|_| input.reader.read_u64::<LE>());
        let numel = numel.map_err(|e| Problem::reading(Format::TorchLegacy, e))?;
        let end = storage.bytes().and_then(|bytes| (at + 8).checked_add(bytes)).filter(|&end| end <= len);
        let (true, Some(end)) = (numel == storage.numel, end) else {
            return Err(broken(format!(
                "the storage {} claims {numel} elements where {} are promised and {} bytes are left",
                quote(key),
                storage.numel,
                len - at - 8
            )));
        };
        places.insert(key.to_owned(), at + 8);
        at = end;
    }
    Ok(places)
}

fn described<'a>(keys: &'a Pickle, id: Id, storages: &Storages) -> Option<(&'a str, Storage)> {
    let key = keys.str(id)?;
    Some((key, *storages.get(key)?))
}
