//! TensorBoard's event files.
//!
//! A file is a sequence of records: length (u64), checksum of the length, data, checksum of the data, all
//! little endian. A checksum is CRC-32C, turned by 15 bits and offset. The data is the protocol buffer
//! `Event`: 1 wall time (double), 2 step (varint), 3 file version (string), 5 summary; a summary holds 1
//! values, a value 1 tag (string) and 2 simple value (float), 4 image (1 height, 2 width, 3 channels, 4 PNG) or
//! 8 tensor, with 9 the name of the plugin that shows it. (TensorFlow: `lib/io/record_writer`, `event.proto`,
//! `summary.proto`, `tensor.proto`; TensorBoard: `plugins/pr_curve`.)
//!
//! What is said of each epoch is in one file, to which records are added: one for each of its steps that is
//! told, and then its own, whose step is the epoch. What a run shows in its end is in another file, which is
//! written whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use byteorder::{ByteOrder, LE, WriteBytesExt};

use crate::error::{Error, Result};
use crate::files;

pub(super) const PREFIX: &str = "events.out.tfevents.";
const LIMIT: u64 = 1 << 30;
/// What the loss of a step is called.
const OF_STEP: &str = "train/step_loss";
/// What a run shows in its end. TensorBoard reads files in the order of their names.
const END: &str = "events.out.tfevents.9999999999.end.gradus";

#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
}

impl Events {
    /// The folder's event file; a new one where there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let entries = files::entries(folder).map_err(|e| Error::read(folder, &e))?;
        let of_epochs = |name: &str| name.starts_with(PREFIX) && name != END;
        let known = entries.iter().find(|e| of_epochs(&e.file_name().to_string_lossy()));
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

    /// Adds the losses of steps, and the values of the epoch that they are of.
    pub fn epoch(&self, epoch: usize, losses: &[(usize, f64)], values: &[(&str, f64)]) -> Result<()> {
        let scalars =
            |step: usize, values: &[(&str, f64)]| record(step, |out| field(out, 5, &summary(values)?));
        let of_steps = losses.iter().map(|&(step, loss)| scalars(step, &[(OF_STEP, loss)]));
        let all: io::Result<Vec<_>> = of_steps.chain([scalars(epoch, values)]).collect();
        files::append(&self.path, &all.map_err(|e| Error::write(&self.path, &e))?.concat())
    }

    /// Keeps the whole records up to an epoch's.
    pub fn rewind(&self, epoch: usize) -> Result<()> {
        let bytes = files::read(&self.path, LIMIT)?;
        let (mut at, mut end) = (0, 0);
        for (step, record) in records(&bytes) {
            at += record.len();
            let of_step = record.windows(OF_STEP.len()).any(|part| part == OF_STEP.as_bytes());
            if !of_step && step <= epoch as u64 {
                end = at;
            }
        }
        files::write_atomic(&self.path, &bytes[..end])
    }
}

/// How a detector's precision and recall go together, as TensorBoard shows it: at the least scores 0, 1/n, ...,
/// 1, the detections that take an object and those that take none; and how many objects there are.
#[derive(Clone, Debug)]
pub struct ScoreCounts {
    /// A name, such as "box".
    pub tag: String,
    /// Right and wrong detections from each least score on, the least first.
    pub found: Vec<[u64; 2]>,
    /// All objects.
    pub objects: u64,
}

impl ScoreCounts {
    /// TensorBoard's tensor, [6, n]: true and false positives, true and false negatives (the true ones are
    /// unknown, and 0), precision, recall.
    fn rows(&self) -> Vec<f32> {
        let rows: [&dyn Fn(f64, f64) -> f64; 6] = [
            &|tp, _| tp,
            &|_, fp| fp,
            &|_, _| 0.0,
            &|tp, _| self.objects as f64 - tp,
            &|tp, fp| tp / (tp + fp).max(1.0),
            &|tp, _| tp / self.objects.max(1) as f64,
        ];
        let row = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f32> {
            self.found.iter().map(|[tp, fp]| of(*tp as f64, *fp as f64) as f32).collect()
        };
        rows.into_iter().flat_map(row).collect()
    }
}

/// Writes what a run shows in its end: pictures by their tags (PNG files), and curves.
pub(super) fn end(
    folder: &Path,
    step: usize,
    pictures: &[(&str, Vec<u8>)],
    curves: &[ScoreCounts],
) -> Result<()> {
    let path = folder.join(END);
    let all = || -> io::Result<Vec<u8>> {
        let mut bytes = record(0, |out| field(out, 3, b"brain.Event:2"))?;
        for (tag, png) in pictures {
            bytes.extend(record(step, |out| field(out, 5, &picture(tag, png)?))?);
        }
        for curve in curves {
            bytes.extend(record(step, |out| field(out, 5, &pr_curve(curve)?))?);
        }
        Ok(bytes)
    };
    files::write_atomic(&path, &all().map_err(|e| Error::write(&path, &e))?)
}

/// A summary of a PNG, whose header tells its size.
fn picture(tag: &str, png: &[u8]) -> io::Result<Vec<u8>> {
    let side = |at: usize| png.get(at..at + 4).map_or(0, byteorder::BE::read_u32);
    let mut image = Vec::new();
    for (number, value) in [(1, side(20)), (2, side(16)), (3, 3)] {
        image.write_u8(number << 3)?;
        varint(&mut image, value.into())?;
    }
    field(&mut image, 4, png)?;
    let mut one = Vec::new();
    field(&mut one, 1, tag.as_bytes())?;
    field(&mut one, 4, &image)?;
    let mut summary = Vec::new();
    field(&mut summary, 1, &one)?;
    Ok(summary)
}

/// A summary of precision and recall.
fn pr_curve(curve: &ScoreCounts) -> io::Result<Vec<u8>> {
    let count = curve.found.len() as u64;
    let mut shape = Vec::new();
    for size in [6, count] {
        let mut dim = vec![1 << 3];
        varint(&mut dim, size)?;
        field(&mut shape, 2, &dim)?;
    }
    // DT_FLOAT, shape, and the numbers' bytes.
    let mut tensor = vec![1 << 3, 1];
    field(&mut tensor, 2, &shape)?;
    let numbers: Vec<u8> = curve.rows().iter().flat_map(|v| v.to_le_bytes()).collect();
    field(&mut tensor, 4, &numbers)?;
    // Version 0 of the plugin's data, and how many scores there are.
    let mut content = vec![1 << 3, 0, 2 << 3];
    varint(&mut content, count)?;
    let (mut plugin, mut metadata) = (Vec::new(), Vec::new());
    field(&mut plugin, 1, b"pr_curves")?;
    field(&mut plugin, 2, &content)?;
    field(&mut metadata, 1, &plugin)?;
    let mut one = Vec::new();
    field(&mut one, 1, format!("{}/pr_curves", curve.tag).as_bytes())?;
    field(&mut one, 8, &tensor)?;
    field(&mut one, 9, &metadata)?;
    let mut summary = Vec::new();
    field(&mut summary, 1, &one)?;
    Ok(summary)
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
            events.epoch(step, &[], &[("loss", 0.5), ("lr", f64::NAN)]).unwrap();
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

    #[test]
    fn an_epoch_goes_with_the_losses_of_its_steps() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::open(dir.path()).unwrap();
        for epoch in 1..=3 {
            let losses = [2 * epoch - 1, 2 * epoch].map(|step| (step, 0.5));
            events.epoch(epoch, &losses, &[("train/loss", 0.5)]).unwrap();
        }
        let all = [0, 1, 2, 1, 3, 4, 2, 5, 6, 3];
        for (kept, count) in [(3, 10), (2, 7), (1, 4), (0, 1)] {
            events.rewind(kept).unwrap();
            assert_eq!(steps(&fs::read(events.path()).unwrap()), all[..count]);
        }
    }

    #[test]
    fn the_end_is_a_file_of_its_own_that_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let curve = ScoreCounts { tag: "box".into(), found: vec![[3, 1], [2, 0]], objects: 4 };
        assert_eq!(curve.rows(), [3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.75, 1.0, 0.75, 0.5]);
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 1, 0, 0, 0, 0, 7]);
        let begins = [10, 38, 10, 1, 97, 34, 33, 8, 7, 16, 128, 2, 24, 3, 34, 24];
        assert!(picture("a", &png).unwrap().starts_with(&begins));
        for _ in 0..2 {
            end(dir.path(), 5, &[("a", png.clone())], std::slice::from_ref(&curve)).unwrap();
            assert_eq!(steps(&fs::read(dir.path().join(END)).unwrap()), [0, 5, 5]);
        }
        // The epochs' file is another one.
        let events = Events::open(dir.path()).unwrap();
        assert_ne!(events.path(), dir.path().join(END));
    }
}
