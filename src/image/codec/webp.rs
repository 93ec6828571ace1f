//! WebP: lossy and lossless, with and without alpha.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::error::Result;
use crate::image::format::{Limits, damaged, truncated};
use crate::image::raster::Image;
use gradus_core::memory;

/// The image of a WebP file as it is stored, or the first picture of an animated one, RGB or RGBA.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let error = |e: DecodingError| match e {
        DecodingError::IoError(_) => truncated(),
        e => damaged("WebP", e),
    };
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(error)?;
    // Metadata are within the file; a chunk that claims more is a lie.
    decoder.set_memory_limit(bytes.len());
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    limits.check(width, height, channels)?;
    let mut samples = memory::filled("the pixels", 0, width * height * channels);
    decoder.read_image(&mut samples).map_err(error)?;
    Ok(Image::from_u8(width, height, channels, samples))
}
