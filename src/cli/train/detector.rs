//! `gradus train detector`: find objects in boxes and on pixels.

use super::options::{Changes, Output, factor, moved, must_descend, source};
use crate::cli::options::{Global, ReadingArgs, count, pick};
use crate::data::detection::{self, TestSplit};
use crate::data::open_detection;
use crate::engine::detection::{Decay, Plan};
use crate::engine::detector::{self, Settings};
use crate::engine::files::Files;
use crate::engine::resume::checkpoint_error;
use crate::engine::weights::Key;
use crate::error::{Error, Result};
use crate::looks;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum};
use gradus_models::checkpoint::CheckpointFile;
use gradus_models::detection::{BackboneKind, Config};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    Fasterrcnn,
    Maskrcnn,
}

/// Fine-tune a two-stage detector: Faster R-CNN, or Mask R-CNN
///
/// torchvision's networks, losses and recipe: SGD with momentum 0.9 and weight decay 0.0005, a tenth of the
/// rate every third epoch, a linear warm-up in the first, mirroring. After each epoch COCO's 12 numbers on
/// the test images.
#[derive(Args, Default)]
#[command(after_help = "Examples:
  gradus fetch penn-fudan; gradus fetch fasterrcnn-resnet50-fpn
  gradus train detector --data data/PennFudanPed --weights data/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth
  gradus train detector --data data/PennFudanPed --backbone mobilenet-v2 --weights data/mobilenet_v2-b0353104.pth
  gradus train detector --data synthetic --backbone resnet18-fpn --min-size 240 --max-size 320 --epochs 2
  gradus train detector --data instances.json:images --model maskrcnn --test-split every:5

The run's folder then holds args.json, log.jsonl, results.csv, results.png, TensorBoard's events, weights/, state/,
PR_curve.png, F1_curve.png, detections.json and pictures of what the network saw and found.")]
pub struct DetectorArgs {
    /// Boxes alone, or a mask for each [default: fasterrcnn]
    #[arg(long, value_enum)]
    model: Option<Model>,
    /// What sees the images [default: resnet50-fpn]
    #[arg(long, value_parser = backbone())]
    backbone: Option<BackboneKind>,
    /// PennFudanPed's folder, ANNOTATIONS.json:IMAGES in COCO's instances format, or synthetic
    #[arg(long, value_name = "SRC", required_unless_present = "resume")]
    data: Option<String>,
    /// First weights: a detector's, whose predictors are replaced where it tells other classes apart, or the
    /// backbone's from ImageNet; .pth or .safetensors
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    key: Key,
    /// Passes over the training images [default: 10]
    #[arg(long, value_parser = count)]
    epochs: Option<usize>,
    /// Images a step [default: 2]
    #[arg(long, value_parser = count)]
    batch: Option<usize>,
    /// SGD's learning rate [default: 0.005]
    #[arg(long, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// The rate falls after every so many epochs ... [default: 3]
    #[arg(long, value_name = "EPOCHS", value_parser = count)]
    lr_step: Option<usize>,
    /// ... to so many times what it was [default: 0.1]
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    lr_gamma: Option<f64>,
    /// Images are scaled until their shorter side has so many pixels ... [default: 800]
    #[arg(long, value_name = "PIXELS", value_parser = count)]
    min_size: Option<usize>,
    /// ... or their longer side so many [default: 1333]
    #[arg(long, value_name = "PIXELS", value_parser = count)]
    max_size: Option<usize>,
    /// The images to test on: random:50 (drawn by the seed), every:5 (each fifth by name) or last:50
    /// [default: random:50]
    #[arg(long, value_name = "RULE")]
    test_split: Option<TestSplit>,
    /// Whether the backbone's batch norm stays as it is [default: with weights true under a pyramid, else
    /// false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    freeze_bn: Option<bool>,
    /// How many of the backbone's last stages are trained [default: with weights 3 under a pyramid, else all]
    #[arg(long, value_name = "N")]
    trainable_layers: Option<usize>,
    #[command(flatten)]
    faults: ReadingArgs,
    #[command(flatten)]
    output: Output,
}

/// The backbones' names.
pub fn backbone() -> impl TypedValueParser<Value = BackboneKind> {
    let names = BackboneKind::ALL.map(BackboneKind::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<BackboneKind>())
}

impl DetectorArgs {
    /// Those of a run that goes on.
    pub(super) fn resuming(changes: &Changes, output: Output) -> Self {
        let &Changes { epochs, lr, lr_step, lr_gamma, .. } = changes;
        let (data, weights) = (changes.data.clone(), changes.weights.clone());
        DetectorArgs { data, weights, epochs, lr, lr_step, lr_gamma, output, ..Self::default() }
    }

    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let folder = self.output.folder("detector")?;
        let begun: Option<Settings> = self.output.begun(&folder, "detector")?;
        let begun = begun.as_ref();
        let plan = self.plan(global, begun);
        must_descend(plan.lr, "0.005")?;
        let reading = self.faults.of_run(begun.map(|b| b.reading));
        let source = source(&self.data, begun.map(|b| b.data.as_str()))?;
        let data = open_detection(source, reading)
            .map_err(|e| moved(e, self.data.as_ref(), source, "--data", &folder))?;
        // The state of a run that goes on holds all that its first weights were for.
        let kept = match begun.filter(|_| self.weights.is_none()) {
            Some(begun) => Files::of(&folder).have_state()?.then_some(begun),
            None => None,
        };
        let weights = self.weights.clone().or_else(|| Some(begun?.weights.as_ref()?.into()));
        if let Some(folder) = self.weights.as_deref().filter(|w| w.is_dir()) {
            let error = Error::input("is a folder").in_file(folder).remedy("name a weights file");
            return Err(looks::instead(error, folder, "a weights file"));
        }
        let config = self.config(data.classes().len() + 1, weights.is_none(), begun.map(|b| &b.config))?;
        let split = begun.map(|b| b.test_split.parse()).transpose()?;
        let split = pick(self.test_split, split, TestSplit::Random(50));
        let open = |own: &Path| {
            let told = |e| moved(e, self.weights.as_ref(), &own.to_string_lossy(), "--weights", &folder);
            CheckpointFile::open(own).map_err(checkpoint_error).map_err(told)
        };
        let file = weights.as_deref().filter(|_| kept.is_none()).map(open).transpose()?;
        let settings = Settings::new(config, source, &*data, split, file.as_ref(), plan)?;
        let (weights, weights_sha256) = match kept {
            Some(begun) => (begun.weights.clone(), begun.weights_sha256.clone()),
            None => (settings.weights, settings.weights_sha256),
        };
        let weights_key = self.key.key.clone().or_else(|| begun?.weights_key.clone());
        let settings = Settings { weights, weights_sha256, weights_key, reading, ..settings };
        let [train, test] = settings.parts(&data)?;
        let parts = [("train", train.indices()), ("test", test.indices())];
        say!("{}", detection::describe(&*data, source, &parts));
        test.try_images()?;
        let summary = detector::train(&settings, file.as_ref(), &data, &folder, self.output.existing())?;
        global.print(&summary)?;
        let next = [
            format!("gradus detect {} photo.jpg", summary.run),
            format!("gradus evaluate {} --data {source}", summary.run),
            format!("gradus watch {}", summary.run),
        ];
        self.output.done(&folder, &next)
    }

    fn plan(&self, global: &Global, begun: Option<&Settings>) -> Plan {
        let own = begun.map_or_else(Plan::default, |b| b.plan);
        Plan {
            epochs: self.epochs.unwrap_or(own.epochs),
            batch: self.batch.unwrap_or(own.batch),
            lr: self.lr.unwrap_or(own.lr),
            recipe: own.recipe,
            decay: Decay {
                every: self.lr_step.unwrap_or(own.decay.every),
                factor: self.lr_gamma.unwrap_or(own.decay.factor),
            },
            seed: global.seed_of(begun.map(|b| b.plan.seed)),
            precision: global.precision_of(begun.map(|b| b.plan.precision)),
        }
    }

    /// The network's settings. Without weights (`fresh`) there is nothing worth keeping: all is trained.
    fn config(&self, num_classes: usize, fresh: bool, begun: Option<&Config>) -> Result<Config> {
        let kind = pick(self.backbone, begun.map(|b| b.backbone), BackboneKind::Resnet50Fpn);
        let (stages, defaults) = (kind.stages(), Config::new(kind, num_classes));
        let defaults = begun.cloned().unwrap_or(Config {
            freeze_bn: !fresh && defaults.freeze_bn,
            trainable_layers: if fresh { stages } else { defaults.trainable_layers },
            min_size: 800,
            max_size: 1333,
            ..defaults
        });
        let config = Config {
            backbone: kind,
            num_classes,
            masks: self.model.map_or(defaults.masks, |model| model == Model::Maskrcnn),
            freeze_bn: self.freeze_bn.unwrap_or(defaults.freeze_bn),
            trainable_layers: self.trainable_layers.unwrap_or(defaults.trainable_layers),
            min_size: self.min_size.unwrap_or(defaults.min_size),
            max_size: self.max_size.unwrap_or(defaults.max_size),
            ..defaults
        };
        if config.trainable_layers > stages {
            let what = format!("--trainable-layers {}: {kind} has {stages} stages", config.trainable_layers);
            return Err(Error::input(what).remedy(format!("choose 0 to {stages}")));
        }
        if config.min_size > config.max_size {
            let what = format!("--min-size {} is more than --max-size {}", config.min_size, config.max_size);
            return Err(Error::input(what).remedy("the shorter side cannot be the longer"));
        }
        // What is read from the run's folder later is held to the same.
        config.check().map_err(|what| Error::input(what).remedy("choose another size"))?;
        Ok(config)
    }
}
