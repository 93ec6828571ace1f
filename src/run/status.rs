//! A run as its files show it now: read by whoever follows or reports it, while it runs or afterwards.
//!
//! A log grows at its end. Who follows it reads what has come since he looked last, and keeps as many rows as
//! a page can draw: when there are more, every other one goes. A run that goes on from an earlier state
//! writes its log anew: then the line that was read last is another, and it is read from the beginning.

use super::live::{DEAD, LIVE, Now, State};
use super::log::{LOG, Lines, row};
use super::pictures::PICTURES;
use super::settings::TEXT;
use crate::files;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Epochs that the time left is estimated from.
const RECENT: usize = 3;
/// Rows that are kept, and their bytes in the log.
const ROWS: usize = 4096;
const BYTES: usize = 4 << 20;
/// What a run says of this moment is shorter.
const LIVE_TEXT: u64 = 64 << 10;

/// What a run's files tell.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The run's folder.
    pub run: String,
    /// Its `args.json`; null before it begins.
    pub settings: Value,
    /// A row an epoch: `epoch`, and quantities named `part/quantity` or `quantity`.
    pub epochs: Vec<Map<String, Value>>,
    /// What it said in the end; null before.
    pub result: Value,
    /// Of the last epoch.
    pub images_per_second: Option<f64>,
    /// An estimate from the last epochs; 0 when it is done.
    pub seconds_left: Option<f64>,
    /// Since the run last wrote anything.
    pub quiet_seconds: Option<f64>,
    /// What it does at this moment, as it said last; null where no process has said it.
    pub live: Option<Now>,
    /// waiting, running, stopped, dead or done; unknown of a run that says nothing.
    pub state: &'static str,
    /// What each op took, the longest first, where the run is profiled; null elsewhere.
    pub ops: Value,
    /// Name, caption and version of each picture there is; the version changes with the picture.
    pub pictures: Vec<(String, String, u64)>,
}

impl Status {
    /// Of the run in a folder, as its files are now. What is missing or cut off is left out.
    pub fn of(folder: &Path) -> Self {
        Follower::new(folder).look()
    }
}

/// Who looks at a run again and again.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    log: Log,
}

impl Follower {
    /// Of the run that is in a folder, or will be.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Follower { folder: folder.into(), log: Log::default() }
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How the run's files are now. What is missing or cut off is left out.
    pub fn look(&mut self) -> Status {
        let json = |name: &str| {
            let text = files::read_own(self.folder.join(name), TEXT).ok();
            text.and_then(|b| serde_json::from_slice::<Value>(&b).ok()).unwrap_or(Value::Null)
        };
        let (settings, ops) = (json(super::ARGS), json(super::OPS));
        self.log.follow(&self.folder.join(LOG));
        let epochs = self.log.rows();
        let number = |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_f64);
        let planned = settings["epochs"].as_u64().unwrap_or(0);
        let done = self.log.last.as_ref().and_then(|row| row["epoch"].as_u64()).unwrap_or(0);
        let recent: Vec<f64> =
            epochs.iter().rev().take(RECENT).filter_map(|e| number(e, "seconds")).collect();
        let each = recent.iter().sum::<f64>() / recent.len().max(1) as f64;
        let by_epochs = (!recent.is_empty()).then_some(each * planned.saturating_sub(done) as f64);
        let path = self.folder.join(LIVE);
        let live: Option<Now> =
            files::read_own(&path, LIVE_TEXT).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let state = state(&settings, live.as_ref(), silent(&path), self.log.note.is_some());
        let by_steps = live.as_ref().filter(|_| state == "running").and_then(|now| now.seconds_left);
        Status {
            run: files::name_of(&self.folder),
            images_per_second: epochs.last().and_then(|e| number(e, "images_per_second")),
            seconds_left: by_steps.or(by_epochs),
            live,
            state,
            quiet_seconds: quiet(&self.folder),
            ops,
            pictures: pictures(&self.folder),
            result: self.log.note.clone().map_or(Value::Null, Value::Object),
            settings,
            epochs,
        }
    }
}

/// What is kept of a log.
#[derive(Debug, Default)]
struct Log {
    /// The line that was read last, where it begins, and where the next will.
    line: Vec<u8>,
    line_at: u64,
    at: u64,
    /// One row of 2^thinned is kept, with its length in the log.
    thinned: u32,
    seen: u64,
    kept: Vec<(Map<String, Value>, usize)>,
    bytes: usize,
    last: Option<Map<String, Value>>,
    note: Option<Map<String, Value>>,
}

impl Log {
    /// Reads what has come.
    fn follow(&mut self, path: &Path) {
        if self.go_on(path).is_err() {
            *self = Log::default();
        }
    }

    fn go_on(&mut self, path: &Path) -> io::Result<()> {
        let mut file = files::open_own(path).map_err(io::Error::other)?;
        if !self.is_where_it_was(&mut file)? {
            *self = Log::default();
        }
        let mut lines = Lines::new(file, self.at)?;
        while let Some(line) = lines.next()? {
            self.line.clear();
            self.line.extend_from_slice(line);
            match row(line) {
                Some(row) => self.push(row),
                None => self.note = serde_json::from_slice(line).ok().or(self.note.take()),
            }
            self.line_at = lines.at - self.line.len() as u64;
        }
        self.at = lines.at;
        Ok(())
    }

    /// Whether the line that was read last is.
    fn is_where_it_was(&self, file: &mut File) -> io::Result<bool> {
        let mut line = Vec::new();
        file.seek(SeekFrom::Start(self.line_at))?;
        file.take(self.line.len() as u64).read_to_end(&mut line)?;
        Ok(line == self.line)
    }

    fn push(&mut self, row: Map<String, Value>) {
        if self.seen.trailing_zeros() >= self.thinned {
            self.bytes += self.line.len();
            self.kept.push((row.clone(), self.line.len()));
        }
        self.seen += 1;
        self.last = Some(row);
        while self.kept.len() > ROWS || self.bytes > BYTES {
            self.thinned += 1;
            let mut number = 0;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.bytes = self.kept.iter().map(|(_, bytes)| bytes).sum();
        }
    }

    /// The rows that are kept, and the last.
    fn rows(&self) -> Vec<Map<String, Value>> {
        let mut rows: Vec<_> = self.kept.iter().map(|(row, _)| row.clone()).collect();
        if rows.last() != self.last.as_ref() {
            rows.extend(self.last.clone());
        }
        rows
    }
}

/// When a file was last written; none for what is no file.
fn changed(path: &Path) -> Option<SystemTime> {
    let about = std::fs::symlink_metadata(path).ok()?;
    about.is_file().then(|| about.modified().ok())?
}

/// Since a file was last written.
fn silent(path: &Path) -> Option<Duration> {
    // A clock that was set back has seen it in the future.
    changed(path).map(|last| SystemTime::now().duration_since(last).unwrap_or_default())
}

fn quiet(folder: &Path) -> Option<f64> {
    let files = [LIVE, "args.json", "log.jsonl", "state/state.safetensors", "weights/last.safetensors"];
    files.iter().filter_map(|file| silent(&folder.join(file))).min().map(|d| d.as_secs_f64())
}

/// How a run is doing, by what it said last and when, and whether its log has an end.
fn state(settings: &Value, live: Option<&Now>, silent: Option<Duration>, ended: bool) -> &'static str {
    match live.map(|now| now.state) {
        _ if settings.is_null() => "waiting",
        Some(State::Running) if silent.is_some_and(|silent| silent <= DEAD) => "running",
        Some(State::Running) => "dead",
        _ if ended => "done",
        Some(State::Stopped) => "stopped",
        // What is left is to judge the best weights.
        Some(State::Done) => "running",
        None => "unknown",
    }
}

fn pictures(folder: &Path) -> Vec<(String, String, u64)> {
    let version = |name: &str| {
        let since = changed(&folder.join(name))?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(since.as_millis() as u64)
    };
    let there =
        PICTURES.iter().filter_map(|(name, says)| Some((name.to_string(), says.to_string(), version(name)?)));
    there.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Existing, Run};
    use serde_json::json;

    #[test]
    fn a_run_is_followed_through_its_restart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let before = Status::of(&folder);
        assert!(before.settings.is_null() && before.epochs.is_empty() && before.quiet_seconds.is_none());

        let settings = json!({ "epochs": 5, "lr": 0.1 });
        let mut run = Run::open(&folder, &settings, Existing::Refuse).unwrap();
        for epoch in 1..=3 {
            let row = [("train/loss", 1.0), ("images_per_second", 40.0), ("seconds", 2.0 * epoch as f64)];
            run.epoch(epoch, &[], &row).unwrap();
        }
        // A line that is being written is left for the next look.
        let log = folder.join("log.jsonl");
        let whole = std::fs::read(&log).unwrap();
        std::fs::write(&log, [&whole[..], b"{\"epoch\": 4, \"tra"].concat()).unwrap();
        let status = Status::of(&folder);
        assert_eq!(
            (status.epochs.len(), status.images_per_second, status.seconds_left),
            (3, Some(40.0), Some(8.0))
        );
        assert!(status.pictures.iter().any(|p| p.0 == "results.png"));

        drop(run);
        let mut run = Run::open(&folder, &settings, Existing::Resume).unwrap();
        run.rewind(2).unwrap();
        assert_eq!(Status::of(&folder).epochs.len(), 2);
        for epoch in 3..=5 {
            let row = [("train/loss", 0.5), ("images_per_second", 40.0), ("seconds", 1.0)];
            run.epoch(epoch, &[], &row).unwrap();
        }
        run.end(&json!({ "best_epoch": 5 }), &[]).unwrap();
        let status = Status::of(&folder);
        assert_eq!((status.seconds_left, &status.result["best_epoch"]), (Some(0.0), &json!(5)));
    }

    #[test]
    fn a_run_is_as_it_said_last_unless_it_is_silent() {
        let now = |state| Now { state, ..Now::default() };
        let [running, stopped, done] = [State::Running, State::Stopped, State::Done].map(now);
        let settings = json!({});
        let of = |live: Option<&Now>, seconds: u64, ended| {
            state(&settings, live, Some(Duration::from_secs(seconds)), ended)
        };
        assert_eq!(state(&Value::Null, Some(&running), None, false), "waiting");
        assert_eq!((of(Some(&running), 0, false), of(Some(&running), 60, false)), ("running", "dead"));
        // A finished run that is trained further has the end of what was.
        assert_eq!((of(Some(&running), 0, true), of(Some(&stopped), 60, false)), ("running", "stopped"));
        assert_eq!((of(Some(&done), 0, false), of(Some(&done), 60, true)), ("running", "done"));
        assert_eq!((of(None, 60, false), of(None, 60, true)), ("unknown", "done"));
    }

    /// A log of so many rows.
    fn log_of(rows: std::ops::RangeInclusive<u64>) -> String {
        rows.map(|epoch| format!("{{\"epoch\":{epoch},\"train/loss\":{}}}\n", epoch as f64 / 2.0)).collect()
    }

    #[test]
    fn a_log_is_read_where_the_last_look_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG);
        let mut follower = Follower::new(dir.path());
        let epochs = |status: &Status| -> Vec<u64> {
            status.epochs.iter().map(|row| row["epoch"].as_u64().unwrap()).collect()
        };
        assert!(follower.look().epochs.is_empty());
        let mut text = log_of(1..=3);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(epochs(&follower.look()), [1, 2, 3]);
        // What has been read is not read again: spoilt, it does not show.
        let spoilt = format!("{}{}", "x".repeat(log_of(1..=2).len()), log_of(3..=4));
        std::fs::write(&path, spoilt).unwrap();
        assert_eq!(epochs(&follower.look()), [1, 2, 3, 4]);
        // Written anew, as by a run that goes on from an earlier state, it is read anew: shorter, and longer.
        for other in ["{\"epoch\":1,\"lr\":1.0}\n".to_string(), log_of(1..=9).replace("train", "other")] {
            std::fs::write(&path, &other).unwrap();
            assert_eq!(follower.look().epochs, Status::of(dir.path()).epochs);
            assert_eq!(follower.look().epochs.len(), other.lines().count());
        }
        // What is no row of numbers is no epoch; what is endless is passed over.
        text += "{\"epoch\":4,\"val/loss\":\"much\"}\n{\"epoch\":-1}\n[5]\n";
        text += &format!("{{\"epoch\":5,\"x\":\"{}\"}}\n", "x".repeat(3 << 20));
        text += &log_of(6..=7);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(epochs(&follower.look()), [1, 2, 3, 6, 7]);
        assert_eq!(epochs(&follower.look()), [1, 2, 3, 6, 7]);
    }

    #[test]
    fn a_page_gets_rows_that_it_can_draw() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LOG), log_of(1..=50_000)).unwrap();
        let mut follower = Follower::new(dir.path());
        let rows = follower.look().epochs;
        assert!((ROWS / 2..=ROWS + 1).contains(&rows.len()), "{}", rows.len());
        let steps: Vec<u64> = rows
            .windows(2)
            .map(|w| w[1]["epoch"].as_u64().unwrap() - w[0]["epoch"].as_u64().unwrap())
            .collect();
        assert_eq!(rows[0]["epoch"], 1);
        assert_eq!(rows.last().unwrap()["epoch"], 50_000);
        assert!(steps[..steps.len() - 1].iter().all(|step| *step == 16), "evenly: {:?}", &steps[..9]);
        assert_eq!(Status::of(dir.path()).epochs, rows);
    }
}
