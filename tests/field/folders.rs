//! Reports on folders with one sub-folder a class, and what stands in them besides.

use std::fs;
use std::path::{Path, PathBuf};

use gradus::data::{self, Reading, Splits};
use gradus::image::Image;

use crate::common::{gradus, said};
use crate::images::jpeg;

/// So many pictures in `root/class`, each of its own colour.
pub fn class(root: &Path, class: &str, n: usize) {
    fs::create_dir_all(root.join(class)).unwrap();
    for i in 0..n {
        let image = Image::filled(8, 8, [i as u8 * 9, class.len() as u8, 7]);
        image.save_png(root.join(class).join(format!("{i}.png"))).unwrap();
    }
}

fn open(root: &Path, reading: Reading) -> Result<Splits, String> {
    data::open(root.to_str().unwrap(), 0.2, 1, reading).map_err(|e| e.to_string())
}

fn sizes(splits: &Splits) -> [usize; 3] {
    [splits.train.len(), splits.val.len(), splits.test.len()]
}

const SKIP: Reading = Reading { strict: false, skip_bad: true };
const STRICT: Reading = Reading { strict: true, skip_bad: false };

/// roboflow/roboflow-python 153: `Training` and `Testing` became the classes, and `valid` was ignored.
#[test]
fn roboflow_python_153_splits_by_other_names() {
    for (train, val, test) in [
        ("Training", "validation", "Testing"),
        ("Train", "Valid", "Test"),
        ("train", "valid", "test"),
        ("training_set", "dev", "test_set"),
        ("seg_train/seg_train", "val", "seg_test/seg_test"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for (part, n) in [(train, 3), (val, 2), (test, 1)] {
            ["glioma", "no tumour"].iter().for_each(|c| class(dir.path(), &format!("{part}/{c}"), n));
        }
        class(dir.path(), "seg_pred", 2);
        let splits = open(dir.path(), Reading::default()).unwrap();
        assert_eq!(splits.classes(), ["glioma", "no tumour"], "{train}");
        assert_eq!(sizes(&splits), [6, 4, 2], "{train}");
        let told = splits.description("brain").to_string();
        assert!(told.contains("no part of train, val or test (1 left out): seg_pred"), "{told}");
    }
    // Without `val` it is cut out of the training images, and that is said.
    let dir = tempfile::tempdir().unwrap();
    for part in ["Training/a", "Training/b", "Testing/a", "Testing/b"] {
        class(dir.path(), part, 5);
    }
    let splits = open(dir.path(), Reading::default()).unwrap();
    assert_eq!(sizes(&splits), [8, 2, 10]);
    assert!(splits.description("x").to_string().contains("val (cut out of train) 2 images"));
}

/// A class may be called `train`; where it could be either, nothing is guessed.
#[test]
fn a_class_called_train_is_no_split() {
    let dir = tempfile::tempdir().unwrap();
    ["bus", "car", "train"].iter().for_each(|c| class(dir.path(), c, 4));
    assert_eq!(open(dir.path(), Reading::default()).unwrap().classes(), ["bus", "car", "train"]);
    class(dir.path(), "train/steam", 4);
    let error = open(dir.path(), Reading::default()).err().unwrap();
    assert!(error.contains("folders in train") && error.contains("images in bus"), "{error}");
    let twice = tempfile::tempdir().unwrap();
    ["train/a", "training/a"].iter().for_each(|c| class(twice.path(), c, 4));
    assert!(open(twice.path(), Reading::default()).err().unwrap().contains("both mean train"));
}

/// Files that other tools write: every image among them is read, every other file is counted.
#[test]
fn images_of_any_extension_are_read_and_other_files_are_said() {
    let dir = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|c| class(dir.path(), c, 3));
    for name in ["x.jfif", "x.jpe", "X.JPEG", "x", "wrong.webp"] {
        fs::write(dir.path().join("a").join(name), jpeg(2, 2, &[])).unwrap();
    }
    for name in ["notes.txt", "more.TXT", "Thumbs.db", "LICENCE", ".DS_Store"] {
        fs::write(dir.path().join("b").join(name), "no image").unwrap();
    }
    class(dir.path(), "", 1);
    let splits = open(dir.path(), Reading::default()).unwrap();
    assert_eq!(sizes(&splits).iter().sum::<usize>(), 11);
    let told = splits.description("x").to_string();
    for words in [
        ".txt files are no images (2 left out): b/more.TXT, b/notes.txt",
        ".db files are no images (1 left out): b/Thumbs.db",
        "files without extension are no images (1 left out): b/LICENCE",
        "images lie outside of the class folders (1 left out): 0.png",
        "2 classes: a 8, b 3",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(open(dir.path(), STRICT).err().unwrap().contains("notes.txt"));
}

/// Classes go by their names, in every part; what cannot be matched shows both lists.
#[test]
fn classes_of_the_parts_are_matched_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train/Hot dog", "train/cat", "train/dog", "val/cat", "val/dog", "test/hot_dog", "test/CAT"]
    {
        class(dir.path(), part, 2);
    }
    fs::create_dir(dir.path().join("val/Hot dog")).unwrap();
    let splits = open(dir.path(), Reading::default()).unwrap();
    let labels = |s: &data::Labelled| (0..s.len()).map(|k| s.label(k)).collect::<Vec<_>>();
    assert_eq!((labels(&splits.val), labels(&splits.test)), (vec![1, 1, 2, 2], vec![1, 1, 0, 0]));
    let told = splits.description("x").to_string();
    assert!(
        told.contains("class folders are spelled otherwise than in train (2 mended): test/CAT for cat"),
        "{told}"
    );
    assert!(told.contains("classes have no image in val (1): Hot dog"), "{told}");
    assert!(told.contains("classes have no image in test (1): dog"), "{told}");
    class(dir.path(), "test/bird", 2);
    let error = open(dir.path(), Reading::default()).err().unwrap();
    assert!(error.contains("test/bird (train has Hot dog, cat, dog)"), "{error}");
    // In one part they are two classes, which may not be meant.
    let alike = tempfile::tempdir().unwrap();
    ["cat", "Cat "].iter().for_each(|c| class(alike.path(), c, 3));
    let told = open(alike.path(), Reading::default()).unwrap().description("x").to_string();
    assert!(told.contains("by case or spaces alone (1): Cat  / cat"), "{told}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = || open(dir.path(), Reading::default()).err().unwrap();
    class(dir.path(), "pets/cat", 3);
    class(dir.path(), "pets/dog", 3);
    assert!(error().contains("name ") && error().contains("pets if that holds the classes"), "{}", error());
    fs::create_dir_all(dir.path().join("empty")).unwrap();
    assert!(error().contains("classes have no image (1): empty"), "{}", error());
}

/// A data set where one picture ends early, the twin of roboflow/rf-detr 487 for classifiers: it is seen when
/// the data set is opened, and not after the last epoch.
fn with_a_truncated_picture() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|c| class(dir.path(), c, 12));
    let bad = dir.path().join("b/bad.jpg");
    let whole = jpeg(9, 9, &[]);
    fs::write(&bad, &whole[..whole.len() / 2]).unwrap();
    (dir, bad)
}

/// roboflow/rf-detr 487: one truncated picture ended a run late.
#[test]
fn rf_detr_487_a_truncated_picture_is_seen_at_opening() {
    let (dir, bad) = with_a_truncated_picture();
    let error = open(dir.path(), Reading::default()).err().unwrap();
    assert!(error.contains("images cannot be read (1): b/bad.jpg (ends early"), "{error}");
    assert!(error.contains("--skip-bad"), "{error}");
    let splits = open(dir.path(), SKIP).unwrap();
    assert_eq!(sizes(&splits).iter().sum::<usize>(), 24);
    assert!(splits.description("x").to_string().contains("images cannot be read (1 left out): b/bad.jpg"));
    // One whose ends are as they should be and whose middle is not: only decoding finds it.
    let mut whole = Image::filled(8, 8, [1, 2, 3]).encode_png().unwrap();
    whole[45] ^= 0x55;
    fs::write(&bad, whole).unwrap();
    fs::rename(&bad, dir.path().join("b/bad.png")).unwrap();
    let again = open(dir.path(), SKIP).unwrap();
    assert_eq!(sizes(&again).iter().sum::<usize>(), 24);
    assert_eq!(again.dataset().checksum().unwrap(), splits.dataset().checksum().unwrap());
    assert!(open(dir.path(), Reading::default()).is_ok());
    assert!(open(dir.path(), STRICT).err().unwrap().contains("bad.png (is a damaged"));
}

/// Only decoding finds damage between a picture's ends. Training comes to test images last, and so decodes
/// them first.
#[test]
fn a_picture_that_training_comes_to_last_is_tried_first() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train/a", "train/b", "val/a", "val/b", "test/a", "test/b"] {
        class(dir.path(), part, 4);
    }
    let bad = dir.path().join("test/b/3.png");
    let mut bytes = fs::read(&bad).unwrap();
    bytes[45] ^= 0x55;
    fs::write(&bad, bytes).unwrap();
    // Nor can a strip be scaled.
    Image::filled(900, 3, [1, 2, 3]).save_png(dir.path().join("val/a/0.png")).unwrap();
    let (data, run) = (dir.path().to_str().unwrap(), dir.path().join("run"));
    let out = gradus(&["train", "alexnet", "--data", data, "--epochs", "1", "--out", run.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(
        ["3.png: is a damaged", "0.png: is 900 x 3 pixels", "--skip-bad"]
            .iter()
            .all(|w| said(&out).contains(w)),
        "{}",
        said(&out)
    );
    assert!(!run.exists(), "a run was begun");
}

/// The same with the commands: training refuses or leaves out, and what has been left out is left out of the
/// run for good.
#[test]
fn rf_detr_487_with_the_commands() {
    let (dir, bad) = with_a_truncated_picture();
    let (data, out) = (dir.path().to_str().unwrap(), tempfile::tempdir().unwrap());
    let run = out.path().join("run");
    let run = run.to_str().unwrap();
    let train = |more: &[&str]| {
        gradus(
            &[&["train", "alexnet", "--data", data, "--epochs", "1", "--batch", "8", "--out", run], more]
                .concat(),
        )
    };
    let refused = train(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("b/bad.jpg (ends early"), "{}", said(&refused));
    let trained = train(&["--skip-bad"]);
    assert!(trained.status.success(), "{}", said(&trained));
    assert!(said(&trained).contains("images cannot be read (1 left out): b/bad.jpg"), "{}", said(&trained));
    // A picture that has been mended since would change what the run learns from.
    fs::write(&bad, jpeg(9, 9, &[])).unwrap();
    let resumed = train(&["--skip-bad", "--resume"]);
    assert_eq!(resumed.status.code(), Some(2), "{}", said(&resumed));
    assert!(said(&resumed).contains("was begun with other data"), "{}", said(&resumed));
    fs::remove_file(&bad).unwrap();

    // A run's own data are divided as it was trained, and `all` are all.
    let judge = |data: &str, more: &[&str]| {
        let out = gradus(&[&["evaluate", run, "--json", "--data", data], more].concat());
        let value = serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap_or_default();
        (
            (value["split"].as_str().unwrap_or_default().to_string(), value["images"].as_u64().unwrap_or(0)),
            said(&out),
        )
    };
    assert_eq!(judge(data, &[]).0, ("test".into(), 2));
    assert_eq!(judge(data, &["--split", "all"]).0, ("all".into(), 24));
    // Other data are judged whole, and their classes are the run's of these names.
    let other = tempfile::tempdir().unwrap();
    ["B", "a"].iter().for_each(|c| class(other.path(), c, 5));
    let other_data = other.path().to_str().unwrap();
    assert_eq!(judge(other_data, &[]).0, ("all".into(), 10));
    let (_, text) = judge(other_data, &["--split", "val"]);
    assert!(text.contains("has no val images of its own") && text.contains("--split all"), "{text}");
    let (_, text) = judge(other_data, &["--test-split", "last:3"]);
    assert!(text.contains("--test-split is of detectors"), "{text}");
    let (_, text) = judge(data, &["--seed", "77"]);
    assert!(text.contains("--seed 77, but the run divided"), "{text}");
    class(other.path(), "zebra", 2);
    let (_, text) = judge(other_data, &[]);
    assert!(text.contains("does not know: zebra") && text.contains("network's are a, b"), "{text}");
}

/// Evaluation data that order their classes otherwise than the run: as facebookresearch/maskrcnn-benchmark
/// 970, for a classifier.
#[test]
fn maskrcnn_benchmark_970_classes_are_matched_by_name() {
    let dir = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|c| class(dir.path(), c, 3));
    let splits = open(dir.path(), Reading::default()).unwrap();
    let all = data::Subset::all(splits.dataset().clone());
    let network: Vec<String> = ["c", "b", "a"].map(String::from).to_vec();
    let judged = data::renumbered(&all, &network, true).unwrap();
    assert_eq!(judged.classes(), network);
    assert_eq!((0..6).map(|k| judged.label(k)).collect::<Vec<_>>(), [2, 2, 2, 1, 1, 1]);
    let error = data::renumbered(&all, &network[..2], true).err().unwrap().to_string();
    assert!(error.contains("does not know: a") && error.contains("the network's are c, b"), "{error}");
}

/// `predict a bad b` printed nothing of a and b.
#[test]
fn predict_goes_on_with_the_other_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (a, bad, b, weights) = (at("a.png"), at("bad.png"), at("b.png"), at("w"));
    [&a, &b].iter().for_each(|p| Image::filled(8, 8, [9, 9, 9]).save_png(p).unwrap());
    fs::write(&bad, "no image").unwrap();
    let out = gradus(&["train", "alexnet", "--data", "synthetic:48", "--epochs", "1", "--out", &weights]);
    assert!(out.status.success(), "{}", said(&out));
    let predict = |more: &[&str]| {
        let out = gradus(&[&["predict", &weights, "--json"], more].concat());
        let value = serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap_or_default();
        let named: Vec<String> =
            value.as_array().into_iter().flatten().map(|p| p["image"].as_str().unwrap().into()).collect();
        (out.status.code(), named, said(&out))
    };
    let (code, named, text) = predict(&[&a, &bad, &b]);
    assert_eq!((code, named), (Some(2), vec![a.clone(), b.clone()]), "{text}");
    assert!(text.contains("images cannot be read (1)") && text.contains("bad.png: is not a PNG"), "{text}");
    let (code, named, text) = predict(&[&a, &bad, &b, "--skip-bad"]);
    assert_eq!((code, named), (Some(0), vec![a, b]), "{text}");
    assert!(text.contains("(1 left out)"), "{text}");
    let (code, named, _) = predict(&[&bad, &bad]);
    assert_eq!((code, named), (Some(2), vec![]));
}
