//! What a detector finds in a picture: as a list, as COCO results, and drawn.

use super::detection::{surest, to_coco};
use super::detector_model::DetectorModel;
use crate::error::Result;
use crate::files;
use crate::image::{Filter, Image, Overlay, draw_objects};
use crate::metrics::coco::{Category, Detection};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One object.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// x1, y1, x2, y2 in pixels.
    #[serde(rename = "box")]
    pub bbox: [f32; 4],
    /// A probability.
    pub score: f32,
    /// 1 is the first class.
    pub label: usize,
    /// The class's.
    pub name: String,
}

/// The objects of one image.
#[derive(Clone, Debug, Serialize)]
pub struct FoundIn {
    /// The file.
    pub image: String,
    /// The surest first.
    pub detections: Vec<Found>,
}

impl FoundIn {
    /// What is at least this sure.
    #[must_use]
    pub fn from(&self, score: f32) -> Self {
        let detections = self.detections.iter().filter(|d| d.score >= score).cloned().collect();
        FoundIn { image: self.image.clone(), detections }
    }
}

/// A picture to look at.
pub struct Picture<'a> {
    /// Its file.
    pub path: &'a Path,
    /// What is in it.
    pub image: Image,
    /// Its id in results.
    pub id: i64,
}

/// What a detector finds in a picture: as a list, as COCO results, and drawn, the longer side `side` pixels.
/// Label k's category in results is `categories[k - 1]`.
pub fn find(
    model: &DetectorModel,
    categories: &[Category],
    Picture { path, image, id }: &Picture,
    score: f32,
    side: Option<usize>,
    plain: bool,
) -> Result<(FoundIn, Vec<Detection>, Image)> {
    let (w, h) = (image.width(), image.height());
    let found = surest(&model.detect(image).map_err(|e| e.in_file(path))?, score);
    let results = to_coco(&found, *id, [h, w], categories)?;
    let side = side.unwrap_or(w.max(h));
    let drawn = picture(image, &objects(&results, categories), side, plain);
    let one = |(k, b): (usize, &[f32; 4])| Found {
        bbox: *b,
        score: found.scores[k],
        label: found.labels[k],
        name: model.classes[found.labels[k] - 1].name.clone(),
    };
    let detections = found.boxes.data().as_chunks::<4>().0.iter().enumerate().map(one).collect();
    Ok((FoundIn { image: files::name_of(path), detections }, results, drawn))
}

/// The name of the picture made of a file, different for different ones: its stem, and its place where an
/// earlier file of the list has the same.
pub fn picture_name(paths: &[PathBuf], k: usize) -> String {
    let stem = |p: &Path| p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let own = stem(&paths[k]);
    if paths[..k].iter().any(|p| stem(p) == own) { format!("{own}-{}", k + 1) } else { own }
}

/// The class that an object to draw has a colour of; none where there is but one.
pub fn class(place: usize, classes: &[Category]) -> Option<usize> {
    (classes.len() > 1).then_some(place)
}

/// Detections as objects to draw, with names and scores.
pub fn objects(detections: &[Detection], classes: &[Category]) -> Vec<Overlay> {
    let object = |d: &Detection| {
        let place = classes.iter().position(|c| c.id == d.category);
        let name = place.map_or("?", |k| classes[k].name.as_str());
        let [x, y, w, h] = d.bbox.map(|v| v as f32);
        Overlay {
            bbox: [x, y, x + w, y + h],
            label: format!("{name} {:.2}", d.score),
            mask: d.mask.as_ref().map(|m| m.bitmap()),
            class: class(place.unwrap_or(classes.len()), classes),
        }
    };
    detections.iter().map(object).collect()
}

/// A picture scaled so that its longer side is `side` pixels, and its objects drawn. `plain`: on gray,
/// without the picture.
pub fn picture(image: &Image, objects: &[Overlay], side: usize, plain: bool) -> Image {
    let (w, h) = (image.width(), image.height());
    let scale = side as f32 / w.max(h) as f32;
    let [width, height] = [w, h].map(|v| ((v as f32 * scale).round() as usize).max(1));
    let ground = if plain {
        Image::filled(width, height, [236; 3])
    } else {
        image.resize(width, height, Filter::Bilinear)
    };
    let near = |mask: &Vec<u8>| {
        let at = |i: usize| mask[(i / width * h / height) * w + i % width * w / width];
        (0..width * height).map(at).collect()
    };
    let scaled = |o: &Overlay| Overlay {
        bbox: o.bbox.map(|v| v * scale),
        label: o.label.clone(),
        mask: o.mask.as_ref().map(near),
        class: o.class,
    };
    draw_objects(&ground, &objects.iter().map(scaled).collect::<Vec<_>>())
}
