//! What a file is, told by its first bytes or, of an archive, by the names in it: for messages to people who
//! gave another file than was meant. The content decides and not the name, but for formats that have no
//! signature.

/// What a file or folder looks like, and what to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// As far as code asks for it.
    pub kind: Kind,
    /// With its article, such as "a PNG image".
    pub what: String,
    /// What to do with it.
    pub remedy: Remedy,
}

/// What code asks for; the text of [`Looks::what`] is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PNG image.
    Png,
    /// A JPEG image.
    Jpeg,
    /// A WebP image.
    WebP,
    /// A picture or a drawing that is not read here.
    OtherPicture,
    /// Pictures beside each other, in a folder or an archive.
    Pictures,
    /// Anything else.
    Other,
}

/// What to do with something else than was expected: it depends on what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// There is nothing to do.
    None,
    /// Whatever was expected.
    Always(&'static str),
    /// Where weights were expected.
    Weights(&'static str),
    /// Where a data set was expected.
    Data(&'static str),
}

impl Remedy {
    /// What to do where weights were expected.
    pub fn for_weights(self) -> Option<&'static str> {
        match self {
            Remedy::Always(text) | Remedy::Weights(text) => Some(text),
            Remedy::Data(_) | Remedy::None => None,
        }
    }

    /// What to do where a data set was expected.
    pub fn for_data(self) -> Option<&'static str> {
        match self {
            Remedy::Always(text) | Remedy::Data(text) => Some(text),
            Remedy::Weights(_) | Remedy::None => None,
        }
    }
}

impl Looks {
    /// What it is and what to do.
    pub fn new(what: impl Into<String>, remedy: Remedy) -> Self {
        Looks { kind: Kind::Other, what: what.into(), remedy }
    }

    fn picture(kind: Kind, what: &str) -> Self {
        Looks { kind, ..Looks::new(what, Remedy::None) }
    }
}

impl std::fmt::Display for Looks {
    /// Where weights were expected: `it is a zip archive: unpack it`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.remedy.for_weights() {
            None => write!(f, "it is {}", self.what),
            Some(remedy) => write!(f, "it is {}: {remedy}", self.what),
        }
    }
}

const NONE: Remedy = Remedy::None;
const UNPACK: Remedy = Remedy::Always("unpack it and name what was in it");
const FETCH: Remedy = Remedy::Always("fetch it again");
const EXPORT: Remedy =
    Remedy::Weights("save the weights from PyTorch: torch.save(model.state_dict(), \"weights.pth\")");
const ONE_FILE: Remedy =
    Remedy::Weights("load all its parts in Python and save one file: torch.save(weights, \"weights.pth\")");
const AS_PNG: Remedy =
    Remedy::Data("write its images as PNG files, one folder a class, and name the folder above them");
/// Data that detectors learn from.
const VOC: Remedy = Remedy::Data("name the folder that holds its Annotations to `gradus train detector`");
const YOLO: Remedy = Remedy::Data("name its data.yaml to `gradus train detector`");

/// Beginnings of images and drawings. The longest of a kind stand first, here and below.
const IMAGES: [(&[u8], Kind, &str); 11] = [
    (b"\x89PNG\r\n\x1a\n", Kind::Png, "a PNG image"),
    (b"\xff\xd8\xff", Kind::Jpeg, "a JPEG image"),
    (b"GIF8", Kind::OtherPicture, "a GIF image"),
    (b"II*\0", Kind::OtherPicture, "a TIFF image"),
    (b"MM\0*", Kind::OtherPicture, "a TIFF image"),
    (b"\0\0\0\x0cjP", Kind::OtherPicture, "a JPEG 2000 image"),
    (b"\xff\x0a", Kind::OtherPicture, "a JPEG XL image"),
    (b"\0\0\0\x0cJXL", Kind::OtherPicture, "a JPEG XL image"),
    (b"%PDF", Kind::OtherPicture, "a PDF document"),
    (b"<svg", Kind::OtherPicture, "an SVG drawing"),
    (b"BM", Kind::OtherPicture, "a BMP image"),
];

/// Beginnings of other files.
const SIGNATURES: [(&[u8], &str, Remedy); 25] = [
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        Remedy::Always("fetch the content with `git lfs pull`"),
    ),
    (b"\x89HDF", "an HDF5 file, as Keras and MATLAB write", NONE),
    (b"\x93NUMPY", "a NumPy array", NONE),
    (b"GGUF", "a GGUF file", NONE),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"PK\x05\x06", "an empty zip archive", NONE),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"MATLAB 5.0", "a MATLAB file, as SVHN is in", AS_PNG),
    (b"PAR1", "a Parquet table", AS_PNG),
    (b"SQLite format 3", "an SQLite database", NONE),
    (b"\x7fELF", "a program", NONE),
    (b"<!DOCTYPE", "a web page, perhaps a failed download", FETCH),
    (b"<!doctype", "a web page, perhaps a failed download", FETCH),
    (b"<html", "a web page, perhaps a failed download", FETCH),
    (b"<annotation", "a Pascal VOC annotation", VOC),
    (b"<?xml", "an XML text", NONE),
    (b"<", "a text of XML or HTML, perhaps a failed download", NONE),
    (b"names:", "a YOLO data set's data.yaml", YOLO),
    (b"\x80\x02", "a Python pickle", NONE),
    (b"\x80\x04", "a Python pickle", NONE),
];

/// What begins with these bytes, of which a few thousand tell most; `None` where nothing is known.
pub fn looks(start: &[u8]) -> Option<Looks> {
    if start.is_empty() {
        return Some(Looks::new("empty", NONE));
    }
    image(start).or_else(|| other(start)).or_else(|| json(start))
}

fn image(start: &[u8]) -> Option<Looks> {
    let (kind, what) = match start {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => (Kind::WebP, "a WebP image"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => (Kind::OtherPicture, "an AVIF image"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', ..] => {
            (Kind::OtherPicture, "a HEIC image")
        }
        _ => {
            IMAGES.iter().find(|(magic, ..)| start.starts_with(magic)).map(|&(_, kind, what)| (kind, what))?
        }
    };
    Some(Looks::picture(kind, what))
}

fn other(start: &[u8]) -> Option<Looks> {
    let (what, remedy) = match start {
        [b'R', b'I', b'F', b'F', ..] => ("a RIFF file, such as a sound or a video", NONE),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => ("a video", NONE),
        [0, 0, 8 | 9 | 11..=14, 1..=4, 0, ..] => ("an idx file, as MNIST is in", AS_PNG),
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => ("a safetensors checkpoint", NONE),
        // Protocol buffers: the version of the format, then who wrote it or one of the other fields.
        [8, 1..=30, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42, ..] => ("an ONNX network", EXPORT),
        _ if start.get(257..262) == Some(b"ustar") && start.starts_with(b"sys_info\0") => {
            ("a checkpoint of PyTorch before 0.2", Remedy::Weights("load it in PyTorch and save it again"))
        }
        _ if start.get(257..262) == Some(b"ustar") => ("a tar archive", UNPACK),
        _ => {
            let known = SIGNATURES.iter().find(|(magic, ..)| start.starts_with(magic));
            known.map(|&(_, what, remedy)| (what, remedy))?
        }
    };
    Some(Looks::new(what, remedy))
}

/// What begins as a JSON text, told by the words that are in its beginning.
fn json(start: &[u8]) -> Option<Looks> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let has = |word: &str| text.contains(word);
    Some(match () {
        () if has("\"weight_map\"") => Looks::new("the index of a checkpoint in several files", ONE_FILE),
        () if has("\"annotations\"") || has("\"images\"") || has("\"categories\"") => {
            let remedy = Remedy::Data("name ANNOTATIONS.json:IMAGES as --data");
            Looks::new("annotations in COCO's format", remedy)
        }
        () if has("\"architectures\"") || has("\"model_type\"") => {
            Looks::new("a network's settings", Remedy::Weights("name the weights beside it"))
        }
        () => Looks::new("a JSON text", NONE),
    })
}

/// Extensions of the images that are read: PNG, JPEG and WebP.
pub const READ: [&str; 8] = ["png", "apng", "jpg", "jpeg", "jpe", "jfif", "pjpeg", "webp"];
/// Extensions of images and drawings that are not.
pub const NOT_READ: [&str; 12] =
    ["bmp", "gif", "tif", "tiff", "avif", "heic", "heif", "ppm", "pgm", "jp2", "jxl", "svg"];

/// Whether a file of this name is a picture, one that is read or not.
pub fn is_picture(name: &str) -> bool {
    let Some((_, extension)) = name.rsplit_once('.') else { return false };
    READ.iter().chain(&NOT_READ).any(|known| known.eq_ignore_ascii_case(extension))
}

/// What an archive or a folder is, told by the names in it, with `/` between; `None` where they tell nothing.
/// `kind` is "a zip archive" and the like.
pub fn members(kind: &str, names: &[String]) -> Option<Looks> {
    const BINARY: Remedy = Remedy::Data("take the binary version: `gradus fetch cifar10`");
    const ROBOFLOW: Remedy = Remedy::Data("name the folder above its train to `gradus train detector`");
    const INSTANCES: Remedy = Remedy::Data("name its ANNOTATIONS.json:IMAGES");
    let file = |name: &String| name.rsplit('/').next().unwrap_or_default().to_owned();
    let within = |name: &String, folder: &str| name.split('/').rev().skip(1).any(|part| part == folder);
    let any = |test: &dyn Fn(&String) -> bool| names.iter().any(test);
    let is = |wanted: &'static [&'static str]| any(&|name| wanted.contains(&file(name).as_str()));
    let pictures = names.iter().filter(|name| is_picture(name)).count();
    let of = |what: &str| format!("{kind} of {what}");
    Some(match () {
        () if any(&|name| file(name).starts_with("data_batch_") && name.ends_with(".bin")) => Looks::new(
            of("CIFAR-10's binary version"),
            Remedy::Data("name the folder of its files as --data"),
        ),
        () if any(&|name| file(name).starts_with("data_batch_"))
            || any(&|name| within(name, "cifar-10-batches-py")) =>
        {
            Looks::new("CIFAR-10's Python version", BINARY)
        }
        () if is(&["fine_label_names.txt"]) || any(&|name| name.contains("cifar-100")) => {
            Looks::new("CIFAR-100", AS_PNG)
        }
        () if any(&|name| name.ends_with("-ubyte") || name.ends_with("-ubyte.gz")) => {
            Looks::new(of("idx files, as MNIST is in"), AS_PNG)
        }
        () if any(&|name| within(name, "Annotations") && name.ends_with(".xml")) => {
            Looks::new("a data set in Pascal VOC's form", VOC)
        }
        () if is(&["data.yaml", "dataset.yaml"])
            || any(&|name| within(name, "labels") && name.ends_with(".txt")) =>
        {
            Looks::new("a data set in YOLO's form", YOLO)
        }
        () if is(&["_annotations.coco.json"]) => Looks::new("a data set in COCO's format", ROBOFLOW),
        () if any(&|name| file(name).starts_with("instances_")) => {
            Looks::new("a data set in COCO's format", INSTANCES)
        }
        () if is(&["data.pkl"]) => Looks::new("a PyTorch checkpoint", NONE),
        () if is(&["model.weights.h5"]) => Looks::new("a network of Keras", NONE),
        () if pictures == 0 && any(&|name| name.ends_with(".index.json")) => {
            Looks::new(of("a network in several files"), ONE_FILE)
        }
        () if pictures == 0
            && any(&|name| [".safetensors", ".pth", ".pt"].iter().any(|end| name.ends_with(end))) =>
        {
            Looks::new(of("weights"), Remedy::Weights("name one of its files"))
        }
        () if pictures == 0 && any(&|name| name.ends_with(".npy")) => Looks::new(of("NumPy arrays"), AS_PNG),
        () if 2 * pictures > names.len() => {
            let remedy = Remedy::Data("unpack it, and name the folder");
            Looks { kind: Kind::Pictures, ..Looks::new(of("pictures"), remedy) }
        }
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_files_tell_what_they_are() {
        for (start, what) in [
            (&b""[..], "it is empty"),
            (b"\x89PNG\r\n\x1a\n", "it is a PNG image"),
            (b"\xff\xd8\xff\xe0", "it is a JPEG image"),
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "it is a WebP image"),
            (b"\0\0\0\x20ftypavif", "it is an AVIF image"),
            (b"\0\0\x08\x03\0\0\x27\x10", "it is an idx file, as MNIST is in"),
            (b"\0\0\x08\x01\0\0\x27\x10", "it is an idx file"),
            (b"\x08\x08\x12\x07pytorch", "it is an ONNX network: save the weights from PyTorch"),
            (b"\x08\x03:\xfd\x08\x0a", "it is an ONNX network"),
            (b"{\"metadata\": {}, \"weight_map\": {}}", "it is the index of a checkpoint in several files"),
            (b"\xef\xbb\xbf{\"images\": [", "it is annotations in COCO's format"),
            (b"<annotation>", "it is a Pascal VOC annotation"),
            (b"<!DOCTYPE html>", "it is a web page"),
            (b"\x28\x02\0\0\0\0\0\0{", "it is a safetensors checkpoint"),
            (b"PK\x03\x04", "it is a zip archive: unpack it"),
        ] {
            let said = looks(start).unwrap_or_else(|| panic!("{start:?}")).to_string();
            assert!(said.starts_with(what), "{start:?}: {said}");
        }
        assert_eq!(looks(b"plain text"), None);
        let mut tar = [b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(looks(&tar).unwrap().what, "a tar archive");
        tar[..9].copy_from_slice(b"sys_info\0");
        assert_eq!(looks(&tar).unwrap().what, "a checkpoint of PyTorch before 0.2");
    }

    #[test]
    fn what_to_do_depends_on_what_was_expected() {
        // Nobody makes weights of a drawing, or a data set of a network.
        for (start, weights, data) in [
            (&b"%PDF-1.7"[..], false, false),
            (b"<svg>", false, false),
            (b"GIF89a", false, false),
            (b"\0\0\x08\x03\0\0\x27\x10", false, true),
            (b"<annotation>", false, true),
            (b"\x08\x08\x12\x07pytorch", true, false),
            (b"PK\x03\x04", true, true),
        ] {
            let Looks { remedy, .. } = looks(start).unwrap();
            assert_eq!(
                (remedy.for_weights().is_some(), remedy.for_data().is_some()),
                (weights, data),
                "{start:?}"
            );
        }
        for (start, kind) in [
            (&b"\x89PNG\r\n\x1a\n"[..], Kind::Png),
            (b"\xff\xd8\xff\xe0", Kind::Jpeg),
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", Kind::WebP),
            (b"RIFF\x01\x02\x03\x04WAVE", Kind::Other),
            (b"\0\0\0\x20ftypavif", Kind::OtherPicture),
            (b"<svg>", Kind::OtherPicture),
        ] {
            assert_eq!(looks(start).unwrap().kind, kind, "{start:?}");
        }
    }

    #[test]
    fn names_in_an_archive_tell_what_it_is() {
        for (names, what) in [
            (&["photos/a.JPG", "photos/b.png"][..], "a zip archive of pictures"),
            (&["cifar-10-batches-py/data_batch_4"], "CIFAR-10's Python version"),
            (&["cifar-10-batches-py/batches.meta"], "CIFAR-10's Python version"),
            (&["cifar-10-batches-bin/data_batch_1.bin"], "a zip archive of CIFAR-10's binary version"),
            (&["cifar-100-python/train", "cifar-100-python/meta"], "CIFAR-100"),
            (&["a.npy", "b.npy"], "a zip archive of NumPy arrays"),
            (&["raw/train-images-idx3-ubyte"], "a zip archive of idx files"),
            (&["VOC2012/Annotations/1.xml", "VOC2012/JPEGImages/1.jpg"], "a data set in Pascal VOC's form"),
            (&["images/1.jpg", "labels/1.txt"], "a data set in YOLO's form"),
            (&["train/images/1.jpg", "data.yaml"], "a data set in YOLO's form"),
            (&["annotations/instances_val2017.json"], "a data set in COCO's format"),
            (&["train/_annotations.coco.json", "train/1.jpg"], "a data set in COCO's format"),
            (
                &["model-00001-of-00002.safetensors", "model.safetensors.index.json"],
                "a zip archive of a network in several files",
            ),
            (&["model.safetensors", "config.json"], "a zip archive of weights"),
        ] {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            assert_eq!(
                members("a zip archive", &names).unwrap().what.split(',').next().unwrap(),
                what,
                "{names:?}"
            );
        }
        assert_eq!(members("a zip archive", &["a.txt".into()]), None);
        assert_eq!(members("a zip archive", &[]), None);
    }
}
