//! WebP: lossy and lossless, with and without alpha.
//!
//! The decoder, `image-webp`, makes room for a lossy frame by what that says of itself, and decodes all of
//! it, before it is compared with the image that it is a part of; where it has an alpha channel in an
//! animation, it is not compared at all. So this is done here first.

use std::io::Cursor;

use byteorder::{ByteOrder, LE};
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
    // Beside the image, four bytes a pixel of a lossless one; planes, colours and the alpha of a lossy one.
    let own = if decoder.is_lossy() && decoder.has_alpha() { 7 } else { 4 };
    limits.check(width, height, channels + own)?;
    if lossy_frames(bytes, [width, height]).any(|(own, place)| own != place) {
        return Err(damaged("WebP", "a frame is not as large as its place"));
    }
    let mut samples = memory::filled("the pixels", 0, width * height * channels);
    decoder.read_image(&mut samples).map_err(error)?;
    Ok(Image::from_u8(width, height, channels, samples))
}

/// The columns and rows of each lossy frame, and those of its place: the image of the file, or a frame of an
/// animation. What stands there behind the alpha channel is decoded whatever it is called.
fn lossy_frames(file: &[u8], image: [usize; 2]) -> impl Iterator<Item = ([usize; 2], [usize; 2])> {
    let all = chunks(file, 12).flat_map(move |(name, content)| {
        // A frame of an animation has its place in front.
        let place = content.get(..12).filter(|_| name == b"ANMF");
        let sides = place.map(|place| [6, 9].map(|at| LE::read_u24(&place[at..]) as usize + 1));
        let inside = chunks(if sides.is_some() { content } else { &[] }, 16);
        inside.map(move |(_, inner)| (inner, sides.unwrap_or(image))).chain([(content, image)])
    });
    all.filter_map(|(content, place)| {
        let head = content.get(..10).filter(|head| head[3..6] == *b"\x9d\x01\x2a")?;
        Some(([6, 8].map(|at| usize::from(LE::read_u16(&head[at..])) & 0x3fff), place))
    })
}

/// The chunks from a place on: name and content, as far as it is there.
fn chunks(bytes: &[u8], start: usize) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut left = bytes.get(start..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (name, rest) = left.split_first_chunk()?;
        let (length, rest) = rest.split_at_checked(4)?;
        let length = LE::read_u32(length) as usize;
        left = rest.get(length.checked_next_multiple_of(2)?..).unwrap_or_default();
        Some((name, &rest[..length.min(rest.len())]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        [name, &(content.len() as u32).to_le_bytes(), content].concat()
    }

    /// A file of 11 x 9 pixels with this in it.
    fn extended(flags: u8, content: &[u8]) -> Vec<u8> {
        let head = chunk(b"VP8X", &[flags, 0, 0, 0, 10, 0, 0, 8, 0, 0]);
        chunk(b"RIFF", &[b"WEBP", &head[..], content].concat())
    }

    #[test]
    fn a_frame_is_as_large_as_its_place() {
        let frame = |width: u16, height: u16| {
            [b"\x30\x01\0\x9d\x01\x2a", &width.to_le_bytes()[..], &height.to_le_bytes(), &[0; 4]].concat()
        };
        let told = |file: &[u8]| decode(file, &Limits::default()).unwrap_err().to_string();
        let of_animation = |chunks: &[u8]| {
            let place = [0, 0, 0, 0, 0, 0, 10, 0, 0, 8, 0, 0, 100, 0, 0, 0];
            let frames = chunk(b"ANMF", &[&place[..], chunks].concat());
            extended(2, &[chunk(b"ANIM", &[0; 6]), frames].concat())
        };
        for (width, height, other) in
            [(11, 9, false), (0x3fff, 9, true), (11, 10, true), (11, 0, true), (10, 9, true)]
        {
            let frame = frame(width, height);
            for file in [
                extended(0, &chunk(b"VP8 ", &frame)),
                of_animation(&chunk(b"VP8 ", &frame)),
                of_animation(&[chunk(b"ALPH", &[0; 100]), chunk(b"????", &frame)].concat()),
            ] {
                let told = told(&file);
                assert_eq!(told.contains("a frame is not as large as its place"), other, "{told}");
            }
        }
    }
}
