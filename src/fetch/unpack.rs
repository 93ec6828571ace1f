//! Unpacking a zip archive: the whole folder or none, and nothing outside it. Every file's CRC is checked by
//! reading it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::error::{Error, Result};
use crate::files;

/// More than any archive that is fetched unpacks to.
const MOST_BYTES: u64 = 1 << 30;
const MOST_FILES: usize = 100_000;

/// Unpacks the archive's folder of `folder`'s name to `folder`, unless it is there. Returns `folder`.
pub(super) fn unpack(archive: &Path, folder: &Path, force: bool) -> Result<PathBuf> {
    let fail = |e| Error::write(folder, &e);
    if folder.exists() && !force {
        return Ok(folder.to_path_buf());
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.with_file_name(format!(".{name}.part"));
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(|e| Error::write(&temporary, &e))?;
    }
    write_all(archive, &name, &temporary).inspect_err(|_| {
        // The archive is at fault; a remnant that cannot be removed either changes nothing.
        let _ = fs::remove_dir_all(&temporary);
    })?;
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(fail)?;
    }
    fs::rename(&temporary, folder).map_err(fail)?;
    Ok(folder.to_path_buf())
}

fn write_all(archive: &Path, inner: &str, to: &Path) -> Result<()> {
    let damaged = |why: String| {
        Error::input(format!("is a damaged zip archive ({why})"))
            .in_file(archive)
            .remedy("remove it, or fetch it again with --force")
    };
    let file = File::open(archive).map_err(|e| Error::read(archive, &e))?;
    let mut zip = ZipArchive::new(io::BufReader::new(file)).map_err(|e| damaged(e.to_string()))?;
    if zip.len() > MOST_FILES {
        return Err(damaged(format!("it has {} files", zip.len())));
    }
    let (mut left, mut written) = (MOST_BYTES, 0);
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).map_err(|e| damaged(e.to_string()))?;
        let Some(name) = entry.enclosed_name() else {
            return Err(damaged(format!("it wants to write to {:?}", entry.name())));
        };
        let Ok(name) = name.strip_prefix(inner) else { continue };
        let path = to.join(name);
        if entry.is_dir() {
            files::create_folder(&path)?;
            continue;
        }
        files::create_folder(path.parent().unwrap_or(to))?;
        let mut out = File::create(&path).map_err(|e| Error::write(&path, &e))?;
        let n = io::copy(&mut entry.by_ref().take(left + 1), &mut out)
            .map_err(|e| damaged(format!("{}: {e}", path.display())))?;
        if n > left {
            return Err(damaged(format!("it unpacks to more than {MOST_BYTES} bytes")));
        }
        (left, written) = (left - n, written + 1);
    }
    if written == 0 { Err(damaged(format!("it has no folder {inner}"))) } else { Ok(()) }
}
