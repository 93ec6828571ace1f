//! What a detector learns from and what it is tested on: the data as they are named, held to their classes,
//! and divided.

use crate::data::detection::{Annotated, DetectionDataset, TestSplit, like, selected};
use crate::data::{Images, Reading, Subset, open_detection};
use crate::error::Result;
use std::sync::Arc;

/// A detector's data.
#[derive(Clone)]
pub struct Sources {
    /// Those that it learns from. Without others they are divided.
    pub data: Arc<dyn DetectionDataset>,
    /// Those that it is tested on, with the same classes.
    pub val: Option<Arc<dyn DetectionDataset>>,
}

impl From<Arc<dyn DetectionDataset>> for Sources {
    fn from(data: Arc<dyn DetectionDataset>) -> Self {
        Sources { data, val: None }
    }
}

impl Sources {
    /// Opens them: data to learn from, others to test on, and the classes that are learned where these are
    /// not all. Errors: unreadable data, classes that are not there or do not agree.
    pub fn open(data: &str, val: Option<&str>, only: Option<&[String]>, reading: Reading) -> Result<Self> {
        let own = open_detection(data, reading)?;
        let sources = Sources::from(match only {
            Some(only) => selected(own, only).map_err(|e| e.in_file(data))?,
            None => own,
        });
        match val {
            Some(val) => sources.tested_on(val, only.is_some(), reading),
            None => Ok(sources),
        }
    }

    /// The same, tested on other data, of which `some` says that classes may be left out.
    pub fn tested_on(self, val: &str, some: bool, reading: Reading) -> Result<Self> {
        let test = open_detection(val, reading)?;
        let test = like(test, self.data.classes(), some).map_err(|e| e.in_file(val))?;
        Ok(Sources { val: Some(test), ..self })
    }

    /// The images to learn from and those to test on. Data to test on are so by the part that they have for
    /// it, or else as a whole; the others are learned from likewise.
    pub fn parts(&self, split: TestSplit, seed: u64) -> Result<[Annotated; 2]> {
        let Some(val) = &self.val else {
            let (train, test) = split.indices(&*self.data, seed)?;
            return Ok([train, test].map(|indices| Subset::new(self.data.clone(), indices)));
        };
        let part = |data: &Arc<dyn DetectionDataset>, own: Option<Vec<usize>>| match own {
            Some(own) => Subset::new(data.clone(), own),
            None => Subset::all(data.clone()),
        };
        Ok([part(&self.data, self.data.part("train")), part(val, tested(&**val))])
    }
}

/// The images that a data set marks to be tested on.
pub fn tested(data: &(impl Images + ?Sized)) -> Option<Vec<usize>> {
    data.part("val").or_else(|| data.part("test"))
}
