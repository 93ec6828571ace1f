//! What a data set is read as, said when it is opened, and what is doubtful about it.
//!
//! A data set that is not what its user takes it for trains for hours and learns nothing. So each one
//! describes itself before the first step: its kind, its classes, the images and objects of each split, and
//! its [`Faults`]. Each fault has an [`Outcome`]: what is merely odd is noted, what has one plain meaning is
//! mended, what has none but can be spared is left out, and what cannot be meant is refused. All faults of a
//! data set are told at once, a few of each kind by name and the rest by number, so that mending them does
//! not take one run each.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::numbers::counted;

/// What can be done about images that cannot be read, besides mending them.
const SKIP: &str = "--skip-bad leaves out what cannot be read";

/// The error of an image in a data set that was opened without a look at every image.
pub(super) fn skippable(e: Error) -> Error {
    let remedy = e.message().remedy.as_ref().map_or(SKIP.into(), |mend| format!("{mend}; {SKIP}"));
    e.remedy(remedy)
}

/// How the faults of a data set are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Any fault refuses the data set; each image is decoded. What is read is the same, so that no run
    /// remembers it.
    #[serde(skip)]
    pub strict: bool,
    /// Images that cannot be read are left out; otherwise they refuse the data set.
    pub skip_bad: bool,
}

impl Reading {
    /// Is nothing asked for?
    pub fn is_default(&self) -> bool {
        *self == Reading::default()
    }

    /// Is each image decoded when the data set is opened? Damage between a file's ends shows in no other way.
    pub fn decodes(self) -> bool {
        self.strict || self.skip_bad
    }

    /// What becomes of an image that cannot be read.
    pub fn of_bad_image(self) -> Outcome {
        if self.skip_bad { Outcome::LeftOut } else { Outcome::Refused }
    }
}

/// What becomes of something faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is taken as it is, though it may not be meant.
    Noted,
    /// It is taken in the one way that it can be meant.
    Mended,
    /// The data set is read without it.
    LeftOut,
    /// The data set is not read.
    Refused,
}

/// Faults of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What is wrong with each, as a plural: "boxes reach beyond their image".
    pub what: String,
    /// What becomes of them.
    pub outcome: Outcome,
    /// How many there are.
    pub count: usize,
    /// The first [`Faults::NAMED`], by name.
    pub first: Vec<String>,
}

/// "boxes reach beyond their image (12 mended): a, b, .. and 2 more": right for one box, too.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Noted | Outcome::Refused => "",
            Outcome::Mended => " mended",
            Outcome::LeftOut => " left out",
        };
        write!(f, "{} ({}{outcome}): {}", self.what, self.count, in_a_row(&self.first, self.count))
    }
}

/// Everything doubtful about a data set, kind by kind in the order in which the kinds arose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// So many of a kind are named; the others are counted.
    pub const NAMED: usize = 10;

    /// What is wrong with images that [`Reading::skip_bad`] is about.
    pub const UNREADABLE: &str = "images cannot be read";

    /// What is wrong with a data set that has nothing of something.
    pub const MISSING: &str = "needed things are missing";

    /// Adds one: what is wrong with its like, what becomes of it, and its name.
    pub fn add(&mut self, what: &str, outcome: Outcome, name: impl fmt::Display) {
        let place = self.0.iter().position(|f| f.what == what && f.outcome == outcome);
        let place = place.unwrap_or_else(|| {
            self.0.push(Fault { what: what.into(), outcome, count: 0, first: Vec::new() });
            self.0.len() - 1
        });
        let fault = &mut self.0[place];
        fault.count += 1;
        if fault.first.len() < Self::NAMED {
            fault.first.push(name.to_string());
        }
    }

    /// Adds those of a part of the data set, by its name.
    pub fn extend(&mut self, own: Faults, part: &str) {
        for fault in own.0 {
            let more = fault.count - fault.first.len();
            fault
                .first
                .iter()
                .for_each(|name| self.add(&fault.what, fault.outcome, format!("{part}: {name}")));
            if let Some(last) = self.0.iter_mut().find(|f| f.what == fault.what && f.outcome == fault.outcome)
            {
                last.count += more;
            }
        }
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds of faults.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// Whether the data set may be used. Error: something is refused, or there is any fault and `reading` is
    /// strict; it lists them all.
    pub fn judge(&self, reading: Reading) -> Result<()> {
        let bad = |f: &&Fault| reading.strict || f.outcome == Outcome::Refused;
        let lines: Vec<String> = self.iter().filter(bad).map(Fault::to_string).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let error = Error::input(lines.join("\n  "));
        let unread = self.iter().any(|f| f.what == Self::UNREADABLE && f.outcome == Outcome::Refused);
        Err(if unread && !reading.strict { error.remedy(SKIP) } else { error })
    }
}

/// A class with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// What it is called.
    pub name: String,
    /// The images that it is the class of, or that hold an object of it.
    pub images: usize,
    /// Its objects, where images hold objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<usize>,
}

/// A part of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitCount {
    /// "train", "val" or "test"; "all" where the data set brings no split of its own.
    pub name: String,
    /// Its images.
    pub images: usize,
    /// Their objects, where images hold objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<usize>,
}

/// What a data set is read as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// What kind of data set it is: "a folder of class folders", "COCO instances", ...
    pub kind: String,
    /// Where it is.
    pub source: String,
    /// The classes, in the order of their labels.
    pub classes: Vec<ClassCount>,
    /// The parts that it is divided into.
    pub splits: Vec<SplitCount>,
    /// What else should be known of it, though there is nothing wrong with it: "5 crowd regions".
    pub notes: Vec<String>,
    /// What is doubtful.
    pub faults: Faults,
}

impl Description {
    /// So many classes are shown with their counts; the others are counted.
    const SHOWN: usize = 20;
}

/// "a, b and 3 more", of so many of which the first are shown.
pub(super) fn in_a_row(shown: &[String], of: usize) -> String {
    match of.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The beginning of a text that may be very long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_string(),
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.source, self.kind)?;
        let images = |n| counted(n, "image", "images");
        let split = |s: &SplitCount| {
            let objects = s.objects.map(|n| format!(" with {}", counted(n, "object", "objects")));
            format!("{} {}{}", s.name, images(s.images), objects.unwrap_or_default())
        };
        writeln!(f, "  {}", self.splits.iter().map(split).collect::<Vec<_>>().join("; "))?;
        let class = |c: &ClassCount| match c.objects {
            Some(objects) => format!("{} {objects} in {}", c.name, images(c.images)),
            None => format!("{} {}", c.name, c.images),
        };
        let shown: Vec<String> = self.classes.iter().take(Self::SHOWN).map(class).collect();
        let n = self.classes.len();
        write!(f, "  {}: {}", counted(n, "class", "classes"), in_a_row(&shown, n))?;
        if !self.notes.is_empty() {
            write!(f, "\n  {}", self.notes.join(", "))?;
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n  warning: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ten_of_a_kind_are_named_and_the_others_counted() {
        let mut faults = Faults::default();
        (0..12).for_each(|i| faults.add("boxes reach beyond their image", Outcome::Mended, i));
        faults.add("files are no images", Outcome::LeftOut, "notes.txt");
        let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
        assert_eq!(
            lines,
            [
                "boxes reach beyond their image (12 mended): 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more",
                "files are no images (1 left out): notes.txt"
            ]
        );
    }

    #[test]
    fn what_is_refused_refuses_and_strict_refuses_everything() {
        let (lenient, strict) = (Reading::default(), Reading { strict: true, skip_bad: false });
        let mut faults = Faults::default();
        assert!(faults.judge(strict).is_ok());
        faults.add("images have no object", Outcome::Noted, "a.png");
        assert!(faults.judge(lenient).is_ok());
        assert!(faults.judge(strict).unwrap_err().to_string().contains("a.png"));
        faults.add(Faults::UNREADABLE, lenient.of_bad_image(), "b.png");
        let error = faults.judge(lenient).unwrap_err().to_string();
        assert_eq!(error, "images cannot be read (1): b.png; --skip-bad leaves out what cannot be read");
    }

    #[test]
    fn a_description_is_read_at_a_glance() {
        let mut faults = Faults::default();
        faults.add("images have no object", Outcome::Noted, "a.png");
        let split = |name: &str, images, objects| SplitCount { name: name.into(), images, objects };
        let class = |name: &str, images, objects| ClassCount { name: name.into(), images, objects };
        let description = Description {
            kind: "COCO instances".into(),
            source: "a.json:photos".into(),
            classes: vec![class("person", 3, Some(7)), class("dog", 0, Some(0))],
            splits: vec![split("all", 4, Some(7))],
            notes: vec!["1 crowd region".into(), "2 objects without a mask".into()],
            faults,
        };
        let text = "a.json:photos: COCO instances\n  all 4 images with 7 objects\n  \
                    2 classes: person 7 in 3 images, dog 0 in 0 images\n  \
                    1 crowd region, 2 objects without a mask\n  warning: images have no object (1): a.png";
        assert_eq!(description.to_string(), text);
    }
}
