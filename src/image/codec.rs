//! PNG, JPEG and WebP files, told apart by their content: decoded, looked at, and PNG encoded.

mod jpeg;
mod png;
mod webp;

use std::borrow::Cow;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use byteorder::{BE, ByteOrder, LE};

use super::format::{Format, Limits, START};
use super::raster::{Image, Samples};
use super::segments;
use crate::error::{Error, Result};
use crate::files;
use crate::interrupt;

/// What ends a PNG file, without the checksum: an empty last chunk.
const PNG_END: &[u8] = b"\0\0\0\0IEND";
const JPEG_END: &[u8] = b"\xff\xd9";

impl Format {
    /// Tells a file by its first bytes and looks whether it ends as such files do, which takes microseconds;
    /// where it does not, it is decoded. Error: it is no image, or one that was cut off.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut file = files::open(path)?;
        let mut ends = || -> io::Result<(Vec<u8>, Vec<u8>, u64)> {
            let (mut first, mut last) = (Vec::new(), Vec::new());
            Read::by_ref(&mut file).take(START as u64).read_to_end(&mut first)?;
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(length.saturating_sub(12)))?;
            Read::by_ref(&mut file).take(12).read_to_end(&mut last)?;
            Ok((first, last, length))
        };
        let (first, last, length) = ends().map_err(|e| Error::read(path, &e))?;
        let format = Format::of(&first).map_err(|e| e.in_file(path))?;
        let whole = match format {
            Format::Png => last.starts_with(PNG_END),
            Format::Jpeg => last.ends_with(JPEG_END),
            // A RIFF file tells how many bytes follow the first eight.
            Format::WebP => first.get(4..8).is_some_and(|n| 8 + u64::from(LE::read_u32(n)) <= length),
        };
        if !whole {
            Image::open(path)?;
        }
        Ok(format)
    }
}

impl Image {
    /// Reads a PNG, JPEG or WebP file; whatever its name, its content decides. Its orientation is applied.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::open_oriented(path)?.0)
    }

    /// [`Image::open`], and the orientation (1 to 8) that was applied.
    pub fn open_oriented(path: impl AsRef<Path>) -> Result<(Self, u8)> {
        let limits = Limits::default();
        let bytes = files::read(&path, limits.file)?;
        let (stored, orientation) = decode_stored(&bytes, &limits).map_err(|e| e.in_file(path))?;
        Ok((stored.upright(orientation), orientation))
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
        self.encoder(&mut out, self.height())
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
        let mut encoder = ::png::Encoder::new(out, self.width() as u32, height as u32);
        encoder.set_color(match self.channels() {
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
        match self.samples() {
            Samples::U8(v) => v.into(),
            Samples::U16(v) => {
                let mut bytes = vec![0; 2 * v.len()];
                BE::write_u16_into(v, &mut bytes);
                bytes.into()
            }
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
    Ok((image, segments::notes(format, bytes).orientation()))
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
        bands.try_for_each(|band| match interrupt::requested() {
            true => Err(io::Error::other("interrupted")),
            false => png.write_all(&band.big_endian()),
        })?;
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

    /// A PNG file of these chunks, with right checksums.
    fn of_chunks(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut out = PNG.to_vec();
        for (name, content) in chunks {
            out.extend((content.len() as u32).to_be_bytes());
            let body = [&name[..], content].concat();
            let mut crc = flate2::Crc::new();
            crc.update(&body);
            out.extend(body);
            out.extend(crc.sum().to_be_bytes());
        }
        out
    }

    /// A PNG file of that header and no more data than `data`.
    fn png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        let header = [&size[..], &[8, 2, 0, 0, 0]].concat();
        of_chunks(&[(b"IHDR", &header), (b"IDAT", data), (b"IEND", &[])])
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
        assert!(error(&png(32_000, 32_000, b"x")).contains("up to 1536 MiB are taken"));
        assert!(error(&png(20_000, 20_000, b"x")).contains("ends early"));
        assert!(error(&png(0, 5, b"x")).contains("PNG"), "{}", error(&png(0, 5, b"x")));
        // A baseline JPEG header of 60,000 x 60,000 pixels, and smaller ones with no data.
        let jpeg = |side: u16| {
            let [a, b] = side.to_be_bytes();
            let mut bytes = vec![0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, a, b, a, b, 3];
            bytes.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xff, 0xd9]);
            bytes
        };
        assert!(error(&jpeg(60_000)).contains("sides of up to 32768"), "{}", error(&jpeg(60_000)));
        assert!(error(&jpeg(20_000)).contains("which take 3433 MiB"), "{}", error(&jpeg(20_000)));
        assert!(error(&jpeg(13_000)).contains("ends early"), "{}", error(&jpeg(13_000)));
    }

    #[test]
    fn a_palette_is_whole() {
        // A pixel of color 0, stored.
        let pixel = b"\x78\x01\x01\x02\0\xfd\xff\0\0\0\x02\0\x01";
        let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0];
        let of =
            |palette| of_chunks(&[(b"IHDR", &header), (b"PLTE", palette), (b"IDAT", pixel), (b"IEND", &[])]);
        let image = Image::decode(&of(b"abcdef"), &Limits::default()).unwrap();
        assert_eq!(image.as_u8(), b"abc");
        for palette in ["abcd", "abcde"] {
            let error = error(&of(palette.as_bytes()));
            assert!(error.contains("its palette ends within a colour"), "{palette}: {error}");
        }
        // The decoder sees to palettes of no colour, and of too many.
        assert!([&[7; 1][..], &[7; 3 * 257]].iter().all(|palette| error(&of(palette)).contains("damaged")));
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
