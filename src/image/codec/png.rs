//! PNG: every colour type and depth.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};
use byteorder::{BE, ByteOrder};

use crate::error::Result;
use crate::image::format::{Limits, damaged, truncated};
use crate::image::raster::{Image, Samples};
use gradus_core::memory;

/// Deflate unpacks a byte to at most so many.
const DEFLATE: u128 = 1032;

/// The image of a PNG file as it is stored, or the first picture of an animated one.
/// Checksums are held to: those of the chunks that matter (CRC) and that of the pixels (Adler-32).
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let error = |e: DecodingError| match e {
        DecodingError::IoError(_) => truncated(),
        DecodingError::LimitsExceeded => damaged("PNG", "its chunks are too large"),
        e => damaged("PNG", in_words(&e.to_string())),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), ::png::Limits { bytes: limits.bytes });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.ignore_checksums(false);
    let header = decoder.read_header_info().map_err(error)?;
    let (width, height) = (header.width as usize, header.height as usize);
    // Palettes may expand to RGBA.
    let most = 4 * if header.bit_depth == BitDepth::Sixteen { 2 } else { 1 };
    let stored = match header.color_type {
        ColorType::Indexed => most,
        color => color.samples() * most / 4,
    };
    limits.check(width, height, stored)?;
    if header.raw_bytes() as u128 > bytes.len() as u128 * DEFLATE {
        return Err(truncated());
    }
    let mut reader = decoder.read_info().map_err(error)?;
    // The decoder takes the last colour to be whole, and panics where it is not.
    let info = reader.info();
    let cut = info.palette.as_ref().is_some_and(|palette| !palette.len().is_multiple_of(3));
    if info.color_type == ColorType::Indexed && cut {
        return Err(damaged("PNG", "its palette ends within a colour"));
    }
    let size = reader.output_buffer_size().ok_or_else(|| damaged("PNG", "its size overflows"))?;
    let (color, depth) = reader.output_color_type();
    let samples = if depth == BitDepth::Sixteen {
        // In place: a copy would double the memory.
        let mut samples = memory::filled("the pixels", 0u16, size / 2);
        reader.next_frame(bytemuck::cast_slice_mut(&mut samples)).map_err(error)?;
        BE::from_slice_u16(&mut samples);
        Samples::U16(samples)
    } else {
        let mut samples = memory::filled("the pixels", 0, size);
        reader.next_frame(&mut samples).map_err(error)?;
        Samples::U8(samples)
    };
    Ok(Image::new(width, height, color.samples(), samples))
}

/// What the decoder says, without the names of its own types.
fn in_words(error: &str) -> &str {
    if error.starts_with("CRC error") || error.contains("WrongChecksum") {
        "a checksum is wrong"
    } else if error.contains('{') {
        "its chunks are out of order or damaged"
    } else {
        error
    }
}
