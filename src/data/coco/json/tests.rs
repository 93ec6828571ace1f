use super::*;

const GOOD: &str = r#"{
    "info": {"year": 2017}, "licenses": [],
    "images": [{"id": 7, "file_name": "a.jpg", "width": 6, "height": 4, "license": 3}, {"id": "8", "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1, 1, 3, 2.5], "area": 6, "iscrowd": 0,
         "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "attributes": {"id": 9}},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2], "iscrowd": true,
         "segmentation": {"counts": [0, 2, 2, 2, 18], "size": [4, 6]}},
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4,
         "segmentation": {"counts": "0220`0", "size": [4, 6]}},
        {"id": 4, "image_id": 8, "category_id": 1, "bbox": [0, 0, 2, 2], "segmentation": []}
    ],
    "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 1, "name": "person"}]
}"#;

fn error_of(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    Instances::parse(GOOD.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
}

#[test]
fn reads_polygons_and_both_forms_of_run_lengths() {
    let instances = Instances::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(instances.images[1].id, 8);
    assert_eq!(instances.images[0].size, Some([6, 4]));
    let mask = |i: usize| instances.annotations[i].segmentation.mask(4, 6).unwrap();
    assert_eq!(mask(0).unwrap().bounding_box(), [1.0, 1.0, 3.0, 2.0]);
    assert_eq!(mask(1).unwrap().bounding_box(), [0.0, 0.0, 2.0, 2.0]);
    assert_eq!(mask(1), mask(2));
    assert_eq!(mask(3), None);
    let a = &instances.annotations;
    assert_eq!((a[0].area, a[1].area, a[0].crowd, a[1].crowd), (6.0, 4.0, false, true));
}

#[test]
fn an_object_of_unknown_extent_is_a_crowd_region_where_masks_are_evaluated() {
    let text = GOOD.replace(r#""file_name": "b.jpg""#, r#""file_name": "b.jpg", "width": 5, "height": 5"#);
    let instances = Instances::parse(text.as_bytes()).unwrap();
    let last = instances.ground_truth(true).unwrap().truths.pop().unwrap();
    assert!(last.crowd);
    assert_eq!(last.mask.unwrap().area(), 4);
    assert!(!instances.ground_truth(false).unwrap().truths[3].crowd);
}

#[test]
fn mistakes_are_named() {
    for (from, to, want) in [
        ("[1, 1, 3, 2.5]", "[1, 1, NaN, 2.5]", "annotation 1: (image 7) box [1, 1, NaN, 2.5]; four finite"),
        ("[1, 1, 3, 2.5]", "[1, 1, 3]", "annotation 1: (image 7) box [1, 1, 3]; four"),
        (r#""bbox": [1, 1, 3, 2.5]"#, r#""caption": "x""#, "annotation 1: (image 7) no `bbox`"),
        ("[1, 1, 3, 2.5]", "\"x\"", "annotation 1: invalid type: string \"x\", expected a sequence"),
        ("[1, 1, 4, 1, 4, 3, 1, 3]", "[1, 1, 4, 1]", "annotation 1: (image 7) a polygon of 4 coordinates"),
        ("[0, 2, 2, 2, 18]", "[0, 2, 2, 2, 19]", "annotation 2: (image 7) mask runs beyond"),
        ("[0, 2, 2, 2, 18]", "[0, -2, 2, 2, 22]", "annotation 2: (image 7) a mask run of -2 pixels"),
        (
            r#""size": [4, 6]"#,
            r#""size": [-4, 6]"#,
            "annotation 2: invalid value: integer `-4`, expected u64",
        ),
        (r#", "size": [4, 6]"#, "", "annotation 2: missing field `size`"),
        ("\"image_id\": 7", "\"image_id\": 77", "annotation 1: its image 77 is not listed"),
        ("\"image_id\": 7", "\"image_id\": 7.5", "annotation 1: id 7.5 is not an integer"),
        ("\"image_id\": 7, ", "", "annotation 1: missing field `image_id`"),
        (
            "\"category_id\": 18",
            "\"category_id\": 19",
            "annotation 1 (image 7): its category 19 is not listed",
        ),
        ("\"id\": 2,", "\"id\": 1,", "annotation 1 is listed twice"),
        ("\"id\": 2,", "", "annotation number 2 in the list: missing field `id`"),
        ("\"width\": 6", "\"width\": -6", "image 7: width -6, height 4"),
        ("\"annotations\"", "\"objects\"", "not COCO instances: `images`, `annotations` and `categories`"),
    ] {
        let got = error_of(from, to);
        assert!(got.starts_with(want), "{got}\n  expected: {want}");
    }
    let error = |text: &str| Instances::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(error("[]").starts_with("a list, as of detections"));
    assert!(error("{\"images\": 3}").starts_with("not COCO instances: invalid type"));
    assert!(error("hello").starts_with("not JSON"));
    assert!(error("").starts_with("ends too early"));
    assert!(error(&GOOD[..GOOD.len() / 2]).starts_with("ends too early"));
    assert!(error(&"[".repeat(1_000_000)).starts_with("ends too early"));
}

#[test]
fn a_mask_of_another_size_than_its_image_is_an_error() {
    let text = GOOD.replacen("[0, 2, 2, 2, 18], \"size\": [4, 6]", "[0, 2, 2, 2, 19], \"size\": [5, 5]", 1);
    let error = Instances::parse(text.as_bytes()).unwrap().ground_truth(true).unwrap_err().to_string();
    assert_eq!(error, "annotation 2 (image 7): a mask of 5 x 5 pixels in an image of 6 x 4");
}

#[test]
fn nan_inside_of_strings_stays() {
    let text = br#"{"a": "NaN \" -Infinity", "b": [NaN, -Infinity,Infinity]}"#;
    let expected = br#"{"a": "NaN \" -Infinity", "b": [null, null,null]}"#;
    assert_eq!(without_nan(text), expected.as_slice());
    assert!(matches!(without_nan(b"[1]"), Cow::Borrowed(_)));
}

#[test]
fn results_read_back_as_written() {
    let instances = Instances::parse(GOOD.as_bytes()).unwrap();
    let mask = Rle::from_box(4, 6, [1.0, 1.0, 2.0, 2.0]).unwrap();
    let detections = vec![
        Detection::of_box(7, 1, 0.1 + 0.2, [0.1, 0.2, 3.3, 1.0 / 3.0]),
        Detection::of_box(7, 18, f64::from(0.7_f32), [0.0, 0.0, 2.0, 2.0]).with_mask(mask.clone()),
    ];
    let json = results_to_json(&detections);
    assert_eq!(instances.parse_results(json.as_bytes()).unwrap(), detections);
    assert!(results_to_json(&[]) == "[]");
    let by_mask = [Detection::of_mask(7, 1, 1.0, mask)];
    let json = results_to_json(&by_mask);
    assert!(!json.contains("bbox"), "its area would be lost: {json}");
    assert_eq!(instances.parse_results(json.as_bytes()).unwrap(), by_mask);
}

#[test]
fn mistakes_in_results_are_named() {
    let instances = Instances::parse(GOOD.as_bytes()).unwrap();
    let error = |text: &str| instances.parse_results(text.as_bytes()).unwrap_err().to_string();
    let entry = |fields: &str| format!("[{{\"image_id\": 7, \"category_id\": 1, {fields}}}]");
    assert!(error("{}").starts_with("an object, where COCO results"));
    assert!(
        error(&entry("\"score\": 1")).contains("number 1 in the list: neither `bbox` nor `segmentation`")
    );
    assert!(error(&entry("\"score\": NaN, \"bbox\": [1, 1, 1, 1]")).contains("no score"));
    assert!(error(&entry("\"score\": 1, \"bbox\": [1, 1]")).contains("box [1, 1]; four"));
    let size = r#""score": 1, "segmentation": {"size": [4, 5], "counts": [20]}"#;
    assert!(error(&entry(size)).contains("a mask of 5 x 4 pixels in an image of 6 x 4"));
    assert!(
        error(&entry("\"score\": 1, \"bbox\": [1, 1, 1, 1]").replace('7', "9")).contains("unknown image 9")
    );
}

/// Whatever a file says, it is read or refused: no panic, no memory beyond the file's and its masks' bounds.
#[test]
fn random_damage_never_panics() {
    use crate::metrics::coco::{Kind, evaluate};
    use gradus_core::random::Rng;
    const TOKENS: [&str; 12] = [
        "-1",
        "1e308",
        "9223372036854775807",
        "99999999",
        "NaN",
        "null",
        "[]",
        "{}",
        "\"\"",
        "0",
        "[",
        "\\u0000",
    ];
    let results = r#"[{"image_id": 7, "category_id": 1, "score": 0.5, "bbox": [0, 0, 2, 2],
        "segmentation": {"counts": "0220`0", "size": [4, 6]}}]"#;
    let mut rng = Rng::seed(7);
    let mut damage = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(bytes.len());
            match rng.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = rng.u64() as u8,
                // A number or a string's content becomes something else.
                _ => {
                    let starts: Vec<usize> = (0..bytes.len())
                        .filter(|&i| bytes[i].is_ascii_digit() && !bytes[i - 1].is_ascii_digit())
                        .collect();
                    if let Some(&start) = starts.get(rng.below(starts.len().max(1))) {
                        let end =
                            (start..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
                        bytes.splice(start..end, TOKENS[rng.below(TOKENS.len())].bytes());
                    }
                }
            }
        }
        bytes
    };
    let good = GOOD.replace(r#""b.jpg""#, r#""b.jpg", "width": 5, "height": 5"#);
    let mut read = 0;
    for i in 0..3000 {
        // The one file or the other.
        let of = |damaged: Vec<u8>, whole: &str, n| if i % 2 == n { damaged } else { whole.into() };
        let Ok(instances) = Instances::parse(&of(damage(&good), &good, 0)) else { continue };
        let Ok(detections) = instances.parse_results(&of(damage(results), results, 1)) else { continue };
        for kind in [Kind::Box, Kind::Mask] {
            if let Ok(truth) = instances.ground_truth(kind == Kind::Mask) {
                read += usize::from(evaluate(&truth, &detections, kind).is_ok());
            }
        }
    }
    assert!(read > 100, "some damage is harmless: {read}");
}
