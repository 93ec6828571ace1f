//! The Penn-Fudan database for pedestrian detection and segmentation (Wang, Shi, Song, Shen, ACCV 2007).
//!
//! `PNGImages/X.png` is an image, `PedMasks/X_mask.png` its mask: 0 is background, 1, 2, ... the pedestrians. Boxes
//! are those of torchvision's tutorial: the least and the greatest coordinate of a mask's pixels, both inclusive, so that
//! a mask w pixels wide has a box w − 1 wide; areas are the boxes'.

use std::path::{Path, PathBuf};

use super::Reading;
use super::detection::{DetectionDataset, Sample};
use crate::error::{Error, Result};
use crate::image::{Image, Samples};
use crate::metrics::coco::Category;
use crate::metrics::rle::Rle;

/// PennFudanPed's folder: pedestrians, one class.
#[derive(Clone, Debug)]
pub struct PennFudan {
    folder: PathBuf,
    /// The images' names without `.png`, sorted.
    names: Vec<String>,
    classes: Vec<Category>,
}

impl PennFudan {
    /// Opens the folder that has `PNGImages` and `PedMasks`, or the one above it. Errors: it has not, there is no image, or an
    /// image has no mask.
    pub fn open(folder: &Path, _reading: Reading) -> Result<Self> {
        let inner = folder.join("PennFudanPed");
        let folder = if !folder.join("PNGImages").is_dir() && inner.is_dir() { inner } else { folder.into() };
        let remedy = "give PennFudanPed's folder, or ANNOTATIONS.json:IMAGES in COCO's format";
        for part in ["PNGImages", "PedMasks"] {
            if !folder.join(part).is_dir() {
                return Err(Error::input(format!("has no folder {part}")).in_file(folder).remedy(remedy));
            }
        }
        let images = folder.join("PNGImages");
        let mut names = Vec::new();
        for entry in images.read_dir().map_err(|e| Error::read(&images, &e))? {
            let name = entry.map_err(|e| Error::read(&images, &e))?.file_name();
            // Dot files are other programs' (macOS leaves `._X.png` beside each X.png).
            if let Some(name) =
                name.to_str().and_then(|n| n.strip_suffix(".png")).filter(|n| !n.starts_with('.'))
            {
                names.push(name.to_string());
            }
        }
        names.sort();
        if names.is_empty() {
            return Err(Error::input("has no PNG image").in_file(images).remedy(remedy));
        }
        let data = PennFudan { folder, names, classes: vec![Category { id: 1, name: "pedestrian".into() }] };
        match (0..data.len()).find(|&i| !data.mask_path(i).is_file()) {
            Some(i) => Err(Error::input(format!("image {}.png has no mask", data.names[i]))
                .in_file(data.mask_path(i))
                .remedy("get the data again")),
            None => Ok(data),
        }
    }

    fn mask_path(&self, i: usize) -> PathBuf {
        self.folder.join("PedMasks").join(format!("{}_mask.png", self.names[i]))
    }
}

impl DetectionDataset for PennFudan {
    fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, i: usize) -> String {
        format!("{}.png", self.names[i])
    }

    fn classes(&self) -> &[Category] {
        &self.classes
    }

    /// Of names and sizes; reading every image for it would take as long as an epoch.
    fn checksum(&self) -> String {
        let sum = (0..self.len()).fold(0, |sum, i| {
            let size = std::fs::metadata(self.mask_path(i)).map_or(0, |m| m.len());
            crc32c::crc32c_append(crc32c::crc32c_append(sum, self.names[i].as_bytes()), &size.to_le_bytes())
        });
        format!("crc32c:{sum:08x}")
    }

    fn load(&self, i: usize) -> Result<Sample> {
        let image = Image::open(self.folder.join("PNGImages").join(self.name(i)))?.to_rgb8();
        let path = self.mask_path(i);
        let mask = Image::open(&path)?;
        let bad = |what: String| Error::input(what).in_file(&path).remedy("get the data again");
        let (w, h) = (mask.width(), mask.height());
        if (w, h) != (image.width(), image.height()) {
            let what = format!("is {w} x {h} pixels, its image {} x {}", image.width(), image.height());
            return Err(bad(what));
        }
        let labels: Vec<u16> = match mask.samples() {
            _ if mask.channels() != 1 => return Err(bad("is not a gray image of pedestrian numbers".into())),
            Samples::U8(v) => v.iter().map(|&v| u16::from(v)).collect(),
            Samples::U16(v) => v.clone(),
        };
        let mut sample = Sample::new(image, i as i64);
        for (number, mask) in Rle::of_labels(h, w, &labels)? {
            let [x, y, width, height] = mask.bounding_box();
            let (width, height) = (width - 1.0, height - 1.0);
            if width == 0.0 || height == 0.0 {
                let what =
                    format!("pedestrian {number} at ({x}, {y}) has a box of {width} x {height} pixels");
                return Err(bad(what));
            }
            sample.push([x, y, x + width, y + height].map(|v| v as f32), 1, mask, width * height, false);
        }
        Ok(sample)
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
        assert_eq!(sample.boxes, [[2.0, 0.0, 3.0, 2.0], [0.0, 0.0, 1.0, 1.0]]);
        assert_eq!((sample.areas, sample.labels), (vec![2.0, 1.0], vec![1, 1]));
        assert_eq!(sample.masks[1].bitmap(), [0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sample.image.pixel(3, 2), [1, 2, 3]);
    }

    #[test]
    fn an_image_without_pedestrians_is_kept() {
        let sample = load(&Image::from_u8(4, 3, 1, vec![0; 12])).unwrap();
        assert!(sample.boxes.is_empty());
    }

    #[test]
    fn bad_folders_are_explained() {
        let error = |mask: &Image| load(mask).unwrap_err().to_string();
        let narrow = Image::from_u8(4, 3, 1, vec![0, 7, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
        assert!(error(&narrow).contains("A_mask.png: pedestrian 7 at (1, 0) has a box of 0 x 1 pixels"));
        assert!(error(&Image::filled(4, 3, [0; 3])).contains("not a gray image"));
        assert!(error(&Image::from_u8(3, 4, 1, vec![0; 12])).contains("is 3 x 4 pixels, its image 4 x 3"));
        let dir = folder(&narrow);
        std::fs::remove_file(dir.path().join("PedMasks/A_mask.png")).unwrap();
        let error = PennFudan::open(dir.path(), Reading::default()).unwrap_err().to_string();
        assert!(error.contains("A_mask.png: image A.png has no mask"), "{error}");
        std::fs::remove_dir(dir.path().join("PedMasks")).unwrap();
        assert!(
            PennFudan::open(dir.path(), Reading::default())
                .unwrap_err()
                .to_string()
                .contains("has no folder PedMasks")
        );
    }
}
