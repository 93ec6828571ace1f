//! `gradus lab` and `gradus watch`: pages served on this machine.

use super::options::Global;
use crate::data::listed;
use crate::error::{Error, Result};
use crate::files;
use crate::run::Run;
use crate::serve::{lab, serve, watch};
use clap::Args;
use std::path::{Path, PathBuf};

/// A page to play with: boxes, descent, filters
#[derive(Args)]
#[command(after_help = "Examples:
  gradus lab --open
  gradus lab                 then open http://127.0.0.1:4780/ in a browser

Drag two boxes and see IoU, GIoU, DIoU, CIoU, their gradients and kinks; turn the learning rate and see descent converge,
alternate, diverge; edit a 3x3 kernel and see the picture and its frequency response. Only this machine can reach it.")]
pub struct Lab {
    /// Where it listens on 127.0.0.1; 0 takes any free port
    #[arg(long, value_name = "N", default_value_t = 4780)]
    port: u16,
    /// Open it in the browser
    #[arg(long)]
    open: bool,
}

/// A live page of runs: curves, throughput, time left, predictions
#[derive(Args)]
#[command(after_help = "Examples:
  gradus watch runs/alexnet --open
  gradus watch runs/alexnet runs/alexnet-2   both upon each other
  gradus watch runs/alexnet  then open http://127.0.0.1:4781/ in a browser

It only reads the run's files: the run may be stopped, resumed or replaced meanwhile.")]
pub struct Watch {
    /// Runs' folders; the curves of several lie upon each other
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where it listens on 127.0.0.1; 0 takes any free port
    #[arg(long, value_name = "N", default_value_t = 4781)]
    port: u16,
    /// Open it in the browser
    #[arg(long)]
    open: bool,
}

impl Lab {
    /// Runs the command.
    pub fn run(&self, _: &Global) -> Result<()> {
        serve("lab", self.port, self.open, lab::answer)
    }
}

impl Watch {
    /// Runs the command.
    pub fn run(&self, _: &Global) -> Result<()> {
        self.runs.iter().try_for_each(|run| may_be_watched(run))?;
        watch::serve(self.runs.clone(), self.port, self.open)
    }
}

/// Error: there is no run in this folder, nor can one begin there.
fn may_be_watched(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        let what = if files::exists(folder)? { "is a file" } else { "is not there" };
        return Err(Error::input(what).in_file(folder).remedy("name the folder of a run"));
    }
    if Run::is_at(folder)? {
        return Ok(());
    }
    let inside = files::entries(folder).map_err(|e| Error::read(folder, &e))?;
    // The page waits for a run that is about to begin.
    if inside.is_empty() {
        return Ok(());
    }
    let mut runs = Vec::new();
    for entry in &inside {
        if entry.path().is_dir() && Run::is_at(&entry.path())? {
            runs.push(entry.path().display().to_string());
        }
    }
    let remedy = match runs.is_empty() {
        true => "name the folder of a run, such as runs/alexnet".into(),
        false => format!("name those in it: {}", listed(&runs)),
    };
    Err(Error::input("is not the folder of a run").in_file(folder).remedy(remedy))
}
