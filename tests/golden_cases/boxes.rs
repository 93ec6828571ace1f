//! Boxes, suppression, RoIAlign.

use super::Op;
use super::run::Run;
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::{Element, Var};
use gradus_models::detection::boxes::{self, Metric};
use gradus_models::detection::nms;

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        Op::new("box_iou", |r| matrix(r, Metric::Iou), 16.0),
        Op::new("generalized_box_iou", |r| matrix(r, Metric::Giou), 16.0),
        Op::new("distance_box_iou", |r| matrix(r, Metric::Diou), 16.0),
        Op::new("complete_box_iou", |r| matrix(r, Metric::Ciou), 16.0),
        Op::new("generalized_box_iou_loss", |r| loss(r, Metric::Giou), 16.0),
        Op::new("distance_box_iou_loss", |r| loss(r, Metric::Diou), 16.0),
        Op::new("complete_box_iou_loss", |r| loss(r, Metric::Ciou), 16.0),
        Op::new("nms", suppression, 0.0),
        Op::new("batched_nms", suppression, 0.0),
        Op::new("remove_small_boxes", remove_small, 0.0),
        Op::new("clip_boxes_to_image", clip, 4.0),
        Op::new("masks_to_boxes", masks_to_boxes, 4.0),
        Op::new("roi_align", roi_align, 256.0),
    ]
}

fn matrix<E: Element>(run: &mut Run<E>, metric: Metric) {
    let y = metric.matrix(&run.constant("boxes1"), &run.constant("boxes2"));
    run.output_plain("y", &y.into());
}

fn loss<E: Element>(run: &mut Run<E>, metric: Metric) {
    let (a, b) = (run.plain("boxes1"), run.plain("boxes2"));
    let each = metric.tape_loss(&mut run.tape, &a, &b);
    let y = match run.case.text_or("reduction", "none") {
        "none" => each,
        "sum" => run.tape.sum(each, &[0], false),
        "mean" => run.tape.mean(each, &[0], false),
        other => panic!("reduction {other}"),
    };
    run.output_plain("y", &y);
}

fn indices(keep: Vec<usize>) -> (Vec<usize>, Vec<i64>) {
    (vec![keep.len()], keep.into_iter().map(|i| i as i64).collect())
}

/// Of one class where there are no `idxs`.
fn suppression<E: Element>(run: &mut Run<E>) {
    let (b, scores) = (run.constant("boxes"), run.constant("scores"));
    let threshold = run.case.number("iou_threshold");
    let keep = if run.has("idxs") {
        let classes: Vec<usize> = run.case.integers("idxs").iter().map(|&i| i as usize).collect();
        nms::batched_nms(&b, scores.data(), &classes, threshold)
    } else {
        nms::nms(&b, scores.data(), threshold)
    };
    let (shape, keep) = indices(keep);
    run.integers("keep", &shape, keep);
}

fn remove_small<E: Element>(run: &mut Run<E>) {
    let least = E::from_f64(run.case.number("min_size"));
    let (shape, keep) = indices(boxes::remove_small(&run.constant("boxes"), least));
    run.integers("keep", &shape, keep);
}

/// The library clips values alone; the gradient is that of the clamps it is made of.
fn clip<E: Element>(run: &mut Run<E>) {
    let [height, width] = run.case.pair("size");
    let x = run.plain("boxes");
    let value = boxes::clip(x.value.clone(), [height, width]);
    let n = x.shape()[0] as isize;
    let corners = run.tape.reshape(x, &[2 * n, 2]);
    let clamped = [width, height].into_iter().zip(0..).map(|(limit, axis)| {
        let coordinate = run.tape.slice(corners.clone(), 1, axis, axis + 1, 1);
        run.tape.clamp(coordinate, 0.0, limit as f64)
    });
    let clamped: Vec<Var<E>> = clamped.collect();
    let corners = run.tape.concat(clamped, 1);
    let y = run.tape.reshape(corners, &[n, 4]);
    assert!(y.value == value, "boxes::clip differs from the clamps");
    run.output_plain("y", &y);
}

fn masks_to_boxes<E: Element>(run: &mut Run<E>) {
    let &[n, h, w] = run.shape("masks") else { panic!("masks [N, H, W]") };
    let bits: Vec<u8> = run.case.integers("masks").iter().map(|&v| v as u8).collect();
    let found = bits.chunks((h * w).max(1)).flat_map(|mask| {
        let bounds: [E; 4] = boxes::mask_to_box(mask, [h, w]).expect("a mask that is not empty");
        bounds.map(E::to_f64)
    });
    run.numbers("y", &[n, 4], found.collect());
}

fn roi_align<E: Element>(run: &mut Run<E>) {
    let rois = run.constant("rois");
    let rois: Vec<Roi<E>> = rois
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|&[image, x1, y1, x2, y2]| Roi {
            level: 0,
            image: image.to_f64() as usize,
            bounds: [x1, y1, x2, y2],
        })
        .collect();
    let align = RoiAlign {
        output: run.case.pair("output_size"),
        sampling: usize::try_from(run.case.integer_or("sampling_ratio", -1)).unwrap_or(0),
        aligned: run.case.flag("aligned"),
    };
    let scale = run.case.number_or("spatial_scale", 1.0);
    let x = run.images("x");
    let y = run.tape.roi_align(&[x], &[scale], &rois, align);
    run.output_images("y", &y);
}
