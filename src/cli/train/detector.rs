//! `gradus train detector`: find objects in boxes and on pixels.

use super::options::{Changes, Output, factor, moved, must_descend, source};
use crate::cli::options::{Global, ReadingArgs, count, pick};
use crate::data::Reading;
use crate::data::detection::{self, TestSplit};
use crate::engine::detection::{Decay, Plan};
use crate::engine::detector::{self, Settings};
use crate::engine::detector_data::Sources;
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
  gradus train detector --data data.yaml --classes person,car --no-flip      a YOLO data set, of it two classes
  gradus train detector --data VOCdevkit/VOC2007 --val VOCdevkit/VOC2012

The run's folder then holds args.json, log.jsonl, results.csv, results.png, TensorBoard's events, weights/, state/,
PR_curve.png, F1_curve.png, detections.json and pictures of what the network saw and found.")]
pub struct DetectorArgs {
    /// Boxes alone, or a mask for each [default: fasterrcnn]
    #[arg(long, value_enum)]
    model: Option<Model>,
    /// What sees the images [default: resnet50-fpn]
    #[arg(long, value_parser = backbone())]
    backbone: Option<BackboneKind>,
    /// ANNOTATIONS.json:IMAGES in COCO's instances format, a YOLO data set's data.yaml, the folder of one in
    /// Pascal VOC's or Roboflow's form, PennFudanPed's folder, or synthetic
    #[arg(long, value_name = "SRC", required_unless_present = "resume")]
    data: Option<String>,
    /// Other data, to test on after each epoch, whose classes are called as those of --data are
    #[arg(long, value_name = "SRC", conflicts_with = "test_split")]
    val: Option<String>,
    /// Learn these classes alone, by their names; objects of others count as background
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    classes: Option<Vec<String>>,
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
    /// The images to test on: random:50 (drawn by the seed), every:5 (each fifth by name), last:50, or own
    /// (those that the data mark) [default: own where data do, else random:50, of few images a third]
    #[arg(long, value_name = "RULE")]
    test_split: Option<TestSplit>,
    /// Whether the backbone's batch norm stays as it is [default: with weights true under a pyramid, else
    /// false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    freeze_bn: Option<bool>,
    /// How many of the backbone's last stages are trained [default: with weights 3 under a pyramid, else all]
    #[arg(long, value_name = "N")]
    trainable_layers: Option<usize>,
    /// Do not mirror images: where left and right mean something
    #[arg(long)]
    no_flip: bool,
    /// The anchors' sides in pixels of the scaled image: one for each level of a pyramid, any number without
    /// one [default: 32,64,128,256,512]
    #[arg(long, value_name = "PIXELS", value_delimiter = ',', value_parser = count)]
    anchors: Option<Vec<usize>>,
    /// The most objects that are found in an image [default: 100]
    #[arg(long, value_name = "N", value_parser = count)]
    max_detections: Option<usize>,
    /// What is less sure than this is not found [default: 0.05]
    #[arg(long, value_name = "SCORE", value_parser = factor)]
    score_threshold: Option<f64>,
    /// Of what is found in a class no two overlap more than this (IoU) [default: 0.5]
    #[arg(long, value_name = "IOU", value_parser = factor)]
    nms_threshold: Option<f64>,
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
        let (data, val, weights) = (changes.data.clone(), changes.val.clone(), changes.weights.clone());
        DetectorArgs { data, val, weights, epochs, lr, lr_step, lr_gamma, output, ..Self::default() }
    }

    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let folder = self.output.folder("detector")?;
        let begun: Option<Settings> = self.output.begun(&folder, "detector")?;
        let begun = begun.as_ref();
        let plan = self.plan(global, begun);
        must_descend(plan.lr, "0.005")?;
        let reading = self.faults.of_run(begun.map(|b| b.reading));
        let source = source(&self.data, begun.map(|b| b.data.as_str()))?;
        let sources = self.sources(source, reading, begun, &folder)?;
        let data = &*sources.data;
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
        let split = self.split(&sources, begun)?;
        let open = |own: &Path| {
            let told = |e| moved(e, self.weights.as_ref(), &own.to_string_lossy(), "--weights", &folder);
            CheckpointFile::open(own).map_err(checkpoint_error).map_err(told)
        };
        let file = weights.as_deref().filter(|_| kept.is_none()).map(open).transpose()?;
        let settings = Settings::new(config, source, data, split, file.as_ref(), plan)?;
        let (weights, weights_sha256) = match kept {
            Some(begun) => (begun.weights.clone(), begun.weights_sha256.clone()),
            None => (settings.weights, settings.weights_sha256),
        };
        let weights_key = self.key.key.clone().or_else(|| begun?.weights_key.clone());
        let val = self.val.clone().or_else(|| begun?.val.clone());
        let val_checksum = sources.val.as_ref().map(|val| val.checksum()).transpose()?;
        let only = self.classes.is_some() || begun.is_some_and(|b| b.only.is_some());
        let only = only.then(|| data.classes().iter().map(|c| c.name.clone()).collect());
        let settings =
            Settings { weights, weights_sha256, weights_key, val, val_checksum, only, reading, ..settings };
        let [train, test] = settings.parts(&sources)?;
        say!("{}", detection::describe_parts(source, &train, settings.val.as_deref(), &test));
        test.try_images()?;
        let summary = detector::train(&settings, file.as_ref(), &sources, &folder, self.output.existing())?;
        global.print(&summary)?;
        let next = [
            format!("gradus detect {} photo.jpg", summary.run),
            format!("gradus evaluate {} --data {}", summary.run, settings.val.as_deref().unwrap_or(source)),
            format!("gradus watch {}", summary.run),
        ];
        self.output.done(&folder, &next)
    }

    /// What is learned from and tested on, as given or as the run that goes on has it.
    fn sources(
        &self,
        source: &str,
        reading: Reading,
        begun: Option<&Settings>,
        folder: &Path,
    ) -> Result<Sources> {
        let only = self.classes.as_deref().or_else(|| begun?.only.as_deref());
        let sources = Sources::open(source, None, only, reading)
            .map_err(|e| moved(e, self.data.as_ref(), source, "--data", folder))?;
        match self.val.as_deref().or_else(|| begun?.val.as_deref()) {
            Some(val) => sources
                .tested_on(val, only.is_some(), reading)
                .map_err(|e| moved(e, self.val.as_ref(), val, "--val", folder)),
            None => Ok(sources),
        }
    }

    /// Which images are tested on, said where nobody has chosen them.
    fn split(&self, sources: &Sources, begun: Option<&Settings>) -> Result<TestSplit> {
        let begun: Option<TestSplit> = begun.map(|b| b.test_split.parse()).transpose()?;
        let default = match sources.val {
            Some(_) => TestSplit::Own,
            None => TestSplit::of(&*sources.data),
        };
        if let (None, None, TestSplit::Random(k @ ..50)) = (self.test_split, begun, default) {
            let n = sources.data.len();
            say!("of {n} images a third, {k}, are tested on: --test-split random:K takes others");
        }
        Ok(pick(self.test_split, begun, default))
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
            flip: own.flip && !self.no_flip,
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
            anchor_sizes: self.anchors(kind, &defaults)?,
            box_detections_per_img: self.max_detections.unwrap_or(defaults.box_detections_per_img),
            box_score_thresh: self.score_threshold.unwrap_or(defaults.box_score_thresh),
            box_nms_thresh: self.nms_threshold.unwrap_or(defaults.box_nms_thresh),
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

    /// The anchors' sides, level by level.
    fn anchors(&self, kind: BackboneKind, defaults: &Config) -> Result<Vec<Vec<usize>>> {
        let levels = defaults.anchor_sizes.len();
        match &self.anchors {
            None => Ok(defaults.anchor_sizes.clone()),
            Some(sizes) if levels == 1 => Ok(vec![sizes.clone()]),
            Some(sizes) if sizes.len() == levels => Ok(sizes.iter().map(|&size| vec![size]).collect()),
            Some(sizes) => {
                let what = format!("--anchors names {} sizes, and {kind} has {levels} levels", sizes.len());
                Err(Error::input(what).remedy("name one for each, such as 16,32,64,128,256"))
            }
        }
    }
}
