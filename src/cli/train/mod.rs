//! `gradus train`: networks learn.

mod alexnet;
mod detector;

use super::{Faults, Global};
use crate::error::{Error, Result};
use crate::run::{Existing, Run};
use clap::{Args, Subcommand};
use gradus_core::gemm::Precision;
use serde::de::DeserializeOwned;
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

/// What a run that goes on may do otherwise.
#[derive(Args)]
struct Changes {
    /// Where its data are now
    #[arg(long, value_name = "SRC", requires = "resume")]
    data: Option<String>,
    /// Where its first weights are now, of a detector
    #[arg(long, value_name = "FILE", requires = "resume")]
    weights: Option<PathBuf>,
    /// Passes over the training images, those behind counted
    #[arg(long, value_parser = super::at_least_one, requires = "resume")]
    epochs: Option<usize>,
    /// The learning rate, from here on
    #[arg(long, allow_negative_numbers = true, requires = "resume")]
    lr: Option<f64>,
    /// Whether the rate rises and falls in one cycle, of AlexNet
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(requires = "resume")]
    one_cycle: Option<bool>,
    /// A detector's rate falls after every so many epochs ...
    #[arg(long, value_name = "EPOCHS", value_parser = super::at_least_one, requires = "resume")]
    lr_step: Option<usize>,
    /// ... to so many times what it was
    #[arg(long, value_name = "FACTOR", value_parser = factor, requires = "resume")]
    lr_gamma: Option<f64>,
}

#[derive(Subcommand)]
enum Network {
    Alexnet(alexnet::AlexNetArgs),
    Detector(Box<detector::DetectorArgs>),
}

/// Where a run goes, and what happens to one that is there.
#[derive(Args, Default)]
struct Output {
    /// The run's folder [default: runs/NAME]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in that folder, with its own settings where none is given
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace the run in that folder
    #[arg(long)]
    force: bool,
}

impl Output {
    fn existing(&self) -> Existing {
        match (self.resume, self.force) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Replace,
            _ => Existing::Refuse,
        }
    }

    /// The settings that the run in the folder goes by, where it is to be resumed. Error: it is no run of
    /// this task.
    fn begun<T: DeserializeOwned>(&self, folder: &Path, task: &str) -> Result<Option<T>> {
        if !self.resume {
            return Ok(None);
        }
        let own = task_of(folder)?;
        if own != task {
            return Err(Error::input(format!("is a run of `gradus train {own}`"))
                .in_file(folder)
                .remedy(format!("`gradus train --resume {}` goes on with it", folder.display())));
        }
        Run::settings(folder).map(Some)
    }
}

/// What a run learns. Error: the folder holds none.
fn task_of(folder: &Path) -> Result<String> {
    Run::must_exist(folder)?;
    let settings: serde_json::Value = Run::settings(folder)?;
    Ok(settings["task"].as_str().unwrap_or_default().to_string())
}

/// What is given, else what a run that goes on was begun with, else the default.
fn pick<T>(given: Option<T>, begun: Option<T>, default: T) -> T {
    given.or(begun).unwrap_or(default)
}

impl Global {
    /// The seed, where a run goes on its own unless another is given.
    pub(super) fn seed_of(&self, begun: Option<u64>) -> u64 {
        pick(self.given.seed.then_some(self.seed), begun, self.seed)
    }

    /// The precision, where a run goes on its own unless another is given.
    fn precision_of(&self, begun: Option<Precision>) -> Precision {
        pick(self.given.precision.then_some(self.precision), begun, self.precision)
    }
}

impl Faults {
    /// How a run that goes on reads its data, unless told otherwise.
    fn of_run(self, begun: Option<crate::data::Reading>) -> crate::data::Reading {
        let given = self.reading();
        if given.is_default() { begun.unwrap_or(given) } else { given }
    }
}

/// The source of the data, given or of the run that goes on.
fn source<'a>(given: &'a Option<String>, begun: Option<&'a str>) -> Result<&'a str> {
    given
        .as_deref()
        .or(begun)
        .ok_or_else(|| Error::input("no data are named").remedy("name them with --data"))
}

/// What to do where a run's own data or weights, which `option` names, are no longer where they were. Other
/// errors, and those of what the command names itself, have their own remedies.
fn moved<T>(e: Error, given: Option<T>, own: &str, option: &str, folder: &Path) -> Error {
    let there = |part: &str| Path::new(part).exists();
    let parts = own.rsplit_once(':').is_some_and(|(file, images)| there(file) && there(images));
    if given.is_some() || there(own) || parts {
        return e;
    }
    let run = folder.display();
    e.remedy(format!("the run in {run} was begun with it; name the place where it is now with {option}"))
}

/// Error: a rate that does not descend.
fn must_descend(lr: f64, example: &str) -> Result<()> {
    if lr.is_finite() && lr > 0.0 {
        return Ok(());
    }
    let remedy = format!("a step against the gradient needs a positive rate: try {example}");
    Err(Error::input(format!("--lr {lr} is not a positive number")).remedy(remedy))
}

/// Parses a factor in 0..=1.
fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (0.0..=1.0).contains(&v) => Ok(v),
        _ => Err("a number from 0 to 1 is needed, such as 0.1".into()),
    }
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
        let output = Output { out: Some(folder.to_path_buf()), resume: true, force: false };
        let task = task_of(folder)?;
        let foreign =
            |what: &str| Err(Error::input(format!("{what} says nothing to a run of {task}")).in_file(folder));
        match task.as_str() {
            "alexnet" if self.weights.is_some() => foreign("--weights"),
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
