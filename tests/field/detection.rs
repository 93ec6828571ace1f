//! Reports on detection data, on how detectors are judged, and on what they write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use gradus::data::coco::json::Instances;
use gradus::data::detection::{self, DetectionDataset};
use gradus::data::{Description, Reading};
use gradus::engine::detector_model::metadata;
use gradus::error::Result;
use gradus::image::Image;
use gradus::metrics::coco::{Category, Detection, Kind, evaluate};
use gradus::metrics::rle::Rle;
use gradus_core::{Module, Rng};
use gradus_models::checkpoint::save_module;
use gradus_models::detection::{BackboneKind, Config, Detector};
use serde_json::{Value, json};

/// A folder with images `1.png` to `3.png` of 64 x 48 pixels and `a.json`, which lists them with an object each.
struct Data(tempfile::TempDir);

impl Data {
    /// With something changed.
    fn new(spoil: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("images")).unwrap();
        for i in 1..=3 {
            Image::filled(64, 48, [60 * i, 90, 120])
                .save_png(dir.path().join(format!("images/{i}.png")))
                .unwrap();
        }
        let image = |i| json!({"id": i, "file_name": format!("{i}.png"), "width": 64, "height": 48});
        let object = |i| {
            json!({"id": i, "image_id": i, "category_id": 1, "bbox": [10, 8, 20, 32], "area": 640, "iscrowd": 0,
                "segmentation": [[10, 8, 30, 8, 30, 40, 10, 40]]})
        };
        let mut instances = json!({
            "images": [image(1), image(2), image(3)],
            "annotations": [object(1), object(2), object(3)],
            "categories": [{"id": 1, "name": "person"}],
        });
        spoil(&mut instances);
        fs::write(dir.path().join("a.json"), instances.to_string()).unwrap();
        Data(dir)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn source(&self) -> String {
        format!("{}:{}", self.at("a.json").display(), self.at("images").display())
    }

    fn open(&self) -> Result<Arc<dyn DetectionDataset>> {
        detection::open(&self.source(), Reading::default())
    }

    fn described(&self) -> Description {
        detection::describe(&*self.open().unwrap(), "data", &[])
    }

    /// What is said of it before the first step.
    fn warnings(&self) -> Vec<String> {
        self.described().faults.iter().map(|f| f.to_string()).collect()
    }

    /// Why it is refused.
    fn refusal(&self) -> String {
        self.open().err().expect("it is refused").to_string()
    }

    /// A detector of persons and dogs with random weights that takes everything for a person.
    fn detector(&self) -> PathBuf {
        let config = Config { min_size: 48, max_size: 64, ..Config::new(BackboneKind::MobilenetV2Fpn, 3) };
        let mut net = Detector::<f32>::new(config.clone(), &mut Rng::seed(1));
        net.for_each_param(|name, p| {
            if name == "roi_heads.box_predictor.cls_score.bias" {
                p.value.data_mut().copy_from_slice(&[0.0, 5.0, -20.0]);
            }
        });
        let class = |id, name: &str| Category { id, name: name.into() };
        let about = metadata(&config, &[class(1, "person"), class(2, "dog")], net.backbone.norm_eps());
        save_module(self.at("net.safetensors"), &mut net, &about).unwrap();
        self.at("net.safetensors")
    }

    /// What the detector finds in an image, the surest first: image ids and boxes in results files' form.
    fn found(&self, images: &[PathBuf], more: &[&str]) -> Vec<Value> {
        let (net, out) = (self.detector(), self.at("found"));
        let files: Vec<&str> = images.iter().map(|p| p.to_str().unwrap()).collect();
        let first = ["detect", net.to_str().unwrap(), "-o", out.to_str().unwrap(), "--force", "--score", "0"];
        let run = gradus(&[&first[..], more, &files].concat());
        assert!(run.status.success(), "{}", said(&run));
        serde_json::from_slice(&fs::read(out.join("detections.json")).unwrap()).unwrap()
    }

    /// Makes the first image's surest detections its objects and forgets the other images; box AP is 1 where the detector is judged
    /// rightly.
    fn made_right(&self, category: i64, categories: Value) {
        let mut found = self.found(&[self.at("images/1.png")], &[]);
        found.truncate(3);
        let object = |(k, d): (usize, &Value)| json!({"id": k + 1, "image_id": 1, "category_id": category, "bbox": d["bbox"], "iscrowd": 0});
        let annotations: Vec<Value> = found.iter().enumerate().map(object).collect();
        let images = json!([{"id": 1, "file_name": "1.png", "width": 64, "height": 48}]);
        let instances = json!({"images": images, "annotations": annotations, "categories": categories});
        fs::write(self.at("a.json"), instances.to_string()).unwrap();
    }

    fn evaluated(&self) -> Output {
        gradus(&[
            "evaluate",
            self.at("net.safetensors").to_str().unwrap(),
            "--data",
            &self.source(),
            "--split",
            "all",
            "--json",
        ])
    }

    fn box_ap(&self) -> f64 {
        let out = self.evaluated();
        assert!(out.status.success(), "{}", said(&out));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()["box"][0].as_f64().unwrap()
    }
}

fn gradus(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus")).args(args).output().unwrap()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

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

/// ryouchinsa/Rectlabel-support 241: an export in which every object is a crowd region.
#[test]
fn rectlabel_241_crowd_regions_alone_are_nothing_to_learn_from() {
    let data = Data::new(|v| {
        v["annotations"].as_array_mut().unwrap().iter_mut().for_each(|a| a["iscrowd"] = json!(1))
    });
    assert!(data.refusal().contains("no object to learn from: of 3 objects 3 are crowd regions"));
}

/// facebookresearch/maskrcnn-benchmark 970: the evaluation data number the classes otherwise than the training data.
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

/// facebookresearch/maskrcnn-benchmark 498: a data set without objects is trained on.
#[test]
fn maskrcnn_benchmark_498_a_data_set_without_objects_is_refused() {
    let data = Data::new(|v| v["annotations"] = json!([]));
    assert!(data.refusal().contains("a.json: 1 data set has no object to learn from"), "{}", data.refusal());
    // Nor is there anything to learn where they are all in images to test on.
    let data = Data::new(|v| {
        v["annotations"].as_array_mut().unwrap().truncate(1);
    });
    for (split, says) in
        [("every:3", "the 1 test images hold no object"), ("last:2", "the 2 test images hold no object")]
    {
        let run = data.at("run");
        let args = [
            "train",
            "detector",
            "--data",
            &data.source(),
            "--test-split",
            split,
            "--out",
            run.to_str().unwrap(),
        ];
        let out = gradus(&args);
        assert!(out.status.code() == Some(2) && said(&out).contains(says), "{}", said(&out));
    }
}

/// v7labs/darwin-py 1173: an export without categories.
#[test]
fn darwin_py_1173_a_data_set_without_categories_is_refused() {
    let data = Data::new(|v| {
        v["categories"] = json!([]);
        v["annotations"] = json!([]);
    });
    assert!(data.refusal().contains("1 data set has no category"));
    let data = Data::new(|v| v["categories"] = json!([]));
    assert!(data.refusal().contains("3 annotations are of categories that are not listed"));
}

/// encord-team/encord-active 534: boxes in parts of the image.
#[test]
fn encord_active_534_boxes_in_0_to_1_are_refused() {
    let data = Data::new(|v| {
        v["annotations"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|a| a["bbox"] = json!([0.2, 0.1, 0.3, 0.7]));
    });
    assert!(data.refusal().contains("3 boxes are in parts of the image (0 to 1), where pixels are wanted"));
}

/// tensorpack/tensorpack 1041: a polygon of four numbers ends the reading of data whose boxes are wanted.
#[test]
fn tensorpack_1041_a_polygon_of_four_numbers_hinders_no_box() {
    let data = Data::new(|v| v["annotations"][1]["segmentation"] = json!([[10, 8, 30, 8]]));
    assert_eq!(data.open().unwrap().load(1).unwrap().boxes, [[10.0, 8.0, 30.0, 40.0]]);
    let want = "1 annotations have polygons of up to four numbers, which enclose nothing (left out): annotation 2 (image 2)";
    assert_eq!(data.warnings(), [want]);
}

/// pytorch/vision 2240: of many degenerate boxes the first alone is named, a run each.
#[test]
fn vision_2240_the_first_ten_bad_boxes_are_named_and_all_counted() {
    let data = Data::new(|v| {
        let mut bad = v["annotations"][0].clone();
        bad["bbox"] = json!([10, 8, 0, 32]);
        for id in 4..=15 {
            bad["id"] = json!(id);
            v["annotations"].as_array_mut().unwrap().push(bad.clone());
        }
    });
    let [warning] = &data.warnings()[..] else { panic!("{:?}", data.warnings()) };
    assert!(
        warning.starts_with(
            "12 boxes have no width or no height, and are not learned (left out): annotation 4 "
        )
    );
    assert!(
        warning.contains("annotation 13 (image 1, 1.png)") && warning.ends_with(" and 2 more"),
        "{warning}"
    );
    assert_eq!(data.open().unwrap().load(0).unwrap().boxes.len(), 1);
}

/// cvat-ai/cvat 9460: run lengths that do not fit their image.
#[test]
fn cvat_9460_bad_run_lengths_are_told_with_their_annotation_when_the_data_are_opened() {
    for (counts, says) in [
        (json!([0, 3073]), "annotation 2 (image 2): mask runs beyond the image's 3072 pixels (64 x 48)"),
        (json!("4 "), "annotation 2 (image 2): byte 32 in a compressed mask"),
    ] {
        let data =
            Data::new(|v| v["annotations"][1]["segmentation"] = json!({"size": [48, 64], "counts": counts}));
        let want = format!("1 masks cannot be read (left out): {says}");
        assert_eq!(data.warnings(), [&want[..]]);
        // Boxes are learned all the same; masks are not.
        let run = data.at("run");
        let out = gradus(&[
            "train",
            "detector",
            "--model",
            "maskrcnn",
            "--data",
            &data.source(),
            "--test-split",
            "last:1",
            "--out",
            run.to_str().unwrap(),
        ]);
        let refused = "1 objects have no mask: annotation 2 (image 2, 2.png)";
        assert!(out.status.code() == Some(2) && said(&out).contains(refused), "{}", said(&out));
    }
    let other =
        Data::new(|v| v["annotations"][1]["segmentation"] = json!({"size": [4, 4], "counts": [0, 16]}));
    let want = "annotation 2 (image 2, 2.png): a mask of 4 x 4 pixels in an image of 64 x 48";
    assert!(other.warnings()[0].ends_with(want), "{:?}", other.warnings());
}

/// waspinator/pycococreator 18: polygons that enclose no pixel, found in the middle of a training.
#[test]
fn pycococreator_18_masks_without_a_pixel_are_told_when_the_data_are_opened() {
    let data = Data::new(|v| v["annotations"][2]["segmentation"] = json!([[10, 8, 10.1, 8, 10.1, 8.1]]));
    assert_eq!(data.warnings(), ["1 masks have no pixel inside: annotation 3 (image 3, 3.png)"]);
    let data = Data::new(|v| v["annotations"][2]["segmentation"] = json!([[]]));
    assert!(data.warnings()[0].contains("enclose nothing (left out): annotation 3 (image 3)"));
}

/// A PNG file with EXIF's orientation.
fn turned(path: &Path, orientation: u8) {
    let png = fs::read(path).unwrap();
    let tiff =
        [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation, 0, 0, 0], &[0; 4]].concat();
    let body = [&b"eXIf"[..], &tiff].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let parts = [&png[..33], &(tiff.len() as u32).to_be_bytes(), &body, &crc.sum().to_be_bytes(), &png[33..]];
    fs::write(path, parts.concat()).unwrap();
}

/// facebookresearch/detectron2 788: EXIF turns images and not their boxes, or sizes differ without a word on why.
#[test]
fn detectron2_788_orientations_are_said_and_boxes_stay_on_their_objects() {
    // Half red, half green: the object is the red half as stored.
    let two = Image::from_u8(
        64,
        48,
        3,
        (0..64 * 48).flat_map(|p| if p % 64 < 32 { [255, 0, 0] } else { [0, 255, 0] }).collect(),
    );
    let on_red = |data: &Data| {
        let sample = data.open().unwrap().load(0).unwrap();
        let [x1, y1, x2, y2] = sample.boxes[0].map(|v| v as usize);
        assert_eq!((x2 - x1) * (y2 - y1), 32 * 48);
        (x1..x2).all(|x| (y1..y2).all(|y| sample.image.pixel(x, y) == [255, 0, 0]))
    };
    for orientation in 2..=8 {
        let data = Data::new(|v| v["annotations"][0]["bbox"] = json!([0, 0, 32, 48]));
        two.save_png(data.at("images/1.png")).unwrap();
        turned(&data.at("images/1.png"), orientation);
        assert!(on_red(&data), "orientation {orientation}");
        assert!(
            data.warnings()[0].contains("EXIF orientation, which is not applied"),
            "{:?}",
            data.warnings()
        );
    }
    // The entry's size is the upright one: so is the box. 6: what is left as stored is up.
    let data = Data::new(|v| {
        v["images"][0] = json!({"id": 1, "file_name": "1.png", "width": 48, "height": 64});
        v["annotations"][0]["bbox"] = json!([0, 0, 48, 32]);
    });
    two.save_png(data.at("images/1.png")).unwrap();
    turned(&data.at("images/1.png"), 6);
    assert!(on_red(&data));
    assert!(data.warnings()[0].contains("EXIF orientation, which is applied"), "{:?}", data.warnings());
    // Exchanged without EXIF.
    let data =
        Data::new(|v| v["images"][0] = json!({"id": 1, "file_name": "1.png", "width": 48, "height": 64}));
    let want = "image 1 (1.png) is 64 x 48 pixels, its entry says 48 x 64: width and height exchanged";
    assert!(data.refusal().contains(want), "{}", data.refusal());
}

/// HumanSignal/label-studio 7294: file names with backslashes.
#[test]
fn label_studio_7294_backslashes_separate_folders() {
    let data = Data::new(|v| v["images"][0]["file_name"] = json!("sub\\1.png"));
    fs::create_dir(data.at("images/sub")).unwrap();
    fs::rename(data.at("images/1.png"), data.at("images/sub/1.png")).unwrap();
    assert_eq!(data.open().unwrap().load(0).unwrap().boxes.len(), 1);
    assert_eq!(data.warnings(), ["1 file names have \\, which is taken as / (mended): sub\\1.png"]);
}

/// roboflow/supervision 205: a polygon where a list of polygons belongs.
#[test]
fn supervision_205_a_flat_polygon_is_taken_as_one_and_other_forms_are_told_in_the_fields_words() {
    let data = Data::new(|v| v["annotations"][0]["segmentation"] = json!([10, 8, 30, 8, 30, 40, 10, 40]));
    assert_eq!(data.open().unwrap().load(0).unwrap().masks[0].as_ref().unwrap().area(), 640);
    assert!(data.warnings()[0].starts_with("1 `segmentation` are a list of numbers, not a list of polygons"));
    let data = Data::new(|v| v["annotations"][0]["segmentation"] = json!("polygon"));
    let want =
        "annotation 1 (image 1): `segmentation` must be polygons (a list of lists of numbers) or run lengths";
    assert!(data.warnings()[0].contains(want), "{:?}", data.warnings());
}

/// roboflow/rf-detr 487: one picture that ends early ends a training late.
#[test]
fn rf_detr_487_a_picture_that_ends_early_is_seen_at_once_and_can_be_skipped() {
    let data = Data::new(|_| {});
    let bytes = fs::read(data.at("images/3.png")).unwrap();
    fs::write(data.at("images/3.png"), &bytes[..bytes.len() / 2]).unwrap();
    let error = data.refusal();
    assert!(error.contains("1 images cannot be read: image 3 (3.png): ends early"), "{error}");
    let skip = Reading { skip_bad: true, ..Reading::default() };
    let left = detection::open(&data.source(), skip).unwrap();
    assert_eq!((left.len(), left.name(0), left.name(1)), (2, "1.png".into(), "2.png".into()));
    assert!(left.faults().iter().any(|f| f.to_string().contains("(left out): image 3 (3.png)")));
    // In pictures to detect in, the others do not suffer.
    let images = ["images/1.png", "images/3.png", "images/2.png"].map(|p| data.at(p).display().to_string());
    let (net, out) = (data.detector(), data.at("found"));
    let run = gradus(&[
        "detect",
        net.to_str().unwrap(),
        &images[0],
        &images[1],
        &images[2],
        "-o",
        out.to_str().unwrap(),
        "--json",
    ]);
    assert!(run.status.code() == Some(2) && said(&run).contains("3.png: ends early"), "{}", said(&run));
    let listed: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(out.join("2.png").is_file() && out.join("detections.json").is_file());
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

/// Damage between a picture's ends shows only where it is decoded: in the images to test on before the first epoch, and in all
/// of them under `--strict`.
#[test]
fn damaged_images_to_test_on_are_told_before_the_first_epoch() {
    let data = Data::new(|_| {});
    for i in [2, 3] {
        let path = data.at(&format!("images/{i}.png"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[45] ^= 0x55;
        fs::write(path, bytes).unwrap();
    }
    assert!(data.open().is_ok());
    let strict = detection::open(&data.source(), Reading { strict: true, skip_bad: false });
    assert!(strict.err().unwrap().to_string().contains("is a damaged"));
    let run = data.at("run");
    let run = run.to_str().unwrap();
    let out =
        gradus(&["train", "detector", "--data", &data.source(), "--test-split", "last:2", "--out", run]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(
        ["2.png: is a damaged", "3.png: is a damaged"].iter().all(|w| said(&out).contains(w)),
        "{}",
        said(&out)
    );
    assert!(!Path::new(run).exists(), "a run was begun");
}
