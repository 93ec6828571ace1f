use super::*;
use crate::metrics::coco::Detection;
use crate::metrics::rle::Rle;

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
fn an_object_without_a_mask_is_one_of_the_boxes_alone() {
    let text = GOOD.replace(r#""file_name": "b.jpg""#, r#""file_name": "b.jpg", "width": 5, "height": 5"#);
    let last = Instances::parse(text.as_bytes()).unwrap().ground_truth(true).unwrap().truths.pop().unwrap();
    assert_eq!((last.crowd, last.mask), (false, None));
}

/// The faults of GOOD with a change in it.
fn faults_of(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    let (_, faults) = Instances::gather(GOOD.replacen(from, to, 1).as_bytes()).unwrap();
    faults.iter().map(|f| f.to_string()).collect()
}

#[test]
fn what_cannot_be_meant_is_refused_in_the_fields_words() {
    const BOX: &str =
        "annotations: `bbox` must be four finite numbers x, y, width, height (1): annotation 1 (image 7)";
    for (from, to, want) in [
        ("[1, 1, 3, 2.5]", "[1, 1, NaN, 2.5]", format!("{BOX} has [1, 1, null, 2.5]")),
        ("[1, 1, 3, 2.5]", "[1, 1, 3]", format!("{BOX} has [1, 1, 3]")),
        ("[1, 1, 3, 2.5]", "\"x\"", format!("{BOX} has \"x\"")),
        (
            r#""bbox": [1, 1, 3, 2.5]"#,
            r#""caption": "x""#,
            "annotations: `bbox` is missing; captions and keypoints are of no use here (1): annotation 1 (image 7)".into(),
        ),
        (
            "\"image_id\": 7",
            "\"image_id\": 7.5",
            "annotations: `image_id` must be a whole number or a string (1): annotation 1 has 7.5".into(),
        ),
        ("\"image_id\": 7, ", "", "annotations: `image_id` is missing (1): annotation 1".into()),
        (
            "\"category_id\": 18",
            "\"category_id\": 19",
            "annotations are of categories that are not listed (1): annotation 1 (image 7) has category 19".into(),
        ),
        ("\"id\": 2,", "\"id\": 1,", "annotations are listed twice (1): annotation 1".into()),
        ("\"id\": 7,", "", "images: `id` is missing (1): image number 1 in the list (a.jpg)".into()),
        ("\"iscrowd\": true", "\"iscrowd\": []", "annotations: `iscrowd` must be 0 or 1 (1): annotation 2 (image 7) has []".into()),
        (
            r#"{"id": 18, "name": "dog", "supercategory": "animal"}"#,
            "18",
            "categories are not objects of JSON (1): category number 1 in the list".into(),
        ),
    ] {
        assert_eq!(error_of(from, to).lines().next().unwrap(), want);
    }
}

#[test]
fn what_has_one_meaning_is_taken_in_it_and_what_can_be_spared_is_left_out() {
    for (from, to, want) in [
        (
            "\"image_id\": 7",
            "\"image_id\": 77",
            "annotations are of images that are not listed (1 left out): annotation 1 (image 77)",
        ),
        (
            "\"id\": 2,",
            "",
            "annotations have no whole number as `id`, and are numbered (1 mended): annotation number 2 in the list (image 7)",
        ),
        (
            "[[1, 1, 4, 1, 4, 3, 1, 3]]",
            "[1, 1, 4, 1, 4, 3, 1, 3]",
            "`segmentation` are a list of numbers, not a list of polygons, and taken as one polygon (1 mended): annotation 1 (image 7)",
        ),
        (
            "[[1, 1, 4, 1, 4, 3, 1, 3]]",
            "[[1, 1, 4, 1]]",
            "annotations have polygons of up to four numbers, which enclose nothing (1 left out): annotation 1 (image 7)",
        ),
        (
            "[[1, 1, 4, 1, 4, 3, 1, 3]]",
            "[[{\"x\": 1}]]",
            "masks cannot be read (1 left out): annotation 1 (image 7): `segmentation` must be polygons (a list of lists of \
             numbers) or run lengths (`size`, two numbers, and `counts`, numbers or a string), and is [[{\"x\": 1}]]",
        ),
        (
            "[0, 2, 2, 2, 18]",
            "[0, 2, 2, 2, 19]",
            "masks cannot be read (1 left out): annotation 2 (image 7): mask runs beyond the image's 24 pixels (6 x 4)",
        ),
        (
            "[0, 2, 2, 2, 18]",
            "[0, -2, 2, 2, 22]",
            "masks cannot be read (1 left out): annotation 2 (image 7): a mask run of -2 pixels",
        ),
        (
            "{\"id\": \"8\"",
            "{\"id\": \"b\"",
            "images have strings as `id`, which results give again (1 mended): image b (b.jpg)",
        ),
    ] {
        assert_eq!(faults_of(from, to)[0], want);
        assert!(Instances::parse(GOOD.replacen(from, to, 1).as_bytes()).is_ok(), "{to}");
    }
    let numbered = Instances::parse(GOOD.replacen("\"id\": 2,", "", 1).as_bytes()).unwrap();
    assert_eq!(numbered.annotations.iter().map(|a| a.id).collect::<Vec<_>>(), [1, 5, 3, 4]);
    // A size that is none is as good as not given.
    let sizes = Instances::parse(GOOD.replacen("\"width\": 6", "\"width\": -6", 1).as_bytes()).unwrap();
    assert_eq!(sizes.images[0].size, None);
}

#[test]
fn ids_that_are_strings_are_numbered_in_their_order_and_given_again() {
    let text = r#"{"images": [{"id": "b"}, {"id": "a"}, {"id": 5}], "categories": [{"id": 1}],
        "annotations": [{"id": "x", "image_id": "b", "category_id": 1, "bbox": [0, 0, 2, 2]}]}"#;
    let instances = Instances::parse(text.as_bytes()).unwrap();
    assert_eq!(instances.images.iter().map(|i| i.id).collect::<Vec<_>>(), [7, 6, 5]);
    assert_eq!(instances.annotations[0].image, 7);
    let results = r#"[{"image_id": "b", "category_id": 1, "score": 0.5, "bbox": [0, 0, 2, 2]}]"#;
    let found = instances.parse_results(results.as_bytes()).unwrap();
    assert_eq!(found[0].image, 7);
    assert!(instances.parse_results(results.replace("\"b\"", "7").as_bytes()).is_err());
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let text =
        GOOD.replace("\"bbox\": [0, 0, 2, 2]", "\"bbox\": [0]").replace("\"id\": 18, \"name\"", "\"name\"");
    let error = Instances::parse(text.as_bytes()).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[1].contains("categories that are not listed"), "{error}");
    assert!(
        lines[2].starts_with("  annotations: `bbox`")
            && lines[2].contains(" (3): ")
            && lines[2].ends_with("annotation 4 (image 8) has [0]")
    );
}

#[test]
fn a_file_of_another_form_is_told_from_one_that_is_cut() {
    let error = |text: &str| Instances::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(
        error(&GOOD.replace("\"annotations\"", "\"objects\""))
            .starts_with("not COCO instances: `annotations` is missing")
    );
    assert!(error("[]").starts_with("a list, as of detections"));
    assert!(error(r#"{"images": 3}"#).starts_with("not COCO instances: `images` must be a list, and is 3"));
    assert!(error("3").starts_with("not COCO instances: a single value"));
    assert!(error("hello").starts_with("not JSON, from line 1, column 1 on"), "{}", error("hello"));
    assert!(error("").starts_with("ends too early"));
    assert!(error(&GOOD[..GOOD.len() / 2]).starts_with("ends too early"));
    assert!(error(&"[".repeat(1_000_000)).starts_with("a list, as of detections"));
    assert!(error(&r#"{"a":"#.repeat(1_000_000)).starts_with("ends too early"));
    let bytes = |b: &[u8]| Instances::parse(b).map(|i| i.images.len()).map_err(|e| e.to_string());
    assert_eq!(bytes(&[b"\xef\xbb\xbf", GOOD.as_bytes()].concat()), Ok(2));
    assert!(bytes(b"\xff\xfe{\0}\0").unwrap_err().contains("UTF-16"));
    assert!(bytes(b"{\"a\": \"\xe4\"}").unwrap_err().contains("UTF-8 (byte 8)"));
}

#[test]
fn a_mask_of_another_size_than_its_image_is_an_error() {
    let text = GOOD.replacen("[0, 2, 2, 2, 18], \"size\": [4, 6]", "[0, 2, 2, 2, 19], \"size\": [5, 5]", 1);
    let error = Instances::parse(text.as_bytes()).unwrap().ground_truth(true).unwrap_err().to_string();
    assert_eq!(error, "annotation 2 (image 7): a mask of 5 x 5 pixels in an image of 6 x 4");
}

#[test]
fn nan_inside_of_strings_stays() {
    let text = r#"{"a": "NaN \" -Infinity \\", "ä": [NaN, -Infinity,Infinity]}"#;
    let expected = r#"{"a": "NaN \" -Infinity \\", "ä": [null, null,null]}"#;
    assert_eq!(syntax::without_nan(text), expected);
    assert!(matches!(syntax::without_nan("[1]"), std::borrow::Cow::Borrowed(_)));
}

#[test]
fn results_read_back_as_written() {
    let instances = Instances::parse(GOOD.as_bytes()).unwrap();
    let mask = Rle::from_box(4, 6, [1.0, 1.0, 2.0, 2.0]).unwrap();
    let detections = vec![
        Detection::of_box(7, 1, 0.1 + 0.2, [0.1, 0.2, 3.3, 1.0 / 3.0]),
        Detection::of_box(7, 18, f64::from(0.7_f32), [0.0, 0.0, 2.0, 2.0]).with_mask(mask.clone()),
    ];
    let json = results_to_json(&detections, ImageName::from);
    assert_eq!(instances.parse_results(json.as_bytes()).unwrap(), detections);
    assert!(results_to_json(&[], ImageName::from) == "[]");
    let by_mask = [Detection::of_mask(7, 1, 1.0, mask)];
    let json = results_to_json(&by_mask, ImageName::from);
    assert!(!json.contains("bbox"), "its area would be lost: {json}");
    assert_eq!(instances.parse_results(json.as_bytes()).unwrap(), by_mask);
}

#[test]
fn mistakes_in_results_are_named() {
    let instances = Instances::parse(GOOD.as_bytes()).unwrap();
    let error = |text: &str| instances.parse_results(text.as_bytes()).unwrap_err().to_string();
    let entry = |fields: &str| format!("[{{\"image_id\": 7, \"category_id\": 1, {fields}}}]");
    assert!(error("{}").starts_with("an object, where COCO results"));
    let bare = error(&entry("\"score\": 1"));
    let want =
        "detections have neither `bbox` nor `segmentation` (1): detection number 1 in the list (image 7)";
    assert_eq!(bare, want);
    assert!(error(&entry("\"score\": NaN, \"bbox\": [1, 1, 1, 1]")).contains("`score` is missing"));
    assert!(error(&entry("\"score\": \"x\", \"bbox\": [1, 1, 1, 1]")).contains("`score` must be a number"));
    assert!(error(&entry("\"score\": 1, \"bbox\": [1, 1]")).contains("`bbox` must be four finite numbers"));
    let size = r#""score": 1, "segmentation": {"size": [4, 5], "counts": [20]}"#;
    assert!(error(&entry(size)).contains("a mask of 5 x 4 pixels in an image of 6 x 4"));
    let other = entry("\"score\": 1, \"bbox\": [1, 1, 1, 1]").replace('7', "9");
    assert!(
        error(&other).ends_with("images that are not listed (1): detection number 1 in the list (image 9)")
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
