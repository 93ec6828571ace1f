//! Published weights, read from the folder that `GRADUS_TEST_DATA` names.
#![cfg(feature = "real-data")]

use gradus_models::checkpoint::{self, CheckpointFile, Dtype, Format, Loaded};
use std::path::PathBuf;

fn weights(name: &str) -> PathBuf {
    let folder =
        std::env::var("GRADUS_TEST_DATA").expect("GRADUS_TEST_DATA names the folder with the test data");
    PathBuf::from(folder).join("data/weights").join(name)
}

fn verified(name: &str) -> bool {
    let file = CheckpointFile::open(weights(name));
    file.and_then(|file| file.verify_name()).unwrap_or_else(|e| panic!("{e}"))
}

fn load(name: &str) -> Loaded {
    checkpoint::load(weights(name)).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn mobilenet_v2_is_the_same_in_both_formats() {
    let (full, half) = (load("mobilenet_v2-b76a3b54.pth"), load("mobilenet_v2.f16.safetensors"));
    assert_eq!((full.format, half.format), (Format::TorchZip, Format::Safetensors));
    assert_eq!(full.tensors.len(), 314);
    assert!(full.notes().is_empty(), "{:?}", full.notes());
    let (first, last) = (full.tensors.first().unwrap().0, full.tensors.last().unwrap().0);
    assert_eq!((first.as_str(), last.as_str()), ("features.0.0.weight", "classifier.1.bias"));
    let mut compared = 0;
    for (name, half) in &half.tensors {
        let full = &full.tensors[name];
        assert_eq!(full.shape(), half.shape(), "{name}");
        for (exact, rounded) in full.to_f64().into_iter().zip(half.to_f64()) {
            // Half the distance of neighbours: 2^-11 relative for normal numbers, 2^-25 below them.
            let bound =
                if half.dtype() == Dtype::F16 { (exact.abs() / 2048.0).max(2f64.powi(-25)) } else { 0.0 };
            assert!((exact - rounded).abs() <= bound, "{name}: {exact} and {rounded}");
            compared += 1;
        }
    }
    assert!(compared > 3_500_000, "{compared}");
}

#[test]
fn resnet20_is_found_in_its_legacy_file() {
    let loaded = load("resnet20-12fca82f.th");
    assert_eq!(loaded.format, Format::TorchLegacy);
    assert_eq!(loaded.found_under, ["state_dict"]);
    assert_eq!(loaded.stripped.as_deref(), Some("module."));
    assert_eq!(loaded.notes().len(), 2);
    let tensors = loaded.tensors;
    let parameters: usize =
        tensors.iter().filter(|(name, _)| !name.contains("running")).map(|(_, tensor)| tensor.numel()).sum();
    assert_eq!(parameters, 269_722, "0.27 million, He et al. 2015, table 6");
    assert_eq!(tensors["conv1.weight"].shape(), [16, 3, 3, 3]);
    assert_eq!(tensors["layer3.0.conv1.weight"].shape(), [64, 32, 3, 3]);
    assert_eq!(tensors["linear.weight"].shape(), [10, 64]);
    // As torch.load reads them: the first, the last and the sum.
    for (name, first, last, sum) in [
        ("conv1.weight", -0.13818146288394928, 0.3087101876735687, 1.3100982000032673),
        ("layer3.0.conv1.weight", -0.01360283698886633, 0.03169907256960869, -90.32955699108152),
        ("linear.bias", 0.19355906546115875, -0.27025941014289856, 3.4442171454429626e-05),
        ("layer1.0.bn1.running_var", 1.8984029293060303, 3.372973680496216, 24.223069393250626),
    ] {
        let values = tensors[name].to_f64();
        assert_eq!((values[0], *values.last().unwrap()), (first, last), "{name}");
        assert!((values.iter().sum::<f64>() - sum).abs() < 1e-10, "{name}");
    }
}

#[test]
fn resnet18_trunk_is_half_precision() {
    let loaded = load("resnet18_trunk_f16-15d7719c.pth");
    assert_eq!(loaded.format, Format::TorchZip);
    assert_eq!(loaded.tensors["conv1.weight"].shape(), [64, 3, 7, 7]);
    assert_eq!(loaded.tensors["conv1.weight"].dtype(), Dtype::F16);
    assert_eq!(loaded.tensors.len(), 96);
    let first = &loaded.tensors["conv1.weight"].to_f64()[..3];
    assert_eq!(first, [-0.002536773681640625, -0.0014934539794921875, -0.0004405975341796875]);
}

#[test]
fn names_promise_the_right_content() {
    for name in ["mobilenet_v2-b76a3b54.pth", "resnet18_trunk_f16-15d7719c.pth", "resnet20-12fca82f.th"] {
        assert!(verified(name), "{name}");
    }
    assert!(!verified("mobilenet_v2.f16.safetensors"));
}
