//! `gradus train`: networks learn.

mod detector;

use super::Global;
use crate::data;
use crate::engine::alexnet::{self, Settings};
use crate::engine::classifier::Plan;
use crate::engine::model::Arch;
use crate::error::{Error, Result};
use crate::run::Existing;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Train a network; Ctrl-C saves the state, --resume goes on to the same bits
#[derive(Subcommand)]
pub enum Train {
    Alexnet(AlexNetArgs),
    Detector(Box<detector::DetectorArgs>),
}

/// Where a run goes, and what happens to one that is there.
#[derive(Args)]
struct Output {
    /// The run's folder [default: runs/NAME]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in that folder
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace the run in that folder
    #[arg(long)]
    force: bool,
}

impl Output {
    fn existing(&self) -> Existing {
        match (self.resume, self.force) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Replace,
            _ => Existing::Refuse,
        }
    }
}

/// Train AlexNet to tell classes of images apart
///
/// Adam, cross-entropy, dropout; random rotation, mirroring and cropping. The weights of the least validation loss are
/// kept (weights/best.safetensors, which PyTorch loads) and judged on the test images in the end.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus train alexnet --data cifar-10-binary.tar.gz
  gradus train alexnet --data cifar-10-batches-bin --epochs 5 --out runs/short
  gradus train alexnet --data photos/ --arch imagenet --batch 32
  gradus train alexnet --data cifar-10-binary.tar.gz --resume

The run's folder then holds args.json, log.jsonl, results.csv, results.png, TensorBoard's events, weights/, state/,
confusion_matrix.png and pictures of what the network saw.")]
pub struct AlexNetArgs {
    /// CIFAR-10's folder or .tar.gz, a folder of images with one sub-folder a class, or synthetic[:N]
    #[arg(long, value_name = "SRC")]
    data: String,
    /// The layout: cifar for 32x32 images, imagenet for 224x224; other sizes are scaled and cropped
    #[arg(long, value_enum, default_value = "cifar")]
    arch: Arch,
    /// Passes over the training images
    #[arg(long, default_value_t = 25, value_parser = super::at_least_one)]
    epochs: usize,
    /// Images a step
    #[arg(long, default_value_t = 256, value_parser = super::at_least_one)]
    batch: usize,
    /// Adam's learning rate
    #[arg(long, default_value_t = 1e-3, allow_negative_numbers = true)]
    lr: f64,
    /// Let the rate rise to --lr over 30 % of the steps and fall to 0 again; otherwise it is constant
    #[arg(long)]
    one_cycle: bool,
    /// Of a folder without train, val and test sub-folders: the part held out for each of val and test
    #[arg(long, value_name = "F", default_value_t = data::VAL_FRACTION)]
    val_fraction: f64,
    #[command(flatten)]
    faults: crate::cli::Faults,
    #[command(flatten)]
    output: Output,
}

impl Train {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        match self {
            Train::Alexnet(args) => args.run(global),
            Train::Detector(args) => args.run(global),
        }
    }
}

impl AlexNetArgs {
    fn run(&self, global: &Global) -> Result<()> {
        if !(self.lr.is_finite() && self.lr > 0.0) {
            let remedy =
                "a step against the gradient needs a positive rate: try 1e-3, or ask gradus lr-range";
            return Err(Error::input(format!("--lr {} is not a positive number", self.lr)).remedy(remedy));
        }
        let splits = data::open(&self.data, self.val_fraction, global.seed, self.faults.reading())?;
        eprintln!("{}", splits.description(&self.data));
        splits.try_late_images()?;
        let plan = Plan {
            epochs: self.epochs,
            batch: self.batch,
            lr: self.lr,
            one_cycle: self.one_cycle,
            seed: global.seed,
        };
        let settings = Settings {
            reading: self.faults.reading(),
            ..Settings::new(self.arch, &self.data, &splits, self.val_fraction, plan)
        };
        let folder = self.output.out.clone().unwrap_or_else(|| "runs/alexnet".into());
        let summary = alexnet::train(&settings, &splits, &folder, self.output.existing())?;
        global.print(&summary)
    }
}
