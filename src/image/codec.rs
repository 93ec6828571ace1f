//! PNG, JPEG and WebP, told apart by their content.
//!
//! Before anything is allocated, the header's size is held against [`Limits`] and against the file's length:
//! a PNG byte unpacks to at most 1,032 bytes (deflate's bound), and each 8x8 block of a JPEG takes at least
//! one bit.

mod jpeg;
mod png;
mod webp;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{Image, Samples, header};
use crate::error::{Error, Result};
use crate::files;
use gradus_models::checkpoint::{Kind, looks};

/// So many first bytes tell what a file is.
const START: usize = 4096;
/// What ends a PNG file, without the checksum: an empty last chunk.
const PNG_END: &[u8] = b"\0\0\0\0IEND";
const JPEG_END: &[u8] = b"\xff\xd9";

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

    /// Tells a file by its first bytes and looks whether it ends as such files do, which takes microseconds;
    /// where it does not, it is decoded. Error: it is no image, or one that was cut off.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ends = || -> io::Result<(Vec<u8>, Vec<u8>, u64)> {
            let mut file = File::open(path)?;
            let (mut first, mut last) = (Vec::new(), Vec::new());
            Read::by_ref(&mut file).take(START as u64).read_to_end(&mut first)?;
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(length.saturating_sub(12)))?;
            file.take(12).read_to_end(&mut last)?;
            Ok((first, last, length))
        };
        let (first, last, length) = ends().map_err(|e| Error::read(path, &e))?;
        let format = Format::of(&first).map_err(|e| e.in_file(path))?;
        let whole = match format {
            Format::Png => last.starts_with(PNG_END),
            Format::Jpeg => last.ends_with(JPEG_END),
            // A RIFF file tells how many bytes follow the first eight.
            Format::WebP => first
                .get(4..8)
                .is_some_and(|n| 8 + n.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)) <= length),
        };
        if !whole {
            Image::open(path)?;
        }
        Ok(format)
    }
}

/// The largest image that is decoded. Checked before memory is taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest side in pixels.
    pub side: usize,
    /// The most bytes of decoded samples.
    pub bytes: usize,
    /// The longest file in bytes.
    pub file: u64,
}

impl Default for Limits {
    /// Sides to 32,768 pixels, 1.5 GiB of samples (20,000 x 20,000 RGB fits), files to 256 MiB. While a JPEG
    /// is decoded it takes, beside its file, up to five times its samples: a progressive one's coefficients
    /// are held.
    fn default() -> Self {
        Limits { side: 32_768, bytes: 3 << 29, file: 1 << 28 }
    }
}

impl Limits {
    fn check(&self, width: usize, height: usize, bytes_per_pixel: usize) -> Result<()> {
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
            let what =
                format!("is {width} x {height} pixels, {need} MiB; images of up to {most} MiB are read");
            return Err(Error::input(what).remedy("scale it down first"));
        }
        Ok(())
    }
}

fn truncated() -> Error {
    Error::input("ends early (the image is truncated)").remedy("copy or download it again")
}

fn damaged(format: &str, why: impl std::fmt::Display) -> Error {
    Error::input(format!("is a damaged or unsupported {format} image ({why})"))
        .remedy("copy or download it again, or convert it to PNG")
}

impl Image {
    /// Reads a PNG, JPEG or WebP file; whatever its name, its content decides. Its orientation is applied.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Limits::default())
    }

    /// [`Image::open`], and the orientation (1 to 8) that was applied.
    pub fn open_oriented(path: impl AsRef<Path>) -> Result<(Self, u8)> {
        let limits = Limits::default();
        let bytes = files::read(&path, limits.file)?;
        let (stored, orientation) = decode_stored(&bytes, &limits).map_err(|e| e.in_file(path))?;
        Ok((stored.upright(orientation), orientation))
    }

    /// [`Image::open`] with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let bytes = files::read(&path, limits.file)?;
        Self::decode(&bytes, limits).map_err(|e| e.in_file(path))
    }

    /// Decodes a PNG, JPEG or WebP file's content. The orientation that EXIF or XMP tell is applied.
    ///
    /// PNG keeps its channels and depth: palettes become RGB (RGBA where an entry is transparent), 1, 2 and 4
    /// bits become 8. JPEG becomes gray or RGB; CMYK is converted without a color profile. WebP becomes RGB
    /// or RGBA.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let (stored, orientation) = decode_stored(bytes, limits)?;
        Ok(stored.upright(orientation))
    }

    /// The PNG file of this image; every depth and number of channels.
    pub fn encode_png(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encoder(&mut out, self.height)
            .write_header()
            .and_then(|mut w| w.write_image_data(&self.big_endian()).and_then(|()| w.finish()))
            .map_err(|e| Error::failure(format!("the image cannot be encoded as PNG: {e}")))?;
        Ok(out)
    }

    /// Writes a PNG file, as a whole or not at all.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_atomic(path, &self.encode_png()?)
    }

    /// Of a picture of this width, these channels and this depth.
    fn encoder<W: Write>(&self, out: W, height: usize) -> ::png::Encoder<'static, W> {
        let mut encoder = ::png::Encoder::new(out, self.width as u32, height as u32);
        encoder.set_color(match self.channels {
            1 => ::png::ColorType::Grayscale,
            2 => ::png::ColorType::GrayscaleAlpha,
            3 => ::png::ColorType::Rgb,
            _ => ::png::ColorType::Rgba,
        });
        encoder.set_depth(if self.depth() == 8 { ::png::BitDepth::Eight } else { ::png::BitDepth::Sixteen });
        encoder
    }

    /// The samples as PNG stores them.
    fn big_endian(&self) -> Cow<'_, [u8]> {
        match &self.samples {
            Samples::U8(v) => v.into(),
            Samples::U16(v) => v.iter().flat_map(|s| s.to_be_bytes()).collect::<Vec<_>>().into(),
        }
    }
}

/// The image as it is stored, and its orientation.
fn decode_stored(bytes: &[u8], limits: &Limits) -> Result<(Image, u8)> {
    let format = Format::of(bytes)?;
    let image = match format {
        Format::Png => png::decode(bytes, limits),
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::WebP => webp::decode(bytes, limits),
    }?;
    Ok((image, header::notes(format, bytes).orientation()))
}

/// Writes a picture of `height` rows to a PNG file, as a whole or not at all. It comes in bands from the top,
/// images of one width, number of channels and depth; no more than one is held at a time.
pub fn save_png_in_bands(path: &Path, height: usize, bands: impl IntoIterator<Item = Image>) -> Result<()> {
    let mut bands = bands.into_iter();
    let Some(first) = bands.next() else {
        return Err(Error::input("is an image without rows").in_file(path));
    };
    files::write_atomic_by(path, |file| {
        let mut header = first.encoder(file, height).write_header()?;
        let mut png = header.stream_writer()?;
        png.write_all(&first.big_endian())?;
        bands.try_for_each(|band| png.write_all(&band.big_endian()))?;
        Ok(png.finish()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const JPEG: &[u8] = b"\xff\xd8\xff";

    fn error(bytes: &[u8]) -> String {
        let e = Image::decode(bytes, &Limits::default()).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        e.to_string()
    }

    /// A PNG file of that header and no more data than `data`, with right checksums.
    fn png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        let mut out = PNG.to_vec();
        let mut chunk = |name: &[u8; 4], content: &[u8]| {
            out.extend((content.len() as u32).to_be_bytes());
            let body = [&name[..], content].concat();
            let mut crc = flate2::Crc::new();
            crc.update(&body);
            out.extend(body);
            out.extend(crc.sum().to_be_bytes());
        };
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        chunk(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat());
        chunk(b"IDAT", data);
        chunk(b"IEND", &[]);
        out
    }

    #[test]
    fn what_is_not_an_image_is_named() {
        assert!(error(b"").starts_with("is empty; "));
        assert!(error(b"GIF89a...").starts_with("is a GIF image, not a PNG, JPEG or WebP image; convert"));
        assert!(error(b"hello, world").starts_with("is not a PNG, JPEG or WebP image; "));
        assert!(error(PNG).contains("ends early"));
        assert!(error(JPEG).contains("ends early"));
    }

    #[test]
    fn headers_that_lie_are_refused_before_memory_is_taken() {
        assert!(error(&png(2_000_000_000, 2, b"x")).contains("sides of up to 32768"));
        assert!(error(&png(32_000, 32_000, b"x")).contains("images of up to 1536 MiB"));
        assert!(error(&png(20_000, 20_000, b"x")).contains("ends early"));
        assert!(error(&png(0, 5, b"x")).contains("PNG"), "{}", error(&png(0, 5, b"x")));
        // A baseline JPEG header of 60,000 x 60,000 pixels, and one of 20,000 x 20,000 with no data.
        let jpeg = |side: u16| {
            let [a, b] = side.to_be_bytes();
            let mut bytes = vec![0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, a, b, a, b, 3];
            bytes.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xff, 0xd9]);
            bytes
        };
        assert!(error(&jpeg(60_000)).contains("sides of up to 32768"), "{}", error(&jpeg(60_000)));
        assert!(error(&jpeg(20_000)).contains("ends early"), "{}", error(&jpeg(20_000)));
    }

    #[test]
    fn a_side_of_20_000_pixels_works() {
        let image = Image::filled(20_000, 3, [9, 8, 7]);
        assert_eq!(Image::decode(&image.encode_png().unwrap(), &Limits::default()).unwrap(), image);
    }

    #[test]
    fn bad_checksums_are_found() {
        let mut bytes = Image::filled(8, 8, [1, 2, 3]).encode_png().unwrap();
        let middle = bytes.len() - 30;
        bytes[middle] ^= 1;
        assert!(error(&bytes).contains("damaged"));
    }
}
