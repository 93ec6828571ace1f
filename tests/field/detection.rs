//! Reports on detection data: what tools write in COCO's format, and what of it can be meant.

use std::fs;
use std::path::Path;

use gradus::image::Image;
use serde_json::json;

use crate::common::{Data, gradus, said};

/// ryouchinsa/Rectlabel-support 241: an export in which every object is a crowd region.
#[test]
fn rectlabel_241_crowd_regions_alone_are_nothing_to_learn_from() {
    let data = Data::new(|v| {
        v["annotations"].as_array_mut().unwrap().iter_mut().for_each(|a| a["iscrowd"] = json!(1))
    });
    assert!(data.refusal().contains("an object to learn from (of the objects (3) crowd regions are 3, and"));
}

/// facebookresearch/maskrcnn-benchmark 498: a data set without objects is trained on.
#[test]
fn maskrcnn_benchmark_498_a_data_set_without_objects_is_refused() {
    let data = Data::new(|v| v["annotations"] = json!([]));
    assert!(
        data.refusal().contains("a.json: needed things are missing (1): an object to learn from"),
        "{}",
        data.refusal()
    );
    // Nor is there anything to learn where they are all in images to test on.
    let data = Data::new(|v| {
        v["annotations"].as_array_mut().unwrap().truncate(1);
    });
    for (split, says) in
        [("every:3", "the test images (1) hold no object"), ("last:2", "the test images (2) hold no object")]
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
    assert!(data.refusal().contains("needed things are missing (2): a category"));
    let data = Data::new(|v| v["categories"] = json!([]));
    assert!(data.refusal().contains("annotations are of categories that are not listed (3)"));
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
    assert!(data.refusal().contains(
        "boxes are in parts of the image (0 to 1), where x, y, width, height in pixels are wanted (3)"
    ));
}

/// tensorpack/tensorpack 1041: a polygon of four numbers ends the reading of data whose boxes are wanted.
#[test]
fn tensorpack_1041_a_polygon_of_four_numbers_hinders_no_box() {
    let data = Data::new(|v| v["annotations"][1]["segmentation"] = json!([[10, 8, 30, 8]]));
    assert_eq!(data.open().unwrap().load(1).unwrap().objects[0].bbox, [10.0, 8.0, 30.0, 40.0]);
    let want = "annotations have polygons of up to four numbers, which enclose nothing (1 left out): annotation 2 (image 2)";
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
            "boxes have no width or no height, and are not learned (12 left out): annotation 4 "
        )
    );
    assert!(
        warning.contains("annotation 13 (image 1, 1.png)") && warning.ends_with(" and 2 more"),
        "{warning}"
    );
    assert_eq!(data.open().unwrap().load(0).unwrap().objects.len(), 1);
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
        let want = format!("masks cannot be read (1 left out): {says}");
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
        let refused = "objects have no mask (1): annotation 2 (image 2, 2.png)";
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
    assert_eq!(data.warnings(), ["masks have no pixel inside (1): annotation 3 (image 3, 3.png)"]);
    let data = Data::new(|v| v["annotations"][2]["segmentation"] = json!([[]]));
    assert!(data.warnings()[0].contains("enclose nothing (1 left out): annotation 3 (image 3)"));
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

/// facebookresearch/detectron2 788: EXIF turns images and not their boxes, or sizes differ without a word on
/// why.
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
        let [x1, y1, x2, y2] = sample.objects[0].bbox.map(|v| v as usize);
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
    assert_eq!(data.open().unwrap().load(0).unwrap().objects.len(), 1);
    assert_eq!(data.warnings(), ["file names have \\, which is taken as / (1 mended): sub\\1.png"]);
}

/// roboflow/supervision 205: a polygon where a list of polygons belongs.
#[test]
fn supervision_205_a_flat_polygon_is_taken_as_one_and_other_forms_are_told_in_the_fields_words() {
    let data = Data::new(|v| v["annotations"][0]["segmentation"] = json!([10, 8, 30, 8, 30, 40, 10, 40]));
    assert_eq!(data.open().unwrap().load(0).unwrap().objects[0].mask.as_ref().unwrap().area(), 640);
    assert!(data.warnings()[0].starts_with("`segmentation` are a list of numbers, not a list of polygons"));
    let data = Data::new(|v| v["annotations"][0]["segmentation"] = json!("polygon"));
    let want =
        "annotation 1 (image 1): `segmentation` must be polygons (a list of lists of numbers) or run lengths";
    assert!(data.warnings()[0].contains(want), "{:?}", data.warnings());
}
