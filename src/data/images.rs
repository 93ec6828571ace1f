//! What every data set is, and a part of one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::description::{Faults, Outcome, Reading};
use crate::error::{Error, Result};
use crate::progress;

/// Images, each known by its index.
pub trait Images: Send + Sync {
    /// What kind of data set it is: "a folder of class folders".
    fn kind(&self) -> String;

    /// The number of images.
    fn len(&self) -> usize;

    /// Is there none?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What image i is called: its file, or its place in a file.
    fn name(&self, i: usize) -> String;

    /// Identifies the data, to be kept with a run.
    fn checksum(&self) -> String;

    /// What is doubtful about it, found when it was opened.
    fn faults(&self) -> Faults {
        Faults::default()
    }
}

/// Some images of a data set, in a fixed order.
pub struct Subset<D: ?Sized> {
    data: Arc<D>,
    indices: Arc<[usize]>,
}

/// The data set is shared, not copied.
impl<D: ?Sized> Clone for Subset<D> {
    fn clone(&self) -> Self {
        Subset { data: self.data.clone(), indices: self.indices.clone() }
    }
}

impl<D: Images + ?Sized> Subset<D> {
    /// The images with these indices. Panics where one is out of range.
    #[track_caller]
    pub fn new(data: Arc<D>, indices: impl Into<Arc<[usize]>>) -> Self {
        let indices = indices.into();
        assert!(
            indices.iter().all(|&i| i < data.len()),
            "Subset::new: an index beyond {} images",
            data.len()
        );
        Subset { data, indices }
    }

    /// All images.
    pub fn all(data: Arc<D>) -> Self {
        let indices: Vec<usize> = (0..data.len()).collect();
        Subset { data, indices: indices.into() }
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<D> {
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

    /// The first n images (all where there are fewer).
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        Subset { data: self.data.clone(), indices: self.indices[..n.min(self.len())].into() }
    }

    /// Reads the images, by their indices, on all threads and with progress: so a bad one that training comes
    /// to last does not end it then. Error: it lists those that cannot be read.
    pub(super) fn tried(&self, read: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        let look = |&i: &usize| read(i).map_err(|e| e.in_file(self.data.name(i)));
        let looks = progress::of_each("images to test on are tried", "images", &self.indices, look)?;
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
}

/// A checksum of files by what they are called and their sizes: to read every image for it would take as long
/// as an epoch.
pub(super) fn checksum(files: &[(String, &Path)]) -> String {
    let sizes: Vec<u64> =
        files.par_iter().map(|(_, path)| fs::metadata(path).map_or(0, |m| m.len())).collect();
    let sum = files.iter().zip(sizes).fold(0, |sum, ((name, _), size)| {
        crc32c::crc32c_append(crc32c::crc32c_append(sum, name.as_bytes()), &size.to_le_bytes())
    });
    format!("crc32c:{sum:08x}")
}
