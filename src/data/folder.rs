//! Any folder of PNG and JPEG images with one sub-folder a class (the layout of torchvision's `ImageFolder`).
//!
//! `ROOT/train/CLASS/…`, `ROOT/val/CLASS/…`, `ROOT/test/CLASS/…` where there is a `train` folder, else
//! `ROOT/CLASS/…`. Whichever of `val` and `test` has no folder gets its fraction of each class's training images,
//! chosen by the seed. Classes and files are in the order of their names; images are decoded when they are used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_core::Rng;

use super::{Dataset, Reading, Splits, Subset, hold_out};
use crate::error::{Error, Result};
use crate::image::Image;

const READ: [&str; 3] = ["png", "jpg", "jpeg"];
/// Images that are not read. They are refused, not skipped: a data set that shrinks silently is worse than none.
const NOT_READ: [&str; 9] = ["bmp", "gif", "webp", "tif", "tiff", "avif", "heic", "ppm", "jp2"];
/// How deep folders inside a class are followed.
const DEPTH: usize = 8;

/// The image files of a folder and their classes.
pub struct ImageFolder {
    name: String,
    classes: Vec<String>,
    files: Vec<(PathBuf, usize)>,
    checksum: u32,
}

impl ImageFolder {
    /// Lists the images below `root`; see the module's text for the layout and the split.
    pub fn open(root: impl AsRef<Path>, val_fraction: f64, rng: &Rng, _reading: Reading) -> Result<Splits> {
        let root = root.as_ref();
        if !(val_fraction > 0.0 && val_fraction < 0.5) {
            return Err(Error::input(format!("--val-fraction {val_fraction} is not between 0 and 0.5")));
        }
        let own = |name: &str| Some(root.join(name)).filter(|p| p.is_dir());
        let train_root = own("train");
        let (val_root, test_root) = match &train_root {
            Some(_) => (own("val"), own("test")),
            None => (None, None),
        };
        let mut data = Self::list_classes(root, train_root.as_deref().unwrap_or(root))?;
        let mut train = data.add(train_root.as_deref().unwrap_or(root))?;
        let mut part = |folder: Option<PathBuf>, train: &mut Vec<usize>, name| match folder {
            Some(folder) => data.add(&folder),
            None => Ok(data.cut(train, val_fraction, &rng.stream(name))),
        };
        let val = part(val_root, &mut train, "validation")?;
        let test = part(test_root, &mut train, "test")?;
        if val.is_empty() || test.is_empty() || train.is_empty() {
            return Err(Error::input("has too few images to split")
                .in_file(root)
                .remedy("give each class at least 3 images, or use train, val and test sub-folders"));
        }
        data.checksum = data.identify(root);
        let data: Arc<dyn Dataset> = Arc::new(data);
        let subset = |indices: Vec<usize>| Subset::new(data.clone(), indices);
        Ok(Splits { train: subset(train), val: subset(val), test: subset(test) })
    }

    fn list_classes(root: &Path, folder: &Path) -> Result<Self> {
        let classes: Vec<String> = entries(folder)?
            .into_iter()
            .filter(|p| p.is_dir())
            .map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect();
        if classes.len() < 2 {
            let what = format!(
                "has {} sub-folders; a class needs one each, and two classes are the least",
                classes.len()
            );
            return Err(Error::input(what).in_file(folder).remedy("sort the images into one folder a class"));
        }
        let name =
            root.file_name().map_or_else(|| root.display().to_string(), |n| n.to_string_lossy().into_owned());
        Ok(ImageFolder { name, classes, files: Vec::new(), checksum: 0 })
    }

    /// Adds the images below `folder`, and gives their indices.
    fn add(&mut self, folder: &Path) -> Result<Vec<usize>> {
        let start = self.files.len();
        for class in entries(folder)?.into_iter().filter(|p| p.is_dir()) {
            let name = class.file_name().unwrap_or_default().to_string_lossy();
            let Some(label) = self.classes.iter().position(|c| *c == name) else {
                return Err(Error::input("is a class without training images").in_file(&class));
            };
            let before = self.files.len();
            self.add_class(&class, label, DEPTH)?;
            if self.files.len() == before {
                return Err(Error::input("holds no PNG or JPEG image")
                    .in_file(&class)
                    .remedy("add images of this class, or remove the folder"));
            }
        }
        Ok((start..self.files.len()).collect())
    }

    fn add_class(&mut self, folder: &Path, label: usize, depth: usize) -> Result<()> {
        for path in entries(folder)? {
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            if path.is_dir() {
                if depth > 0 && !path.is_symlink() {
                    self.add_class(&path, label, depth - 1)?;
                }
            } else if READ.contains(&extension.as_str()) {
                self.files.push((path, label));
            } else if NOT_READ.contains(&extension.as_str()) {
                return Err(Error::input(format!("is a .{extension} image, which is not read"))
                    .in_file(&path)
                    .remedy("convert it to PNG or JPEG, or remove it"));
            }
        }
        Ok(())
    }

    /// Takes a fraction of each class out of `train`: at least one image of a class of three or more.
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

    /// A checksum of names and sizes; reading every image for it would take as long as an epoch.
    fn identify(&self, root: &Path) -> u32 {
        self.files.iter().fold(0, |sum, (path, _)| {
            // The same on systems that separate folders otherwise.
            let parts = path.strip_prefix(root).unwrap_or(path).iter().map(|part| part.to_string_lossy());
            let name = parts.collect::<Vec<_>>().join("/");
            let size = fs::metadata(path).map_or(0, |m| m.len());
            crc32c::crc32c_append(crc32c::crc32c_append(sum, name.as_bytes()), &size.to_le_bytes())
        })
    }
}

/// What a folder holds, by name; hidden files are left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e| Error::read(folder, &e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

impl Dataset for ImageFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn label(&self, i: usize) -> usize {
        self.files[i].1
    }

    fn image(&self, i: usize) -> Result<Image> {
        Ok(Image::open(&self.files[i].0)?.to_rgb8())
    }

    fn describe(&self, i: usize) -> String {
        self.files[i].0.display().to_string()
    }

    fn checksum(&self) -> String {
        format!("crc32c:{:08x}", self.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(3, 2, [name.len() as u8, 0, 0]).save_png(path).unwrap();
    }

    fn open(root: &Path, seed: u64) -> Result<Splits> {
        ImageFolder::open(root, 0.2, &Rng::seed(seed), Reading::default())
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
        let zebras = |s: &Subset| (0..s.len()).filter(|&k| s.label(k) == 1).count();
        assert_eq!((zebras(&s.train), zebras(&s.val), zebras(&s.test)), (6, 2, 2));
        let mut all = [s.train.indices(), s.val.indices(), s.test.indices()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        assert_ne!(s.val.indices(), open(dir.path(), 2).unwrap().val.indices());
        assert_eq!(s.dataset().checksum(), open(dir.path(), 2).unwrap().dataset().checksum());
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
        assert!(open(dir.path(), 1).err().unwrap().to_string().contains("a class without training images"));
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
        assert!(message().contains("/c: holds no PNG or JPEG image"));
        fs::write(dir.path().join("c/x.webp"), "RIFF").unwrap();
        assert!(message().contains("x.webp: is a .webp image"));
        fs::remove_file(dir.path().join("c/x.webp")).unwrap();
        for i in 0..3 {
            fs::write(dir.path().join(format!("c/{i}.jpg")), "text").unwrap();
        }
        let s = open(dir.path(), 1).unwrap();
        let bad = (0..s.train.len()).find(|&k| s.train.label(k) == 2).unwrap();
        let error = s.train.image(bad).unwrap_err().to_string();
        assert!(error.contains(".jpg: is not a PNG or JPEG image"), "{error}");
    }
}
