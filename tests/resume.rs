//! X2: a run killed at any moment and resumed leaves the bits of an unbroken one.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KILLS: usize = 20;

/// Begins a run, or goes on with it where it has got a folder.
fn train(folder: &Path) -> Command {
    let resume = folder.join("args.json").exists();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args([
        "train",
        "alexnet",
        "--data",
        "synthetic:96",
        "--epochs",
        "4",
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
    assert!(train(&unbroken).status().unwrap().success());
    let whole = start.elapsed();

    let mut rng = gradus_core::Rng::seed(2024);
    for k in 0..KILLS {
        // Short lives and long ones, so that all phases are hit: start-up, steps, validation, the writing of
        // files.
        let share = rng.range(0.02, if k % 4 == 3 { 0.6 } else { 0.2 });
        kill_after(train(&broken).spawn().unwrap(), whole.mul_f64(share));
    }
    assert!(train(&broken).status().unwrap().success());
    for ((name, a), (_, b)) in bits(&unbroken).iter().zip(&bits(&broken)) {
        assert!(a == b, "{name} differs");
    }
    assert_eq!(results(&unbroken), results(&broken));

    // A finished run says so and stays as it is; settings that would mean another run are refused by name.
    let again = train(&broken).stderr(Stdio::piped()).output().unwrap();
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("trained already"));
    let other = train(&broken).args(["--val-fraction", "0.2"]).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(said.contains("was begun with ") && said.contains("`gradus train --resume "), "{said}");
}
