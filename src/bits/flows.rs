//! What flows into a training and out of it: pictures, data that is drawn, augmentation, the evaluation, and
//! the numbers that the lessons and the report print.

use super::case::{Case, whole};
use super::digest::Digester;
use super::draw;
use crate::analysis::{Pca, tsne};
use crate::data::{Augmentation, Dataset, Normalise, Scenes, SyntheticShapes, Transform};
use crate::image::{Filter, Image, Limits, Samples};
use crate::lessons::descent::{DescentReport, Method, descend};
use crate::lessons::filtering::{Shown, filter};
use crate::lessons::filters::{Border, FILTERS};
use crate::lessons::iou::judge;
use crate::lessons::quadratic::Quadratic;
use crate::metrics::coco::{Detection, GroundTruth, Kind, Truth, evaluate};
use gradus_core::Rng;
use gradus_models::detection::boxes::Metric;

pub(super) fn cases() -> Vec<Case> {
    vec![
        whole("pictures/png", |d| picture(d, &decoded(PNG))),
        whole("pictures/jpeg", |d| picture(d, &decoded(JPEG))),
        whole("pictures/resized", |d| {
            let image = decoded(JPEG);
            for (w, h) in [(31, 40), (75, 20), (160, 117)] {
                [Filter::Nearest, Filter::Bilinear].iter().for_each(|&f| picture(d, &image.resize(w, h, f)));
            }
        }),
        whole("data/shapes", |d| {
            let shapes = SyntheticShapes::with_len(1, 40);
            for i in 0..40 {
                d.number(shapes.label(i));
                picture(d, &shapes.image(i).expect("it is drawn"));
            }
        }),
        whole("data/scenes", scenes),
        whole("data/augmented-small", |d| augmented(d, Transform::CIFAR)),
        whole("data/augmented-large", |d| {
            let augmentation = Augmentation::Large { side: 48, resize: 56 };
            augmented(d, Transform { augmentation, normalise: Normalise::IMAGENET });
        }),
        whole("evaluation/boxes", |d| evaluation(d, Kind::Box)),
        whole("evaluation/masks", |d| evaluation(d, Kind::Mask)),
        whole("lessons/descent", descents),
        whole("lessons/filters", filters),
        whole("lessons/iou", overlaps),
        whole("analysis/pca-and-tsne", planes),
    ]
}

const PNG: &[u8] = include_bytes!("../../assets/camera.png");
const JPEG: &[u8] = include_bytes!("../../assets/camera.jpg");

fn decoded(bytes: &[u8]) -> Image {
    Image::decode(bytes, &Limits::default()).expect("a picture that the program brings along")
}

fn picture(d: &mut Digester, image: &Image) {
    [image.width(), image.height(), image.channels()].into_iter().for_each(|n| d.number(n));
    match image.samples() {
        Samples::U8(v) => d.bytes(v),
        Samples::U16(v) => v.iter().for_each(|s| d.bytes(&s.to_le_bytes())),
    }
}

/// Each scene's picture, boxes and masks.
fn scenes(d: &mut Digester) {
    let scenes = Scenes::new(1, 4, 96, 72);
    for sample in (0..4).map(|i| scenes.draw(i)) {
        picture(d, &sample.image);
        for object in &sample.objects {
            d.floats(&object.bbox);
            object.mask.iter().for_each(|m| d.text(&m.compressed()));
        }
    }
}

/// Images as they are evaluated, and as some epochs change them.
fn augmented(d: &mut Digester, transform: Transform) {
    let (shapes, photo) = (SyntheticShapes::with_len(1, 4), decoded(JPEG));
    let mut out = vec![0.0; transform.floats()];
    for i in 0..4 {
        for image in [&shapes.image(i).expect("it is drawn"), &photo] {
            transform.evaluate(image, &mut out).expect("it is no strip");
            d.floats(&out);
            for epoch in 0..6 {
                let mut rng = Rng::seed(1).at(epoch).at(i as u64);
                transform.train(image, &mut rng, &mut out).expect("it is no strip");
                d.floats(&out);
            }
        }
    }
}

/// Detections that lie somewhat beside the objects of drawn scenes, judged: the 12 numbers as JSON.
fn evaluation(d: &mut Digester, kind: Kind) {
    let (scenes, mut rng) = (Scenes::new(2, 12, 160, 120), draw::stream("evaluation"));
    let (mut truth, mut found) = (GroundTruth::default(), Vec::new());
    for i in 0..12 {
        let (sample, image) = (scenes.draw(i), i as i64);
        truth.images.push(image);
        for object in sample.objects {
            let [x1, y1, x2, y2] = object.bbox.map(f64::from);
            let [w, h] = [x2 - x1, y2 - y1];
            let mut off = |length: f64| length * rng.range(-0.15, 0.15);
            let bbox = [x1 + off(w), y1 + off(h), w + off(w), h + off(h)];
            let score = rng.f64();
            let detection = Detection::of_box(image, 1, score, bbox);
            let (id, crowd) = (truth.truths.len() as i64 + 1, object.crowd);
            found.extend(object.mask.clone().map(|mask| detection.with_mask(mask)));
            let (bbox, area, mask) = ([x1, y1, w, h], object.area, object.mask);
            truth.truths.push(Truth { id, image, category: 1, bbox, area, crowd, mask });
        }
    }
    truth.categories = vec![crate::metrics::coco::Category { id: 1, name: "person".into() }];
    let judged = evaluate(&truth, &found, kind).expect("boxes and masks of these images");
    d.doubles(&judged.stats);
    d.text(&json(&judged.stats));
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("numbers and names")
}

fn descents(d: &mut Digester) {
    for (a, b) in [(1.0, 10.0), (0.3, 7.0), (-1.0, 2.0)] {
        let q = Quadratic::new(vec![a, b]);
        for (_, method) in Method::NAMED {
            let (report, path) = descend(&q, method.rule(0.07), [1.0, -2.0], Some(60));
            // How it is put into words is no result.
            d.text(&json(&DescentReport { reason: String::new(), ..report }));
            path.iter().for_each(|w| d.doubles(w));
        }
    }
}

fn filters(d: &mut Digester) {
    let photo = decoded(PNG).crop(150, 40, 61, 47);
    for f in &FILTERS {
        let filtered = filter(f, &photo, Border::Reflect, Shown::Signed);
        d.doubles(&[filtered.min, filtered.max]);
        picture(d, &filtered.image);
    }
}

fn overlaps(d: &mut Digester) {
    let mut rng = draw::stream("lessons/iou");
    for _ in 0..50 {
        let mut bbox = || {
            let [x, y] = [0; 2].map(|_| rng.range(0.0, 4.0));
            [x, y, x + rng.range(0.5, 3.0), y + rng.range(0.5, 3.0)]
        };
        let (a, b) = (bbox(), bbox());
        Metric::ALL.iter().for_each(|&metric| d.text(&json(&judge(metric, &a, &b))));
    }
}

/// Points in the plane, as a report shows them.
fn planes(d: &mut Digester) {
    let x = draw::tensor(&[40, 24], &mut draw::stream("analysis"));
    let pca = Pca::fit(&x, 2);
    d.doubles(&pca.variances);
    d.tensor(&pca.project(&x));
    let settings = tsne::Settings { perplexity: 8.0, iterations: 60, exaggerated: 20, ..Default::default() };
    d.tensor(&tsne::embed(&x, &settings, |_| {}));
}
