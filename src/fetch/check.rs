//! Is a file the one that was published?

use std::fs::File;
use std::io::Read;
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// How a file is known to be the right one.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// The eight digits at the end of its name begin its SHA-256 (PyTorch's model zoo).
    NameHash,
    /// The published MD5.
    Md5(&'static str),
    /// Its length in bytes, where no hash is published; what is in it is checked as it is unpacked.
    Size(u64),
}

/// A file's length and hashes, in hexadecimal.
#[derive(Clone, Debug)]
pub(super) struct Hashes {
    pub bytes: u64,
    pub sha256: String,
    pub md5: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Hashes {
    /// Reads the whole file, a block at a time.
    pub fn of(path: &Path) -> Result<Self> {
        let fail = |e| Error::read(path, &e);
        let mut file = File::open(path).map_err(fail)?;
        let (mut sha256, mut md5, mut bytes) = (Sha256::new(), Md5::new(), 0);
        let mut block = vec![0; 1 << 16];
        loop {
            match file.read(&mut block).map_err(fail)? {
                0 => break,
                n => {
                    bytes += n as u64;
                    sha256.update(&block[..n]);
                    md5.update(&block[..n]);
                }
            }
        }
        Ok(Hashes { bytes, sha256: hex(&sha256.finalize()), md5: hex(&md5.finalize()) })
    }
}

impl Check {
    /// The error says what differs.
    pub(super) fn verify(&self, file: &str, hashes: &Hashes) -> Result<(), String> {
        let agree = |what: &str, have: &str, want: &str| match have.starts_with(want) {
            true => Ok(()),
            false => Err(format!("its {what} is {have}, not {want}")),
        };
        match self {
            Check::NameHash => {
                let digits = file.rsplit_once('-').map_or("", |(_, rest)| rest.get(..8).unwrap_or(rest));
                agree("SHA-256", &hashes.sha256, digits)
            }
            Check::Md5(want) => agree("MD5", &hashes.md5, want),
            Check::Size(want) if hashes.bytes != *want => {
                Err(format!("it has {} bytes, not {want}", hashes.bytes))
            }
            Check::Size(_) => Ok(()),
        }
    }
}
