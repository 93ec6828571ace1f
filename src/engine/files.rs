//! The files of a run that its training writes.

use crate::error::{Error, Result};
use crate::files;
use std::fmt;
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
