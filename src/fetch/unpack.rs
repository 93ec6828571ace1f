//! Unpacking a zip archive: the whole folder or none, and nothing outside it. Every file's CRC is checked by
//! reading it.
//!
//! The folder comes by one rename. So it is there whole, or it is not ours.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;

use crate::error::{Error, Result};
use crate::{files, interrupt};

/// More than any archive that is fetched unpacks to.
const MOST_BYTES: u64 = 1 << 30;
const MOST_FILES: usize = 100_000;

type Entry<'a> = ZipFile<'a, BufReader<File>>;

/// Whether the archive's folder of `folder`'s name is there. Error: something else is.
pub(super) fn is_whole(archive: &Path, folder: &Path) -> Result<bool> {
    if fs::symlink_metadata(folder).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Ok(false);
    }
    let other = |what: String| {
        Err(Error::input(what).in_file(folder).remedy("move it away, or replace it with --force"))
    };
    if !folder.is_dir() {
        return other("is there, but is no folder".into());
    }
    if files::entries(folder).map_err(|e| Error::read(folder, &e))?.is_empty() {
        return Ok(false);
    }
    let mut lacks = None;
    each(archive, folder, |name, entry| {
        let there = fs::metadata(folder.join(name)).is_ok_and(|m| m.is_file() && m.len() == entry.size());
        if !there {
            lacks.get_or_insert_with(|| files::name_of(name));
        }
        Ok(())
    })?;
    match lacks {
        Some(name) => {
            other(format!("is there, but is not what {} unpacks to: it lacks {name}", archive.display()))
        }
        None => Ok(true),
    }
}

/// Unpacks the archive's folder of `folder`'s name to `folder`, in place of an empty one, or of any with
/// `force`.
pub(super) fn unpack(archive: &Path, folder: &Path, force: bool) -> Result<()> {
    if !force && is_whole(archive, folder)? {
        return Ok(());
    }
    let fail = |e| Error::write(folder, &e);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let [new, old] = ["part", "old"].map(|what| folder.with_file_name(format!(".{name}.{what}")));
    files::remove(&new)?;
    files::remove(&old)?;
    each(archive, folder, |name, entry| write(entry, &new.join(name), archive)).inspect_err(|_| {
        // What is at fault is told; a remnant that cannot be removed either changes nothing.
        let _ = files::remove(&new);
    })?;
    // What is replaced is there until the new folder is, and is removed then.
    if fs::symlink_metadata(folder).is_ok() {
        fs::rename(folder, &old).map_err(fail)?;
    }
    fs::rename(&new, folder).map_err(fail)?;
    files::remove(&old)
}

fn damaged(archive: &Path, why: impl std::fmt::Display) -> Error {
    Error::input(format!("is a damaged zip archive ({why})"))
        .in_file(archive)
        .remedy("remove it, or fetch it again with --force")
}

/// Visits each file in the archive's folder of `folder`'s name, by its name in there.
fn each(archive: &Path, folder: &Path, mut visit: impl FnMut(&Path, &mut Entry) -> Result<()>) -> Result<()> {
    let inner = folder.file_name().unwrap_or_default();
    let mut zip = ZipArchive::new(BufReader::new(files::open(archive)?)).map_err(|e| damaged(archive, e))?;
    if zip.len() > MOST_FILES {
        return Err(damaged(archive, format!("it has {} files", zip.len())));
    }
    let (mut left, mut visited) = (MOST_BYTES, 0);
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).map_err(|e| damaged(archive, e))?;
        let Some(name) = entry.enclosed_name() else {
            return Err(damaged(archive, format!("it wants to write to {:?}", entry.name())));
        };
        let Ok(name) = name.strip_prefix(inner) else { continue };
        if entry.is_dir() {
            continue;
        }
        left = left
            .checked_sub(entry.size())
            .ok_or_else(|| damaged(archive, format!("it unpacks to more than {MOST_BYTES} bytes")))?;
        visit(name, &mut entry)?;
        visited += 1;
    }
    match visited {
        0 => Err(damaged(archive, format!("it has no folder {}", inner.display()))),
        _ => Ok(()),
    }
}

fn write(entry: &mut Entry, path: &Path, archive: &Path) -> Result<()> {
    let fail = |e| Error::write(path, &e);
    files::create_folder(path.parent().unwrap_or(path))?;
    let mut out = File::create(path).map_err(fail)?;
    let mut block = vec![0; 1 << 16];
    let damaged = |why: String| damaged(archive, format!("{}: {why}", path.display()));
    let mut left = entry.size();
    loop {
        interrupt::check("the archive is kept; the same command unpacks it")?;
        match entry.read(&mut block).map_err(|e| damaged(e.to_string()))? {
            0 if left == 0 => return Ok(()),
            n if n > 0 && n as u64 <= left => {
                out.write_all(&block[..n]).map_err(fail)?;
                left -= n as u64;
            }
            _ => return Err(damaged("it has another length than it says".into())),
        }
    }
}
