//! Networks with published weights compute what torchvision does, on the input that `*.expected.json` names.
#![cfg(feature = "real-data")]

use gradus_core::{Rng, Tape, Tensor};
use gradus_models::checkpoint;
use gradus_models::resnet::{Depth, ResNetBody};
use gradus_models::{MobileNetV2, Norm};
use serde_json::Value;
use std::path::PathBuf;

fn weights(name: &str) -> PathBuf {
    let folder =
        std::env::var("GRADUS_TEST_DATA").expect("GRADUS_TEST_DATA names the folder with the test data");
    PathBuf::from(folder).join("data/weights").join(name)
}

fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(weights(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// x[i] = sin(0.37 i), i the flat index into [2, 3, 224, 224].
fn input() -> Tensor {
    const SIDE: usize = 224;
    Tensor::from_fn([2, SIDE, SIDE, 3], |at| {
        let (c, pixel) = (at % 3, at / 3);
        let (image, pixel) = (pixel / (SIDE * SIDE), pixel % (SIDE * SIDE));
        (0.37 * ((image * 3 + c) * SIDE * SIDE + pixel) as f64).sin() as f32
    })
}

fn mean_and_deviation(values: &[f64], divisor: f64) -> [f64; 2] {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    [mean, (square / divisor).sqrt()]
}

#[track_caller]
fn assert_near(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance, "{what}: {g}, expected {w} within {tolerance}");
    }
}

#[test]
fn mobilenet_v2_gives_torchvisions_logits() {
    const FILE: &str = "mobilenet_v2-b76a3b54.pth";
    let expected = expected("mobilenet_v2.expected.json");
    let tolerance = expected["tolerance"].as_f64().unwrap();
    let mut net = MobileNetV2::<f32>::new(1000, &mut Rng::seed(0));
    let state = checkpoint::load(weights(FILE)).unwrap_or_else(|e| panic!("{e}"));
    checkpoint::load_exact(&mut net, &state.tensors, FILE).unwrap_or_else(|e| panic!("{e}"));
    let logits = net.forward(&mut Tape::infer(), input().into()).value;
    for (i, logits) in logits.data().chunks(1000).enumerate() {
        let logits: Vec<f64> = logits.iter().map(|&v| v.into()).collect();
        let mut ranked: Vec<usize> = (0..1000).collect();
        ranked.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let top: Vec<f64> = ranked[..5].iter().map(|&class| class as f64).collect();
        assert_eq!(top, numbers(&expected["top5"][i]));
        assert_near("logits", &logits[..10], &numbers(&expected["logits_first_10"][i]), tolerance);
        let [mean, std] = mean_and_deviation(&logits, 999.0);
        assert_near("mean", &[mean], &[expected["logits_mean"][i].as_f64().unwrap()], tolerance);
        assert_near("std", &[std], &[expected["logits_std"][i].as_f64().unwrap()], tolerance);
    }
}

#[test]
fn resnet18s_trunk_gives_torchvisions_maps() {
    const FILE: &str = "resnet18_trunk_f16-15d7719c.pth";
    let expected = expected("resnet18_trunk.expected.json");
    let tolerance = expected["tolerance"].as_f64().unwrap();
    let mut net = ResNetBody::<f32>::new(Depth::R18, Norm::Frozen, &mut Rng::seed(0));
    let state = checkpoint::load(weights(FILE)).unwrap_or_else(|e| panic!("{e}"));
    let report = checkpoint::load_matching(&mut net, &state.tensors);
    // The file ends after layer 3, but for the map that layer 4 begins with.
    assert!(report.missing.iter().all(|name| name.starts_with("layer4.")), "{report}");
    assert!(report.misshapen.is_empty() && report.unexpected.is_empty(), "{report}");
    let [_, _, layer3, _] = net.forward(&mut Tape::infer(), input().into());
    assert_eq!(layer3.shape()[..], [2, 14, 14, 256]);
    for (i, map) in layer3.value.data().chunks(14 * 14 * 256).enumerate() {
        let map: Vec<f64> = map.iter().map(|&v| v.into()).collect();
        let [mean, std] = mean_and_deviation(&map, (map.len() - 1) as f64);
        assert_near("mean", &[mean], &[expected["mean"][i].as_f64().unwrap()], tolerance);
        assert_near("std", &[std], &[expected["std"][i].as_f64().unwrap()], tolerance);
        let channel = |c: usize| map.iter().skip(c).step_by(256).sum::<f64>() / 196.0;
        let means: Vec<f64> = (0..16).map(channel).collect();
        assert_near("channels", &means, &numbers(&expected["first_channel_means"][i]), tolerance);
    }
    let row: Vec<f64> = (0..14).map(|x| layer3.value.data()[(7 * 14 + x) * 256].into()).collect();
    assert_near("row", &row, &numbers(&expected["at_0_0_7_0_to_13"]), tolerance);
}
