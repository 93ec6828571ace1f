use super::*;

#[test]
fn a_scene_is_a_function_of_seed_and_index() {
    let (a, b) = (Scenes::new(1, 10, 96, 64), Scenes::new(1, 500, 96, 64));
    let (x, y) = (a.draw(7), b.draw(7));
    assert_eq!((x.image, x.objects), (y.image, y.objects));
    assert_ne!(a.draw(7).image, a.draw(8).image);
    assert_ne!(a.draw(7).image, Scenes::new(2, 10, 96, 64).draw(7).image);
}

#[test]
fn masks_are_disjoint_and_fill_their_boxes() {
    let scenes = Scenes::new(3, 60, 160, 120);
    let mut walkers = 0;
    for i in 0..scenes.len() {
        let sample = scenes.load(i).unwrap();
        walkers += sample.objects.len();
        let masks: Vec<_> = sample.objects.iter().filter_map(|o| o.mask.as_ref()).collect();
        for (k, (mask, o)) in masks.iter().zip(&sample.objects).enumerate() {
            let [x, y, w, h] = mask.bounding_box();
            assert_eq!([x, y, x + w, y + h], o.bbox.map(f64::from));
            assert!(w >= LEAST_SIDE && h >= LEAST_SIDE && x + w <= 160.0 && y + h <= 120.0);
            assert_eq!(mask.area() as f64, o.area);
            assert!(masks[..k].iter().all(|other| other.intersection_area(mask) == 0));
        }
    }
    assert!((60..400).contains(&walkers), "{walkers} walkers in 60 scenes");
}

#[test]
fn every_size_works() {
    for (w, h) in [(32, 32), (33, 47), (64, 48), (240, 60), (60, 240), (401, 300)] {
        let sample = Scenes::new(5, 3, w, h).draw(1);
        assert_eq!((sample.image.width(), sample.image.height()), (w, h));
    }
}

#[test]
fn walkers_differ_from_what_is_behind_them() {
    // Where the mask is, the picture must show something: a mask shifted by its own width fits worse.
    // Measured as the mean step of brightness over the masks' outlines, against the same shifted away.
    let scenes = Scenes::new(9, 40, 160, 120);
    let (mut on, mut off) = (0.0, 0.0);
    for i in 0..scenes.len() {
        let sample = scenes.draw(i);
        let gray = sample.image.clone().to_gray8();
        for mask in sample.objects.iter().filter_map(|o| o.mask.as_ref()) {
            let bitmap = mask.bitmap();
            let step = |shift: usize| {
                let (mut sum, mut n) = (0.0, 0);
                for p in 0..160 * 120 - 1 {
                    if p % 160 < 159 && bitmap[p] != bitmap[p + 1] {
                        let q = p / 160 * 160 + (p % 160 + shift) % 159;
                        sum += f64::from(gray.as_u8()[q].abs_diff(gray.as_u8()[q + 1]));
                        n += 1;
                    }
                }
                sum / f64::from(n.max(1))
            };
            on += step(0);
            off += step(53);
        }
    }
    assert!(on > 2.0 * off, "steps at outlines {on:.0}, elsewhere {off:.0}");
}
