//! Data sets in folders: COCO's, YOLO's, Pascal VOC's, class folders, Penn-Fudan's masks, CIFAR-10's archive;
//! and what is said of files that are something else.
//!
//! Each object lies inside of its image, each image has one class and is in one part.

use super::bytes::Bytes;
use flate2::write::GzEncoder;
use gradus::data::coco::Coco;
use gradus::data::detection::{DetectionDataset, Sample};
use gradus::data::{Cifar10, ImageFolder, Images, PennFudan, Reading, open_detection};
use gradus::image::Image;
use gradus::looks::at;
use gradus_core::Rng;
use gradus_models::checkpoint::{looks as looks_of, members};
use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
    static PHOTOS: TempDir = {
        let folder = tempfile::tempdir().unwrap();
        for (name, width, height) in [("a.png", 8, 6), ("b.png", 5, 5)] {
            Image::filled(width, height, [7; 3]).save_png(folder.path().join(name)).unwrap();
        }
        folder
    };
}

/// Objects are as they are promised to be.
fn sound(data: &(impl DetectionDataset + ?Sized)) {
    for i in 0..data.len() {
        let Ok(Sample { image, objects, .. }) = data.load(i) else { continue };
        for object in objects {
            let [x1, y1, x2, y2] = object.bbox;
            let inside = x1 >= 0.0 && y1 >= 0.0 && x2 <= image.width() as f32 && y2 <= image.height() as f32;
            assert!(
                inside && x1 < x2 && y1 < y2,
                "{:?} of {} x {}",
                object.bbox,
                image.width(),
                image.height()
            );
            assert!((1..=data.classes().len()).contains(&object.label) && object.area.is_finite());
            if let Some(mask) = object.mask {
                assert_eq!([mask.width(), mask.height()], [image.width(), image.height()]);
            }
        }
    }
    let all: Vec<usize> = (0..data.len()).collect();
    if let Ok(truth) = data.ground_truth(&all) {
        assert!(truth.truths.iter().all(|t| t.bbox.iter().all(|v| v.is_finite())));
    }
}

/// An instances file beside two images.
pub fn coco(data: &[u8]) {
    let mut bytes = Bytes(data);
    let reading = bytes.byte();
    let reading = Reading { strict: reading & 1 > 0, skip_bad: reading & 2 > 0 };
    PHOTOS.with(|photos| {
        let path = photos.path().join("instances.json");
        fs::write(&path, bytes.rest()).unwrap();
        if let Ok(data) = Coco::open(&path, photos.path(), reading) {
            sound(&data);
        }
    });
}

/// A folder with a picture and these files, read; each of its parts has images of it.
fn read(form: u8, picture: &str, written: &[(&str, &[u8])], source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let reading = Reading { strict: form & 1 > 0, skip_bad: form & 2 > 0 };
    for (name, content) in [(picture, PIXEL)].iter().chain(written) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let Ok(data) = open_detection(folder.path().join(source).to_str().unwrap(), reading) else { return };
    sound(&*data);
    assert_eq!(data.checksum().unwrap(), data.checksum().unwrap());
    for part in ["train", "val", "test"].into_iter().filter_map(|part| data.part(part)) {
        assert!(part.windows(2).all(|pair| pair[0] < pair[1]) && part.iter().all(|&i| i < data.len()));
    }
}

/// A description of YOLO's and the labels of a picture. Paths stay in the folder.
pub fn yolo(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (form, length) = (bytes.byte(), usize::from(bytes.byte()));
    let yaml = match form & 4 > 0 {
        true => "train: images\nnames: [a, b]".to_string(),
        false => bytes.text(4 * length).replace(['/', '\\'], "_").replace("..", "_"),
    };
    let labels = bytes.rest();
    let written =
        [("data.yaml", yaml.as_bytes()), ("labels/a.txt", labels), ("list.txt", b"images/a.jpg\nb.jpg")];
    read(form, "images/a.jpg", &written, "data.yaml");
}

/// An annotation of Pascal VOC's, and which images there are to train on.
pub fn voc(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (form, length) = (bytes.byte(), usize::from(bytes.byte()));
    let list = bytes.take(if form & 4 > 0 { length } else { 0 });
    let written = [("ImageSets/Main/train.txt", list), ("Annotations/a.xml", bytes.rest())];
    read(form, "JPEGImages/a.jpg", &written, "");
}

/// Files in folders, a path a line.
pub fn classes(data: &[u8]) {
    let mut bytes = Bytes(data);
    let reading = bytes.byte();
    let fraction = bytes.float();
    let folder = tempfile::tempdir().unwrap();
    for line in bytes.rest().split(|&b| b == b'\n').take(24) {
        write(folder.path(), line);
    }
    let reading = Reading { strict: reading & 1 > 0, skip_bad: reading & 2 > 0 };
    let Ok(data) = ImageFolder::open(folder.path(), reading) else { return };
    let count = data.len();
    let Ok(splits) = data.split(fraction, &Rng::seed(1)) else { return };
    let parts = [&splits.train, &splits.val, &splits.test];
    let mut all = parts.map(|part| part.indices()).concat();
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>(), "each image is in one part");
    for part in parts {
        assert!(!part.is_empty() && (0..part.len()).all(|k| part.label(k) < splits.classes().len()));
        for k in 0..part.len() {
            part.image(k).map(drop).unwrap_or_default();
        }
    }
    assert!(!splits.description("x").to_string().is_empty());
}

/// A picture, or by its name something else, at a path below the folder.
fn write(folder: &Path, name: &[u8]) {
    let name: String = String::from_utf8_lossy(name).chars().take(60).collect();
    let inside: PathBuf =
        Path::new(&name).components().filter(|c| matches!(c, Component::Normal(_))).take(6).collect();
    let path = folder.join(inside);
    // Two names may want to be a file and a folder; then the first one is it.
    if path != folder && fs::create_dir_all(path.parent().unwrap_or(folder)).is_ok() {
        let _ = match name.len() % 5 {
            0 => fs::create_dir(&path),
            1 => fs::write(&path, "GIF89a no picture"),
            _ => fs::write(&path, PIXEL),
        };
    }
}

const PIXEL: &[u8] = include_bytes!("pixel.jpg");

/// A mask of pedestrians, of any kind, beside an image.
pub fn penn_fudan(data: &[u8]) {
    let mut bytes = Bytes(data);
    let [form, width, height, size] = [0; 4].map(|_| usize::from(bytes.byte()));
    let (width, height) = (width % 24 + 1, height % 24 + 1);
    let mut label = || if form & 4 > 0 { bytes.u16() } else { u16::from(bytes.byte()) % 5 };
    let count = width * height * if form & 1 > 0 { 3 } else { 1 };
    let labels: Vec<u16> = (0..count).map(|_| label()).collect();
    let mask = match form & 2 > 0 {
        true => Image::from_u16(width, height, count / width / height, labels),
        false => {
            Image::from_u8(width, height, count / width / height, labels.iter().map(|&l| l as u8).collect())
        }
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, image) in [
        ("PNGImages/a.png", &Image::filled(width + usize::from(size == 255), height, [9; 3])),
        ("PedMasks/a_mask.png", &mask),
    ] {
        let path = folder.path().join(name);
        fs::create_dir(path.parent().unwrap()).unwrap();
        image.save_png(path).unwrap();
    }
    let Ok(data) = PennFudan::open(folder.path(), Reading { strict: form & 8 > 0, skip_bad: false }) else {
        return;
    };
    assert_eq!(mask.channels(), 1);
    sound(&data);
}

/// CIFAR-10's archive, packed here or as it comes: it is none, however it is damaged.
pub fn cifar(data: &[u8]) {
    let mut bytes = Bytes(data);
    let packed = bytes.byte() % 2 == 0;
    let content = if packed { gzip(bytes.rest()) } else { bytes.rest().to_vec() };
    FOLDER.with(|folder| {
        let path = folder.path().join("cifar-10-binary.tar.gz");
        fs::write(&path, content).unwrap();
        let error = Cifar10::open(&path).err().expect("six files of 30 MB are not in here");
        assert!(error.exit_code() == 2 && !error.to_string().is_empty());
    });
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

/// What a file is said to be, by its bytes, packed or not, and by the names in it.
pub fn looks(data: &[u8]) {
    let mut bytes = Bytes(data);
    let form = bytes.byte();
    let content = bytes.rest();
    if form % 4 == 3 {
        let names: Vec<String> =
            String::from_utf8_lossy(content).split('\n').take(100).map(String::from).collect();
        assert!(members("a folder", &names).is_none_or(|looks| !looks.what.is_empty()));
        return;
    }
    assert!(looks_of(content).is_none_or(|looks| !looks.what.is_empty()));
    let content = if form % 4 == 2 { gzip(content) } else { content.to_vec() };
    FOLDER.with(|folder| {
        let path = folder.path().join("x");
        fs::write(&path, content).unwrap();
        assert!(at(&path).is_none_or(|looks| !looks.to_string().is_empty()));
    });
}
