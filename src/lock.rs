//! What is written by one process at a time: whoever writes it holds a lock on a hidden file beside it. The
//! system takes the lock back when the process ends, however it ends, so a file that is left says nothing by
//! itself. Where the process does end by itself, it takes the file away.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// The right to write something, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    /// None where the file system knows no locks.
    file: Option<File>,
    hidden: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever holds the lock on the file at this path is the one who may remove it.
        if self.file.as_ref().is_none_or(|file| is_at(file, &self.hidden).unwrap_or(false)) {
            let _ = std::fs::remove_file(&self.hidden);
        }
    }
}

impl Lock {
    /// Takes the lock that `hidden` stands for, to write `what`. Error: another process has it, and the
    /// remedy is what to do then.
    pub fn take(hidden: &Path, what: &Path, remedy: &str) -> Result<Self> {
        let file = files::open_to_append(hidden)?;
        match file.try_lock() {
            // Between opening and locking, whoever had it may have given up and removed it.
            Ok(()) if is_at(&file, hidden).map_err(|e| Error::read(hidden, &e))? => {
                Ok(Lock { file: Some(file), hidden: hidden.into() })
            }
            Ok(()) => {
                drop(file);
                Self::take(hidden, what, remedy)
            }
            Err(TryLockError::WouldBlock) => {
                Err(Error::input("is being written by another gradus").in_file(what).remedy(remedy))
            }
            Err(TryLockError::Error(_)) => Ok(Lock { file: None, hidden: hidden.into() }),
        }
    }
}

/// Whether the path leads to the open file still. Error: that cannot be told.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let own = file.metadata()?;
        match std::fs::metadata(path) {
            Ok(there) => Ok([own.dev(), own.ino()] == [there.dev(), there.ino()]),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
    // Elsewhere no file is removed while it is open.
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        Ok(true)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_on_a_file_that_was_removed_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let hidden = dir.path().join(".lock");
        let (opened, lock) =
            (files::open_to_append(&hidden).unwrap(), Lock::take(&hidden, dir.path(), "").unwrap());
        assert!(is_at(&opened, &hidden).unwrap() && Lock::take(&hidden, dir.path(), "").is_err());
        std::fs::remove_file(&hidden).unwrap();
        drop(lock);
        assert!(!is_at(&opened, &hidden).unwrap());
        let (_new, again) =
            (Lock::take(&hidden, dir.path(), "").unwrap(), Lock::take(&hidden, dir.path(), ""));
        assert!(!is_at(&opened, &hidden).unwrap() && again.is_err());
    }

    #[test]
    fn its_file_goes_with_it_and_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let hidden = dir.path().join(".lock");
        drop(Lock::take(&hidden, dir.path(), "").unwrap());
        assert!(!hidden.exists());
        let old = Lock::take(&hidden, dir.path(), "").unwrap();
        std::fs::remove_file(&hidden).unwrap();
        let new = Lock::take(&hidden, dir.path(), "").unwrap();
        drop(old);
        assert!(hidden.exists() && Lock::take(&hidden, dir.path(), "").is_err());
        drop(new);
        assert!(!hidden.exists());
    }
}
