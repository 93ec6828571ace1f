//! `gradus bench`: how fast is this machine at the work of training?

use super::Global;
use crate::bench;
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
}

/// How often.
#[derive(Args)]
pub struct Runs {
    /// Timed runs of each case, after a warm-up; the median is shown
    #[arg(long, default_value_t = 7, value_parser = super::at_least_one)]
    runs: usize,
}

impl Bench {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        match self {
            Bench::Gemm(r) => global.print(&bench::gemm::run(r.runs)),
            Bench::Conv(r) => {
                let timings =
                    bench::conv::run(r.runs, |t| eprintln!("{} {}: {:.2} ms", t.shape, t.pass, t.ms));
                global.print(&timings)
            }
            Bench::Alexnet(r) => global.print(&bench::alexnet::run(r.runs)),
        }
    }
}
