//! What data sets of objects in boxes are written as. All are read into the same images, objects and checks;
//! a form says what things are called in it, so that a fault is found where it stands.

use super::json::Annotation;

/// The form of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// COCO's instances: a JSON file beside a folder of images.
    Coco,
    /// COCO's instances, one file for each of the folders `train`, `valid` and `test`.
    Roboflow,
    /// A text file for each image with a line for each object.
    Yolo(Places),
    /// An XML file for each image.
    Voc(Places),
}

/// Where objects stand in files of their own for each image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The file of the image with id i is `files[i - 1]`.
    pub files: Vec<String>,
    /// The object with id k is number `numbers[k - 1]` of its file, from 1.
    pub numbers: Vec<usize>,
}

impl Places {
    /// "labels/a.txt, line 3".
    pub fn of(&self, a: &Annotation, noun: &str) -> String {
        let at = |id: i64| usize::try_from(id - 1).ok();
        let file = at(a.image).and_then(|i| self.files.get(i)).map_or("?", String::as_str);
        let number = at(a.id).and_then(|k| self.numbers.get(k)).copied().unwrap_or(0);
        format!("{file}, {noun} {number}")
    }
}

impl Form {
    /// What a data set in it is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Form::Coco => "COCO instances",
            Form::Roboflow => "COCO instances in Roboflow's folders",
            Form::Yolo(_) => "YOLO labels",
            Form::Voc(_) => "Pascal VOC annotations",
        }
    }

    /// Whether its boxes speak of the upright image, however it is stored: YOLO's programs turn images as
    /// their cameras note it.
    pub fn upright(&self) -> bool {
        matches!(self, Form::Yolo(_))
    }

    /// Whether images and boxes are named by files that others may have written anything into.
    pub fn is_json(&self) -> bool {
        matches!(self, Form::Coco | Form::Roboflow)
    }

    /// Where its images, classes and objects are listed.
    pub fn lists(&self) -> [&'static str; 3] {
        match self {
            Form::Coco | Form::Roboflow => {
                ["the list `images`", "the list `categories`", "the list `annotations`"]
            }
            Form::Yolo(_) => ["what data.yaml names", "`names` in data.yaml", "the folder of labels"],
            Form::Voc(_) => ["the folder Annotations", "the objects' names", "the folder Annotations"],
        }
    }
}
