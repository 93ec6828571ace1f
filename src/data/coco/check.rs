//! What is doubtful about a data set in COCO's format beyond each entry by itself: files, sizes, the units of
//! boxes, masks.

use std::path::{Component, Path};

use rayon::prelude::*;

use super::dataset::{Coco, clamp, is_empty};
use super::json::{Annotation, BAD_MASK, ImageInfo, Segmentation};
use crate::data::description::Outcome::{self, LeftOut, Mended, Noted, Refused};
use crate::data::description::{Faults, Reading};
use crate::data::detection::bounded;
use crate::error::{Error, Result};
use crate::image::{Header, Image};

/// A box may leave its image by so many pixels without a word: what is rounded does.
const SLACK: f64 = 0.5;

/// Adds the faults of the whole, mends what can be mended and takes out what is left out.
pub(super) fn check(data: &mut Coco, reading: Reading) {
    files(data, reading);
    // Other forms have other units, which their readers look at.
    if !data.form.is_json() || !units(data) {
        boxes(data);
    }
    whole(data);
    // Masks refuse nothing, and so need not be drawn where something is refused.
    if data.faults.iter().all(|f| f.outcome != Refused) {
        masks(data);
    }
}

/// Looks at each image's file, and leaves out the images that cannot be read.
fn files(data: &mut Coco, reading: Reading) {
    let separators = |info: &ImageInfo| {
        let turned = info.file_name.replace('\\', "/");
        // Windows finds the file by either, and has none with \ in its name.
        let meant = !cfg!(windows) && data.path(info).is_file();
        (turned != info.file_name && !meant).then_some(turned)
    };
    let turned: Vec<Option<String>> = data.images.iter().map(separators).collect();
    for (info, name) in data.images.iter_mut().zip(turned) {
        if let Some(name) = name {
            data.faults.add("file names have \\, which is taken as /", Mended, &info.file_name);
            info.file_name = name;
        }
    }
    let looks: Vec<_> = data.images.par_iter().map(|info| look(data, info, reading)).collect();
    let mut left_out = Vec::new();
    let mut infos = std::mem::take(&mut data.images);
    for (info, found) in infos.iter_mut().zip(looks) {
        let name = data.image_named(info);
        match found {
            Ok(header) => size(data, info, header, &name),
            Err((what, why)) => {
                // An image without objects, whose file is not there, is one that nobody looks at.
                let unused = data.objects(info.id).is_empty() && what != Faults::UNREADABLE;
                let outcome = if unused { LeftOut } else { reading.of_bad_image() };
                data.faults.add(&what, outcome, format!("{name}{why}"));
                left_out.push(info.id);
            }
        }
    }
    infos.retain(|info| left_out.binary_search(&info.id).is_err());
    data.images = infos;
    data.objects.retain(|a| left_out.binary_search(&a.image).is_err());
    for id in left_out {
        data.checksum = crc32c::crc32c_append(data.checksum, &id.to_le_bytes());
    }
}

/// What an image's file says of it, or what is wrong with it, as a kind and a reason.
fn look(data: &Coco, info: &ImageInfo, reading: Reading) -> Result<Header, (String, String)> {
    let inside = |c| matches!(c, Component::Normal(_) | Component::CurDir);
    let foreign = data.form.is_json();
    if foreign && (info.file_name.is_empty() || !Path::new(&info.file_name).components().all(inside)) {
        return Err(("images' `file_name` must name a file in the images' folder".into(), String::new()));
    }
    let path = data.path(info);
    if !path.is_file() {
        return Err((format!("images' files are not in {}", data.folder.display()), String::new()));
    }
    let why = |e: Error| (Faults::UNREADABLE.to_string(), format!(": {}", e.message().what));
    let mut header = Header::of_file(&path).map_err(why)?;
    if reading.decodes() {
        // Which images there are must be known now, and not when one turns out to be damaged in the middle.
        Image::open(&path).and_then(|image| bounded(&image)).map_err(why)?;
    }
    // Some keep the orientation behind the pixels.
    let turned = header.orientation == 1 && header.width != header.height;
    if turned && info.size == Some([header.height as u64, header.width as u64]) {
        header.orientation = Image::open_oriented(&path).map_err(why)?.1;
    }
    Ok(header)
}

/// Holds the file's size against the entry's.
fn size(data: &mut Coco, info: &mut ImageInfo, header: Header, name: &str) {
    if data.form.upright() {
        info.size = Some(header.upright_size().map(|v| v as u64));
        return;
    }
    let stored = [header.width as u64, header.height as u64];
    let upright = header.upright_size().map(|v| v as u64);
    let size = info.size.unwrap_or_else(|| {
        data.faults.add("images have no `width` and `height`, which are taken from the file", Mended, name);
        stored
    });
    info.size = Some(size);
    let told =
        format!("{name} is {} x {} pixels, its entry says {} x {}", stored[0], stored[1], size[0], size[1]);
    let orientation = header.orientation;
    if size == stored && orientation != 1 {
        let what = "images have an EXIF orientation, which is not applied: their entries are taken to be of the pixels as stored";
        data.faults.add(what, Noted, name);
    } else if size == upright && orientation != 1 {
        let what = "images have an EXIF orientation, which is applied: their entries give the upright size";
        data.faults.add(what, Noted, name);
    } else if size != stored {
        let swapped = if size == [stored[1], stored[0]] { ": width and height exchanged" } else { "" };
        data.faults.add("images are of another size than their entry says", Refused, told + swapped);
    }
}

fn named(data: &Coco, a: &Annotation, info: &ImageInfo) -> String {
    let [x, y, w, h] = a.bbox;
    format!("{} [{x}, {y}, {w}, {h}]", data.place(a, info))
}

/// The boxes with their image and its columns and rows.
fn placed(data: &Coco) -> impl Iterator<Item = (&Annotation, &ImageInfo, [f64; 2])> {
    let of = |info: &ImageInfo| info.size.unwrap_or_default().map(|v| v as f64);
    data.images.iter().flat_map(move |i| data.objects(i.id).iter().map(move |a| (a, i, of(i))))
}

/// Is `[x, y, width, height]` inside of an image?
fn inside([x, y, w, h]: [f64; 4], [columns, rows]: [f64; 2]) -> bool {
    x >= -SLACK && y >= -SLACK && x + w <= columns + SLACK && y + h <= rows + SLACK
}

/// Whether most boxes are in other units than x, y, width and height in pixels, which cannot be meant: each
/// is a fault then.
fn units(data: &mut Coco) -> bool {
    let n = data.objects.len();
    let part = |b: [f64; 4], [w, h]: [f64; 2]| b.iter().all(|v| (0.0..=1.0).contains(v)) && w.max(h) > 2.0;
    // As x, y, width, height it reaches beyond its image; as corners it does not.
    let corners = |b: [f64; 4], size| {
        let [x1, y1, x2, y2] = b;
        !inside(b, size) && x2 > x1 && y2 > y1 && inside([x1, y1, x2 - x1, y2 - y1], size)
    };
    let named = |is: &dyn Fn([f64; 4], [f64; 2]) -> bool| -> Vec<String> {
        let found = placed(data).filter(|&(a, _, size)| is(a.bbox, size));
        found.map(|(a, info, _)| named(data, a, info)).collect()
    };
    let parts = "boxes are in parts of the image (0 to 1), where x, y, width, height in pixels are wanted";
    let kinds = [
        (parts, named(&part)),
        ("boxes are corners (x1, y1, x2, y2), where x, y, width, height are wanted", named(&corners)),
    ];
    let most = kinds.into_iter().find(|(_, names)| 2 * names.len() > n);
    for (what, name) in most.iter().flat_map(|(what, names)| names.iter().map(move |name| (what, name))) {
        data.faults.add(what, Refused, name);
    }
    most.is_some()
}

/// Boxes that are not what they should be, though they may be meant.
fn boxes(data: &mut Coco) {
    let mut found: Vec<(&str, Outcome, String)> = Vec::new();
    for (a, info, size) in placed(data) {
        let [x1, y1, x2, y2] = clamp(a.bbox, size[0] as f32, size[1] as f32);
        let mut add = |what, outcome| found.push((what, outcome, named(data, a, info)));
        if a.bbox[2] <= 0.0 || a.bbox[3] <= 0.0 {
            add("boxes have no width or no height, and are not learned", LeftOut);
        } else if is_empty([x1, y1, x2, y2]) {
            add("boxes lie outside of their image, and are not learned", LeftOut);
        } else {
            if !inside(a.bbox, size) {
                add("boxes reach beyond their image, and are cut there", Mended);
            }
            if x2 - x1 < 1.0 || y2 - y1 < 1.0 {
                add("boxes are below one pixel wide or high", Noted);
            }
        }
    }
    found.into_iter().for_each(|(what, outcome, name)| data.faults.add(what, outcome, name));
}

/// Masks that do not fit their image are left out; those without a pixel are noted.
fn masks(data: &mut Coco) {
    let draw = |(a, info, [w, h]): (&Annotation, &ImageInfo, [f64; 2])| {
        let place = || data.place(a, info);
        match a.segmentation.mask(h as u64, w as u64) {
            Err(e) => Some((true, format!("{}: {e}", place()))),
            Ok(Some(mask)) if mask.area() == 0 => Some((false, place())),
            Ok(_) => None,
        }
    };
    let items: Vec<_> = placed(data).collect();
    let found: Vec<_> = items.into_par_iter().map(draw).collect();
    for (k, (bad, name)) in found.into_iter().enumerate().filter_map(|(k, f)| Some((k, f?))) {
        if bad {
            data.objects[k].segmentation = Segmentation::None;
            data.faults.add(BAD_MASK, LeftOut, name);
        } else {
            data.faults.add("masks have no pixel inside", Noted, name);
        }
    }
}

/// Is there anything to learn from?
fn whole(data: &mut Coco) {
    let crowd = data.objects.iter().filter(|a| a.crowd).count();
    let learned = data.images.iter().flat_map(|i| data.learned(i)).filter(|(a, _)| !a.crowd).count();
    let n = data.objects.len();
    let [images, classes, objects] = data.form.lists();
    let mut lack = |what: String| data.faults.add(Faults::MISSING, Refused, what);
    if data.images.is_empty() {
        lack(format!("an image ({images} has none that can be read)"));
    }
    if data.classes.is_empty() {
        lack(format!("a category ({classes} is empty)"));
    }
    if learned == 0 {
        let why = match n {
            0 => format!("{objects} has none of these images"),
            _ => format!(
                "of the objects ({n}) crowd regions are {crowd}, and without a box in their image are {}",
                n - crowd
            ),
        };
        lack(format!("an object to learn from ({why})"));
    }
}
