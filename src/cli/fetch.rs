//! `gradus fetch`: data and published weights.

use super::options::Global;
use super::output::List;
use crate::error::Result;
use crate::fetch::{Fetched, SOURCES, Source, fetch, find};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Download data or published weights from their official place, resumed and checked
#[derive(Args)]
#[command(after_help = "Examples:
  gradus fetch list
  gradus fetch cifar10 --to data
  gradus fetch penn-fudan
  gradus fetch fasterrcnn-resnet50-fpn

A download that was interrupted goes on where it ended. A file that was put in its place by hand is checked and
taken, so that this works for machines without a network, too.")]
pub struct Fetch {
    /// What to fetch (a name of `gradus fetch list`, or the file's own name), or `list`
    name: String,
    /// The folder to put it in
    #[arg(long, value_name = "DIR", default_value = "data")]
    to: PathBuf,
    /// Another address of the folder that has the file: a mirror, instead of the official place
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Fetch it again, and replace what is there
    #[arg(long)]
    force: bool,
}

/// A line of the list.
#[derive(Serialize)]
struct Entry {
    name: &'static str,
    url: String,
    bytes: u64,
    sha256: &'static str,
    about: &'static str,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { name, url, bytes, sha256, about } = self;
        writeln!(f, "{name:24} {about}\n{:24} {url}\n{:24} {bytes} bytes, SHA-256 {sha256}", "", "")
    }
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, {} bytes, SHA-256 {}", self.name, self.path.display(), self.bytes, self.sha256)
    }
}

impl Fetch {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        if self.name == "list" {
            let entry = |s: &Source| Entry {
                name: s.name,
                url: s.url(None),
                bytes: s.bytes,
                sha256: s.sha256,
                about: s.about,
            };
            return global.print(&List(SOURCES.iter().map(entry).collect()));
        }
        global.print(&fetch(find(&self.name)?, self.mirror.as_deref(), &self.to, self.force)?)
    }
}
