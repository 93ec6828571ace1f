//! A checkpoint's file, and the hash in its name.
//!
//! The file is opened once: its tensors and its hash are of the same bytes, whatever becomes of its name
//! meanwhile. The hash is computed when it is first asked for, a block at a time, and kept.
//!
//! PyTorch's model zoo names a file `NAME-XXXXXXXX.pth` after the first eight hexadecimal digits of its
//! content's SHA-256; some write `.th` for `.pth`. People date their files in the same place,
//! `resnet-20240131.pth`. Eight digits that are a day of the calendar are taken for that, unless the content
//! has this hash: one hash in some thousands looks so, and a sound file that is refused is worse than one
//! that goes unchecked.

use super::error::{CheckpointError, Problem};
use super::regular::{Links, open_regular};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const DIGITS: usize = 8;

/// A file of weights, open. Copies are of the same opening.
#[derive(Clone, Debug)]
pub struct CheckpointFile(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: Mutex<File>,
    sha256: OnceLock<String>,
}

impl CheckpointFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Problem::Io`], and [`Problem::Unrecognised`] for a folder and what else is no file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let file = open(path).map_err(|problem| problem.at(path))?;
        let (path, file) = (path.to_owned(), Mutex::new(file));
        Ok(CheckpointFile(Arc::new(Opened { path, file, sha256: OnceLock::new() })))
    }

    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What `f` makes of the file, which stands anywhere.
    pub(super) fn with<T>(
        &self,
        f: impl FnOnce(&mut File) -> Result<T, Problem>,
    ) -> Result<T, CheckpointError> {
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        Problem::within_memory("read", || f(&mut file)).map_err(|problem| problem.at(self.path()))
    }

    /// The SHA-256 of its content, in hexadecimal digits.
    ///
    /// # Errors
    /// [`Problem::Io`] when the file cannot be read.
    pub fn sha256(&self) -> Result<&str, CheckpointError> {
        if let Some(known) = self.0.sha256.get() {
            return Ok(known);
        }
        let reading = |source| Problem::Io { doing: "read", source };
        let digest = self.with(|file| digest(file).map_err(reading))?;
        Ok(self.0.sha256.get_or_init(|| digest))
    }

    /// Compares the SHA-256 of a `.pth` or `.th` file with the eight digits at the end of its name, before
    /// the extension. True when they agree, false when the name has none, or a date.
    ///
    /// # Errors
    /// [`Problem::WrongHash`] when they differ, [`Problem::Io`] when the file cannot be read.
    pub fn verify_name(&self) -> Result<bool, CheckpointError> {
        let Some(expected) = hash_in_name(self.path()) else { return Ok(false) };
        let actual = self.sha256()?;
        match actual.starts_with(expected) {
            true => Ok(true),
            false if is_date(expected) => Ok(false),
            false => {
                let (expected, actual) = (expected.to_owned(), actual.to_owned());
                Err(Problem::WrongHash { expected, actual }.at(self.path()))
            }
        }
    }
}

fn open(path: &Path) -> Result<File, Problem> {
    open_regular(path, Links::Follow).map_err(|source| match source.kind() {
        io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => {
            Problem::Unrecognised { looks: source.to_string() }
        }
        _ => Problem::Io { doing: "open", source },
    })
}

fn digest(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => break,
            n => hasher.update(&block[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash_in_name(path: &Path) -> Option<&str> {
    // A copy in another format keeps the name and not the content.
    path.extension().filter(|e| ["pth", "th"].iter().any(|own| e.eq_ignore_ascii_case(own)))?;
    let (_, digits) = path.file_stem()?.to_str()?.rsplit_once('-')?;
    let is_hash = digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some(digits)
}

/// Whether eight digits are a day, in one of the orders that people write: 20240131, 31012024, 01312024.
fn is_date(digits: &str) -> bool {
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u32>().ok();
    let is_day = |year, month, day| {
        let (Some(year), Some(month), Some(day)) = (number(year), number(month), number(day)) else {
            return false;
        };
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 31,
        };
        (1900..2100).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day)
    };
    digits.bytes().all(|b| b.is_ascii_digit())
        && (is_day(0..4, 4..6, 6..8) || is_day(4..8, 2..4, 0..2) || is_day(4..8, 0..2, 2..4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn verify_name_hash(path: PathBuf) -> Result<bool, CheckpointError> {
        CheckpointFile::open(path)?.verify_name()
    }

    #[test]
    fn hash_and_tensors_are_of_the_file_that_was_opened_and_it_is_hashed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.pth");
        fs::write(&path, "abc").unwrap();
        let file = CheckpointFile::open(&path).unwrap();
        // Another file takes the name.
        fs::write(folder.path().join("other"), "other").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        let known = file.sha256().unwrap().to_owned();
        assert!(known.starts_with("ba7816bf8f01cfea"), "{known}");

        // A file that changes while it is open: who asks again is not told of it, so nobody hashed it again.
        let file = CheckpointFile::open(&path).unwrap();
        let known = file.sha256().unwrap().to_owned();
        fs::write(&path, "abc").unwrap();
        assert_eq!(file.clone().sha256().unwrap(), known);
    }

    #[test]
    fn the_name_is_compared_with_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "abc").unwrap();
            path
        };
        // FIPS 180-2, appendix B.1: the message "abc".
        assert!(verify_name_hash(write("net-ba7816bf.pth")).unwrap());
        let wrong = verify_name_hash(write("net-ba7816be.pth")).unwrap_err().to_string();
        assert!(wrong.contains("its SHA-256 is ba7816bf8f01cfea") && wrong.contains("ba7816be"), "{wrong}");
        for plain in [
            "net.pth",
            "net-ba7816b.pth",
            "net-ba7816bf0.pth",
            "net-ba7816bg.pth",
            "ba7816bf.pth",
            "net-ba7816be.safetensors",
        ] {
            assert!(!verify_name_hash(write(plain)).unwrap(), "{plain}");
        }
        for date in ["20240131", "31012024", "01312024", "20240229"] {
            assert!(!verify_name_hash(write(&format!("net-{date}.pth"))).unwrap(), "{date}");
        }
        for number in ["20240231", "20230229", "20241301", "00012000", "18991231"] {
            assert!(verify_name_hash(write(&format!("net-{number}.pth"))).is_err(), "{number}");
        }
        assert!(verify_name_hash(folder.path().join("none-01234567.pth")).is_err());
    }
}
