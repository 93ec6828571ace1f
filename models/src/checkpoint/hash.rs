//! The hash in a file's name: PyTorch's model zoo names a file `NAME-XXXXXXXX.pth` after the first eight hexadecimal
//! digits of its content's SHA-256.

use super::error::{CheckpointError, Problem};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

const DIGITS: usize = 8;

/// Compares the SHA-256 of a file with the eight digits at the end of its name, before the extension. True when they
/// agree, false when the name has none.
///
/// # Errors
/// [`Problem::WrongHash`] when they differ, [`Problem::Io`] when the file cannot be read.
pub fn verify_name_hash(path: impl AsRef<Path>) -> Result<bool, CheckpointError> {
    let path = path.as_ref();
    let Some(expected) = hash_in_name(path) else { return Ok(false) };
    let actual = sha256(path).map_err(|problem| problem.at(path))?;
    match actual.starts_with(expected) {
        true => Ok(true),
        false => Err(Problem::WrongHash { expected: expected.to_owned(), actual }.at(path)),
    }
}

fn hash_in_name(path: &Path) -> Option<&str> {
    let (_, digits) = path.file_stem()?.to_str()?.rsplit_once('-')?;
    let is_hash = digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some(digits)
}

pub(super) fn sha256(path: &Path) -> Result<String, Problem> {
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
        for plain in ["net.pth", "net-ba7816b.pth", "net-ba7816bf0.pth", "net-ba7816bg.pth", "ba7816bf.pth"] {
            assert!(!verify_name_hash(write(plain)).unwrap(), "{plain}");
        }
        assert!(verify_name_hash(folder.path().join("none-01234567.pth")).is_err());
    }
}
