//! Data sets: where images come from, how they are split, augmented, and batched. Those for detection are in
//! [`detection`]; the rest of this page is about classification.
//!
//! A [`Dataset`] gives raw images and labels; a [`Subset`] picks some of them; a [`Transform`] turns one into
//! the floats a network reads (normalised, NHWC); a [`Loader`] prepares batches of them on a thread of its
//! own. Randomness is a function of (seed, epoch, image) alone, so that it depends on no thread and no order.

mod ahead;
mod augment;
mod cifar10;
mod classes;
pub mod coco;
pub mod description;
pub mod detection;
mod folder;
mod loader;
mod penn_fudan;
mod scenes;
mod synthetic;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gradus_core::Rng;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::interrupt;
use crate::looks;
use crate::progress::Progress;

pub use ahead::Ahead;
use augment::proportioned;
pub use augment::{Normalise, Recipe, Transform};
pub use cifar10::Cifar10;
pub use classes::{list as listed, matched, renumbered};
use description::{ClassCount, Faults, Outcome, SplitCount};
pub use description::{Description, Reading};
pub use folder::ImageFolder;
pub use loader::{Batch, Loader};
pub use penn_fudan::PennFudan;
pub use scenes::Scenes;
pub use synthetic::SyntheticShapes;

/// Labelled images.
pub trait Dataset: Send + Sync {
    /// What the data set is called wherever it is shown.
    fn name(&self) -> &str;

    /// The classes' names; a label is an index into them.
    fn classes(&self) -> &[String];

    /// The number of images.
    fn len(&self) -> usize;

    /// Is there none?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of image i.
    fn label(&self, i: usize) -> usize;

    /// Image i as 8-bit RGB. A file that cannot be decoded is an error that names it.
    fn image(&self, i: usize) -> Result<Image>;

    /// What image i is called: its file, or its place in a file.
    fn describe(&self, i: usize) -> String {
        format!("{} image {i}", self.name())
    }

    /// Identifies the data, to be kept with a run.
    fn checksum(&self) -> String;

    /// What kind of data set it is: "a folder of class folders".
    fn kind(&self) -> String {
        "labelled images".into()
    }

    /// What is doubtful about it.
    fn faults(&self) -> Faults {
        Faults::default()
    }

    /// The images that it marks as `train`, `val` or `test`; none where it leaves that to its user.
    fn part(&self, _split: &str) -> Option<Vec<usize>> {
        None
    }
}

/// Some images of a data set, in a fixed order.
#[derive(Clone)]
pub struct Subset {
    data: Arc<dyn Dataset>,
    indices: Arc<[usize]>,
}

impl Subset {
    /// The images with these indices. Panics where one is out of range.
    #[track_caller]
    pub fn new(data: Arc<dyn Dataset>, indices: impl Into<Arc<[usize]>>) -> Self {
        let indices = indices.into();
        assert!(
            indices.iter().all(|&i| i < data.len()),
            "Subset::new: an index beyond {} images",
            data.len()
        );
        Subset { data, indices }
    }

    /// All images.
    pub fn all(data: Arc<dyn Dataset>) -> Self {
        let indices: Vec<usize> = (0..data.len()).collect();
        Subset { data, indices: indices.into() }
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.data
    }

    /// The indices in the data set.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The classes' names.
    pub fn classes(&self) -> &[String] {
        self.data.classes()
    }

    /// The class of the k-th image.
    pub fn label(&self, k: usize) -> usize {
        self.data.label(self.indices[k])
    }

    /// The k-th image as 8-bit RGB.
    pub fn image(&self, k: usize) -> Result<Image> {
        self.data.image(self.indices[k])
    }

    /// The first n images (all where there are fewer).
    pub fn take(&self, n: usize) -> Self {
        Subset { data: self.data.clone(), indices: self.indices[..n.min(self.len())].into() }
    }
}

/// The images that are trained on, those that choose the best epoch, and those that judge it.
#[derive(Clone)]
pub struct Splits {
    /// Trained on.
    pub train: Subset,
    /// Choose the best epoch.
    pub val: Subset,
    /// Judge it.
    pub test: Subset,
}

impl Splits {
    /// The classes' names.
    pub fn classes(&self) -> &[String] {
        self.train.classes()
    }

    /// The data set they are part of.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        self.train.dataset()
    }

    /// What the data set is read as, and how it is divided.
    pub fn description(&self, source: &str) -> Description {
        let parts = [("train", &self.train), ("val", &self.val), ("test", &self.test)];
        let cut = |name: &str| name != "train" && self.dataset().part(name).is_none();
        let named =
            |name: &str| if cut(name) { format!("{name} (cut out of train)") } else { name.to_string() };
        describe(source, &parts.map(|(name, part)| (named(name), part)))
    }

    /// Tries the images that training comes to last, so that a bad one does not end it then: those of val and
    /// test. Error: it lists the bad ones.
    pub fn try_late_images(&self) -> Result<()> {
        let late: Vec<usize> = self.val.indices().iter().chain(self.test.indices()).copied().collect();
        let data = self.dataset();
        tried(&late, |i| proportioned(&data.image(i)?).map(|_| ()).map_err(|e| e.in_file(data.describe(i))))
    }

    /// The split of that name: `train`, `val` or `test`.
    pub fn get(&self, name: &str) -> Result<&Subset> {
        match name {
            "train" => Ok(&self.train),
            "val" => Ok(&self.val),
            "test" => Ok(&self.test),
            _ => Err(Error::input(format!("there is no split `{name}`")).remedy("choose train, val or test")),
        }
    }
}

/// Reads some images, by their indices, on all threads and with progress. Error: it lists those that cannot
/// be read.
fn tried(images: &[usize], read: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let progress = Mutex::new(Progress::new("images to test on are tried", "images", images.len() as u64, 0));
    let look = |&i: &usize| {
        if interrupt::requested() {
            return Err(Error::interrupted("nothing was changed"));
        }
        let read = read(i);
        progress.lock().unwrap_or_else(PoisonError::into_inner).advance(1, String::new);
        read
    };
    let looks: Vec<Result<()>> = images.par_iter().map(look).collect();
    let mut faults = Faults::default();
    for error in looks.into_iter().filter_map(Result::err) {
        match error {
            // The list is told what to do as a whole.
            Error::Input(m) => {
                let file = m.file.map_or_else(String::new, |f| format!("{}: ", f.display()));
                faults.add(Faults::UNREADABLE, Outcome::Refused, format!("{file}{}", m.what));
            }
            other => return Err(other),
        }
    }
    faults.judge(Reading::default())
}

/// The part of a folder's images held out for each of validation and test, unless asked otherwise.
pub const VAL_FRACTION: f64 = 0.1;

/// Describes some images of a data set, each part by its name.
pub fn describe(source: &str, parts: &[(String, &Subset)]) -> Description {
    let data = parts[0].1.dataset();
    let mut counts = vec![0; data.classes().len()];
    parts
        .iter()
        .flat_map(|(_, part)| (0..part.len()).map(|k| part.label(k)))
        .for_each(|label| counts[label] += 1);
    let class = |(name, images): (&String, usize)| ClassCount { name: name.clone(), images, objects: None };
    let split = |(name, part): &(String, &Subset)| SplitCount {
        name: name.clone(),
        images: part.len(),
        objects: None,
    };
    Description {
        kind: data.kind(),
        source: source.into(),
        classes: data.classes().iter().zip(counts).map(class).collect(),
        splits: parts.iter().map(split).collect(),
        notes: Vec::new(),
        faults: data.faults(),
    }
}

/// A data set before it is divided for training.
pub enum Source {
    /// Which may leave that to its user.
    Folder(ImageFolder),
    /// Whose division is fixed, or a function of the seed.
    Divided(Splits),
}

/// What `--data` may name.
const EXPECTED: &str = "a folder of images with one sub-folder a class, or CIFAR-10's archive";

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

/// `total` images: those of a random permutation's last `held_out`, and the others; both in ascending order.
fn hold_out(total: usize, held_out: usize, rng: &mut Rng) -> (Vec<usize>, Vec<usize>) {
    let mut kept = rng.permutation(total);
    let mut held = kept.split_off(total - held_out);
    kept.sort_unstable();
    held.sort_unstable();
    (kept, held)
}
