//! How `--data` names a data set for classifiers.

use std::path::Path;
use std::sync::Arc;

use gradus_core::Rng;

use super::dataset::{EXPECTED, Splits};
use crate::data::{Cifar10, ImageFolder, Images, Reading, SyntheticShapes, cifar10};
use crate::error::{Error, Result};
use crate::looks;

/// The part of a folder's images held out for each of validation and test, unless asked otherwise.
pub const VAL_FRACTION: f64 = 0.1;

/// A data set before it is divided for training.
pub enum Source {
    /// Which may leave that to its user.
    Folder(ImageFolder),
    /// Whose division is fixed, or a function of the seed.
    Divided(Splits),
}

/// Finds what `--data` names: CIFAR-10 (its folder or `.tar.gz`), a folder of images with one sub-folder a
/// class, or `synthetic` (`synthetic:N` for N images), the drawn data set. `reading` says how faults are
/// taken.
pub fn find(source: &str, seed: u64, reading: Reading) -> Result<Source> {
    let path = Path::new(source);
    if let Some(count) = source.strip_prefix("synthetic").filter(|_| !path.exists()) {
        return Ok(Source::Divided(synthetic(count, seed)?.split()));
    }
    let meta = std::fs::metadata(path).map_err(|e| {
        Error::read(path, &e).remedy(format!("name a folder of images, or get CIFAR-10: {}", cifar10::REMEDY))
    })?;
    if meta.is_file() || cifar10::is_cifar10(path) {
        return Ok(Source::Divided(Arc::new(Cifar10::open(path)?).split(&split_rng(seed))));
    }
    Ok(Source::Folder(
        ImageFolder::open(path, reading).map_err(|e| looks::instead_of_data(e, path, EXPECTED))?,
    ))
}

/// Where the division of a data set comes from.
fn split_rng(seed: u64) -> Rng {
    Rng::seed(seed).stream("split")
}

/// Finds a data set and divides it. `val_fraction` of each class's training images is held out for a folder
/// that brings no split of its own; the choice is a function of `seed`.
pub fn open(source: &str, val_fraction: f64, seed: u64, reading: Reading) -> Result<Splits> {
    find(source, seed, reading)?.divided(val_fraction, seed)
}

impl Source {
    /// Divided, as for training.
    pub fn divided(self, val_fraction: f64, seed: u64) -> Result<Splits> {
        match self {
            Source::Folder(folder) => folder.split(val_fraction, &split_rng(seed)),
            Source::Divided(splits) => Ok(splits),
        }
    }

    /// Identifies the data, as [`Dataset::checksum`].
    pub fn checksum(&self) -> String {
        match self {
            Source::Folder(folder) => folder.checksum(),
            Source::Divided(splits) => splits.dataset().checksum(),
        }
    }
}

/// The drawn data set, of as many images as `:N` asks for.
fn synthetic(count: &str, seed: u64) -> Result<SyntheticShapes> {
    if count.is_empty() {
        return Ok(SyntheticShapes::new(seed));
    }
    match count.strip_prefix(':').and_then(|n| n.parse().ok()) {
        Some(n @ 24..=10_000_000) => Ok(SyntheticShapes::with_len(seed, n)),
        _ => Err(Error::input(format!("synthetic{count} is no data set"))
            .remedy("name `synthetic`, or `synthetic:N` for N drawn images, 24 to 10,000,000")),
    }
}
