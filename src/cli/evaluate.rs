//! `gradus evaluate`: how good is a trained network on these images?

use super::Global;
use crate::data;
use crate::data::detection::{self, TestSplit};
use crate::engine::alexnet::Settings;
use crate::engine::classifier::{Score, confusion};
use crate::engine::detection::{self as detecting, Part};
use crate::engine::detector;
use crate::engine::detector_model::{DetectorModel, is_detector_at};
use crate::engine::model::{Arch, Classifier};
use crate::engine::weights::Key;
use crate::error::{Error, Result};
use crate::metrics::confusion::Confusion;
use crate::run::Run;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    Test,
    Val,
    Train,
    /// Of detectors: every image
    All,
}

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    Best,
    Last,
}

/// Loss and accuracy of a trained classifier, or COCO's 12 numbers of a detector, on a data set's split
#[derive(Args)]
#[command(after_help = "Examples:
  gradus evaluate runs/alexnet --data cifar-10-binary.tar.gz
  gradus evaluate weights.safetensors --data photos/ --split val --json
  gradus evaluate runs/detector --data data/PennFudanPed --split train
  gradus evaluate fasterrcnn.pth --data instances.json:images --split all")]
pub struct Evaluate {
    /// A run's folder, or a weights file: .safetensors, or PyTorch's .pth
    model: PathBuf,
    /// CIFAR-10's folder or .tar.gz, or a folder of images with one sub-folder a class; for detectors PennFudanPed's folder,
    /// ANNOTATIONS.json:IMAGES in COCO's format, or synthetic
    #[arg(long, value_name = "SRC")]
    data: String,
    /// Which images; detectors have no val
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Of a detector's weights file: the images to test on (a run knows its own)
    #[arg(long, value_name = "RULE", default_value = "random:50")]
    test_split: TestSplit,
    /// Of a run: the best weights, or the newest
    #[arg(long, value_enum, default_value = "best")]
    weights: Weights,
    #[command(flatten)]
    key: Key,
    /// The layout, where the weights do not tell
    #[arg(long)]
    arch: Option<Arch>,
    #[command(flatten)]
    faults: super::Faults,
}

#[derive(Serialize)]
struct Evaluation {
    split: &'static str,
    #[serde(flatten)]
    score: Score,
    #[serde(skip)]
    confusion: Confusion,
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Score { images, loss, accuracy } = self.score;
        writeln!(f, "{}: {images} images, accuracy {:.2} %, loss {loss:.4}", self.split, 100.0 * accuracy)?;
        self.confusion.fmt(f)
    }
}

/// A detector's.
#[derive(Serialize)]
struct DetectorEvaluation {
    split: &'static str,
    images: usize,
    #[serde(flatten)]
    score: detecting::Score,
    seconds_per_image: f64,
}

impl fmt::Display for DetectorEvaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (images, seconds) = (self.images, self.seconds_per_image);
        writeln!(f, "{}: {images} images, {seconds:.3} s an image", self.split)?;
        self.score.fmt(f)
    }
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Split::Test => "test",
            Split::Val => "val",
            Split::Train => "train",
            Split::All => "all",
        }
    }
}

impl Evaluate {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        if is_detector_at(&self.model, self.key.key.as_deref()) {
            self.detector(global)
        } else {
            self.classifier(global)
        }
    }

    fn detector(&self, global: &Global) -> Result<()> {
        let weights = if matches!(self.weights, Weights::Last) { "last" } else { "best" };
        let model = DetectorModel::open(&self.model, self.key.or(weights), [None, None])?;
        let data = detection::open(&self.data, self.faults.reading())?;
        model.must_know(data.classes(), &self.data)?;
        // A run is judged on the split that it was trained with.
        let (split, seed) = if self.model.is_dir() {
            let settings: detector::Settings = Run::settings(&self.model)?;
            (settings.test_split.parse()?, settings.seed)
        } else {
            (self.test_split, global.seed)
        };
        let indices = match self.split {
            Split::Test => split.indices(&*data, seed)?.1,
            Split::Train => split.indices(&*data, seed)?.0,
            Split::All => (0..data.len()).collect(),
            Split::Val => {
                let error = Error::input("detectors have no split `val`");
                return Err(error.remedy("choose test, train or all"));
            }
        };
        let (split, images) = (self.split.name(), indices.len());
        let judged = detecting::judge(&model.net, &model.classes, &Part::new(&data, &indices), split)?;
        let (score, seconds_per_image) = (judged.score(), judged.seconds_per_image);
        global.print(&DetectorEvaluation { split, images, score, seconds_per_image })
    }

    fn classifier(&self, global: &Global) -> Result<()> {
        let weights = match self.weights {
            Weights::Best => "best",
            Weights::Last => "last",
        };
        let split = self.split.name();
        let model = Classifier::open(&self.model, self.key.or(weights), self.arch)?;
        // A run is judged on the split that it was trained with.
        let (fraction, seed) = if self.model.is_dir() {
            let settings: Settings = Run::settings(&self.model)?;
            (settings.val_fraction, settings.seed)
        } else {
            (data::VAL_FRACTION, global.seed)
        };
        let splits = data::open(&self.data, fraction, seed, self.faults.reading())?;
        if splits.classes().len() != model.classes.len() {
            let (have, need) = (splits.classes().len(), model.classes.len());
            return Err(Error::input(format!("has {have} classes, the network tells {need} apart"))
                .in_file(&self.data)
                .remedy("name the data set that it was trained on"));
        }
        let (score, confusion) = confusion(&model.net, splits.get(split)?, model.arch.transform(), split)?;
        global.print(&Evaluation { split, score, confusion })
    }
}
