//! Reports on how detectors are judged, and on what they write.

use std::fs;
use std::path::PathBuf;

use gradus::data::coco::json::Instances;
use gradus::metrics::coco::{Detection, Kind, evaluate};
use gradus::metrics::rle::Rle;
use serde_json::{Value, json};

use crate::common::{Data, gradus, said};

/// cocodataset/cocoapi 600: results on annotations without masks.
#[test]
fn cocoapi_600_boxes_alone_are_judged() {
    let data = Data::new(|_| {});
    data.made_right(1, json!([{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]));
    assert!((data.box_ap() - 1.0).abs() < 1e-9);
}

/// ryouchinsa/Rectlabel-support 250: COCO files of boxes, whose every AP is -1. No object has a mask.
#[test]
fn rectlabel_250_no_box_is_ignored_for_want_of_a_mask() {
    let data = Data::new(|v| {
        v["annotations"].as_array_mut().unwrap().iter_mut().for_each(|a| a["segmentation"] = json!([]));
    });
    let truth = data.open().unwrap().ground_truth(&[0, 1, 2]).unwrap();
    let found: Vec<Detection> =
        [1, 2].map(|i| Detection::of_box(i, 1, 0.5, [10.0, 8.0, 20.0, 32.0])).to_vec();
    let stats = evaluate(&truth, &found, Kind::Box).unwrap().stats;
    // Two of three are found: precision 1 up to a recall of 2/3, that is at 67 of 101 recalls.
    assert!((stats[0] - 67.0 / 101.0).abs() < 1e-12 && (stats[8] - 2.0 / 3.0).abs() < 1e-12, "{stats:?}");
}

/// dbolya/yolact 414: some objects have no mask, and box AP comes out too good.
#[test]
fn yolact_414_box_ap_is_of_all_boxes_and_mask_ap_of_what_has_masks() {
    let data = Data::new(|v| v["annotations"][1]["segmentation"] = json!([]));
    let truth = data.open().unwrap().ground_truth(&[0, 1]).unwrap();
    let b = [10.0, 8.0, 20.0, 32.0];
    let mask = Rle::from_box(48, 64, b).unwrap();
    let found = [Detection::of_mask(1, 1, 0.5, mask)];
    let ap = |kind| evaluate(&truth, &found, kind).unwrap().stats[0];
    // One of two boxes, and the one mask there is.
    assert!((ap(Kind::Box) - 51.0 / 101.0).abs() < 1e-12, "{}", ap(Kind::Box));
    assert!((ap(Kind::Mask) - 1.0).abs() < 1e-12, "{}", ap(Kind::Mask));
}

/// facebookresearch/maskrcnn-benchmark 970: the evaluation data number the classes otherwise than the
/// training data.
#[test]
fn maskrcnn_benchmark_970_classes_are_matched_by_name() {
    let data = Data::new(|_| {});
    data.made_right(2, json!([{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]));
    assert!((data.box_ap() - 1.0).abs() < 1e-9);
    // Case and what parts words tell nothing apart, for detectors as for classifiers.
    data.made_right(2, json!([{"id": 1, "name": "Dog"}, {"id": 2, "name": "Person"}]));
    assert!((data.box_ap() - 1.0).abs() < 1e-9);
    data.made_right(2, json!([{"id": 1, "name": "cat"}, {"id": 2, "name": "person"}]));
    let out = data.evaluated();
    assert_eq!(out.status.code(), Some(2));
    assert!(
        said(&out)
            .contains("does not know: cat\n  its classes are cat, person\n  the network's are person, dog"),
        "{}",
        said(&out)
    );
}

/// ultralytics/ultralytics 21557: images of one name in several folders get one id.
#[test]
fn ultralytics_21557_each_image_has_its_own_id_and_its_name() {
    let data = Data::new(|_| {});
    fs::create_dir(data.at("b")).unwrap();
    fs::copy(data.at("images/1.png"), data.at("b/1.png")).unwrap();
    fs::copy(data.at("images/1.png"), data.at("b/x.png")).unwrap();
    let images = ["images/1.png", "images/2.png", "b/1.png", "b/x.png"].map(|p| data.at(p));
    let ids_of = |found: &[Value]| -> Vec<Value> {
        let of = |p: &PathBuf| {
            let own: Vec<&Value> = found
                .iter()
                .filter(|d| d["file_name"] == p.to_str().unwrap())
                .map(|d| &d["image_id"])
                .collect();
            assert!(!own.is_empty() && own.iter().all(|id| **id == *own[0]));
            own[0].clone()
        };
        images.iter().map(of).collect()
    };
    assert_eq!(ids_of(&data.found(&images, &[])), [3, 2, 4, 5]);
    // With a file that lists them, its own; strings, too. Labels are the file's by name.
    let entry = |id: Value, name: &str| json!({"id": id, "file_name": name});
    let listed = [
        entry(json!(7), "images/1.png"),
        entry(json!("two"), "2.png"),
        entry(json!(9), "b/1.png"),
        entry(json!(1), "x.png"),
    ];
    let categories = json!([{"id": 30, "name": "person"}]);
    let instances = json!({"images": listed, "annotations": [], "categories": categories});
    fs::write(data.at("ids.json"), instances.to_string()).unwrap();
    let found = data.found(&images, &["--annotations", data.at("ids.json").to_str().unwrap()]);
    assert_eq!(ids_of(&found), [json!(7), json!("two"), json!(9), json!(1)]);
    assert!(found.iter().all(|d| d["category_id"] == 30));
    // Which reads back as detections in these images.
    let instances = Instances::read(&data.at("ids.json")).unwrap();
    assert_eq!(instances.read_results(&data.at("found/detections.json")).unwrap().len(), found.len());
}

/// Classes that the annotations lack get ids above theirs, and that is said.
#[test]
fn classes_that_the_annotations_lack_have_ids_of_their_own() {
    let data = Data::new(|_| {});
    let instances = json!({"images": [{"id": 1, "file_name": "1.png"}], "annotations": [],
        "categories": [{"id": 30, "name": "dog"}]});
    fs::write(data.at("ids.json"), instances.to_string()).unwrap();
    let (net, out) = (data.detector(), data.at("found"));
    let run = gradus(&[
        "detect",
        net.to_str().unwrap(),
        data.at("images/1.png").to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
        "--score",
        "0",
        "--annotations",
        data.at("ids.json").to_str().unwrap(),
    ]);
    assert!(run.status.success() && said(&run).contains("ids of their own: person 31"), "{}", said(&run));
    let found: Vec<Value> = serde_json::from_slice(&fs::read(out.join("detections.json")).unwrap()).unwrap();
    assert!(!found.is_empty() && found.iter().all(|d| d["category_id"] == 30 || d["category_id"] == 31));
}

/// A picture that cannot be written is no picture that cannot be read.
#[test]
fn detect_fails_where_a_picture_cannot_be_written() {
    let data = Data::new(|_| {});
    let (net, out) = (data.detector(), data.at("found"));
    // A folder stands where the second picture should.
    fs::create_dir_all(out.join("2.png/in the way")).unwrap();
    let images = [1, 2, 3].map(|i| data.at(&format!("images/{i}.png")).display().to_string());
    let first = ["detect", net.to_str().unwrap(), "-o", out.to_str().unwrap(), "--skip-bad"];
    let run = gradus(&[&first[..], &[&images[0], &images[1], &images[2]]].concat());
    assert!(!run.status.success() && said(&run).contains("cannot be written"), "{}", said(&run));
    assert!(!said(&run).contains("cannot be read"), "{}", said(&run));
}

/// Options that would be ignored are refused.
#[test]
fn evaluate_refuses_options_that_say_nothing() {
    let data = Data::new(|_| {});
    let net = data.detector();
    for (more, says) in [
        (["--split", "all", "--test-split", "every:2"], "--split all judges every image"),
        (["--split", "all", "--arch", "cifar"], "--arch is of classifiers"),
    ] {
        let first = ["evaluate", net.to_str().unwrap(), "--data", &data.source()];
        let out = gradus(&[&first[..], &more].concat());
        assert!(out.status.code() == Some(2) && said(&out).contains(says), "{}", said(&out));
    }
}
