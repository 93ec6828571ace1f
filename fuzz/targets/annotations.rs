//! COCO's JSON, run lengths and polygons.
//!
//! A mask's area is the number of its pixels; unions, intersections and boxes are those of the pixels; what
//! is written as a string, or as a results file, is read back equal.

use super::bytes::Bytes;
use gradus::data::coco::json::{ImageName, Instances, Segmentation, results_to_json};
use gradus::metrics::coco::{Kind, evaluate};
use gradus::metrics::rle::{MAX_PIXELS, Rle};
use std::sync::LazyLock;

/// Bitmaps are compared pixel by pixel up to so many.
const FEW: usize = 1 << 12;

/// What is true of every mask.
fn sound(mask: &Rle) {
    let (height, width) = (mask.height() as u64, mask.width() as u64);
    let counts: Vec<i64> = mask.counts().iter().map(|&c| c.into()).collect();
    assert_eq!(counts.iter().sum::<i64>() as u64, height * width);
    assert!(counts.iter().skip(1).all(|&count| count > 0), "an empty run: {counts:?}");
    assert!(height * width <= MAX_PIXELS && mask.area() <= height * width);
    assert_eq!(*mask, Rle::from_counts(height, width, &counts).unwrap());
    assert_eq!(*mask, Rle::from_compressed(height, width, &mask.compressed()).unwrap());
    assert_eq!(mask.intersection_area(mask), mask.area());
    assert_eq!(*mask, mask.union(mask));
    let [x, y, w, h] = mask.bounding_box();
    assert!(x >= 0.0 && y >= 0.0 && x + w <= width as f64 && y + h <= height as f64);
    if mask.height() * mask.width() <= FEW {
        by_pixels(mask);
    }
}

fn by_pixels(mask: &Rle) {
    let (height, width, bitmap) = (mask.height(), mask.width(), mask.bitmap());
    assert_eq!(bitmap.iter().map(|&p| u64::from(p)).sum::<u64>(), mask.area());
    assert_eq!(*mask, Rle::from_bitmap(height, width, &bitmap).unwrap());
    let inside = || (0..height * width).filter(|&p| bitmap[p] != 0).map(|p| [p % width, p / width]);
    let bounds = |k: usize| {
        let least = inside().map(|at| at[k]).min().unwrap_or(0);
        [least, inside().map(|at| at[k] + 1).max().unwrap_or(0) - least]
    };
    let ([x, w], [y, h]) = (bounds(0), bounds(1));
    assert_eq!(mask.bounding_box(), [x, y, w, h].map(|v| v as f64));
}

/// Sides of a mask: mostly few pixels, sometimes any number.
fn side(bytes: &mut Bytes) -> u64 {
    match bytes.byte() {
        255 => bytes.integer() as u64,
        254 => bytes.u16().into(),
        side => u64::from(side % 48),
    }
}

fn bitmap(bytes: &mut Bytes, pixels: usize) -> Vec<u8> {
    let bits = bytes.take(pixels.div_ceil(8));
    (0..pixels).map(|p| bits.get(p / 8).map_or(0, |b| b >> (p % 8) & 1)).collect()
}

/// Masks in each of their forms.
pub fn run_lengths(data: &[u8]) {
    let mut bytes = Bytes(data);
    let form = bytes.byte() % 4;
    let (height, width) = (side(&mut bytes), side(&mut bytes));
    match form {
        0 => {
            let counts: Vec<i64> =
                std::iter::from_fn(|| (!bytes.is_empty()).then(|| bytes.integer() as i64)).collect();
            if let Ok(mask) = Rle::from_counts(height, width, &counts) {
                sound(&mask);
            }
        }
        1 => {
            let text = String::from_utf8_lossy(bytes.rest());
            if let Ok(mask) = Rle::from_compressed(height, width, &text) {
                sound(&mask);
            }
        }
        2 => two(&mut bytes, height as usize % 48, width as usize % 48),
        _ => labels(&mut bytes, height as usize % 48, width as usize % 48),
    }
}

/// What two masks have together is what their pixels have.
fn two(bytes: &mut Bytes, height: usize, width: usize) {
    let bitmaps = [bitmap(bytes, height * width), bitmap(bytes, height * width)];
    let [a, b] = bitmaps.each_ref().map(|bitmap| Rle::from_bitmap(height, width, bitmap).unwrap());
    let pairs = || bitmaps[0].iter().zip(&bitmaps[1]);
    let either: Vec<u8> = pairs().map(|(a, b)| a | b).collect();
    let both = pairs().map(|(a, b)| u64::from(a & b)).sum::<u64>();
    sound(&a);
    assert_eq!(a.union(&b).bitmap(), either);
    assert_eq!([a.intersection_area(&b), b.intersection_area(&a)], [both; 2]);
    let [iou, of_crowd] = [false, true].map(|crowd| a.iou(&b, crowd));
    assert!((0.0..=1.0).contains(&iou) && (0.0..=1.0).contains(&of_crowd) && iou == b.iou(&a, false));
}

/// Each label of a map has its own pixels.
fn labels(bytes: &mut Bytes, height: usize, width: usize) {
    let labels: Vec<u16> = (0..height * width).map(|_| u16::from(bytes.byte())).collect();
    let masks = Rle::of_labels(height, width, &labels).unwrap();
    assert!(masks.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(
        masks.iter().map(|(_, mask)| mask.area()).sum::<u64>(),
        labels.iter().filter(|&&label| label > 0).count() as u64
    );
    for (label, mask) in &masks {
        let own: Vec<u8> = labels.iter().map(|l| u8::from(l == label)).collect();
        assert_eq!(mask.bitmap(), own);
    }
}

/// A polygon: it fills no more than the box around it, and a box is filled whole.
pub fn polygons(data: &[u8]) {
    let mut bytes = Bytes(data);
    // Each edge may cross each column, which takes memory.
    let (height, width) = (side(&mut bytes), side(&mut bytes) % 1024);
    let polygon: Vec<f64> = std::iter::from_fn(|| (!bytes.is_empty()).then(|| bytes.float())).collect();
    let Ok(mask) = Rle::from_polygon(height, width, &polygon) else { return };
    sound(&mask);
    // Corners are rounded to fifths of a pixel, and a pixel is inside where its middle is.
    let [x, y, w, h] = mask.bounding_box();
    for (k, [from, length]) in [[x, w], [y, h]].into_iter().enumerate() {
        let own = || polygon.chunks_exact(2).map(|corner| corner[k]);
        let (least, most) = (own().fold(f64::MAX, f64::min), own().fold(f64::MIN, f64::max));
        let within = from >= least.floor() - 1.0 && from + length <= most.ceil() + 1.0;
        assert!(within || mask.area() == 0, "{from} and {length} more of {least} to {most}");
    }
    assert_eq!(mask, Rle::from_polygons(height, width, &[polygon.clone(), vec![]]).unwrap());
    if let &[x, y, w, h] = &polygon[..]
        && let Ok(mask) = Rle::from_box(height, width, [x, y, w, h])
    {
        sound(&mask);
    }
}

/// An instances file: its masks fit, and detections that are its own objects are found with nothing missed.
pub fn instances(data: &[u8]) {
    let Ok(instances) = Instances::parse(data) else { return };
    let ids = |mut ids: Vec<i64>| {
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        ids.len() == count
    };
    assert!(ids(instances.images.iter().map(|i| i.id).collect()));
    assert!(ids(instances.categories.iter().map(|c| c.id).collect()));
    assert!(ids(instances.annotations.iter().map(|a| a.id).collect()));
    for annotation in &instances.annotations {
        assert!(annotation.bbox.iter().all(|v| v.is_finite()) && annotation.area.is_finite());
        assert!(instances.images.iter().any(|i| i.id == annotation.image));
        if let Segmentation::Rle(mask) = &annotation.segmentation {
            sound(mask);
        }
    }
    let Ok(truth) = instances.ground_truth(true) else { return };
    for kind in [Kind::Box, Kind::Mask] {
        let evaluation = evaluate(&truth, &[], kind).unwrap();
        assert!(evaluation.stats.iter().all(|&v| v == 0.0 || v == -1.0), "{:?}", evaluation.stats);
    }
}

static INSTANCES: LazyLock<Instances> = LazyLock::new(|| {
    let text = br#"{"images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}, {"id": "b"}, {"id": 3,
        "width": 4096, "height": 4096}], "categories": [{"id": 1, "name": "person"}, {"id": 7}], "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 3], "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]]},
        {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 8, 6], "iscrowd": 1,
         "segmentation": {"size": [6, 8], "counts": [0, 48]}},
        {"id": 3, "image_id": "b", "category_id": 7, "bbox": [0, 0, 40, 40]}]}"#;
    Instances::parse(text).unwrap()
});

/// A results file: written again it is read back equal, and its measures are measures.
pub fn results(data: &[u8]) {
    let Ok(detections) = INSTANCES.parse_results(data) else { return };
    detections.iter().filter_map(|d| d.mask.as_ref()).for_each(sound);
    let text = INSTANCES.images.iter().find_map(|i| i.text_id.as_ref().map(|text| (i.id, text.clone())));
    let name = |id: i64| match &text {
        Some((own, text)) if *own == id => ImageName { id: text.clone().into(), file: None },
        _ => id.into(),
    };
    let written = results_to_json(&detections, name);
    // Of a detection with a box and a mask the box alone tells the area.
    let back = INSTANCES.parse_results(written.as_bytes()).unwrap();
    assert_eq!(back, detections, "{written}");
    let truth = INSTANCES.ground_truth(true).unwrap();
    for kind in [Kind::Box, Kind::Mask] {
        let Ok(evaluation) = evaluate(&truth, &detections, kind) else { continue };
        let measure = |v: &f64| *v == -1.0 || (0.0..=1.0).contains(v);
        assert!(evaluation.stats.iter().all(measure), "{:?}", evaluation.stats);
    }
}
