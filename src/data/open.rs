//! How `--data` names a data set, for classifiers and for detectors. This file stands above all data sets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_core::Rng;

use super::cifar10::{self, Cifar10};
use super::classes::nearest;
use super::classification::{EXPECTED, Splits};
use super::coco::{Coco, is_roboflow};
use super::description::Reading;
use super::detection::DetectionDataset;
use super::folder::ImageFolder;
use super::images::Images;
use super::penn_fudan::PennFudan;
use super::scenes::Scenes;
use super::synthetic::SyntheticShapes;
use super::{voc, yolo};
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
    if let Some(rest) = drawn(source) {
        return Ok(Source::Divided(shapes(rest, seed)?.split()));
    }
    let meta = std::fs::metadata(path).map_err(|e| {
        let others = || format!("name a folder of images, or get CIFAR-10: {}", cifar10::REMEDY);
        Error::read(path, &e).remedy(meant(source).unwrap_or_else(others))
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

    /// Identifies the data, as [`Images::checksum`].
    pub fn checksum(&self) -> Result<String> {
        match self {
            Source::Folder(folder) => folder.checksum(),
            Source::Divided(splits) => splits.dataset().checksum(),
        }
    }
}

/// What `--data` of a detector names.
enum Objects<'a> {
    /// `synthetic`, with what follows.
    Drawn(&'a str),
    /// An instances file, and the folder of its images.
    Coco(&'a Path, &'a Path),
    /// Roboflow's folders of instances files and images.
    Roboflow(&'a Path),
    /// A `data.yaml`.
    Yolo(PathBuf),
    /// The folder that holds `Annotations`.
    Voc(PathBuf),
    /// A folder that must be Penn-Fudan's.
    PennFudan(&'a Path),
}

impl<'a> Objects<'a> {
    /// Error: an instances file without its images, a folder of several data sets.
    fn named(source: &'a str) -> Result<Self> {
        if let Some(rest) = drawn(source) {
            return Ok(Objects::Drawn(rest));
        }
        let (lower, path) = (source.to_ascii_lowercase(), Path::new(source));
        if let Some(at) = lower.rfind(".json:") {
            return Ok(Objects::Coco(Path::new(&source[..at + 5]), Path::new(&source[at + 6..])));
        }
        if lower.ends_with(".json") {
            let error = Error::input("the folder of its images is missing").in_file(source);
            return Err(error.remedy(format!("write {source}:IMAGES")));
        }
        if lower.ends_with(".yaml") || lower.ends_with(".yml") {
            return Ok(Objects::Yolo(path.into()));
        }
        if PennFudan::is_at(path) {
            return Ok(Objects::PennFudan(path));
        }
        if is_roboflow(path) {
            return Ok(Objects::Roboflow(path));
        }
        if let Some(yaml) = yolo::described_by(path)? {
            return Ok(Objects::Yolo(yaml));
        }
        Ok(voc::folder(path).map_or(Objects::PennFudan(path), Objects::Voc))
    }

    /// As images with annotations, where it is written as such.
    fn annotated(&self, reading: Reading) -> Result<Option<Coco>> {
        match self {
            Objects::Coco(annotations, images) => Coco::open(annotations, images, reading),
            Objects::Roboflow(folder) => Coco::open_roboflow(folder, reading),
            Objects::Yolo(file) => yolo::open(file, reading),
            Objects::Voc(folder) => voc::open(folder, reading),
            Objects::Drawn(_) | Objects::PennFudan(_) => return Ok(None),
        }
        .map(Some)
    }
}

/// Whether a source is one of objects in boxes, and not of images with a class each. What is named wrongly
/// but cannot be the other is one, too.
pub fn is_of_objects(source: &str) -> bool {
    match Objects::named(source) {
        Ok(Objects::PennFudan(path)) => PennFudan::is_at(path),
        // Most of these names are of both: what classifiers do not take is of detectors.
        Ok(Objects::Drawn(rest)) => shapes(rest, 0).is_err() && scenes(rest).is_ok(),
        Ok(_) | Err(_) => true,
    }
}

/// What [`open_detection`] takes.
pub const OBJECTS: &str = "PennFudanPed's folder, ANNOTATIONS.json:IMAGES, a YOLO data set's data.yaml, or the \
                           folder of one in Pascal VOC's or Roboflow's form";

/// Opens a data set: PennFudanPed's folder, `ANNOTATIONS.json:IMAGES` in COCO's instances format, Roboflow's
/// folders of such, a YOLO data set's `data.yaml` or its folder, a folder in Pascal VOC's form, or
/// `synthetic`, the drawn [`Scenes`]: always the same 250 of 320 x 240 pixels (`synthetic:N` or
/// `synthetic:N:WIDTHxHEIGHT` for others). `reading` says how faults are taken.
pub fn open_detection(source: &str, reading: Reading) -> Result<Arc<dyn DetectionDataset>> {
    let named = Objects::named(source)?;
    if let Some(data) = named.annotated(reading)? {
        return Ok(Arc::new(data));
    }
    match named {
        Objects::Drawn(rest) => Ok(Arc::new(scenes(rest)?)),
        _ => {
            let path = Path::new(source);
            let other = |e: Error| match meant(source).filter(|_| !path.exists()) {
                Some(remedy) => e.remedy(remedy),
                None if PennFudan::is_at(path) => e,
                None => looks::instead_of_data(e.remedy(format!("name {OBJECTS}")), path, OBJECTS),
            };
            Ok(Arc::new(PennFudan::open(path, reading).map_err(other)?))
        }
    }
}

/// The annotated images that a source names, where it is written as such; see [`open_detection`].
pub fn open_annotated(source: &str, reading: Reading) -> Result<Coco> {
    let told = || Error::input("has no annotations that results are compared with").in_file(source);
    Objects::named(source)?.annotated(reading)?.ok_or_else(|| told().remedy("name ANNOTATIONS.json"))
}

/// What follows `synthetic` in the name of a drawn data set, where there is no file of that name.
fn drawn(source: &str) -> Option<&str> {
    source.strip_prefix("synthetic").filter(|_| !Path::new(source).exists())
}

/// What to do, where a name that leads nowhere is nearly `synthetic`.
fn meant(source: &str) -> Option<String> {
    let (name, rest) = source.split_at(source.find(':').unwrap_or(source.len()));
    nearest(name, &["synthetic".into()]).map(|near| format!("did you mean {near}{rest}?"))
}

/// The error of such a name that means nothing.
fn not_drawn(rest: &str, remedy: &str) -> Error {
    Error::input(format!("synthetic{rest} is no data set")).remedy(remedy)
}

/// The drawn data set, of as many images as `:N` asks for.
fn shapes(rest: &str, seed: u64) -> Result<SyntheticShapes> {
    if rest.is_empty() {
        return Ok(SyntheticShapes::new(seed));
    }
    match rest.strip_prefix(':').and_then(|n| n.parse().ok()) {
        Some(n @ 24..=10_000_000) => Ok(SyntheticShapes::with_len(seed, n)),
        _ => Err(not_drawn(rest, "name `synthetic`, or `synthetic:N` for N drawn images, 24 to 10,000,000")),
    }
}

/// The drawn scenes that `synthetic` with this behind it names.
fn scenes(rest: &str) -> Result<Scenes> {
    let parse = || {
        let mut parts = rest.split(':').skip(1);
        let len = parts.next().map_or(Some(250), |n| n.parse().ok())?;
        let size = parts.next().map_or(Some((320, 240)), |size| {
            let (w, h) = size.split_once('x')?;
            Some((w.parse().ok()?, h.parse().ok()?))
        });
        let (w, h): (usize, usize) = size?;
        let sound = rest.is_empty() || rest.starts_with(':');
        let bounded = (2..=1_000_000).contains(&len) && w.min(h) >= 32 && w.max(h) <= 4096;
        (sound && bounded && parts.next().is_none()).then(|| Scenes::new(1234, len, w, h))
    };
    let remedy = "name `synthetic`, `synthetic:N` or `synthetic:N:WIDTHxHEIGHT`, sides of 32 to 4096 pixels";
    parse().ok_or_else(|| not_drawn(rest, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_scenes_have_numbers_and_sizes() {
        for (source, len, size) in [
            ("synthetic", 250, [320, 240]),
            ("synthetic:9", 9, [320, 240]),
            ("synthetic:4:64x48", 4, [64, 48]),
        ] {
            let data = open_detection(source, Reading::default()).unwrap();
            let image = data.load(0).unwrap().image;
            assert_eq!((data.len(), [image.width(), image.height()]), (len, size));
        }
        for source in [
            "synthetic:",
            "synthetic:1",
            "synthetic9",
            "synthetic:9:64",
            "synthetic:9:8x8",
            "synthetic:9:64x48:1",
        ] {
            assert!(
                open_detection(source, Reading::default())
                    .err()
                    .unwrap()
                    .to_string()
                    .contains("synthetic:N:WIDTHxHEIGHT"),
                "{source}"
            );
        }
    }

    #[test]
    fn a_source_without_its_images_is_explained() {
        let error = open_detection("a/instances.json", Reading::default()).err().unwrap().to_string();
        assert!(error.contains("write a/instances.json:IMAGES"), "{error}");
        let error = open_detection("a/missing.json:b", Reading::default()).err().unwrap().to_string();
        assert!(error.starts_with("a/missing.json: cannot be read"), "{error}");
    }
}
