//! Options that all trainings have, and what a run that goes on has of its own.

use crate::cli::options::count;
use crate::cli::output;
use crate::engine::files::Files;
use crate::error::{Error, Result};
use crate::files;
use crate::run::{Existing, Run};
use clap::Args;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};

/// What a run that goes on may do otherwise.
#[derive(Args)]
pub(super) struct Changes {
    /// Where its data are now
    #[arg(long, value_name = "SRC", requires = "resume")]
    pub data: Option<String>,
    /// Where its other data to test on are now, of a detector
    #[arg(long, value_name = "SRC", requires = "resume")]
    pub val: Option<String>,
    /// Where its first weights are now, of a detector
    #[arg(long, value_name = "FILE", requires = "resume")]
    pub weights: Option<PathBuf>,
    /// Passes over the training images, those behind counted
    #[arg(long, value_parser = count, requires = "resume")]
    pub epochs: Option<usize>,
    /// The learning rate, from here on
    #[arg(long, allow_negative_numbers = true, requires = "resume")]
    pub lr: Option<f64>,
    /// Whether the rate rises and falls in one cycle, of AlexNet
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(requires = "resume")]
    pub one_cycle: Option<bool>,
    /// A detector's rate falls after every so many epochs ...
    #[arg(long, value_name = "EPOCHS", value_parser = count, requires = "resume")]
    pub lr_step: Option<usize>,
    /// ... to so many times what it was
    #[arg(long, value_name = "FACTOR", value_parser = factor, requires = "resume")]
    pub lr_gamma: Option<f64>,
    /// When all epochs are done, remove the state that only --resume needs, most of what the run takes
    #[arg(long, requires = "resume")]
    pub drop_state: bool,
}

/// Where a run goes, and what happens to one that is there.
#[derive(Args, Default)]
pub(super) struct Output {
    /// The run's folder [default: runs/NAME, or the first of runs/NAME-2, runs/NAME-3 ... that is free]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Go on with the run in that folder, with its own settings where none is given
    #[arg(long, conflicts_with = "force", requires = "out")]
    pub resume: bool,
    /// Replace the run in that folder
    #[arg(long)]
    pub force: bool,
    /// When all epochs are done, remove the state that only --resume needs, most of what the run takes
    #[arg(long)]
    pub drop_state: bool,
}

impl Output {
    /// The run's folder: as given, or else one that is free, or the first, where that is to be replaced.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let own = || Path::new("runs").join(name);
        match &self.out {
            Some(out) => Ok(out.clone()),
            None if self.force => Ok(own()),
            None => files::numbered(own()),
        }
    }

    /// Says what is left of a run that is done, what of that may go, and which commands come next.
    pub fn done(&self, folder: &Path, next: &[String]) -> Result<()> {
        let files = Files::of(folder);
        if self.drop_state {
            files.drop_state()?;
        }
        let mib = |bytes: u64| (bytes as f64 / f64::from(1 << 20)).ceil();
        let (all, state) =
            (mib(files.bytes()), fs::metadata(files.state()).map_or(0.0, |about| mib(about.len())));
        let folder = folder.display();
        match state > 0.0 {
            true => say!(
                "{folder} takes {all} MiB, {state} of them for --resume alone: `gradus train --resume {folder} --drop-state` removes these"
            ),
            false => say!("{folder} takes {all} MiB"),
        }
        output::next(next);
        Ok(())
    }

    /// What happens to a run that is there.
    pub fn existing(&self) -> Existing {
        match (self.resume, self.force) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Replace,
            _ => Existing::Refuse,
        }
    }

    /// The settings that the run in the folder goes by, where it is to be resumed. Error: it is no run of
    /// this task.
    pub fn begun<T: DeserializeOwned>(&self, folder: &Path, task: &str) -> Result<Option<T>> {
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

/// What a run learns. Error: the folder holds none that goes on.
pub(super) fn task_of(folder: &Path) -> Result<String> {
    Run::must_go_on(folder)?;
    let settings: serde_json::Value = Run::settings(folder)?;
    Ok(settings["task"].as_str().unwrap_or_default().to_string())
}

/// The source of the data, given or of the run that goes on.
pub(super) fn source<'a>(given: &'a Option<String>, begun: Option<&'a str>) -> Result<&'a str> {
    given
        .as_deref()
        .or(begun)
        .ok_or_else(|| Error::input("no data are named").remedy("name them with --data"))
}

/// What to do where a run's own data or weights, which `option` names, are no longer where they were. Other
/// errors, and those of what the command names itself, have their own remedies.
pub(super) fn moved<T>(e: Error, given: Option<T>, own: &str, option: &str, folder: &Path) -> Error {
    let there = |part: &str| Path::new(part).exists();
    let parts = own.rsplit_once(':').is_some_and(|(file, images)| there(file) && there(images));
    if given.is_some() || there(own) || parts {
        return e;
    }
    let run = folder.display();
    e.remedy(format!("the run in {run} was begun with it; name the place where it is now with {option}"))
}

/// Error: a rate that does not descend.
pub(super) fn must_descend(lr: f64, example: &str) -> Result<()> {
    if lr.is_finite() && lr > 0.0 {
        return Ok(());
    }
    let remedy = format!("a step against the gradient needs a positive rate: try {example}");
    Err(Error::input(format!("--lr {lr} is not a positive number")).remedy(remedy))
}

/// Parses a factor in 0..=1.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (0.0..=1.0).contains(&v) => Ok(v),
        _ => Err("a number from 0 to 1 is needed, such as 0.1".into()),
    }
}
