//! The bodies of detectors and their pyramid, stage by stage, with parameters by formula.

use super::Op;
use super::formula::{self, Uniform};
use super::run::{IMAGE, Run, inverse, permute};
use gradus_core::{Activation, Element, Gradients, Module, Rng, Slot, Tape, Tensor, Var};
use gradus_models::Norm;
use gradus_models::body::Body;
use gradus_models::detection::{Backbone, BackboneKind};
use gradus_models::mobilenet::MobileNetV2Features;
use gradus_models::resnet::{Depth, ResNetBody};

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        // To normalise by the few values of a batch, layer after layer, amplifies: PyTorch's own gradients in
        // float64 move by up to 6e-13 when its input moves by one roundoff, and every layer adds some
        // roundoffs.
        Op::new("model.mobilenet_v2_features", mobilenet, 1024.0).in_training(16384.0, 5e-12),
        Op::new("model.resnet_features", resnet, 512.0),
        Op::new("model.resnet_fpn", resnet_fpn, 128.0),
    ]
}

/// Maps of a stage, in PyTorch's order.
fn maps<E: Element>(run: &mut Run<E>, name: &str, maps: &Tensor<E>) {
    let values: Vec<f64> = maps.data().iter().map(|v| v.to_f64()).collect();
    let (shape, values) = permute(maps.shape(), &values, &inverse(IMAGE));
    run.sampled_values(name, &shape, values);
}

/// The loss Σ y w / numel with w by formula, and the gradients of it.
fn loss<E: Element>(run: &mut Run<E>, g: Tape<E>, y: &Var<E>) -> Gradients<E> {
    let numel = y.value.len();
    let uniform = Uniform::named(&format!("{}up", run.case.text_or("salt", "")));
    let w: Vec<f64> = (0..numel).map(|i| (2.0 * uniform.at(i) - 1.0) / numel as f64).collect();
    let [n, h, width, c] = y.value.dims("maps");
    let (shape, w) = permute(&[n, c, h, width], &w, IMAGE);
    let loss = y.value.data().iter().zip(&w).map(|(y, w)| y.to_f64() * w).sum();
    run.numbers("loss", &[], vec![loss]);
    let seed = Tensor::from_fn(&shape[..], |i| E::from_f64(w[i]));
    g.backward_from([(y.node, seed)])
}

/// The gradients of MobileNetV2's features 0 to 7.
const BEFORE_THE_UNIT: [&str; 8] = [
    "out.gradsample.0.",
    "out.gradsample.1.",
    "out.gradsample.2.",
    "out.gradsample.3.",
    "out.gradsample.4.",
    "out.gradsample.5.",
    "out.gradsample.6.",
    "out.gradsample.7.",
];

fn mobilenet<E: Element>(run: &mut Run<E>) {
    let training = run.case.flag("training");
    let mut net = MobileNetV2Features::<E>::new(Norm::Trained, &mut Rng::seed(0));
    formula::fill(&mut net, &run.case.attrs);
    let x = run.images("x");
    let mut g = if training { Tape::train(&mut Rng::seed(0)) } else { Tape::eval() };
    let y = net.forward_each(&mut g, x, |k, y| maps(run, &format!("features.{k}"), &y.value));
    let gradients = loss(run, g, &y);
    run.parameter_gradients(&mut net, &gradients);
    if !training {
        return;
    }
    if E::NAME == "f32" {
        // One unit of block 8's depthwise convolution, number 12,517, stands 1.7e-6 above ReLU6's kink at 0,
        // where f32 is off by up to 1.7e-5. Rounded otherwise, f32 may put it on the other side, and no other
        // unit of the network: that unit alone, put there in f64, moves the gradients of the blocks
        // before by up to 3.54e-3 of the greatest and those of later blocks by less than 2e-6. So 3.54e-3 are
        // added to the op's own bound, 16,384 roundoffs.
        for block in BEFORE_THE_UNIT {
            run.allow(block, 16_384.0 + 3.54e-3 / f32::UNIT_ROUNDOFF);
        }
    }
    net.for_each(|name, slot| {
        let Slot::Buffer(t) = slot else { return };
        if !name.ends_with("num_batches_tracked") {
            let first: Vec<f64> = t.data().iter().take(16).map(|v| v.to_f64()).collect();
            run.numbers(&format!("buffer.{name}"), &[first.len()], first);
        }
    });
}

fn resnet<E: Element>(run: &mut Run<E>) {
    let depth = match run.case.text_or("arch", "resnet50") {
        "resnet18" => Depth::R18,
        "resnet34" => Depth::R34,
        "resnet50" => Depth::R50,
        other => panic!("no ResNet is called {other}"),
    };
    let mut net = ResNetBody::<E>::new(depth, Norm::Frozen, &mut Rng::seed(0));
    net.set_norm_eps(run.case.number_or("bn_eps", 1e-5));
    formula::fill(&mut net, &run.case.attrs);
    let x = run.images("x");
    let stem = net.stem(&mut Tape::infer(), x.clone());
    maps(run, "conv1_bn_relu", &stem.value);
    let pooled = Tape::infer().max_pool2d(stem, ResNetBody::<E>::POOL, Activation::None);
    maps(run, "maxpool", &pooled.value);
    let mut g = Tape::eval();
    let layers = net.forward(&mut g, x);
    for (l, y) in layers.iter().enumerate() {
        maps(run, &format!("layer{}", l + 1), &y.value);
    }
    if run.case.flag("grad") {
        let gradients = loss(run, g, &layers[3]);
        run.parameter_gradients(&mut net, &gradients);
    }
}

fn resnet_fpn<E: Element>(run: &mut Run<E>) {
    let name = format!("{}-fpn", run.case.text_or("arch", "resnet50"));
    let kind = name.parse::<BackboneKind>().unwrap_or_else(|e| panic!("{e}"));
    let mut net = Backbone::<E>::new(kind, 3, Norm::Frozen, &mut Rng::seed(0));
    net.set_norm_eps(run.case.number_or("bn_eps", 1e-5));
    formula::fill(&mut net, &run.case.attrs);
    let x = run.images("x");
    for (level, y) in ["0", "1", "2", "3", "pool"].iter().zip(net.forward(&mut Tape::infer(), x)) {
        maps(run, &format!("fpn.{level}"), &y.value);
    }
}
