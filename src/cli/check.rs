//! `gradus check`: what is this data set, and what is wrong with it?

use super::options::Global;
use crate::data::description::{Fault, Faults};
use crate::data::detection::{self, DetectionDataset};
use crate::data::{
    Dataset, Description, Reading, Source, Subset, VAL_FRACTION, describe, find, is_of_objects,
    open_detection,
};
use crate::error::Result;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// What a data set is, and what is wrong with it, without training
///
/// Each image is decoded. What would be mended or left out in training is told with the first ten of its
/// kind; what no training could be begun with ends it with exit code 2.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus check photos/                             a folder of images with one sub-folder a class
  gradus check annotations.json:images             COCO's instances, and where their images are
  gradus check data.yaml                           a YOLO data set; a folder of one in Pascal VOC's form, too
  gradus check PennFudanPed --json")]
pub struct Check {
    /// What `--data` of `train` takes: a folder, an archive, ANNOTATIONS.json:IMAGES, or data.yaml
    #[arg(value_name = "DATA")]
    source: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Checked(Description);

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0)?;
        let unread = |fault: &Fault| fault.what == Faults::UNREADABLE;
        match self.0.faults.iter().any(unread) {
            true => writeln!(
                f,
                "  training leaves out what cannot be read with --skip-bad, and is refused without"
            ),
            false if self.0.faults.is_empty() => writeln!(f, "  nothing is wrong with it"),
            false => Ok(()),
        }
    }
}

impl Check {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let reading = Reading { strict: false, skip_bad: true };
        let source = self.source.as_str();
        let description = match is_of_objects(source) {
            true => objects(&*open_detection(source, reading)?, source),
            false => classes(find(source, global.seed, reading)?, source, global.seed)?,
        };
        global.print(&Checked(description))
    }
}

/// By its own parts, too.
fn objects(data: &dyn DetectionDataset, source: &str) -> Description {
    let own = |name| Some((name, data.part(name)?));
    let mut parts: Vec<_> = ["train", "val", "test"].into_iter().filter_map(own).collect();
    if parts.is_empty() {
        parts.push(("all", (0..data.len()).collect()));
    }
    let parts: Vec<_> = parts.iter().map(|(name, indices)| (*name, indices.as_slice())).collect();
    detection::describe(data, source, &parts)
}

/// By the parts that the data set has itself, if it has some. Error: it cannot be divided for training.
fn classes(data: Source, source: &str, seed: u64) -> Result<Description> {
    let divided = matches!(data, Source::Divided(_));
    let splits = data.divided(VAL_FRACTION, seed)?;
    if divided {
        return Ok(splits.description(source));
    }
    let folder: Arc<dyn Dataset> = splits.dataset().clone();
    let own = |name: &str| Some((name.to_string(), Subset::new(folder.clone(), folder.part(name)?)));
    let mut parts: Vec<_> = ["train", "val", "test"].into_iter().filter_map(own).collect();
    if parts.is_empty() {
        parts.push(("all".into(), Subset::all(folder)));
    }
    let parts: Vec<_> = parts.iter().map(|(name, part)| (name.clone(), part)).collect();
    Ok(describe(source, &parts))
}
