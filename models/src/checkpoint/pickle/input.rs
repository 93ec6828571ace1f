//! Where a pickle is read from: never more than the file has left.

use crate::checkpoint::error::Problem;
use crate::checkpoint::format::Format;
use byteorder::{ByteOrder, LE};
use std::io::{self, Read};

/// Bytes of a reader, at most so many.
pub(in crate::checkpoint) struct Input<R> {
    pub reader: R,
    /// Bytes not yet read.
    pub left: u64,
    /// The file's format, for messages.
    pub format: Format,
}

impl<R: Read> Input<R> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Problem> {
        self.array::<2>().map(|bytes| LE::read_u16(&bytes))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        self.array::<4>().map(|bytes| LE::read_u32(&bytes))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        self.array::<8>().map(|bytes| LE::read_u64(&bytes))
    }

    pub(super) fn bytes(&mut self, n: u64) -> Result<Vec<u8>, Problem> {
        if n > self.left {
            return Err(self.ends());
        }
        let mut bytes = vec![0; n as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, n: u64) -> Result<(), Problem> {
        self.left = self.left.checked_sub(n).ok_or_else(|| self.ends())?;
        match io::copy(&mut self.reader.by_ref().take(n), &mut io::sink()) {
            Ok(read) if read == n => Ok(()),
            Ok(_) => Err(self.ends()),
            Err(e) => Err(Problem::reading(self.format, e)),
        }
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| self.ends())?;
        self.reader.read_exact(bytes).map_err(|e| Problem::reading(self.format, e))
    }

    pub(super) fn ends(&self) -> Problem {
        Problem::malformed(self.format, "it ends in the middle of its pickle")
    }
}
