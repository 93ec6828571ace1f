//! Any folder of PNG, JPEG and WebP images with one sub-folder a class (the layout of torchvision's
//! `ImageFolder`).
//!
//! `ROOT/CLASS/…`, or `ROOT/train/CLASS/…` with `val` and `test` beside it ([`layout`] knows their other
//! names). Whichever of `val` and `test` there is not gets its fraction of each class's training images,
//! chosen by the seed. Classes and files are in the order of their names; a class of `val` or `test` is the
//! one of that name in `train`.
//!
//! When a folder is opened, the ends of each file are looked at; what ends as an image does is decoded when
//! it is used. With [`Reading::decodes`] all are decoded once, since what is left out or refused must be
//! known before the first step: the images are then a function of the files, and their checksum tells whether
//! a resumed run sees the same.

mod layout;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_core::Rng;
use rayon::prelude::*;

use super::augment::proportioned;
use super::classes::{Known, alike, list};
use super::classification::{Dataset, Splits, hold_out};
use super::description::{Faults, Outcome, Reading, skippable};
use super::images::{Images, checksum};
use crate::error::{Error, Result};
use crate::files;
use crate::image::{Format, Image, NOT_READ, READ};
use crate::progress;
use layout::{Entry, Part};

/// How deep folders inside a class are followed.
const DEPTH: usize = 8;

/// The image files of a folder and their classes.
#[derive(Default)]
pub struct ImageFolder {
    root: PathBuf,
    name: String,
    classes: Vec<String>,
    files: Vec<(PathBuf, usize)>,
    /// The data set's own parts with their files; one that is all of them, named train, where it has none.
    parts: Vec<(Part, Range<usize>)>,
    divided: bool,
    faults: Faults,
}

impl ImageFolder {
    /// Lists the images below `root`; see the module's text for the layout. Errors: a folder cannot be read,
    /// or `reading` takes a fault for one that refuses the data set; all are listed.
    pub fn open(root: impl AsRef<Path>, reading: Reading) -> Result<Self> {
        let root = root.as_ref();
        let mut faults = Faults::default();
        let own = layout::parts(root, &mut faults)?;
        let divided = !own.is_empty();
        let parts = if divided { own } else { vec![(Part::Train, root.to_path_buf())] };
        let classes: Vec<String> = layout::folders(&parts[0].1)?.iter().map(Entry::name).collect();
        for [a, b] in alike(&classes) {
            let what = "classes differ from another by case or spaces alone";
            faults.add(what, Outcome::Noted, format!("{a} / {b}"));
        }
        let name =
            root.file_name().map_or_else(|| root.display().to_string(), |n| n.to_string_lossy().into_owned());
        let mut data = ImageFolder { root: root.into(), name, classes, divided, faults, ..Self::default() };
        for (part, folder) in parts {
            let files = data.list(&folder)?;
            let files = data.readable(files, reading)?;
            data.note_empty_classes(part, &files);
            let start = data.files.len();
            data.files.extend(files);
            data.parts.push((part, start..data.files.len()));
        }
        data.faults.judge(reading).map_err(|e| e.in_file(root))?;
        Ok(data)
    }

    /// The data set's own split, completed by what `val` and `test` lack: their fraction of each class's
    /// training images. Errors: fewer than two classes, or too few images.
    pub fn split(self, val_fraction: f64, rng: &Rng) -> Result<Splits> {
        if !(val_fraction > 0.0 && val_fraction < 0.5) {
            return Err(Error::input(format!("--val-fraction {val_fraction} is not between 0 and 0.5")));
        }
        let fail = |what: String, remedy: String| Err(Error::input(what).in_file(&self.root).remedy(remedy));
        let Some(mut train) = self.own(Part::Train) else {
            return fail("has test images and none to train on".into(), "name the folder above".into());
        };
        if self.classes.len() < 2 {
            let remedy = match &self.classes[..] {
                [only] => format!("name {} if that holds the classes", self.root.join(only).display()),
                _ => "sort the images into one folder a class".into(),
            };
            let n = self.classes.len();
            return fail(
                format!("has {n} sub-folders; a class needs one each, and two classes are the least"),
                remedy,
            );
        }
        let mut part = |part, stream: &str| {
            self.own(part).unwrap_or_else(|| self.cut(&mut train, val_fraction, &rng.stream(stream)))
        };
        let (val, test) = (part(Part::Val, "validation"), part(Part::Test, "test"));
        if val.is_empty() || test.is_empty() || train.is_empty() {
            let remedy = "give each class at least 3 images, or use train, val and test sub-folders";
            return fail("has too few images to split".into(), remedy.into());
        }
        Ok(Splits::new(Arc::new(self), [train, val, test]))
    }

    fn own(&self, part: Part) -> Option<Vec<usize>> {
        self.parts.iter().find(|(p, _)| *p == part).map(|(_, files)| files.clone().collect())
    }

    /// The candidates below `folder` with their classes.
    fn list(&mut self, folder: &Path) -> Result<Vec<(PathBuf, usize)>> {
        let mut files = Vec::new();
        let mut others = BTreeMap::new();
        let classes = self.classes.clone();
        let known = Known::of(&classes);
        for entry in layout::entries(folder)? {
            let name = entry.name();
            if !entry.is_folder {
                if READ.contains(&entry.extension().as_str()) {
                    let shown = self.relative(&entry.path);
                    self.faults.add("images lie outside of the class folders", Outcome::LeftOut, shown);
                }
                continue;
            }
            match known.find(&name) {
                Some(label) => {
                    if name != classes[label] {
                        let shown = format!("{} for {}", self.relative(&entry.path), classes[label]);
                        let what = "class folders are spelled otherwise than in train";
                        self.faults.add(what, Outcome::Mended, shown);
                    }
                    self.list_class(&entry.path, label, DEPTH, &mut files, &mut others)?;
                }
                None => {
                    let shown = format!("{} (train has {})", self.relative(&entry.path), list(&self.classes));
                    self.faults.add("classes have no training images", Outcome::Refused, shown);
                }
            }
        }
        for (extension, paths) in others {
            let what = match &extension[..] {
                "" => "files without extension are no images".into(),
                extension => format!(".{extension} files are no images"),
            };
            paths.iter().for_each(|path: &String| self.faults.add(&what, Outcome::LeftOut, path));
        }
        Ok(files)
    }

    fn list_class(
        &mut self,
        folder: &Path,
        label: usize,
        depth: usize,
        files: &mut Vec<(PathBuf, usize)>,
        others: &mut BTreeMap<String, Vec<String>>,
    ) -> Result<()> {
        for entry in layout::entries(folder)? {
            let extension = entry.extension();
            // Images that are not read count as unreadable: a data set that shrinks silently is worse than
            // none. Files without extension are taken for images where they begin as these do.
            let known = READ.iter().chain(&NOT_READ).any(|e| *e == extension);
            if entry.is_folder {
                if depth == 0 || entry.linked {
                    let what = "folders are links, or too deep, and are not followed";
                    self.faults.add(what, Outcome::LeftOut, self.relative(&entry.path));
                } else {
                    self.list_class(&entry.path, label, depth - 1, files, others)?;
                }
            } else if entry.is_file && (known || extension.is_empty() && begins_as_image(&entry.path)) {
                files.push((entry.path, label));
            } else {
                others.entry(extension).or_default().push(self.relative(&entry.path));
            }
        }
        Ok(())
    }

    /// Those of the files that are images; the others are faults.
    fn readable(&mut self, files: Vec<(PathBuf, usize)>, reading: Reading) -> Result<Vec<(PathBuf, usize)>> {
        let looks: Vec<Result<()>> = if reading.decodes() {
            let label = format!("{}: each image is decoded once", self.root.display());
            progress::of_each(label, "images", &files, |(path, _)| {
                proportioned(&Image::open(path)?).map(|_| ())
            })?
        } else {
            files.par_iter().map(|(path, _)| Format::of_file(path).map(|_| ())).collect()
        };
        let mut kept = Vec::with_capacity(files.len());
        for (file, look) in files.into_iter().zip(looks) {
            match look {
                Ok(()) => kept.push(file),
                Err(e) => {
                    let shown = format!("{} ({})", self.relative(&file.0), e.message().what);
                    self.faults.add(Faults::UNREADABLE, reading.of_bad_image(), shown);
                }
            }
        }
        Ok(kept)
    }

    /// A class that nothing can be learned of is a fault of the training images, and odd elsewhere.
    fn note_empty_classes(&mut self, part: Part, files: &[(PathBuf, usize)]) {
        let mut counts = vec![0; self.classes.len()];
        files.iter().for_each(|&(_, label)| counts[label] += 1);
        let outcome = if part == Part::Train { Outcome::Refused } else { Outcome::Noted };
        let place = if self.divided { format!(" in {}", part.name()) } else { String::new() };
        for (class, _) in self.classes.iter().zip(counts).filter(|(_, count)| *count == 0) {
            self.faults.add(&format!("classes have no image{place}"), outcome, class);
        }
    }

    fn relative(&self, path: &Path) -> String {
        files::name_of(path.strip_prefix(&self.root).unwrap_or(path))
    }

    /// Takes a fraction of each class out of `train`: at least one image of a class of two or more.
    fn cut(&self, train: &mut Vec<usize>, fraction: f64, rng: &Rng) -> Vec<usize> {
        let (mut kept, mut held) = (Vec::new(), Vec::new());
        for class in 0..self.classes.len() {
            let members: Vec<usize> = train.iter().copied().filter(|&i| self.files[i].1 == class).collect();
            let least = usize::from(members.len() >= 2);
            let count = ((members.len() as f64 * fraction).round() as usize).max(least);
            let (k, h) = hold_out(members.len(), count, &mut rng.at(class as u64));
            kept.extend(k.iter().map(|&i| members[i]));
            held.extend(h.iter().map(|&i| members[i]));
        }
        *train = kept;
        held
    }
}

fn begins_as_image(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = files::open(path).ok().and_then(|file| file.take(32).read_to_end(&mut first).ok());
    read.is_some() && Format::of(&first).is_ok()
}

impl Images for ImageFolder {
    fn kind(&self) -> String {
        let own: Vec<&str> = self.parts.iter().map(|(part, _)| part.name()).collect();
        let cut: Vec<&str> = Part::ALL.iter().map(|p| p.name()).filter(|p| !own.contains(p)).collect();
        match (self.divided, cut.is_empty()) {
            (true, true) => "a folder of class folders with a split of its own".into(),
            (true, false) => format!("a folder of class folders with {} of its own", own.join(" and ")),
            (false, _) => "a folder of class folders".into(),
        }
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, i: usize) -> String {
        files::name_of(&self.files[i].0)
    }

    fn checksum(&self) -> Result<String> {
        let files = self.files.iter().map(|(path, _)| (self.relative(path), path.as_path()));
        checksum(&files.collect::<Vec<_>>(), 0)
    }

    fn faults(&self) -> Faults {
        self.faults.clone()
    }

    fn part(&self, split: &str) -> Option<Vec<usize>> {
        let part = Part::ALL.into_iter().find(|p| p.name() == split)?;
        self.own(part).filter(|_| self.divided)
    }
}

impl Dataset for ImageFolder {
    fn title(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, i: usize) -> usize {
        self.files[i].1
    }

    fn image(&self, i: usize) -> Result<Image> {
        Ok(Image::open(&self.files[i].0).map_err(skippable)?.to_rgb8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Labelled;
    use std::fs;

    fn write(root: &Path, name: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(3, 2, [name.len() as u8, 0, 0]).save_png(path).unwrap();
    }

    fn open(root: &Path, seed: u64) -> Result<Splits> {
        ImageFolder::open(root, Reading::default())?.split(0.2, &Rng::seed(seed))
    }

    #[test]
    fn without_a_split_each_class_is_divided() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..10 {
            write(dir.path(), &format!("zebra/{i}.png"));
            write(dir.path(), &format!("ant/deep/{i}.PNG"));
        }
        fs::write(dir.path().join("ant/notes.txt"), "no image").unwrap();
        let s = open(dir.path(), 1).unwrap();
        assert_eq!(s.classes(), ["ant", "zebra"]);
        assert_eq!((s.train.len(), s.val.len(), s.test.len()), (12, 4, 4));
        let zebras = |s: &Labelled| (0..s.len()).filter(|&k| s.label(k) == 1).count();
        assert_eq!((zebras(&s.train), zebras(&s.val), zebras(&s.test)), (6, 2, 2));
        let mut all = [s.train.indices(), s.val.indices(), s.test.indices()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        assert_ne!(s.val.indices(), open(dir.path(), 2).unwrap().val.indices());
        assert_eq!(
            s.dataset().checksum().unwrap(),
            open(dir.path(), 2).unwrap().dataset().checksum().unwrap()
        );
        let told = s.description("photos").to_string();
        assert!(told.contains("val (cut out of train) 4 images"), "{told}");
        assert!(told.contains("2 classes: ant 10, zebra 10"), "{told}");
        assert!(told.contains(".txt files are no images (1 left out): ant/notes.txt"), "{told}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_class_has_a_name_that_is_text() {
        #[cfg(unix)]
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        for name in [&b"caf\xe8"[..], b"caf\xe9", b"tea"] {
            let folder = dir.path().join(std::ffi::OsStr::from_bytes(name));
            fs::create_dir(&folder).unwrap();
            Image::filled(3, 2, [9; 3]).save_png(folder.join("0.png")).unwrap();
        }
        let said = open(dir.path(), 1).err().unwrap().to_string();
        assert!(said.contains("not UTF-8; rename the folder"), "{said}");
    }

    #[test]
    fn its_own_split_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for (part, n) in [("train", 4), ("val", 2), ("test", 1)] {
            for i in 0..n {
                write(dir.path(), &format!("{part}/a/{i}.png"));
                write(dir.path(), &format!("{part}/b/{i}.png"));
            }
        }
        let s = open(dir.path(), 1).unwrap();
        assert_eq!((s.train.len(), s.val.len(), s.test.len()), (8, 4, 2));
        assert_eq!(s.test.image(0).unwrap().pixel(0, 0), ["test/a/0.png".len() as u8, 0, 0]);
        write(dir.path(), "val/c/0.png");
        let error = open(dir.path(), 1).err().unwrap().to_string();
        assert!(error.contains("classes have no training images (1): val/c (train has a, b)"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = || open(dir.path(), 1).err().unwrap().to_string();
        assert!(message().contains("has 0 sub-folders"));
        for i in 0..3 {
            write(dir.path(), &format!("a/{i}.png"));
            write(dir.path(), &format!("b/{i}.png"));
        }
        fs::create_dir(dir.path().join("c")).unwrap();
        assert!(message().contains("classes have no image (1): c"), "{}", message());
        fs::write(dir.path().join("c/x.gif"), "GIF89a").unwrap();
        assert!(
            message().contains("c/x.gif (is a GIF image, not a PNG, JPEG or WebP image)"),
            "{}",
            message()
        );
        fs::remove_file(dir.path().join("c/x.gif")).unwrap();
        for i in 0..12 {
            fs::write(dir.path().join(format!("c/{i}.jpg")), "text").unwrap();
        }
        let text = message();
        assert!(text.contains("images cannot be read (12): ") && text.contains("and 2 more"), "{text}");
    }
}
