//! Where the class folders of a data set lie.
//!
//! A folder is a split if its name is one of the words for it, in any case, alone or with a word such as
//! `set` or `images`: `Training`, `test_set`, `seg_train`. A name alone does not make it one, since `train`
//! is a class too: a split holds folders. It may hold itself once more (`seg_train/seg_train/CLASS`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::description::{Faults, Outcome};
use crate::error::{Error, Result};
use crate::files;
use crate::image::READ;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Val,
    Test,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Train, Part::Val, Part::Test];

    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Val => "val",
            Part::Test => "test",
        }
    }

    /// The part that a folder's name is a word for.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let words = name.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
        let telling = |w: &&str| !["set", "data", "dataset", "images", "imgs", "split", "seg"].contains(w);
        let mut words = words.filter(telling);
        let part = match words.next()?.trim_end_matches("set") {
            "train" | "training" => Part::Train,
            "val" | "valid" | "validation" | "dev" => Part::Val,
            "test" | "testing" => Part::Test,
            _ => return None,
        };
        words.next().is_none().then_some(part)
    }
}

/// What a folder holds, by name; hidden files are left out.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let fail = |e| Error::read(folder, &e);
    let mut found = Vec::new();
    for entry in files::entries(folder).map_err(fail)? {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let (path, kind) = (entry.path(), entry.file_type().map_err(fail)?);
        let linked = kind.is_symlink();
        // What a link that leads nowhere stands for shows when it is read.
        let kind = if linked { fs::metadata(&path).map_or(kind, |m| m.file_type()) } else { kind };
        found.push(Entry {
            path,
            linked,
            is_folder: kind.is_dir(),
            is_file: kind.is_file() || kind.is_symlink(),
        });
    }
    Ok(found)
}

pub(super) struct Entry {
    pub path: PathBuf,
    pub linked: bool,
    pub is_folder: bool,
    /// No folder, pipe or device.
    pub is_file: bool,
}

impl Entry {
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The extension, in small letters; empty where there is none.
    pub fn extension(&self) -> String {
        self.path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
    }
}

/// The folders in a folder. Error: a name that is no text. Classes are called as their folders, and two such
/// names could become one.
pub(super) fn folders(folder: &Path) -> Result<Vec<Entry>> {
    let found: Vec<Entry> = entries(folder)?.into_iter().filter(|e| e.is_folder).collect();
    match found.iter().find(|e| e.path.file_name().is_some_and(|name| name.to_str().is_none())) {
        Some(e) => Err(Error::input("has a name that is not UTF-8")
            .in_file(&e.path)
            .remedy("rename the folder: a class is called as its folder is")),
        None => Ok(found),
    }
}

/// The folders of class folders: the data set's own parts in the order train, val, test, or none where `root`
/// holds the class folders itself. Errors: two folders are the same part, or it cannot be told whether
/// `train` is a part or a class.
pub(super) fn parts(root: &Path, faults: &mut Faults) -> Result<Vec<(Part, PathBuf)>> {
    let mut found: Vec<(Part, PathBuf)> = Vec::new();
    let mut others: Vec<Entry> = Vec::new();
    for entry in folders(root)? {
        match Part::of(&entry.name()) {
            Some(part) if !folders(&entry.path)?.is_empty() => {
                if let Some((_, path)) = found.iter().find(|(p, _)| *p == part) {
                    let other = path.file_name().unwrap_or_default().to_string_lossy();
                    let what = format!("has {} and {other}, which both mean {}", entry.name(), part.name());
                    return Err(Error::input(what).in_file(root).remedy("join them, or rename one"));
                }
                found.push((part, entry.path));
            }
            _ => others.push(entry),
        }
    }
    let train = found.iter().any(|(part, _)| *part == Part::Train);
    if !train && !others.is_empty() {
        return Ok(Vec::new());
    }
    if let [(Part::Train, _)] = found[..] {
        let images = |e: &&Entry| {
            let inside = entries(&e.path).unwrap_or_default();
            Part::of(&e.name()).is_none() && inside.iter().any(|e| READ.contains(&e.extension().as_str()))
        };
        if let Some(class) = others.iter().find(images) {
            let what = format!(
                "has folders in train, as a split has, and images in {}, as a class has",
                class.name()
            );
            let remedy = "move what is no class elsewhere, or all classes into train";
            return Err(Error::input(what).in_file(root).remedy(remedy));
        }
    }
    for other in others {
        faults.add("folders are no part of train, val or test", Outcome::LeftOut, other.name());
    }
    found.sort_by_key(|(part, _)| *part as usize);
    found.into_iter().map(|(part, path)| Ok((part, inner(part, path)?))).collect()
}

/// Where a part holds nothing but itself once more, that.
fn inner(part: Part, path: PathBuf) -> Result<PathBuf> {
    match &folders(&path)?[..] {
        [only] if Part::of(&only.name()) == Some(part) && !folders(&only.path)?.is_empty() => {
            Ok(only.path.clone())
        }
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts() {
        for (names, part) in [
            (
                &["train", "Training", "TRAIN", "training_set", "trainset", "seg_train", "train-images"][..],
                Part::Train,
            ),
            (&["val", "valid", "Validation", "dev", "val_set"], Part::Val),
            (&["test", "Testing", "test_set", "seg_test", "test data"], Part::Test),
        ] {
            names.iter().for_each(|name| assert_eq!(Part::of(name), Some(part), "{name}"));
        }
        for name in ["trains", "contest", "train station", "set", "", "testify", "train_test", "images"] {
            assert_eq!(Part::of(name), None, "{name}");
        }
    }
}
