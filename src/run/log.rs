//! A run's log, `log.jsonl`: a JSON object a line, read a line at a time.
//!
//! An epoch's line, its row, holds numbers: `epoch`, and quantities named `part/quantity` or `quantity`; and
//! beside them the losses of some of its steps, pairs of a step's number and its loss. Any other line is a note. A line counts once it is ended, and if it has a length that a run
//! may write: what is read is bounded by that, whatever the file holds.

use crate::error::{Error, Result};
use crate::files;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

pub(super) const LOG: &str = "log.jsonl";
/// The losses of an epoch's steps.
pub(super) const LOSSES: &str = "step_losses";
/// No line of a run is longer; the longest is the last of one with thousands of classes.
const LINE: usize = 1 << 20;

/// The lines of a log, from any of them on.
pub(super) struct Lines {
    from: BufReader<File>,
    /// Where the next begins.
    pub at: u64,
    line: Vec<u8>,
}

impl Lines {
    /// From a line's beginning on.
    pub fn new(mut file: File, at: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(at))?;
        Ok(Lines { from: BufReader::new(file), at, line: Vec::new() })
    }

    /// The next, with its end.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let mut length =
                Read::by_ref(&mut self.from).take(LINE as u64).read_until(b'\n', &mut self.line)?;
            let whole = self.line.ends_with(b"\n");
            if !whole && length < LINE {
                return Ok(None);
            }
            if !whole {
                length += self.from.skip_until(b'\n')?;
            }
            self.at += length as u64;
            if whole {
                return Ok(Some(&self.line));
            }
        }
    }
}

/// A line as an epoch's row.
pub(super) fn row(line: &[u8]) -> Option<Map<String, Value>> {
    let row: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let number = |v: &Value| v.is_number() || v.is_null();
    let pair = |v: &Value| v.as_array().is_some_and(|pair| pair.len() == 2 && pair.iter().all(number));
    let losses = |v: &Value| v.as_array().is_some_and(|pairs| pairs.iter().all(pair));
    let numbers = row.iter().all(|(name, v)| number(v) || (name == LOSSES && losses(v)));
    (numbers && row.get("epoch").is_some_and(Value::is_u64)).then_some(row)
}

/// Hands over each epoch's row of the run in a folder.
///
/// # Errors
/// The log cannot be read.
pub fn rows(folder: &Path, mut take: impl FnMut(Map<String, Value>)) -> Result<()> {
    let path = folder.join(LOG);
    let file = files::open(&path)?;
    let read = || -> io::Result<()> {
        let mut lines = Lines::new(file, 0)?;
        while let Some(line) = lines.next()? {
            row(line).into_iter().for_each(&mut take);
        }
        Ok(())
    };
    read().map_err(|e| Error::read(&path, &e))
}

/// The losses of steps, of all epochs.
pub(super) fn losses(folder: &Path) -> Result<Vec<(f64, f64)>> {
    let mut all = Vec::new();
    rows(folder, |row| {
        let pairs = row.get(LOSSES).and_then(Value::as_array).into_iter().flatten();
        all.extend(pairs.filter_map(|pair| Some((pair[0].as_f64()?, pair[1].as_f64()?))));
    })?;
    Ok(all)
}

/// Adds a line.
pub(super) fn append(folder: &Path, line: &[u8]) -> Result<()> {
    files::append(folder.join(LOG), &[line, b"\n"].concat())
}

/// Keeps the lines of the epochs up to one.
pub(super) fn rewind(folder: &Path, epoch: usize) -> Result<()> {
    rewrite(folder, epoch, &[])
}

/// Keeps the epochs' lines, and adds one that tells of the end.
pub(super) fn end(folder: &Path, line: &[u8]) -> Result<()> {
    rewrite(folder, usize::MAX, &[line, b"\n"].concat())
}

fn rewrite(folder: &Path, epoch: usize, end: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Line {
        epoch: u64,
    }
    let path = folder.join(LOG);
    let file = if files::exists(&path)? { Some(files::open(&path)?) } else { None };
    files::write_atomic_by(&path, |out| {
        if let Some(file) = file {
            let mut lines = Lines::new(file, 0)?;
            while let Some(line) = lines.next()? {
                // A line that was cut off when the process was killed is no JSON, and is dropped.
                if serde_json::from_slice(line).is_ok_and(|l: Line| l.epoch <= epoch as u64) {
                    out.write_all(line)?;
                }
            }
        }
        out.write_all(end)
    })
}
