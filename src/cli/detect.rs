//! `gradus detect`: where are the objects in these pictures?

use super::Global;
use crate::data::coco::json::results_to_json;
use crate::engine::detector_model::DetectorModel;
use crate::engine::found::{FoundIn, find, picture_name};
use crate::engine::weights::Key;
use crate::error::{Error, Result};
use crate::files;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Find objects: pictures with boxes, scores and masks, and the detections as JSON
#[derive(Args)]
#[command(after_help = "Examples:
  gradus detect runs/detector street.jpg -o found
  gradus detect fasterrcnn_resnet50_fpn_coco-258fb6c6.pth *.jpg -o found --score 0.7 --json

DIR then holds a PNG for each image and detections.json, in COCO's results format: image_id is the number in a file name
such as 000000397133.jpg, or else the image's place in the list, from 1.")]
pub struct Detect {
    /// A run's folder, or a weights file: .safetensors, or torchvision's .pth
    model: PathBuf,
    #[command(flatten)]
    key: Key,
    /// PNG or JPEG files
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The folder for pictures and detections.json
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// The least score that is shown
    #[arg(long, default_value_t = 0.5)]
    score: f32,
    #[command(flatten)]
    drawing: Drawing,
    /// Of a run: best, the weights of the greatest test AP, or last, the newest
    #[arg(long, default_value = "best", value_parser = ["best", "last"])]
    weights: String,
    /// Replace what is in DIR
    #[arg(long)]
    force: bool,
}

/// How pictures are shown to a detector, and drawn.
#[derive(Args, Clone)]
pub struct Drawing {
    /// Images are scaled until their shorter side has so many pixels [default: as in training]
    #[arg(long, value_name = "PIXELS", value_parser = super::at_least_one)]
    pub min_size: Option<usize>,
    /// ... or their longer side so many
    #[arg(long, value_name = "PIXELS", value_parser = super::at_least_one)]
    pub max_size: Option<usize>,
    /// Draw on plain gray: pictures of photos that may not be passed on
    #[arg(long)]
    pub plain: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct All(Vec<FoundIn>);

impl fmt::Display for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for image in &self.0 {
            writeln!(f, "{}: {} found", image.image, image.detections.len())?;
            for d in &image.detections {
                let [x1, y1, x2, y2] = d.bbox;
                writeln!(f, "  {:.3}  {}  ({x1:.0}, {y1:.0}) to ({x2:.0}, {y2:.0})", d.score, d.name)?;
            }
        }
        Ok(())
    }
}

impl Detect {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let list = self.out.join("detections.json");
        if list.exists() && !self.force {
            return Err(Error::input("holds detections already")
                .in_file(&self.out)
                .remedy("name another folder, or --force"));
        }
        let d = &self.drawing;
        let model = DetectorModel::open(&self.model, self.key.or(&self.weights), [d.min_size, d.max_size])?;
        files::create_folder(&self.out)?;
        let (mut all, mut results) = (Vec::new(), Vec::new());
        for (k, path) in self.images.iter().enumerate() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let id = stem.parse().unwrap_or(k as i64 + 1);
            let (found, own, drawn) = find(&model, path, id, self.score, None, d.plain)?;
            drawn.save_png(self.out.join(picture_name(&self.images, k) + ".png"))?;
            results.extend(own);
            all.push(found);
        }
        files::write_atomic(list, results_to_json(&results).as_bytes())?;
        global.print(&All(all))
    }
}
