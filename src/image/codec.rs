//! PNG and JPEG, told apart by their content.
//!
//! Before anything is allocated, the header's size is held against [`Limits`] and against the file's length: a
//! PNG byte unpacks to at most 1,032 bytes (deflate's bound), and each 8x8 block of a JPEG takes at least one bit.

use std::io::Cursor;
use std::path::Path;

use super::{Image, Samples};
use crate::error::{Error, Result};
use crate::files;
use gradus_models::checkpoint::looks;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";
/// Bytes that tell what another file is.
const START: usize = 4096;

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
    /// Sides to 32,768 pixels, 1.5 GiB of samples (20,000 x 20,000 RGB fits), files to 256 MiB. While a JPEG is decoded
    /// it takes up to two and a half times its samples.
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
    /// Reads a PNG or JPEG file; whatever its name, its content decides. EXIF's orientation is applied.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Limits::default())
    }

    /// [`Image::open`] with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let bytes = files::read(&path, limits.file)?;
        Self::decode(&bytes, limits).map_err(|e| e.in_file(path))
    }

    /// Decodes a PNG or JPEG file's content. EXIF's orientation is applied.
    ///
    /// PNG keeps its channels and depth: palettes become RGB (RGBA where an entry is transparent), 1, 2 and 4
    /// bits become 8. JPEG becomes gray or RGB; CMYK is converted without a color profile.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self> {
        if bytes.starts_with(PNG) {
            return decode_png(bytes, limits);
        }
        if bytes.starts_with(JPEG) {
            return decode_jpeg(bytes, limits);
        }
        let what = match looks(&bytes[..bytes.len().min(START)]) {
            _ if bytes.is_empty() => "is empty".to_string(),
            Some(looks) => format!("is {}, not a PNG or JPEG image", looks.what),
            None => "is not a PNG or JPEG image".to_string(),
        };
        Err(Error::input(what).remedy("give a PNG or JPEG image"))
    }

    /// The PNG file of this image; every depth and number of channels.
    pub fn encode_png(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width as u32, self.height as u32);
        encoder.set_color(match self.channels {
            1 => png::ColorType::Grayscale,
            2 => png::ColorType::GrayscaleAlpha,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        encoder.set_depth(if self.depth() == 8 { png::BitDepth::Eight } else { png::BitDepth::Sixteen });
        let deep: Vec<u8>;
        let data = match &self.samples {
            Samples::U8(v) => v,
            Samples::U16(v) => {
                deep = v.iter().flat_map(|s| s.to_be_bytes()).collect();
                &deep
            }
        };
        encoder
            .write_header()
            .and_then(|mut w| w.write_image_data(data).and_then(|()| w.finish()))
            .map_err(|e| Error::failure(format!("the image cannot be encoded as PNG: {e}")))?;
        Ok(out)
    }

    /// Writes a PNG file, as a whole or not at all.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_atomic(path, &self.encode_png()?)
    }
}

fn decode_png(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let error = |e: png::DecodingError| match e {
        png::DecodingError::IoError(_) => truncated(),
        png::DecodingError::LimitsExceeded => damaged("PNG", "its chunks are too large"),
        e => damaged("PNG", e),
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: limits.bytes });
    decoder.set_transformations(png::Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(error)?;
    let (width, height) = (header.width as usize, header.height as usize);
    // Palettes may expand to RGBA.
    let most = 4 * if header.bit_depth == png::BitDepth::Sixteen { 2 } else { 1 };
    let stored = match header.color_type {
        png::ColorType::Indexed => most,
        color => color.samples() * most / 4,
    };
    limits.check(width, height, stored)?;
    let packed = header.raw_bytes() as u128;
    if packed > bytes.len() as u128 * 1032 {
        return Err(truncated());
    }
    let mut reader = decoder.read_info().map_err(error)?;
    let mut data = vec![0; reader.output_buffer_size().ok_or_else(|| damaged("PNG", "its size overflows"))?];
    let frame = reader.next_frame(&mut data).map_err(error)?;
    let (color, depth) = reader.output_color_type();
    data.truncate(frame.buffer_size());
    let samples = match depth {
        png::BitDepth::Sixteen => {
            Samples::U16(data.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect())
        }
        _ => Samples::U8(data),
    };
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, orientation);
    Ok(Image { width, height, channels: color.samples(), samples }.upright(orientation))
}

fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<Image> {
    use jpeg_decoder::{Error as E, PixelFormat as P};
    let error = |e: E| match e {
        E::Io(_) => truncated(),
        e => damaged("JPEG", e),
    };
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(limits.bytes);
    decoder.read_info().map_err(error)?;
    let info = decoder.info().ok_or_else(truncated)?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    limits.check(width, height, info.pixel_format.pixel_bytes())?;
    if width.div_ceil(8) * height.div_ceil(8) > bytes.len() * 8 {
        return Err(truncated());
    }
    let data = decoder.decode().map_err(error)?;
    let image = match info.pixel_format {
        P::L8 => Image::from_u8(width, height, 1, data),
        P::RGB24 => Image::from_u8(width, height, 3, data),
        P::CMYK32 => Image::from_u8(width, height, 3, data.chunks_exact(4).flat_map(rgb_of_cmyk).collect()),
        P::L16 => {
            let samples = data.chunks_exact(2).map(|b| u16::from_ne_bytes([b[0], b[1]])).collect();
            Image::from_u16(width, height, 1, samples)
        }
    };
    Ok(image.upright(decoder.exif_data().map_or(1, orientation)))
}

/// Light is what the ink and the black leave: (1 - ink)(1 - black), without a color profile.
fn rgb_of_cmyk(ink: &[u8]) -> [u8; 3] {
    let light = |i: usize| (u32::from(255 - ink[i]) * u32::from(255 - ink[3]) + 127) / 255;
    [light(0) as u8, light(1) as u8, light(2) as u8]
}

/// EXIF's orientation (tag 0x0112 of the first directory of a TIFF block): 1 to 8, and 1 where there is none.
fn orientation(tiff: &[u8]) -> u8 {
    let find = || {
        let little = match tiff.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let number = |at: usize, size: usize| {
            let field = tiff.get(at..at.checked_add(size)?)?;
            let fold = |n, &b: &u8| n << 8 | usize::from(b);
            Some(if little { field.iter().rev().fold(0, fold) } else { field.iter().fold(0, fold) })
        };
        let directory = number(4, 4)?;
        let entries = number(directory, 2)?;
        let entry = (0..entries).map(|i| directory + 2 + 12 * i).find(|&e| number(e, 2) == Some(0x0112))?;
        number(entry + 8, 2)
    };
    match find() {
        Some(o @ 1..=8) => o as u8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(error(b"GIF89a...").starts_with("is a GIF image, not a PNG or JPEG image; "));
        assert!(error(b"hello, world").starts_with("is not a PNG or JPEG image; "));
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

    #[test]
    fn orientation_is_found_in_either_byte_order_and_lies_are_harmless() {
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!((orientation(little), orientation(big)), (6, 8));
        for cut in 0..little.len() {
            assert!((1..=8).contains(&orientation(&little[..cut])));
        }
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), 1);
    }
}
