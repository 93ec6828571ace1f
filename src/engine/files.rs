//! The files of a run that its training writes.

use crate::error::{Error, Result};
use crate::files;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Which weights of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// Those of the best epoch
    Best,
    /// The newest
    Last,
}

/// As files and options name them.
impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Weights::Best => "best",
            Weights::Last => "last",
        })
    }
}

/// A run's files that the training writes.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of the run in `folder`.
    pub fn of(folder: &Path) -> Self {
        Files { folder: folder.to_path_buf() }
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that resuming needs.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state/state.safetensors")
    }

    /// Whether there is a state. Error: that cannot be told.
    pub fn have_state(&self) -> Result<bool> {
        files::exists(self.state())
    }

    /// Removes the state of a run that is done, and leaves word of it. Returns how many bytes became free.
    pub fn drop_state(&self) -> Result<u64> {
        let state = self.state();
        if !self.have_state()? {
            return Ok(0);
        }
        let size = fs::metadata(&state).map_err(|e| Error::read(&state, &e))?.len();
        files::write_atomic(self.dropped(), b"--drop-state removed the state: this run cannot go on.\n")?;
        fs::remove_file(&state).map_err(|e| Error::write(&state, &e))?;
        Ok(size)
    }

    /// Error: the state was dropped.
    pub fn must_have_kept_state(&self) -> Result<()> {
        if self.have_state()? || !files::exists(self.dropped())? {
            return Ok(());
        }
        Err(Error::input("is done, and --drop-state has removed what it would go on from")
            .in_file(&self.folder)
            .remedy("its weights serve; to train longer, begin again with another --out and more --epochs"))
    }

    fn dropped(&self) -> PathBuf {
        self.folder.join("state/dropped")
    }

    /// The bytes of all files in the run's folder. What cannot be looked at is not counted.
    pub fn bytes(&self) -> u64 {
        let mut folders = vec![self.folder.clone()];
        let mut sum = 0;
        while let Some(folder) = folders.pop() {
            for entry in files::entries(&folder).unwrap_or_default() {
                match entry.metadata() {
                    Ok(about) if about.is_dir() => folders.push(entry.path()),
                    Ok(about) => sum += about.len(),
                    Err(_) => {}
                }
            }
        }
        sum
    }

    /// Weights, once there are any.
    pub fn weights(&self, which: Weights) -> PathBuf {
        self.folder.join(format!("weights/{which}.safetensors"))
    }

    /// Weights. Error: there are none yet.
    pub fn existing_weights(&self, which: Weights) -> Result<PathBuf> {
        let file = self.weights(which);
        if !files::exists(&file)? {
            return Err(Error::input(format!("holds no weights/{which}.safetensors"))
                .in_file(&self.folder)
                .remedy("name the folder of a run that has finished an epoch, or a weights file"));
        }
        Ok(file)
    }
}
