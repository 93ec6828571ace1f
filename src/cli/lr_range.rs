//! `gradus lr-range`: which learning rate?

use super::options::{Global, ReadingArgs, at_least_one};
use super::output::new_file;
use crate::data;
use crate::engine::lr_range::{self, RangeTest, Settings};
use crate::engine::model::Arch;
use crate::error::Result;
use crate::files;
use clap::Args;
use gradus_core::Rng;
use gradus_models::AlexNet;
use std::fmt;
use std::path::PathBuf;

/// Try learning rates from tiny to huge for a step each, and suggest one
#[derive(Args)]
#[command(after_help = "Example:
  gradus lr-range --data cifar-10-binary.tar.gz

The loss is plotted over the learning rate in lr-range.png: take a rate from where it falls fastest, well before it
rises. The weights are restored afterwards; nothing is trained.")]
pub struct LrRange {
    /// CIFAR-10's folder or .tar.gz, a folder of images with one sub-folder a class, or synthetic[:N]
    #[arg(long, value_name = "SRC")]
    data: String,
    /// The network's layout
    #[arg(long, value_enum, default_value = "cifar")]
    arch: Arch,
    /// Images a step
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    batch: usize,
    /// Steps from 1e-7 to 10
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    /// Where the plot goes
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Overwrite an existing plot
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    faults: ReadingArgs,
}

impl fmt::Display for RangeTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.suggested {
            Some(lr) => writeln!(f, "suggested learning rate: {lr:.1e} (where the loss falls fastest)"),
            None => writeln!(f, "no suggestion: the loss never fell"),
        }
    }
}

impl LrRange {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let path = new_file(self.out.join("lr-range.png"), self.force)?;
        let splits = data::open(&self.data, data::VAL_FRACTION, global.seed, self.faults.reading())?;
        say!("{}", splits.description(&self.data));
        let mut rng = Rng::seed(global.seed).stream("init");
        let mut net = AlexNet::new(self.arch.size(), splits.classes().len(), &mut rng);
        let precision = global.precision;
        let settings = Settings { batch: self.batch, steps: self.steps, precision, ..Settings::default() };
        let found = lr_range::run(&mut net, &splits, self.arch.transform(), &settings, global.seed)?;
        files::create_folder(&self.out)?;
        found.chart(settings.skip).image().save_png(&path)?;
        say!("plot: {}", path.display());
        global.print(&found)
    }
}
