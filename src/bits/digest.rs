//! A digest: the first 32 hexadecimal digits of the SHA-256 of results, bit for bit.
//!
//! Every NaN counts as the same one: which of its bits are set, IEEE 754 leaves to the processor. The sign of
//! a zero counts.

use gradus_core::Tensor;
use sha2::{Digest as _, Sha256};
use std::fmt::Write;

/// 32 hexadecimal digits.
pub type Digest = String;

/// What results are written into.
#[derive(Clone, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// A text and its length, so that two texts are not taken for one.
    pub fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }

    /// A count or an index.
    pub fn number(&mut self, n: usize) {
        self.bytes(&(n as u64).to_le_bytes());
    }

    /// Numbers of single precision.
    pub fn floats(&mut self, values: &[f32]) {
        const NAN: u32 = 0x7fc0_0000;
        let mut block = [0; 4096];
        for part in values.chunks(block.len() / 4) {
            for (to, v) in block.chunks_exact_mut(4).zip(part) {
                to.copy_from_slice(&if v.is_nan() { NAN } else { v.to_bits() }.to_le_bytes());
            }
            self.bytes(&block[..4 * part.len()]);
        }
    }

    /// Numbers of double precision.
    pub fn doubles(&mut self, values: &[f64]) {
        const NAN: u64 = 0x7ff8_0000_0000_0000;
        for v in values {
            self.bytes(&if v.is_nan() { NAN } else { v.to_bits() }.to_le_bytes());
        }
    }

    /// A shape and its elements.
    pub fn tensor(&mut self, t: &Tensor) {
        self.number(t.shape().len());
        t.shape().iter().for_each(|&n| self.number(n));
        self.floats(t.data());
    }

    /// The digest of all that was written.
    pub fn finish(self) -> Digest {
        self.0.finalize()[..16].iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// The digest of what `write` writes.
pub(super) fn of(write: impl FnOnce(&mut Digester)) -> Digest {
    let mut digester = Digester::default();
    write(&mut digester);
    digester.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts_but_a_nans() {
        let digest = |v: f32| of(|d| d.floats(&[1.0, v]));
        assert_eq!(digest(f32::NAN), digest(f32::from_bits(0xffc0_1234)));
        assert_ne!(digest(0.0), digest(-0.0));
        assert_ne!(digest(1.0), digest(1.0f32.next_up()));
        assert_ne!(of(|d| d.tensor(&Tensor::zeros([2, 3]))), of(|d| d.tensor(&Tensor::zeros([3, 2]))));
        // SHA-256 of nothing (FIPS 180-4).
        assert_eq!(Digester::default().finish(), "e3b0c44298fc1c149afbf4c8996fb924");
    }
}
