//! Whole networks: steps of training, what is detected, and a small training that is interrupted.

use super::case::{Case, Parts, fallible, parts};
use super::digest::{self, Digester};
use super::draw;
use crate::data::{Loader, SyntheticShapes, Transform};
use crate::engine::resume;
use crate::error::{Error, Result};
use gradus_core::{Adam, Module, OneCycle, Optimizer, Rng, Sgd, Slot, Tape, Tensor, Var};
use gradus_models::checkpoint::Metadata;
use gradus_models::detection::{BackboneKind, Config, Detections, Detector, Masks, Target};
use gradus_models::{AlexNet, MobileNetV2};

pub(super) fn cases() -> Vec<Case> {
    vec![
        parts("networks/alexnet", || {
            let net = AlexNet::cifar(10, &mut Rng::seed(11));
            classifier(net, [2, 32, 32, 3], |net, g, x| net.forward(g, x))
        }),
        parts("networks/mobilenet-v2", || {
            let net = MobileNetV2::new(10, &mut Rng::seed(12));
            classifier(net, [2, 64, 64, 3], |net, g, x| net.forward(g, x))
        }),
        parts("networks/faster-rcnn-resnet50-fpn", || {
            detector(Config::new(BackboneKind::Resnet50Fpn, 3), Rng::seed(13))
        }),
        parts("networks/mask-rcnn-resnet50-fpn", || {
            detector(Config::new(BackboneKind::Resnet50Fpn, 3).with_masks(), Rng::seed(14))
        }),
        fallible("training/mobilenet-v2-interrupted", || training(true)),
    ]
}

/// Parameters and statistics, by name.
fn state(d: &mut Digester, net: &mut impl Module<f32>) {
    net.for_each(|name, slot| {
        d.text(name);
        match slot {
            Slot::Param(p) => d.tensor(&p.value),
            Slot::Buffer(t) => d.tensor(t),
        }
    });
}

/// First weights, the losses of two steps of Adam, and the weights then.
fn classifier<N: Module<f32>>(
    mut net: N,
    images: [usize; 4],
    forward: impl Fn(&N, &mut Tape, Var) -> Var,
) -> Parts {
    let first = digest::of(|d| state(d, &mut net));
    let mut rng = draw::stream("networks/classifier");
    let mut adam = Optimizer::new(Adam::new(1e-3));
    let losses = digest::of(|d| {
        for _ in 0..2 {
            let x = draw::tensor(&images, &mut rng);
            let labels: Vec<usize> = (0..images[0]).map(|_| rng.below(10)).collect();
            let mut g = Tape::train(&mut rng);
            let logits = forward(&net, &mut g, x.into());
            let loss = g.cross_entropy(logits, &labels);
            d.tensor(&loss.value);
            adam.step(&mut net, &g.backward(&loss)).expect("gradients are finite");
        }
    });
    vec![("first-weights", first), ("losses", losses), ("weights", digest::of(|d| state(d, &mut net)))]
}

/// [height, width]
const SIZE: [usize; 2] = [96, 112];

/// Two objects, of classes 1 and 2.
fn target(masks: bool) -> Target {
    let [h, w] = SIZE;
    let corners = [[8, 16, 52, 80], [60, 10, 104, 64]];
    let boxes: Vec<f32> = corners.as_flattened().iter().map(|&v| v as f32).collect();
    let inside = |i: usize| {
        let ([x1, y1, x2, y2], y, x) = (corners[i / (h * w)], i / w % h, i % w);
        u8::from((y1..y2).contains(&y) && (x1..x2).contains(&x) && (x + y) % 7 != 0)
    };
    let bits = || (0..2 * h * w).map(inside).collect();
    let masks = masks.then(|| Masks { n: 2, height: h, width: w, bits: bits() });
    Target { boxes: Tensor::from_slice([2, 4], &boxes), labels: vec![1, 2], masks }
}

/// The losses of two steps of SGD, the weights then, and what is detected.
fn detector(config: Config, mut rng: Rng) -> Parts {
    let masks = config.masks;
    let config = Config { min_size: 96, max_size: 128, box_score_thresh: 0.0, ..config };
    let mut net = Detector::<f32>::new(config, &mut rng);
    let images = [Tensor::from_fn([SIZE[0], SIZE[1], 3], |_| rng.f32())];
    let targets = [target(masks)];
    let mut sgd = Optimizer::new(Sgd { momentum: 0.9, weight_decay: 0.0005, ..Sgd::new(0.002) });
    let losses = digest::of(|d| {
        for _ in 0..2 {
            let mut g = Tape::train(&mut rng);
            let losses = net.losses(&mut g, &images, &targets).expect("the targets are sound");
            d.doubles(&losses.values().iter().map(|(_, v)| *v).collect::<Vec<_>>());
            let total = losses.total(&mut g);
            sgd.step(&mut net, &g.backward(&total)).expect("gradients are finite");
        }
    });
    let weights = digest::of(|d| state(d, &mut net));
    let detected = digest::of(|d| net.detect(&images).iter().for_each(|found| detections(d, found)));
    vec![("losses", losses), ("weights", weights), ("detections", detected)]
}

fn detections(d: &mut Digester, found: &Detections) {
    d.tensor(&found.boxes);
    found.labels.iter().for_each(|&l| d.number(l));
    d.floats(&found.scores);
    found.masks.iter().for_each(|m| d.tensor(m));
}

const EPOCHS: usize = 2;
const BATCH: usize = 8;

/// MobileNetV2 on drawn shapes, changed at random as CIFAR-10's are; between the epochs the training may go
/// through a file. Its losses; the weights and moments in the end; the logits of images that it did not see.
fn training(interrupted: bool) -> Result<Parts> {
    let (seed, splits) = (Rng::seed(15), SyntheticShapes::with_len(15, 32).split());
    let fresh = || MobileNetV2::new(10, &mut seed.stream("init"));
    let (mut net, mut adam) = (fresh(), Optimizer::new(Adam::decoupled(1e-3)));
    let loader = Loader::training(splits.train, Transform::CIFAR, BATCH, &seed);
    let cycle = OneCycle::new(2e-3, EPOCHS * loader.batches());
    let mut losses = Digester::default();
    for epoch in 0..EPOCHS {
        if interrupted && epoch > 0 {
            (net, adam) = through_a_file(net, adam, fresh())?;
        }
        for number in 0..loader.batches() {
            let batch = loader.batch(epoch, number)?;
            let step = epoch * loader.batches() + number;
            adam.set_lr(cycle.lr(step));
            cycle.momentum(step).into_iter().for_each(|m| adam.rule.set_momentum(m));
            let mut g = Tape::train(&mut seed.stream("dropout").at(step as u64));
            let logits = net.forward(&mut g, batch.images.into());
            let loss = g.cross_entropy(logits, &batch.labels);
            losses.tensor(&loss.value);
            adam.step(&mut net, &g.backward(&loss))?;
        }
    }
    let weights = digest::of(|d| state(d, &mut net));
    let moments = digest::of(|d| {
        for (name, state) in adam.state() {
            d.text(name);
            state.buffers.iter().for_each(|b| d.tensor(b));
        }
    });
    let logits = evaluated(&net, Loader::evaluation(splits.val, Transform::CIFAR, BATCH))?;
    Ok(vec![("losses", losses.finish()), ("weights", weights), ("moments", moments), ("logits", logits)])
}

/// Saved, and loaded into a network and an optimiser that know nothing.
fn through_a_file(
    mut net: MobileNetV2,
    adam: Optimizer,
    mut fresh: MobileNetV2,
) -> Result<(MobileNetV2, Optimizer)> {
    let folder = tempfile::tempdir().map_err(|e| Error::write(&std::env::temp_dir(), &e))?;
    let file = folder.path().join("state.safetensors");
    resume::save(&file, &mut net, &adam, &(), &Metadata::new())?;
    let mut resumed = Optimizer::new(adam.rule);
    let () = resume::load(&file, &mut fresh, &mut resumed)?;
    Ok((fresh, resumed))
}

fn evaluated(net: &MobileNetV2, loader: Loader<Transform>) -> Result<digest::Digest> {
    let mut logits = Digester::default();
    for number in 0..loader.batches() {
        let batch = loader.batch(0, number)?;
        logits.tensor(&net.forward(&mut Tape::infer(), batch.images.into()).value);
    }
    Ok(logits.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_leaves_no_trace() {
        assert_eq!(training(true).unwrap(), training(false).unwrap());
    }
}
