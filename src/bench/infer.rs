//! Inference of the classifiers of `gradus predict`, in batches of each size: what a service or a photograph asks
//! for, where a training step asks for many images at once.

use super::{alone, median};
use crate::error::Result;
use crate::memory::peak_mib;
use crate::numbers::counted;
use gradus_core::gemm::Precision;
use gradus_core::{Rng, Tape, init, parallel, simd};
use gradus_models::Network;
use gradus_models::alexnet::{AlexNet, Size};
use gradus_models::mobilenet::MobileNetV2;
use gradus_models::resnet::{Depth, ResNet};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The networks: AlexNet's smaller layout for CIFAR-10, the others for ImageNet.
pub const NETWORKS: [&str; 6] =
    ["alexnet", "alexnet-cifar", "mobilenet-v2", "resnet18", "resnet34", "resnet50"];

/// What is timed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Images at a time.
    pub batches: Vec<usize>,
    /// Timed runs of each size, after two.
    pub runs: usize,
    /// Of the random weights and images.
    pub seed: u64,
    /// What products and convolutions read.
    pub precision: Precision,
}

/// A network's time for a batch of one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// Of [`NETWORKS`].
    pub network: String,
    /// Images at a time.
    pub batch: usize,
    /// The median time of a batch.
    pub ms: f64,
    /// The rate that it means.
    pub images_per_s: f64,
    /// The most memory that the process has held until then.
    pub peak_mib: Option<f64>,
}

/// All of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InferBench {
    /// Computing threads.
    pub threads: usize,
    /// Of the arithmetic.
    pub precision: String,
    /// The instruction set.
    pub isa: String,
    /// Network by network, batch by batch.
    pub timings: Vec<Timing>,
}

/// The network of that name with random weights, and the side of its images.
fn network(name: &str, rng: &mut Rng) -> (Network, usize) {
    match name {
        "alexnet" => (Network::AlexNet(Box::new(AlexNet::new(Size::ImageNet, 1000, rng))), 224),
        "alexnet-cifar" => (Network::AlexNet(Box::new(AlexNet::new(Size::Cifar, 10, rng))), 32),
        "mobilenet-v2" => (Network::MobileNetV2(Box::new(MobileNetV2::new(1000, rng))), 224),
        "resnet18" => (Network::ResNet(Box::new(ResNet::new(Depth::R18, 1000, rng))), 224),
        "resnet34" => (Network::ResNet(Box::new(ResNet::new(Depth::R34, 1000, rng))), 224),
        _ => (Network::ResNet(Box::new(ResNet::new(Depth::R50, 1000, rng))), 224),
    }
}

/// Times one of [`NETWORKS`] in this process, the sizes in their order.
pub fn run_one(name: &str, settings: &Settings) -> Vec<Timing> {
    let &Settings { ref batches, runs, seed, precision } = settings;
    let rng = &mut Rng::seed(seed);
    let (net, side) = network(name, rng);
    let mut time = |&batch: &usize| {
        let images = init::normal::<f32>([batch, side, side, 3], 0.0, 1.0, rng);
        let seconds = median(2, runs, || {
            net.forward(&mut Tape::infer().in_precision(precision), images.clone().into());
        });
        let images_per_s = batch as f64 / seconds;
        Timing { network: name.into(), batch, ms: 1e3 * seconds, images_per_s, peak_mib: peak_mib() }
    };
    batches.iter().map(&mut time).collect()
}

/// Times the networks, each in a process of its own.
///
/// # Errors
/// The program cannot be started again, or failed.
pub fn run(networks: &[String], settings: &Settings, trace: Option<&Path>) -> Result<InferBench> {
    let Settings { batches, runs, seed, precision } = settings;
    let batches = batches.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut timings = Vec::new();
    for network in networks {
        say!("{network}: batches of {batches}");
        let options: [(&str, &dyn fmt::Display); 5] = [
            ("network", network),
            ("batch", &batches),
            ("runs", runs),
            ("seed", seed),
            ("precision", &precision.name()),
        ];
        timings.extend(alone::<InferBench>("infer", &options, network, trace)?.timings);
    }
    Ok(InferBench::of(timings, *precision))
}

impl InferBench {
    /// These timings, of this process's threads.
    pub fn of(timings: Vec<Timing>, precision: Precision) -> Self {
        InferBench {
            threads: parallel::threads(),
            precision: precision.name().into(),
            isa: simd::isa().name().into(),
            timings,
        }
    }
}

impl fmt::Display for InferBench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InferBench { threads, precision, isa, .. } = self;
        writeln!(f, "{precision}, {isa}, {}", counted(*threads, "thread", "threads"))?;
        for t in &self.timings {
            let memory = t.peak_mib.map(|m| format!("{m:8.0} MiB")).unwrap_or_default();
            let Timing { network, batch, ms, images_per_s, .. } = t;
            writeln!(f, "  {network:14} batch {batch:4} {ms:9.2} ms {images_per_s:9.1} images/s{memory}")?;
        }
        Ok(())
    }
}
