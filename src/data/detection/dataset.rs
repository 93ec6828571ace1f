//! What a data set for detectors is: images with objects in boxes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::input::bounded;
use crate::data::ahead::Ahead;
use crate::data::description::{ClassCount, Description, Faults, SplitCount};
use crate::data::images::{Images, Subset};
use crate::error::Result;
use crate::image::Image;
use crate::metrics::coco::{Category, GroundTruth, Truth};
use crate::metrics::rle::Rle;
use crate::numbers::counted;

/// An object in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `[x1, y1, x2, y2]` in pixels, with x1 < x2 and y1 < y2, inside the image.
    pub bbox: [f32; 4],
    /// 1 to the number of classes; 0 is the background.
    pub label: usize,
    /// In square pixels.
    pub area: f64,
    /// A region of many objects: nothing to learn from, and ignored in evaluation.
    pub crowd: bool,
    /// As large as the image. None where it is not known.
    pub mask: Option<Rle>,
}

/// An image with its objects.
#[derive(Clone, Debug)]
pub struct Sample {
    /// 8-bit RGB.
    pub image: Image,
    /// The image's id in results files.
    pub image_id: i64,
    /// What is in it.
    pub objects: Vec<Object>,
}

/// How a results file names an image.
pub struct ImageName {
    /// Its id, as the instances file has it.
    pub id: Value,
    /// Its file, where that is worth telling.
    pub file: Option<String>,
}

impl From<i64> for ImageName {
    fn from(id: i64) -> Self {
        ImageName { id: id.into(), file: None }
    }
}

/// Images with objects in boxes.
pub trait DetectionDataset: Images {
    /// The classes: label k is `classes()[k - 1]`, whose id stands in results files.
    fn classes(&self) -> &[Category];

    /// Reads image i with its objects. Errors: unreadable or bad files, named with image and object.
    fn load(&self, i: usize) -> Result<Sample>;

    /// The labels of the objects to learn from in image i, where they are known before it is loaded.
    fn labels(&self, _i: usize) -> Option<Vec<usize>> {
        None
    }

    /// What else should be known of it: "5 crowd regions".
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How results files name the image of that id.
    fn image_name(&self, id: i64) -> ImageName {
        id.into()
    }

    /// The objects to learn from in some images whose masks are not known, of the labels that are learned,
    /// which refuses to learn masks.
    fn without_mask(&self, _indices: &[usize], _learned: &dyn Fn(usize) -> bool) -> Faults {
        Faults::default()
    }

    /// What the detections in some of the images are compared with.
    fn ground_truth(&self, indices: &[usize]) -> Result<GroundTruth> {
        let mut truth = GroundTruth { categories: self.classes().to_vec(), ..GroundTruth::default() };
        for &i in indices {
            let Sample { image_id, objects, .. } = self.load(i)?;
            truth.images.push(image_id);
            for Object { bbox, label, area, crowd, mask } in objects {
                let id = truth.truths.len() as i64 + 1;
                let category = self.classes()[label - 1].id;
                let [x1, y1, x2, y2] = bbox.map(f64::from);
                let bbox = [x1, y1, x2 - x1, y2 - y1];
                truth.truths.push(Truth { id, image: image_id, category, bbox, area, crowd, mask });
            }
        }
        Ok(truth)
    }
}

/// Some images with their objects.
pub type Annotated = Subset<dyn DetectionDataset>;

impl Annotated {
    /// Its images one after the other, read ahead.
    pub fn samples(&self) -> Ahead<Sample> {
        let part = self.clone();
        Ahead::new(0..self.len(), "loader", move |k| part.dataset().load(part.indices()[k]))
    }

    /// Tries to read the images, so that a bad one does not end a training that comes to them last. Error: it
    /// lists the bad ones.
    pub fn try_images(&self) -> Result<()> {
        self.tried(|i| bounded(&self.dataset().load(i)?.image))
    }
}

/// What data to learn from and to test on are read as, where these are parts of one or two data sets of their
/// own.
pub fn describe_parts(source: &str, train: &Annotated, val: Option<&str>, test: &Annotated) -> String {
    let (data, parts) = (&**train.dataset(), [("train", train.indices()), ("test", test.indices())]);
    match val {
        None => describe(data, source, &parts).to_string(),
        Some(val) => {
            let own = describe(data, source, &parts[..1]);
            format!("{own}\n{}", describe(&**test.dataset(), val, &parts[1..]))
        }
    }
}

/// What a data set is read as, by these parts of it: their names and images.
pub fn describe(data: &dyn DetectionDataset, source: &str, parts: &[(&str, &[usize])]) -> Description {
    let labels: Option<Vec<Vec<usize>>> = (0..data.len()).map(|i| data.labels(i)).collect();
    let mut counts = vec![(0, 0); data.classes().len()];
    for own in labels.iter().flatten() {
        own.iter().for_each(|l| counts[l - 1].1 += 1);
        let distinct: BTreeSet<usize> = own.iter().copied().collect();
        distinct.iter().for_each(|l| counts[l - 1].0 += 1);
    }
    // Images that are drawn when they are wanted may each hold any class.
    let class = |(class, &(images, objects)): (&Category, &(usize, usize))| ClassCount {
        name: class.name.clone(),
        images: if labels.is_some() { images } else { data.len() },
        objects: labels.is_some().then_some(objects),
    };
    let split = |&(name, indices): &(&str, &[usize])| SplitCount {
        name: name.into(),
        images: indices.len(),
        objects: labels.as_ref().map(|l| indices.iter().map(|&i| l[i].len()).sum()),
    };
    let empty = labels.iter().flatten().filter(|own| own.is_empty()).count();
    let mut notes = data.notes();
    if empty > 0 {
        notes.push(counted(empty, "image", "images") + " without an object to learn from");
    }
    Description {
        kind: data.kind(),
        source: source.into(),
        classes: data.classes().iter().zip(&counts).map(class).collect(),
        splits: parts.iter().map(split).collect(),
        notes,
        faults: data.faults(),
    }
}
