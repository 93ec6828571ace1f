//! Is a file the one that was published?

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Source;
use crate::error::{Error, Result};
use crate::{files, interrupt};

/// What makes the file another than the source's: none where it is the one. `kept` tells whoever interrupts
/// how things stand.
pub(super) fn wrong(source: &Source, path: &Path, kept: &str) -> Result<Option<String>> {
    let fail = |e: io::Error| Error::read(path, &e);
    let mut file = files::open(path)?;
    let length = file.metadata().map_err(fail)?.len();
    if length != source.bytes {
        return Ok(Some(format!("it has {length} bytes, not {}", source.bytes)));
    }
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        interrupt::check(kept)?;
        match file.read(&mut block).map_err(fail)? {
            0 => break,
            n => hash.update(&block[..n]),
        }
    }
    let hash: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok((hash != source.sha256).then(|| format!("its SHA-256 is {hash}, not {}", source.sha256)))
}
