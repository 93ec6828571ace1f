use super::*;
use gradus_core::random::Rng;

/// A polygon and what pycocotools 2.0.11 makes of it: height, width, corners, compressed string, counts.
type Case = (u64, u64, &'static [f64], &'static str, &'static [u32]);

const POLYGONS: [Case; 9] = [
    (
        10,
        10,
        &[2., 2., 8., 2., 8., 8., 2., 8.],
        "f064000000000b0",
        &[22, 6, 4, 6, 4, 6, 4, 6, 4, 6, 4, 6, 22],
    ),
    (10, 10, &[2.5, 2.5, 7.5, 2.5, 5., 8.], "Q1282N00Nm0", &[33, 2, 8, 4, 6, 4, 6, 2, 35]),
    (8, 12, &[-3., 4., 6., -2.5, 15., 4., 6., 10.5], "2432Nj10VN1O0", &[2, 4, 3, 6, 1, 64, 1, 6, 2, 5, 2]),
    (
        9,
        7,
        &[0., 0., 6.9, 8.9, 0., 8.9, 0., 0.],
        "182O1O1O2N1O1O",
        &[1, 8, 2, 7, 3, 6, 4, 5, 6, 3, 7, 2, 8, 1],
    ),
    (
        12,
        9,
        &[1., 1., 8., 11., 8., 1., 1., 11.],
        ">85N2M>0C3M29",
        &[14, 8, 5, 6, 7, 3, 21, 3, 8, 6, 5, 8, 14],
    ),
    (5, 5, &[1.1, 1.1, 1.3, 1.1, 1.3, 1.3], "i0", &[25]),
    (6, 6, &[0., 0., 6., 0., 6., 6., 0., 6.], "0T1", &[0, 36]),
    (
        11,
        8,
        &[0.3, 0.7, 7.2, 3.4, 3.9, 10.6, 2.2, 5.5, 0.3, 0.7, 0.3, 0.7],
        "<391N3M01M2N:",
        &[12, 3, 9, 4, 7, 7, 4, 7, 5, 4, 7, 2, 17],
    ),
    (20, 4, &[3.7, 1.2, 0.4, 18.9, 3.1, 19.9], "b01>5K6JL6", &[18, 1, 14, 6, 9, 12, 3, 8, 9]),
];

#[test]
fn polygons_become_what_pycocotools_makes_of_them() {
    for (h, w, polygon, text, counts) in POLYGONS {
        let mask = Rle::from_polygon(h, w, polygon).unwrap();
        assert_eq!((mask.counts(), mask.compressed().as_str()), (counts, text), "{polygon:?}");
        assert_eq!(Rle::from_compressed(h, w, text).unwrap(), mask);
    }
}

/// A mask of random runs, and its bitmap.
fn random_mask(rng: &mut Rng, h: usize, w: usize) -> (Rle, Vec<u8>) {
    let change = [0.01, 0.3, 1.0][rng.below(3)];
    let mut inside = rng.chance(0.5);
    let mut bitmap = vec![0; h * w];
    for p in 0..h * w {
        inside ^= rng.chance(change);
        bitmap[p % h * w + p / h] = u8::from(inside);
    }
    (Rle::from_bitmap(h, w, &bitmap).unwrap(), bitmap)
}

/// As pycocotools 2.0.11's frPyObjects of a list whose first polygon is a good one: corners that enclose
/// nothing add nothing, and a number too many is dropped.
#[test]
fn degenerate_polygons_enclose_nothing() {
    let good = [1.0, 1.0, 5.0, 1.0, 5.0, 5.0];
    let mask = |p: &[f64]| Rle::from_polygon(10, 12, p).unwrap().compressed();
    assert_eq!(mask(&good), "e0191O1T2");
    assert_eq!(mask(&[&good[..], &[3.0]].concat()), "e0191O1T2");
    for p in [&[][..], &[1.0], &[1.0, 1.0], &[1.0, 1.0, 5.0, 5.0], &[1.0, 1.0, 2.0, 2.0, 3.0], &[0.0; 6]] {
        assert_eq!(mask(p), "h3", "{p:?}");
    }
}

#[test]
fn all_forms_hold_the_same_mask() {
    let mut rng = Rng::seed(1);
    for _ in 0..200 {
        let (h, w) = (1 + rng.below(20), 1 + rng.below(20));
        let (mask, bitmap) = random_mask(&mut rng, h, w);
        let (h, w) = (h as u64, w as u64);
        let counts: Vec<i64> = mask.counts().iter().map(|&c| i64::from(c)).collect();
        assert_eq!(mask.bitmap(), bitmap);
        assert_eq!(Rle::from_counts(h, w, &counts).unwrap(), mask);
        assert_eq!(Rle::from_compressed(h, w, &mask.compressed()).unwrap(), mask);
    }
}

#[test]
fn sets_of_pixels_behave_like_bitmaps() {
    let mut rng = Rng::seed(2);
    for _ in 0..200 {
        let (h, w) = (1 + rng.below(12), 1 + rng.below(12));
        let ((a, x), (b, y)) = (random_mask(&mut rng, h, w), random_mask(&mut rng, h, w));
        let count = |f: fn(u8, u8) -> u8| x.iter().zip(&y).map(|(&x, &y)| u64::from(f(x, y))).sum::<u64>();
        let (both, either, area) = (count(|x, y| x & y), count(|x, y| x | y), count(|x, _| x));
        assert_eq!((a.area(), a.intersection_area(&b), a.union(&b).area()), (area, both, either));
        let over = |n: u64| if both == 0 { 0.0 } else { both as f64 / n as f64 };
        assert_eq!((a.iou(&b, false), a.iou(&b, true)), (over(either), over(area)));
        let [x0, y0, bw, bh] = a.bounding_box().map(|v| v as usize);
        let inside = |p: usize| (x0..x0 + bw).contains(&(p % w)) && (y0..y0 + bh).contains(&(p / w));
        let pixels: Vec<usize> = (0..h * w).filter(|&p| x[p] == 1).collect();
        assert!(pixels.iter().all(|&p| inside(p)));
        for (edge, of) in [(x0, 0), (x0 + bw, 1), (y0, 2), (y0 + bh, 3)] {
            let touch = |&p: &usize| [p % w, p % w + 1, p / w, p / w + 1][of] == edge;
            assert!(pixels.is_empty() || pixels.iter().any(touch), "the box is the smallest");
        }
    }
}

#[test]
fn a_window_is_a_piece_of_the_image() {
    let mask = Rle::from_window(4, 5, [1, 2], 3, &[1, 0, 1, 1, 1, 0]).unwrap();
    #[rustfmt::skip]
    assert_eq!(mask.bitmap(), [
        0, 0, 0, 0, 0,
        0, 0, 0, 0, 0,
        0, 1, 0, 1, 0,
        0, 1, 1, 0, 0,
    ]);
    assert_eq!(Rle::from_window(4, 5, [5, 4], 0, &[]).unwrap(), Rle::empty(4, 5).unwrap());
}

#[test]
fn a_map_of_labels_holds_a_mask_for_each() {
    let mut rng = Rng::seed(3);
    for _ in 0..50 {
        let (h, w) = (1 + rng.below(8), 1 + rng.below(8));
        let labels: Vec<u16> = (0..h * w).map(|_| [0, 0, 1, 2, 700][rng.below(5)]).collect();
        let mut found = Rle::of_labels(h, w, &labels).unwrap().into_iter();
        for label in [1, 2, 700] {
            let bitmap: Vec<u8> = labels.iter().map(|&l| u8::from(l == label)).collect();
            if bitmap.contains(&1) {
                assert_eq!(found.next(), Some((label, Rle::from_bitmap(h, w, &bitmap).unwrap())));
            }
        }
        assert_eq!(found.next(), None);
    }
    assert_eq!(Rle::of_labels(0, 5, &[]).unwrap(), []);
}

#[test]
fn empty_runs_in_files_change_nothing() {
    let mask = Rle::from_counts(2, 3, &[0, 2, 0, 1, 3, 0]).unwrap();
    assert_eq!(mask.counts(), [0, 3, 3]);
    assert_eq!(mask.bounding_box(), [0.0, 0.0, 2.0, 2.0]);
    assert_eq!(Rle::empty(2, 3).unwrap().bounding_box(), [0.0; 4]);
}

#[test]
fn hostile_masks_are_errors() {
    let counts = |h, w, c: &[i64]| Rle::from_counts(h, w, c).unwrap_err().to_string();
    assert!(counts(2, 2, &[1, -1, 4]).contains("run of -1 pixels"));
    assert!(counts(2, 2, &[1, 4]).contains("beyond the image's 4 pixels"));
    assert!(counts(2, 2, &[1, 2]).contains("cover 3 of the image's 4"));
    assert!(counts(2, 2, &[i64::MAX, i64::MAX, i64::MAX]).contains("beyond"));
    assert!(counts(1 << 40, 1 << 40, &[]).contains("too large"));
    assert!(counts(u64::MAX, 0, &[]).contains("too large"));
    let text = |t: &str| Rle::from_compressed(2, 2, t).unwrap_err().to_string();
    assert!(text("4 ").contains("byte 32"));
    assert!(text("ä").contains("byte 195"));
    assert!(text("4o").contains("ends inside a number"));
    assert!(text(&"o".repeat(100)).contains("45 bits"));
    assert!(text("O").contains("run of -1 pixels")); // one group: 31, a negative sign
    assert!(text("5").contains("beyond"));
    let polygon = |p: &[f64]| Rle::from_polygon(9, 9, p).unwrap_err().to_string();
    assert!(polygon(&[0.0, 0.0, f64::NAN, 0.0, 1.0, 1.0]).contains("NaN"));
    assert!(polygon(&[0.0, 0.0, 1e30, 0.0, 1.0, 1.0]).contains("coordinate of 1"));
}

#[test]
fn a_polygon_far_larger_than_the_image_costs_no_more_than_the_image() {
    let far = 1e7;
    let mask = Rle::from_polygon(3, 4, &[-far, -far, far, -far, far, far, -far, far]).unwrap();
    assert_eq!(mask.counts(), [0, 12]);
    // A zigzag over all columns of a wide image, again and again, is refused before it fills the memory.
    let zigzag: Vec<f64> = (0..10_000).flat_map(|i| [f64::from(i % 2) * 1e6, f64::from(i % 3)]).collect();
    let error = Rle::from_polygon(3, 1_000_000, &zigzag).unwrap_err();
    assert!(error.to_string().contains("cross columns"), "{error}");
    // So are many polygons, each of which is short enough.
    let strip: Vec<f64> = (0..40).flat_map(|i| [f64::from(i % 2) * 1e6, f64::from(i % 3)]).collect();
    assert!(Rle::from_polygons(3, 100_000, std::slice::from_ref(&strip)).is_ok());
    let error = Rle::from_polygons(3, 100_000, &vec![strip; 300]).unwrap_err();
    assert!(error.to_string().contains("cross columns"), "{error}");
}

#[test]
fn a_union_of_many_is_what_any_of_them_covers() {
    let mut rng = gradus_core::Rng::seed(5);
    let (h, w) = (17, 23);
    for count in [0, 1, 2, 7, 40] {
        let triangle = |_| (0..6).map(|_| rng.range(-4.0, 26.0)).collect::<Vec<f64>>();
        let polygons: Vec<Vec<f64>> = (0..count).map(triangle).collect();
        let mut covered = vec![0; h * w];
        for polygon in &polygons {
            let mask = Rle::from_polygon(h as u64, w as u64, polygon).unwrap().bitmap();
            covered.iter_mut().zip(mask).for_each(|(all, one)| *all |= one);
        }
        let union = Rle::from_polygons(h as u64, w as u64, &polygons).unwrap();
        assert_eq!(union.bitmap(), covered, "{count}");
    }
}

#[test]
#[should_panic(expected = "masks of different height and width")]
fn masks_of_different_sizes_do_not_mix() {
    Rle::empty(2, 3).unwrap().union(&Rle::empty(3, 2).unwrap());
}
