//! A run is written by one process at a time: whoever writes holds a lock on a file in its folder. The system
//! takes the lock back when the process ends, however it ends, so the file that stays says nothing by itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};

/// Hidden, as what is no part of the run.
pub(super) const LOCK: &str = ".lock";

/// The right to write a run, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// None where the file system knows no locks.
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock of a folder that is there. Error: another process has it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::write(&path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(Error::input("is being written by another gradus")
                .in_file(folder)
                .remedy("wait for it to end, or name another folder with --out")),
            Err(TryLockError::Error(_)) => Ok(Lock { _file: None }),
        }
    }
}
