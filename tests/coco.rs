//! COCO's 24 numbers against pycocotools': on toys with crowd regions, objects without a mask, images without
//! objects and ids from 0, and (with the feature `real-data`) on photos of people. What pycocotools says is
//! made by tests/reference/coco.py.

use gradus::data::coco::json::Instances;
use gradus::metrics::coco::{Detection, GroundTruth, Kind, NAMES, evaluate};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Both sum up to 10 x 101 precisions for each category; in another order, a sum of n terms of at most 1 is
/// off by at most n/2 units of 2^-53, relative to the terms' sum.
const TOLERANCE: f64 = 1e-12;

fn compare(what: &str, truth: &GroundTruth, detections: &[Detection], kind: Kind, expected: &Value) {
    let got = evaluate(truth, detections, kind).unwrap().stats;
    for (k, name) in NAMES.iter().enumerate() {
        let want = expected[k].as_f64().unwrap();
        assert!((got[k] - want).abs() <= TOLERANCE, "{what}, {kind:?} {name}: {}, not {want}", got[k]);
    }
}

#[test]
fn toys_have_pycocotools_numbers() {
    let toys: Vec<Value> = serde_json::from_str(include_str!("coco/toys.json")).unwrap();
    assert_eq!(toys.len(), 20);
    let (mut crowd, mut bare, mut zero) = (0, 0, 0);
    for (k, toy) in toys.iter().enumerate() {
        let instances = Instances::parse(toy["instances"].to_string().as_bytes()).unwrap();
        for a in toy["instances"]["annotations"].as_array().unwrap() {
            crowd += usize::from(a["iscrowd"] == 1);
            bare += usize::from(a["segmentation"].as_array().is_none_or(Vec::is_empty) && a["iscrowd"] == 0);
            zero += usize::from(a["id"] == 0);
        }
        for (kind, found, want) in [(Kind::Box, "boxes", "box"), (Kind::Mask, "masks", "mask")] {
            let detections = instances.parse_results(toy[found].to_string().as_bytes()).unwrap();
            let truth = instances.ground_truth(kind == Kind::Mask).unwrap();
            compare(&format!("toy {k}"), &truth, &detections, kind, &toy[want]);
        }
    }
    assert!(
        crowd > 20 && bare > 40 && zero > 3,
        "{crowd} crowd regions, {bare} without a mask, {zero} of id 0"
    );
}

/// What `gradus evaluate --detections` prints.
fn judged(results: &Path, annotations: &Path) -> Value {
    let out = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["evaluate", "--json", "--detections"])
        .arg(results)
        .arg("--data")
        .arg(annotations)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn results_are_judged_without_a_network() {
    let toys: Vec<Value> = serde_json::from_str(include_str!("coco/toys.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    for toy in &toys[..4] {
        let annotations = write("instances.json", &toy["instances"]);
        let boxes = judged(&write("boxes.json", &toy["boxes"]), &annotations);
        let masks = judged(&write("masks.json", &toy["masks"]), &annotations);
        for (got, want) in [(&boxes["box"], &toy["box"]), (&masks["mask"], &toy["mask"])] {
            for k in 0..12 {
                let [got, want] = [got, want].map(|numbers| numbers[k].as_f64().unwrap());
                assert!((got - want).abs() <= TOLERANCE, "{k}: {got}, not {want}");
            }
        }
        assert_eq!(boxes["mask"], Value::Null);
        let classes = boxes["classes"].as_array().unwrap();
        assert_eq!(classes.len(), toy["instances"]["categories"].as_array().unwrap().len());
    }
}

#[cfg(feature = "real-data")]
#[test]
fn the_golden_cases_are_judged_as_pycocotools_judges_them() {
    let data = std::env::var("GRADUS_TEST_DATA").expect("GRADUS_TEST_DATA names the folder of the data");
    let cases = Path::new(&data).join("golden/coco_eval");
    let mut compared = 0;
    for case in std::fs::read_dir(&cases).unwrap() {
        let case = case.unwrap().path();
        let expected: Value =
            serde_json::from_slice(&std::fs::read(case.join("expected.json")).unwrap()).unwrap();
        for (results, own, theirs) in [("dt_bbox.json", "box", "bbox"), ("dt_segm.json", "mask", "segm")] {
            let got = judged(&case.join(results), &case.join("gt.json"));
            // Of no detections nobody can tell whether they have masks.
            if got["detections"] == 0 && own == "mask" {
                continue;
            }
            for (k, name) in NAMES.iter().enumerate() {
                let want = expected[theirs]["stats"][*name].as_f64().unwrap();
                let got = got[own][k].as_f64().unwrap();
                assert!(
                    (got - want).abs() <= TOLERANCE,
                    "{} {own} {name}: {got}, not {want}",
                    case.display()
                );
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 9);
}

#[cfg(feature = "real-data")]
mod people {
    use super::*;
    use gradus::data::coco::{Coco, json::Segmentation};
    use gradus::data::detection::DetectionDataset;
    use gradus::data::{Images, Reading};
    use gradus::metrics::rle::Rle;
    use std::path::PathBuf;

    /// Knuth's linear congruential generator: the upper 24 bits as a number in 0..1.
    struct Numbers(u64);

    impl Numbers {
        fn draw<const N: usize>(&mut self) -> [f64; N] {
            std::array::from_fn(|_| {
                self.0 =
                    self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 40) as f64 / f64::from(1 << 24)
            })
        }
    }

    /// What `detections` of tests/reference/coco.py makes of the annotations, term by term: boxes, and masks.
    fn detections(instances: &Instances, seed: u64) -> [Vec<Detection>; 2] {
        let mut numbers = Numbers(seed);
        let [mut boxes, mut masks] = [Vec::new(), Vec::new()];
        let categories: Vec<i64> = instances.categories.iter().map(|c| c.id).collect();
        let category = |u: f64| categories[(u * categories.len() as f64) as usize];
        let mut emit = |image: i64, category, score, b: [f64; 4], polygons: Option<&Vec<Vec<f64>>>| {
            let info = instances.images.iter().find(|i| i.id == image).unwrap();
            let [w, h] = info.size.unwrap();
            let mask = match polygons {
                Some(polygons) => Rle::from_polygons(h, w, polygons),
                None => Rle::from_box(h, w, b),
            };
            boxes.push(Detection::of_box(image, category, score, b));
            masks.push(Detection::of_mask(image, category, score, mask.unwrap()));
        };
        for a in &instances.annotations {
            let d: [f64; 8] = numbers.draw();
            if d[0] < 0.2 {
                continue;
            }
            let [x, y, w, h] = a.bbox;
            let b = [
                x + (d[1] - 0.5) * 0.3 * w,
                y + (d[2] - 0.5) * 0.3 * h,
                w * (0.8 + 0.4 * d[3]),
                h * (0.8 + 0.4 * d[4]),
            ];
            let category = if d[5] < 0.85 { a.category } else { category(d[6]) };
            let score = (d[6] * 50.0).floor() / 50.0;
            let moved = |p: &Vec<f64>| {
                let at = |(i, v): (usize, &f64)| {
                    b[i % 2] + (v - a.bbox[i % 2]) * (b[2 + i % 2] / a.bbox[2 + i % 2])
                };
                p.iter().enumerate().map(at).collect()
            };
            let polygons: Option<Vec<Vec<f64>>> = match &a.segmentation {
                Segmentation::Polygons(polygons) => Some(polygons.iter().map(moved).collect()),
                _ => None,
            };
            emit(a.image, category, score, b, polygons.as_ref());
            if d[7] < 0.2 {
                emit(a.image, category, score * 0.5, b, polygons.as_ref());
            }
        }
        for info in &instances.images {
            let [w, h] = info.size.unwrap().map(|v| v as f64);
            for _ in 0..3 {
                let d: [f64; 6] = numbers.draw();
                let b = [d[0] * w * 0.7, d[1] * h * 0.7, 5.0 + d[2] * w * 0.3, 5.0 + d[3] * h * 0.3];
                emit(info.id, category(d[4]), (d[5] * 50.0).floor() / 100.0, b, None);
            }
        }
        [boxes, masks]
    }

    #[test]
    fn people_have_pycocotools_numbers() {
        let root =
            std::env::var_os("GRADUS_TEST_DATA").expect("GRADUS_TEST_DATA names the folder of test data");
        let folder = PathBuf::from(root).join("data/coco-people");
        let figures: Value = serde_json::from_str(include_str!("coco/people.json")).unwrap();
        for split in ["train", "val"] {
            let file = folder.join(format!("annotations/instances_{split}.json"));
            let [boxes, masks] = detections(&Instances::read(&file).unwrap(), 7);
            assert_eq!(figures[split]["detections"], boxes.len());
            let data = Coco::open(&file, &folder.join("images").join(split), Reading::default()).unwrap();
            let truth = data.ground_truth(&(0..data.len()).collect::<Vec<_>>()).unwrap();
            compare(split, &truth, &boxes, Kind::Box, &figures[split]["box"]);
            compare(split, &truth, &masks, Kind::Mask, &figures[split]["mask"]);
        }
    }
}
