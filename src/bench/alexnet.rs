//! The CIFAR-10 AlexNet: a training step (forward, backward, Adam) and inference of 256 images.

use super::median;
use crate::memory::peak_mib;
use gradus_core::gemm::Precision;
use gradus_core::optim::{Adam, Optimizer};
use gradus_core::{Rng, Tape, init, parallel, simd};
use gradus_models::AlexNet;
use serde::Serialize;
use std::fmt;

const BATCH: usize = 256;

/// A median time and the rate it means.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    /// The median time.
    pub ms: f64,
    /// 256 images in that time.
    pub images_per_s: f64,
}

impl Rate {
    fn of(seconds: f64) -> Self {
        Rate { ms: 1e3 * seconds, images_per_s: BATCH as f64 / seconds }
    }
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct AlexNetBench {
    /// Computing threads.
    pub threads: usize,
    /// Of the arithmetic.
    pub precision: &'static str,
    /// The instruction set.
    pub isa: &'static str,
    /// A step.
    pub train: Rate,
    /// A forward pass.
    pub infer: Rate,
    /// The most memory the process held.
    pub peak_mib: Option<f64>,
}

/// Times both.
pub fn run(runs: usize, precision: Precision) -> AlexNetBench {
    let mut rng = Rng::seed(0);
    let mut net = AlexNet::cifar(10, &mut rng);
    let mut adam = Optimizer::new(Adam::new(1e-3));
    let images = init::normal::<f32>([BATCH, 32, 32, 3], 0.0, 1.0, &mut rng);
    let labels: Vec<usize> = (0..BATCH).map(|_| rng.below(10)).collect();
    let train = median(3, runs, || {
        let mut g = Tape::train(&mut rng).in_precision(precision);
        let logits = net.forward(&mut g, images.clone().into());
        let loss = g.cross_entropy(logits, &labels);
        adam.step(&mut net, &g.backward(&loss)).expect("gradients are finite");
    });
    let infer = median(2, runs, || {
        net.forward(&mut Tape::infer().in_precision(precision), images.clone().into());
    });
    AlexNetBench {
        threads: parallel::threads(),
        precision: precision.name(),
        isa: simd::isa().name(),
        train: Rate::of(train),
        infer: Rate::of(infer),
        peak_mib: peak_mib(),
    }
}

impl fmt::Display for AlexNetBench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "AlexNet (CIFAR-10), batch {BATCH}, {}, {}, {} threads",
            self.precision, self.isa, self.threads
        )?;
        for (what, r) in [("training step", self.train), ("inference", self.infer)] {
            writeln!(f, "  {what:14} {:8.1} ms  {:8.0} images/s", r.ms, r.images_per_s)?;
        }
        match self.peak_mib {
            Some(m) => writeln!(f, "  peak memory    {m:8.0} MiB"),
            None => Ok(()),
        }
    }
}
