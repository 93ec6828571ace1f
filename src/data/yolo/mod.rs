//! Data sets in YOLO's form: a `data.yaml` that names classes and images, and a text file of labels for each
//! image, in a folder `labels` where the images are in `images`.
//!
//! An image without a label file is one without objects. Paths are Ultralytics': relative to `path`, else to
//! the folder of `data.yaml`; `../` in front of what lies in that folder is left away, since Roboflow writes
//! it. What is read becomes the objects that COCO's files have, and is checked as they are.

mod labels;
mod yaml;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use gradus_models::checkpoint::is_picture;
use rayon::prelude::*;

use super::coco::json::{Annotation, ImageInfo, Instances, Segmentation};
use super::coco::{Coco, Form, Gathered, Places};
use super::description::Outcome::{LeftOut, Mended, Noted, Refused};
use super::description::{Faults, Reading, shortened};
use crate::error::{Error, Result};
use crate::files;
use crate::image::{Header, READ};
use crate::metrics::coco::Category;
use crate::numbers::counted;
use labels::Line;
use yaml::{PARTS, Sets};

/// The largest label file, and the largest list of images.
const MAX_BYTES: u64 = 64 << 20;
/// Folders of images are looked through so deep.
const DEPTH: usize = 8;

/// The file that describes such a data set, where a folder holds exactly one, or what is called `data.yaml` and
/// has yet to be told what is wrong with it. Error: it holds several.
pub fn described_by(folder: &Path) -> Result<Option<PathBuf>> {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let describes = |path: &PathBuf| {
        let sets = files::read(path, yaml::MAX_BYTES).and_then(|bytes| Sets::parse(&bytes));
        sets.is_ok_and(|sets| sets.parts.iter().any(|part| !part.is_empty()))
    };
    let entries = files::entries(folder).unwrap_or_default();
    let found: Vec<PathBuf> = entries.iter().map(|e| e.path()).filter(is_yaml).filter(describes).collect();
    match found.as_slice() {
        [] => Ok(Some(folder.join("data.yaml")).filter(|file| file.is_file())),
        [one] => Ok(Some(one.clone())),
        _ => {
            let names: Vec<String> = found.iter().map(files::name_of).collect();
            let what = format!("holds several data sets' descriptions: {}", names.join(", "));
            Err(Error::input(what).in_file(folder).remedy("name one of them"))
        }
    }
}

/// Opens the data set that a `data.yaml` describes. Errors: it is none, its training or validation images are
/// not where it says, and what [`Faults`] refuse: lines that are no objects, classes without a name, other
/// units, and all that COCO's images and boxes are refused for.
pub fn open(file: &Path, reading: Reading) -> Result<Coco> {
    let sets = Sets::parse(&files::read(file, yaml::MAX_BYTES)?).map_err(|e| e.in_file(file))?;
    let mut faults = Faults::default();
    if !sets.named {
        faults.add(
            "classes have no names, and are numbered",
            Mended,
            counted(sets.names.len(), "class", "classes"),
        );
    }
    let root = root(file, &sets, &mut faults);
    let parts = parts(&sets, &root, &mut faults).map_err(|e| e.in_file(file))?;
    // Each image once, with the parts that it is in.
    let mut images: BTreeMap<String, [bool; 3]> = BTreeMap::new();
    for (k, list) in parts.iter().enumerate() {
        for path in list {
            let name = files::name_of(path.strip_prefix(&root).unwrap_or(path));
            images.entry(name).or_default()[k] = true;
        }
    }
    let twice = images.iter().filter(|(_, of)| of[0] && (of[1] || of[2]));
    twice.for_each(|(name, _)| faults.add("images to train on are also tested on", Noted, name));
    let found: Vec<Found> = images.par_iter().map(|(name, _)| Found::of(&root.join(name))).collect();
    let (instances, places, checksum) = objects(&sets, &root, &images, &found, &mut faults);
    let bare = found.iter().filter(|found| matches!(found.labels, Ok(None))).count();
    let note = counted(bare, "image without a label file", "images without a label file");
    let ids = |k: usize| (1..).zip(images.values()).filter(move |(_, of)| of[k]).map(|(id, _)| id).collect();
    let own = (0..3).map(|k| (PARTS[k], ids(k))).filter(|(_, ids): &(_, Vec<i64>)| !ids.is_empty()).collect();
    let gathered = Gathered {
        form: Form::Yolo(places),
        annotations: file.into(),
        folder: root,
        instances,
        parts: own,
        notes: (bare > 0).then_some(note).into_iter().collect(),
        faults,
        checksum,
    };
    gathered.checked(reading)
}

/// What the paths in the file start from.
fn root(file: &Path, sets: &Sets, faults: &mut Faults) -> PathBuf {
    let own = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let Some(path) = &sets.path else { return own };
    let given = own.join(path);
    if given.is_dir() {
        return given;
    }
    faults.add("`path` is no folder, and the one of data.yaml is taken", Mended, path);
    own
}

/// The images of each part. Errors: lists that cannot be read, folders that cannot be looked into.
fn parts(sets: &Sets, root: &Path, faults: &mut Faults) -> Result<[Vec<PathBuf>; 3]> {
    let mut found: [Vec<PathBuf>; 3] = Default::default();
    for (k, part) in PARTS.into_iter().enumerate() {
        for entry in &sets.parts[k] {
            let named = format!("{part}: {entry}");
            let Some(path) = place(root, entry, &named, faults) else {
                // Exports name test images that were not asked for.
                let outcome = if part == "test" { LeftOut } else { Refused };
                faults.add("parts are not where data.yaml says", outcome, named);
                continue;
            };
            let before = found[k].len();
            if path.is_dir() {
                pictures(&path, DEPTH, &mut found[k], faults)?;
            } else {
                listed(&path, root, &mut found[k])?;
            }
            if found[k].len() == before {
                faults.add("parts have no picture", LeftOut, named);
            }
        }
    }
    Ok(found)
}

/// Where an entry of the file is.
fn place(root: &Path, entry: &str, named: &str, faults: &mut Faults) -> Option<PathBuf> {
    let given = root.join(entry);
    if given.exists() {
        return Some(given);
    }
    let inside = entry.trim_start_matches("../");
    let inside = root.join(inside).exists().then(|| root.join(inside)).filter(|_| inside != entry);
    inside.inspect(|_| faults.add("parts begin with ../ and lie in the folder of data.yaml", Mended, named))
}

/// The pictures in a folder and in those below. Links to folders are not followed.
fn pictures(folder: &Path, depth: usize, found: &mut Vec<PathBuf>, faults: &mut Faults) -> Result<()> {
    for entry in files::entries(folder).map_err(|e| Error::read(folder, &e))? {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        let inner = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if name.starts_with('.') {
            continue;
        } else if inner && depth > 0 {
            pictures(&path, depth - 1, found, faults)?;
        } else if READ.contains(&extension.as_str()) {
            found.push(path);
        } else if is_picture(&name) {
            faults.add("pictures are of kinds that are not read", LeftOut, path.display());
        }
    }
    Ok(())
}

/// The images that a file lists, a path a line: relative to the list, or else to the root.
fn listed(list: &Path, root: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let bytes = files::read(list, MAX_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let folder = list.parent().unwrap_or(root);
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|l| !l.is_empty()) {
        let line = line.trim_start_matches("./");
        let beside = folder.join(line);
        found.push(if beside.is_file() { beside } else { root.join(line) });
    }
    Ok(())
}

/// The label file of an image: the last folder `images` is `labels`, and the extension is `txt`.
fn label_file(image: &Path) -> PathBuf {
    let mut parts: Vec<&OsStr> = image.components().map(|c| c.as_os_str()).collect();
    let folders = parts.len().saturating_sub(1);
    if let Some(last) = parts[..folders].iter().rposition(|part| *part == "images") {
        parts[last] = OsStr::new("labels");
    }
    parts.iter().collect::<PathBuf>().with_extension("txt")
}

/// What an image's files hold.
struct Found {
    /// Its columns and rows; none where it cannot be read, which is told of it later.
    size: Option<[u64; 2]>,
    label_file: PathBuf,
    /// The text of its labels; none where there is no such file.
    labels: Result<Option<String>, String>,
}

impl Found {
    fn of(image: &Path) -> Self {
        let size = Header::of_file(image).ok().map(|header| header.upright_size().map(|v| v as u64));
        let label_file = label_file(image);
        let labels = match label_file.is_file() {
            true => match files::read(&label_file, MAX_BYTES).map(String::from_utf8) {
                Ok(Ok(text)) => Ok(Some(text)),
                Ok(Err(_)) => Err("is not text".into()),
                Err(e) => Err(e.message().what.clone()),
            },
            false => Ok(None),
        };
        Found { size, label_file, labels }
    }
}

/// All images and objects, where they stand, and their checksum. Images are numbered in the order of their
/// names.
fn objects(
    sets: &Sets,
    root: &Path,
    images: &BTreeMap<String, [bool; 3]>,
    found: &[Found],
    faults: &mut Faults,
) -> (Instances, Places, u32) {
    let mut checksum = crc32c::crc32c(sets.names.join("\n").as_bytes());
    let mut places = Places::default();
    let category = |(id, name): (i64, &String)| Category { id, name: name.clone() };
    let categories = (1..).zip(&sets.names).map(category).collect();
    let mut all = Instances { categories, ..Instances::default() };
    let mut lines: Vec<Line> = Vec::new();
    for ((id, (name, of)), found) in (1..).zip(images).zip(found) {
        let file = found.label_file.strip_prefix(root).unwrap_or(&found.label_file);
        places.files.push(files::name_of(file));
        let file_name = name.clone();
        all.images.push(ImageInfo { id, text_id: None, file_name, size: found.size });
        let text = match &found.labels {
            Ok(text) => text.as_deref().unwrap_or_default(),
            Err(why) => {
                let place = places.files.last().cloned().unwrap_or_default();
                faults.add("label files cannot be read", Refused, format!("{place} ({why})"));
                ""
            }
        };
        checksum = crc32c::crc32c_append(checksum, &of.map(u8::from));
        checksum = crc32c::crc32c_append(checksum, text.as_bytes());
        let size = found.size.unwrap_or_default().map(|v| v as f64);
        for line in lines_of(text, sets.names.len(), places.files.last().map_or("", |f| f), faults) {
            let (placed, category) = (line.placed(size), line.class as i64 + 1);
            let segmentation = placed.polygon.map_or(Segmentation::None, |p| Segmentation::Polygons(vec![p]));
            let (bbox, area) = (placed.bbox, placed.area);
            places.numbers.push(line.number);
            let (id, image) = (places.numbers.len() as i64, id);
            let object =
                Annotation { id, image, category, bbox, area, segmentation, ..Annotation::default() };
            all.annotations.push(object);
            lines.push(line);
        }
    }
    units(&lines, &all, &places, faults);
    (all, places, checksum)
}

/// The objects of a label file.
fn lines_of(text: &str, classes: usize, file: &str, faults: &mut Faults) -> Vec<Line> {
    let (mut lines, mut seen) = (Vec::new(), HashSet::new());
    for (k, own) in text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate() {
        let place = || format!("{file}, line {}: {}", k + 1, shortened(own));
        if own.is_empty() {
            continue;
        }
        match labels::line(own, k + 1) {
            None => {
                let what =
                    "label lines are neither `class x y width height` nor a class and three corners or more";
                faults.add(what, Refused, place());
            }
            Some(line) if line.class >= classes => {
                faults.add("label lines are of classes that data.yaml does not name", Refused, place());
            }
            Some(_) if !seen.insert(own) => faults.add("label lines stand twice", LeftOut, place()),
            Some(line) => lines.push(line),
        }
    }
    lines
}

/// Lines in other units than parts of the image around a centre cannot be meant. In pixels each shows it;
/// what would be corners may also be a box that reaches beyond its image, unless most lines are such.
fn units(lines: &[Line], all: &Instances, places: &Places, faults: &mut Faults) {
    let kinds: [(&str, fn(&Line) -> bool, usize); 2] = [
        ("label lines are in pixels, where parts of the image (0 to 1) are wanted", Line::in_pixels, 0),
        (
            "label lines are corners (x1, y1, x2, y2), where centre, width and height are wanted",
            Line::is_corners,
            lines.len() / 2,
        ),
    ];
    let of = |is: fn(&Line) -> bool| lines.iter().zip(&all.annotations).filter(move |(line, _)| is(line));
    if let Some((what, is, _)) = kinds.into_iter().find(|&(_, is, few)| of(is).count() > few) {
        of(is).for_each(|(_, a)| faults.add(what, Refused, places.of(a, "line")));
    }
}
