//! TensorBoard's event files.
//!
//! A file is a sequence of records: length (u64), checksum of the length, data, checksum of the data, all
//! little endian. A checksum is CRC-32C, turned by 15 bits and offset. The data is the protocol buffer
//! `Event`: 1 wall time (double), 2 step (varint), 3 file version (string), 5 summary; a summary holds 1
//! values, a value 1 tag (string) and 2 simple value (float). (TensorFlow: `lib/io/record_writer`,
//! `event.proto`, `summary.proto`.)

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use byteorder::{ByteOrder, LE, WriteBytesExt};

use crate::error::{Error, Result};
use crate::files;

pub(super) const PREFIX: &str = "events.out.tfevents.";
const LIMIT: u64 = 1 << 30;

#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
}

impl Events {
    /// The folder's event file; a new one where there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let entries = files::entries(folder).map_err(|e| Error::read(folder, &e))?;
        let known = entries.iter().find(|e| e.file_name().to_string_lossy().starts_with(PREFIX));
        if let Some(known) = known {
            return Ok(Events { path: known.path() });
        }
        let path = folder.join(format!("{PREFIX}{:010}.gradus", now() as u64));
        let version = record(0, |out| field(out, 3, b"brain.Event:2"));
        files::write_atomic(&path, &version.map_err(|e| Error::write(&path, &e))?)?;
        Ok(Events { path })
    }

    #[cfg(test)]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the values of a step.
    pub fn scalars(&self, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let bytes = record(step, |out| field(out, 5, &summary(values)?));
        files::append(&self.path, &bytes.map_err(|e| Error::write(&self.path, &e))?)
    }

    /// Keeps the whole records up to a step.
    pub fn rewind(&self, step: usize) -> Result<()> {
        let bytes = files::read(&self.path, LIMIT)?;
        let kept: Vec<u8> =
            records(&bytes).filter(|(s, _)| *s <= step as u64).flat_map(|(_, r)| r).copied().collect();
        files::write_atomic(&self.path, &kept)
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The values of a step by their tags.
fn summary(values: &[(&str, f64)]) -> io::Result<Vec<u8>> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        field(&mut one, 1, tag.as_bytes())?;
        one.write_u8(2 << 3 | 5)?;
        one.write_f32::<LE>(*value as f32)?;
        field(&mut summary, 1, &one)?;
    }
    Ok(summary)
}

fn varint(out: &mut Vec<u8>, mut v: u64) -> io::Result<()> {
    while v >= 0x80 {
        out.write_u8(v as u8 | 0x80)?;
        v >>= 7;
    }
    out.write_u8(v as u8)
}

/// A field of bytes, a string or a message.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) -> io::Result<()> {
    out.write_u8(number << 3 | 2)?;
    varint(out, content.len() as u64)?;
    out.write_all(content)
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// An event as a record: wall time, step, and one more field.
fn record(step: usize, rest: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut data = vec![1 << 3 | 1];
    data.write_f64::<LE>(now())?;
    data.write_u8(2 << 3)?;
    varint(&mut data, step as u64)?;
    rest(&mut data)?;
    let mut out = Vec::with_capacity(data.len() + 16);
    out.write_u64::<LE>(data.len() as u64)?;
    out.write_u32::<LE>(masked(&out))?;
    out.write_all(&data)?;
    out.write_u32::<LE>(masked(&data))?;
    Ok(out)
}

/// The step and the bytes of each whole record that [`record`] made; what follows a damaged one is left out.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let length = LE::read_u64(bytes.get(..8)?);
        let end = usize::try_from(length).ok()?.checked_add(16)?;
        let whole = bytes.get(..end)?;
        let data = &whole[12..end - 4];
        if LE::read_u32(&whole[end - 4..]) != masked(data) {
            return None;
        }
        // The step follows the tag and eight bytes of wall time, and its own tag.
        let mut step = 0;
        for (i, b) in data.get(10..)?.iter().take(10).enumerate() {
            step |= u64::from(b & 0x7f) << (7 * i);
            if b & 0x80 == 0 {
                break;
            }
        }
        bytes = &bytes[end..];
        Some((step, whole))
    })
}

#[cfg(test)]
pub(super) fn steps(bytes: &[u8]) -> Vec<u64> {
    records(bytes).map(|r| r.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn checksums_are_tensorflows() {
        // CRC-32C of "123456789" is 0xe3069283 (the catalogue's check value); files of TensorFlow begin with
        // the length 24 and its checksum.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(&24_u64.to_le_bytes()), LE::read_u32(&[0xa3, 0x7f, 0x4b, 0x22]));
    }

    #[test]
    fn steps_are_read_back_and_damage_ends_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::open(dir.path()).unwrap();
        for step in [1, 127, 128, 70_000] {
            events.scalars(step, &[("loss", 0.5), ("lr", f64::NAN)]).unwrap();
        }
        let mut bytes = fs::read(events.path()).unwrap();
        assert_eq!(steps(&bytes), [0, 1, 127, 128, 70_000]);
        for cut in 0..bytes.len() {
            assert!(steps(&bytes[..cut]).len() < 5);
        }
        let end = bytes.len();
        bytes[end - 1] ^= 1;
        assert_eq!(steps(&bytes), [0, 1, 127, 128]);
        bytes[..8].fill(0xff);
        assert!(steps(&bytes).is_empty());
    }
}
