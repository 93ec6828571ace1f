//! Data sets: where images come from, how they are divided, augmented, and batched.
//!
//! All of them are [`Images`]. Those with a class for each image are a [`Dataset`], those with objects in
//! boxes a [`DetectionDataset`](detection::DetectionDataset). A [`Subset`] picks some images, and a
//! [`Loader`] prepares batches of them on a thread of its own; what a batch is, its [`Collate`] says: for
//! classifiers a [`Transform`] to the floats that a network reads (normalised, NHWC), for detectors
//! [`Mirrored`](detection::Mirrored). Randomness is a function of (seed, epoch, image) alone, so that it
//! depends on no thread and no order.
//!
//! Each data set has a file of its own and knows nothing of the others. Which of them `--data` names is found
//! by [`open()`] and [`open_detection`], which stand above them all.

mod ahead;
mod augment;
mod cifar10;
mod classes;
mod classification;
pub mod coco;
pub mod description;
pub mod detection;
mod folder;
mod images;
mod loader;
mod open;
mod penn_fudan;
mod scenes;
mod synthetic;
mod voc;
mod yolo;

pub use ahead::Ahead;
pub use augment::{Augmentation, Normalise, Transform};
pub use cifar10::Cifar10;
pub use classes::{list as listed, matched, nearest, renumbered};
pub use classification::{Batch, Dataset, Labelled, Splits, describe};
pub use description::{Description, Reading};
pub use folder::ImageFolder;
pub use images::{Images, Subset};
pub use loader::{Collate, Loader};
pub use open::{OBJECTS, Source, VAL_FRACTION, find, is_of_objects, open, open_annotated, open_detection};
pub use penn_fudan::PennFudan;
pub use scenes::Scenes;
pub use synthetic::SyntheticShapes;
