//! `gradus train detector`: find objects in boxes and on pixels.

use super::Output;
use crate::cli::{Global, at_least_one};
use crate::data::detection::{self, TestSplit};
use crate::engine::detection::{Plan, Recipe};
use crate::engine::detector::{self, Settings};
use crate::engine::weights::Key;
use crate::error::{Error, Result};
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum};
use gradus_models::detection::{BackboneKind, Config};
use std::path::PathBuf;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    Fasterrcnn,
    Maskrcnn,
}

/// Fine-tune a two-stage detector: Faster R-CNN, or Mask R-CNN
///
/// torchvision's networks, losses and recipe: SGD with momentum 0.9 and weight decay 0.0005, a tenth of the rate every
/// third epoch, a linear warm-up in the first, mirroring. After each epoch COCO's 12 numbers on the test images.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus fetch penn-fudan; gradus fetch fasterrcnn-resnet50-fpn
  gradus train detector --data data/PennFudanPed --weights data/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth
  gradus train detector --data data/PennFudanPed --backbone mobilenet-v2 --weights data/mobilenet_v2-b0353104.pth
  gradus train detector --data synthetic --backbone resnet18-fpn --min-size 240 --max-size 320 --epochs 2
  gradus train detector --data instances.json:images --model maskrcnn --test-split every:5

The run's folder then holds args.json, log.jsonl, results.csv, results.png, TensorBoard's events, weights/, state/,
PR_curve.png, detections.json and pictures of what the network saw and found.")]
pub struct DetectorArgs {
    /// Boxes alone, or a mask for each
    #[arg(long, value_enum, default_value = "fasterrcnn")]
    model: Model,
    /// What sees the images
    #[arg(long, default_value = "resnet50-fpn", value_parser = backbone())]
    backbone: BackboneKind,
    /// PennFudanPed's folder, ANNOTATIONS.json:IMAGES in COCO's instances format, or synthetic
    #[arg(long, value_name = "SRC")]
    data: String,
    /// First weights: a detector's, whose predictors are replaced where it tells other classes apart, or the backbone's from
    /// ImageNet; .pth or .safetensors
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    key: Key,
    /// Passes over the training images
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    epochs: usize,
    /// Images a step
    #[arg(long, default_value_t = 2, value_parser = at_least_one)]
    batch: usize,
    /// SGD's learning rate
    #[arg(long, default_value_t = 0.005, allow_negative_numbers = true)]
    lr: f64,
    /// Images are scaled until their shorter side has so many pixels ...
    #[arg(long, value_name = "PIXELS", default_value_t = 800, value_parser = at_least_one)]
    min_size: usize,
    /// ... or their longer side so many
    #[arg(long, value_name = "PIXELS", default_value_t = 1333, value_parser = at_least_one)]
    max_size: usize,
    /// The images to test on: random:50 (drawn by the seed), every:5 (each fifth by name) or last:50
    #[arg(long, value_name = "RULE", default_value = "random:50")]
    test_split: TestSplit,
    /// Whether the backbone's batch norm stays as it is [default: with weights true under a pyramid, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    freeze_bn: Option<bool>,
    /// How many of the backbone's last stages are trained [default: with weights 3 under a pyramid, else all]
    #[arg(long, value_name = "N")]
    trainable_layers: Option<usize>,
    #[command(flatten)]
    faults: crate::cli::Faults,
    #[command(flatten)]
    output: Output,
}

/// The backbones' names.
pub fn backbone() -> impl TypedValueParser<Value = BackboneKind> {
    let names = BackboneKind::ALL.map(BackboneKind::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<BackboneKind>())
}

impl DetectorArgs {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        if !(self.lr.is_finite() && self.lr > 0.0) {
            let remedy = "a step against the gradient needs a positive rate: try 0.005";
            return Err(Error::input(format!("--lr {} is not a positive number", self.lr)).remedy(remedy));
        }
        let data = detection::open(&self.data, self.faults.reading())?;
        let config = self.config(data.classes().len() + 1)?;
        let plan = Plan {
            epochs: self.epochs,
            batch: self.batch,
            lr: self.lr,
            recipe: Recipe::FineTuning,
            seed: global.seed,
        };
        let weights = self.weights.as_deref();
        let settings = Settings {
            weights_key: self.key.key.clone(),
            reading: self.faults.reading(),
            ..Settings::new(config, &self.data, &*data, self.test_split, weights, plan)?
        };
        let folder = self.output.out.clone().unwrap_or_else(|| "runs/detector".into());
        global.print(&detector::train(&settings, &data, &folder, self.output.existing())?)
    }

    /// The network's settings. Without weights there is nothing worth keeping: all is trained.
    fn config(&self, num_classes: usize) -> Result<Config> {
        let (kind, stages) = (self.backbone, self.backbone.stages());
        let defaults = Config::new(kind, num_classes);
        let fresh = self.weights.is_none();
        let trainable_layers =
            self.trainable_layers.unwrap_or(if fresh { stages } else { defaults.trainable_layers });
        if trainable_layers > stages {
            let what = format!("--trainable-layers {trainable_layers}: {kind} has {stages} stages");
            return Err(Error::input(what).remedy(format!("choose 0 to {stages}")));
        }
        if self.min_size > self.max_size {
            let what = format!("--min-size {} is more than --max-size {}", self.min_size, self.max_size);
            return Err(Error::input(what).remedy("the shorter side cannot be the longer"));
        }
        Ok(Config {
            masks: self.model == Model::Maskrcnn,
            freeze_bn: self.freeze_bn.unwrap_or(!fresh && defaults.freeze_bn),
            trainable_layers,
            min_size: self.min_size,
            max_size: self.max_size,
            ..defaults
        })
    }
}
