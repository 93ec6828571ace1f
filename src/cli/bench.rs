//! `gradus bench`: how fast is this machine at the work of training?

use super::options::{Global, at_least_one};
use crate::bench;
use crate::bench::detector::{DetectorBench, MODELS, Settings, run, run_one};
use crate::error::Result;
use clap::{Args, Subcommand};

/// Time the work that networks are made of (medians; weight packing counted)
#[derive(Subcommand)]
pub enum Bench {
    /// Matrix products against the measured peak of fused multiply-adds
    Gemm(Runs),
    /// Convolutions of the networks' shapes, each pass by itself
    Conv(Runs),
    /// The CIFAR-10 AlexNet: a training step and inference of 256 images
    Alexnet(Runs),
    /// Two-stage detectors: a training step of two images and detection in one, one process a detector
    Detector(Detectors),
}

/// Which detectors.
#[derive(Args)]
pub struct Detectors {
    /// r50: Faster R-CNN on ResNet-50 with a pyramid; mbv2: on MobileNetV2; mask: Mask R-CNN on ResNet-50
    /// [default: all]
    #[arg(long, value_parser = MODELS)]
    model: Vec<String>,
    /// Timed runs, after a warm-up; the median is shown
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    runs: usize,
    /// In this process
    #[arg(long, hide = true)]
    here: bool,
}

/// How often.
#[derive(Args)]
pub struct Runs {
    /// Timed runs of each case, after a warm-up; the median is shown
    #[arg(long, default_value_t = 7, value_parser = at_least_one)]
    runs: usize,
}

impl Bench {
    /// Whether the work is done by other processes, which are to be profiled in the place of this one.
    pub fn starts_others(&self) -> bool {
        matches!(self, Bench::Detector(d) if !d.here)
    }

    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        match self {
            Bench::Gemm(r) => global.print(&bench::gemm::run(r.runs, global.precision)),
            Bench::Conv(r) => {
                let timings = bench::conv::run(r.runs, global.precision, |t| {
                    say!("{} {}: {:.2} ms", t.shape, t.pass, t.ms)
                });
                global.print(&timings)
            }
            Bench::Alexnet(r) => global.print(&bench::alexnet::run(r.runs, global.precision)),
            Bench::Detector(d) => d.run(global),
        }
    }
}

impl Detectors {
    fn run(&self, global: &Global) -> Result<()> {
        let all = MODELS.map(String::from).to_vec();
        let models = if self.model.is_empty() { &all } else { &self.model };
        let &Global { seed, precision, .. } = global;
        let settings = Settings { runs: self.runs, seed, precision };
        let timings = if self.here {
            DetectorBench(models.iter().map(|model| run_one(model, settings)).collect())
        } else {
            run(models, settings, global.profile.as_deref())?
        };
        global.print(&timings)
    }
}
