//! A run's folder: what every training command writes, in one place and one form.
//!
//! | file | content |
//! |---|---|
//! | `args.json` | every setting: enough to run it again |
//! | `results.csv`, `results.png` | a row an epoch, and its curves |
//! | `log.jsonl` | the same rows, and whatever else is noted, a JSON object a line |
//! | `events.out.tfevents.*` | the same for TensorBoard |
//! | `weights/`, `state/` | the weights, and all that resuming needs |
//!
//! A resumed run may go on with some other settings: see `changes.rs`. It is rewound to the last epoch whose
//! state was saved, so that its files are those of an unbroken one. An existing run is touched only where
//! that is asked for.

mod changes;
mod events;
pub mod log;
mod results;
mod settings;
pub mod status;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;

use crate::error::{Error, Result};
use crate::files;
use crate::lock::Lock;
use crate::plot::Chart;
use changes::Resumed;
use events::Events;
use gradus_core::profile;
use log::LOG;
use results::Results;
pub use settings::BITS;
use settings::{ARGS, complete, internal};

/// Hidden, as what is no part of the run.
const LOCK: &str = ".lock";
const OPS: &str = "ops.json";
/// What a run consists of: these are removed where a run is replaced, and nothing else.
const OWN: [&str; 10] = [
    ARGS,
    LOG,
    OPS,
    results::CSV,
    results::PNG,
    "weights",
    "state",
    "confusion_matrix.png",
    "PR_curve.png",
    "detections.json",
];
const OWN_PREFIXES: [&str; 3] = [events::PREFIX, "train_batch", "val_batch"];

/// What to do with a run that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An error.
    Refuse,
    /// It is removed (`--force`).
    Replace,
    /// It goes on (`--resume`); where there is none, that is an error.
    Resume,
}

/// The folder of a run that is being written.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    results: Results,
    events: Events,
    /// Whether it was begun here.
    new: bool,
    /// Where it goes on with other settings: not written yet.
    resumed: Option<Resumed>,
    _lock: Lock,
}

impl Run {
    /// Begins or resumes a run. `settings` is a struct of everything that the result depends on; it is
    /// written to `args.json`, together with the program's version and [`BITS`]. What an older version did
    /// not write there has its default.
    ///
    /// # Errors
    /// The folder holds a run that was not to be touched, or was begun with settings that may not change or
    /// with other bits, or holds something else, or, to resume, none; or another process writes it.
    pub fn open<S>(folder: impl AsRef<Path>, settings: &S, existing: Existing) -> Result<Self>
    where
        S: Serialize + DeserializeOwned,
    {
        let folder = folder.as_ref();
        may_be_written(folder, existing)?;
        files::create_folder(folder)?;
        let remedy = "wait for it to end, or name another folder with --out";
        let lock = Lock::take(&folder.join(LOCK), folder, remedy)?;
        // Another process may have been here in between.
        may_be_written(folder, existing)?;
        let resumed = match existing {
            Existing::Resume => {
                remove_unfinished(folder)?;
                Some(Resumed::new(folder, settings)?)
            }
            _ => {
                remove_own(folder)?;
                None
            }
        };
        files::create_folder(folder.join("weights"))?;
        files::create_folder(folder.join("state"))?;
        if resumed.is_none() {
            settings::write(folder, complete(settings)?)?;
        }
        let (results, events) = (Results::open(folder)?, Events::open(folder)?);
        let (folder, new) = (folder.to_path_buf(), resumed.is_none());
        Ok(Run { folder, results, events, new, resumed, _lock: lock })
    }

    /// Error: the folder holds no run that could be resumed: none at all, or one of other [`BITS`].
    pub fn must_go_on(folder: &Path) -> Result<()> {
        if files::exists(folder.join(ARGS))? {
            return settings::must_have_these_bits(folder);
        }
        Err(Error::input("holds no run to resume")
            .in_file(folder)
            .remedy("name the folder of a run, or leave out --resume to begin one"))
    }

    /// Goes on after so many whole epochs and batches of the next, unless it is `done` with them: what was
    /// written later is forgotten, and what is set otherwise from here on is recorded.
    pub fn go_on(&mut self, epochs: usize, batches: usize, done: bool) -> Result<()> {
        if let Some(resumed) = self.resumed.take() {
            resumed.record(&self.folder, [epochs, batches], done)?;
        }
        // Nothing comes after the last epoch but its end, which stays until it is written anew.
        if done && epochs == self.epochs() { Ok(()) } else { self.rewind(epochs) }
    }

    /// Takes back what was written, where nothing was learned: the next try finds no run in its way. A run
    /// that was resumed, has saved a state or has finished an epoch stays.
    pub fn give_up(&self) {
        if self.new && self.epochs() == 0 && visible(&self.file("state")).is_ok_and(|files| files.is_empty())
        {
            // Whoever gives up has an error to tell already.
            let _ = remove_own(&self.folder);
            let _ = fs::remove_file(self.file(LOCK));
            let _ = fs::remove_dir(&self.folder);
        }
    }

    /// The settings that the run in `folder` goes by.
    pub fn settings<T: DeserializeOwned>(folder: impl AsRef<Path>) -> Result<T> {
        settings::read(folder.as_ref())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file in the folder.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// The last epoch in `results.csv`; 0 where there is none.
    pub fn epochs(&self) -> usize {
        self.results.last()
    }

    /// Forgets everything after an epoch (all with 0): the files are as they were when it was written.
    pub fn rewind(&mut self, epoch: usize) -> Result<()> {
        self.results.rewind(epoch)?;
        self.events.rewind(epoch)?;
        log::rewind(&self.folder, epoch)
    }

    /// Records an epoch (counted from 1): the same names each time, `part/quantity` or `quantity`, such as
    /// `train/loss`, `val/accuracy`, `lr`. Quantities of one name share a panel of `results.png`. Under a
    /// profile, `ops.json` tells what each op took since it began.
    pub fn epoch(&mut self, epoch: usize, values: &[(&str, f64)]) -> Result<()> {
        if epoch <= self.epochs() {
            self.rewind(epoch - 1)?;
        }
        self.results.push(epoch, values)?;
        self.events.scalars(epoch, values)?;
        let mut line = Map::new();
        line.insert("epoch".into(), epoch.into());
        line.extend(values.iter().map(|&(name, v)| (name.to_string(), v.into())));
        log::append(&self.folder, &serde_json::to_vec(&line).map_err(internal)?)?;
        if let Some(profile) = profile::so_far() {
            let ops = serde_json::to_vec_pretty(&crate::profile::lines(&profile)).map_err(internal)?;
            files::write_atomic(self.file(OPS), &ops)?;
        }
        self.results.image().save_png(self.file(results::PNG))
    }

    /// The curves of the run in a folder: (quantity, chart), as `results.png` shows them.
    ///
    /// # Errors
    /// `results.csv` cannot be read or is damaged.
    pub fn curves(folder: &Path) -> Result<Vec<(String, Chart)>> {
        Ok(Results::open(folder)?.charts())
    }

    /// Writes how it ended as the last line of `log.jsonl`, in the place of an earlier end.
    pub fn end(&self, line: &impl Serialize) -> Result<()> {
        log::end(&self.folder, &serde_json::to_vec(line).map_err(internal)?)
    }
}

fn visible(folder: &Path) -> Result<Vec<String>> {
    if !files::exists(folder)? {
        return Ok(Vec::new());
    }
    let entries = files::entries(folder).map_err(|e| Error::read(folder, &e))?;
    let names = entries.iter().map(|e| e.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|n| !n.starts_with('.')).collect())
}

/// Error: the folder holds a run, something else, or no run, and that does not go with what is asked for.
fn may_be_written(folder: &Path, existing: Existing) -> Result<()> {
    match (existing, files::exists(folder.join(ARGS))?) {
        (Existing::Resume, _) => Run::must_go_on(folder),
        (Existing::Replace, true) => Ok(()),
        (Existing::Refuse, true) => {
            let remedy = format!(
                "`gradus train --resume {}` goes on with it, --force replaces it, --out names another folder",
                folder.display()
            );
            Err(Error::input("holds a run already").in_file(folder).remedy(remedy))
        }
        (_, false) => must_be_empty(folder),
    }
}

/// A folder without `args.json` holds no run: only an empty one is taken, or what a run left that died at its
/// birth.
fn must_be_empty(folder: &Path) -> Result<()> {
    let foreign = visible(folder)?.into_iter().find(|n| n != "weights" && n != "state");
    match foreign {
        Some(name) => Err(Error::input(format!("is not empty (it holds {name}), and is no run"))
            .in_file(folder)
            .remedy("choose a new folder with --out")),
        None => Ok(()),
    }
}

/// Removes a run: whoever is killed at it leaves one that can be removed, since `args.json` goes last, and that
/// begins at its beginning if it is resumed, since its state goes first.
fn remove_own(folder: &Path) -> Result<()> {
    remove_unfinished(folder)?;
    let mut names = visible(folder)?;
    names.sort_by_key(|name| (name == ARGS, name != "state"));
    for name in names {
        if OWN.contains(&name.as_str()) || OWN_PREFIXES.iter().any(|p| name.starts_with(p)) {
            let path = folder.join(name);
            let about = fs::symlink_metadata(&path).map_err(|e| Error::read(&path, &e))?;
            let removed = if about.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|e| Error::write(&path, &e))?;
        }
    }
    Ok(())
}

/// Removes what was being written when a process was killed.
fn remove_unfinished(folder: &Path) -> Result<()> {
    for folder in [folder, &folder.join("weights"), &folder.join("state")] {
        if files::exists(folder)? {
            let entries = files::entries(folder).map_err(|e| Error::read(folder, &e))?;
            for path in entries.iter().map(|e| e.path()).filter(|path| files::is_unfinished(path)) {
                fs::remove_file(&path).map_err(|e| Error::write(&path, &e))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        run.epoch(1, &row(1)).unwrap();
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
            run.epoch(1, &row(1)).unwrap();
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
        (1..=4).for_each(|e| unbroken.epoch(e, &row(e)).unwrap());

        let mut first = Run::open(b.path(), &PLAN, Existing::Refuse).unwrap();
        (1..=2).for_each(|e| first.epoch(e, &row(e)).unwrap());
        first.epoch(3, &[("train/loss", 9.0), ("val/loss", 9.0), ("lr", 9.0)]).unwrap();
        // Killed while it wrote: a line and a record are cut off.
        fs::OpenOptions::new().append(true).open(b.path().join(LOG)).unwrap().write_all(b"{\"epo").unwrap();
        fs::OpenOptions::new().append(true).open(first.events.path()).unwrap().write_all(&[1, 2, 3]).unwrap();
        drop(first);
        let mut second = Run::open(b.path(), &Plan { threads: 1, ..PLAN }, Existing::Resume).unwrap();
        assert_eq!(second.epochs(), 3);
        second.go_on(2, 0, false).unwrap();
        (3..=4).for_each(|e| second.epoch(e, &row(e)).unwrap());

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
        (1..=2).for_each(|e| run.epoch(e, &row(e)).unwrap());
        run.end(&serde_json::json!({ "best_epoch": 2 })).unwrap();
        let finished = files_of(dir.path());
        drop(run);
        // Killed before it ends a second time, and ended a second time.
        let mut run = Run::open(dir.path(), &PLAN, Existing::Resume).unwrap();
        run.go_on(2, 0, true).unwrap();
        assert_eq!(files_of(dir.path()), finished);
        run.end(&serde_json::json!({ "best_epoch": 2 })).unwrap();
        assert_eq!(files_of(dir.path()), finished);
        // With more epochs the end is gone until it comes.
        drop(run);
        let mut run = Run::open(dir.path(), &PLAN, Existing::Resume).unwrap();
        run.go_on(2, 0, false).unwrap();
        run.epoch(3, &row(3)).unwrap();
        let log = fs::read_to_string(dir.path().join(LOG)).unwrap();
        assert!(log.lines().count() == 3 && !log.contains("best_epoch"), "{log}");
    }

    #[test]
    fn an_existing_run_is_touched_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("runs/a");
        Run::open(&folder, &PLAN, Existing::Refuse).unwrap().epoch(1, &row(1)).unwrap();
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
        Run::open(dir.path(), &PLAN, Existing::Refuse).unwrap().epoch(1, &row(1)).unwrap();
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
        run.epoch(1, &values).unwrap();
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
        run.epoch(1, &row(1)).unwrap();
        run.give_up();
        assert!(folder.join(ARGS).exists());
    }

    #[test]
    fn a_run_of_the_other_kind_is_called_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ARGS), r#"{"task": "alexnet", "classes": ["disc"]}"#).unwrap();
        let said = Run::settings::<Plan>(dir.path()).unwrap_err().to_string();
        assert!(
            said.contains("is a run of `gradus train alexnet`") && !said.contains("missing field"),
            "{said}"
        );
    }
}
