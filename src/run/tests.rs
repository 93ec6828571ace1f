use super::*;
use serde::Deserialize;
use std::io::Write;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Plan {
    lr: f64,
    batch: usize,
    threads: usize,
}

const PLAN: Plan = Plan { lr: 1e-3, batch: 256, threads: 2 };

fn row(epoch: usize) -> [(&'static str, f64); 3] {
    let e = epoch as f64;
    [("train/loss", 2.0 / e), ("val/loss", 2.5 / e), ("lr", 1e-3)]
}

fn files_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    [LOG, results::CSV, results::PNG].map(|n| (n.to_string(), fs::read(folder.join(n)).unwrap())).to_vec()
}

#[test]
fn one_process_writes_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let first = Run::open(&folder, &PLAN, Existing::Refuse).unwrap();
    for existing in [Existing::Resume, Existing::Replace] {
        let e = Run::open(&folder, &PLAN, existing).unwrap_err().to_string();
        assert!(e.contains("another gradus"), "{e}");
    }
    drop(first);
    drop(Run::open(&folder, &PLAN, Existing::Resume).unwrap());
    // A foreign folder gets no lock.
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "").unwrap();
    assert!(Run::open(&foreign, &PLAN, Existing::Refuse).is_err());
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
}

/// Killed at any file of it, the removal leaves a run, which `--force` removes.
#[test]
fn a_run_is_removed_with_its_settings_last() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    drop(Run::open(&folder, &PLAN, Existing::Refuse).unwrap());
    for name in ["results.csv", "weights/last.safetensors", "weights/.a1.part", ".b2.part", "notes.txt"] {
        fs::write(folder.join(name), "").unwrap();
    }
    // As if it could not go on from there.
    fs::remove_file(folder.join(ARGS)).unwrap();
    fs::create_dir_all(folder.join(ARGS).join("in the way")).unwrap();
    fs::write(folder.join("confusion_matrix.png"), "").unwrap();
    remove_own(&folder).unwrap();
    let left = visible(&folder).unwrap();
    assert_eq!(left, ["notes.txt"], "what the run did not make stays");
    assert!(!folder.join(".b2.part").exists());
}

/// A kill in the middle of `--force` leaves no state; whoever resumes then begins at the beginning.
#[test]
fn a_half_removed_run_begins_anew_when_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::open(dir.path(), &PLAN, Existing::Refuse).unwrap();
    run.epoch(1, &[], &row(1)).unwrap();
    drop(run);
    for name in ["weights", "state"] {
        fs::remove_dir_all(dir.path().join(name)).unwrap();
    }
    let mut run = Run::open(dir.path(), &PLAN, Existing::Resume).unwrap();
    run.go_on(0, 0, false).unwrap();
    assert_eq!(run.epochs(), 0);
    assert!(dir.path().join("weights").is_dir() && dir.path().join("state").is_dir());
}

/// An unreadable table or log is not taken for none, and written anew without what it held.
#[cfg(unix)]
#[test]
fn files_that_cannot_be_looked_at_are_told() {
    for name in [LOG, results::CSV, ARGS] {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::open(dir.path(), &PLAN, Existing::Refuse).unwrap();
        run.epoch(1, &[], &row(1)).unwrap();
        drop(run);
        let path = dir.path().join(name);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let resumed =
            Run::open(dir.path(), &PLAN, Existing::Resume).and_then(|mut run| run.go_on(1, 0, false));
        let said = resumed.unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("cannot be read"), "{said}");
    }
}

#[test]
fn a_resumed_run_leaves_the_files_of_an_unbroken_one() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut unbroken = Run::open(a.path(), &PLAN, Existing::Refuse).unwrap();
    (1..=4).for_each(|e| unbroken.epoch(e, &[], &row(e)).unwrap());

    let mut first = Run::open(b.path(), &PLAN, Existing::Refuse).unwrap();
    (1..=2).for_each(|e| first.epoch(e, &[], &row(e)).unwrap());
    first.epoch(3, &[], &[("train/loss", 9.0), ("val/loss", 9.0), ("lr", 9.0)]).unwrap();
    // Killed while it wrote: a line and a record are cut off.
    fs::OpenOptions::new().append(true).open(b.path().join(LOG)).unwrap().write_all(b"{\"epo").unwrap();
    fs::OpenOptions::new().append(true).open(first.events.path()).unwrap().write_all(&[1, 2, 3]).unwrap();
    drop(first);
    let mut second = Run::open(b.path(), &Plan { threads: 1, ..PLAN }, Existing::Resume).unwrap();
    assert_eq!(second.epochs(), 3);
    second.go_on(2, 0, false).unwrap();
    (3..=4).for_each(|e| second.epoch(e, &[], &row(e)).unwrap());

    assert_eq!(files_of(a.path()), files_of(b.path()));
    let steps = |run: &Run| events::steps(&fs::read(run.events.path()).unwrap());
    assert_eq!(steps(&second), [0, 1, 2, 3, 4]);
    assert_eq!(steps(&second), steps(&unbroken));
    let csv = fs::read_to_string(b.path().join(results::CSV)).unwrap();
    assert!(csv.starts_with("epoch,train/loss,val/loss,lr\n1,2,2.5,0.001\n"), "{csv}");
    assert_eq!(csv.lines().count(), 5);
}

#[test]
fn a_finished_run_that_is_resumed_keeps_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::open(dir.path(), &PLAN, Existing::Refuse).unwrap();
    (1..=2).for_each(|e| run.epoch(e, &[], &row(e)).unwrap());
    run.end(&serde_json::json!({ "best_epoch": 2 }), &[]).unwrap();
    let finished = files_of(dir.path());
    drop(run);
    // Killed before it ends a second time, and ended a second time.
    let mut run = Run::open(dir.path(), &PLAN, Existing::Resume).unwrap();
    run.go_on(2, 0, true).unwrap();
    assert_eq!(files_of(dir.path()), finished);
    run.end(&serde_json::json!({ "best_epoch": 2 }), &[]).unwrap();
    assert_eq!(files_of(dir.path()), finished);
    // With more epochs the end is gone until it comes.
    drop(run);
    let mut run = Run::open(dir.path(), &PLAN, Existing::Resume).unwrap();
    run.go_on(2, 0, false).unwrap();
    run.epoch(3, &[], &row(3)).unwrap();
    let log = fs::read_to_string(dir.path().join(LOG)).unwrap();
    assert!(log.lines().count() == 3 && !log.contains("best_epoch"), "{log}");
}

#[test]
fn an_existing_run_is_touched_only_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("runs/a");
    Run::open(&folder, &PLAN, Existing::Refuse).unwrap().epoch(1, &[], &row(1)).unwrap();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let message = |plan: &Plan, e| Run::open(&folder, plan, e).unwrap_err().to_string();
    assert!(message(&PLAN, Existing::Refuse).contains("holds a run already; `gradus train --resume "));
    let other = Plan { batch: 128, ..PLAN };
    let text = message(&other, Existing::Resume);
    assert!(text.contains("was begun with batch 256, not 128"), "{text}");
    let replaced = Run::open(&folder, &other, Existing::Replace).unwrap();
    assert_eq!((replaced.epochs(), Run::settings::<Plan>(&folder).unwrap()), (0, other));
    assert_eq!(fs::read(folder.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn other_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    let none = Run::open(dir.path(), &PLAN, Existing::Resume).unwrap_err().to_string();
    assert!(none.contains("holds no run to resume"), "{none}");
    for existing in [Existing::Refuse, Existing::Replace] {
        let text = Run::open(dir.path(), &PLAN, existing).unwrap_err().to_string();
        assert!(text.contains("it holds thesis.tex"), "{text}");
    }
    let text = Run::settings::<Plan>(dir.path()).unwrap_err().to_string();
    assert!(text.contains("args.json") && text.ends_with("name the folder of a run"), "{text}");
}

#[test]
fn a_damaged_table_is_named() {
    let dir = tempfile::tempdir().unwrap();
    Run::open(dir.path(), &PLAN, Existing::Refuse).unwrap().epoch(1, &[], &row(1)).unwrap();
    fs::write(dir.path().join(results::CSV), "epoch,a\n1,x\n").unwrap();
    let text = Run::open(dir.path(), &PLAN, Existing::Resume).unwrap_err().to_string();
    assert!(text.contains("results.csv: is damaged in line 2"), "{text}");
}

#[test]
fn what_no_object_defines_has_no_curve() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::open(dir.path(), &PLAN, Existing::Refuse).unwrap();
    let values =
        [("box/AP", 0.5), ("box/AP_small", -1.0), ("box/AR1", -1.0), ("mask/AR1", 0.25), ("gain", -1.0)];
    run.epoch(1, &[], &values).unwrap();
    let names: Vec<String> = Run::curves(dir.path()).unwrap().into_iter().map(|c| c.0).collect();
    assert_eq!(names, ["AP", "AR1", "gain"]);
}

#[test]
fn a_run_that_learned_nothing_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let open = |existing| Run::open(&folder, &PLAN, existing).unwrap();
    open(Existing::Refuse).give_up();
    assert!(!folder.exists());
    // What is not the run's stays, and so does a run that has got somewhere.
    let run = open(Existing::Refuse);
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    run.give_up();
    assert_eq!(visible(&folder).unwrap(), ["notes.txt"]);
    fs::remove_file(folder.join("notes.txt")).unwrap();
    let run = open(Existing::Refuse);
    fs::write(run.file("state/state.safetensors"), "").unwrap();
    run.give_up();
    drop(run);
    open(Existing::Resume).give_up();
    fs::remove_file(folder.join("state/state.safetensors")).unwrap();
    open(Existing::Resume).give_up();
    let mut run = open(Existing::Replace);
    run.epoch(1, &[], &row(1)).unwrap();
    run.give_up();
    assert!(folder.join(ARGS).exists());
}

#[test]
fn a_run_of_the_other_kind_is_called_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(ARGS), r#"{"task": "alexnet", "classes": ["disc"]}"#).unwrap();
    let said = Run::settings::<Plan>(dir.path()).unwrap_err().to_string();
    assert!(said.contains("is a run of `gradus train alexnet`") && !said.contains("missing field"), "{said}");
    #[derive(Debug, serde::Deserialize)]
    struct Class {
        #[serde(rename = "id")]
        _id: usize,
    }
    #[derive(Debug, serde::Deserialize)]
    struct OfObjects {
        #[serde(rename = "classes")]
        _classes: Vec<Class>,
    }
    let said = Run::settings::<OfObjects>(dir.path()).unwrap_err().to_string();
    assert!(said.contains("and another is wanted here;") && !said.contains("expected struct"), "{said}");
}
