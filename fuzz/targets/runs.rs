//! A run's folder: its log, its table, its events, as whoever follows or resumes it reads them.
//!
//! What cannot be read is left out. A run that is taken back to an epoch holds nothing of later ones, and a
//! second time changes nothing.

use super::bytes::Bytes;
use gradus::files::entries;
use gradus::run::status::{Follower, Status};
use gradus::run::{Existing, Run};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const LOG: &str = "log.jsonl";
const CSV: &str = "results.csv";

thread_local! {
    static FOLDER: TempDir = {
        let folder = tempfile::tempdir().unwrap();
        drop(Run::open(folder.path(), &settings(), Existing::Refuse).unwrap());
        folder
    };
}

fn settings() -> Value {
    json!({"epochs": 5, "lr": 0.1})
}

fn resumed(folder: &Path) -> gradus::Result<Run> {
    Run::open(folder, &settings(), Existing::Resume)
}

fn with(name: &str, content: &[u8], look: impl FnOnce(&Path)) {
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        look(folder.path());
        fs::remove_file(path).unwrap();
    });
}

/// What is asked of a line that is kept: another value may be a number that is beyond all floats.
#[derive(Deserialize)]
struct Line {
    epoch: u64,
}

/// `log.jsonl`, as the page that follows a run reads it while it grows, and as it is taken back.
pub fn log(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (epoch, cut) = (usize::from(bytes.byte() % 8), usize::from(bytes.byte()));
    let content = bytes.rest();
    with(LOG, &content[..cut.min(content.len())], |folder| {
        let mut follower = Follower::new(folder);
        follower.look();
        fs::write(folder.join(LOG), content).unwrap();
        let (followed, status) = (follower.look(), Status::of(folder));
        assert_eq!((&followed.epochs, &followed.result), (&status.epochs, &status.result));
        assert!(status.epochs.iter().all(|line| line["epoch"].is_u64()));
        assert!(serde_json::to_string(&status).is_ok());
        resumed(folder).unwrap().rewind(epoch).unwrap();
        let kept = fs::read(folder.join(LOG)).unwrap();
        for line in kept.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line).unwrap();
            assert!(line.epoch <= epoch as u64);
        }
        let later =
            |folder| Status::of(folder).epochs.iter().any(|line| line["epoch"].as_u64() > Some(epoch as u64));
        assert!(!later(folder));
    });
}

/// `results.csv`: its curves, and what is left of it at an epoch.
pub fn table(data: &[u8]) {
    let mut bytes = Bytes(data);
    let epoch = usize::from(bytes.byte() % 8);
    with(CSV, bytes.rest(), |folder| {
        let Ok(curves) = Run::curves(folder) else { return };
        assert!(curves.len() <= data.len());
        let mut run = resumed(folder).unwrap();
        let last = run.epochs();
        run.rewind(epoch).unwrap();
        assert!(run.epochs() <= last.max(epoch));
        let kept = fs::read(folder.join(CSV)).unwrap();
        drop(run);
        resumed(folder).unwrap().rewind(epoch).unwrap();
        assert_eq!(fs::read(folder.join(CSV)).unwrap(), kept);
    });
}

fn events_of(folder: &Path) -> PathBuf {
    let named = |name: &str| name.starts_with("events.out.tfevents.");
    let found = entries(folder).unwrap().into_iter().find(|e| named(&e.file_name().to_string_lossy()));
    found.unwrap().path()
}

/// The events for TensorBoard: records with right checksums, and bytes that are none.
pub fn events(data: &[u8]) {
    let mut bytes = Bytes(data);
    let epoch = bytes.integer() as usize;
    let mut file = Vec::new();
    while !bytes.is_empty() {
        let (kind, length) = (bytes.byte(), usize::from(bytes.byte()));
        match kind % 4 {
            0 => file.extend_from_slice(bytes.take(length)),
            _ => record(&mut file, bytes.take(length)),
        }
    }
    FOLDER.with(|folder| {
        let path = events_of(folder.path());
        fs::write(&path, &file).unwrap();
        let rewound = |epoch: usize| {
            resumed(folder.path()).unwrap().rewind(epoch).unwrap();
            fs::read(&path).unwrap()
        };
        assert!(file.starts_with(&rewound(usize::MAX)), "what is whole is kept as it is");
        let kept = rewound(epoch);
        assert!(kept.len() <= file.len());
        assert_eq!(rewound(epoch), kept);
    });
}

fn record(file: &mut Vec<u8>, content: &[u8]) {
    let masked =
        |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = (content.len() as u64).to_le_bytes();
    file.extend([&length[..], &masked(&length), content, &masked(content)].concat());
}
