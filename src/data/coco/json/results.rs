//! Results files: lists of detections.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::instances::{BAD_MASK, Instances, MAX_BYTES, Place, Segmentation, entries, segmentation};
use super::syntax;
use crate::data::coco::raw::{Entry, Wrong};
use crate::data::description::{Faults, Outcome, Reading};
use crate::data::detection::ImageName;
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::coco::Detection;

impl Instances {
    /// Reads a results file of detections in these images; see [`Instances::parse_results`].
    pub fn read_results(&self, path: &Path) -> Result<Vec<Detection>> {
        let explained = |e: Error| {
            match e.message().remedy {
            Some(_) => e.in_file(path),
            None => e.in_file(path).remedy(
                "give a list of {image_id, category_id, bbox or segmentation, score}, such as the detections.json of `gradus detect`",
            ),
        }
        };
        self.parse_results(&files::read(path, MAX_BYTES)?).map_err(explained)
    }

    /// Reads the bytes of a results file. A detection's area is its box's; without a box both are taken from
    /// its mask. Errors: not a list of detections, or entries with neither box nor mask, of an unknown image,
    /// or with a bad mask; all of them are named.
    pub fn parse_results(&self, bytes: &[u8]) -> Result<Vec<Detection>> {
        let text = syntax::text(bytes)?;
        let raw: Vec<&RawValue> =
            serde_json::from_str(&text).map_err(|e| syntax::foreign(&text, &e, "results"))?;
        let images = self.by_id();
        let mut faults = Faults::default();
        let read = |entry: &Entry, place: &Place, faults: &mut Faults| {
            let Some(image) = images.get(&entry.needed_id("image_id")?) else {
                faults.add("detections are in images that are not listed", Outcome::Refused, place);
                return Ok(None);
            };
            let category = entry.number_id("category_id")?;
            let score = entry.number("score")?.ok_or_else(|| Wrong::missing("score"))?;
            let refuse = |faults: &mut Faults, what: String| {
                faults.add(BAD_MASK, Outcome::Refused, format!("{place}: {what}"));
                None
            };
            let mask = match (segmentation(entry, place, Outcome::Refused, faults), image.size) {
                (Segmentation::None, _) => None,
                (Segmentation::Rle(rle), None) => Some(rle),
                (s, Some([w, h])) => s.mask(h, w).unwrap_or_else(|e| refuse(faults, e.to_string())),
                (Segmentation::Polygons(_), None) => {
                    refuse(faults, "polygons, where the image has no width and height".into())
                }
            };
            Ok(match (entry.bbox()?, mask) {
                (Some(bbox), mask) => {
                    Some(Detection { mask, ..Detection::of_box(image.id, category, score, bbox) })
                }
                (None, Some(mask)) => Some(Detection::of_mask(image.id, category, score, mask)),
                (None, None) if entry.has("segmentation") => None,
                (None, None) => {
                    faults.add("detections have neither `bbox` nor `segmentation`", Outcome::Refused, place);
                    None
                }
            })
        };
        let detections = entries(&raw, "detection", "detections", &mut faults, read);
        faults.judge(Reading::default())?;
        Ok(detections)
    }
}

/// Detections as a results file, which reads back equal: box, score and, where there is one, mask as a
/// compressed string. The box is left out where box and area are the mask's, since readers take the area from
/// a box if there is one. `name` tells how the file names an image; `ImageName::from` where that is by its
/// number.
pub fn results_to_json(detections: &[Detection], name: impl Fn(i64) -> ImageName) -> String {
    let of_mask = |d: &Detection| {
        d.mask.as_ref().is_some_and(|m| d.area == m.area() as f64 && d.bbox == m.bounding_box())
    };
    let entry = |d: &Detection| {
        let ImageName { id, file } = name(d.image);
        let mask = d.mask.as_ref();
        ResultEntry {
            image_id: id,
            file_name: file,
            category_id: d.category,
            bbox: (!of_mask(d)).then_some(d.bbox),
            score: d.score,
            segmentation: mask
                .map(|m| CompressedMask { size: [m.height(), m.width()], counts: m.compressed() }),
        }
    };
    let entries: Vec<_> = detections.iter().map(entry).collect();
    serde_json::to_string(&entries).expect("plain data becomes JSON")
}

#[derive(Serialize)]
struct ResultEntry {
    image_id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    category_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bbox: Option<[f64; 4]>,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    segmentation: Option<CompressedMask>,
}

#[derive(Serialize)]
struct CompressedMask {
    size: [usize; 2],
    counts: String,
}
