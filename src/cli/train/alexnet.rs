//! `gradus train alexnet`: tell classes of images apart.

use super::options::{Changes, Output, moved, must_descend, source};
use crate::cli::options::{Global, ReadingArgs, count, pick};
use crate::data;
use crate::engine::alexnet::{self, Settings};
use crate::engine::classifier::Plan;
use crate::engine::model::Arch;
use crate::error::Result;
use clap::Args;

/// Train AlexNet to tell classes of images apart
///
/// Adam, cross-entropy, dropout; random rotation, mirroring and cropping. The weights of the least validation
/// loss are kept (weights/best.safetensors, which PyTorch loads) and judged on the test images in the end.
#[derive(Args, Default)]
#[command(after_help = "Examples:
  gradus train alexnet --data cifar-10-binary.tar.gz
  gradus train alexnet --data cifar-10-batches-bin --epochs 5 --out runs/short
  gradus train alexnet --data photos/ --arch imagenet --batch 32
  gradus train --resume runs/alexnet

The run's folder then holds args.json, log.jsonl, results.csv, results.png, TensorBoard's events, weights/, state/,
confusion_matrix.png, top_losses.png and pictures of what the network saw.")]
pub struct AlexNetArgs {
    /// CIFAR-10's folder or .tar.gz, a folder of images with one sub-folder a class, or synthetic[:N]
    #[arg(long, value_name = "SRC", required_unless_present = "resume")]
    data: Option<String>,
    /// The layout: cifar for 32x32 images, imagenet for 224x224; other sizes are scaled and cropped [default:
    /// cifar]
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Passes over the training images [default: 25]
    #[arg(long, value_parser = count)]
    epochs: Option<usize>,
    /// Images a step [default: 256]
    #[arg(long, value_parser = count)]
    batch: Option<usize>,
    /// Adam's learning rate [default: 0.001]
    #[arg(long, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Let the rate rise to --lr over 30 % of the steps and fall to 0 again; otherwise it is constant
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    one_cycle: Option<bool>,
    /// Of a folder without train, val and test sub-folders: the part held out for each of val and test
    /// [default: 0.1]
    #[arg(long, value_name = "F")]
    val_fraction: Option<f64>,
    #[command(flatten)]
    faults: ReadingArgs,
    #[command(flatten)]
    output: Output,
}

impl AlexNetArgs {
    /// Those of a run that goes on.
    pub(super) fn resuming(changes: &Changes, output: Output) -> Self {
        let &Changes { epochs, lr, one_cycle, .. } = changes;
        AlexNetArgs { data: changes.data.clone(), epochs, lr, one_cycle, output, ..Self::default() }
    }

    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let folder = self.output.folder("alexnet")?;
        let begun: Option<Settings> = self.output.begun(&folder, "alexnet")?;
        let begun = begun.as_ref();
        let plan = Plan {
            epochs: pick(self.epochs, begun.map(|b| b.plan.epochs), 25),
            batch: pick(self.batch, begun.map(|b| b.plan.batch), 256),
            lr: pick(self.lr, begun.map(|b| b.plan.lr), 1e-3),
            one_cycle: pick(self.one_cycle, begun.map(|b| b.plan.one_cycle), false),
            seed: global.seed_of(begun.map(|b| b.plan.seed)),
            precision: global.precision_of(begun.map(|b| b.plan.precision)),
        };
        must_descend(plan.lr, "1e-3, or ask gradus lr-range")?;
        let arch = pick(self.arch, begun.map(|b| b.arch), Arch::Cifar);
        let fraction = pick(self.val_fraction, begun.map(|b| b.val_fraction), data::VAL_FRACTION);
        let reading = self.faults.of_run(begun.map(|b| b.reading));
        let source = source(&self.data, begun.map(|b| b.data.as_str()))?;
        let splits = data::open(source, fraction, plan.seed, reading)
            .map_err(|e| moved(e, self.data.as_ref(), source, "--data", &folder))?;
        say!("{}", splits.description(source));
        splits.try_late_images()?;
        let settings = Settings { reading, ..Settings::new(arch, source, &splits, fraction, plan)? };
        let summary = alexnet::train(&settings, &splits, &folder, self.output.existing())?;
        global.print(&summary)?;
        let next = [
            format!("gradus predict {} photo.png", summary.run),
            format!("gradus evaluate {} --data {source} --split val", summary.run),
            format!("gradus report --alexnet {} -o report", summary.run),
        ];
        self.output.done(&folder, &next)
    }
}
