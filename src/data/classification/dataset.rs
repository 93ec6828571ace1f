//! What a data set for classifiers is, and how its images are divided for training.

use std::sync::Arc;

use gradus_core::Rng;

use crate::data::augment::proportioned;
use crate::data::description::{ClassCount, Description, SplitCount};
use crate::data::images::{Images, Subset};
use crate::error::{Error, Result};
use crate::image::Image;

/// Labelled images.
pub trait Dataset: Images {
    /// What the data set is called wherever it is shown.
    fn title(&self) -> &str;

    /// The classes' names; a label is an index into them.
    fn classes(&self) -> &[String];

    /// The class of image i.
    fn label(&self, i: usize) -> usize;

    /// Image i as 8-bit RGB. A file that cannot be decoded is an error that names it.
    fn image(&self, i: usize) -> Result<Image>;
}

/// Some labelled images.
pub type Labelled = Subset<dyn Dataset>;

impl Labelled {
    /// The classes' names.
    pub fn classes(&self) -> &[String] {
        self.dataset().classes()
    }

    /// The class of the k-th image.
    pub fn label(&self, k: usize) -> usize {
        self.dataset().label(self.indices()[k])
    }

    /// The k-th image as 8-bit RGB.
    pub fn image(&self, k: usize) -> Result<Image> {
        self.dataset().image(self.indices()[k])
    }

    /// The images with their classes' names.
    pub fn named(&self) -> impl Iterator<Item = Result<(Image, String)>> {
        (0..self.len()).map(|k| Ok((self.image(k)?, self.classes()[self.label(k)].clone())))
    }
}

/// The images that are trained on, those that choose the best epoch, and those that judge it.
#[derive(Clone)]
pub struct Splits {
    /// Trained on.
    pub train: Labelled,
    /// Choose the best epoch.
    pub val: Labelled,
    /// Judge it.
    pub test: Labelled,
}

impl Splits {
    /// These images of a data set: for training, validation and test. Panics where one is out of range.
    #[track_caller]
    pub fn new(data: Arc<dyn Dataset>, parts: [Vec<usize>; 3]) -> Self {
        let [train, val, test] = parts.map(|indices| Subset::new(data.clone(), indices));
        Splits { train, val, test }
    }

    /// The classes' names.
    pub fn classes(&self) -> &[String] {
        self.train.classes()
    }

    /// The data set they are part of.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        self.train.dataset()
    }

    /// What the data set is read as, and how it is divided.
    pub fn description(&self, source: &str) -> Description {
        let parts = [("train", &self.train), ("val", &self.val), ("test", &self.test)];
        let cut = |name: &str| name != "train" && self.dataset().part(name).is_none();
        let named =
            |name: &str| if cut(name) { format!("{name} (cut out of train)") } else { name.to_string() };
        describe(source, &parts.map(|(name, part)| (named(name), part)))
    }

    /// Tries the images that training comes to last, so that a bad one does not end it then: those of val and
    /// test. Error: it lists the bad ones.
    pub fn try_late_images(&self) -> Result<()> {
        let data = self.dataset();
        let late = Subset::new(data.clone(), [self.val.indices(), self.test.indices()].concat());
        late.tried(|i| proportioned(&data.image(i)?).map(|_| ()))
    }

    /// The split of that name: `train`, `val` or `test`.
    pub fn get(&self, name: &str) -> Result<&Labelled> {
        match name {
            "train" => Ok(&self.train),
            "val" => Ok(&self.val),
            "test" => Ok(&self.test),
            _ => Err(Error::input(format!("there is no split `{name}`")).remedy("choose train, val or test")),
        }
    }
}

/// Describes some images of a data set, each part by its name.
pub fn describe(source: &str, parts: &[(String, &Labelled)]) -> Description {
    let data = parts[0].1.dataset();
    let mut counts = vec![0; data.classes().len()];
    parts
        .iter()
        .flat_map(|(_, part)| (0..part.len()).map(|k| part.label(k)))
        .for_each(|label| counts[label] += 1);
    let class = |(name, images): (&String, usize)| ClassCount { name: name.clone(), images, objects: None };
    let split = |(name, part): &(String, &Labelled)| SplitCount {
        name: name.clone(),
        images: part.len(),
        objects: None,
    };
    Description {
        kind: data.kind(),
        source: source.into(),
        classes: data.classes().iter().zip(counts).map(class).collect(),
        splits: parts.iter().map(split).collect(),
        notes: Vec::new(),
        faults: data.faults(),
    }
}

/// What `--data` may name.
pub(crate) const EXPECTED: &str = "a folder of images with one sub-folder a class, or CIFAR-10's archive";

/// `total` images: those of a random permutation's last `held_out`, and the others; both in ascending order.
pub(crate) fn hold_out(total: usize, held_out: usize, rng: &mut Rng) -> (Vec<usize>, Vec<usize>) {
    let mut kept = rng.permutation(total);
    let mut held = kept.split_off(total - held_out);
    kept.sort_unstable();
    held.sort_unstable();
    (kept, held)
}
