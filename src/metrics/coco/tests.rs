use super::*;
use crate::metrics::rle::Rle;

fn category(id: i64) -> Category {
    Category { id, name: format!("category {id}") }
}

fn truth(id: i64, image: i64, bbox: [f64; 4]) -> Truth {
    Truth { id, image, category: 1, bbox, area: bbox[2] * bbox[3], crowd: false, mask: None }
}

fn ground_truth(images: std::ops::RangeInclusive<i64>, truths: Vec<Truth>) -> GroundTruth {
    GroundTruth { images: images.collect(), categories: vec![category(1)], truths }
}

fn boxes(truth: &GroundTruth, detections: &[Detection]) -> Evaluation {
    evaluate(truth, detections, Kind::Box).unwrap()
}

#[test]
fn the_grids_are_numpys() {
    // numpy.linspace(.5, .95, 10) and linspace(0, 1, 101), printed with repr.
    let expected = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95];
    assert_eq!(thresholds(), expected);
    assert_eq!(
        [recalls()[7], recalls()[29], recalls()[57], recalls()[100]],
        [0.07, 0.29, 0.5700000000000001, 1.0]
    );
}

#[test]
fn a_case_by_hand() {
    // Four objects. In order of score: hit, miss, hit, double hit (a miss). Recall 1/4, 1/4, 1/2, 1/2;
    // precision 1, 1/2, 2/3, 1/2. So precision is 1 at the recalls 0 to 0.25, 2/3 at 0.26 to 0.5, and 0
    // beyond.
    let b = |i: i64| [i as f64 * 100.0, 0.0, 50.0, 50.0];
    let truth = ground_truth(1..=2, (1..=4).map(|i| truth(i, 1, b(i))).collect());
    let detections = [
        Detection::of_box(1, 1, 0.3, b(1)), // the double
        Detection::of_box(1, 1, 0.9, b(1)),
        Detection::of_box(2, 1, 0.8, b(1)), // in the other image
        Detection::of_box(1, 1, 0.7, b(2)),
    ];
    let result = boxes(&truth, &detections);
    let ap = (26.0 + 25.0 * 2.0 / 3.0) / 101.0;
    let expected = [ap, ap, ap, -1.0, ap, -1.0, 0.25, 0.5, 0.5, -1.0, 0.5, -1.0];
    for (name, (got, want)) in NAMES.iter().zip(result.stats.into_iter().zip(expected)) {
        assert!((got - want).abs() <= 1e-12, "{name}: {got}, not {want}");
    }
    let curve = result.precision(0).unwrap();
    assert_eq!([curve[25], curve[26], curve[50], curve[51]], [1.0 - f64::EPSILON, 2.0 / 3.0, 2.0 / 3.0, 0.0]);
}

/// Found against pycocotools: with no object in the image, detections outside the area range counted as
/// wrong.
#[test]
fn in_an_image_without_objects_detections_outside_the_area_range_are_ignored() {
    let small = [0.0, 0.0, 20.0, 20.0];
    let large = [0.0, 0.0, 200.0, 200.0];
    let truth = ground_truth(1..=2, vec![truth(1, 1, small)]);
    let detections = [Detection::of_box(2, 1, 0.9, large), Detection::of_box(1, 1, 0.5, small)];
    let stats = boxes(&truth, &detections).stats;
    assert!((stats[3] - 1.0).abs() < 1e-12, "AP small: the large one elsewhere is of no account");
    assert_eq!(stats[0], 0.5, "AP: it is");
}

/// pycocotools' convention, kept so that numbers compare: number annotations from 1.
#[test]
fn an_object_of_id_0_that_is_found_counts_as_a_miss() {
    let b = [0.0, 0.0, 50.0, 50.0];
    let detections = [Detection::of_box(1, 1, 0.5, b)];
    let ap = |id| boxes(&ground_truth(1..=1, vec![truth(id, 1, b)]), &detections).stats[0];
    assert_eq!(ap(0), 0.0);
    assert!((ap(1) - 1.0).abs() <= 1e-12);
}

#[test]
fn a_crowd_region_takes_any_number_of_detections_by_their_own_area() {
    let crowd = Truth { crowd: true, ..truth(1, 1, [0.0, 0.0, 400.0, 400.0]) };
    let person = truth(2, 1, [500.0, 0.0, 50.0, 50.0]);
    let inside = |i: i64| Detection::of_box(1, 1, 0.9, [i as f64 * 30.0, 10.0, 25.0, 25.0]);
    let mut detections: Vec<_> = (0..5).map(inside).collect();
    detections.push(Detection::of_box(1, 1, 0.1, person.bbox));
    let truth = ground_truth(1..=1, vec![crowd.clone(), person]);
    assert!((boxes(&truth, &detections).stats[0] - 1.0).abs() < 1e-12);
    let mut uncrowded = truth;
    uncrowded.truths[0].crowd = false;
    assert!(boxes(&uncrowded, &detections).stats[0] < 0.2);
}

#[test]
fn equal_scores_keep_their_order() {
    let b = [0.0, 0.0, 50.0, 50.0];
    let truth = ground_truth(1..=1, vec![truth(1, 1, b)]);
    let [right, wrong] = [b, [200.0, 0.0, 50.0, 50.0]].map(|b| Detection::of_box(1, 1, 0.5, b));
    assert!((boxes(&truth, &[right.clone(), wrong.clone()]).stats[0] - 1.0).abs() < 1e-12);
    assert_eq!(boxes(&truth, &[wrong, right]).stats[0], 0.5);
}

#[test]
fn only_the_hundred_surest_of_an_image_count() {
    let b = [0.0, 0.0, 50.0, 50.0];
    let truth = ground_truth(1..=1, vec![truth(1, 1, b)]);
    let mut detections: Vec<_> =
        (0..100).map(|i| Detection::of_box(1, 1, 0.9, [200.0 + f64::from(i), 0.0, 50.0, 50.0])).collect();
    detections.push(Detection::of_box(1, 1, 0.5, b));
    assert_eq!(boxes(&truth, &detections).stats[8], 0.0);
    detections.swap_remove(0);
    assert_eq!(boxes(&truth, &detections).stats[8], 1.0);
}

#[test]
fn masks_and_boxes_are_judged_by_themselves() {
    let full = Rle::from_bitmap(4, 4, &[1; 16]).unwrap();
    let half = Rle::from_bitmap(4, 4, &[1, 1, 0, 0].repeat(4)).unwrap();
    let b = [0.0, 0.0, 4.0, 4.0];
    let truth = ground_truth(1..=1, vec![Truth { mask: Some(half), ..truth(1, 1, b) }]);
    let detection = Detection::of_box(1, 1, 0.5, b).with_mask(full);
    let detections = [detection];
    assert!(boxes(&truth, &detections).stats[0] > 0.99);
    let masks = evaluate(&truth, &detections, Kind::Mask).unwrap();
    // IoU 1/2 reaches the first threshold alone.
    assert!((masks.stats[0] - 0.1).abs() < 1e-12 && (masks.stats[1] - 1.0).abs() < 1e-12, "{masks}");
}

/// What pycocotools says of the same without the object that has no mask; boxes are judged with it.
#[test]
fn an_object_without_a_mask_is_none_where_masks_are_judged() {
    let mask = Rle::from_bitmap(4, 4, &[1; 16]).unwrap();
    let b = [0.0, 0.0, 4.0, 4.0];
    let masked = Truth { mask: Some(mask.clone()), ..truth(1, 1, b) };
    let truth = ground_truth(1..=2, vec![masked, truth(2, 2, b)]);
    let found = |image, score| Detection::of_box(image, 1, score, b).with_mask(mask.clone());
    let detections = [found(2, 0.9), found(1, 0.5)];
    assert!((boxes(&truth, &detections).stats[0] - 1.0).abs() < 1e-12);
    let masks = evaluate(&truth, &detections, Kind::Mask).unwrap();
    assert_eq!((masks.categories[0].objects[0], masks.stats[0], masks.stats[8]), (1, 0.5, 1.0));
}

#[test]
fn without_objects_all_is_undefined() {
    assert_eq!(boxes(&ground_truth(1..=3, vec![]), &[]).stats, [-1.0; 12]);
    assert_eq!(boxes(&GroundTruth::default(), &[]).precision(0), None);
}

#[test]
fn bad_input_is_an_error() {
    let b = [0.0, 0.0, 5.0, 5.0];
    let good = ground_truth(1..=1, vec![truth(1, 1, b)]);
    let error = |t: &GroundTruth, d: Detection, kind| evaluate(t, &[d], kind).unwrap_err().to_string();
    assert!(error(&good, Detection::of_box(2, 1, 0.5, b), Kind::Box).contains("not evaluated"));
    assert!(error(&good, Detection::of_box(1, 1, f64::NAN, b), Kind::Box).contains("score NaN"));
    assert!(error(&good, Detection::of_box(1, 1, 0.5, [f64::INFINITY; 4]), Kind::Box).contains("inf"));
    assert!(error(&good, Detection::of_box(1, 1, 0.5, b), Kind::Mask).contains("no mask"));
    let masked = |h, w| Some(Rle::empty(h, w).unwrap());
    let with_mask = ground_truth(1..=1, vec![Truth { mask: masked(4, 4), ..truth(1, 1, b) }]);
    let other = Detection { mask: masked(4, 5), ..Detection::of_box(1, 1, 0.5, b) };
    assert!(error(&with_mask, other, Kind::Mask).contains("5 x 4 pixels, where annotation 1 has 4 x 4"));
    let bad = ground_truth(1..=1, vec![truth(1, 1, [f64::NAN; 4])]);
    assert!(evaluate(&bad, &[], Kind::Box).unwrap_err().to_string().contains("annotation 1 of image 1"));
}

#[test]
fn over_confidence_by_hand() {
    // Four objects; a hit, two at one score of which one hits, and a double hit, which is a miss.
    let b = |i: i64| [i as f64 * 100.0, 0.0, 50.0, 50.0];
    let truth = ground_truth(1..=1, (1..=4).map(|i| truth(i, 1, b(i))).collect());
    let detections = [
        Detection::of_box(1, 1, 0.3, b(1)),
        Detection::of_box(1, 1, 0.9, b(1)),
        Detection::of_box(1, 1, 0.5, b(2)),
        Detection::of_box(1, 1, 0.5, b(9)),
    ];
    let found = boxes(&truth, &detections);
    let rows: Vec<_> =
        found.over_confidence().iter().map(|r| (r.score, r.precision, r.recall, r.f1)).collect();
    assert_eq!(
        rows,
        [(0.9, 1.0, 0.25, 2.0 / 5.0), (0.5, 2.0 / 3.0, 0.5, 4.0 / 7.0), (0.3, 0.5, 0.5, 4.0 / 8.0)]
    );
    assert_eq!(found.best_confidence().map(|r| r.score), Some(0.5));
    assert!(boxes(&ground_truth(1..=1, Vec::new()), &detections).best_confidence().is_none());
    assert!(boxes(&truth, &[]).over_confidence().is_empty());
}
