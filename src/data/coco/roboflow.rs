//! Roboflow's export in COCO's format: folders `train`, `valid` and `test`, each with its images and a file
//! `_annotations.coco.json` among them.
//!
//! The files number their images and objects from 0 each. Read as one data set, those of the second folder
//! keep their numbers behind a one and zeros (12 is 1012 where no number reaches 1000), those of the third
//! behind a two, so that a number still says where to look.

use std::path::Path;

use super::dataset::Coco;
use super::form::Form;
use super::json::{Annotation, ImageInfo, Instances, MAX_BYTES};
use super::open::{Gathered, overall};
use crate::data::description::{Faults, Outcome, Reading};
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::coco::Category;

/// The file of annotations in each folder.
const FILE: &str = "_annotations.coco.json";
/// The parts, and what their folders are called.
const PARTS: [(&str, &[&str]); 3] = [("train", &["train"]), ("val", &["valid", "val"]), ("test", &["test"])];
/// Numbers above are refused: those of three files must be kept apart.
const MOST: i64 = 1_000_000_000_000;

/// The parts that a folder holds, each with the name of its folder.
fn parts(folder: &Path) -> Vec<(&'static str, &'static str)> {
    let found = |&(part, names): &(&'static str, &'static [&'static str])| {
        let own = names.iter().find(|name| folder.join(name).join(FILE).is_file());
        own.map(|name| (part, *name))
    };
    PARTS.iter().filter_map(found).collect()
}

/// Whether a folder holds such an export, or is one of its parts.
pub fn is_roboflow(folder: &Path) -> bool {
    folder.join(FILE).is_file() || !parts(folder).is_empty()
}

/// A file of a part, read.
struct Read {
    part: &'static str,
    name: &'static str,
    instances: Instances,
}

impl Coco {
    /// Opens such an export, or one of its parts alone. Errors: those of [`Coco::open`], classes of one part
    /// that another has not.
    pub fn open_roboflow(folder: &Path, reading: Reading) -> Result<Self> {
        let parts = parts(folder);
        if parts.is_empty() {
            return Coco::open(&folder.join(FILE), folder, reading);
        }
        let (mut faults, mut checksum, mut read) = (Faults::default(), 0, Vec::new());
        for (part, name) in parts {
            let file = folder.join(name).join(FILE);
            let bytes = files::read(&file, MAX_BYTES)?;
            let (instances, own) = Instances::gather(&bytes).map_err(|e| e.in_file(&file))?;
            faults.extend(own, name);
            checksum = crc32c::crc32c_append(crc32c::crc32c_append(checksum, part.as_bytes()), &bytes);
            read.push(Read { part, name, instances });
        }
        let notes = without_overall(&mut read).map(|c| {
            format!("category 0 ({}), Roboflow's name for all classes, has no object and is no class", c.name)
        });
        let (instances, parts) = merged(read, &mut faults, folder)?;
        let gathered = Gathered {
            form: Form::Roboflow,
            annotations: folder.into(),
            folder: folder.into(),
            instances,
            parts,
            notes: notes.into_iter().collect(),
            faults,
            checksum,
        };
        gathered.checked(reading)
    }
}

/// Takes out what Roboflow calls all classes together, where no file has an object of it.
fn without_overall(read: &mut [Read]) -> Option<Category> {
    let first = overall(&read.first()?.instances)?;
    let unused = |read: &Read| overall(&read.instances).is_some_and(|c| c.name == first.name);
    if !read.iter().all(unused) {
        return None;
    }
    read.iter_mut().for_each(|read| read.instances.categories.retain(|c| c.id != 0));
    Some(first)
}

/// All of them as one, and the images of each part. Categories are the first file's, by their names.
fn merged(
    read: Vec<Read>,
    faults: &mut Faults,
    folder: &Path,
) -> Result<(Instances, Vec<(&'static str, Vec<i64>)>)> {
    let ids = read.iter().flat_map(|r| {
        r.instances.images.iter().map(|i| i.id).chain(r.instances.annotations.iter().map(|a| a.id))
    });
    let (least, most) = ids.fold((0, 0), |(least, most), id| (id.min(least), id.max(most)));
    if least < 0 || most > MOST {
        let what = format!("numbers images or objects from {least} to {most}");
        return Err(Error::input(what).in_file(folder).remedy(format!("number them from 0 to {MOST}")));
    }
    let step = (0..).map(|k| 10_i64.pow(k)).find(|&step| step > most).unwrap_or(MOST);
    let mut all = Instances::default();
    let mut parts = Vec::new();
    for (k, Read { part, name, instances }) in read.into_iter().enumerate() {
        if k == 0 {
            all.categories.clone_from(&instances.categories);
        }
        let offset = step * k as i64;
        let category = |id: i64| {
            let name = &instances.categories.iter().find(|c| c.id == id)?.name;
            Some(all.categories.iter().find(|c| c.name == *name)?.id)
        };
        for c in instances.categories.iter().filter(|c| category(c.id).is_none()) {
            let what = "classes are not those of the first folder";
            faults.add(what, Outcome::Refused, format!("{name}: {}", c.name));
        }
        let image = |i: &ImageInfo| {
            let file_name = format!("{name}/{}", i.file_name);
            ImageInfo { id: i.id + offset, file_name, ..i.clone() }
        };
        let object = |a: &Annotation| {
            let category = category(a.category)?;
            Some(Annotation { id: a.id + offset, image: a.image + offset, category, ..a.clone() })
        };
        let images: Vec<ImageInfo> = instances.images.iter().map(image).collect();
        all.annotations.extend(instances.annotations.iter().filter_map(object));
        parts.push((part, images.iter().map(|i| i.id).collect()));
        all.images.extend(images);
    }
    Ok((all, parts))
}
