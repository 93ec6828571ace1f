//! `gradus train`: networks learn.

mod alexnet;
mod detector;
mod options;

use super::options::Global;
use crate::error::{Error, Result};
use clap::{Args, Subcommand};
use options::{Changes, Output, task_of};
use std::path::{Path, PathBuf};

/// Train a network; Ctrl-C saves the state, --resume goes on to the same bits
///
/// A run goes on by its folder alone: every setting is in its args.json. How many epochs there are and how
/// long the steps, and where the data lie, may change; that is recorded there.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "gradus train <COMMAND>\n       gradus train --resume <RUN> [OPTIONS]",
    after_help = "Examples:
  gradus train alexnet --data cifar-10-binary.tar.gz
  gradus train --resume runs/alexnet
  gradus train --resume runs/alexnet --epochs 50 --lr 1e-4
  gradus train --resume runs/detector --data /new/place/PennFudanPed"
)]
pub struct Train {
    /// Go on with the run in this folder
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    #[command(subcommand)]
    network: Option<Network>,
}

#[derive(Subcommand)]
enum Network {
    Alexnet(alexnet::AlexNetArgs),
    Detector(Box<detector::DetectorArgs>),
}

impl Train {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        match (&self.network, &self.resume) {
            (Some(_), Some(_)) => {
                Err(Error::input("--resume RUN needs no command: the run knows what it learns")
                    .remedy("leave out the command; or give --resume behind it, and --out where the run is not in runs/NAME"))
            }
            (Some(Network::Alexnet(args)), None) => args.run(global),
            (Some(Network::Detector(args)), None) => args.run(global),
            (None, Some(folder)) => self.changes.resume(folder, global),
            (None, None) => Err(Error::input("nothing to train").remedy("see gradus train --help")),
        }
    }
}

impl Changes {
    /// Goes on with the run in a folder.
    fn resume(&self, folder: &Path, global: &Global) -> Result<()> {
        let drop_state = self.drop_state;
        let output = Output { out: Some(folder.to_path_buf()), resume: true, force: false, drop_state };
        let task = task_of(folder)?;
        let foreign =
            |what: &str| Err(Error::input(format!("{what} says nothing to a run of {task}")).in_file(folder));
        match task.as_str() {
            "alexnet" if self.weights.is_some() => foreign("--weights"),
            "alexnet" if self.val.is_some() => foreign("--val"),
            "alexnet" if self.lr_step.is_some() || self.lr_gamma.is_some() => {
                foreign("--lr-step or --lr-gamma")
            }
            "alexnet" => alexnet::AlexNetArgs::resuming(self, output).run(global),
            "detector" if self.one_cycle.is_some() => foreign("--one-cycle"),
            "detector" => detector::DetectorArgs::resuming(self, output).run(global),
            other => Err(Error::input(format!("is a run of {other:?}, which this version does not train"))
                .in_file(folder)),
        }
    }
}
