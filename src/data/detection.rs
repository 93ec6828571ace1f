//! What a data set for detection is, and how its images are divided into training and test.

mod loader;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use gradus_core::random::Rng;

use super::coco::Coco;
use super::coco::json::ImageName;
use super::description::{ClassCount, Faults, SplitCount, counted};
use super::penn_fudan::PennFudan;
use super::scenes::Scenes;
use super::{Description, Reading, tried};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::looks;
use crate::metrics::coco::{Category, GroundTruth, Truth};
use crate::metrics::rle::Rle;

pub use loader::{DetectionBatch, DetectionLoader, bounded, tensor};

/// An image with its objects; the lists run in parallel, an entry for each object.
#[derive(Clone, Debug)]
pub struct Sample {
    /// 8-bit RGB.
    pub image: Image,
    /// The image's id in results files.
    pub image_id: i64,
    /// `[x1, y1, x2, y2]` in pixels, with x1 < x2 and y1 < y2, inside the image.
    pub boxes: Vec<[f32; 4]>,
    /// 1 to the number of classes; 0 is the background.
    pub labels: Vec<usize>,
    /// As large as the image. None where an object's mask is not known.
    pub masks: Vec<Option<Rle>>,
    /// In square pixels.
    pub areas: Vec<f64>,
    /// Regions of many objects: nothing to learn from, and ignored in evaluation.
    pub crowd: Vec<bool>,
}

impl Sample {
    /// An image without objects yet.
    pub fn new(image: Image, image_id: i64) -> Self {
        let (boxes, labels, masks) = (Vec::new(), Vec::new(), Vec::new());
        Sample { image, image_id, boxes, labels, masks, areas: Vec::new(), crowd: Vec::new() }
    }

    /// Appends an object.
    pub fn push(
        &mut self,
        bbox: [f32; 4],
        label: usize,
        mask: impl Into<Option<Rle>>,
        area: f64,
        crowd: bool,
    ) {
        self.boxes.push(bbox);
        self.labels.push(label);
        self.masks.push(mask.into());
        self.areas.push(area);
        self.crowd.push(crowd);
    }

    /// The sample to learn from: crowd regions are left out.
    #[must_use]
    pub fn without_crowd(self) -> Self {
        let mut sample = Sample::new(self.image, self.image_id);
        for (i, mask) in self.masks.into_iter().enumerate().filter(|(i, _)| !self.crowd[*i]) {
            sample.push(self.boxes[i], self.labels[i], mask, self.areas[i], false);
        }
        sample
    }
}

/// Images with objects in boxes.
pub trait DetectionDataset: Send + Sync {
    /// What kind of data set it is.
    fn kind(&self) -> String;

    /// The number of images.
    fn len(&self) -> usize;

    /// Has it no image?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image i's name: a file's, where it comes from one.
    fn name(&self, i: usize) -> String;

    /// The classes: label k is `classes()[k - 1]`, whose id stands in results files.
    fn classes(&self) -> &[Category];

    /// Reads image i with its objects. Errors: unreadable or bad files, named with image and object.
    fn load(&self, i: usize) -> Result<Sample>;

    /// Identifies the data, to be kept with a run.
    fn checksum(&self) -> String;

    /// The labels of the objects to learn from in image i, where they are known before it is loaded.
    fn labels(&self, _i: usize) -> Option<Vec<usize>> {
        None
    }

    /// What is doubtful about it, found when it was opened.
    fn faults(&self) -> Faults {
        Faults::default()
    }

    /// What else should be known of it: "5 crowd regions".
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How results files name the image of that id.
    fn image_name(&self, id: i64) -> ImageName {
        id.into()
    }

    /// The objects to learn from in some images whose masks are not known, which refuses to learn masks.
    fn without_mask(&self, _indices: &[usize]) -> Faults {
        Faults::default()
    }

    /// What the detections in some of the images are compared with.
    fn ground_truth(&self, indices: &[usize]) -> Result<GroundTruth> {
        let mut truth = GroundTruth { categories: self.classes().to_vec(), ..GroundTruth::default() };
        for &i in indices {
            let sample = self.load(i)?;
            truth.images.push(sample.image_id);
            for (k, mask) in sample.masks.into_iter().enumerate() {
                let [x1, y1, x2, y2] = sample.boxes[k].map(f64::from);
                truth.truths.push(Truth {
                    id: truth.truths.len() as i64 + 1,
                    image: sample.image_id,
                    category: self.classes()[sample.labels[k] - 1].id,
                    bbox: [x1, y1, x2 - x1, y2 - y1],
                    area: sample.areas[k],
                    crowd: sample.crowd[k],
                    mask,
                });
            }
        }
        Ok(truth)
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

/// Tries the images that training comes to last, so that a bad one does not end it then. Error: it lists the
/// bad ones.
pub fn try_late_images(data: &dyn DetectionDataset, late: &[usize]) -> Result<()> {
    let read = |i| bounded(&data.load(i)?.image);
    tried(late, |i| read(i).map_err(|e| e.in_file(data.name(i))))
}

/// Opens a data set: PennFudanPed's folder, `ANNOTATIONS.json:IMAGES` in COCO's instances format, or
/// `synthetic`, the drawn [`Scenes`]: always the same 250 of 320 x 240 pixels (`synthetic:N` or
/// `synthetic:N:WIDTHxHEIGHT` for others). `reading` says how faults are taken.
pub fn open(source: &str, reading: Reading) -> Result<Arc<dyn DetectionDataset>> {
    if let Some(rest) = source.strip_prefix("synthetic").filter(|_| !Path::new(source).exists()) {
        return Ok(Arc::new(synthetic(rest)?));
    }
    if let Some(at) = source.to_ascii_lowercase().rfind(".json:") {
        let (annotations, images) = (&source[..at + 5], &source[at + 6..]);
        return Ok(Arc::new(Coco::open(Path::new(annotations), Path::new(images), reading)?));
    }
    if source.to_ascii_lowercase().ends_with(".json") {
        let error = Error::input("the folder of its images is missing").in_file(source);
        return Err(error.remedy(format!("write {source}:IMAGES")));
    }
    let path = Path::new(source);
    let expected = "PennFudanPed's folder or ANNOTATIONS.json:IMAGES";
    let other = |e: Error| {
        if path.join("PNGImages").is_dir() { e } else { looks::instead_of_data(e, path, expected) }
    };
    Ok(Arc::new(PennFudan::open(path, reading).map_err(other)?))
}

/// The drawn scenes that `synthetic` with this behind it names.
fn synthetic(rest: &str) -> Result<Scenes> {
    let parse = || {
        let mut parts = rest.split(':').skip(1);
        let len = parts.next().map_or(Some(250), |n| n.parse().ok())?;
        let size = parts.next().map_or(Some((320, 240)), |size| {
            let (w, h) = size.split_once('x')?;
            Some((w.parse().ok()?, h.parse().ok()?))
        });
        let (w, h): (usize, usize) = size?;
        let sound = rest.is_empty() || rest.starts_with(':');
        let bounded = (2..=1_000_000).contains(&len) && w.min(h) >= 32 && w.max(h) <= 4096;
        (sound && bounded && parts.next().is_none()).then(|| Scenes::new(1234, len, w, h))
    };
    parse().ok_or_else(|| {
        let remedy =
            "name `synthetic`, `synthetic:N` or `synthetic:N:WIDTHxHEIGHT`, sides of 32 to 4096 pixels";
        Error::input(format!("synthetic{rest} is no data set")).remedy(remedy)
    })
}

/// Which images are for testing; the others are for training. Images count in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestSplit {
    /// So many, drawn at random.
    Random(usize),
    /// Each so-manyth: of 5 the fifth, the tenth, and so on.
    Every(usize),
    /// The last so many.
    Last(usize),
}

impl TestSplit {
    /// The indices of the training and of the test images, ascending in the order of names. Errors: no image
    /// would be left for either.
    pub fn indices(self, data: &dyn DetectionDataset, seed: u64) -> Result<(Vec<usize>, Vec<usize>)> {
        let n = data.len();
        let names: Vec<String> = (0..n).map(|i| data.name(i)).collect();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| names[a].cmp(&names[b]));
        let mut test = vec![false; n];
        match self {
            TestSplit::Random(k) => {
                let permutation = Rng::seed(seed).stream("test split").permutation(n);
                permutation.into_iter().take(k).for_each(|i| test[i] = true);
            }
            TestSplit::Every(k) => (k.max(1) - 1..n).step_by(k.max(1)).for_each(|i| test[i] = true),
            TestSplit::Last(k) => (n.saturating_sub(k)..n).for_each(|i| test[i] = true),
        }
        let pick = |of| (0..n).filter(|&i| test[i] == of).map(|i| order[i]).collect();
        let (training, test): (Vec<usize>, Vec<usize>) = (pick(false), pick(true));
        if training.is_empty() || test.is_empty() {
            let (a, b) = (training.len(), test.len());
            let what =
                format!("--test-split {self} of {n} images leaves {a} for training and {b} for testing");
            return Err(Error::input(what).remedy("choose another number"));
        }
        Ok((training, test))
    }
}

impl fmt::Display for TestSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TestSplit::Random(k) => write!(f, "random:{k}"),
            TestSplit::Every(k) => write!(f, "every:{k}"),
            TestSplit::Last(k) => write!(f, "last:{k}"),
        }
    }
}

impl FromStr for TestSplit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let split = text.split_once(':').and_then(|(rule, k)| {
            let k = k.parse().ok().filter(|&k| k > 0)?;
            match rule {
                "random" => Some(TestSplit::Random(k)),
                "every" => Some(TestSplit::Every(k)),
                "last" => Some(TestSplit::Last(k)),
                _ => None,
            }
        });
        split.ok_or_else(|| {
            Error::input(format!("--test-split {text:?}")).remedy("write random:50, every:5 or last:50")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names(Vec<&'static str>);

    impl DetectionDataset for Names {
        fn kind(&self) -> String {
            "names".into()
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn name(&self, i: usize) -> String {
            self.0[i].to_string()
        }
        fn classes(&self) -> &[Category] {
            &[]
        }
        fn load(&self, _: usize) -> Result<Sample> {
            unreachable!("names are enough")
        }
        fn checksum(&self) -> String {
            String::new()
        }
    }

    fn split(text: &str, names: &[&'static str]) -> Result<(Vec<usize>, Vec<usize>)> {
        text.parse::<TestSplit>()?.indices(&Names(names.to_vec()), 1234)
    }

    #[test]
    fn splits_follow_the_names() {
        let names = ["f", "e", "d", "c", "b", "a"];
        assert_eq!(split("every:3", &names).unwrap(), (vec![5, 4, 2, 1], vec![3, 0]));
        assert_eq!(split("last:2", &names).unwrap(), (vec![5, 4, 3, 2], vec![1, 0]));
        let (training, test) = split("random:2", &names).unwrap();
        assert_eq!((training.len(), test.len()), (4, 2));
        // The same images, whatever the order in which they are listed.
        let (_, sorted) = split("random:2", &["a", "b", "c", "d", "e", "f"]).unwrap();
        assert_eq!(sorted, test.iter().map(|i| 5 - i).collect::<Vec<_>>());
    }

    #[test]
    fn a_random_split_depends_on_the_seed_alone() {
        let names = Names((b'a'..=b'z').map(|c| &*String::from(char::from(c)).leak()).collect());
        let test = |seed| TestSplit::Random(8).indices(&names, seed).unwrap().1;
        assert_eq!(test(1), test(1));
        assert_ne!(test(1), test(2));
    }

    #[test]
    fn bad_splits_are_errors() {
        for text in ["", "random", "random:", "random:0", "every:-5", "first:3", "last:3x"] {
            assert!(split(text, &["a", "b"]).unwrap_err().to_string().contains("write random:50"), "{text}");
        }
        for text in ["random:2", "last:9", "every:1", "every:3"] {
            let error = split(text, &["a", "b"]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--test-split {text} of 2 images leaves")), "{error}");
        }
    }

    #[test]
    fn synthetic_scenes_have_numbers_and_sizes() {
        for (source, len, size) in [
            ("synthetic", 250, [320, 240]),
            ("synthetic:9", 9, [320, 240]),
            ("synthetic:4:64x48", 4, [64, 48]),
        ] {
            let data = open(source, Reading::default()).unwrap();
            let image = data.load(0).unwrap().image;
            assert_eq!((data.len(), [image.width(), image.height()]), (len, size));
        }
        for source in [
            "synthetic:",
            "synthetic:1",
            "synthetic9",
            "synthetic:9:64",
            "synthetic:9:8x8",
            "synthetic:9:64x48:1",
        ] {
            assert!(
                open(source, Reading::default())
                    .err()
                    .unwrap()
                    .to_string()
                    .contains("synthetic:N:WIDTHxHEIGHT"),
                "{source}"
            );
        }
    }

    #[test]
    fn a_source_without_its_images_is_explained() {
        let error = open("a/instances.json", Reading::default()).err().unwrap().to_string();
        assert!(error.contains("write a/instances.json:IMAGES"), "{error}");
        let error = open("a/missing.json:b", Reading::default()).err().unwrap().to_string();
        assert!(error.starts_with("a/missing.json: cannot be read"), "{error}");
    }
}
