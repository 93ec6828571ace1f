//! Weights: archives of torch.save, its older form, safetensors, and the pickles inside.
//!
//! Whatever is read, each tensor has the bytes of its shape, and what safetensors hold is written and read
//! back as it was.

use super::bytes::Bytes;
use gradus_models::checkpoint::{Format, Loaded, Problem, load_verbatim, read, save};
use std::io::{Cursor, Write};
use std::path::Path;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// What torch.save wrote before the object, since 2016: a magic number, a version, and the machine.
const MACHINE: &[u8] =
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00X\r\x00\x00\x00\
    little_endianq\x01\x88s.";
/// The list of storages behind it, of one that is called 0.
const KEYS: &[u8] = b"\x80\x02]q\x00X\x01\x00\x00\x000q\x01a.";
/// Bytes of each storage.
const STORAGE: usize = 64;

fn sound(read: Result<Loaded, Problem>) -> Option<Loaded> {
    let loaded = read.map_err(|problem| problem.at(Path::new("x")).to_string()).ok()?;
    for (name, tensor) in &loaded.tensors {
        let bytes = tensor.dtype().bytes_of(tensor.shape());
        assert_eq!(bytes, Some(tensor.bytes().len()), "{name} {:?}", tensor.shape());
        assert_eq!(tensor.to_f32().len(), tensor.numel());
    }
    assert!(loaded.notes().iter().all(|note| !note.is_empty()));
    Some(loaded)
}

/// A whole file of any of the three formats.
pub fn any(data: &[u8]) {
    let Some(loaded) = sound(read(Cursor::new(data))) else { return };
    if loaded.format == Format::Safetensors && loaded.unread.is_empty() {
        comes_back(&loaded);
    }
}

/// Written again, and read, it is what it was.
fn comes_back(loaded: &Loaded) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    save(&path, &loaded.tensors, &loaded.metadata).unwrap();
    let back = load_verbatim(&path).unwrap();
    assert_eq!(back.metadata, loaded.metadata);
    assert!(back.tensors.iter().eq(loaded.tensors.iter()));
}

/// A header of safetensors; its length before it is right, and so many bytes follow as it needs.
pub fn safetensors(data: &[u8]) {
    let mut bytes = Bytes(data);
    let follow = bytes.below(1 << 12);
    let header = bytes.rest();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.extend((0..follow).map(|k| k as u8));
    any(&file);
}

/// A pickle, in an archive or in the older form, and the storages that it may ask for.
pub fn pickle(data: &[u8]) {
    let mut bytes = Bytes(data);
    let form = bytes.byte();
    let program = bytes.rest();
    sound(read(Cursor::new(if form % 4 == 3 { legacy(program) } else { archive(program).unwrap() })));
}

fn archive(program: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in
        [("x/data.pkl", program), ("x/data/0", &[63; STORAGE]), ("x/data/1", &[64; STORAGE])]
    {
        zip.start_file(name, options)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn legacy(program: &[u8]) -> Vec<u8> {
    let elements = (STORAGE as u64 / 4).to_le_bytes();
    [MACHINE, program, KEYS, &elements, &[63; STORAGE]].concat()
}
