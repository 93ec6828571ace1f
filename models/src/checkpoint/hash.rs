//! The hash in a file's name: PyTorch's model zoo names a file `NAME-XXXXXXXX.pth` after the first eight
//! hexadecimal digits of its content's SHA-256; some write `.th` for `.pth`.
//!
//! People date their files in the same place, `resnet-20240131.pth`. Eight digits that are a day of the
//! calendar are taken for that, unless the content has this hash: one hash in some thousands looks so, and a
//! sound file that is refused is worse than one that goes unchecked.

use super::error::{CheckpointError, Problem};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

const DIGITS: usize = 8;

/// Compares the SHA-256 of a `.pth` or `.th` file with the eight digits at the end of its name, before the
/// extension. True when they agree, false when the name has none, or a date.
///
/// # Errors
/// [`Problem::WrongHash`] when they differ, [`Problem::Io`] when the file cannot be read.
pub fn verify_name_hash(path: impl AsRef<Path>) -> Result<bool, CheckpointError> {
    let path = path.as_ref();
    let Some(expected) = hash_in_name(path) else { return Ok(false) };
    let actual = sha256(path).map_err(|problem| problem.at(path))?;
    match actual.starts_with(expected) {
        true => Ok(true),
        false if is_date(expected) => Ok(false),
        false => Err(Problem::WrongHash { expected: expected.to_owned(), actual }.at(path)),
    }
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

/// The SHA-256 of a file's content, in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String, Problem> {
    let mut file = File::open(path).map_err(|source| Problem::Io { doing: "open", source })?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block).map_err(|source| Problem::Io { doing: "read", source })? {
            0 => break,
            n => hasher.update(&block[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
