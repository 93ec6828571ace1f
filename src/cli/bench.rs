//! `gradus bench`: how fast is this machine at the work of training?

use super::options::{Global, at_least_one};
use crate::bench;
use crate::bench::detector::{self, DetectorBench, MODELS};
use crate::bench::infer::{self, InferBench, NETWORKS};
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
    /// Inference of classifiers in batches of each size, one process a network
    Infer(Networks),
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

/// Which classifiers.
#[derive(Args)]
pub struct Networks {
    /// alexnet-cifar is the exercise's, of 32x32 pixels; the others see 224x224 [default: all]
    #[arg(long, value_parser = NETWORKS)]
    network: Vec<String>,
    /// Images at a time, one number or several
    #[arg(long, default_value = "1,16", value_delimiter = ',', value_parser = at_least_one)]
    batch: Vec<usize>,
    /// Timed runs of each size, after two; the median is shown
    #[arg(long, default_value_t = 11, value_parser = at_least_one)]
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
        match self {
            Bench::Detector(d) => !d.here,
            Bench::Infer(n) => !n.here,
            _ => false,
        }
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
            Bench::Infer(n) => n.run(global),
            Bench::Detector(d) => d.run(global),
        }
    }
}

impl Detectors {
    fn run(&self, global: &Global) -> Result<()> {
        let all = MODELS.map(String::from).to_vec();
        let models = if self.model.is_empty() { &all } else { &self.model };
        let &Global { seed, precision, .. } = global;
        let settings = detector::Settings { runs: self.runs, seed, precision };
        let timings = if self.here {
            DetectorBench(models.iter().map(|model| detector::run_one(model, settings)).collect())
        } else {
            detector::run(models, &settings, global.profile.as_deref())?
        };
        global.print(&timings)
    }
}

impl Networks {
    fn run(&self, global: &Global) -> Result<()> {
        let all = NETWORKS.map(String::from).to_vec();
        let networks = if self.network.is_empty() { &all } else { &self.network };
        let &Global { seed, precision, .. } = global;
        let settings = infer::Settings { batches: self.batch.clone(), runs: self.runs, seed, precision };
        let timings = if self.here {
            let timings = networks.iter().flat_map(|network| infer::run_one(network, &settings)).collect();
            InferBench::of(timings, precision)
        } else {
            infer::run(networks, &settings, global.profile.as_deref())?
        };
        global.print(&timings)
    }
}
