//! What is fuzzed: every reader of what others wrote, with a property that holds whatever it reads.
//!
//! A target takes bytes. Some are the file itself. Where a checksum, a length or JSON inside of JSON would
//! stop nearly all of them at the door, the bytes are the content, and the target puts it into a sound
//! container: a zip archive with right checksums, chunks of PNG, a valid settings file of which some values
//! are others.
//!
//! Beyond its own property each target is held to the table's: it does not panic, and holds at no time more
//! memory than stands there. The fuzzer (`main.rs`) and a plain test (`tests/corpus.rs`) run the same table.

mod annotations;
mod bytes;
mod checkpoints;
mod folders;
mod json;
mod memory;
mod pages;
mod pictures;
mod runs;
mod settings;

/// A reader, and what it may take.
pub struct Target {
    /// What it and its corpus are called.
    pub name: &'static str,
    /// Reads, and panics where its property does not hold.
    pub run: fn(&[u8]),
    /// The most memory that it holds at a time for an input of some kilobytes, in KiB.
    pub memory: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), memory: usize) -> Target {
    Target { name, run, memory }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("checkpoint", checkpoints::any, 4 << 10),
    target("pickle", checkpoints::pickle, 4 << 10),
    target("safetensors", checkpoints::safetensors, 4 << 10),
    target("jpeg", pictures::jpeg, 8 << 10),
    target("png", pictures::png, 8 << 10),
    target("webp", pictures::webp, 32 << 10),
    target("image_header", pictures::header, 32 << 10),
    target("orientation", pictures::orientation, 1 << 10),
    target("instances", annotations::instances, 8 << 10),
    target("results", annotations::results, 8 << 10),
    target("run_lengths", annotations::run_lengths, 1 << 10),
    target("polygons", annotations::polygons, 48 << 10),
    target("coco_folder", folders::coco, 8 << 10),
    target("yolo", folders::yolo, 8 << 10),
    target("voc", folders::voc, 8 << 10),
    target("class_folders", folders::classes, 8 << 10),
    target("penn_fudan", folders::penn_fudan, 8 << 10),
    target("cifar", folders::cifar, 256 << 10),
    target("looks", folders::looks, 2 << 10),
    target("sources", settings::sources, 1 << 10),
    target("detector_config", settings::detector_config, 4 << 10),
    target("settings", settings::settings, 4 << 10),
    target("state", settings::state, 16 << 10),
    target("run_log", runs::log, 8 << 10),
    target("run_table", runs::table, 4 << 10),
    target("run_events", runs::events, 4 << 10),
    target("report_text", pages::text, 1 << 10),
    target("http", pages::http, 1 << 10),
    target("watch", pages::watch, 1 << 10),
    target("lab", pages::lab, 16 << 10),
    target("lab_filter", pages::lab_filter, 16 << 10),
];

impl Target {
    /// The target of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs it on an input. Panics where a property does not hold.
    pub fn check(&self, input: &[u8]) {
        let before = memory::begin();
        (self.run)(input);
        let most = memory::peak().saturating_sub(before) >> 10;
        assert!(
            most <= self.memory,
            "{} held {most} KiB of {} for {} bytes",
            self.name,
            self.memory,
            input.len()
        );
    }
}
