//! `gradus lab` and `gradus watch`: pages served on this machine.

use super::options::Global;
use crate::error::{Error, Result};
use crate::files;
use crate::serve::{lab, serve, watch};
use clap::Args;
use std::path::PathBuf;

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
    pub fn run(&self, global: &Global) -> Result<()> {
        no_json(global, "lab")?;
        serve("lab", self.port, self.open, lab::answer)
    }
}

impl Watch {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        no_json(global, "watch")?;
        for run in &self.runs {
            if !run.is_dir() {
                let what = if files::exists(run)? { "is a file" } else { "is not there" };
                return Err(Error::input(what).in_file(run).remedy("name the folder of a run"));
            }
        }
        watch::serve(self.runs.clone(), self.port, self.open)
    }
}

fn no_json(global: &Global, name: &str) -> Result<()> {
    match global.json {
        true => {
            Err(Error::input(format!("{name} serves a page and prints no JSON")).remedy("leave --json out"))
        }
        false => Ok(()),
    }
}
