//! What an image file is, told by its first bytes, and how large an image may be.
//!
//! Before anything is allocated, the header's size is held against [`Limits`] and against the file's length:
//! a PNG byte unpacks to at most 1,032 bytes (deflate's bound), and each 8x8 block of a JPEG takes at least
//! one bit.

use gradus_models::checkpoint::{Kind, looks};

use crate::error::{Error, Result};

/// So many first bytes tell what a file is.
pub(super) const START: usize = 4096;

/// What an image is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, whatever wraps it.
    Jpeg,
    /// WebP, lossy or lossless.
    WebP,
}

impl Format {
    /// Tells a file by its first bytes. Error: it is none of the formats that are read; what it is, where
    /// that is known.
    pub fn of(start: &[u8]) -> Result<Self> {
        let looks = looks(&start[..start.len().min(START)]);
        let kind = looks.as_ref().map_or(Kind::Other, |looks| looks.kind);
        let remedy = match kind {
            Kind::Png => return Ok(Format::Png),
            Kind::Jpeg => return Ok(Format::Jpeg),
            Kind::WebP => return Ok(Format::WebP),
            Kind::OtherPicture => "convert it to PNG, JPEG or WebP",
            Kind::Pictures | Kind::Other => "give a PNG, JPEG or WebP image",
        };
        let what = match looks {
            _ if start.is_empty() => "is empty".to_string(),
            Some(looks) => format!("is {}, not a PNG, JPEG or WebP image", looks.what),
            None => "is not a PNG, JPEG or WebP image".to_string(),
        };
        Err(Error::input(what).remedy(remedy))
    }
}

/// The largest image that is decoded. Checked before memory is taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest side in pixels.
    pub side: usize,
    /// The most bytes that decoding takes.
    pub bytes: usize,
    /// The longest file in bytes.
    pub file: u64,
}

impl Default for Limits {
    /// Sides to 32,768 pixels, 1.5 GiB while it is decoded, files to 256 MiB. A PNG takes its samples, so
    /// that 20,000 x 20,000 in RGB fit; a JPEG three times as much, a progressive one, whose coefficients are
    /// held, five times: 13,000 x 13,000 and 10,000 x 10,000. WebP is between them.
    fn default() -> Self {
        Limits { side: 32_768, bytes: 3 << 29, file: 1 << 28 }
    }
}

impl Limits {
    /// Error: the image is empty or too large. Its decoder takes so many bytes for each pixel, all told.
    pub(super) fn check(&self, width: usize, height: usize, bytes_per_pixel: usize) -> Result<()> {
        let bytes = width as u128 * height as u128 * bytes_per_pixel as u128;
        if width == 0 || height == 0 {
            return Err(Error::input(format!("is {width} x {height} pixels: empty")));
        }
        if width > self.side || height > self.side {
            let what = format!("is {width} x {height} pixels; sides of up to {} are read", self.side);
            return Err(Error::input(what).remedy("scale it down first"));
        }
        if bytes > self.bytes as u128 {
            let (need, most) = (bytes >> 20, self.bytes >> 20);
            let what = format!(
                "is {width} x {height} pixels, which take {need} MiB to decode; up to {most} MiB are taken"
            );
            return Err(Error::input(what).remedy("scale it down first"));
        }
        Ok(())
    }
}

/// The error of a file that is cut off.
pub(super) fn truncated() -> Error {
    Error::input("ends early (the image is truncated)").remedy("copy or download it again")
}

/// The error of a file that its format does not allow.
pub(super) fn damaged(format: &str, why: impl std::fmt::Display) -> Error {
    Error::input(format!("is a damaged or unsupported {format} image ({why})"))
        .remedy("copy or download it again, or convert it to PNG")
}
