//! The command as a user meets it: results, help, and what it says to bad input.

mod fetch;
mod report;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn gradus(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The command refuses with exit code 2, nothing on standard output, and one message that has all these
/// words.
#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let out = gradus(args);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "gradus {args:?}: {said}");
    assert!(out.stdout.is_empty() && !said.contains("panicked"), "gradus {args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "gradus {args:?} says nothing of `{word}`: {said}");
    }
}

/// A small network's run on drawn images, made once for the tests that need one.
fn trained(folder: &Path) -> String {
    let run = folder.join("run");
    let out = gradus(&[
        "train",
        "alexnet",
        "--data",
        "synthetic:48",
        "--epochs",
        "1",
        "--out",
        run.to_str().unwrap(),
        "--json",
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&json["epochs"], &json["best_epoch"]), (&1.into(), &1.into()));
    assert!(json["test"]["accuracy"].as_f64().unwrap() <= 1.0 && json["val"]["loss"].as_f64().unwrap() > 0.0);
    run.to_str().unwrap().into()
}

#[test]
fn a_run_leaves_its_folder_and_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let files = [
        "args.json",
        "log.jsonl",
        "results.csv",
        "results.png",
        "weights/best.safetensors",
        "weights/last.safetensors",
    ];
    let pictures = [
        "confusion_matrix.png",
        "top_losses.png",
        "train_batch0.png",
        "val_batch0_labels.png",
        "val_batch0_pred.png",
    ];
    for file in files.iter().chain(&pictures) {
        assert!(Path::new(&run).join(file).is_file(), "{file}");
    }
    let log = fs::read_to_string(format!("{run}/log.jsonl")).unwrap();
    let row: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let losses = row["step_losses"].as_array().unwrap();
    assert!(losses.len() == 1 && losses[0][0] == 1 && losses[0][1].as_f64() > Some(0.0), "{losses:?}");
    refused(&["watch", folder.path().to_str().unwrap()], &["is not the folder of a run", &run]);
    let events = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with("events.out.tfevents.");
    assert!(fs::read_dir(&run).unwrap().any(|e| events(&e.unwrap())));

    let evaluated = gradus(&["evaluate", &run, "--data", "synthetic:48", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    assert_eq!((json["split"].as_str(), json["images"].as_u64()), (Some("test"), Some(8)));
    let of_classes =
        json["classes"].as_array().unwrap().iter().map(|class| class["images"].as_u64().unwrap());
    assert_eq!(of_classes.sum::<u64>(), 8);
    let judged = folder.path().join("judged");
    let bare = folder.path().join("bare");
    fs::create_dir_all(bare.join("disc")).unwrap();
    refused(&["evaluate", &run, "--data", bare.to_str().unwrap()], &["bare", "sub-folder"]);
    let leave = ["evaluate", &run, "--data", "synthetic:48", "-o", judged.to_str().unwrap()];
    let left = gradus(&leave);
    assert!(left.status.success() && judged.join("top_losses.png").is_file());
    let where_it_is = format!("top_losses.png are in {}", judged.display());
    assert!(text(&left.stderr).contains(&where_it_is), "{}", text(&left.stderr));
    let matrix: serde_json::Value =
        serde_json::from_slice(&fs::read(judged.join("confusion_matrix.json")).unwrap()).unwrap();
    assert_eq!(matrix["counts"].as_array().unwrap().len(), matrix["classes"].as_array().unwrap().len());
    refused(&leave, &["confusion_matrix.png", "exists already"]);

    let picture = format!("{run}/train_batch0.png");
    let predicted = gradus(&["predict", &run, &picture, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&predicted.stdout).unwrap();
    let top = json[0]["top"].as_array().unwrap();
    assert_eq!(top.len(), 5);
    assert!(top[0]["probability"].as_f64() >= top[4]["probability"].as_f64());

    // A folder is its pictures.
    let predicted = gradus(&["predict", &run, &run, "--json", "--quiet"]);
    let json: serde_json::Value = serde_json::from_slice(&predicted.stdout).unwrap();
    assert!(json.as_array().unwrap().len() >= pictures.len() && predicted.stderr.is_empty());
    refused(&["predict", &run, &format!("{run}/weights")], &["weights", "holds no PNG"]);
    // A result that stands beside an error is the one value.
    let both = gradus(&["predict", &run, &picture, &format!("{run}/args.json"), "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!((both.status.code(), json.as_array().map(Vec::len)), (Some(2), Some(1)));
    let why = folder.path().join("why");
    let explain = ["predict", &run, &picture, "--explain", why.to_str().unwrap(), "--json"];
    let json: serde_json::Value = serde_json::from_slice(&gradus(&explain).stdout).unwrap();
    assert!(Path::new(json[0]["explained"].as_str().unwrap()).is_file());
    refused(&explain[..5], &["exists already", "--force"]);

    report::reported(&run, folder.path());

    // Nothing is overwritten without being asked; weights of another network are refused by name.
    let again = ["train", "alexnet", "--data", "synthetic:48", "--epochs", "1", "--out", &run];
    refused(&again, &["holds a run already", "--resume", "--force"]);
    let best = format!("{run}/weights/best.safetensors");
    refused(
        &["evaluate", &best, "--data", "synthetic:48", "--arch", "imagenet"],
        &["best.safetensors", "shape"],
    );
    let mut bytes = fs::read(&best).unwrap();
    bytes.truncate(bytes.len() / 2);
    let cut = folder.path().join("cut.safetensors");
    fs::write(&cut, bytes).unwrap();
    refused(&["predict", cut.to_str().unwrap(), &picture], &["cut.safetensors", "damaged"]);

    // What only resuming needs may go; then nothing is begun anew in silence.
    let done = gradus(&["train", "--resume", &run, "--drop-state"]);
    assert!(done.status.success() && !Path::new(&run).join("state/state.safetensors").exists());
    assert!(gradus(&["predict", &run, &picture]).status.success());
    refused(&["train", "--resume", &run, "--epochs", "2"], &["--drop-state", "--out"]);
}

#[test]
fn an_error_is_one_json_value_where_that_is_asked_for() {
    for (args, code, kind, words) in [
        (&["iou", "1,2", "0,0,1,1", "--json"][..], 2, "input", "is not a box"),
        (&["predict", "none.pth", "x.png", "--json"], 2, "input", "cannot be read"),
        (&["bench", "--json"], 2, "input", "subcommand"),
        (&["train", "alexnet", "--epochs", "0", "--json"], 2, "input", "at least 1"),
    ] {
        let out = gradus(args);
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let error = &json["error"];
        assert_eq!((out.status.code(), error["kind"].as_str()), (Some(code), Some(kind)), "{args:?}");
        assert!(error["message"].as_str().unwrap().contains(words), "{args:?}: {json}");
    }
    // A mistake in the arguments is a line, and clap's tip or the command's own help is what to do.
    for (args, message, remedy) in [
        (
            &["train", "alexnet", "--eposchs", "2", "--json"][..],
            "unexpected argument '--eposchs' found",
            "'--epochs'",
        ),
        (
            &["train", "alexnet", "--json"],
            "required arguments were not provided: --data <SRC>",
            "see gradus train alexnet --help",
        ),
        (&["lab", "--json"], "'gradus lab' has no use for '--json': leave it out", "see gradus"),
        (&["watch", ".", "--json"], "'gradus watch' has no use for '--json'", "see gradus"),
        (&["man", "--json"], "'gradus man' has no use for '--json'", "see gradus"),
    ] {
        let json: serde_json::Value = serde_json::from_slice(&gradus(args).stdout).unwrap();
        let [said, then] = ["message", "remedy"].map(|part| json["error"][part].as_str().unwrap());
        assert!(said.contains(message) && then.contains(remedy) && !said.contains('\n'), "{json}");
    }
    let missing = gradus(&["predict", "none.pth", "x.png", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&missing.stdout).unwrap();
    assert_eq!(json["error"]["file"], "none.pth");
}

#[test]
fn shells_and_man_are_served() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = gradus(&["completions", shell]);
        assert!(script.status.success() && text(&script.stdout).contains("lr-range"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    assert!(gradus(&["man", "-o", out]).status.success());
    for page in ["gradus", "gradus-iou", "gradus-train-detector"] {
        let page = fs::read_to_string(folder.path().join(format!("{page}.1"))).unwrap();
        assert!(page.starts_with(".ie") || page.contains(".TH"), "{page}");
    }
    refused(&["man", "-o", out], &["exists already", "--force"]);
}

#[test]
fn help_teaches() {
    for args in [
        &["--help"][..],
        &["train", "alexnet", "--help"],
        &["evaluate", "--help"],
        &["predict", "--help"],
        &["lr-range", "--help"],
        &["bench", "--help"],
    ] {
        let out = gradus(args);
        assert!(out.status.success());
        assert!(text(&out.stdout).len() > 300, "{args:?}");
    }
    assert!(text(&gradus(&["train", "alexnet", "--help"]).stdout).contains("Examples:"));
}

#[test]
fn bad_arguments_are_refused() {
    refused(&["train", "alexnet"], &["--data"]);
    refused(&["train", "alexnet", "--data", "synthetic", "--epochs", "0"], &["at least 1"]);
    refused(&["train", "alexnet", "--data", "synthetic", "--lr", "-1"], &["--lr -1", "positive"]);
    refused(&["train", "alexnet", "--data", "synthetic:x"], &["synthetic:N"]);
    refused(&["no-such-command"], &["no-such-command"]);
    refused(&["filtr", "all", "x.png", "-o", "y"], &["filter"]);
    refused(&["detect", "x", "y.png", "--score", "1.5"], &["from 0 to 1"]);
    refused(&["train", "alexnet", "--resume"], &["--out"]);
    refused(&["watch", "no-such-run"], &["is not there"]);
    refused(&["watch", env!("CARGO_MANIFEST_DIR")], &["is not the folder of a run", "such as runs/alexnet"]);
    refused(&["iou", "0,0,1,1", "0,0,1,1", "--metric", "gio"], &["similar value exists: 'giou'"]);
    refused(&["fetch", "penfudan"], &["did you mean `penn-fudan`?"]);
    for network in ["alexnet", "detector"] {
        refused(&["train", network, "--data", "syntetic:30"], &["did you mean synthetic:30?"]);
    }
    refused(&["filter", "sobl-x", "x.png", "-o", "y"], &["sobl-x", "sobel-x"]);
    for (name, value) in [("GRADUS_ISA", "mmx"), ("GRADUS_CONV", "winogrd")] {
        let out = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(["bench", "gemm"])
            .env(name, value)
            .output()
            .unwrap();
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("{name}={value}: not one of")) && !said.contains("panicked"),
            "{said}"
        );
    }
}

/// Between the bands of a picture Ctrl-C is heard, and what was written of it goes.
#[cfg(unix)]
#[test]
fn a_filter_at_work_hears_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("large.png"), folder.path().join("out"));
    gradus::image::Image::filled(4000, 4000, [9; 3]).save_png(&input).unwrap();
    fs::create_dir(&out).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(["filter", "median"]).arg(&input).arg("-o").arg(out.join("median.png"));
    let command = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let begun = || fs::read_dir(&out).unwrap().count() > 0;
    while !begun() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let (code, said, _) = fetch::interrupted(command);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("the picture was not made") && !begun(), "{said}");
}

#[test]
fn a_network_is_timed_in_each_batch() {
    let out =
        gradus(&["bench", "infer", "--network", "alexnet-cifar", "--batch", "1,3", "--runs", "1", "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let timings = json["timings"].as_array().unwrap();
    assert_eq!(timings.iter().map(|t| t["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    for t in timings {
        let [ms, rate] = ["ms", "images_per_s"].map(|name| t[name].as_f64().unwrap());
        assert!((rate * ms / 1e3 - t["batch"].as_f64().unwrap()).abs() < 1e-9, "{t}");
    }
}

#[test]
fn bad_data_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let train = |data: &str, words: &[&str]| {
        let out = at("out");
        refused(&["train", "alexnet", "--data", data, "--out", &out], words);
        assert!(!Path::new(&out).exists(), "nothing is left behind");
    };
    train(&at("missing"), &["missing", "gradus fetch cifar10"]);

    let cifar = folder.path().join("cifar");
    fs::create_dir(&cifar).unwrap();
    fs::write(cifar.join("batches.meta.txt"), "airplane\n").unwrap();
    fs::write(cifar.join("data_batch_1.bin"), vec![0; 1000]).unwrap();
    train(cifar.to_str().unwrap(), &["cifar"]);

    let images = folder.path().join("images");
    fs::create_dir_all(images.join("cat")).unwrap();
    train(images.to_str().unwrap(), &["images", "sub-folder"]);
    fs::write(at("not.tar.gz"), b"<!doctype html>").unwrap();
    train(&at("not.tar.gz"), &["not.tar.gz"]);
}

#[test]
fn bad_models_and_images_are_refused_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(at("page.pth"), "<html>").unwrap();
    refused(&["predict", &at("page.pth"), "x.png"], &["page.pth", "web page"]);
    refused(&["predict", &at("none.pth"), "x.png"], &["none.pth"]);
    refused(&["predict", folder.path().to_str().unwrap(), "x.png"], &["weights/best.safetensors"]);
    refused(&["evaluate", &at("none.pth"), "--data", "synthetic"], &["none.pth"]);
}

#[test]
fn descent_tells_factors_verdict_and_steps() {
    let json = |args: &[&str]| -> serde_json::Value {
        let out = gradus(&[&["descent"], args, &["--json"]].concat());
        assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let slow = json(&["--a", "1", "--b", "10000", "--lr", "auto"]);
    assert_eq!((slow["verdict"].as_str(), slow["steps_needed"].as_u64()), (Some("converges"), Some(69_078)));
    let edge = json(&["--a", "1", "--b", "2", "--lr", "1", "--steps", "4"]);
    assert_eq!((edge["verdict"].as_str(), edge["bound"].as_f64()), (Some("alternates"), Some(1.0)));
    assert_eq!(edge["rho"], serde_json::json!([0.0, -1.0]));
    assert_eq!(edge["final"], serde_json::json!([0.0, 1.0]));
    // The double next to 0.2 times 10 is beyond 2; the rate that was typed is the bound.
    let typed = json(&["--a", "1", "--b", "10", "--lr", "0.2"]);
    assert_eq!((typed["verdict"].as_str(), typed["bound"].as_f64()), (Some("alternates"), Some(0.2)));
    assert_eq!(json(&["--a", "1", "--b", "10", "--lr", "0.2001"])["verdict"], "diverges");
    assert_eq!(json(&["--a", "1", "--b", "10", "--lr", "0.2", "--start", "1,0"])["verdict"], "converges");
    // With momentum the steps are counted, and suffice.
    for optimizer in ["momentum", "nesterov"] {
        let fast = json(&["--a", "1", "--b", "100", "--optimizer", optimizer, "--lr", "auto"]);
        let last: Vec<f64> = serde_json::from_value(fast["final"].clone()).unwrap();
        assert_eq!((fast["verdict"].as_str(), &fast["steps"]), (Some("converges"), &fast["steps_needed"]));
        assert!(last[0].hypot(last[1]) <= 1e-6 * 2f64.sqrt(), "{optimizer}: {last:?}");
    }
    assert_eq!(json(&["--a", "1", "--b", "2", "--lr", "1.5"])["verdict"], "diverges");
    assert_eq!(json(&["--a", "0", "--b", "2", "--lr", "0.5"])["verdict"], "stays");
    assert_eq!(json(&["--a", "-1", "--b", "2", "--lr", "0.5"])["verdict"], "diverges");
    assert_eq!(json(&["--a", "1", "--b", "9", "--lr", "0.3", "--start", "1,0"])["verdict"], "converges");

    refused(&["descent", "--a", "1", "--b", "2", "--lr", "-1"], &["--lr -1", "climbs"]);
    refused(&["descent", "--a", "1", "--b", "2", "--lr", "0"], &["not positive"]);
    refused(&["descent", "--a", "NaN", "--b", "2"], &["--a NaN"]);
    refused(&["descent", "--a", "1", "--b", "2", "--steps", "0"], &["at least 1"]);
    refused(&["descent", "--a", "-1", "--b", "2"], &["--lr auto", "positive curvatures"]);
    refused(&["descent", "--a", "1", "--b", "2", "--start", "1"], &["two numbers"]);
}

#[test]
fn iou_tells_value_gradient_and_kinks() {
    let json = |args: &[&str]| -> serde_json::Value {
        let out = gradus(&[&["iou"], args, &["--json"]].concat());
        assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let overlap = json(&["0,0,4,2", "1,1,5,3"]);
    assert_eq!((overlap["value"].as_f64(), overlap["plateau"].as_bool()), (Some(3.0 / 13.0), Some(false)));
    let apart = json(&["-2,-2,-1,-1", "5,5,6,6"]);
    assert_eq!((apart["value"].as_f64(), apart["plateau"].as_bool()), (Some(0.0), Some(true)));
    assert_eq!(json(&["-2,-2,-1,-1", "5,5,6,6", "--metric", "giou"])["plateau"], false);
    let touch = json(&["0,0,1,2", "1,1,4,3"]);
    assert_eq!(touch["kinks"][0]["coordinate"], "x2");

    refused(&["iou", "0,0,NaN,1", "0,0,1,1"], &["finite"]);
    refused(&["iou", "3,0,1,1", "0,0,1,1"], &["inverted", "x1 <= x2"]);
    refused(&["iou", "0,0,1", "0,0,1,1"], &["not a box"]);
    refused(&["iou", "0,0,1,1"], &["two boxes"]);
    refused(&["iou", "0,0,1e300,1e300", "0,0,1,1"], &["1e300", "scale both boxes"]);
    refused(&["iou", "0,0,1,1", "0,0,1e-300,1"], &["1e-300", "scale both boxes"]);
    refused(&["iou", "0,0,4,2", "1,1,5,3", "-o", "pictures"], &["--field"]);
}

#[test]
fn pictures_are_drawn_and_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let draws = |args: &[&str]| assert!(gradus(args).status.success(), "{args:?}");
    draws(&["descent", "--a", "1", "--b", "10", "--lr", "0.18", "-o", &at("d")]);
    draws(&["iou", "--field", "-o", &at("i")]);
    let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/camera.png");
    draws(&["filter", "sobel-x", photo, "-o", &at("edges.png"), "--response", &at("response.png")]);
    draws(&["filter", "all", photo, "-o", &at("all"), "--border", "wrap", "--absolute"]);
    for file in [
        "d/path.png",
        "d/loss.png",
        "d/region.png",
        "d/steps.png",
        "i/iou-value.png",
        "i/iou-gradient.png",
        "edges.png",
        "response.png",
        "all/median.png",
        "all/box-response.png",
    ] {
        assert!(Path::new(&at(file)).is_file(), "{file}");
    }
    refused(&["filter", "box", photo, "-o", &at("edges.png")], &["edges.png", "exists already"]);
    refused(&["filter", "box", photo, "-o", &at("x.jpg")], &["x.jpg", ".png"]);
    refused(&["filter", "median", photo, "-o", &at("x.png"), "--response", &at("r.png")], &["not linear"]);
    refused(&["filter", "blur", photo, "-o", &at("x.png")], &["blur", "binomial"]);
    fs::write(at("text.png"), "no picture").unwrap();
    refused(&["filter", "box", &at("text.png"), "-o", &at("x.png")], &["text.png"]);
}

/// What a command does not use, its help does not offer.
#[test]
fn help_offers_what_is_used() {
    let options = ["--seed", "--precision", "--threads", "--profile"];
    for (command, used) in [
        ("fetch", &[][..]),
        ("watch", &[]),
        ("iou", &[]),
        ("filter", &["--threads"]),
        ("predict", &["--precision", "--threads", "--profile"]),
        ("lr-range", &options),
    ] {
        let help = text(&gradus(&[command, "--help"]).stdout);
        assert_eq!(
            (help.contains("--json"), help.contains("Common options")),
            (command != "watch", true),
            "{help}"
        );
        for option in options {
            assert_eq!(help.contains(option), used.contains(&option), "{command} {option}: {help}");
        }
    }
    refused(
        &["iou", "0,0,1,1", "0,0,1,1", "--precision", "bf16"],
        &["'gradus iou' has no use for '--precision'"],
    );
    refused(&["--seed", "3", "fetch", "list"], &["'gradus fetch' has no use for '--seed'"]);
}

#[test]
fn a_batch_that_no_memory_holds_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").display().to_string();
    let huge = ["train", "alexnet", "--data", "synthetic:48000", "--arch", "imagenet", "--batch", "36000"];
    let output = gradus(&[&huge[..], &["--out", &out]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--batch 36000 takes about") && said.contains("or less fits"), "{said}");
    assert!(!Path::new(&out).exists(), "nothing was learned, so nothing is left");
}
