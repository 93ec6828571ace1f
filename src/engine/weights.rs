//! The weights that a user names, read: of a run's folder, or a file of any program's, whole or under a key.

use super::files::{Files, Weights};
use super::resume::checkpoint_error;
use crate::error::{Error, Result};
use crate::looks;
use gradus_models::checkpoint::{self, Loaded};
use std::path::{Path, PathBuf};

/// Which weights of a run or a file.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    /// Of a run.
    pub of_run: Weights,
    /// Of a file with several: their key, see [`checkpoint::load_key`].
    pub key: Option<&'a str>,
}

impl From<Weights> for Which<'_> {
    fn from(of_run: Weights) -> Self {
        Which { of_run, key: None }
    }
}

/// The option that chooses among several weights of a file.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Key {
    /// Of a weights file with several: which, by its key (such as model_ema), or by the beginning of the
    /// tensors' names; with dots where one is in another
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

impl Key {
    /// With these weights of a run.
    pub fn or(&self, of_run: Weights) -> Which<'_> {
        Which { of_run, key: self.key.as_deref() }
    }
}

/// The file of a run's or a user's weights.
pub fn file(path: &Path, which: Which<'_>) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let expected =
        format!("a run's folder, which has weights/{}.safetensors, or a weights file", which.of_run);
    Files::of(path).existing_weights(which.of_run).map_err(|e| match path.join("args.json").exists() {
        true => e,
        false => looks::instead(e, path, &expected),
    })
}

/// Reads weights, and tells on standard error what was done with the names in the file.
pub fn read(path: &Path, which: Which<'_>) -> Result<(PathBuf, Loaded)> {
    let file = file(path, which)?;
    let loaded = checkpoint::load_key(&file, which.key).map_err(checkpoint_error)?;
    loaded.notes().iter().for_each(|note| say!("{}: {note}", file.display()));
    Ok((file, loaded))
}

/// Error: the weights of the last layer, of this name, are not those of so many classes. A network of many
/// classes is large: it is built only for a file that holds it.
pub fn must_tell_apart(count: usize, name: &str, file: &Path, loaded: &Loaded) -> Result<()> {
    /// Inputs of a last layer: at least these.
    const NARROWEST: usize = 64;
    let weight = loaded.tensors.get(name);
    if weight.is_some_and(|w| w.shape().first() == Some(&count) && w.numel() / count >= NARROWEST) {
        return Ok(());
    }
    let has = weight.map_or("is missing".to_owned(), |w| format!("has the shape {:?}", w.shape()));
    Err(Error::input(format!("is no whole network of {count} classes: {name} {has}")).in_file(file))
}

/// The error that the weights are of no network that is `known`.
pub fn unknown(file: &Path, loaded: &Loaded, known: &str) -> Error {
    let what = match loaded.some_names() {
        names if names.is_empty() => "holds no tensor".to_owned(),
        names => format!("holds the weights of no network that is known here: its tensors are {names}"),
    };
    Error::input(what)
        .in_file(file)
        .remedy(format!("known are {known}; where they are a part of the file, name it with --key"))
}
