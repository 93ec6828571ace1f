//! What a file or folder is, for messages where it is not what was expected: told by the first bytes, by the
//! names in an archive, or by those in a folder (see [`looks`]).

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use gradus_models::checkpoint::{Kind, Looks, Remedy, is_picture, looks, members};

use crate::error::Error;
use crate::files;

/// Bytes of a file that are looked at, and unpacked bytes of an archive whose names are not listed in one
/// place.
const START: u64 = 1 << 16;
const UNPACKED: u64 = 16 << 20;
/// Names of an archive, or of each folder, that are looked at; those of all folders together; and how deep.
const NAMES: usize = 200;
const ALL_NAMES: usize = 10_000;
const DEPTH: usize = 3;

/// What is at a path; `None` where nothing is, or nothing that is known.
pub fn at(path: &Path) -> Option<Looks> {
    if path.is_dir() { folder(path) } else { file(path) }
}

/// The error that weights or a run were expected: what is there instead, with what to do, or else the error
/// that led here. That stays where it is not the path's fault.
pub fn instead(error: Error, path: &Path, expected: &str) -> Error {
    instead_of(error, path, expected, Remedy::for_weights)
}

/// As [`instead`], where a data set was expected.
pub fn instead_of_data(error: Error, path: &Path, expected: &str) -> Error {
    instead_of(error, path, expected, Remedy::for_data)
}

fn instead_of(
    error: Error,
    path: &Path,
    expected: &str,
    remedy: fn(Remedy) -> Option<&'static str>,
) -> Error {
    let looks = if matches!(error, Error::Input(_)) { at(path) } else { None };
    let Some(looks) = looks else { return error };
    let other = Error::input(format!("is {}, not {expected}", looks.what)).in_file(path);
    match remedy(looks.remedy) {
        Some(remedy) => other.remedy(remedy),
        None => other,
    }
}

fn file(path: &Path) -> Option<Looks> {
    let mut file = files::open(path).ok()?;
    let mut start = Vec::new();
    file.by_ref().take(START).read_to_end(&mut start).ok()?;
    file.seek(SeekFrom::Start(0)).ok()?;
    let inside = match start.as_slice() {
        [b'P', b'K', 3, 4, ..] => members("a zip archive", &in_zip(file)),
        [0x1f, 0x8b, ..] => in_gzip(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        _ if start.get(257..262) == Some(b"ustar") => members("a tar archive", &in_tar(file)),
        _ => None,
    };
    inside.or_else(|| looks(&start))
}

fn in_zip(file: File) -> Vec<String> {
    let Ok(zip) = zip::ZipArchive::new(BufReader::new(file)) else { return vec![] };
    zip.file_names().flatten().take(NAMES).map(|name| name.into_owned()).collect()
}

fn in_tar(archive: impl Read) -> Vec<String> {
    let mut archive = tar::Archive::new(archive.take(UNPACKED));
    let Ok(entries) = archive.entries() else { return vec![] };
    let named = entries.map_while(|entry| Some(entry.ok()?.path().ok()?.to_string_lossy().into_owned()));
    named.take(NAMES).collect()
}

/// What is packed: an archive, or a single file.
fn in_gzip(mut unpacked: impl Read) -> Option<Looks> {
    let mut start = Vec::new();
    // A part is as good.
    let _ = unpacked.by_ref().take(START).read_to_end(&mut start);
    if start.get(257..262) == Some(b"ustar") {
        return members("a tar archive", &in_tar(start.as_slice().chain(unpacked)));
    }
    let inner = looks(&start).filter(|_| !start.is_empty())?;
    Some(Looks { what: format!("{}, packed with gzip", inner.what), ..inner })
}

fn folder(path: &Path) -> Option<Looks> {
    if path.join("args.json").is_file() {
        return Some(Looks::new("a run's folder", Remedy::None));
    }
    if path.join("PNGImages").is_dir() {
        return Some(Looks::new("PennFudanPed's folder", Remedy::None));
    }
    // One that cannot be read is not empty.
    let mut names = list(path).ok()?;
    if names.is_empty() {
        return Some(Looks::new("a folder without files", Remedy::None));
    }
    // What lies beside class folders says nothing of them.
    if are_classes(&names) {
        names.retain(|name| name.contains('/'));
    }
    let found = members("a folder", &names)?;
    if found.kind != Kind::Pictures {
        return Some(found);
    }
    // Pictures in sub-folders are a data set, those beside each other are not.
    let beside = names.iter().filter(|name| is_picture(name) && !name.contains('/')).count();
    let sort = Remedy::Data("sort the images into one folder a class, and name the folder above");
    (2 * beside > names.len()).then_some(Looks { remedy: sort, ..found })
}

/// Whether pictures lie in two sub-folders or more, and other files in none but these: a data set in class
/// folders.
fn are_classes(names: &[String]) -> bool {
    let folder = |name: &String| Some(name.rsplit_once('/')?.0.to_owned());
    let all: HashSet<String> = names.iter().filter_map(folder).collect();
    let pictured: HashSet<String> = names.iter().filter(|name| is_picture(name)).filter_map(folder).collect();
    pictured.len() >= 2 && pictured.len() == all.len()
}

/// The files below a folder, some of each, with `/` between: those that lie less deep first. Error: the
/// folder itself cannot be read.
fn list(root: &Path) -> io::Result<Vec<String>> {
    files::entries(root)?;
    let (mut names, mut left) = (Vec::new(), ALL_NAMES);
    let mut folders = VecDeque::from([(root.to_path_buf(), String::new(), 0)]);
    while let Some((folder, prefix, depth)) = folders.pop_front() {
        let Ok(entries) = files::entries(folder) else { continue };
        for entry in entries.iter().take(NAMES.min(left)) {
            left -= 1;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH => {
                    folders.push_back((entry.path(), format!("{name}/"), depth + 1));
                }
                Ok(kind) if kind.is_file() => names.push(name),
                _ => {}
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_ustar();
            header.set_size(3);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn zip(names: &[&str]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"abc").unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn archives_are_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for (bytes, what) in [
            (gzip(&tar(&["cifar-10-batches-py/data_batch_4"])), "CIFAR-10's Python version"),
            (gzip(&tar(&["cifar-100-python/meta"])), "CIFAR-100"),
            (tar(&["photos/a.jpg"]), "a tar archive of pictures"),
            (gzip(b"\0\0\x08\x03\0\0\x27\x10"), "an idx file, as MNIST is in, packed with gzip"),
            (gzip(b"notes"), "a gzip archive"),
            (zip(&["photos/a.jpg", "photos/b.JPG"]), "a zip archive of pictures"),
            (zip(&["notes.txt"]), "a zip archive"),
            (b"PK\x03\x04 broken".to_vec(), "a zip archive"),
            (b"\x1f\x8b broken".to_vec(), "a gzip archive"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(at(&path).unwrap().what, what);
        }
        std::fs::write(&path, b"plain text").unwrap();
        assert_eq!(at(&path), None);
        assert_eq!(at(&dir.path().join("none")), None);
    }

    #[test]
    fn folders_are_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        for (k, (names, what)) in [
            (
                &["VOCdevkit/VOC2012/Annotations/1.xml", "VOCdevkit/VOC2012/JPEGImages/1.jpg"][..],
                "a data set in Pascal VOC's form",
            ),
            (&["train/images/1.jpg", "train/labels/1.txt"], "a data set in YOLO's form"),
            (&["images/1.jpg", "data.yaml"], "a data set in YOLO's form"),
            (&["MNIST/raw/t10k-labels-idx1-ubyte"], "a folder of idx files, as MNIST is in"),
            (&["cifar-100-binary/fine_label_names.txt"], "CIFAR-100"),
            (&["annotations/instances_val2017.json", "val2017/1.jpg"], "a data set in COCO's format"),
            (&["args.json"], "a run's folder"),
            (&["a.jpg", "b.png"], "a folder of pictures"),
            (
                &["model-00001-of-00002.safetensors", "model.safetensors.index.json"],
                "a folder of a network in several files",
            ),
            (&[], "a folder without files"),
        ]
        .into_iter()
        .enumerate()
        {
            let root = dir.path().join(k.to_string());
            std::fs::create_dir(&root).unwrap();
            for name in names {
                std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
                std::fs::write(root.join(name), "").unwrap();
            }
            assert_eq!(at(&root).unwrap().what, what);
        }
        // Classes in folders are what is expected: nothing to say.
        let classes = dir.path().join("classes");
        for class in ["a", "b"] {
            std::fs::create_dir_all(classes.join(class)).unwrap();
            std::fs::write(classes.join(class).join("1.png"), "").unwrap();
        }
        // Nor is there of what lies beside them or among their images.
        for stray in ["README.md", "model.pth", "data.yaml", "features.npy", "b/model.pth", "b/features.npy"]
        {
            std::fs::write(classes.join(stray), "").unwrap();
            assert_eq!(at(&classes), None, "{stray}");
        }
        // But annotations are no images' stray neighbours.
        std::fs::write(classes.join("a/_annotations.coco.json"), "").unwrap();
        assert_eq!(at(&classes).unwrap().what, "a data set in COCO's format");
    }

    #[test]
    fn so_many_names_are_listed_and_the_nearest_first() {
        let dir = tempfile::tempdir().unwrap();
        // Each folder is within its own bound; together they hold more than is looked at.
        for folder in 0..NAMES / 2 {
            let folder = dir.path().join(format!("{folder}/deep"));
            std::fs::create_dir_all(&folder).unwrap();
            (0..NAMES).for_each(|file| drop(File::create(folder.join(file.to_string())).unwrap()));
            File::create(folder.join("../near")).unwrap();
        }
        let names = list(dir.path()).unwrap();
        // All but the folders themselves.
        assert_eq!(names.len(), ALL_NAMES - NAMES);
        assert!(names[..NAMES / 2].iter().all(|name| name.ends_with("/near")));
        assert!(names[NAMES / 2..].iter().all(|name| name.contains("/deep/")));
        assert!(list(&dir.path().join("none")).is_err());
    }

    #[test]
    fn what_is_not_the_paths_fault_is_told_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let said = |error| instead(error, dir.path(), "a weights file").to_string();
        assert!(said(Error::input("x")).contains("is a folder without files, not a weights file"));
        assert_eq!(said(Error::failure("the disk is broken")), "the disk is broken");
    }
}
