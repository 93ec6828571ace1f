//! Data sets in Pascal VOC's form: `Annotations` holds an XML file for each image in `JPEGImages`, and
//! `ImageSets/Main` lists which images are `train`, `val`, `trainval` and `test`, where it is there.
//!
//! VOC counts pixels from 1, the last included: columns `xmin` to `xmax` reach from xmin − 1 to xmax. A
//! `difficult` object is learned as others are, as in torchvision, and ignored in judging, as in VOC's own:
//! to pycocotools it is what `iscrowd` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gradus_models::checkpoint::is_picture;
use rayon::prelude::*;
use roxmltree::{Document, Node, ParsingOptions};

use super::classes::alike;
use super::coco::json::{Annotation, ImageInfo, Instances};
use super::coco::{Coco, Form, Gathered, Places};
use super::description::Outcome::{LeftOut, Noted, Refused};
use super::description::{Faults, Reading, shortened};
use crate::error::{Error, Result};
use crate::files;
use crate::image::READ;
use crate::metrics::coco::Category;
use crate::numbers::counted;

/// Larger files are refused: one of a thousand objects has 300 KB.
const MAX_BYTES: u64 = 16 << 20;
/// Elements, attributes and texts of a file.
const NODES: u32 = 1_000_000;
/// Signs of attributes in a file. Annotations have hardly any, and those of one element are compared with each
/// other.
const ATTRIBUTES: usize = 2_000;
/// Where images lie; the last is the folder itself.
const IMAGES: [&str; 4] = ["JPEGImages", "images", "Annotations", ""];

/// The folder that holds `Annotations`: this one, or the only one below or below `VOCdevkit` that does.
pub fn folder(path: &Path) -> Option<PathBuf> {
    let holds = |path: &Path| {
        let entries = files::entries(path.join("Annotations")).unwrap_or_default();
        entries.iter().any(|e| e.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("xml")))
    };
    if holds(path) {
        return Some(path.to_path_buf());
    }
    let inside = |path: PathBuf| files::entries(path).unwrap_or_default().into_iter().map(|e| e.path());
    let below: Vec<PathBuf> =
        inside(path.into()).chain(inside(path.join("VOCdevkit"))).filter(|p| holds(p)).collect();
    if let [one] = &below[..] { Some(one.clone()) } else { None }
}

/// Opens the data set in a folder that holds `Annotations`. Errors: there is none, and what [`Faults`]
/// refuse: files that are no annotations, objects without name or box, and all that COCO's images and boxes
/// are refused for.
pub fn open(folder: &Path, reading: Reading) -> Result<Coco> {
    let mut faults = Faults::default();
    let annotations = folder.join("Annotations");
    let entries = files::entries(&annotations).map_err(|e| Error::read(&annotations, &e))?;
    let of_xml = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("xml"));
    let files: Vec<PathBuf> = entries.iter().map(|e| e.path()).filter(of_xml).collect();
    let read: Vec<_> = files.par_iter().map(|file| Annotated::read(file)).collect();
    let mut pictures = Pictures::of(folder)?;
    let mut found = Vec::new();
    for (file, read) in files.iter().zip(read) {
        let name = files::name_of(file.strip_prefix(folder).unwrap_or(file));
        match read {
            Ok(annotated) => found.push((name, stem(file), annotated)),
            Err(e) => {
                faults.add("files are no annotations", Refused, format!("{name}: {}", e.message().what))
            }
        }
    }
    let classes = classes(&found, &mut faults);
    let (instances, places, checksum) = objects(&found, &classes, &mut pictures, &mut faults);
    for (_, picture) in pictures.by_stem.iter().filter(|(stem, _)| !pictures.used.contains(*stem)) {
        faults.add("pictures have no annotation", LeftOut, picture);
    }
    let ids = (1..).zip(&found).map(|(id, (_, stem, _))| (stem.as_str(), id)).collect();
    let (parts, checksum) = parts(folder, &ids, checksum, &mut faults)?;
    let mut notes = Vec::new();
    let hard = instances.annotations.iter().filter(|a| a.difficult).count();
    if hard > 0 {
        let judged = "(learned, and ignored in judging)";
        notes.push(format!("{} {judged}", counted(hard, "difficult object", "difficult objects")));
    }
    let outside = found.len() - parts.iter().flat_map(|(_, ids)| ids).collect::<BTreeSet<_>>().len();
    if !parts.is_empty() && outside > 0 {
        notes.push(format!("{} in none of ImageSets/Main", counted(outside, "image", "images")));
    }
    let (form, folder) = (Form::Voc(places), folder.to_path_buf());
    Gathered { form, annotations, folder, instances, parts, notes, faults, checksum }.checked(reading)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a file says of its image.
struct Annotated {
    file_name: Option<String>,
    size: Option<[u64; 2]>,
    objects: Vec<Result<Object, &'static str>>,
    checksum: u32,
}

/// An object's element.
struct Object {
    class: String,
    /// Corners as they are written.
    corners: [f64; 4],
    difficult: bool,
}

/// The element of that name in another.
fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|n| n.has_tag_name(name))
}

/// The text of an element in another.
fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}

impl Annotated {
    /// Reads a file. Errors: it is none. What a document defines for itself (a DTD with its entities, of
    /// which a few bytes mean billions) is refused.
    fn read(file: &Path) -> Result<Self> {
        let bytes = files::read(file, MAX_BYTES)?;
        let text_of = std::str::from_utf8(&bytes).map_err(|_| Error::input("is not encoded as UTF-8"))?;
        if text_of.bytes().filter(|&b| b == b'=').count() > ATTRIBUTES {
            return Err(Error::input("has too many attributes for an annotation"));
        }
        let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text_of.trim_start_matches('\u{feff}'), options)
            .map_err(|e| Error::input(format!("is no XML: {}", shortened(&e.to_string()))))?;
        let root = document.root_element();
        if !root.has_tag_name("annotation") {
            return Err(Error::input("has no element `annotation`"));
        }
        let side = |size, name| {
            let side = text(size, name)?.parse::<f64>().ok()?;
            (side.fract() == 0.0 && (1.0..=1e9).contains(&side)).then_some(side as u64)
        };
        let size = child(root, "size").and_then(|size| Some([side(size, "width")?, side(size, "height")?]));
        let objects = root.children().filter(|n| n.has_tag_name("object")).map(object).collect();
        let file_name = text(root, "filename").map(String::from);
        Ok(Annotated { file_name, size, objects, checksum: crc32c::crc32c(&bytes) })
    }
}

/// An object. Its parts (heads and hands) have boxes of their own, further down. Error: what it lacks.
fn object(node: Node) -> Result<Object, &'static str> {
    let class = text(node, "name").ok_or("objects have no `name`")?.to_string();
    let corners = child(node, "bndbox").ok_or("objects have no `bndbox`")?;
    let corner = |name| text(corners, name)?.parse::<f64>().ok().filter(|v| v.is_finite() && v.abs() < 1e9);
    let all = || Some([corner("xmin")?, corner("ymin")?, corner("xmax")?, corner("ymax")?]);
    let corners = all().ok_or("objects' `bndbox` must have the numbers xmin, ymin, xmax and ymax")?;
    let difficult =
        text(node, "difficult").is_some_and(|v| !["0", "false", "False", "Unspecified"].contains(&v));
    Ok(Object { class, corners, difficult })
}

/// The names of all objects, in alphabetical order.
fn classes(found: &[(String, String, Annotated)], faults: &mut Faults) -> Vec<String> {
    let objects = found.iter().flat_map(|(_, _, annotated)| annotated.objects.iter().flatten());
    let names: BTreeSet<&str> = objects.map(|object| object.class.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(String::from).collect();
    for [a, b] in alike(&names) {
        faults.add("classes differ from another by case or spaces alone", Noted, format!("{a} / {b}"));
    }
    names
}

/// The pictures of the data set by their names without extension.
struct Pictures {
    folder: PathBuf,
    by_stem: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Pictures {
    fn of(folder: &Path) -> Result<Self> {
        let mut by_stem = BTreeMap::new();
        for place in IMAGES.map(|name| folder.join(name)).into_iter().filter(|place| place.is_dir()) {
            for path in files::entries(&place).map_err(|e| Error::read(&place, &e))?.iter().map(|e| e.path())
            {
                let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
                if READ.contains(&extension.as_str()) && path.is_file() {
                    let name = files::name_of(path.strip_prefix(folder).unwrap_or(&path));
                    by_stem.entry(stem(&path)).or_insert(name);
                }
            }
        }
        Ok(Pictures { folder: folder.into(), by_stem, used: BTreeSet::new() })
    }

    /// The picture of an annotation: that of the same name, or else the one that it names. Where neither is
    /// there, it is missing under the name at which it was looked for.
    fn find(&mut self, stem: &str, annotated: &Annotated) -> String {
        let named = annotated.file_name.as_deref().filter(|name| !name.contains(['/', '\\']));
        let other = named.map(|name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
        for stem in [Some(stem), other].into_iter().flatten() {
            if let Some(path) = self.by_stem.get(stem) {
                self.used.insert(stem.to_string());
                return path.clone();
            }
        }
        let name = named.filter(|name| is_picture(name)).map_or(format!("{stem}.jpg"), String::from);
        let place = IMAGES.iter().find(|place| self.folder.join(place).is_dir()).unwrap_or(&"");
        format!("{place}/{name}")
    }
}

/// All images and objects, where they stand, and their checksum. Images are numbered in the order of their
/// annotations' names.
fn objects(
    found: &[(String, String, Annotated)],
    classes: &[String],
    pictures: &mut Pictures,
    faults: &mut Faults,
) -> (Instances, Places, u32) {
    let category = |(id, name): (i64, &String)| Category { id, name: name.clone() };
    let categories = (1..).zip(classes).map(category).collect();
    let mut all = Instances { categories, ..Instances::default() };
    let (mut places, mut checksum) = (Places::default(), 0);
    for (image, (name, stem, annotated)) in (1..).zip(found) {
        places.files.push(name.clone());
        checksum = crc32c::crc32c_append(checksum, &annotated.checksum.to_le_bytes());
        let file_name = pictures.find(stem, annotated);
        all.images.push(ImageInfo { id: image, text_id: None, file_name, size: annotated.size });
        for (k, object) in annotated.objects.iter().enumerate() {
            let place = || format!("{name}, object {}", k + 1);
            let Object { class, corners: [x1, y1, x2, y2], difficult } = match object {
                Ok(object) => object,
                Err(what) => {
                    faults.add(what, Refused, place());
                    continue;
                }
            };
            if *x1 == 0.0 || *y1 == 0.0 {
                let what =
                    "boxes begin at pixel 0, where Pascal VOC counts from 1: all may lie one pixel off";
                faults.add(what, Noted, place());
            }
            let from = |v: &f64| if *v == 0.0 { 0.0 } else { v - 1.0 };
            let (x, y) = (from(x1), from(y1));
            let (w, h) = (x2 - x, y2 - y);
            places.numbers.push(k + 1);
            let id = places.numbers.len() as i64;
            let category = 1 + classes.partition_point(|c| c < class) as i64;
            let (bbox, area, difficult) = ([x, y, w, h], w * h, *difficult);
            let object = Annotation { id, image, category, bbox, area, difficult, ..Annotation::default() };
            all.annotations.push(object);
        }
    }
    (all, places, checksum)
}

/// The parts that `ImageSets/Main` lists, and a checksum behind another of what they hold. `trainval` is
/// training where it is not divided.
fn parts(
    folder: &Path,
    ids: &BTreeMap<&str, i64>,
    mut checksum: u32,
    faults: &mut Faults,
) -> Result<(Vec<(&'static str, Vec<i64>)>, u32)> {
    let lists = folder.join("ImageSets").join("Main");
    let mut read = |list: &str| -> Result<Option<Vec<i64>>> {
        let path = lists.join(list).with_extension("txt");
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = files::read(&path, MAX_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut own = Vec::new();
        for name in text.trim_start_matches('\u{feff}').lines().filter_map(|l| l.split_whitespace().next()) {
            match ids.get(name) {
                Some(id) => own.push(*id),
                None => {
                    let name = format!("{list}.txt: {}", shortened(name));
                    faults.add("images in ImageSets/Main have no annotation", LeftOut, name);
                }
            }
        }
        own.sort_unstable();
        own.dedup();
        Ok((!own.is_empty()).then_some(own))
    };
    let [train, val, both, test] = ["train", "val", "trainval", "test"].map(&mut read);
    let (train, val, both, test) = (train?, val?, both?, test?);
    let train = if train.is_some() && val.is_some() { train } else { both.or(train) };
    let parts = [("train", train), ("val", val), ("test", test)];
    let parts: Vec<_> = parts.into_iter().filter_map(|(name, ids)| Some((name, ids?))).collect();
    for (name, ids) in &parts {
        checksum = crc32c::crc32c_append(checksum, name.as_bytes());
        checksum = ids.iter().fold(checksum, |sum, id| crc32c::crc32c_append(sum, &id.to_le_bytes()));
    }
    Ok((parts, checksum))
}
