//! The beginning of a file that is being downloaded, `FILE.part`, and which version of the file at the server
//! it is of, `FILE.part.version`: an entity tag or a date, by which the server tells whether what follows is
//! of the same (RFC 9110, section 13.1.5). A beginning of no known version cannot be gone on with.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// Longer than any version, in bytes.
const MOST_VERSION: u64 = 1 << 10;

/// A beginning, which may be empty. What cannot be gone on with is removed when it is dropped.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    version: Option<String>,
    /// How often a beginning was thrown away.
    pub lost: usize,
}

/// `FILE.part.version`
fn version_of(part: &Path) -> PathBuf {
    let mut path = part.as_os_str().to_owned();
    path.push(".version");
    path.into()
}

impl Part {
    /// The beginning at this path, of a file of so many bytes; an empty one where there is none, or none that
    /// can be gone on with.
    pub fn open(path: PathBuf, bytes: u64) -> Result<Self> {
        let file = files::open_to_append(&path)?;
        let len = file.metadata().map_err(|e| Error::read(&path, &e))?.len();
        // What cannot be read is no version.
        let version = files::read_own(version_of(&path), MOST_VERSION).ok();
        let version = version.and_then(|text| String::from_utf8(text).ok());
        let version = version.filter(|v| v.bytes().all(|b| matches!(b, b' '..=b'~')));
        let mut part = Part { path, file, len, version, lost: 0 };
        if part.version.is_none() || part.len > bytes {
            part.begin(None)?;
        }
        Ok(part)
    }

    /// How much there is, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// What it is the beginning of: none where there is nothing to go on with.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref().filter(|_| self.len > 0)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stays of it where the download is interrupted.
    pub fn kept(&self) -> String {
        let (mib, path) = (self.len >> 20, self.path.display());
        match self.version() {
            Some(_) => format!("{mib} MiB are kept in {path}; the same command goes on"),
            None => "nothing is kept; the same command begins again".into(),
        }
    }

    /// Throws away what there is; what comes now is of that version.
    pub fn begin(&mut self, version: Option<String>) -> Result<()> {
        self.lost += usize::from(self.len > 0);
        self.file.set_len(0).map_err(|e| Error::write(&self.path, &e))?;
        (self.len, self.version) = (0, version);
        match &self.version {
            Some(version) => files::write_atomic(version_of(&self.path), version.as_bytes()),
            None => files::remove(&version_of(&self.path)),
        }
    }

    /// Adds to its end.
    pub fn append(&mut self, block: &[u8]) -> Result<()> {
        self.len += block.len() as u64;
        self.file.write_all(block).map_err(|e| Error::write(&self.path, &e))
    }

    /// Waits until all of it is on the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| Error::write(&self.path, &e))
    }

    /// It is whole, and becomes the file.
    pub fn becomes(mut self, file: &Path) -> Result<()> {
        self.sync()?;
        fs::rename(&self.path, file).map_err(|e| Error::write(file, &e))?;
        // What stays of the part is removed as it is dropped.
        self.version = None;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.version().is_none() {
            // Nothing is lost with it, and a remnant that cannot be removed is found empty.
            let _ = files::remove(&self.path);
            let _ = files::remove(&version_of(&self.path));
        }
    }
}
