//! A run as its files show it now: read by whoever follows or reports it, while it runs or afterwards.

use crate::files;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::SystemTime;

/// More than any log or settings file.
const TEXT: u64 = 64 << 20;
/// Epochs that the time left is estimated from.
const RECENT: usize = 3;

/// The pictures of runs, and what they show.
pub const PICTURES: [(&str, &str); 6] = [
    ("val_batch0_pred.png", "Validation images and what the network takes them for"),
    ("val_batch0_labels.png", "The same images and what they are"),
    ("train_batch0.png", "The first training batch, as the network sees it"),
    ("confusion_matrix.png", "Which class was taken for which, on the test images"),
    ("PR_curve.png", "Precision over recall"),
    ("results.png", "All curves, as the run draws them"),
];

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
    /// What each op took, the longest first, where the run is profiled; null elsewhere.
    pub ops: Value,
    /// Name, caption and version of each picture there is; the version changes with the picture.
    pub pictures: Vec<(String, String, u64)>,
}

impl Status {
    /// Of the run in a folder, as its files are now. What is missing or cut off is left out.
    pub fn of(folder: &Path) -> Self {
        let json = |name: &str| {
            let text = files::read(folder.join(name), TEXT).ok();
            text.and_then(|b| serde_json::from_slice::<Value>(&b).ok()).unwrap_or(Value::Null)
        };
        let settings = json("args.json");
        let log = files::read(folder.join("log.jsonl"), TEXT).unwrap_or_default();
        let lines =
            log.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice::<Map<String, Value>>(l).ok());
        let (epochs, notes): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains_key("epoch"));
        let number = |line: &Map<String, Value>, name: &str| line.get(name).and_then(Value::as_f64);
        let planned = settings["epochs"].as_u64().unwrap_or(0) as usize;
        let recent: Vec<f64> =
            epochs.iter().rev().take(RECENT).filter_map(|e| number(e, "seconds")).collect();
        let each = recent.iter().sum::<f64>() / recent.len().max(1) as f64;
        let left = planned.saturating_sub(epochs.len()) as f64;
        Status {
            run: files::name_of(folder),
            images_per_second: epochs.last().and_then(|e| number(e, "images_per_second")),
            seconds_left: (!recent.is_empty()).then_some(each * left),
            quiet_seconds: quiet(folder),
            ops: json(super::OPS),
            pictures: pictures(folder),
            result: notes.into_iter().next_back().map_or(Value::Null, Value::Object),
            settings,
            epochs,
        }
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

fn quiet(folder: &Path) -> Option<f64> {
    let files = ["args.json", "log.jsonl", "state/state.safetensors", "weights/last.safetensors"];
    let last = files.iter().filter_map(|f| changed(&folder.join(f))).max()?;
    Some(SystemTime::now().duration_since(last).map_or(0.0, |d| d.as_secs_f64()))
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
            run.epoch(epoch, &row).unwrap();
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
            run.epoch(epoch, &row).unwrap();
        }
        run.note(&json!({ "best_epoch": 5 })).unwrap();
        let status = Status::of(&folder);
        assert_eq!((status.seconds_left, &status.result["best_epoch"]), (Some(0.0), &json!(5)));
    }
}
