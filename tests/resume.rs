//! X2: a run killed at any moment and resumed leaves the bits of an unbroken one, on whatever processor it
//! goes on. What a run must outlive besides: terminals that are closed, others that would write its folder,
//! files that lie.

use gradus_core::simd::Isa;
use gradus_models::checkpoint;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KILLS: usize = 20;

/// Begins a run of so many epochs, or goes on with it where it has got a folder.
fn train(folder: &Path, epochs: usize) -> Command {
    let resume = folder.join("args.json").exists();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args([
        "train",
        "alexnet",
        "--data",
        "synthetic:96",
        "--epochs",
        &epochs.to_string(),
        "--batch",
        "12",
        "--seed",
        "5",
    ]);
    command.arg("--out").arg(folder).args(resume.then_some("--resume"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn bits(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let files = ["weights/best.safetensors", "weights/last.safetensors"];
    files.map(|f| (f, std::fs::read(folder.join(f)).unwrap())).into()
}

/// The columns of results.csv that do not measure time.
fn results(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("results.csv")).unwrap();
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let timeless = |i: &usize| !head[*i].contains("seconds") && !head[*i].contains("per_second");
    let keep: Vec<usize> = (0..head.len()).filter(timeless).collect();
    let row = |l: &str| keep.iter().map(|&i| l.split(',').nth(i).unwrap()).collect::<Vec<_>>().join(",");
    text.lines().map(row).collect()
}

/// That two runs left the same.
#[track_caller]
fn same(unbroken: &Path, broken: &Path) {
    for ((name, a), (_, b)) in bits(unbroken).iter().zip(&bits(broken)) {
        assert!(a == b, "{name} differs");
    }
    assert_eq!(results(unbroken), results(broken));
}

/// Kills the process the hard way, unless it is done.
fn kill_after(mut child: Child, delay: Duration) {
    std::thread::sleep(delay);
    child.kill().ok();
    child.wait().unwrap();
}

#[test]
fn x2_killed_at_twenty_moments_and_resumed_it_has_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (unbroken, broken) = (folder.path().join("unbroken"), folder.path().join("broken"));
    let start = std::time::Instant::now();
    assert!(train(&unbroken, 4).status().unwrap().success());
    let whole = start.elapsed();

    let mut rng = gradus_core::Rng::seed(2024);
    for k in 0..KILLS {
        // Short lives and long ones, so that all phases are hit: start-up, steps, validation, the writing of
        // files.
        let share = rng.range(0.02, if k % 4 == 3 { 0.6 } else { 0.2 });
        kill_after(train(&broken, 4).spawn().unwrap(), whole.mul_f64(share));
    }
    assert!(train(&broken, 4).status().unwrap().success());
    same(&unbroken, &broken);

    // A finished run says so and stays as it is; settings that would mean another run are refused by name.
    let again = train(&broken, 4).stderr(Stdio::piped()).output().unwrap();
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("trained already"));
    let other = train(&broken, 4).args(["--val-fraction", "0.2"]).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(said.contains("was begun with ") && said.contains("`gradus train --resume "), "{said}");
}

/// Kills the process once the run has written so many lines of its log: the state after the epoch before the
/// last of them is saved then.
fn kill_after_lines(mut child: Child, folder: &Path, lines: usize) {
    let log = folder.join("log.jsonl");
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < lines {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it had {lines} lines of a log");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn x2_killed_on_each_instruction_set_and_resumed_on_the_next_it_has_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (unbroken, broken) = (folder.path().join("unbroken"), folder.path().join("broken"));
    let sets: Vec<Isa> = Isa::ALL.into_iter().rev().filter(|isa| isa.is_available()).collect();
    println!("instruction sets of this processor: {sets:?}");
    let epochs = sets.len() + 2;
    assert!(train(&unbroken, epochs).status().unwrap().success());
    for (k, isa) in sets.iter().enumerate() {
        let mut child = train(&broken, epochs).env("GRADUS_ISA", isa.name()).spawn().unwrap();
        // Each goes on from where the one before was killed, and trains an epoch or two.
        match k + 1 < sets.len() {
            true => kill_after_lines(child, &broken, k + 2),
            false => assert!(child.wait().unwrap().success()),
        }
    }
    same(&unbroken, &broken);
    let args = std::fs::read_to_string(broken.join("args.json")).unwrap();
    let args: Value = serde_json::from_str(&args).unwrap();
    assert_eq!((args["isa"].as_str(), args.get("changes")), (Some(sets[0].name()), None));
}

/// Ends with this code, and one message that has this word and no panic.
#[track_caller]
fn ends(command: &mut Command, code: i32, word: &str) {
    let out = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{said}");
    assert!(said.contains(word) && !said.contains("panicked"), "`{word}`: {said}");
}

#[test]
fn a_state_or_settings_that_lie_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    assert!(train(&run, 1).status().unwrap().success());
    let path = run.join("state/state.safetensors");
    let whole = fs::read(&path).unwrap();

    // One bit that a disk has turned.
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    ends(&mut train(&run, 2), 2, "checksum");

    // Another position, as somebody writes who knows of no checksum.
    fs::write(&path, &whole).unwrap();
    let state = checkpoint::load_verbatim(&path).unwrap();
    for (name, value, what) in [
        ("epoch", json!(u64::MAX), "steps"),
        ("batch", json!(u64::MAX), "fewer steps"),
        ("batch", json!(1), "steps"),
        ("step", json!(u64::MAX), "steps"),
        ("history", json!([]), "history"),
        ("best_epoch", json!(99), "best epoch"),
        ("best_epoch", json!(0), "best epoch"),
        ("tally", json!({"images": u64::MAX, "loss": 0.0, "correct": 0}), "more images"),
        ("seconds", json!(-1.0), "seconds"),
    ] {
        let mut metadata = state.metadata.clone();
        metadata.remove("crc32c").unwrap();
        let mut position: Value = serde_json::from_str(&metadata["position"]).unwrap();
        assert!(!position[name].is_null());
        position[name] = value;
        metadata.insert("position".into(), position.to_string());
        checkpoint::save(&path, &state.tensors, &metadata).unwrap();
        ends(&mut train(&run, 2), 2, what);
    }

    // A state without a checksum is older, and serves.
    let mut metadata = state.metadata.clone();
    metadata.remove("crc32c").unwrap();
    checkpoint::save(&path, &state.tensors, &metadata).unwrap();
    let args = fs::read_to_string(run.join("args.json")).unwrap();
    for (name, value, says) in [
        ("batch", json!(0), "not within"),
        ("epochs", json!(0), "not within"),
        ("epochs", json!(u64::MAX), "not within"),
        ("lr", json!(0.0), "not a positive number"),
        ("lr", json!(-0.1), "not a positive number"),
    ] {
        let mut lying: Value = serde_json::from_str(&args).unwrap();
        lying[name] = value;
        fs::write(run.join("args.json"), lying.to_string()).unwrap();
        ends(Command::new(env!("CARGO_BIN_EXE_gradus")).args(["train", "--resume"]).arg(&run), 2, says);
    }
    fs::write(run.join("args.json"), args).unwrap();
    assert!(train(&run, 2).status().unwrap().success());
}

/// Waits until the run has a folder.
fn begun(command: &mut Command, folder: &Path) -> Child {
    let mut child = command.spawn().unwrap();
    while !folder.join("args.json").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_run_that_is_being_written_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut child = begun(&mut train(&run, 50), &run);
    ends(&mut train(&run, 50), 2, "another gradus");
    child.kill().unwrap();
    child.wait().unwrap();
    // What a process was writing when it was killed goes with the next.
    fs::write(run.join("weights/.x1y2z3.part"), "half").unwrap();
    assert!(train(&run, 2).status().unwrap().success());
    assert!(!run.join("weights/.x1y2z3.part").exists());
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_grow_is_an_error_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    assert!(train(&whole, 1).status().unwrap().success());
    let unlimited = train(&stopped, 1);
    // In blocks of 512 bytes or 1 KiB, as the shell likes: less than the weights.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(unlimited.get_program())
        .args(unlimited.get_args());
    ends(&mut limited, 1, "cannot be written: File too large");
    assert!(train(&stopped, 1).status().unwrap().success());
    same(&whole, &stopped);
}

/// A full disk or a closed pipe behind standard error ends nothing; a terminal that is closed ends a run as
/// Ctrl-C does, unless it was begun with `nohup`.
#[cfg(target_os = "linux")]
#[test]
fn a_run_outlives_those_that_it_speaks_to() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("full");
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert!(train(&run, 1).stderr(full).status().unwrap().success());

    let hang_up = |name: &str, shell: &str| {
        let run = folder.path().join(name);
        let of_run = train(&run, 3);
        let mut command = Command::new("sh");
        command.args(["-c", shell, "sh"]).arg(of_run.get_program()).args(of_run.get_args());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = begun(&mut command, &run);
        let hung_up = Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap();
        assert!(hung_up.success());
        child.wait().unwrap().code()
    };
    assert_eq!(hang_up("terminal", "exec \"$@\""), Some(130));
    assert_eq!(hang_up("nohup", "trap '' HUP; exec \"$@\""), Some(0));
}
