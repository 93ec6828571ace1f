//! Reports on runs: that they go on, with what, and what they say.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use gradus_models::checkpoint;
use gradus_models::detection::NORM_EPS;
use serde_json::{Value, json};

use crate::common::{gradus, said as text};

#[track_caller]
fn done(args: &[&str]) -> String {
    let out = gradus(args);
    assert!(out.status.success(), "gradus {args:?}: {}", text(&out));
    text(&out)
}

#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let out = gradus(args);
    let said = text(&out);
    assert_eq!(out.status.code(), Some(2), "gradus {args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "gradus {args:?} says nothing of `{word}`: {said}");
    }
}

fn args_of(run: &str) -> Value {
    serde_json::from_slice(&fs::read(Path::new(run).join("args.json")).unwrap()).unwrap()
}

fn last_weights(run: &str) -> Vec<u8> {
    fs::read(Path::new(run).join("weights/last.safetensors")).unwrap()
}

fn own_command(run: &str) -> String {
    format!("`gradus train --resume {run}`")
}

/// Begins a run of AlexNet on drawn shapes.
fn begin(run: &str, more: &[&str]) {
    let small = ["train", "alexnet", "--data", "synthetic:48", "--batch", "12", "--seed", "7", "--out", run];
    done(&[&small, more].concat());
}

/// ultralytics/yolov5 4513, 2650: more epochs, and a lower rate, for a run that is there. Its folder is
/// enough.
#[test]
fn a_run_goes_on_by_its_folder_with_more_epochs_and_another_rate() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, run] = ["whole", "run"].map(|n| folder.path().join(n).to_str().unwrap().to_string());
    begin(&whole, &["--epochs", "2"]);
    begin(&run, &["--epochs", "1"]);
    let said = done(&["train", "--resume", &run, "--epochs", "2"]);
    assert!(said.contains("resuming at epoch 2 of 2, batch 1"), "{said}");
    // At a constant rate that is the run that was to have two epochs from the start.
    assert!(last_weights(&run) == last_weights(&whole));
    let lines = |run: &str| fs::read_to_string(Path::new(run).join("log.jsonl")).unwrap().lines().count();
    assert_eq!(lines(&run), lines(&whole));
    let args = args_of(&run);
    let first = json!({"after_epochs": 1, "after_batches": 0, "epochs": [1, 2]});
    assert_eq!((&args["epochs"], &args["changes"]), (&json!(2), &json!([first])));

    done(&["train", "--resume", &run, "--epochs", "3", "--lr", "1e-4"]);
    let args = args_of(&run);
    assert_eq!((&args["lr"], &args["changes"][1]["lr"]), (&json!(1e-4), &json!([1e-3, 1e-4])));
    // Where no step follows, nothing is another step's.
    let said = done(&["train", "--resume", &run, "--lr", "1e-5"]);
    assert!(said.contains("all 3 epochs are trained already") && !said.contains("from here on"), "{said}");
    assert_eq!(args_of(&run), args);
    let with_command = ["train", "alexnet", "--data", "synthetic:48", "--resume", "--out", &run];
    assert!(done(&with_command).contains("trained already"));
    assert!(done(&[&with_command[..], &["--strict"]].concat()).contains("trained already"));
    refused(
        &[&with_command[..], &["--skip-bad"]].concat(),
        &["was begun without --skip-bad", &own_command(&run)],
    );

    // What would mean another run is refused, with a command that works.
    let own = own_command(&run);
    refused(&[&with_command[..], &["--batch", "6"]].concat(), &["batch 12, not 6", &own]);
    refused(&["train", "--resume", &run, "--seed", "8"], &["was begun with", &own]);
    refused(&["train", "--resume", &run, "--data", "synthetic:60"], &["other data", "--data SRC"]);
    refused(&["train", "--resume", &run, "--epochs", "2"], &["has trained 3 epochs", "--epochs"]);
    refused(&["train", "--resume", &run, "--lr", "-1"], &["--lr -1", "positive"]);
    refused(&["train", "--resume", folder.path().to_str().unwrap()], &["holds no run to resume"]);
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    refused(&["train", "alexnet", "--data", "synthetic:48", "--resume", "--out", nowhere], &["holds no run"]);
    assert!(!Path::new(nowhere).exists());
    refused(
        &["train", "detector", "--data", "synthetic:6:64x48", "--resume", "--out", &run],
        &["train alexnet"],
    );
}

/// What is said to whoever interrupts a run is the command that goes on with it.
#[cfg(unix)]
#[test]
fn an_interrupted_run_names_the_command_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(["train", "alexnet", "--data", "synthetic:48", "--batch", "12", "--epochs", "500", "--out"]);
    let child = command.arg(&run).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while !run.join("train_batch0.png").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", text(&out));
    let own = format!("the state is saved; `gradus train --resume {}` goes on", run.display());
    assert!(text(&out).contains(&own), "{}", text(&out));
}

/// facebookresearch/detectron2 2312: a run goes on on another processor; where the bits may differ, as in
/// bf16, it says so. And one that was killed before its first state begins at the beginning.
#[test]
fn another_instruction_set_is_recorded_where_it_decides_bits() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").to_str().unwrap().to_string();
    begin(&run, &["--epochs", "1"]);
    let (before, own) = (last_weights(&run), args_of(&run)["isa"].clone());
    let path = Path::new(&run);
    for file in
        ["weights/last.safetensors", "weights/best.safetensors", "state/state.safetensors", "results.csv"]
    {
        fs::remove_file(path.join(file)).unwrap();
    }
    let said = done(&["train", "--resume", &run]);
    assert!(said.contains("begins at the beginning"), "{said}");
    assert!(last_weights(&run) == before);

    let on_another = |run: &str| {
        let mut other = Command::new(env!("CARGO_BIN_EXE_gradus"));
        other.args(["train", "--resume", run, "--epochs", "2"]).env("GRADUS_ISA", "portable");
        let out = other.output().unwrap();
        assert!(out.status.success(), "{}", text(&out));
        (args_of(run), text(&out).contains("bf16's bits belong to an instruction set"))
    };
    let (args, told) = on_another(&run);
    let change = json!([{"after_epochs": 1, "after_batches": 0, "epochs": [1, 2]}]);
    assert_eq!((&args["isa"], &args["changes"], told), (&own, &change, false));

    let half = folder.path().join("half").to_str().unwrap().to_string();
    begin(&half, &["--epochs", "1", "--precision", "bf16"]);
    let (args, told) = on_another(&half);
    let isas = if own == "portable" { json!(null) } else { json!([own, "portable"]) };
    assert_eq!((&args["isa"], &args["changes"][0]["isa"]), (&json!("portable"), &isas));
    assert_eq!(told, own != "portable");
}

/// A run that was begun when trainings had other bits would go on to weights of neither program: it stays as
/// it is, whatever else it is asked for. A new one begins with a detector's weights.
#[test]
fn a_run_of_older_arithmetic_does_not_go_on_and_its_weights_serve() {
    let folder = tempfile::tempdir().unwrap();
    let [classifier, run, new, found] = ["classifier", "detector", "new", "found"]
        .map(|n| folder.path().join(n).to_str().unwrap().to_string());
    let detector = ["train", "detector", "--data", "synthetic:4:64x48", "--backbone", "mobilenet-v2-fpn"];
    let sizes = ["--min-size", "48", "--max-size", "64", "--test-split", "last:1", "--epochs", "1", "--out"];
    begin(&classifier, &["--epochs", "1"]);
    done(&[&detector[..], &sizes, &[&run]].concat());
    let bits = format!("other bits (1, here {})", gradus::run::BITS);
    // Their weights are larger than a repository likes; all else is what the older version left.
    let older = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/older-runs");
    for (task, run) in [("alexnet", &classifier), ("detector", &run)] {
        for file in ["args.json", "log.jsonl", "results.csv"] {
            fs::copy(older.join(task).join(file), Path::new(run).join(file)).unwrap();
        }
        let state = Path::new(run).join("state/state.safetensors");
        let before = (args_of(run), last_weights(run), fs::read(&state).unwrap());
        let words = ["was begun by an earlier gradus", &bits, "read its weights as before"];
        refused(&["train", "--resume", run], &words);
        refused(
            &["train", task, "--data", "synthetic:48", "--resume", "--epochs", "2", "--out", run],
            &words,
        );
        assert!((args_of(run), last_weights(run), fs::read(&state).unwrap()) == before);
    }
    let picture = format!("{classifier}/train_batch0.png");
    done(&["predict", &classifier, &picture]);
    done(&["evaluate", &classifier, "--data", "synthetic:48"]);
    done(&["evaluate", &run, "--data", "synthetic:4:64x48"]);
    done(&["detect", &run, &picture, "--out", &found]);
    let weights = format!("{run}/weights/last.safetensors");
    refused(&["train", "--resume", &run], &[&format!("`gradus train detector --weights {weights}`")]);
    done(&[&detector[..], &["--weights", &weights], &sizes, &[&new]].concat());

    let mut args = args_of(&new);
    args["bits"] = json!(u64::MAX);
    fs::write(Path::new(&new).join("args.json"), args.to_string()).unwrap();
    refused(&["train", "--resume", &new], &["was begun by a later gradus"]);
}

/// hukenovs/hagrid 12: how the rate falls can be said, so that trainings of more than ten epochs learn to
/// their end.
#[test]
fn a_detectors_rate_falls_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").to_str().unwrap().to_string();
    let small =
        ["--backbone", "mobilenet-v2-fpn", "--min-size", "48", "--max-size", "64", "--test-split", "last:1"];
    let task = ["train", "detector", "--data", "synthetic:4:64x48", "--out", &run, "--epochs", "2"];
    done(&[&task[..], &small, &["--lr", "0.001", "--lr-step", "1", "--lr-gamma", "0.5"]].concat());
    // A version that knew no other fall wrote none down: 3 and 0.1 it was.
    let mut args = args_of(&run);
    args.as_object_mut().unwrap().remove("decay");
    fs::write(Path::new(&run).join("args.json"), args.to_string()).unwrap();
    done(&["train", "--resume", &run, "--epochs", "3", "--lr-step", "2", "--lr-gamma", "0.5"]);
    let text = fs::read_to_string(Path::new(&run).join("results.csv")).unwrap();
    let column = text.lines().next().unwrap().split(',').position(|n| n == "lr").unwrap();
    let rates: Vec<f64> =
        text.lines().skip(1).map(|l| l.split(',').nth(column).unwrap().parse().unwrap()).collect();
    // The last is 0.001 · 0.5^⌊2/2⌋.
    assert_eq!(rates, [0.001, 0.0005, 0.0005]);
    let now = json!({"every": 2, "factor": 0.5});
    let change = json!([{"every": 3, "factor": 0.1}, now]);
    assert_eq!((&args_of(&run)["decay"], &args_of(&run)["changes"][0]["decay"]), (&now, &change));
    refused(&["train", "--resume", &run, "--one-cycle"], &["--one-cycle", "detector"]);
    // What only a run that goes on listens to is not passed over before a command.
    for option in ["--lr-step", "--lr-gamma", "--lr", "--epochs"] {
        refused(&["train", option, "1", "detector", "--data", "synthetic:4:64x48"], &["--resume"]);
    }
}

/// A detector's first weights are in its state: whoever goes on needs their file no more, and no epoch need
/// be whole.
#[test]
fn a_detector_goes_on_without_the_file_of_its_first_weights() {
    let folder = tempfile::tempdir().unwrap();
    let [first, run, whole] =
        ["first", "run", "whole"].map(|n| folder.path().join(n).to_str().unwrap().to_string());
    let small = ["train", "detector", "--data", "synthetic:4:64x48", "--backbone", "mobilenet-v2-fpn"];
    let sizes = ["--min-size", "48", "--max-size", "64", "--test-split", "last:1"];
    let begin = |out: &str, more: &[&str]| done(&[&small[..], &sizes, &["--out", out], more].concat());
    begin(&first, &["--epochs", "1"]);
    // The network's ε is one that no network has by itself.
    let from = format!("{first}/weights/last.safetensors");
    let mut loaded = checkpoint::load_verbatim(&from).unwrap();
    assert!(loaded.metadata.insert(NORM_EPS.into(), "0.001".into()).is_some());
    let weights = folder.path().join("weights.safetensors");
    let weights = weights.to_str().unwrap();
    checkpoint::save(weights, &loaded.tensors, &loaded.metadata).unwrap();

    begin(&whole, &["--weights", weights, "--epochs", "2"]);
    begin(&run, &["--weights", weights, "--epochs", "1"]);
    fs::remove_file(weights).unwrap();
    let said = done(&["train", "--resume", &run, "--epochs", "2"]);
    assert!(said.contains("weights: the run's own"), "{said}");
    assert!(last_weights(&run) == last_weights(&whole));
    // The state alone knows ε; without a state the run begins anew, and needs the file.
    fs::remove_file(format!("{run}/weights/last.safetensors")).unwrap();
    done(&["train", "--resume", &run, "--epochs", "3"]);
    let eps = &checkpoint::load_verbatim(format!("{run}/weights/last.safetensors")).unwrap().metadata;
    assert_eq!(eps[NORM_EPS], "0.001");
    fs::remove_file(format!("{run}/state/state.safetensors")).unwrap();
    refused(&["train", "--resume", &run], &[weights, "where it is now with --weights"]);
}

/// Data that moved are asked for by --data; other faults of theirs keep their own remedy.
#[test]
fn only_data_that_are_gone_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data] = ["run", "data"].map(|n| folder.path().join(n).to_str().unwrap().to_string());
    for (class, shade) in [("black", 0), ("white", 255)] {
        fs::create_dir_all(format!("{data}/{class}")).unwrap();
        for k in 0..10 {
            let image = gradus::image::Image::filled(32, 32, [shade, k, 0]);
            image.save_png(format!("{data}/{class}/{k}.png")).unwrap();
        }
    }
    done(&["train", "alexnet", "--data", &data, "--epochs", "1", "--batch", "8", "--out", &run]);
    fs::write(format!("{data}/black/3.png"), "no picture").unwrap();
    let out = gradus(&["train", "--resume", &run]);
    let said = text(&out);
    assert!(out.status.code() == Some(2) && said.contains("3.png") && !said.contains("--data"), "{said}");
    fs::rename(&data, folder.path().join("elsewhere")).unwrap();
    refused(&["train", "--resume", &run], &[&data, "where it is now with --data"]);
}

/// Weights so large that the network's answer is no number: whoever is asked says so, and names the picture.
#[test]
fn an_answer_that_is_no_number_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").to_str().unwrap().to_string();
    begin(&run, &["--epochs", "1"]);
    let best = Path::new(&run).join("weights/best.safetensors");
    let loaded = checkpoint::load(&best).unwrap();
    let mut tensors = loaded.tensors;
    for name in ["features.0.weight", "classifier.6.weight"] {
        let raw = &tensors[name];
        let large: Vec<f32> = raw.to_f32().iter().map(|v| v * 1e30).collect();
        let large = checkpoint::RawTensor::from_f32(raw.shape(), &large);
        tensors.insert(name.into(), large);
    }
    checkpoint::save(&best, &tensors, &loaded.metadata).unwrap();
    let picture = format!("{run}/train_batch0.png");
    for args in [&["predict", &run, &picture][..], &["evaluate", &run, "--data", "synthetic:48"]] {
        let out = gradus(args);
        let said = text(&out);
        assert!(!out.status.success() && out.stdout.is_empty(), "{args:?}: {said}");
        assert!(said.contains("not finite; the first of it: the result of "), "{args:?}: {said}");
    }
}
