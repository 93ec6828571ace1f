use super::*;

/// A folder with `a.json` and images: `a.png` and `sub/b.png` of 6 x 4 pixels.
fn folder(annotations: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("images/sub")).unwrap();
    for name in ["a.png", "sub/b.png"] {
        Image::filled(6, 4, [9; 3]).save_png(dir.path().join("images").join(name)).unwrap();
    }
    std::fs::write(dir.path().join("a.json"), annotations).unwrap();
    dir
}

fn open(dir: &tempfile::TempDir) -> Result<Coco> {
    Coco::open(&dir.path().join("a.json"), &dir.path().join("images"), Reading::default())
}

const GOOD: &str = r#"{
    "images": [{"id": 9, "file_name": "a.png", "width": 6, "height": 4},
               {"id": 2, "file_name": "sub/b.png", "width": 6, "height": 4}],
    "annotations": [
        {"id": 5, "image_id": 9, "category_id": 30, "bbox": [-0.1, 1, 2.1, 2], "area": 3.5, "iscrowd": 0,
         "segmentation": [[0, 1, 2, 1, 2, 3, 0, 3]]},
        {"id": 6, "image_id": 9, "category_id": 4, "bbox": [3, 1, 2, 2], "area": 4, "iscrowd": 1,
         "segmentation": {"size": [4, 6], "counts": [13, 2, 2, 2, 5]}},
        {"id": 7, "image_id": 9, "category_id": 4, "bbox": [4, 3, 2, 1], "segmentation": []}],
    "categories": [{"id": 30, "name": "car"}, {"id": 4, "name": "person"}]
}"#;

fn error_of(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    let dir = folder(&GOOD.replacen(from, to, 1));
    match open(&dir).and_then(|data| data.load(1)) {
        Ok(_) => panic!("{from} -> {to} is accepted"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn images_without_objects_are_kept_and_labels_are_contiguous() {
    let data = open(&folder(GOOD)).unwrap();
    assert_eq!((data.name(0), data.name(1)), ("sub/b.png".to_string(), "a.png".to_string()));
    assert_eq!(data.classes().iter().map(|c| c.id).collect::<Vec<_>>(), [4, 30]);
}

#[test]
fn objects_become_boxes_labels_and_masks() {
    let dir = folder(GOOD);
    let data = open(&dir).unwrap();
    assert!(data.load(0).unwrap().boxes.is_empty());
    let sample = data.load(1).unwrap();
    assert_eq!(sample.image_id, 9);
    assert_eq!(sample.boxes, [[0.0, 1.0, 2.0, 3.0], [3.0, 1.0, 5.0, 3.0], [4.0, 3.0, 6.0, 4.0]]);
    assert_eq!(sample.labels, [2, 1, 1]);
    assert_eq!(sample.crowd, [false, true, false]);
    assert_eq!(sample.areas, [3.5, 4.0, 2.0]);
    assert_eq!(sample.masks.iter().map(Rle::area).collect::<Vec<_>>(), [4, 4, 0]);
    let learnt = sample.without_crowd();
    assert_eq!((learnt.labels, learnt.masks.len(), learnt.areas), (vec![2, 1], 2, vec![3.5, 2.0]));
}

#[test]
fn the_ground_truth_is_the_annotations_own() {
    let dir = folder(GOOD);
    let data = open(&dir).unwrap();
    let truth = data.ground_truth(&[1]).unwrap();
    assert_eq!(truth.images, [9]);
    assert_eq!(truth.truths[0].bbox, [-0.1, 1.0, 2.1, 2.0]);
    assert_eq!(truth.truths.iter().map(|t| t.id).collect::<Vec<_>>(), [5, 6, 7]);
    assert!(data.ground_truth(&[0]).unwrap().truths.is_empty());
}

#[test]
fn mistakes_are_named() {
    let box_of_5 = "[-0.1, 1, 2.1, 2]";
    for (from, to, want) in [
        (box_of_5, "[1, 1, 0, 2]", "annotation 5 (image 9, a.png): box [1, 1, 0, 2] has no width; mend or"),
        (box_of_5, "[1, 1, 2, -2]", "annotation 5 (image 9, a.png): box [1, 1, 2, -2] has no height"),
        (box_of_5, "[6, 1, 2, 2]", "has no area inside of its image of 6 x 4 pixels"),
        (box_of_5, "[1, 1, 1e-9, 2]", "has no area inside"),
        (box_of_5, "[1, 1, NaN, 2]", "annotation 5: (image 9) box [1, 1, NaN, 2]; four finite"),
        ("\"a.png\"", "\"c.png\"", "c.png: is missing: image 9, one of 1 missing of 2; check that"),
        ("\"a.png\"", "\"../images/a.png\"", "image 9: file_name \"../images/a.png\" does not name"),
        ("\"a.png\"", "\"/etc/passwd\"", "image 9: file_name \"/etc/passwd\" does not name"),
        ("\"a.png\"", "\"\"", "image 9: file_name \"\" does not name"),
        ("\"width\": 6, ", "", "image 9 (a.png): no width or height"),
        ("\"height\": 4", "\"height\": 5", "a.png: is 6 x 4 pixels, its entry (image 9) says 6 x 5"),
        ("\"size\": [4, 6]", "\"size\": [6, 4]", "annotation 6 (image 9, a.png): a mask of 4 x 6 pixels"),
    ] {
        let got = error_of(from, to);
        assert!(got.contains(want), "{got}\n  expected: {want}");
    }
    let error = open(&folder(r#"{"images": [], "annotations": [], "categories": []}"#)).unwrap_err();
    assert!(error.to_string().ends_with("a.json: lists no image"), "{error}");
    let dir = folder(GOOD);
    let error = Coco::open(&dir.path().join("a.json"), &dir.path().join("none"), Reading::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("none: is not a folder"), "{error}");
}
