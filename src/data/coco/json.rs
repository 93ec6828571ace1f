//! COCO's JSON files: *instances* (images, categories, annotated objects) and *results* (lists of detections).
//!
//! Fields that are not needed are skipped. Each image, annotation and detection is first found as raw text and then
//! read by itself, so that a mistake is reported with its id. Python writes `NaN` and `Infinity`, which JSON lacks:
//! such a file is read too, and the value reported where it matters.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::raw::{Counts, RawAnnotation, RawCategory, RawDetection, RawImage, RawInstances, RawSegmentation};
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::coco::{Category, Detection, GroundTruth, Truth};
use crate::metrics::rle::{self, Rle};

/// Larger files are refused: a bound on memory (COCO's own are below 0.5 GB).
pub(super) const MAX_BYTES: u64 = 2 << 30;

/// An instances file.
#[derive(Clone, Debug, Default)]
pub struct Instances {
    /// The images, in the file's order; ids are distinct.
    pub images: Vec<ImageInfo>,
    /// The categories, in the file's order; ids are distinct.
    pub categories: Vec<Category>,
    /// The objects, in the file's order; ids are distinct, images and categories are listed above.
    pub annotations: Vec<Annotation>,
}

/// An image's entry.
#[derive(Clone, Debug)]
pub struct ImageInfo {
    /// Its id.
    pub id: i64,
    /// Its file, relative to the images' folder; may be empty where only evaluation is wanted.
    pub file_name: String,
    /// Columns and rows, where given.
    pub size: Option<[u64; 2]>,
}

/// An annotated object.
#[derive(Clone, Debug)]
pub struct Annotation {
    /// Its id.
    pub id: i64,
    /// Its image's id.
    pub image: i64,
    /// Its category's id.
    pub category: i64,
    /// `[x, y, width, height]` in pixels.
    pub bbox: [f64; 4],
    /// In square pixels; the box's where the file gives none.
    pub area: f64,
    /// A region of many objects?
    pub crowd: bool,
    /// Its mask.
    pub segmentation: Segmentation,
}

/// A mask as the file has it.
#[derive(Clone, Debug)]
pub enum Segmentation {
    /// Not given.
    None,
    /// The union of polygons `[x0, y0, x1, y1, ...]`.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths.
    Rle(Rle),
}

impl Segmentation {
    /// The mask in an image of that many rows and columns; none where it is not given. Errors: run lengths of another size.
    pub fn mask(&self, height: u64, width: u64) -> Result<Option<Rle>> {
        match self {
            Segmentation::None => Ok(None),
            Segmentation::Polygons(polygons) => Rle::from_polygons(height, width, polygons).map(Some),
            Segmentation::Rle(rle) if (rle.height() as u64, rle.width() as u64) == (height, width) => {
                Ok(Some(rle.clone()))
            }
            Segmentation::Rle(rle) => {
                let (w, h) = (rle.width(), rle.height());
                Err(Error::input(format!("a mask of {w} x {h} pixels in an image of {width} x {height}")))
            }
        }
    }
}

impl Instances {
    /// Reads an instances file. Errors: unreadable, larger than 2 GiB, not JSON, not COCO instances, or an entry with
    /// a missing field, a wrong type, a bad mask or an id that occurs twice or nowhere.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&files::read(path, MAX_BYTES)?).map_err(|e| e.in_file(path))
    }

    /// Reads the bytes of an instances file; see [`Instances::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes = without_nan(bytes);
        let top: RawInstances =
            serde_json::from_slice(&bytes).map_err(|e| foreign(&bytes, &e, "instances"))?;
        let (Some(images), Some(annotations), Some(categories)) =
            (top.images, top.annotations, top.categories)
        else {
            let what = "not COCO instances: `images`, `annotations` and `categories` are needed";
            return Err(Error::input(what).remedy("give an instances_*.json file"));
        };
        let instances = Instances {
            images: entries(&images, "image", image_info)?,
            categories: entries(&categories, "category", |c: RawCategory| {
                Ok(Category { id: c.id.0, name: c.name.unwrap_or_else(|| c.id.0.to_string()) })
            })?,
            annotations: entries(&annotations, "annotation", annotation)?,
        };
        instances.check_ids()?;
        Ok(instances)
    }

    fn check_ids(&self) -> Result<()> {
        let images = distinct(self.images.iter().map(|i| i.id), "image")?;
        let categories = distinct(self.categories.iter().map(|c| c.id), "category")?;
        distinct(self.annotations.iter().map(|a| a.id), "annotation")?;
        for a in &self.annotations {
            let (id, image, category) = (a.id, a.image, a.category);
            if !images.contains(&image) {
                return Err(Error::input(format!("annotation {id}: its image {image} is not listed")));
            }
            if !categories.contains(&category) {
                let what = format!("annotation {id} (image {image}): its category {category} is not listed");
                return Err(Error::input(what));
            }
        }
        Ok(())
    }

    /// What detections are compared with, with masks or without. Objects without a mask become, in evaluations
    /// of masks, crowd regions as large as their box: what is found there is not judged. Errors: masks that do
    /// not fit their image.
    pub fn ground_truth(&self, masks: bool) -> Result<GroundTruth> {
        let sizes: HashMap<i64, [u64; 2]> =
            self.images.iter().filter_map(|i| Some((i.id, i.size?))).collect();
        let truth = |a: &Annotation| {
            let mut truth = Truth {
                id: a.id,
                image: a.image,
                category: a.category,
                bbox: a.bbox,
                area: a.area,
                crowd: a.crowd,
                mask: None,
            };
            if masks {
                let place = || format!("annotation {} (image {})", a.id, a.image);
                let missing =
                    || Error::input(format!("{}: the image's width and height are missing", place()));
                let [w, h] = *sizes.get(&a.image).ok_or_else(missing)?;
                let mask =
                    a.segmentation.mask(h, w).map_err(|e| Error::input(format!("{}: {e}", place())))?;
                truth.crowd |= mask.is_none();
                truth.mask = Some(match mask {
                    Some(mask) => mask,
                    None => {
                        Rle::from_box(h, w, a.bbox).map_err(|e| Error::input(format!("{}: {e}", place())))?
                    }
                });
            }
            Ok(truth)
        };
        Ok(GroundTruth {
            images: self.images.iter().map(|i| i.id).collect(),
            categories: self.categories.clone(),
            truths: self.annotations.iter().map(truth).collect::<Result<_>>()?,
        })
    }

    /// Reads a results file of detections in these images; see [`Instances::parse_results`].
    pub fn read_results(&self, path: &Path) -> Result<Vec<Detection>> {
        self.parse_results(&files::read(path, MAX_BYTES)?).map_err(|e| e.in_file(path))
    }

    /// Reads the bytes of a results file. A detection's area is its box's; without a box both are taken from its
    /// mask. Errors: not a list of detections, an entry with neither box nor mask, an unknown image, a bad mask.
    pub fn parse_results(&self, bytes: &[u8]) -> Result<Vec<Detection>> {
        let bytes = without_nan(bytes);
        let raw: Vec<&RawValue> =
            serde_json::from_slice(&bytes).map_err(|e| foreign(&bytes, &e, "results"))?;
        let images: HashMap<i64, &ImageInfo> = self.images.iter().map(|i| (i.id, i)).collect();
        entries(&raw, "detection", |d: RawDetection| {
            let image =
                *images.get(&d.image_id.0).ok_or_else(|| format!("unknown image {}", d.image_id.0))?;
            let context = |e: Error| format!("(image {}) {e}", image.id);
            let mask = match (segmentation(d.segmentation).map_err(context)?, image.size) {
                (Segmentation::None, _) => None,
                (Segmentation::Rle(rle), None) => Some(rle),
                (s, Some([w, h])) => s.mask(h, w).map_err(context)?,
                (Segmentation::Polygons(_), None) => {
                    return Err(format!("polygons, where image {} has no width and height", image.id).into());
                }
            };
            let score = d.score.ok_or("no score, or one that is not a number")?;
            let (image, category) = (image.id, d.category_id.0);
            match (d.bbox.filter(|b| !b.is_empty()), mask) {
                (Some(bbox), mask) => {
                    Ok(Detection { mask, ..Detection::of_box(image, category, score, numbers(&bbox)?) })
                }
                (None, Some(mask)) => Ok(Detection::of_mask(image, category, score, mask)),
                (None, None) => Err("neither `bbox` nor `segmentation`".into()),
            }
        })
    }
}

/// Detections as a results file, which reads back equal: box, score and, where there is one, mask as a compressed
/// string. The box is left out where box and area are the mask's, since readers take the area from a box if there is one.
pub fn results_to_json(detections: &[Detection]) -> String {
    let of_mask = |d: &Detection| {
        d.mask.as_ref().is_some_and(|m| d.area == m.area() as f64 && d.bbox == m.bounding_box())
    };
    let entries: Vec<_> = detections
        .iter()
        .map(|d| ResultEntry {
            image_id: d.image,
            category_id: d.category,
            bbox: (!of_mask(d)).then_some(d.bbox),
            score: d.score,
            segmentation: d
                .mask
                .as_ref()
                .map(|m| CompressedMask { size: [m.height(), m.width()], counts: m.compressed() }),
        })
        .collect();
    serde_json::to_string(&entries).expect("plain data becomes JSON")
}

#[derive(Serialize)]
struct ResultEntry {
    image_id: i64,
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

/// What to say of a file whose outer form is not the wanted one.
fn foreign(bytes: &[u8], error: &serde_json::Error, wanted: &str) -> Error {
    let first = bytes.iter().copied().find(|b| !b.is_ascii_whitespace());
    match (error.classify(), first) {
        (serde_json::error::Category::Data, Some(b'[')) if wanted == "instances" => {
            Error::input("a list, as of detections, where COCO instances (an object) are wanted")
        }
        (serde_json::error::Category::Data, Some(b'{')) if wanted == "results" => {
            Error::input("an object, where COCO results (a list of detections) are wanted")
        }
        (serde_json::error::Category::Data, _) => Error::input(format!("not COCO {wanted}: {error}")),
        (serde_json::error::Category::Eof, _) => {
            Error::input(format!("ends too early: {error}")).remedy("the file is cut off; get it again")
        }
        _ => Error::input(format!("not JSON: {error}")),
    }
}

/// The bytes with `NaN`, `Infinity` and `-Infinity` outside of strings as `null`.
fn without_nan(bytes: &[u8]) -> Cow<'_, [u8]> {
    let contains = |token: &[u8]| bytes.windows(token.len()).any(|w| w == token);
    if !contains(b"NaN") && !contains(b"Infinity") {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let (mut i, mut string) = (0, false);
    while let Some(&byte) = bytes.get(i) {
        let rest = &bytes[i..];
        let token: Option<&[u8]> =
            [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|t| rest.starts_with(t));
        match token {
            Some(token) if !string => {
                out.extend_from_slice(b"null");
                i += token.len();
                continue;
            }
            _ => {}
        }
        if byte == b'\\' && string {
            out.extend_from_slice(&rest[..rest.len().min(2)]);
            i += 2;
            continue;
        }
        string ^= byte == b'"';
        out.push(byte);
        i += 1;
    }
    Cow::Owned(out)
}

/// Reads each raw entry and converts it; errors name the entry's id, or its place where it has none.
fn entries<'a, R: Deserialize<'a>, T>(
    raw: &[&'a RawValue],
    noun: &str,
    convert: impl Fn(R) -> Result<T, Problem>,
) -> Result<Vec<T>> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<serde_json::Value>,
    }
    let entry = |(i, raw): (usize, &&'a RawValue)| {
        let problem = match serde_json::from_str::<R>(raw.get()) {
            Ok(entry) => match convert(entry) {
                Ok(entry) => return Ok(entry),
                Err(problem) => problem.0,
            },
            // The line is always the entry's first: only the text before " at line" says something.
            Err(e) => e.to_string().split(" at line ").next().unwrap_or_default().to_string(),
        };
        let name = match serde_json::from_str::<Named>(raw.get()) {
            Ok(Named { id: Some(id) }) => format!("{noun} {id}"),
            _ => format!("{noun} number {} in the list", i + 1),
        };
        Err(Error::input(format!("{name}: {problem}")))
    };
    raw.iter().enumerate().map(entry).collect()
}

/// What is wrong with an entry.
struct Problem(String);

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Problem(text)
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        Problem(text.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem(error.to_string())
    }
}

fn distinct(ids: impl Iterator<Item = i64>, noun: &str) -> Result<HashSet<i64>> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(Error::input(format!("{noun} {id} is listed twice")));
        }
    }
    Ok(seen)
}

fn image_info(raw: RawImage) -> Result<ImageInfo, Problem> {
    let size = match (raw.width, raw.height) {
        (Some(w), Some(h)) => {
            let side = |v: f64| (v.fract() == 0.0 && (1.0..=1e9).contains(&v)).then_some(v as u64);
            let sides = side(w).zip(side(h)).ok_or_else(|| format!("width {w}, height {h}"))?;
            Some([sides.0, sides.1])
        }
        _ => None,
    };
    Ok(ImageInfo { id: raw.id.0, file_name: raw.file_name.unwrap_or_default(), size })
}

fn annotation(raw: RawAnnotation) -> Result<Annotation, Problem> {
    let context = |p: Problem| Problem(format!("(image {}) {}", raw.image_id.0, p.0));
    let bbox = raw
        .bbox
        .ok_or_else(|| context("no `bbox`; captions and keypoint files are of no use here".into()))?;
    let bbox = numbers(&bbox).map_err(context)?;
    Ok(Annotation {
        id: raw.id.0,
        image: raw.image_id.0,
        category: raw.category_id.0,
        bbox,
        area: raw.area.unwrap_or(bbox[2] * bbox[3]),
        crowd: raw.iscrowd.is_some_and(|f| f.0),
        segmentation: segmentation(raw.segmentation).map_err(|e| context(e.into()))?,
    })
}

/// The four numbers of a box.
fn numbers(bbox: &[Option<f64>]) -> Result<[f64; 4], Problem> {
    let show =
        || bbox.iter().map(|v| v.map_or("NaN".to_string(), |v| v.to_string())).collect::<Vec<_>>().join(", ");
    match bbox {
        &[Some(x), Some(y), Some(w), Some(h)] if [x, y, w, h].iter().all(|v| v.is_finite()) => {
            Ok([x, y, w, h])
        }
        _ => Err(Problem(format!("box [{}]; four finite numbers x, y, width, height are needed", show()))),
    }
}

fn segmentation(raw: Option<RawSegmentation>) -> Result<Segmentation> {
    match raw {
        None => Ok(Segmentation::None),
        Some(RawSegmentation::Polygons(polygons)) if polygons.is_empty() => Ok(Segmentation::None),
        Some(RawSegmentation::Polygons(polygons)) => {
            polygons.iter().try_for_each(|p| rle::check_polygon(p))?;
            Ok(Segmentation::Polygons(polygons))
        }
        Some(RawSegmentation::Rle { size: [h, w], counts }) => Ok(Segmentation::Rle(match counts {
            Counts::Numbers(counts) => Rle::from_counts(h, w, &counts)?,
            Counts::Text(text) => Rle::from_compressed(h, w, &text)?,
        })),
    }
}

#[cfg(test)]
mod tests;
