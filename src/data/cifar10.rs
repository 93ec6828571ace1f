//! CIFAR-10: 60,000 pictures of 32 x 32 pixels in 10 classes (Krizhevsky, *Learning multiple layers of
//! features from tiny images*, 2009), in the binary version: six files of 10,000 records, each record a label
//! and then the 1,024 red, 1,024 green and 1,024 blue values, rows top down.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use gradus_core::{Rng, memory};

use super::classification::{Dataset, EXPECTED, Splits, hold_out};
use super::images::Images;
use crate::error::{Error, Result};
use crate::files;
use crate::image::Image;
use crate::looks;

const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PIXELS;
const RECORDS: usize = 10_000;
/// The files, in order; the last one is the test set.
const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
/// The folder inside the official archive.
const FOLDER: &str = "cifar-10-batches-bin";
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const VALIDATION: usize = 5_000;
/// More than the official archive unpacks to (about 184 MB).
const UNPACKED: u64 = 1 << 28;

/// How to get the data.
pub(super) const REMEDY: &str =
    "run `gradus fetch cifar10`, or name https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, downloaded";

/// CIFAR-10 in memory: images 0 to 49,999 are the training batches, 50,000 to 59,999 the test batch.
pub struct Cifar10 {
    classes: Vec<String>,
    labels: Vec<u8>,
    /// Rows, columns, channels.
    pixels: Vec<u8>,
    checksum: u32,
}

/// Does this folder hold CIFAR-10, whole or in part?
pub(super) fn is_cifar10(folder: &Path) -> bool {
    let names = |f: &str| FILES.iter().any(|n| folder.join(f).join(n).exists());
    names(".") || names(FOLDER) || is_python_version(folder)
}

fn is_python_version(folder: &Path) -> bool {
    ["data_batch_1", "cifar-10-batches-py/data_batch_1"].iter().any(|n| folder.join(n).exists())
}

impl Cifar10 {
    /// Reads the binary version from its folder, from the folder above it, or from the `.tar.gz`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let meta = std::fs::metadata(path).map_err(|e| Error::read(path, &e).remedy(REMEDY))?;
        if meta.is_dir() { Self::from_folder(path) } else { Self::from_archive(path) }
    }

    fn from_folder(path: &Path) -> Result<Self> {
        let inner = path.join(FOLDER);
        let folder = if inner.is_dir() { inner } else { path.to_path_buf() };
        let mut data = Self::empty();
        for name in FILES {
            let file = folder.join(name);
            if !file.exists() {
                return Err(missing(path, name));
            }
            let bytes = files::read(&file, (RECORDS * RECORD) as u64).map_err(|e| e.remedy(REMEDY))?;
            data.append(&bytes, &file)?;
        }
        Ok(data)
    }

    /// An archive without any of the files is called what it is.
    fn from_archive(path: &Path) -> Result<Self> {
        let mut found: [Option<Vec<u8>>; FILES.len()] = Default::default();
        let unpacked = Self::unpack(path, &mut found);
        let mut data = Self::empty();
        let mut take = || -> Result<()> {
            for (name, bytes) in FILES.iter().zip(&found) {
                let bytes = bytes.as_ref().ok_or_else(|| missing(path, name))?;
                data.append(bytes, &path.join(name))?;
            }
            Ok(())
        };
        match unpacked.and_then(|()| take()) {
            Err(e) if found.iter().all(Option::is_none) => Err(looks::instead_of_data(e, path, EXPECTED)),
            read => read.map(|()| data),
        }
    }

    /// Reads the files out of an archive; one that is cut off counts as found.
    fn unpack(path: &Path, found: &mut [Option<Vec<u8>>; FILES.len()]) -> Result<()> {
        let unreadable = |e: io::Error| {
            let what = match e.kind() {
                io::ErrorKind::UnexpectedEof => "ends early (the archive is truncated)".to_string(),
                _ => format!("is not a readable .tar.gz archive ({e})"),
            };
            Error::input(what).in_file(path).remedy(REMEDY)
        };
        let file = files::open(path)?;
        let unpacked = flate2::read::MultiGzDecoder::new(BufReader::new(file)).take(UNPACKED);
        let mut archive = tar::Archive::new(unpacked);
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let name =
                entry.path().map_err(unreadable)?.file_name().map(|n| n.to_string_lossy().into_owned());
            let Some(slot) = FILES.iter().position(|&n| name.as_deref() == Some(n)) else { continue };
            let limit = (RECORDS * RECORD) as u64 + 1;
            let bytes = found[slot].insert(memory::room(FILES[slot], entry.size().min(limit) as usize));
            entry.by_ref().take(limit).read_to_end(bytes).map_err(unreadable)?;
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        Ok(())
    }

    fn empty() -> Self {
        let total = FILES.len() * RECORDS;
        Cifar10 {
            classes: CLASSES.map(String::from).to_vec(),
            labels: Vec::with_capacity(total),
            pixels: memory::room("the images", total * 3 * PIXELS),
            checksum: 0,
        }
    }

    /// Checks a file's records and takes them over, channels interleaved.
    fn append(&mut self, bytes: &[u8], file: &Path) -> Result<()> {
        if bytes.len() != RECORDS * RECORD {
            let what = format!("has {} bytes instead of {}", bytes.len(), RECORDS * RECORD);
            return Err(Error::input(what).in_file(file).remedy(REMEDY));
        }
        for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
            let (label, planes) = (record[0], &record[1..]);
            if usize::from(label) >= CLASSES.len() {
                let what = format!("has label {label} in record {i}; labels are 0 to 9");
                return Err(Error::input(what).in_file(file).remedy(REMEDY));
            }
            self.labels.push(label);
            let interleaved =
                (0..PIXELS).flat_map(|p| [planes[p], planes[PIXELS + p], planes[2 * PIXELS + p]]);
            self.pixels.extend(interleaved);
        }
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        Ok(())
    }

    /// 45,000 / 5,000 / 10,000 images for training, validation and test: the official test batch, and a
    /// random tenth of the training batches for validation.
    pub fn split(self: Arc<Self>, rng: &Rng) -> Splits {
        let training = (FILES.len() - 1) * RECORDS;
        let (train, val) = hold_out(training, VALIDATION, &mut rng.stream("validation"));
        let test = (training..self.len()).collect();
        Splits::new(self, [train, val, test])
    }
}

fn missing(path: &Path, name: &str) -> Error {
    let what = if path.is_dir() && is_python_version(path) {
        "is the Python version of CIFAR-10; the binary version is read".to_string()
    } else {
        format!("has no {name}, a part of CIFAR-10's binary version")
    };
    Error::input(what).in_file(path).remedy(REMEDY)
}

impl Images for Cifar10 {
    fn kind(&self) -> String {
        "CIFAR-10, the binary version".into()
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn name(&self, i: usize) -> String {
        format!("{} record {}", FILES[i / RECORDS].trim_end_matches(".bin"), i % RECORDS)
    }

    fn checksum(&self) -> Result<String> {
        Ok(format!("crc32c:{:08x}", self.checksum))
    }

    fn part(&self, split: &str) -> Option<Vec<usize>> {
        let training = (FILES.len() - 1) * RECORDS;
        match split {
            "train" => Some((0..training).collect()),
            "test" => Some((training..self.len()).collect()),
            _ => None,
        }
    }
}

impl Dataset for Cifar10 {
    fn title(&self) -> &str {
        "CIFAR-10"
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, i: usize) -> usize {
        usize::from(self.labels[i])
    }

    fn image(&self, i: usize) -> Result<Image> {
        Ok(Image::from_u8(SIDE, SIDE, 3, self.pixels[i * 3 * PIXELS..(i + 1) * 3 * PIXELS].to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six small-headed but whole files: record i of file f has label (i + f) % 10 and red value i % 256.
    fn batch(f: usize) -> Vec<u8> {
        let mut bytes = vec![0; RECORDS * RECORD];
        for (i, record) in bytes.chunks_exact_mut(RECORD).enumerate() {
            record[0] = ((i + f) % 10) as u8;
            record[1] = (i % 256) as u8; // red of the first pixel
            record[1 + PIXELS + 1] = 7; // green of the second pixel
        }
        bytes
    }

    fn folder(skip: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (f, name) in FILES.iter().enumerate().filter(|(_, n)| **n != skip) {
            std::fs::write(dir.path().join(name), batch(f)).unwrap();
        }
        dir
    }

    fn message(path: &Path) -> String {
        let e = Cifar10::open(path).err().expect("an error");
        assert_eq!(e.exit_code(), 2);
        let text = e.to_string();
        assert!(text.contains("gradus fetch cifar10") && text.contains("cifar-10-binary.tar.gz"), "{text}");
        text
    }

    #[test]
    fn reads_a_folder_and_its_archive_alike() {
        let dir = folder("");
        let data = Cifar10::open(dir.path()).unwrap();
        assert_eq!((data.len(), data.label(10_003), data.label(50_001)), (60_000, 4, 6));
        let image = data.image(300).unwrap();
        assert_eq!((image.pixel(0, 0), image.pixel(1, 0)), (&[44, 0, 0][..], &[0, 7, 0][..]));
        assert_eq!(data.name(10_002), "data_batch_2 record 2");

        let packed = dir.path().join("c.tar.gz");
        let gz = flate2::write::GzEncoder::new(
            std::fs::File::create(&packed).unwrap(),
            flate2::Compression::fast(),
        );
        let mut tar = tar::Builder::new(gz);
        // In the order of a folder, as `tar czf` takes them: the first name may be any.
        for name in FILES.iter().rev() {
            tar.append_path_with_name(dir.path().join(name), format!("{FOLDER}/{name}")).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let unpacked = Cifar10::open(&packed).unwrap();
        assert_eq!(unpacked.checksum().unwrap(), data.checksum().unwrap());
        assert_eq!(unpacked.pixels, data.pixels);
        let find = || crate::data::find(packed.to_str().unwrap(), 1, crate::data::Reading::default());
        assert_eq!(find().unwrap().checksum().unwrap(), data.checksum().unwrap());

        let whole = std::fs::read(&packed).unwrap();
        std::fs::write(&packed, &whole[..whole.len() / 2]).unwrap();
        assert!(message(&packed).contains("truncated"), "{}", message(&packed));
        // Even within its first file it is CIFAR-10's.
        std::fs::write(&packed, &whole[..50_000]).unwrap();
        assert!(find().err().unwrap().to_string().contains("truncated"));
        std::fs::write(&packed, b"not an archive").unwrap();
        assert!(message(&packed).contains("not a readable .tar.gz"));

        splits_are_disjoint_and_seeded(Arc::new(data));
    }

    fn splits_are_disjoint_and_seeded(data: Arc<Cifar10>) {
        let split = |seed| data.clone().split(&Rng::seed(seed));
        let (a, b) = (split(1), split(2));
        assert_eq!((a.train.len(), a.val.len(), a.test.len()), (45_000, 5_000, 10_000));
        let mut all: Vec<usize> =
            [&a.train, &a.val, &a.test].iter().flat_map(|s| s.indices()).copied().collect();
        all.sort_unstable();
        assert!(all.iter().enumerate().all(|(i, &v)| i == v));
        assert_eq!(a.val.indices(), split(1).val.indices());
        assert_ne!(a.val.indices(), b.val.indices());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = folder("data_batch_4.bin");
        assert!(message(dir.path()).contains("has no data_batch_4.bin"));
        let file = dir.path().join("data_batch_4.bin");
        std::fs::write(&file, &batch(3)[..1000]).unwrap();
        assert!(message(dir.path()).contains("data_batch_4.bin: has 1000 bytes instead of 30730000"));
        std::fs::write(&file, [batch(3), vec![0]].concat()).unwrap();
        assert!(message(dir.path()).contains("data_batch_4.bin: is larger than 30730000 bytes"));
        let mut wrong = batch(3);
        wrong[5 * RECORD] = 10;
        std::fs::write(&file, wrong).unwrap();
        assert!(message(dir.path()).contains("data_batch_4.bin: has label 10 in record 5"));
        let python = tempfile::tempdir().unwrap();
        std::fs::write(python.path().join("data_batch_1"), b"pickle").unwrap();
        assert!(message(python.path()).contains("Python version"));
        assert!(message(Path::new("/nonexistent")).contains("cannot be read"));
    }
}
