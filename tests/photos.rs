//! The classes of photographs, with published weights: what torchvision 0.29 gives them.
#![cfg(feature = "real-data")]

use gradus::engine::files::Weights;
use gradus::engine::model::Classifier;
use gradus::image::Image;
use gradus_core::{Tape, Tensor};
use gradus_models::Network;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    let root = std::env::var_os("GRADUS_TEST_DATA").expect("GRADUS_TEST_DATA names the test data's folder");
    Path::new(&root).join("data").join(name)
}

fn classifier(weights: &str) -> Classifier<Network> {
    let mut model = Classifier::open_any(&data("weights").join(weights), Weights::Best, None).unwrap();
    model.name_classes(&data("weights/imagenet_classes.txt")).unwrap();
    model
}

fn probabilities(model: &Classifier<Network>, photo: &str) -> Vec<f32> {
    let transform = model.arch.transform();
    let side = transform.side();
    let mut x = Tensor::stale([1, side, side, 3]);
    transform.evaluate(&Image::open(data("photos").join(photo)).unwrap().to_rgb8(), x.data_mut()).unwrap();
    let mut g = Tape::infer();
    let logits = model.net.forward(&mut g, x.into());
    g.softmax(logits, -1).value.data().to_vec()
}

#[test]
fn mobilenet_v2_names_what_is_in_photographs() {
    let model = classifier("mobilenet_v2-b76a3b54.pth");
    for (photo, classes) in [
        ("dog1.jpg", &[("Pembroke", 0.526), ("Cardigan", 0.239)][..]),
        ("dog2.jpg", &[("German shepherd", 0.703)]),
        ("chelsea.png", &[("Egyptian cat", 0.515), ("tiger cat", 0.336), ("tabby", 0.113)]),
        ("coffee.png", &[("espresso", 0.806)]),
        ("rocket.jpg", &[("missile", 0.584), ("projectile", 0.154)]),
        ("bus.jpg", &[("minibus", 0.743), ("streetcar", 0.083)]),
        ("grace_hopper.jpg", &[("academic gown", 0.494), ("mortarboard", 0.409)]),
    ] {
        let found = probabilities(&model, photo);
        let mut ranked: Vec<usize> = (0..found.len()).collect();
        ranked.sort_by(|&a, &b| found[b].total_cmp(&found[a]));
        for (&class, (name, probability)) in ranked.iter().zip(classes) {
            let known = model.classes[class].replace('_', " ");
            assert!(known.starts_with(name), "{photo}: {known} where {name} is expected");
            // Decoders of JPEG may differ by a level or two.
            let error = (found[class] - probability).abs();
            assert!(error < 0.02, "{photo}: {name} {}, expected {probability}", found[class]);
        }
    }
}

#[test]
fn half_precision_weights_agree() {
    let (full, half) = (classifier("mobilenet_v2-b76a3b54.pth"), classifier("mobilenet_v2.f16.safetensors"));
    let [a, b] = [full, half].map(|model| probabilities(&model, "dog1.jpg"));
    let greatest = a.iter().zip(&b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(greatest > 0.0 && greatest < 0.01, "{greatest}");
}
