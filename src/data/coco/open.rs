//! How the data set is opened: read, checked and judged.

use std::path::{Path, PathBuf};

use super::check::check;
use super::dataset::Coco;
use super::form::Form;
use super::json::{Instances, MAX_BYTES};
use crate::data::description::{Faults, Reading};
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::coco::Category;

impl Coco {
    /// Opens `annotations` with the images in `folder`. Errors: those of [`Instances::read`], and what
    /// [`Faults`](crate::data::description::Faults) refuse: no image, no category, nothing to learn from,
    /// files that are missing, unreadable, outside of the folder or of another size than their entry says,
    /// and boxes that are in other units; each with ids. Where `reading` [decodes](Reading::decodes), every
    /// image is decoded once.
    pub fn open(annotations: &Path, folder: &Path, reading: Reading) -> Result<Self> {
        let bytes = files::read(annotations, MAX_BYTES)?;
        let (instances, faults) = Instances::gather(&bytes).map_err(|e| e.in_file(annotations))?;
        if !folder.is_dir() {
            return Err(Error::input("is not a folder").in_file(folder).remedy("name the images' folder"));
        }
        let notes = overall(&instances).map(|c| {
            format!("category 0 ({}) has no object: in Roboflow's files it stands for all of them", c.name)
        });
        let gathered = Gathered {
            form: Form::Coco,
            annotations: annotations.into(),
            folder: folder.into(),
            instances,
            parts: Vec::new(),
            notes: notes.into_iter().collect(),
            faults,
            checksum: crc32c::crc32c(&bytes),
        };
        gathered.checked(reading)
    }
}

/// The category that Roboflow adds as number 0, which no box has: what all of the others are.
pub(super) fn overall(instances: &Instances) -> Option<Category> {
    let used = |id: i64| instances.annotations.iter().any(|a| a.category == id);
    let first = instances.categories.iter().find(|c| c.id == 0 && !used(0))?;
    (instances.categories.len() > 1).then(|| first.clone())
}

/// What a reader found in a data set, whatever its form, before it is checked.
pub struct Gathered {
    /// What it is written as.
    pub form: Form,
    /// What errors name: a file, or the folder of many.
    pub annotations: PathBuf,
    /// What images' file names are below.
    pub folder: PathBuf,
    /// Images, classes and objects.
    pub instances: Instances,
    /// Its own parts by their names, each with the ids of its images.
    pub parts: Vec<(&'static str, Vec<i64>)>,
    /// What else should be known of it.
    pub notes: Vec<String>,
    /// What is doubtful about it so far.
    pub faults: Faults,
    /// Of the annotations and the parts.
    pub checksum: u32,
}

impl Gathered {
    /// The data set. Errors: what its faults refuse, these and those of files, sizes, boxes and masks.
    pub fn checked(self, reading: Reading) -> Result<Coco> {
        let Gathered { form, annotations, folder, instances, mut parts, notes, faults, checksum } = self;
        let Instances { mut images, mut categories, annotations: mut objects } = instances;
        images.sort_by_key(|i| i.id);
        // Two of one id are refused already.
        images.dedup_by_key(|i| i.id);
        categories.sort_by_key(|c| c.id);
        objects.sort_by_key(|a| a.image);
        parts.iter_mut().for_each(|(_, ids)| ids.sort_unstable());
        let classes = categories;
        let mut data =
            Coco { form, annotations, folder, images, classes, objects, parts, notes, faults, checksum };
        check(&mut data, reading);
        data.faults.judge(reading).map_err(|e| e.in_file(&data.annotations))?;
        Ok(data)
    }
}
