//! How the data set is opened: read, checked and judged.

use std::path::Path;

use super::check::check;
use super::dataset::Coco;
use super::json::{Instances, MAX_BYTES};
use crate::data::description::Reading;
use crate::error::{Error, Result};
use crate::files;

impl Coco {
    /// Opens `annotations` with the images in `folder`. Errors: those of [`Instances::read`], and what
    /// [`Faults`](crate::data::description::Faults) refuse: no image, no category, nothing to learn from,
    /// files that are missing, unreadable, outside of the folder or of another size than their entry says,
    /// and boxes that are in other units; each with ids. Where `reading` [decodes](Reading::decodes), every
    /// image is decoded once.
    pub fn open(annotations: &Path, folder: &Path, reading: Reading) -> Result<Self> {
        let bytes = files::read(annotations, MAX_BYTES)?;
        let (instances, faults) = Instances::gather(&bytes).map_err(|e| e.in_file(annotations))?;
        let Instances { mut images, mut categories, annotations: mut objects } = instances;
        if !folder.is_dir() {
            return Err(Error::input("is not a folder").in_file(folder).remedy("name the images' folder"));
        }
        images.sort_by_key(|i| i.id);
        // Two of one id are refused already.
        images.dedup_by_key(|i| i.id);
        categories.sort_by_key(|c| c.id);
        objects.sort_by_key(|a| a.image);
        let mut data = Coco {
            annotations: annotations.into(),
            folder: folder.into(),
            images,
            classes: categories,
            objects,
            faults,
            checksum: crc32c::crc32c(&bytes),
        };
        check(&mut data, reading);
        data.faults.judge(reading).map_err(|e| e.in_file(annotations))?;
        Ok(data)
    }
}
