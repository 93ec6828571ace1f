//! Images with annotations in COCO's instances format.
//!
//! Everything that can be judged without decoding an image is judged when the data set is opened, so that a mistake in the
//! annotations does not show after hours. Masks stay polygons or run lengths until their image is loaded.

pub mod json;
mod names;
mod raw;

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

pub use names::categories;

use self::json::{Annotation, ImageInfo, Instances, MAX_BYTES, Segmentation};
use super::Reading;
use super::detection::{DetectionDataset, Sample};
use crate::error::{Error, Result};
use crate::files;
use crate::image::Image;
use crate::metrics::coco::{Category, GroundTruth};
use crate::metrics::rle::Rle;

/// An instances file and the folder of its images.
///
/// Labels are 1, 2, ... by ascending category id. Images are sorted by id, and those without objects are kept.
#[derive(Clone, Debug)]
pub struct Coco {
    annotations: PathBuf,
    folder: PathBuf,
    images: Vec<ImageInfo>,
    classes: Vec<Category>,
    /// The objects, sorted by image.
    objects: Vec<Annotation>,
    /// Of the annotations.
    checksum: u32,
}

impl Coco {
    /// Opens `annotations` with the images in `folder`. Errors: those of [`Instances::read`], no image, a file name that
    /// leaves the folder, missing files, and boxes without width or height or outside of their image; each with ids.
    pub fn open(annotations: &Path, folder: &Path, _reading: Reading) -> Result<Self> {
        let bytes = files::read(annotations, MAX_BYTES)?;
        let instances = Instances::parse(&bytes).map_err(|e| e.in_file(annotations))?;
        let Instances { mut images, mut categories, annotations: mut objects } = instances;
        if !folder.is_dir() {
            return Err(Error::input("is not a folder").in_file(folder).remedy("name the images' folder"));
        }
        images.sort_by_key(|i| i.id);
        categories.sort_by_key(|c| c.id);
        objects.sort_by_key(|a| a.image);
        let data = Coco {
            annotations: annotations.into(),
            folder: folder.into(),
            images,
            classes: categories,
            objects,
            checksum: crc32c::crc32c(&bytes),
        };
        data.check().map_err(|e| e.in_file(annotations))?;
        Ok(data)
    }

    fn check(&self) -> Result<()> {
        if self.images.is_empty() {
            return Err(Error::input("lists no image"));
        }
        for image in &self.images {
            let path = Path::new(&image.file_name);
            let inside = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            if image.file_name.is_empty() || !inside {
                let what =
                    format!("image {}: file_name {:?} does not name a file", image.id, image.file_name);
                return Err(Error::input(what).remedy("name files inside of the images' folder"));
            }
            if image.size.is_none() {
                return Err(Error::input(format!(
                    "image {} ({}): no width or height",
                    image.id, image.file_name
                )));
            }
            if !self.path(image).is_file() {
                let missing = self.images.iter().filter(|i| !self.path(i).is_file()).count();
                let (id, n) = (image.id, self.images.len());
                let what = format!("is missing: image {id}, one of {missing} missing of {n}");
                let remedy = format!("check that {} is the folder of these images", self.folder.display());
                return Err(Error::input(what).in_file(self.path(image)).remedy(remedy));
            }
        }
        let images: HashMap<i64, &ImageInfo> = self.images.iter().map(|i| (i.id, i)).collect();
        self.objects.iter().try_for_each(|a| check_box(a, images[&a.image]))
    }

    fn path(&self, image: &ImageInfo) -> PathBuf {
        self.folder.join(&image.file_name)
    }

    fn objects(&self, image: i64) -> &[Annotation] {
        let start = self.objects.partition_point(|a| a.image < image);
        let end = self.objects.partition_point(|a| a.image <= image);
        &self.objects[start..end]
    }

    /// Reads image i's file and compares its size with the annotations'.
    fn image(&self, i: usize) -> Result<Image> {
        let info = &self.images[i];
        let path = self.path(info);
        let image = Image::open(&path)?.to_rgb8();
        let size = [image.width() as u64, image.height() as u64];
        match info.size.filter(|s| *s != size) {
            Some([w, h]) => {
                let what = format!(
                    "is {} x {} pixels, its entry (image {}) says {w} x {h}",
                    size[0], size[1], info.id
                );
                let remedy = format!("take the images that {} is of", self.annotations.display());
                Err(Error::input(what).in_file(path).remedy(remedy))
            }
            None => Ok(image),
        }
    }
}

/// Has the box a width and a height, and lies some of it inside of its image?
fn check_box(a: &Annotation, image: &ImageInfo) -> Result<()> {
    let [x, y, w, h] = a.bbox;
    let problem = if w <= 0.0 {
        "has no width".to_string()
    } else if h <= 0.0 {
        "has no height".to_string()
    } else {
        match image.size {
            Some([iw, ih]) if is_empty(clamp(a.bbox, iw as f32, ih as f32)) => {
                format!("has no area inside of its image of {iw} x {ih} pixels")
            }
            _ => return Ok(()),
        }
    };
    let (id, image_id, name) = (a.id, a.image, &image.file_name);
    let what = format!("annotation {id} (image {image_id}, {name}): box [{x}, {y}, {w}, {h}] {problem}");
    Err(Error::input(what).remedy("mend or remove it"))
}

/// From `[x, y, width, height]` to corners inside of the image.
fn clamp([x, y, w, h]: [f64; 4], width: f32, height: f32) -> [f32; 4] {
    let [x1, y1, x2, y2] = [x, y, x + w, y + h].map(|v| v as f32);
    [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)]
}

fn is_empty([x1, y1, x2, y2]: [f32; 4]) -> bool {
    x2 <= x1 || y2 <= y1
}

impl DetectionDataset for Coco {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, i: usize) -> String {
        self.images[i].file_name.clone()
    }

    fn classes(&self) -> &[Category] {
        &self.classes
    }

    fn checksum(&self) -> String {
        format!("crc32c:{:08x}", self.checksum)
    }

    fn load(&self, i: usize) -> Result<Sample> {
        let info = &self.images[i];
        let image = self.image(i)?;
        let (w, h) = (image.width() as u64, image.height() as u64);
        let mut sample = Sample::new(image, info.id);
        for a in self.objects(info.id) {
            let context = |e: Error| {
                let (id, image, name) = (a.id, a.image, &info.file_name);
                Error::input(format!("annotation {id} (image {image}, {name}): {e}"))
                    .in_file(&self.annotations)
            };
            let mask = match a.segmentation.mask(h, w).map_err(context)? {
                Some(mask) => mask,
                None => Rle::empty(h, w)?,
            };
            let bbox = clamp(a.bbox, w as f32, h as f32);
            if is_empty(bbox) {
                return Err(context(Error::input(format!(
                    "box {:?} has no area inside of its image",
                    a.bbox
                ))));
            }
            let label = 1 + self.classes.partition_point(|c| c.id < a.category);
            sample.push(bbox, label, mask, a.area, a.crowd);
        }
        Ok(sample)
    }

    fn without_mask(&self) -> Option<String> {
        let unknown = |a: &&Annotation| !a.crowd && matches!(a.segmentation, Segmentation::None);
        let a = self.objects.iter().find(unknown)?;
        let name = self.images.iter().find(|i| i.id == a.image).map_or("", |i| &i.file_name);
        Some(format!("annotation {} (image {}, {name})", a.id, a.image))
    }

    /// From the annotations alone, so with their own numbers in full precision; sizes come from their entries. Objects of unknown mask
    /// become crowd regions where masks are evaluated; see [`Instances::ground_truth`].
    fn ground_truth(&self, indices: &[usize]) -> Result<GroundTruth> {
        let ids: HashSet<i64> = indices.iter().map(|&i| self.images[i].id).collect();
        let instances = Instances {
            images: self.images.iter().filter(|i| ids.contains(&i.id)).cloned().collect(),
            categories: self.classes.clone(),
            annotations: self.objects.iter().filter(|a| ids.contains(&a.image)).cloned().collect(),
        };
        instances.ground_truth(true).map_err(|e| e.in_file(&self.annotations))
    }
}

#[cfg(test)]
mod tests;
