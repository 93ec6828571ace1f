//! Whole detectors: in evaluation stage by stage, each from the values expected of the one before, and from
//! end to end; in training the losses, what is trained on, and the gradients.

use super::detection::{image, masks, pasted};
use super::run::{IMAGE, Run};
use super::{Op, formula};
use gradus_core::{Element, Rng, Tape, Tensor, Var};
use gradus_models::detection::boxes::boxes;
use gradus_models::detection::matcher::Match;
use gradus_models::detection::pooler::Maps;
use gradus_models::detection::roi_heads::{Selected, box_head, mask_head};
use gradus_models::detection::rpn::Predictions;
use gradus_models::detection::transform::resize_boxes;
use gradus_models::detection::{BackboneKind, Config, Detections, Detector, Target};

pub fn table<E: Element>() -> Vec<Op<E>> {
    // PyTorch's own f32 is off by 2.3e-6 in evaluation, 4.4e-7 in the losses and proposals of ResNet-50.
    vec![Op::new("model.rcnn_eval", eval, 256.0), Op::new("model.rcnn_train", train, 128.0)]
}

fn config<E: Element>(run: &Run<E>) -> Config {
    let case = run.case;
    let arch = case.text_or("arch", "");
    let kind = match arch {
        "fasterrcnn_mobilenet_v2" => BackboneKind::MobilenetV2,
        "fasterrcnn_resnet50_fpn" | "maskrcnn_resnet50_fpn" => BackboneKind::Resnet50Fpn,
        other => panic!("arch {other}"),
    };
    let classes = usize::try_from(case.integer("num_classes")).expect("a number of classes");
    let mut c = Config { masks: arch.starts_with("maskrcnn"), ..Config::new(kind, classes) };
    let whole = |v: &serde_json::Value| v.as_u64().expect("a natural number") as usize;
    for (name, v) in case.attr("rcnn").and_then(|v| v.as_object()).into_iter().flatten() {
        match name.as_str() {
            "min_size" => c.min_size = whole(v),
            "max_size" => c.max_size = whole(v),
            "rpn_pre_nms_top_n_train" => c.rpn_pre_nms_top_n.0 = whole(v),
            "rpn_pre_nms_top_n_test" => c.rpn_pre_nms_top_n.1 = whole(v),
            "rpn_post_nms_top_n_train" => c.rpn_post_nms_top_n.0 = whole(v),
            "rpn_post_nms_top_n_test" => c.rpn_post_nms_top_n.1 = whole(v),
            "rpn_batch_size_per_image" => c.rpn_batch_size_per_image = whole(v),
            "box_batch_size_per_image" => c.box_batch_size_per_image = whole(v),
            "box_detections_per_img" => c.box_detections_per_img = whole(v),
            "box_score_thresh" => c.box_score_thresh = v.as_f64().expect("a number"),
            "box_nms_thresh" => c.box_nms_thresh = v.as_f64().expect("a number"),
            other => panic!("setting {other}"),
        }
    }
    if let Some(levels) = case.attr("anchor_sizes").and_then(|v| v.as_array()) {
        let level = |v: &serde_json::Value| v.as_array().map(|l| l.iter().map(whole).collect());
        c.anchor_sizes = levels.iter().map(|v| level(v).expect("sizes of a level")).collect();
    }
    c.trainable_layers = case.attr("trainable_layers").map_or(c.trainable_layers, whole);
    c
}

fn detector<E: Element>(run: &Run<E>) -> Detector<E> {
    let mut net = Detector::new(config(run), &mut Rng::seed(0));
    net.backbone.set_norm_eps(run.case.number_or("bn_eps", 1e-5));
    formula::fill(&mut net, &run.case.attrs);
    net
}

fn images<E: Element>(run: &Run<E>) -> Vec<Tensor<E>> {
    (0..run.case.integer("num_images")).map(|k| image(run, k)).collect()
}

/// NHWC in PyTorch's order and under its shape, whole or sampled.
fn put_images<E: Element>(run: &mut Run<E>, name: &str, t: &Tensor<E>) {
    let t = t.permute(&[0, 3, 1, 2]);
    run.sampled(name, t.shape(), &t);
}

fn eval<E: Element>(run: &mut Run<E>) {
    let (net, images) = (detector(run), images(run));
    let g = &mut Tape::infer();
    let batch = net.transform().batch(&images);
    put_images(run, "transform.batched", &batch.images);
    let flat: Vec<i64> = batch.sizes.iter().flatten().map(|&v| v as i64).collect();
    run.integers("transform.image_sizes", &[images.len(), 2], flat);

    let levels = net.backbone.forward(g, batch.images.clone().into());
    let mut predictions = Vec::new();
    for (k, level) in levels.iter().enumerate() {
        let p = net.rpn.head.forward(g, level.clone());
        let name = if k == 4 { "pool".to_string() } else { k.to_string() };
        put_images(run, &format!("features.{name}"), &level.value);
        let mut stored = |what: &str, v: &Var<E>| -> Var<E> {
            let name = format!("rpn.{what}.{k}");
            run.output(&name, v, IMAGE);
            run.read(run.case.tensor(&format!("out.{name}")), IMAGE).into()
        };
        let objectness = stored("objectness", &p.objectness);
        predictions.push(Predictions { objectness, deltas: stored("deltas", &p.deltas) });
    }
    let anchors = net.rpn.anchors.over(batch.padded(), &levels);
    let corners = Tensor::from_slice([anchors.boxes.len(), 4], anchors.boxes.as_flattened());
    run.sampled("rpn.anchors", corners.shape(), &corners);
    for (k, p) in net.rpn.proposals(&predictions, &anchors, &batch.sizes, false).into_iter().enumerate() {
        run.output_plain(&format!("rpn.proposals.{k}"), &p.boxes.into());
        let scores = Tensor::from_slice([p.scores.len()], &p.scores);
        run.output_plain(&format!("rpn.scores.{k}"), &scores.into());
    }
    second_stage(run, &net, &levels, &batch.sizes, &images);
    end_to_end(run, &net, &images);
}

/// What the file has of that stage.
fn stored<E: Element>(run: &Run<E>, name: &str) -> Tensor<E> {
    let raw = run.case.tensor(&format!("out.{name}"));
    run.read(raw, &super::run::plain(raw.shape().len()))
}

fn second_stage<E: Element>(
    run: &mut Run<E>,
    net: &Detector<E>,
    levels: &[Var<E>],
    sizes: &[[usize; 2]],
    images: &[Tensor<E>],
) {
    let g = &mut Tape::infer();
    let maps = net.roi_heads.maps(levels, sizes);
    let proposals: Vec<Tensor<E>> =
        (0..images.len()).map(|k| stored(run, &format!("rpn.proposals.{k}"))).collect();
    let pooled = maps.pool(g, &proposals, box_head::POOLED);
    put_images(run, "box.pooled", &pooled.value);
    let features = net.roi_heads.boxes.features(g, pooled);
    run.sampled("box.head", features.shape(), &features.value);
    let [logits, codes] = net.roi_heads.boxes.predict(g, features);
    run.output_plain("box.class_logits", &logits);
    run.output_plain("box.box_regression", &codes);

    let [logits, codes] = ["box.class_logits", "box.box_regression"].map(|n| Var::from(stored(run, n)));
    let (mut start, mut found) = (0, Vec::new());
    for (k, (proposals, &size)) in proposals.iter().zip(sizes).enumerate() {
        let end = start + proposals.shape()[0] as isize;
        let [logits, codes] = [&logits, &codes].map(|v| g.slice(v.clone(), 0, start, end, 1).value);
        start = end;
        let d = net.roi_heads.keep.detections(proposals, logits, &codes, size);
        put_detections(run, "det", k, &d);
        found.push(d);
    }
    for (k, (d, image)) in found.iter_mut().zip(images).enumerate() {
        d.boxes = stored(run, &format!("det.boxes.{k}"));
        let b = resize_boxes(&d.boxes, sizes[k], [image.shape()[0], image.shape()[1]]);
        run.output_plain(&format!("final.boxes.{k}"), &b.into());
    }
    mask_stage(run, net, maps, &found, images);
}

fn put_detections<E: Element>(run: &mut Run<E>, stage: &str, k: usize, d: &Detections<E>) {
    run.output_plain(&format!("{stage}.boxes.{k}"), &d.boxes.clone().into());
    let scores = Tensor::from_slice([d.scores.len()], &d.scores);
    run.output_plain(&format!("{stage}.scores.{k}"), &scores.into());
    let labels = d.labels.iter().map(|&l| l as i64).collect();
    run.integers(&format!("{stage}.labels.{k}"), &[d.labels.len()], labels);
}

fn mask_stage<E: Element>(
    run: &mut Run<E>,
    net: &Detector<E>,
    maps: Maps<'_, E>,
    found: &[Detections<E>],
    images: &[Tensor<E>],
) {
    let Some(head) = &net.roi_heads.mask else { return };
    let g = &mut Tape::infer();
    let regions: Vec<Tensor<E>> = found.iter().map(|d| d.boxes.clone()).collect();
    let pooled = maps.pool(g, &regions, mask_head::POOLED);
    put_images(run, "mask.pooled", &pooled.value);
    let logits = head.forward(g, pooled);
    put_images(run, "mask.logits", &logits.value);
    let mut start = 0;
    for (k, (d, image)) in found.iter().zip(images).enumerate() {
        let n = d.labels.len();
        let own = g.slice(logits.clone(), 0, start, start + n as isize, 1).value;
        start += n as isize;
        let side = mask_head::SIDE;
        let p = mask_head::probabilities(own, &d.labels).reshape([n, 1, side, side]);
        run.output_plain(&format!("mask.probs.{k}"), &p.into());
        let b = stored(run, &format!("final.boxes.{k}"));
        let size = [image.shape()[0], image.shape()[1]];
        let whole = pasted(&stored(run, &format!("mask.probs.{k}")), &b, size);
        run.sampled(&format!("final.masks.{k}"), whole.shape(), &whole);
    }
}

/// From images to detections in one go. PyTorch's f32 and f64 differ by up to 2.8e-4 pixels in these cases;
/// ten times that is allowed in f32.
fn end_to_end<E: Element>(run: &Run<E>, net: &Detector<E>, images: &[Tensor<E>]) {
    assert!(run.case.flag("e2e_float32_agrees"), "so in every case");
    let bound = if E::NAME == "f32" { 3e-3 } else { 1e-9 };
    for (k, d) in net.detect(images).iter().enumerate() {
        let labels = run.case.tensor(&format!("out.det.labels.{k}")).to_i64().expect("labels");
        assert!(d.labels.iter().map(|&l| l as i64).eq(labels), "image {k}: {:?}", d.labels);
        let scores = Tensor::from_slice([d.scores.len()], &d.scores);
        for (name, got) in [("final.boxes", &d.boxes), ("det.scores", &scores)] {
            let want = stored(run, &format!("{name}.{k}"));
            assert_eq!(got.shape(), want.shape(), "end to end: {name}.{k}");
            let error = got.data().iter().zip(want.data()).map(|(a, b)| (*a - *b).to_f64().abs());
            let worst = error.fold(0.0, f64::max);
            assert!(worst <= bound, "end to end: {name}.{k} is off by {worst:e}");
        }
    }
}

fn train<E: Element>(run: &mut Run<E>) {
    let case = run.case;
    let (mut net, images) = (detector(run), images(run));
    // PyTorch's own f32 is off by so much in the gradients, from units that cross a kink of ReLU between the
    // precisions, and with batch statistics over a few pixels in everything: 1.2e-4; 8.2e-3, 2.7e-5, 3.1e-4.
    // The bounds are 4 to 10 times that.
    if net.config().freeze_bn {
        run.allow("out.gradnorm.", 20_000.0);
    } else {
        run.allow("out.gradnorm.", 600_000.0);
        run.allow("out.loss", 4_096.0);
        run.allow("out.total_loss", 4_096.0);
        run.allow("out.rpn.proposals", 40_000.0);
    }
    let target = |k: usize| Target {
        boxes: run.constant(&format!("boxes{k}")),
        labels: case.integers(&format!("labels{k}")).iter().map(|&l| l as usize).collect(),
        masks: net.config().masks.then(|| masks(run, &format!("masks{k}"))),
    };
    let targets: Vec<Target<E>> = (0..images.len()).map(target).collect();
    what_is_trained_on(run, &net, &images, &targets);

    let mut g = Tape::train(&mut Rng::seed(0));
    let losses = net.losses(&mut g, &images, &targets).expect("good targets");
    for (name, value) in losses.values() {
        run.numbers(name, &[], vec![value]);
    }
    let total = losses.total(&mut g);
    run.output_plain("total_loss", &total.detach());
    let gradients = g.backward(&total);
    run.parameter_gradients(&mut net, &gradients);
}

fn what_is_trained_on<E: Element>(
    run: &mut Run<E>,
    net: &Detector<E>,
    images: &[Tensor<E>],
    targets: &[Target<E>],
) {
    let batch = net.transform().batch(images);
    let g = &mut Tape::train(&mut Rng::seed(0));
    let levels = net.backbone.forward(g, batch.images.clone().into());
    let anchors = net.rpn.anchors.over(batch.padded(), &levels);
    let predictions: Vec<_> = levels.iter().map(|l| net.rpn.head.forward(g, l.clone())).collect();
    let proposals = net.rpn.proposals(&predictions, &anchors, &batch.sizes, true);
    let mut counts = [0; 3];
    for (k, (p, target)) in proposals.into_iter().zip(targets).enumerate() {
        let target = net.transform().target(target, [images[k].shape()[0], images[k].shape()[1]]);
        for m in net.rpn.choice.matcher.boxes(boxes(&target.boxes), &anchors.boxes) {
            counts[match m {
                Match::Object(_) => 0,
                Match::Background => 1,
                Match::Between => 2,
            }] += 1;
        }
        let selected = Selected::new(&net.roi_heads.choice, &p.boxes, &target, &mut Rng::seed(0));
        run.output_plain(&format!("rpn.proposals.{k}"), &p.boxes.into());
        for (name, list) in [("labels", selected.labels), ("matched_idxs", selected.matched)] {
            let list: Vec<i64> = list.into_iter().map(|v| v as i64).collect();
            run.integers(&format!("roi.{name}.{k}"), &[list.len()], list);
        }
    }
    run.integers("rpn.num_pos_neg_ignored", &[3], counts.to_vec());
}
