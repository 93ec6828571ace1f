//! Instances files: images, categories, annotated objects.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::value::RawValue;

use super::syntax;
use crate::data::coco::raw::{Entry, Id, RawSegmentation, Wrong};
use crate::data::description::{Faults, Outcome, Reading};
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::coco::{Category, GroundTruth, Truth};
use crate::metrics::rle::{self, Rle};

/// Larger files are refused: a bound on memory (COCO's own are below 0.5 GB).
pub(crate) const MAX_BYTES: u64 = 2 << 30;

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
    /// Its id; a number is given to it where the file has a string.
    pub id: i64,
    /// Its id as the file has it, where that is a string.
    pub text_id: Option<String>,
    /// Its file, relative to the images' folder; may be empty where only evaluation is wanted.
    pub file_name: String,
    /// Columns and rows, where given.
    pub size: Option<[u64; 2]>,
}

/// An annotated object.
#[derive(Clone, Debug, Default)]
pub struct Annotation {
    /// Its id; a number is given to it where the file has none.
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
    /// Learned like others, and judged as a crowd region: Pascal VOC's objects that are hard to see.
    pub difficult: bool,
    /// Its mask.
    pub segmentation: Segmentation,
}

/// A mask as the file has it.
#[derive(Clone, Debug, Default)]
pub enum Segmentation {
    /// Not given.
    #[default]
    None,
    /// The union of polygons `[x0, y0, x1, y1, ...]`.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths.
    Rle(Rle),
}

impl Segmentation {
    /// The mask in an image of that many rows and columns; none where it is not given. Errors: run lengths of
    /// another size.
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
    /// Reads an instances file. Errors: unreadable, larger than 2 GiB, not JSON, not COCO instances, or
    /// entries that cannot be meant: without an id, a box or a category, or listed twice; all of them are
    /// named.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&files::read(path, MAX_BYTES)?).map_err(|e| e.in_file(path))
    }

    /// Reads the bytes of an instances file; see [`Instances::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (instances, faults) = Self::gather(bytes)?;
        faults.judge(Reading::default())?;
        Ok(instances)
    }

    /// What can be read of the bytes of an instances file, and what is doubtful about it. Errors: it is none.
    pub(crate) fn gather(bytes: &[u8]) -> Result<(Self, Faults)> {
        let text = syntax::text(bytes)?;
        let top = Entry::parse(&text).map_err(|e| syntax::foreign(&text, &e, "instances"))?;
        let list = |name: &str| {
            let told = |w: Wrong| Error::input(format!("not COCO instances: {}, and is {}", w.must, w.has));
            let missing = || Error::input(format!("not COCO instances: `{name}` is missing"));
            top.list(name).map_err(told)?.ok_or_else(missing)
        };
        let lists = ["images", "annotations", "categories"].map(list);
        let [images, annotations, categories] = lists;
        let remedy = |e: Error| e.remedy("give an instances_*.json file");
        let (images, annotations, categories) =
            (images.map_err(remedy)?, annotations.map_err(remedy)?, categories.map_err(remedy)?);
        let mut faults = Faults::default();
        let images = image_infos(&images, &mut faults);
        let categories = entries(&categories, "category", "categories", &mut faults, category);
        distinct(categories.iter().map(|c| c.id), "category", "categories", &mut faults);
        let annotations = objects(&annotations, &images, &categories, &mut faults);
        Ok((Instances { images, categories, annotations }, faults))
    }

    /// What detections are compared with, with masks or without. An object without a mask is no object where
    /// masks are judged; see [`evaluate`](crate::metrics::coco::evaluate). Errors: masks that do not fit
    /// their image.
    pub fn ground_truth(&self, masks: bool) -> Result<GroundTruth> {
        let sizes: HashMap<i64, [u64; 2]> =
            self.images.iter().filter_map(|i| Some((i.id, i.size?))).collect();
        let mask = |a: &Annotation| match (&a.segmentation, sizes.get(&a.image)) {
            (Segmentation::None, _) => Ok(None),
            (s, Some(&[w, h])) => s.mask(h, w),
            (_, None) => Err(Error::input("the image's width and height are missing")),
        };
        let truth = |a: &Annotation| {
            let place = |e: Error| Error::input(format!("annotation {} (image {}): {e}", a.id, a.image));
            Ok(Truth {
                id: a.id,
                image: a.image,
                category: a.category,
                bbox: a.bbox,
                area: a.area,
                crowd: a.crowd || a.difficult,
                mask: if masks { mask(a).map_err(place)? } else { None },
            })
        };
        Ok(GroundTruth {
            images: self.images.iter().map(|i| i.id).collect(),
            categories: self.categories.clone(),
            truths: self.annotations.iter().map(truth).collect::<Result<_>>()?,
        })
    }

    /// The images by their ids as the file has them.
    pub(super) fn by_id(&self) -> HashMap<Id, &ImageInfo> {
        self.images.iter().map(|i| (i.key(), i)).collect()
    }
}

impl ImageInfo {
    /// Its id as the file has it; numbers in strings are numbers.
    fn key(&self) -> Id {
        match &self.text_id {
            Some(text) if text.parse() != Ok(self.id) => Id::Text(text.clone()),
            _ => Id::Number(self.id),
        }
    }
}

/// What an entry is called in messages: noun and id, or its place where it has none, and image or file where
/// it tells.
pub(super) struct Place<'e, 'a> {
    entry: &'e Entry<'a>,
    noun: &'e str,
    number: usize,
}

impl std::fmt::Display for Place<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.entry.id("id") {
            Ok(Some((id, _))) => write!(f, "{} {id}", self.noun)?,
            _ => write!(f, "{} number {} in the list", self.noun, self.number)?,
        }
        if let Ok(Some((image, _))) = self.entry.id("image_id") {
            write!(f, " (image {image})")?;
        }
        match self.entry.text("file_name") {
            Ok(Some(name)) => write!(f, " ({name})"),
            _ => Ok(()),
        }
    }
}

/// Reads each entry; what cannot be read is a fault that refuses.
pub(super) fn entries<T>(
    raw: &[&RawValue],
    noun: &str,
    plural: &str,
    faults: &mut Faults,
    mut read: impl FnMut(&Entry, &Place, &mut Faults) -> Result<Option<T>, Wrong>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(raw.len());
    for (i, raw) in raw.iter().enumerate() {
        let Ok(entry) = Entry::parse(raw.get()) else {
            let name = format!("{noun} number {} in the list", i + 1);
            faults.add(&format!("{plural} are not objects of JSON"), Outcome::Refused, name);
            continue;
        };
        let place = Place { entry: &entry, noun, number: i + 1 };
        match read(&entry, &place, faults) {
            Ok(entry) => out.extend(entry),
            Err(wrong) => note(&wrong, plural, Outcome::Refused, &place, faults),
        }
    }
    out
}

/// A field that is wrong as a fault.
fn note(wrong: &Wrong, plural: &str, outcome: Outcome, place: &Place, faults: &mut Faults) {
    let has = if wrong.has.is_empty() { String::new() } else { format!(" has {}", wrong.has) };
    faults.add(&format!("{plural}: {}", wrong.must), outcome, format!("{place}{has}"));
}

fn distinct(ids: impl Iterator<Item = i64>, noun: &str, plural: &str, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for id in ids.filter(|&id| !seen.insert(id)) {
        faults.add(&format!("{plural} are listed twice"), Outcome::Refused, format!("{noun} {id}"));
    }
}

fn category(entry: &Entry, _: &Place, _: &mut Faults) -> Result<Option<Category>, Wrong> {
    let id = entry.number_id("id")?;
    Ok(Some(Category { id, name: entry.text("name")?.unwrap_or_else(|| id.to_string()) }))
}

/// The images. Ids that are strings get numbers, in the strings' order (in which pycocotools sorts them),
/// beyond those that are used.
fn image_infos(raw: &[&RawValue], faults: &mut Faults) -> Vec<ImageInfo> {
    let read = |entry: &Entry, place: &Place, faults: &mut Faults| {
        let (id, text_id) = entry.id("id")?.ok_or_else(|| Wrong::missing("id"))?;
        if let Id::Text(_) = id {
            let what = "images have strings as `id`, which results give again";
            faults.add(what, Outcome::Mended, place);
        }
        let file_name = entry.text("file_name")?.unwrap_or_default();
        let size = entry.side("width").zip(entry.side("height")).map(|(w, h)| [w, h]);
        Ok(Some((id, ImageInfo { id: 0, text_id, file_name, size })))
    };
    let mut read = entries(raw, "image", "images", faults, read);
    let numbers = numbering(read.iter().map(|(id, _)| id));
    for (id, info) in &mut read {
        info.id = numbers[id];
    }
    let images: Vec<ImageInfo> = read.into_iter().map(|(_, info)| info).collect();
    distinct(images.iter().map(|i| i.id), "image", "images", faults);
    images
}

fn numbering<'a>(ids: impl Iterator<Item = &'a Id>) -> HashMap<Id, i64> {
    let (mut numbers, mut texts) = (HashMap::new(), Vec::new());
    for id in ids {
        match id {
            Id::Number(n) => drop(numbers.insert(id.clone(), *n)),
            Id::Text(_) => texts.push(id),
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let mut free = free(numbers.values().copied().collect());
    numbers.extend(texts.into_iter().cloned().zip(std::iter::from_fn(|| free.next())));
    numbers
}

/// Numbers that are not used: 1, 2, ... beyond the greatest that is.
fn free(used: HashSet<i64>) -> impl Iterator<Item = i64> {
    let greatest = used.iter().copied().max().unwrap_or(0).max(0);
    (0..).map(move |k: i64| greatest.wrapping_add(1).wrapping_add(k)).filter(move |n| !used.contains(n))
}

/// The annotated objects; those of images that are not listed are left out, as pycocotools does.
fn objects(
    raw: &[&RawValue],
    images: &[ImageInfo],
    categories: &[Category],
    faults: &mut Faults,
) -> Vec<Annotation> {
    let images: HashMap<Id, i64> = images.iter().map(|i| (i.key(), i.id)).collect();
    let categories: HashSet<i64> = categories.iter().map(|c| c.id).collect();
    let read = |entry: &Entry, place: &Place, faults: &mut Faults| {
        let image = entry.needed_id("image_id")?;
        let Some(&image) = images.get(&image) else {
            faults.add("annotations are of images that are not listed", Outcome::LeftOut, place);
            return Ok(None);
        };
        let category = entry.number_id("category_id")?;
        if !categories.contains(&category) {
            let name = format!("{place} has category {category}");
            faults.add("annotations are of categories that are not listed", Outcome::Refused, name);
        }
        let captions = || Wrong {
            must: "`bbox` is missing; captions and keypoints are of no use here".into(),
            has: String::new(),
        };
        let bbox = entry.bbox()?.ok_or_else(captions)?;
        let area = entry.number("area")?.unwrap_or((bbox[2] * bbox[3]).clamp(f64::MIN, f64::MAX));
        let crowd = entry.flag("iscrowd")?;
        // Those that need no masks are not hindered.
        let segmentation = segmentation(entry, place, Outcome::LeftOut, faults);
        let id = match entry.id("id")? {
            Some((Id::Number(id), _)) => Some(id),
            _ => {
                let what = "annotations have no whole number as `id`, and are numbered";
                faults.add(what, Outcome::Mended, place);
                None
            }
        };
        Ok(Some((
            id,
            Annotation { id: 0, image, category, bbox, area, crowd, difficult: false, segmentation },
        )))
    };
    let read = entries(raw, "annotation", "annotations", faults, read);
    distinct(read.iter().filter_map(|(id, _)| *id), "annotation", "annotations", faults);
    let mut free = free(read.iter().filter_map(|(id, _)| *id).collect());
    let numbered =
        |(id, a): (Option<i64>, Annotation)| Some(Annotation { id: id.or_else(|| free.next())?, ..a });
    read.into_iter().filter_map(numbered).collect()
}

/// The fault of a mask.
pub(crate) const BAD_MASK: &str = "masks cannot be read";

/// The mask. One that cannot be read is a fault of that outcome, and none.
pub(super) fn segmentation(
    entry: &Entry,
    place: &Place,
    outcome: Outcome,
    faults: &mut Faults,
) -> Segmentation {
    let bad = |faults: &mut Faults, what: String| {
        faults.add(BAD_MASK, outcome, format!("{place}: {what}"));
        Segmentation::None
    };
    let runs = |rle: Result<Rle>, faults: &mut Faults| match rle {
        Ok(rle) => Segmentation::Rle(rle),
        Err(e) => bad(faults, e.to_string()),
    };
    let polygons = match entry.segmentation() {
        Ok(None) => return Segmentation::None,
        Ok(Some(RawSegmentation::Polygons(polygons))) => polygons,
        Ok(Some(RawSegmentation::Flat(polygon))) => {
            let what =
                "`segmentation` are a list of numbers, not a list of polygons, and taken as one polygon";
            faults.add(what, Outcome::Mended, place);
            vec![polygon]
        }
        Ok(Some(RawSegmentation::Counts([h, w], counts))) => {
            return runs(Rle::from_counts(h, w, &counts), faults);
        }
        Ok(Some(RawSegmentation::Compressed([h, w], text))) => {
            return runs(Rle::from_compressed(h, w, &text), faults);
        }
        Err(wrong) => return bad(faults, format!("{}, and is {}", wrong.must, wrong.has)),
    };
    if let Some(e) = polygons.iter().find_map(|p| rle::check_polygon(p).err()) {
        return bad(faults, e.to_string());
    }
    // To pycocotools, too, up to four numbers are no polygon.
    let (n, polygons) = (polygons.len(), polygons.into_iter().filter(|p| p.len() > 4).collect::<Vec<_>>());
    if polygons.len() < n {
        let what = "annotations have polygons of up to four numbers, which enclose nothing";
        faults.add(what, Outcome::LeftOut, place);
    }
    if polygons.is_empty() { Segmentation::None } else { Segmentation::Polygons(polygons) }
}
