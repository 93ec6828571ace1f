//! Networks have torchvision's tensors: the names, shapes and order of `state_dict()`, listed by
//! `data/torchvision/make_names.py`.

use gradus_core::{Element, Module, Rng, Slot, Tape, Tensor, Var};
use gradus_models::body::Body;
use gradus_models::checkpoint::{StateDict, state_dict};
use gradus_models::detection::{Backbone, BackboneKind, Config, Detector};
use gradus_models::mobilenet::MobileNetV2Features;
use gradus_models::resnet::{Depth, ResNetBody};
use gradus_models::{MobileNetV2, Norm, ResNet};
use std::path::Path;

/// Name and shape of each tensor of a network's list.
fn listed(network: &str) -> Vec<(String, Vec<usize>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torchvision");
    let list = std::fs::read_to_string(folder.join(format!("{network}.txt")));
    let line = |line: &str| {
        let (name, shape) = line.split_once(' ').expect("a name and a shape");
        let extents = shape.split('x').filter(|d| !d.is_empty());
        (name.to_owned(), extents.map(|d| d.parse().expect("an extent")).collect())
    };
    list.unwrap_or_else(|e| panic!("{network}: {e}")).lines().map(line).collect()
}

/// The list of Faster R-CNN with this backbone.
fn faster(kind: BackboneKind) -> String {
    format!("fasterrcnn_{}", kind.name().replace('-', "_"))
}

/// Compares with what the network's list has below `prefix`.
#[track_caller]
fn assert_listed(state: &StateDict, network: &str, prefix: &str) {
    let expected: Vec<_> = listed(network)
        .into_iter()
        .filter_map(|(name, shape)| Some((name.strip_prefix(prefix)?.to_string(), shape)))
        .collect();
    let found: Vec<_> = state.iter().map(|(name, t)| (name.clone(), t.shape().to_vec())).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

fn trainable<E: Element>(net: &mut impl Module<E>) -> usize {
    let mut n = 0;
    net.for_each_param(|_, p| n += if p.trainable { p.value.len() } else { 0 });
    n
}

fn backbone(kind: BackboneKind, trainable: usize) -> Backbone {
    Backbone::new(kind, trainable, kind.default_norm(), &mut Rng::seed(0))
}

#[test]
fn backbones_have_torchvisions_tensors() {
    for kind in BackboneKind::ALL {
        // All parameters, and those that are trained by default: what make_names.py prints.
        let parameters = match kind {
            BackboneKind::Resnet50Fpn => [26_799_296, 26_576_896],
            BackboneKind::Resnet34Fpn => [23_874_752, 23_644_160],
            BackboneKind::Resnet18Fpn => [13_774_016, 13_617_152],
            BackboneKind::MobilenetV2 => [2_223_872; 2],
            BackboneKind::MobilenetV2Fpn => [4_909_504, 4_857_536],
        };
        let mut net = backbone(kind, kind.default_trainable());
        assert_eq!([net.num_params(), trainable(&mut net)], parameters, "{kind}");
        let state = state_dict(&mut net);
        assert_listed(&state, &faster(kind), "backbone.");
        let whole: StateDict = state.into_iter().map(|(name, t)| (format!("backbone.{name}"), t)).collect();
        assert_eq!(BackboneKind::recognise(&whole), Some(kind));
    }
    assert_eq!(
        BackboneKind::recognise(&state_dict(&mut MobileNetV2::<f32>::new(2, &mut Rng::seed(0)))),
        None
    );
}

#[test]
fn detectors_have_torchvisions_tensors() {
    use BackboneKind::{MobilenetV2, MobilenetV2Fpn, Resnet18Fpn, Resnet50Fpn};
    let whole = |config: Config, list: &str, parameters: [usize; 2]| {
        let mut net = Detector::<f32>::new(config, &mut Rng::seed(0));
        assert_eq!([net.num_params(), trainable(&mut net)], parameters);
        assert_listed(&state_dict(&mut net), list, "");
    };
    let lines = ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v2"];
    assert_eq!(lines.map(|list| listed(list).len()), [295, 307, 326]);
    whole(Config::new(Resnet50Fpn, 91), &faster(Resnet50Fpn), [41_755_286, 41_532_886]);
    let masks = Config::new(Resnet50Fpn, 91).with_masks();
    whole(masks, "maskrcnn_resnet50_fpn", [44_401_393, 44_178_993]);
    for (kind, parameters) in [
        (MobilenetV2, [82_352_981; 2]),
        (Resnet18Fpn, [28_273_881, 28_117_017]),
        (MobilenetV2Fpn, [19_409_369, 19_357_401]),
    ] {
        whole(Config::new(kind, 2), &faster(kind), parameters);
    }
}

#[test]
fn two_classes_have_the_tutorials_parameters() {
    for (config, parameters) in [
        (Config::new(BackboneKind::Resnet50Fpn, 2), [41_299_161, 41_076_761]),
        (Config::new(BackboneKind::Resnet50Fpn, 2).with_masks(), [43_922_395, 43_699_995]),
    ] {
        let mut net = Detector::<f32>::new(config, &mut Rng::seed(0));
        assert_eq!([net.num_params(), trainable(&mut net)], parameters);
    }
}

#[test]
fn classifiers_have_torchvisions_parameters() {
    let rng = &mut Rng::seed(0);
    for (depth, tensors, parameters) in
        [(Depth::R18, 122, 11_689_512), (Depth::R34, 218, 21_797_672), (Depth::R50, 320, 25_557_032)]
    {
        let mut net = ResNet::<f32>::new(depth, 1000, rng);
        assert_eq!((state_dict(&mut net).len(), net.num_params()), (tensors, parameters), "{depth:?}");
    }
    let mut net = MobileNetV2::<f32>::new(1000, rng);
    assert_eq!((state_dict(&mut net).len(), net.num_params()), (314, 3_504_872));
}

#[test]
fn fresh_weights_spread_as_torchvisions() {
    let mut found = std::collections::HashMap::new();
    let mut spread = |name: &str, slot: Slot<'_, f32>| {
        let Slot::Param(p) = slot else { return };
        let values = p.value.data();
        let square: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        found.insert(name.to_string(), ((square / values.len() as f64).sqrt(), values.len()));
    };
    let rng = &mut Rng::seed(0);
    ResNet::new(Depth::R18, 1000, rng).for_each(&mut spread);
    MobileNetV2::new(1000, rng).for_each(&mut spread);
    backbone(BackboneKind::Resnet18Fpn, 3).for_each(&mut spread);
    for (name, fan, gain) in [
        // kaiming_normal_(mode="fan_out"): √(2 / (out · kernel)).
        ("layer2.0.conv1.weight", 128 * 9, 2.0),
        ("features.2.conv.1.0.weight", 96 * 9, 2.0),
        ("features.18.0.weight", 1280, 2.0),
        // Uniform in ±1/√in, PyTorch's default for linear layers, and normal of deviation 0.01.
        ("fc.weight", 512, 1.0 / 3.0),
        ("fc.bias", 512, 1.0 / 3.0),
        ("classifier.1.weight", 1, 1e-4),
        // kaiming_uniform_(a=1): √(1 / (in · kernel)).
        ("fpn.inner_blocks.3.0.weight", 512, 1.0),
        ("fpn.layer_blocks.0.0.weight", 256 * 9, 1.0),
    ] {
        let (spread, n) = found[name];
        let expected = (gain / fan as f64).sqrt();
        // The standard error of a normal sample's deviation is 1/√(2n) of it: six of them.
        assert!(
            (spread / expected - 1.0).abs() < 6.0 / (2.0 * n as f64).sqrt(),
            "{name}: {spread}, {expected}"
        );
    }
    for (name, value) in [("layer1.0.bn1.weight", 1.0), ("bn1.bias", 0.0), ("fpn.inner_blocks.0.0.bias", 0.0)]
    {
        assert_eq!(found[name].0, value, "{name}");
    }
}

#[test]
fn frozen_stages_record_nothing() {
    let x = || -> Var { Tensor::from_fn([1, 64, 64, 3], |i| (0.37 * i as f32).sin()).into() };
    let layers_recorded = |trainable: usize| {
        let mut net = ResNetBody::<f32>::new(Depth::R18, Norm::Frozen, &mut Rng::seed(0));
        net.train_last(trainable);
        let mut g = Tape::train(&mut Rng::seed(0));
        let maps = net.forward(&mut g, x());
        (maps.map(|map| map.node.is_some()), g.is_empty())
    };
    assert_eq!(layers_recorded(0), ([false; 4], true));
    assert_eq!(layers_recorded(1), ([false, false, false, true], false));
    assert_eq!(layers_recorded(3), ([false, true, true, true], false));
    assert_eq!(layers_recorded(4), ([true; 4], false));

    let features_recorded = |trainable: usize| {
        let mut net = MobileNetV2Features::<f32>::new(Norm::Trained, &mut Rng::seed(0));
        net.train_last(trainable);
        let (mut g, mut first) = (Tape::train(&mut Rng::seed(0)), None);
        net.forward_each(&mut g, x(), |k, y| first = first.or(y.node.map(|_| k)));
        first
    };
    assert_eq!([0, 1, 2, 5, 6].map(features_recorded), [None, Some(18), Some(14), Some(2), Some(0)]);
}

#[test]
fn outside_of_training_batch_norm_is_fused_and_means_the_same() {
    // Recording wants the parameters' gradients, and takes the long way.
    let x: Var = Tensor::from_fn([2, 64, 64, 3], |i| (0.37 * i as f32).sin()).into();
    let net = MobileNetV2Features::<f32>::new(Norm::Trained, &mut Rng::seed(0));
    net.forward(&mut Tape::train(&mut Rng::seed(0)), x.clone());
    let fused = net.forward(&mut Tape::infer(), x.clone()).value;
    let apart = net.forward(&mut Tape::eval(), x).value;
    let greatest = apart.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = fused.data().iter().zip(apart.data()).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(greatest > 0.1 && difference < 1e-4 * greatest, "{difference} of {greatest}");
}
