//! What a file is, told by its first bytes or, of an archive, by the names in it: for messages to people who gave
//! another file than was meant. The content decides and not the name, but for formats that have no signature.

/// What a file or folder looks like, and what to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// With its article, such as "a PNG image".
    pub what: String,
    /// Empty where nothing can be done.
    pub remedy: &'static str,
}

impl Looks {
    /// What it is and what to do.
    pub fn new(what: impl Into<String>, remedy: &'static str) -> Self {
        Looks { what: what.into(), remedy }
    }
}

impl std::fmt::Display for Looks {
    /// `it is a zip archive of pictures: unpack it`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.remedy {
            "" => write!(f, "it is {}", self.what),
            remedy => write!(f, "it is {}: {remedy}", self.what),
        }
    }
}

const UNPACK: &str = "unpack it and name what was in it";
const EXPORT: &str = "save the weights from PyTorch: torch.save(model.state_dict(), \"weights.pth\")";
const CONVERT: &str = "convert it to PNG, JPEG or WebP";
const ONE_FILE: &str = "load all its parts in Python and save one file: torch.save(weights, \"weights.pth\")";
const PICTURES: &str = "write its images as PNG files, one folder a class, and name the folder above them";

/// Beginnings of files. The longest of a kind stand first.
const SIGNATURES: [(&[u8], &str, &str); 36] = [
    (b"\x89PNG\r\n\x1a\n", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", CONVERT),
    (b"II*\0", "a TIFF image", CONVERT),
    (b"MM\0*", "a TIFF image", CONVERT),
    (b"\0\0\0\x0cjP", "a JPEG 2000 image", CONVERT),
    (b"\xff\x0a", "a JPEG XL image", CONVERT),
    (b"\0\0\0\x0cJXL", "a JPEG XL image", CONVERT),
    (b"%PDF", "a PDF document", CONVERT),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the content with `git lfs pull`"),
    (b"\x89HDF", "an HDF5 file, as Keras and MATLAB write", ""),
    (b"\x93NUMPY", "a NumPy array", ""),
    (b"GGUF", "a GGUF file", ""),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"PK\x05\x06", "an empty zip archive", ""),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"MATLAB 5.0", "a MATLAB file, as SVHN is in", PICTURES),
    (b"PAR1", "a Parquet table", PICTURES),
    (b"SQLite format 3", "an SQLite database", ""),
    (b"\x7fELF", "a program", ""),
    (b"<!DOCTYPE", "a web page, perhaps a failed download", "fetch it again"),
    (b"<!doctype", "a web page, perhaps a failed download", "fetch it again"),
    (b"<html", "a web page, perhaps a failed download", "fetch it again"),
    (b"<annotation", "a Pascal VOC annotation", VOC),
    (b"<?xml", "an XML text", ""),
    (b"<svg", "an SVG drawing", CONVERT),
    (b"<", "a text of XML or HTML, perhaps a failed download", ""),
    (b"names:", "a YOLO data set's data.yaml", YOLO),
    (b"BM", "a BMP image", CONVERT),
    (b"\x80\x02", "a Python pickle", ""),
    (b"\x80\x04", "a Python pickle", ""),
];

/// What to do with annotations in Pascal VOC's form.
pub const VOC: &str = "convert the annotations to COCO's instances format, and name ANNOTATIONS.json:IMAGES";
/// What to do with annotations in YOLO's form.
pub const YOLO: &str = VOC;

/// What begins with these bytes, of which a few thousand tell most; `None` where nothing is known.
pub fn looks(start: &[u8]) -> Option<Looks> {
    let known = |&&(magic, ..): &&(&[u8], &str, &str)| start.starts_with(magic);
    let found = match start {
        [] => Some(Looks::new("empty", "")),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            Some(Looks::new("a WebP image", ""))
        }
        [b'R', b'I', b'F', b'F', ..] => Some(Looks::new("a RIFF file, such as a sound or a video", "")),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => {
            Some(Looks::new("an AVIF image", CONVERT))
        }
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', ..] => {
            Some(Looks::new("a HEIC image", CONVERT))
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Looks::new("a video", "")),
        [0, 0, 8 | 9 | 11..=14, 1..=4, 0, ..] => Some(Looks::new("an idx file, as MNIST is in", PICTURES)),
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Some(Looks::new("a safetensors checkpoint", "")),
        // Protocol buffers: the version of the format, then who wrote it or one of the other fields.
        [8, 1..=30, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42, ..] => {
            Some(Looks::new("an ONNX network", EXPORT))
        }
        _ if start.get(257..262) == Some(b"ustar") && start.starts_with(b"sys_info\0") => {
            Some(Looks::new("a checkpoint of PyTorch before 0.2", "load it in PyTorch and save it again"))
        }
        _ if start.get(257..262) == Some(b"ustar") => Some(Looks::new("a tar archive", UNPACK)),
        _ => SIGNATURES.iter().find(known).map(|&(_, what, remedy)| Looks::new(what, remedy)),
    };
    found.or_else(|| json(start))
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
            Looks::new("annotations in COCO's format", "name ANNOTATIONS.json:IMAGES as --data")
        }
        () if has("\"architectures\"") || has("\"model_type\"") => {
            Looks::new("a network's settings", "name the weights beside it")
        }
        () => Looks::new("a JSON text", ""),
    })
}

/// Ends of the names of pictures.
const PICTURE: [&str; 9] = [".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".jfif"];

/// Whether a file of this name is a picture.
pub fn is_picture(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PICTURE.iter().any(|end| name.ends_with(end))
}

/// What an archive or a folder is, told by the names in it, with `/` between; `None` where they tell nothing.
/// `kind` is "a zip archive" and the like.
pub fn members(kind: &str, names: &[String]) -> Option<Looks> {
    const BINARY: &str = "take the binary version: `gradus fetch cifar10`";
    const INSTANCES: &str = "name its ANNOTATIONS.json:IMAGES";
    let file = |name: &String| name.rsplit('/').next().unwrap_or_default().to_owned();
    let within = |name: &String, folder: &str| name.split('/').rev().skip(1).any(|part| part == folder);
    let any = |test: &dyn Fn(&String) -> bool| names.iter().any(test);
    let is = |wanted: &'static [&'static str]| any(&|name| wanted.contains(&file(name).as_str()));
    let pictures = names.iter().filter(|name| is_picture(name)).count();
    let of = |what: &str| format!("{kind} of {what}");
    Some(match () {
        () if any(&|name| file(name).starts_with("data_batch_") && name.ends_with(".bin")) => {
            Looks::new("CIFAR-10's binary version", "name it as --data")
        }
        () if any(&|name| file(name).starts_with("data_batch_"))
            || any(&|name| within(name, "cifar-10-batches-py")) =>
        {
            Looks::new("CIFAR-10's Python version", BINARY)
        }
        () if is(&["fine_label_names.txt"]) || any(&|name| name.contains("cifar-100")) => {
            Looks::new("CIFAR-100", PICTURES)
        }
        () if any(&|name| name.ends_with("-ubyte") || name.ends_with("-ubyte.gz")) => {
            Looks::new(of("idx files, as MNIST is in"), PICTURES)
        }
        () if any(&|name| within(name, "Annotations") && name.ends_with(".xml")) => {
            Looks::new("a data set in Pascal VOC's form", VOC)
        }
        () if is(&["data.yaml", "dataset.yaml"])
            || any(&|name| within(name, "labels") && name.ends_with(".txt")) =>
        {
            Looks::new("a data set in YOLO's form", YOLO)
        }
        () if is(&["_annotations.coco.json"]) || any(&|name| file(name).starts_with("instances_")) => {
            Looks::new("a data set in COCO's format", INSTANCES)
        }
        () if is(&["data.pkl"]) => Looks::new("a PyTorch checkpoint", ""),
        () if is(&["model.weights.h5"]) => Looks::new("a network of Keras", ""),
        () if pictures == 0 && any(&|name| name.ends_with(".index.json")) => {
            Looks::new(of("a network in several files"), ONE_FILE)
        }
        () if pictures == 0
            && any(&|name| [".safetensors", ".pth", ".pt"].iter().any(|end| name.ends_with(end))) =>
        {
            Looks::new(of("weights"), "name one of its files")
        }
        () if any(&|name| name.ends_with(".npy")) => Looks::new(of("NumPy arrays"), PICTURES),
        () if 2 * pictures > names.len() => Looks::new(of("pictures"), "unpack it, and name the folder"),
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
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "it is a WebP image: convert it to PNG or JPEG"),
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
    fn names_in_an_archive_tell_what_it_is() {
        for (names, what) in [
            (&["photos/a.JPG", "photos/b.png"][..], "a zip archive of pictures"),
            (&["cifar-10-batches-py/data_batch_4"], "CIFAR-10's Python version"),
            (&["cifar-10-batches-py/batches.meta"], "CIFAR-10's Python version"),
            (&["cifar-10-batches-bin/data_batch_1.bin"], "CIFAR-10's binary version"),
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
