//! The Penn-Fudan database for pedestrian detection and segmentation (Wang, Shi, Song, Shen, ACCV 2007).
//!
//! `PNGImages/X.png` is an image, `PedMasks/X_mask.png` its mask: 0 is background, 1, 2, ... the pedestrians.
//! Boxes are those of torchvision's tutorial: the least and the greatest coordinate of a mask's pixels, both
//! inclusive, so that a mask w pixels wide has a box w − 1 wide; areas are the boxes'.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::description::{Faults, Outcome, Reading, skippable};
use super::detection::{DetectionDataset, Object, Sample, bounded};
use super::images::{Images, checksum};
use crate::error::{Error, Result};
use crate::files;
use crate::image::{Header, Image, READ, Samples};
use crate::metrics::coco::Category;
use crate::metrics::rle::Rle;

/// PennFudanPed's folder: pedestrians, one class.
#[derive(Clone, Debug)]
pub struct PennFudan {
    /// By name.
    images: Vec<Entry>,
    classes: Vec<Category>,
    faults: Faults,
}

/// An image and its mask.
#[derive(Clone, Debug)]
struct Entry {
    /// The image's file without its extension.
    stem: String,
    image: PathBuf,
    mask: PathBuf,
    /// The pedestrians to learn from.
    pedestrians: usize,
}

const REMEDY: &str = "give PennFudanPed's folder, or ANNOTATIONS.json:IMAGES in COCO's format";

impl PennFudan {
    /// Whether a folder is its folder, or the one above it.
    pub fn is_at(folder: &Path) -> bool {
        folder.join("PNGImages").is_dir() || folder.join("PennFudanPed").join("PNGImages").is_dir()
    }

    /// Opens the folder that has `PNGImages` and `PedMasks`, or the one above it. Errors: it has not, there
    /// is no image, and what [`Faults`] refuse: images without a mask or that cannot be read, masks that are
    /// none, no pedestrian.
    pub fn open(folder: &Path, reading: Reading) -> Result<Self> {
        let inner = folder.join("PennFudanPed");
        let folder = if !folder.join("PNGImages").is_dir() && inner.is_dir() { inner } else { folder.into() };
        for part in ["PNGImages", "PedMasks"] {
            if !folder.join(part).is_dir() {
                return Err(Error::input(format!("has no folder {part}")).in_file(folder).remedy(REMEDY));
            }
        }
        let mut faults = Faults::default();
        let images = pictures(&folder.join("PNGImages"), &mut faults)?;
        let mut masks = pictures(&folder.join("PedMasks"), &mut faults)?;
        if images.is_empty() {
            return Err(Error::input("has no image").in_file(folder.join("PNGImages")).remedy(REMEDY));
        }
        let mut found = Vec::new();
        for (stem, image) in images {
            let of_image = |(name, _): &(String, PathBuf)| *name == format!("{stem}_mask");
            match masks.iter().position(of_image) {
                Some(at) => found.push(Entry { stem, image, mask: masks.remove(at).1, pedestrians: 0 }),
                None => faults.add("images have no mask in PedMasks", Outcome::Refused, image.display()),
            }
        }
        for (_, mask) in masks {
            faults.add("masks have no image in PNGImages", Outcome::Noted, mask.display());
        }
        let looks: Vec<_> = found.par_iter().map(|entry| look(entry, reading)).collect();
        let mut images = Vec::new();
        for (entry, look) in found.into_iter().zip(looks) {
            match look {
                Ok(look) => {
                    let pedestrians = look.boxes.len();
                    look.flat.into_iter().for_each(|name| {
                        let what = "pedestrians have a box without width or height, and are not learned";
                        faults.add(what, Outcome::LeftOut, name);
                    });
                    images.push(Entry { pedestrians, ..entry });
                }
                Err(e) => faults.add(Faults::UNREADABLE, reading.of_bad_image(), e),
            }
        }
        if images.iter().all(|i| i.pedestrians == 0) {
            let what = "a pedestrian (the masks are all background)";
            faults.add(Faults::MISSING, Outcome::Refused, what);
        }
        faults.judge(reading).map_err(|e| e.in_file(&folder))?;
        let classes = vec![Category { id: 1, name: "pedestrian".into() }];
        Ok(PennFudan { images, classes, faults })
    }
}

/// The pictures in a folder by their names without extension, sorted. Other files are a fault.
fn pictures(folder: &Path, faults: &mut Faults) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in files::entries(folder).map_err(|e| Error::read(folder, &e))? {
        let path = entry.path();
        let text = |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str()).map(String::from);
        let (name, stem, extension) =
            (text(path.file_name()), text(path.file_stem()), text(path.extension()));
        // Dot files are other programs' (macOS leaves `._X.png` beside each X.png), as is what Windows keeps
        // of its previews.
        if name.as_ref().is_some_and(|n| n.starts_with('.') || n == "Thumbs.db" || n == "desktop.ini") {
            continue;
        }
        match (stem, extension) {
            (Some(stem), Some(e)) if READ.contains(&e.to_ascii_lowercase().as_str()) => {
                found.push((stem, path))
            }
            _ => faults.add("files are no pictures by their names", Outcome::LeftOut, path.display()),
        }
    }
    found.sort();
    Ok(found)
}

/// The pedestrians of a mask.
struct Look {
    /// Those that have a box, by number.
    boxes: Vec<(Rle, [f64; 4])>,
    /// The others.
    flat: Vec<String>,
}

/// Reads an entry's mask, and as much of its image as tells whether they belong together.
fn look(entry: &Entry, reading: Reading) -> Result<Look> {
    let header = Header::of_file(&entry.image)?;
    if reading.decodes() {
        bounded(&Image::open(&entry.image)?).map_err(|e| e.in_file(&entry.image))?;
    }
    let mask = Image::open(&entry.mask)?;
    let bad = |what: String| Error::input(what).in_file(&entry.mask).remedy("get the data again");
    let (w, h) = (mask.width(), mask.height());
    if [w, h] != header.upright_size() {
        let [iw, ih] = header.upright_size();
        return Err(bad(format!("is {w} x {h} pixels, its image {iw} x {ih}")));
    }
    let labels: Vec<u16> = match mask.samples() {
        _ if mask.channels() != 1 => return Err(bad("is not a gray image of pedestrian numbers".into())),
        Samples::U8(v) => v.iter().map(|&v| u16::from(v)).collect(),
        Samples::U16(v) => v.clone(),
    };
    let mut look = Look { boxes: Vec::new(), flat: Vec::new() };
    for (number, mask) in Rle::of_labels(h, w, &labels)? {
        let [x, y, width, height] = mask.bounding_box();
        let (width, height) = (width - 1.0, height - 1.0);
        if width == 0.0 || height == 0.0 {
            let name = entry.mask.file_name().unwrap_or_default().to_string_lossy();
            look.flat.push(format!("{name}, pedestrian {number} at ({x}, {y})"));
        } else {
            look.boxes.push((mask, [x, y, width, height]));
        }
    }
    Ok(look)
}

impl Images for PennFudan {
    fn kind(&self) -> String {
        "PennFudanPed, images with masks of pedestrians".into()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, i: usize) -> String {
        self.images[i].image.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn checksum(&self) -> Result<String> {
        let files =
            self.images.iter().flat_map(|i| [&i.image, &i.mask].map(|path| (i.stem.clone(), path.as_path())));
        checksum(&files.collect::<Vec<_>>(), 0)
    }

    fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl DetectionDataset for PennFudan {
    fn classes(&self) -> &[Category] {
        &self.classes
    }

    fn labels(&self, i: usize) -> Option<Vec<usize>> {
        Some(vec![1; self.images[i].pedestrians])
    }

    fn load(&self, i: usize) -> Result<Sample> {
        let entry = &self.images[i];
        let image = Image::open(&entry.image).map_err(skippable)?.to_rgb8();
        let object = |(mask, [x, y, width, height]): (Rle, [f64; 4])| Object {
            bbox: [x, y, x + width, y + height].map(|v| v as f32),
            label: 1,
            area: width * height,
            crowd: false,
            mask: Some(mask),
        };
        let objects = look(entry, Reading::default())?.boxes.into_iter().map(object).collect();
        Ok(Sample { image, image_id: i as i64, objects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with one image of 4 x 3 pixels and this mask.
    fn folder(mask: &Image) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for part in ["PNGImages", "PedMasks"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        Image::filled(4, 3, [1, 2, 3]).save_png(dir.path().join("PNGImages/A.png")).unwrap();
        mask.save_png(dir.path().join("PedMasks/A_mask.png")).unwrap();
        dir
    }

    fn load(mask: &Image) -> Result<Sample> {
        PennFudan::open(folder(mask).path(), Reading::default())?.load(0)
    }

    #[test]
    fn boxes_are_inclusive() {
        #[rustfmt::skip]
        let mask = Image::from_u8(4, 3, 1, vec![
            0, 5, 2, 2,
            5, 5, 2, 2,
            0, 0, 2, 0,
        ]);
        let sample = load(&mask).unwrap();
        let [a, b] = &sample.objects[..] else { panic!("{:?}", sample.objects) };
        assert_eq!([a.bbox, b.bbox], [[2.0, 0.0, 3.0, 2.0], [0.0, 0.0, 1.0, 1.0]]);
        assert_eq!((a.area, a.label, b.area, b.label), (2.0, 1, 1.0, 1));
        assert_eq!(b.mask.as_ref().unwrap().bitmap(), [0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sample.image.pixel(3, 2), [1, 2, 3]);
    }

    #[test]
    fn another_picture_or_mask_of_the_same_length_is_other_data() {
        let mask = |value| Image::from_u8(4, 3, 1, vec![value; 12]);
        let dir = folder(&mask(1));
        let mut sums = vec![];
        for (name, image) in
            [("PNGImages/A.png", Image::filled(4, 3, [7; 3])), ("PedMasks/A_mask.png", mask(2))]
        {
            let path = dir.path().join(name);
            let length = std::fs::metadata(&path).unwrap().len();
            sums.push(PennFudan::open(dir.path(), Reading::default()).unwrap().checksum().unwrap());
            image.save_png(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
            sums.push(PennFudan::open(dir.path(), Reading::default()).unwrap().checksum().unwrap());
        }
        assert!(sums[0] != sums[1] && sums[1] == sums[2] && sums[2] != sums[3], "{sums:?}");
    }

    #[test]
    fn an_image_without_pedestrians_is_kept_and_files_of_any_case_are_read() {
        let dir = folder(&Image::from_u8(4, 3, 1, vec![0; 12]));
        let at = |name: &str| dir.path().join(name);
        Image::filled(4, 3, [9; 3]).save_png(at("PNGImages/B.PNG")).unwrap();
        let mask = Image::from_u8(4, 3, 1, vec![1, 1, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0]);
        mask.save_png(at("PedMasks/B_mask.PNG")).unwrap();
        std::fs::write(at("PNGImages/notes.txt"), "x").unwrap();
        let data = PennFudan::open(dir.path(), Reading::default()).unwrap();
        assert_eq!((data.labels(0), data.labels(1)), (Some(vec![]), Some(vec![1])));
        assert_eq!(data.load(1).unwrap().objects[0].bbox, [0.0, 0.0, 1.0, 1.0]);
        let faults: Vec<String> = data.faults().iter().map(|f| f.to_string()).collect();
        assert!(
            faults[0].contains("notes.txt") && faults[1].contains("B_mask.PNG, pedestrian 2"),
            "{faults:?}"
        );
        // A picture that ends early is seen now, and left out where that is asked for.
        let bytes = std::fs::read(at("PNGImages/A.png")).unwrap();
        std::fs::write(at("PNGImages/A.png"), &bytes[..bytes.len() - 20]).unwrap();
        let error = PennFudan::open(dir.path(), Reading::default()).unwrap_err().to_string();
        assert!(error.contains("A.png: ends early"), "{error}");
        let skip = Reading { skip_bad: true, ..Reading::default() };
        assert_eq!(PennFudan::open(dir.path(), skip).unwrap().len(), 1);
    }

    #[test]
    fn bad_folders_are_explained() {
        let error = |mask: &Image| load(mask).unwrap_err().to_string();
        let narrow = Image::from_u8(4, 3, 1, vec![0, 7, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
        assert!(error(&narrow).contains("a pedestrian (the masks are all background)"), "{}", error(&narrow));
        assert!(
            error(&Image::from_u8(4, 3, 1, vec![0; 12]))
                .contains("a pedestrian (the masks are all background)")
        );
        assert!(error(&Image::filled(4, 3, [0; 3])).contains("not a gray image"));
        assert!(error(&Image::from_u8(3, 4, 1, vec![0; 12])).contains("is 3 x 4 pixels, its image 4 x 3"));
        let dir = folder(&narrow);
        std::fs::remove_file(dir.path().join("PedMasks/A_mask.png")).unwrap();
        let error = PennFudan::open(dir.path(), Reading::default()).unwrap_err().to_string();
        assert!(error.contains("images have no mask in PedMasks") && error.contains("A.png"), "{error}");
        std::fs::remove_dir(dir.path().join("PedMasks")).unwrap();
        assert!(
            PennFudan::open(dir.path(), Reading::default())
                .unwrap_err()
                .to_string()
                .contains("has no folder PedMasks")
        );
    }
}
