//! What every data set is, and a part of one.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::description::{Faults, Outcome, Reading};
use crate::error::{Error, Result};
use crate::files;
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

    /// Identifies the data, to be kept with a run. Files are read for it. Error: one cannot be, or an
    /// interruption.
    fn checksum(&self) -> Result<String>;

    /// The images that it marks as `train`, `val` or `test`; none where it leaves that to its user.
    fn part(&self, _split: &str) -> Option<Vec<usize>> {
        None
    }

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

/// A checksum of files by what they are called and hold, after one of what goes with them. They are read
/// whole: a picture that was changed between two runs, or while a run was interrupted, may have kept its
/// length.
pub(super) fn checksum(files: &[(String, &Path)], sum: u32) -> Result<String> {
    let sums = progress::of_each("files are compared", "files", files, |(_, path)| content(path))?;
    let sum = files.iter().zip(sums).try_fold(sum, |sum, ((name, _), content)| {
        let sum = crc32c::crc32c_append(sum, name.as_bytes());
        content.map(|content| crc32c::crc32c_append(sum, &content.to_le_bytes()))
    });
    sum.map(|sum| format!("crc32c:{sum:08x}"))
}

/// The checksum of a file's content.
fn content(path: &Path) -> Result<u32> {
    let mut file = files::open(path)?;
    let (mut block, mut sum) = (vec![0; 1 << 16], 0);
    loop {
        match file.read(&mut block).map_err(|e| Error::read(path, &e))? {
            0 => return Ok(sum),
            n => sum = crc32c::crc32c_append(sum, &block[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_of_names_and_contents_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        let sum = |content: [&str; 2], names: [&str; 2]| {
            std::fs::write(&a, content[0]).unwrap();
            std::fs::write(&b, content[1]).unwrap();
            checksum(&[(names[0].into(), &*a), (names[1].into(), &*b)], 0).unwrap()
        };
        let first = sum(["one", "two"], ["a", "b"]);
        assert_eq!(first, sum(["one", "two"], ["a", "b"]));
        for other in [
            sum(["one", "twu"], ["a", "b"]),
            sum(["two", "one"], ["a", "b"]),
            sum(["one", "two"], ["a", "c"]),
            sum(["one", "tw"], ["a", "b"]),
        ] {
            assert_ne!(first, other);
        }
        std::fs::remove_file(&b).unwrap();
        assert!(checksum(&[("b".into(), &*b)], 0).is_err());
    }
}
