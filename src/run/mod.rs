//! A run's folder: what every training command writes, in one place and one form.
//!
//! | file | content |
//! |---|---|
//! | `args.json` | every setting: enough to run it again |
//! | `results.csv`, `results.png` | a row an epoch, and its curves |
//! | `log.jsonl` | the same rows, and whatever else is noted, a JSON object a line |
//! | `events.out.tfevents.*` | the same for TensorBoard |
//! | `live.json` | what it does at this moment |
//! | `weights/`, `state/` | the weights, and all that resuming needs |
//!
//! A resumed run may go on with some other settings: see `changes.rs`. It is rewound to the last epoch whose
//! state was saved, so that its files are those of an unbroken one. An existing run is touched only where
//! that is asked for.

mod changes;
mod events;
pub mod live;
pub mod log;
pub mod pictures;
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
pub use events::ScoreCounts;
use gradus_core::profile;
use log::LOG;
use pictures::PICTURES;
use results::Results;
pub use settings::BITS;
use settings::{ARGS, complete, internal};

/// Hidden, as what is no part of the run.
const LOCK: &str = ".lock";
const OPS: &str = "ops.json";
/// More than a picture that a run draws.
const PICTURE: u64 = 64 << 20;
/// What a run consists of: these are removed where a run is replaced, and nothing else.
const OWN: [&str; 14] = [
    ARGS,
    live::LIVE,
    LOG,
    OPS,
    results::CSV,
    results::PNG,
    "weights",
    "state",
    "confusion_matrix.png",
    "confusion_matrix.json",
    "top_losses.png",
    "PR_curve.png",
    "F1_curve.png",
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

    /// Whether a folder is a run's, which may just be about to begin.
    ///
    /// # Errors
    /// That cannot be told.
    pub fn is_at(folder: &Path) -> Result<bool> {
        Ok(files::exists(folder.join(ARGS))? || files::exists(folder.join(LOCK))?)
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

    /// Records an epoch (counted from 1): the losses of some of its steps, which are counted from the
    /// training's first, and values of the same names each time, `part/quantity` or `quantity`, such as
    /// `train/loss`, `val/accuracy`, `lr`. Quantities of one name share a panel of `results.png`. Under a
    /// profile, `ops.json` tells what each op took since it began.
    pub fn epoch(&mut self, epoch: usize, losses: &[(usize, f64)], values: &[(&str, f64)]) -> Result<()> {
        if epoch <= self.epochs() {
            self.rewind(epoch - 1)?;
        }
        self.results.push(epoch, values)?;
        self.events.epoch(epoch, losses, values)?;
        let mut line = Map::new();
        line.insert("epoch".into(), epoch.into());
        line.extend(values.iter().map(|&(name, v)| (name.to_string(), v.into())));
        if !losses.is_empty() {
            line.insert(log::LOSSES.into(), serde_json::to_value(losses).map_err(internal)?);
        }
        log::append(&self.folder, &serde_json::to_vec(&line).map_err(internal)?)?;
        if let Some(profile) = profile::so_far() {
            let ops = serde_json::to_vec_pretty(&crate::profile::lines(&profile)).map_err(internal)?;
            files::write_atomic(self.file(OPS), &ops)?;
        }
        self.results.image(log::losses(&self.folder)?).save_png(self.file(results::PNG))
    }

    /// The curves of the run in a folder: (quantity, chart), as `results.png` shows them.
    ///
    /// # Errors
    /// `results.csv` cannot be read or is damaged.
    pub fn curves(folder: &Path) -> Result<Vec<(String, Chart)>> {
        Ok(Results::open(folder)?.charts())
    }

    /// Writes how it ended as the last line of `log.jsonl`, in the place of an earlier end, and for TensorBoard
    /// its pictures and a detector's curves.
    pub fn end(&self, line: &impl Serialize, curves: &[ScoreCounts]) -> Result<()> {
        let mut pictures = Vec::new();
        for (name, _) in PICTURES.into_iter().filter(|(name, _)| *name != results::PNG) {
            if files::exists(self.file(name))? {
                pictures.push((name.trim_end_matches(".png"), files::read(self.file(name), PICTURE)?));
            }
        }
        events::end(&self.folder, self.epochs(), &pictures, curves)?;
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

/// Removes a run: whoever is killed at it leaves one that can be removed, since `args.json` goes last, and
/// that begins at its beginning if it is resumed, since its state goes first.
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
mod tests;
