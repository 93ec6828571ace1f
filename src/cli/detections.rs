//! `gradus evaluate --detections`: a results file judged without a network.

use crate::data::coco::json::Instances;
use crate::data::{Images, Reading, open_annotated};
use crate::engine::detection::{Judgement, SURE, Score, shown};
use crate::error::{Error, Result};
use crate::metrics::coco::{CategoryResult, Evaluation, Kind, NAMES, confused, evaluate};
use crate::numbers::counted;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// What a results file is worth.
#[derive(Serialize)]
pub struct Judged {
    images: usize,
    detections: usize,
    #[serde(flatten)]
    score: Score,
    /// What the twelve numbers of `box` and `mask` are called.
    numbers: [&'static str; 12],
    classes: ByClass,
}

/// AP of each category.
#[derive(Serialize)]
#[serde(transparent)]
pub struct ByClass(Vec<ClassScore>);

/// Of one category; AP is null where it has no object.
#[derive(Serialize)]
struct ClassScore {
    name: String,
    objects: usize,
    #[serde(rename = "box")]
    boxes: Option<f64>,
    #[serde(rename = "mask", skip_serializing_if = "Option::is_none")]
    masks: Option<f64>,
}

/// Classes that are told to people; JSON has all.
const SHOWN: usize = 20;

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} in {}",
            counted(self.detections, "detection", "detections"),
            counted(self.images, "image", "images")
        )?;
        self.score.fmt(f)?;
        self.classes.fmt(f)
    }
}

impl fmt::Display for ByClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "AP by class")?;
        for class in self.0.iter().take(SHOWN) {
            let masks = class.masks.map(|ap| format!("  mask {:>5}", shown(ap))).unwrap_or_default();
            let boxes = shown(class.boxes.unwrap_or(-1.0));
            writeln!(
                f,
                "  {:<20} box {boxes:>5}{masks}  ({})",
                class.name,
                counted(class.objects, "object", "objects")
            )?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more classes: see --json"),
        }
    }
}

/// Judges results as pycocotools does: boxes and, where all have one, masks; with a summary. `data` is COCO's instances, with
/// or without `:IMAGES` behind: no image is looked at. Of data in other forms those images are judged that
/// are marked as `split`, or else for testing, or all.
pub fn judge(results: &Path, data: &str, split: Option<&str>) -> Result<(Judgement, Judged)> {
    let instances = instances(data, split)?;
    let found = instances.read_results(results)?;
    let named = |e: Error| e.in_file(results);
    let truth = instances.ground_truth(false)?;
    let boxes = evaluate(&truth, &found, Kind::Box).map_err(named)?;
    let with_masks = found.iter().filter(|d| d.mask.is_some()).count();
    if with_masks > 0 && with_masks < found.len() {
        let (few, all) = (with_masks, found.len());
        say!("masks are not judged: {few} of {all} detections have one");
    }
    let masks = match with_masks > 0 && with_masks == found.len() {
        true => Some(evaluate(&instances.ground_truth(true)?, &found, Kind::Mask).map_err(named)?),
        false => None,
    };
    let classes = ByClass::of(&boxes, masks.as_ref());
    let confusion = confused(&truth, &found, SURE);
    let judged = Judgement { detections: found, boxes, masks, confusion, seconds_per_image: 0.0 };
    let (images, detections) = (instances.images.len(), judged.detections.len());
    let summary = Judged { images, detections, score: judged.score(), numbers: NAMES, classes };
    Ok((judged, summary))
}

/// What results are compared with.
fn instances(data: &str, split: Option<&str>) -> Result<Instances> {
    let lower = data.to_ascii_lowercase();
    let yaml = lower.ends_with(".yaml") || lower.ends_with(".yml");
    let file = lower.rfind(".json:").map(|at| &data[..at + 5]);
    let file = file.or_else(|| (!yaml && !Path::new(data).is_dir()).then_some(data));
    if let Some(file) = file {
        return match split {
            Some(split) if split != "all" => {
                let what = format!("--split {split}, but an instances file marks no images");
                Err(Error::input(what).in_file(data).remedy("leave the option out"))
            }
            _ => Instances::read(Path::new(file)),
        };
    }
    let data_set = open_annotated(data, Reading::default())?;
    let own = match split {
        Some("all") => None,
        Some(split) => Some(data_set.part(split).ok_or_else(|| {
            Error::input(format!("has no images marked as {split}"))
                .in_file(data)
                .remedy("choose --split all")
        })?),
        None => data_set.part("test").or_else(|| data_set.part("val")),
    };
    Ok(data_set.instances(&own.unwrap_or_else(|| (0..data_set.len()).collect())))
}

impl ByClass {
    /// By boxes and, where they were judged, masks.
    pub fn of(boxes: &Evaluation, masks: Option<&Evaluation>) -> Self {
        let class = |(k, of): (usize, &CategoryResult)| {
            let ap =
                |evaluation: &Evaluation| Some(evaluation.categories[k].stats()[0]).filter(|ap| *ap >= 0.0);
            ClassScore {
                name: of.category.name.clone(),
                objects: of.objects[0],
                boxes: ap(boxes),
                masks: masks.and_then(ap),
            }
        };
        ByClass(boxes.categories.iter().enumerate().map(class).collect())
    }
}
