//! JPEG: baseline, extended and progressive; gray, RGB, YCbCr, CMYK and YCCK.
//!
//! The decoder is `jpeg-decoder`. Its vector code for x86 (SSSE3) rounds otherwise than its scalar code: of
//! 110 photographs 4 to 5 % of the samples differ, by up to 3. So its feature `platform_independent` is
//! taken, which runs the scalar code on every processor: a picture is a function of its file. That decodes 60
//! to 70 million samples a second, half as many as SSSE3, and is nearer to libjpeg: 0.6 % of the samples
//! differ where colours are stored at full resolution, and 3.7 % where they are stored at half (of SSSE3's
//! 4.6 and 7 %, of `zune-jpeg` 0.5's 0.8 and 13 %, by up to 15).
//!
//! A file may lack its end marker and be whole otherwise. Whether it is, only its decoding tells: each code
//! and coefficient is there if it makes no difference whether zeros or ones follow the file. No code of a
//! sound table is all ones, so that a missing block is found by the second.

use std::hash::{DefaultHasher, Hasher};
use std::io::Read;

use byteorder::{ByteOrder, NativeEndian};
use jpeg_decoder::{CodingProcess, Decoder, Error as E, PixelFormat as P};

use crate::error::{Error, Result};
use crate::image::format::{Limits, damaged, truncated};
use crate::image::raster::Image;
use crate::image::segments::{SCAN, segments};
use gradus_core::memory;

/// The end of a file, behind ones: a byte of them is followed by a zero, which tells it from a marker.
const ONES: [u8; 34] = {
    let mut ones = [0; 34];
    let mut i = 0;
    while i < 34 {
        ones[i] = if i % 2 == 0 { 0xff } else { 0 };
        i += 1;
    }
    ones[33] = END[1];
    ones
};
const END: [u8; 2] = [0xff, 0xd9];
/// Scans of a file. Encoders write some ten; each is a pass over all blocks, however few bytes it has.
const MOST_SCANS: usize = 100;

/// The image of a JPEG file as it is stored. CMYK becomes RGB without a colour profile.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let mut decoder = decoder(bytes, limits);
    decoder.read_info().map_err(error)?;
    let info = decoder.info().ok_or_else(truncated)?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    // Planes, the image, and a row of blocks or all coefficients.
    let times = if info.coding_process == CodingProcess::DctProgressive { 5 } else { 3 };
    let each = times * info.pixel_format.pixel_bytes();
    limits.check(width, height, each)?;
    if width.div_ceil(8) * height.div_ceil(8) > bytes.len() * 8 {
        return Err(truncated());
    }
    if segments(bytes).filter(|s| s.marker == SCAN).nth(MOST_SCANS).is_some() {
        return Err(damaged("JPEG", format!("it has more than {MOST_SCANS} scans")));
    }
    // The decoder ends the process where it finds no memory. What is asked for and not touched costs nothing.
    drop(memory::room::<u8>("the image", each * width * height));
    let data = match decoder.decode() {
        Err(E::Io(_)) => {
            // With the coefficients that it holds.
            drop(decoder);
            without_its_end(bytes, limits)?
        }
        decoded => decoded.map_err(error)?,
    };
    if data.len() != width * height * info.pixel_format.pixel_bytes() {
        // Lossless ones may have up to 16 bits, which the decoder tells of gray alone.
        return Err(damaged("JPEG", "its colours have more than 8 bits"));
    }
    Ok(match info.pixel_format {
        format @ (P::L8 | P::RGB24) => Image::from_u8(width, height, format.pixel_bytes(), data),
        P::CMYK32 => Image::from_u8(width, height, 3, data.chunks_exact(4).flat_map(rgb_of_cmyk).collect()),
        P::L16 => {
            let mut samples = memory::filled("the pixels", 0, data.len() / 2);
            NativeEndian::read_u16_into(&data, &mut samples);
            Image::from_u16(width, height, 1, samples)
        }
    })
}

fn decoder<R: Read>(file: R, limits: &Limits) -> Decoder<R> {
    let mut decoder = Decoder::new(file);
    decoder.set_max_decoding_buffer_size(limits.bytes);
    decoder
}

fn error(e: E) -> Error {
    match e {
        E::Io(_) => truncated(),
        e => damaged("JPEG", e),
    }
}

/// The samples of a file that lacks its end marker and nothing else. Of the first decoding a hash is kept, so
/// that the second has the memory to itself. Error: it lacks more.
fn without_its_end(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    // Half of the marker may be there, or a segment that was cut off in its place.
    let cut = segments(bytes).find(|s| s.content.is_none()).map_or(bytes.len(), |s| s.at);
    let kept = bytes[..cut].iter().rposition(|&b| b != 0xff).map_or(0, |last| last + 1);
    let followed_by =
        |end: &[u8]| decoder(bytes[..kept].chain(end), limits).decode().map_err(|_| truncated());
    if !every_coefficient_is_sent(bytes) {
        return Err(truncated());
    }
    let hash = |samples: &[u8]| {
        let mut hasher = DefaultHasher::new();
        hasher.write(samples);
        hasher.finish()
    };
    let first = hash(&followed_by(&END)?);
    let data = followed_by(&ONES)?;
    if hash(&data) == first { Ok(data) } else { Err(truncated()) }
}

/// Do the scans bring each of the 64 coefficients of each component down to its last bit? A progressive file
/// that ends between two of its scans is no whole one.
fn every_coefficient_is_sent(file: &[u8]) -> bool {
    let mut components = 0;
    let mut sent = [0u64; 256];
    for segment in segments(file) {
        match (segment.marker, &segment.content.unwrap_or_default()[..]) {
            (0xc0..=0xc2, [_, _, _, _, _, n, ..]) => components = usize::from(*n),
            (SCAN, [n, rest @ ..]) => {
                let Some((of, [first, last, bits])) = rest.split_at_checked(2 * usize::from(*n)) else {
                    return false;
                };
                let all = |k: u8| u64::MAX >> (63 - k.min(63));
                // The low four bits say how many of a coefficient's are still to come.
                let now = if bits & 15 == 0 { all(*last) & !(all(*first) >> 1) } else { 0 };
                of.chunks_exact(2).for_each(|component| sent[usize::from(component[0])] |= now);
            }
            _ => {}
        }
    }
    components > 0 && sent.iter().filter(|&&sent| sent == u64::MAX).count() == components
}

/// Light is what the ink and the black leave: (1 - ink)(1 - black), without a color profile.
fn rgb_of_cmyk(ink: &[u8]) -> [u8; 3] {
    let light = |i: usize| (u32::from(255 - ink[i]) * u32::from(255 - ink[3]) + 127) / 255;
    [light(0) as u8, light(1) as u8, light(2) as u8]
}
