//! Reports on pictures that cannot be read, in data sets for detection and wherever damage shows late.

use std::fs;
use std::path::Path;

use gradus::data::{Reading, open_detection};
use serde_json::Value;

use crate::common::{Data, gradus, said};
use crate::folders::class;

/// Damages a PNG file between its ends, which only decoding finds.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[45] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

/// Whichever command comes to a damaged picture names its file, and what leaves it out.
#[track_caller]
fn stops(args: &[&str], file: &str) {
    let out = gradus(args);
    let said = said(&out);
    assert_eq!(out.status.code(), Some(2), "gradus {args:?}: {said}");
    for word in [&format!("{file}: is a damaged")[..], "; --skip-bad leaves out what cannot be read"] {
        assert!(said.contains(word), "gradus {args:?} says nothing of `{word}`: {said}");
    }
}

#[track_caller]
fn passes(args: &[&str]) {
    let out = gradus(args);
    assert!(out.status.success(), "gradus {args:?}: {}", said(&out));
}

#[test]
fn a_damaged_picture_that_a_classifier_comes_to_is_named_with_what_leaves_it_out() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train/a", "train/b", "val/a", "val/b", "test/a", "test/b"] {
        class(&dir.path().join("data"), part, 4);
    }
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (data, run, other, bad) = (at("data"), at("run"), at("other"), at("data/train/b/2.png"));
    let train = ["train", "alexnet", "--data", &data, "--epochs", "1", "--batch", "4", "--out"];
    passes(&[&train[..], &[&run]].concat());
    damage(Path::new(&bad));
    stops(&[&train[..], &[&other]].concat(), &bad);
    let tried = at("tried");
    let lr_range = ["lr-range", "--data", &data, "--steps", "4", "--batch", "4", "--out", &tried];
    stops(&lr_range, &bad);
    let evaluate = ["evaluate", &run, "--data", &data, "--split", "train"];
    stops(&evaluate, &bad);
    let predict = ["predict", &run, &bad, &at("data/train/b/1.png")];
    stops(&predict, &bad);
    for args in [&[&train[..], &[&other, "--force"]].concat()[..], &lr_range, &evaluate, &predict] {
        passes(&[args, &["--skip-bad"]].concat());
    }
}

#[test]
fn a_damaged_picture_that_a_detector_comes_to_is_named_with_what_leaves_it_out() {
    let data = Data::new(|_| {});
    let at = |name: &str| data.at(name).to_str().unwrap().to_string();
    let (net, source, run, out) = (data.detector(), data.source(), at("run"), at("found"));
    let (net, bad) = (net.to_str().unwrap(), at("images/1.png"));
    damage(Path::new(&bad));
    let small =
        ["--backbone", "mobilenet-v2-fpn", "--min-size", "48", "--max-size", "64", "--test-split", "last:1"];
    let train = ["train", "detector", "--data", &source, "--epochs", "1", "--batch", "1", "--out", &run];
    let train = [&train[..], &small].concat();
    let evaluate = ["evaluate", net, "--data", &source, "--split", "all"];
    let detect = ["detect", net, &bad, &at("images/2.png"), "--force", "-o", &out];
    for args in [&train[..], &evaluate, &detect] {
        stops(args, &bad);
        passes(&[args, &["--skip-bad"]].concat());
    }
}

/// roboflow/rf-detr 487: one picture that ends early ends a training late.
#[test]
fn rf_detr_487_a_picture_that_ends_early_is_seen_at_once_and_can_be_skipped() {
    let data = Data::new(|_| {});
    let bytes = fs::read(data.at("images/3.png")).unwrap();
    fs::write(data.at("images/3.png"), &bytes[..bytes.len() / 2]).unwrap();
    let error = data.refusal();
    assert!(error.contains("images cannot be read (1): image 3 (3.png): ends early"), "{error}");
    let skip = Reading { skip_bad: true, ..Reading::default() };
    let left = open_detection(&data.source(), skip).unwrap();
    assert_eq!((left.len(), left.name(0), left.name(1)), (2, "1.png".into(), "2.png".into()));
    assert!(left.faults().iter().any(|f| f.to_string().contains("(1 left out): image 3 (3.png)")));
    // In pictures to detect in, the others do not suffer.
    let images = ["images/1.png", "images/3.png", "images/2.png"].map(|p| data.at(p).display().to_string());
    let (net, out) = (data.detector(), data.at("found"));
    let run = gradus(&[
        "detect",
        net.to_str().unwrap(),
        &images[0],
        &images[1],
        &images[2],
        "-o",
        out.to_str().unwrap(),
        "--json",
    ]);
    assert!(run.status.code() == Some(2) && said(&run).contains("3.png: ends early"), "{}", said(&run));
    let listed: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(out.join("2.png").is_file() && out.join("detections.json").is_file());
}

/// Damage between a picture's ends shows only where it is decoded: in the images to test on before the first
/// epoch, and in all of them under `--strict`.
#[test]
fn damaged_images_to_test_on_are_told_before_the_first_epoch() {
    let data = Data::new(|_| {});
    [2, 3].iter().for_each(|i| damage(&data.at(&format!("images/{i}.png"))));
    assert!(data.open().is_ok());
    let strict = open_detection(&data.source(), Reading { strict: true, skip_bad: false });
    assert!(strict.err().unwrap().to_string().contains("is a damaged"));
    let run = data.at("run");
    let run = run.to_str().unwrap();
    let out =
        gradus(&["train", "detector", "--data", &data.source(), "--test-split", "last:2", "--out", run]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(
        ["2.png: is a damaged", "3.png: is a damaged"].iter().all(|w| said(&out).contains(w)),
        "{}",
        said(&out)
    );
    assert!(!Path::new(run).exists(), "a run was begun");
}
