use super::*;
use crate::data::detection::{DetectionDataset, Mirrored, Object};
use crate::data::{Images, Loader, Reading, Subset};
use crate::error::Result;
use crate::image::Image;
use crate::metrics::rle::Rle;
use std::sync::Arc;

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

/// The faults of GOOD with a change in it, and whether it can be read all the same.
fn faults_of(from: &str, to: &str) -> (Vec<String>, bool) {
    assert!(GOOD.contains(from), "{from}");
    let dir = folder(&GOOD.replacen(from, to, 1));
    match open(&dir) {
        Ok(data) => {
            (0..data.len()).for_each(|i| drop(data.load(i).unwrap()));
            (data.faults().iter().map(|f| f.to_string()).collect(), true)
        }
        Err(e) => (e.message().what.lines().map(|l| l.trim().to_string()).collect(), false),
    }
}

#[test]
fn images_without_objects_are_kept_and_labels_are_contiguous() {
    let data = open(&folder(GOOD)).unwrap();
    assert_eq!((data.name(0), data.name(1)), ("sub/b.png".to_string(), "a.png".to_string()));
    assert_eq!(data.classes().iter().map(|c| c.id).collect::<Vec<_>>(), [4, 30]);
}

#[test]
fn another_picture_of_the_same_length_is_other_data() {
    let dir = folder(GOOD);
    let (path, before) = (dir.path().join("images/a.png"), open(&dir).unwrap().checksum().unwrap());
    let length = std::fs::metadata(&path).unwrap().len();
    Image::filled(6, 4, [8; 3]).save_png(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    assert_ne!(open(&dir).unwrap().checksum().unwrap(), before);
}

#[test]
fn objects_become_boxes_labels_and_masks() {
    let dir = folder(GOOD);
    let data = open(&dir).unwrap();
    assert!(data.load(0).unwrap().objects.is_empty());
    let sample = data.load(1).unwrap();
    assert_eq!(sample.image_id, 9);
    let told = |o: &Object| (o.bbox, o.label, o.area, o.crowd, o.mask.as_ref().map(Rle::area));
    let want = [
        ([0.0, 1.0, 2.0, 3.0], 2, 3.5, false, Some(4)),
        ([3.0, 1.0, 5.0, 3.0], 1, 4.0, true, Some(4)),
        ([4.0, 3.0, 6.0, 4.0], 1, 2.0, false, None),
    ];
    assert_eq!(sample.objects.iter().map(told).collect::<Vec<_>>(), want);
    // What is learned from has no regions of many.
    let all: Arc<dyn DetectionDataset> = Arc::new(data);
    let learnt =
        Loader::evaluation(Subset::all(all), Mirrored { masks: false, flip: true }, 2).batch(0, 0).unwrap();
    assert_eq!(learnt.targets[1].labels, [2, 1]);
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
fn what_cannot_be_meant_is_refused_when_the_data_are_opened() {
    for (from, to, want) in [
        ("\"a.png\"", "\"c.png\"", "image 9 (c.png)"),
        (
            "\"a.png\"",
            "\"../images/a.png\"",
            "`file_name` must name a file in the images' folder (1): image 9 (../images/a.png)",
        ),
        ("\"a.png\"", "\"/etc/passwd\"", "must name a file in the images' folder (1): image 9 (/etc/passwd)"),
        ("\"a.png\"", "\"\"", "must name a file in the images' folder (1): image 9 ()"),
        ("\"height\": 4", "\"height\": 5", "image 9 (a.png) is 6 x 4 pixels, its entry says 6 x 5"),
        ("\"width\": 6, \"height\": 4", "\"width\": 4, \"height\": 6", "4 x 6: width and height exchanged"),
        (
            r#"[{"id": 30, "name": "car"}, {"id": 4, "name": "person"}]"#,
            "[]",
            "needed things are missing (1): a category (the list `categories` is empty)",
        ),
    ] {
        let (faults, read) = faults_of(from, to);
        assert!(!read && faults.iter().any(|f| f.contains(want)), "{faults:?}\n  expected: {want}");
    }
    let error =
        open(&folder(r#"{"images": [], "annotations": [], "categories": []}"#)).unwrap_err().to_string();
    for lack in ["(3): an image", ", a category", ", an object to learn from"] {
        assert!(error.contains(lack), "{error}");
    }
    let dir = folder(GOOD);
    let error = Coco::open(&dir.path().join("a.json"), &dir.path().join("none"), Reading::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("none: is not a folder"), "{error}");
}

#[test]
fn what_is_doubtful_is_told_and_taken_as_torchvisions_references_take_it() {
    let place = "annotation 5 (image 9, a.png)";
    let box_of_5 = "[-0.1, 1, 2.1, 2]";
    for (from, to, want) in [
        (box_of_5, "[1, 1, 0, 2]", format!("boxes have no width or no height, and are not learned (1 left out): {place} [1, 1, 0, 2]")),
        (box_of_5, "[1, 1, 2, -2]", format!("boxes have no width or no height, and are not learned (1 left out): {place} [1, 1, 2, -2]")),
        (box_of_5, "[7, 1, 2, 2]", format!("boxes lie outside of their image, and are not learned (1 left out): {place} [7, 1, 2, 2]")),
        (box_of_5, "[1, 1, 9, 2]", format!("boxes reach beyond their image, and are cut there (1 mended): {place} [1, 1, 9, 2]")),
        (box_of_5, "[1, 1, 0.5, 2]", format!("boxes are below one pixel wide or high (1): {place} [1, 1, 0.5, 2]")),
        (
            "\"width\": 6, ",
            "",
            "images have no `width` and `height`, which are taken from the file (1 mended): image 9 (a.png)".into(),
        ),
        ("\"sub/b.png\"", "\"sub\\\\b.png\"", "file names have \\, which is taken as / (1 mended): sub\\b.png".into()),
        (
            "\"size\": [4, 6]",
            "\"size\": [6, 4]",
            "masks cannot be read (1 left out): annotation 6 (image 9, a.png): a mask of 4 x 6 pixels in an image of 6 x 4".into(),
        ),
        (
            "[[0, 1, 2, 1, 2, 3, 0, 3]]",
            "[[0, 1, 0.1, 1, 0.1, 1.1]]",
            format!("masks have no pixel inside (1): {place}"),
        ),
    ] {
        let (faults, read) = faults_of(from, to);
        assert_eq!((faults, read), (vec![want.clone()], true));
        let dir = folder(&GOOD.replacen(from, to, 1));
        let strict = Reading { strict: true, ..Reading::default() };
        let error = Coco::open(&dir.path().join("a.json"), &dir.path().join("images"), strict).unwrap_err();
        assert!(error.to_string().contains(&want), "{error}");
    }
    assert_eq!(faults_of("car", "cat").0, [""; 0]);
    // It is not learned, but it should be found.
    let data = open(&folder(&GOOD.replacen(box_of_5, "[1, 1, 0, 2]", 1))).unwrap();
    assert_eq!(data.labels(1), Some(vec![1]));
    assert_eq!(data.ground_truth(&[1]).unwrap().truths.len(), 3);
}

#[test]
fn an_image_that_nobody_needs_may_be_missing_and_one_that_is_damaged_be_skipped() {
    let dir = folder(GOOD);
    std::fs::remove_file(dir.path().join("images/sub/b.png")).unwrap();
    let data = open(&dir).unwrap();
    assert_eq!((data.len(), data.name(0)), (1, "a.png".into()));
    assert!(data.faults().iter().next().unwrap().to_string().contains("(1 left out): image 2 (sub/b.png)"));
    assert_ne!(data.checksum().unwrap(), open(&folder(GOOD)).unwrap().checksum().unwrap());
    // Damaged in the middle: seen when it is decoded, which is now where it may be left out.
    let image = Image::filled(6, 4, [9; 3]).encode_png().unwrap();
    let mut damaged = image.clone();
    damaged[45] ^= 0xff;
    for (bytes, late) in
        [(&image[..20], false), (&image[..image.len() - 5], false), (b"<html>", false), (&damaged, true)]
    {
        let dir = folder(GOOD);
        std::fs::write(dir.path().join("images/sub/b.png"), bytes).unwrap();
        match open(&dir) {
            Ok(data) => assert!(late && data.load(0).is_err()),
            Err(e) => assert!(
                !late && e.to_string().contains("images cannot be read (1): image 2 (sub/b.png): "),
                "{e}"
            ),
        }
        let skip = Reading { skip_bad: true, ..Reading::default() };
        let data = Coco::open(&dir.path().join("a.json"), &dir.path().join("images"), skip).unwrap();
        assert_eq!(data.len(), 1);
        assert!(
            data.faults().iter().next().unwrap().to_string().contains("(1 left out): image 2 (sub/b.png)")
        );
    }
}

/// What EXIF says of the image's orientation, in front of its pixels.
fn turned(image: &Image, orientation: u8) -> Vec<u8> {
    let png = image.encode_png().unwrap();
    let tiff =
        [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation, 0, 0, 0], &[0; 4]].concat();
    let body = [&b"eXIf"[..], &tiff].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    [&png[..33], &(tiff.len() as u32).to_be_bytes(), &body, &crc.sum().to_be_bytes(), &png[33..]].concat()
}

/// pycocotools and torchvision's references read pixels as stored; a file whose sizes are the upright ones
/// alone means those.
#[test]
fn images_with_an_orientation_are_read_as_their_entries_speak_of_them() {
    let image = Image::from_u8(6, 4, 3, (0..72).collect());
    for (orientation, size, as_stored) in
        [(1, [6, 4], true), (3, [6, 4], true), (6, [6, 4], true), (6, [4, 6], false), (8, [4, 6], false)]
    {
        let [w, h] = size;
        let text =
            GOOD.replacen("\"width\": 6, \"height\": 4", &format!("\"width\": {w}, \"height\": {h}"), 1);
        let dir = folder(&text.replace("\"size\": [4, 6]", &format!("\"size\": [{h}, {w}]")));
        std::fs::write(dir.path().join("images/a.png"), turned(&image, orientation)).unwrap();
        let data = open(&dir).unwrap();
        let want = if as_stored { image.clone() } else { image.clone().upright(orientation) };
        assert_eq!(data.load(1).unwrap().image, want, "orientation {orientation}, {size:?}");
        let said = data.faults().iter().any(|f| f.to_string().contains("EXIF"));
        assert_eq!(said, orientation != 1);
    }
}

/// Six images, each with a box of these numbers.
fn boxes(boxes: &str) -> String {
    format!(
        r#"{{"images": [{{"id": 9, "file_name": "a.png", "width": 6, "height": 4}}], "categories": [{{"id": 1}}],
        "annotations": [{}]}}"#,
        boxes
            .split(';')
            .enumerate()
            .map(|(k, b)| format!(r#"{{"id": {k}, "image_id": 9, "category_id": 1, "bbox": [{b}]}}"#))
            .collect::<Vec<_>>()
            .join(",")
    )
}

#[test]
fn boxes_in_other_units_are_refused() {
    let error = |text: &str| open(&folder(&boxes(text))).err().map(|e| e.to_string()).unwrap_or_default();
    let corners = error("1,1,3,3;3,1,6,4;4,2,6,3");
    assert!(
        corners.contains("boxes are corners (x1, y1, x2, y2), where x, y, width, height are wanted (2): "),
        "{corners}"
    );
    let parts = error("0.1,0.2,0.3,0.3;0,0,1,1");
    assert!(
        parts.contains(
            "boxes are in parts of the image (0 to 1), where x, y, width, height in pixels are wanted (2): "
        ),
        "{parts}"
    );
    // Some that reach beyond are no proof, nor are small ones.
    for good in ["1,1,3,3;1,1,2,2;4,2,3,3;0,0,1,1", "3,1,3,2", "0.1,0.2,0.3,1.5"] {
        assert_eq!(error(good), "");
    }
}

#[test]
fn a_data_set_of_crowd_regions_alone_is_refused() {
    let text = boxes("1,1,3,3;1,1,2,2").replace("\"category_id\": 1", "\"category_id\": 1, \"iscrowd\": 1");
    let error = open(&folder(&text)).unwrap_err().to_string();
    assert!(
        error.contains("an object to learn from (of the objects (2) crowd regions are 2, and"),
        "{error}"
    );
}

#[test]
fn objects_without_a_mask_refuse_the_learning_of_masks_alone() {
    let data = open(&folder(GOOD)).unwrap();
    assert!(data.without_mask(&[0], &|_| true).is_empty());
    let error = data.without_mask(&[0, 1], &|_| true).judge(Reading::default()).unwrap_err().to_string();
    assert_eq!(error, "objects have no mask (1): annotation 7 (image 9, a.png)");
    assert_eq!(data.notes(), ["1 crowd region (ignored)", "1 object without a mask"]);
}
