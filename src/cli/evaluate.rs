//! `gradus evaluate`: how good is a trained network on these images?

use super::Global;
use crate::data;
use crate::engine::alexnet::Settings;
use crate::engine::classifier::{Score, confusion};
use crate::engine::model::{Arch, Classifier};
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
}

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    Best,
    Last,
}

/// Loss and accuracy of a trained network on a data set's split
#[derive(Args)]
#[command(after_help = "Examples:
  gradus evaluate runs/alexnet --data cifar-10-binary.tar.gz
  gradus evaluate weights.safetensors --data photos/ --split val --json")]
pub struct Evaluate {
    /// A run's folder, or a weights file: .safetensors, or PyTorch's .pth
    model: PathBuf,
    /// CIFAR-10's folder or .tar.gz, or a folder of images with one sub-folder a class
    #[arg(long, value_name = "SRC")]
    data: String,
    /// Which images
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Of a run: the weights of the least validation loss, or the newest
    #[arg(long, value_enum, default_value = "best")]
    weights: Weights,
    /// The layout, where the weights do not tell
    #[arg(long)]
    arch: Option<Arch>,
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

impl Evaluate {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let weights = match self.weights {
            Weights::Best => "best",
            Weights::Last => "last",
        };
        let split = match self.split {
            Split::Test => "test",
            Split::Val => "val",
            Split::Train => "train",
        };
        let model = Classifier::open(&self.model, weights, self.arch)?;
        // A run is judged on the split that it was trained with.
        let (fraction, seed) = if self.model.is_dir() {
            let settings: Settings = Run::settings(&self.model)?;
            (settings.val_fraction, settings.seed)
        } else {
            (data::VAL_FRACTION, global.seed)
        };
        let splits = data::open(&self.data, fraction, seed)?;
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
