//! Whole detectors at the edges: any number of threads, images without objects, without proposals, of one
//! pixel.

use gradus_core::{Module, Rng, Tape, Tensor};
use gradus_models::detection::{BackboneKind, Config, Detections, Detector, Masks, Target};

fn config(kind: BackboneKind) -> Config {
    Config { min_size: 64, max_size: 96, ..Config::new(kind, 3) }
}

fn image(size: [usize; 2], seed: u64) -> Tensor {
    let mut rng = Rng::seed(seed);
    Tensor::from_fn([size[0], size[1], 3], |_| rng.f32())
}

/// Rectangles and their bitmaps in an image of 48 x 64.
fn target(boxes: &[[usize; 4]], labels: &[usize]) -> Target {
    let mut bits = vec![0; boxes.len() * 48 * 64];
    for (mask, &[x1, y1, x2, y2]) in bits.chunks_exact_mut(48 * 64).zip(boxes) {
        (y1..y2).for_each(|y| mask[y * 64 + x1..y * 64 + x2].fill(1));
    }
    Target {
        boxes: Tensor::from_fn([boxes.len(), 4], |i| boxes[i / 4][i % 4] as f32),
        labels: labels.to_vec(),
        masks: Some(Masks { n: boxes.len(), height: 48, width: 64, bits }),
    }
}

fn two() -> (Vec<Tensor>, Vec<Target>) {
    let targets = [target(&[[8, 4, 30, 44], [33, 10, 60, 40]], &[1, 2]), target(&[[0, 0, 64, 48]], &[2])];
    (vec![image([48, 64], 1), image([48, 64], 2)], targets.into())
}

/// The losses by name, and each parameter's gradient where it has one.
fn step(
    net: &mut Detector,
    images: &[Tensor],
    targets: &[Target],
) -> (Vec<(&'static str, f64)>, Vec<Tensor>) {
    let mut g = Tape::train(&mut Rng::seed(7));
    let losses = net.losses(&mut g, images, targets).expect("good targets");
    let total = losses.total(&mut g);
    let gradients = g.backward(&total);
    let mut found = Vec::new();
    net.for_each_param(|_, p| found.extend(gradients.param(p).cloned()));
    (losses.values(), found)
}

fn bits(d: &Detections) -> (Vec<u32>, Vec<usize>, Vec<u32>, Vec<u32>) {
    let of = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect();
    (of(d.boxes.data()), d.labels.clone(), of(&d.scores), d.masks.iter().flat_map(|m| of(m.data())).collect())
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let live = Config { freeze_bn: false, ..config(BackboneKind::MobilenetV2Fpn) };
    for config in [config(BackboneKind::Resnet18Fpn).with_masks(), live] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let mut net = Detector::new(config.clone(), &mut Rng::seed(3));
                let (images, targets) = two();
                let found: Vec<_> = net.detect(&images).iter().map(bits).collect();
                (found, step(&mut net, &images, &targets))
            })
        };
        let (found, (losses, gradients)) = run(1);
        assert!(losses.iter().all(|(_, v)| v.is_finite()) && !gradients.is_empty());
        for threads in [2, 3] {
            let other = run(threads);
            assert!(other.0 == found && other.1.0 == losses, "{threads} threads");
            assert!(other.1.1 == gradients, "{threads} threads: gradients");
        }
    }
}

#[test]
fn images_without_objects_are_background() {
    let mut net = Detector::new(config(BackboneKind::Resnet18Fpn).with_masks(), &mut Rng::seed(3));
    let (images, mut targets) = two();
    targets[1] = Target::empty(Some([48, 64]));
    let (losses, _) = step(&mut net, &images, &targets);
    assert!(losses.iter().all(|(_, v)| v.is_finite() && *v > 0.0), "{losses:?}");
    targets[0] = Target::empty(Some([48, 64]));
    let (losses, gradients) = step(&mut net, &images, &targets);
    for (name, v) in &losses {
        let regression = ["loss_rpn_box_reg", "loss_box_reg", "loss_mask"].contains(name);
        assert!(if regression { *v == 0.0 } else { *v > 0.0 && v.is_finite() }, "{name} {v}");
    }
    assert!(gradients.iter().all(|g| g.data().iter().all(|v| v.is_finite())));
}

#[test]
fn nothing_proposed_and_nothing_sure() {
    let none = Config { rpn_post_nms_top_n: (0, 0), ..config(BackboneKind::Resnet18Fpn).with_masks() };
    let mut net = Detector::new(none, &mut Rng::seed(3));
    let (images, targets) = two();
    let empty = [Target::empty(Some([48, 64])), Target::empty(Some([48, 64]))];
    for targets in [&targets[..], &empty] {
        let (losses, _) = step(&mut net, &images, targets);
        assert!(losses.iter().all(|(_, v)| v.is_finite()), "{losses:?}");
    }
    let unsure = Config { box_score_thresh: 1.0, ..config(BackboneKind::Resnet18Fpn).with_masks() };
    for net in [net, Detector::new(unsure, &mut Rng::seed(3))] {
        for d in net.detect(&images) {
            assert_eq!(d.boxes.shape()[..], [0, 4]);
            assert_eq!(d.masks.expect("masks").shape()[..], [0, 28, 28]);
        }
    }
}

#[test]
fn images_of_a_pixel_and_of_a_line() {
    let net = Detector::new(config(BackboneKind::Resnet18Fpn).with_masks(), &mut Rng::seed(3));
    for size in [[1, 1], [1, 700], [700, 1]] {
        let [h, w] = size.map(|n| n as f32);
        for d in net.detect(&[image(size, 4)]) {
            let inside = |b: &[f32]| b[0] >= 0.0 && b[1] >= 0.0 && b[2] <= w * 1.0001 && b[3] <= h * 1.0001;
            assert!(d.boxes.data().chunks(4).all(inside), "{size:?}: {:?}", d.boxes);
        }
        let boxes = Tensor::from_slice([1, 4], &[0.0, 0.0, w, h]);
        let masks = Masks { n: 1, height: size[0], width: size[1], bits: vec![1; size[0] * size[1]] };
        let target = Target { boxes, labels: vec![1], masks: Some(masks) };
        let losses = net.losses(&mut Tape::train(&mut Rng::seed(0)), &[image(size, 4)], &[target]);
        assert!(losses.expect("a good target").values().iter().all(|(_, v)| v.is_finite()), "{size:?}");
    }
    assert!(net.detect(&[]).is_empty());
}

#[test]
fn bad_targets_are_named() {
    let net = Detector::new(config(BackboneKind::Resnet18Fpn).with_masks(), &mut Rng::seed(3));
    let (images, targets) = two();
    let error = |change: &dyn Fn(&mut Target)| {
        let mut targets = targets.clone();
        change(&mut targets[0]);
        let said = net.losses(&mut Tape::train(&mut Rng::seed(0)), &images, &targets);
        said.expect_err("a bad target").to_string()
    };
    let flat = error(&|t| t.boxes.data_mut()[6] = 33.0);
    assert!(
        flat.starts_with("image 0 of the batch, object 1: box [33.0, 10.0, 33.0, 40.0] has no width"),
        "{flat}"
    );
    assert!(error(&|t| t.boxes.data_mut()[0] = f32::NAN).contains("finite"));
    assert!(error(&|t| t.labels[1] = 3).contains("object 1: label 3 is not in 1 .. 2"));
    assert!(error(&|t| t.labels[1] = 0).contains("label 0"));
    assert!(error(&|t| t.labels = vec![1]).contains("for 1 labels"));
    assert!(error(&|t| t.masks = None).contains("no masks"));
    assert!(error(&|t| t.masks.as_mut().unwrap().height = 47).contains("64 x 47"));
}

#[test]
fn an_image_that_is_not_finite_is_named_and_others_are_detected_as_ever() {
    for kind in [BackboneKind::Resnet18Fpn, BackboneKind::MobilenetV2] {
        let net = Detector::new(config(kind).with_masks(), &mut Rng::seed(3));
        let (mut images, _) = two();
        let (plain, finite) = (net.detect(&images), net.detect_finite(&images).unwrap());
        for (a, b) in plain.iter().zip(&finite) {
            assert!(a.boxes == b.boxes && a.labels == b.labels && a.scores == b.scores && a.masks == b.masks);
        }
        images[1].data_mut()[7] = f32::NAN;
        let said = net.detect_finite(&images).unwrap_err().to_string();
        assert_eq!(said, "image 1 of the batch holds NaN or infinity", "{kind}");
    }
}

#[test]
fn weights_that_are_not_numbers_find_nothing_and_do_not_panic() {
    let mut net = Detector::new(config(BackboneKind::Resnet18Fpn).with_masks(), &mut Rng::seed(3));
    net.for_each_param(|_, p| p.value.data_mut().fill(f32::NAN));
    let (images, targets) = two();
    assert!(net.detect(&images).iter().all(|d| d.labels.is_empty()));
    let said = net.detect_finite(&images).unwrap_err().to_string();
    assert!(said.starts_with("the result of conv2d "), "{said}");
    let (losses, _) = step(&mut net, &images, &targets);
    assert!(losses.iter().any(|(_, v)| v.is_nan()), "the loss says so: {losses:?}");
}
