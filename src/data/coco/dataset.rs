//! The data set itself: images, categories and objects of an instances file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::form::Form;
use super::json::{Annotation, ImageInfo, Instances, Segmentation};
use crate::data::description::{Faults, Outcome, skippable};
use crate::data::detection::{DetectionDataset, ImageName, Object, Sample};
use crate::data::images::{Images, checksum};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::metrics::coco::{Category, GroundTruth};
use crate::numbers::counted;

/// An instances file and the folder of its images, or what was written in another form and means the
/// same.
///
/// Labels are 1, 2, ... by ascending category id. Images are sorted by id, and those without objects are
/// kept. An object whose box has no area inside of its image is left out of learning, as in torchvision's
/// references, but stays one that should be found, as in pycocotools.
#[derive(Clone, Debug)]
pub struct Coco {
    pub(super) form: Form,
    pub(super) annotations: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) images: Vec<ImageInfo>,
    pub(super) classes: Vec<Category>,
    /// The objects, sorted by image.
    pub(super) objects: Vec<Annotation>,
    /// Its own parts by their names, each with the ascending ids of its images.
    pub(super) parts: Vec<(&'static str, Vec<i64>)>,
    pub(super) notes: Vec<String>,
    pub(super) faults: Faults,
    /// Of the annotations, and of the images that are left out.
    pub(super) checksum: u32,
}

impl Coco {
    pub(super) fn path(&self, image: &ImageInfo) -> PathBuf {
        self.folder.join(&image.file_name)
    }

    /// Where an object stands: "annotation 5 (image 9, a.png)", "labels/a.txt, line 3".
    pub(super) fn place(&self, a: &Annotation, image: &ImageInfo) -> String {
        match &self.form {
            Form::Coco | Form::Roboflow => {
                format!("annotation {} (image {}, {})", a.id, a.image, image.file_name)
            }
            Form::Yolo(places) => places.of(a, "line"),
            Form::Voc(places) => places.of(a, "object"),
        }
    }

    /// What an image is called where something is wrong with it.
    pub(super) fn image_named(&self, image: &ImageInfo) -> String {
        match &self.form {
            Form::Coco | Form::Roboflow => format!("image {} ({})", image.id, image.file_name),
            Form::Yolo(_) | Form::Voc(_) => image.file_name.clone(),
        }
    }

    /// Some of the images as an instances file.
    pub fn instances(&self, indices: &[usize]) -> Instances {
        let ids: HashSet<i64> = indices.iter().map(|&i| self.images[i].id).collect();
        Instances {
            images: self.images.iter().filter(|i| ids.contains(&i.id)).cloned().collect(),
            categories: self.classes.clone(),
            annotations: self.objects.iter().filter(|a| ids.contains(&a.image)).cloned().collect(),
        }
    }

    pub(super) fn objects(&self, image: i64) -> &[Annotation] {
        let start = self.objects.partition_point(|a| a.image < image);
        let end = self.objects.partition_point(|a| a.image <= image);
        &self.objects[start..end]
    }

    fn label(&self, a: &Annotation) -> usize {
        1 + self.classes.partition_point(|c| c.id < a.category)
    }

    /// Image i as its entry speaks of it: as stored or upright; see [`super`].
    fn image(&self, i: usize) -> Result<Image> {
        let info = &self.images[i];
        let path = self.path(info);
        let size = info.size.filter(|_| !self.form.upright());
        let image = read(&path, size).map_err(skippable)?;
        match info.size.filter(|&s| s != [image.width() as u64, image.height() as u64]) {
            Some([w, h]) => {
                let what =
                    format!("is {} x {} pixels, and no longer {w} x {h}", image.width(), image.height());
                Err(Error::input(what).in_file(path).remedy("it has changed since the data set was opened"))
            }
            None => Ok(image),
        }
    }

    /// The objects of an image to learn from, with their boxes inside of it.
    pub(super) fn learned(&self, info: &ImageInfo) -> impl Iterator<Item = (&Annotation, [f32; 4])> {
        let [w, h] = info.size.unwrap_or_default();
        let inside = move |a: &'_ Annotation| clamp(a.bbox, w as f32, h as f32);
        self.objects(info.id).iter().map(move |a| (a, inside(a))).filter(|(_, b)| !is_empty(*b))
    }
}

/// An image as an entry speaks of it that gives this size: as stored where that has it, and else upright.
pub fn read(path: &Path, size: Option<[u64; 2]>) -> Result<Image> {
    let (upright, orientation) = Image::open_oriented(path)?;
    let fits = |image: &Image| size == Some([image.width() as u64, image.height() as u64]);
    let stored = (size.is_some() && orientation != 1).then(|| upright.clone().turned_back(orientation));
    Ok(stored.filter(fits).unwrap_or(upright).to_rgb8())
}

/// From `[x, y, width, height]` to corners inside of the image.
pub(super) fn clamp([x, y, w, h]: [f64; 4], width: f32, height: f32) -> [f32; 4] {
    let [x1, y1, x2, y2] = [x, y, x + w, y + h].map(|v| v as f32);
    [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)]
}

/// Has a box no area?
pub(super) fn is_empty([x1, y1, x2, y2]: [f32; 4]) -> bool {
    x2 <= x1 || y2 <= y1
}

impl Images for Coco {
    fn kind(&self) -> String {
        self.form.kind().into()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, i: usize) -> String {
        self.images[i].file_name.clone()
    }

    fn checksum(&self) -> Result<String> {
        let paths: Vec<PathBuf> = self.images.iter().map(|image| self.path(image)).collect();
        let files =
            self.images.iter().zip(&paths).map(|(image, path)| (image.file_name.clone(), path.as_path()));
        checksum(&files.collect::<Vec<_>>(), self.checksum)
    }

    fn part(&self, split: &str) -> Option<Vec<usize>> {
        let (_, ids) = self.parts.iter().find(|(name, _)| *name == split)?;
        let own = |&i: &usize| ids.binary_search(&self.images[i].id).is_ok();
        Some((0..self.len()).filter(own).collect())
    }

    fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl DetectionDataset for Coco {
    fn classes(&self) -> &[Category] {
        &self.classes
    }

    fn load(&self, i: usize) -> Result<Sample> {
        let info = &self.images[i];
        let image = self.image(i)?;
        let (w, h) = (image.width() as u64, image.height() as u64);
        let object = |(a, bbox): (&Annotation, [f32; 4])| {
            let place =
                |e: Error| Error::input(format!("{}: {e}", self.place(a, info))).in_file(&self.annotations);
            let mask = a.segmentation.mask(h, w).map_err(place)?;
            Ok(Object { bbox, label: self.label(a), area: a.area, crowd: a.crowd, mask })
        };
        let objects = self.learned(info).map(object).collect::<Result<_>>()?;
        Ok(Sample { image, image_id: info.id, objects })
    }

    fn labels(&self, i: usize) -> Option<Vec<usize>> {
        let objects = self.learned(&self.images[i]).filter(|(a, _)| !a.crowd);
        Some(objects.map(|(a, _)| self.label(a)).collect())
    }

    fn notes(&self) -> Vec<String> {
        let crowd = self.objects.iter().filter(|a| a.crowd).count();
        let bare = |a: &&Annotation| !a.crowd && matches!(a.segmentation, Segmentation::None);
        let bare = self.objects.iter().filter(bare).count();
        let notes = [
            (crowd, counted(crowd, "crowd region (ignored)", "crowd regions (ignored)")),
            (bare, counted(bare, "object without a mask", "objects without a mask")),
        ];
        let counted = notes.into_iter().filter(|(n, _)| *n > 0).map(|(_, note)| note);
        self.notes.iter().cloned().chain(counted).collect()
    }

    /// Where ids are not the data's own, files say which image it is.
    fn image_name(&self, id: i64) -> ImageName {
        let info = self.images.binary_search_by_key(&id, |i| i.id).ok().map(|at| &self.images[at]);
        let file = info.filter(|_| !matches!(self.form, Form::Coco)).map(|i| i.file_name.clone());
        match info.and_then(|i| i.text_id.clone()) {
            Some(text) => ImageName { id: text.into(), file },
            None => ImageName { id: id.into(), file },
        }
    }

    fn without_mask(&self, indices: &[usize], learned: &dyn Fn(usize) -> bool) -> Faults {
        let mut faults = Faults::default();
        for info in indices.iter().map(|&i| &self.images[i]) {
            for (a, _) in self.learned(info).filter(|(a, _)| !a.crowd && learned(self.label(a))) {
                if let Segmentation::None = a.segmentation {
                    faults.add("objects have no mask", Outcome::Refused, self.place(a, info));
                }
            }
        }
        faults
    }

    /// From the annotations alone, so with their own numbers in full precision; sizes come from their
    /// entries.
    fn ground_truth(&self, indices: &[usize]) -> Result<GroundTruth> {
        self.instances(indices).ground_truth(true).map_err(|e| e.in_file(&self.annotations))
    }
}
