//! What is written by one process at a time: whoever writes it holds a lock on a hidden file beside it. The
//! system takes the lock back when the process ends, however it ends, so the file that stays says nothing by
//! itself.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// The right to write something, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    /// None where the file system knows no locks.
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock that `hidden` stands for, to write `what`. Error: another process has it, and the
    /// remedy is what to do then.
    pub fn take(hidden: &Path, what: &Path, remedy: &str) -> Result<Self> {
        let file = files::open_to_append(hidden)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::input("is being written by another gradus").in_file(what).remedy(remedy))
            }
            Err(TryLockError::Error(_)) => Ok(Lock { _file: None }),
        }
    }
}
