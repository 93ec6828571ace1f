//! What a file says of its image before a pixel is decoded: its size, and how it was held.
//!
//! A data set of a hundred thousand files is looked at in seconds: of each the first bytes are read, segment
//! by segment, and the last. Where an image is decoded, the same walk over its file finds out how it was
//! held.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::orientation::Notes;
use super::{Format, Image};
use crate::error::Result;

/// The most that is read of a note on orientation.
const MOST: u64 = 1 << 20;

/// What a file says of its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Columns as stored.
    pub width: usize,
    /// Rows as stored.
    pub height: usize,
    /// 1 to 8, as EXIF or XMP have it; 1 where they do not tell.
    pub orientation: u8,
}

impl Header {
    /// Looks at a file; one whose header is odd is decoded. Errors: those of [`Format::of_file`], or of
    /// decoding.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let format = Format::of_file(path)?;
        let mut notes = Notes::default();
        let mut look = || walk(format, &mut BufReader::with_capacity(1 << 12, File::open(path)?), &mut notes);
        if let Some([width, height]) = look().ok().filter(|[width, height]| *width > 0 && *height > 0) {
            return Ok(Header { width, height, orientation: notes.orientation() });
        }
        let (upright, orientation) = Image::open_oriented(path)?;
        let stored = upright.turned_back(orientation);
        Ok(Header { width: stored.width(), height: stored.height(), orientation })
    }

    /// Columns and rows of the upright image.
    pub fn upright_size(&self) -> [usize; 2] {
        if self.orientation >= 5 { [self.height, self.width] } else { [self.width, self.height] }
    }
}

/// What a file in memory says of its image's orientation, as far as it is whole.
pub(super) fn notes(format: Format, file: &[u8]) -> Notes {
    let mut notes = Notes::default();
    // Where a file ends early, or holds no size, what was found before counts.
    let _ = walk(format, &mut Cursor::new(file), &mut notes);
    notes
}

/// Goes over a file until the columns and rows of its image and all that it says of their orientation are
/// known. Error: it ends before.
fn walk(format: Format, file: &mut (impl BufRead + Seek), notes: &mut Notes) -> io::Result<[usize; 2]> {
    match format {
        Format::Png => png(file, notes),
        Format::Jpeg => jpeg(file, notes),
        Format::WebP => webp(file, notes),
    }
}

fn bytes<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The next n bytes. Error: there are fewer.
fn block(file: &mut impl Read, n: u64) -> io::Result<Vec<u8>> {
    let mut block = Vec::new();
    file.take(n).read_to_end(&mut block)?;
    if block.len() as u64 == n { Ok(block) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The size of the chunk IHDR, and the notes before and after the pixels, over which it leaps.
fn png(file: &mut (impl Read + Seek), notes: &mut Notes) -> io::Result<[usize; 2]> {
    file.seek(SeekFrom::Start(8))?;
    let mut size = None;
    loop {
        let length = u64::from(u32::from_be_bytes(bytes(file)?));
        let name = bytes(file)?;
        let read = match &name {
            b"IEND" => return size.ok_or_else(|| io::ErrorKind::InvalidData.into()),
            b"IHDR" | b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" => length.min(MOST),
            _ => 0,
        };
        match (&name, &block(file, read)?[..]) {
            (b"IHDR", content) => {
                let sides = content.as_chunks().0.first_chunk();
                size = sides.map(|sides| sides.map(|side| u32::from_be_bytes(side) as usize));
            }
            (_, content) => notes.add_chunk(&name, content),
        }
        // What is left of it, and its checksum.
        file.seek_relative((length - read + 4) as i64)?;
    }
}

/// The marker of a scan, whose pixels follow its segment.
pub(super) const SCAN: u8 = 0xda;

/// A marker segment of a JPEG file.
pub(super) struct Segment {
    pub marker: u8,
    /// None where the file ends in it.
    pub content: Option<Vec<u8>>,
    /// Where its marker is in the file.
    pub at: usize,
}

/// The marker segments of a JPEG file; what lies between them, such as pixels, is passed over.
pub(super) fn segments(mut file: impl BufRead) -> impl Iterator<Item = Segment> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at += file.skip_until(0xff).ok()?;
            // Markers may be padded with any number of 0xff.
            let mut marker = 0xff;
            while marker == 0xff {
                [marker] = bytes(&mut file).ok()?;
                at += 1;
            }
            // A zero tells a pixel's 0xff from a marker; the others stand alone: TEM, restarts, start and
            // end.
            if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd9) {
                continue;
            }
            let length = bytes(&mut file).map(u16::from_be_bytes).ok();
            let content = length.and_then(|n| block(&mut file, u64::from(n.checked_sub(2)?)).ok());
            let segment = Segment { marker, at: at - 2, content };
            at += 2 + segment.content.as_ref().map_or(0, Vec::len);
            return Some(segment);
        }
    })
}

/// The frame's size, and the notes before the first scan.
fn jpeg(file: &mut impl BufRead, notes: &mut Notes) -> io::Result<[usize; 2]> {
    let mut size = None;
    for Segment { marker, content, .. } in segments(file) {
        match (marker, &content.unwrap_or_default()[..]) {
            (0xc4 | 0xc8 | 0xcc, _) => {} // Tables and extensions; the others of 0xc0 to 0xcf are frames.
            (0xc0..=0xcf, &[_, h1, h0, w1, w0, ..]) => {
                size = Some([[w1, w0], [h1, h0]].map(|b| usize::from(u16::from_be_bytes(b))));
            }
            (0xe1, content) => notes.add_segment(content),
            (SCAN, _) => return size.ok_or_else(|| io::ErrorKind::InvalidData.into()),
            _ => {}
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The size, of each of WebP's three forms, and the notes, of the one that has them.
fn webp(file: &mut (impl Read + Seek), notes: &mut Notes) -> io::Result<[usize; 2]> {
    file.seek(SeekFrom::Start(12))?;
    let form: [u8; 4] = bytes(file)?;
    let size = |file: &mut _| Ok::<_, io::Error>(u64::from(u32::from_le_bytes(bytes(file)?)));
    let length = size(file)?;
    let two = |a: u8, b: u8| usize::from(u16::from_le_bytes([a, b])) & 0x3fff;
    let three = |b: &[u8]| 1 + (usize::from(b[0]) | usize::from(b[1]) << 8 | usize::from(b[2]) << 16);
    match &form {
        b"VP8 " => {
            let b: [u8; 10] = bytes(file)?;
            Ok([two(b[6], b[7]), two(b[8], b[9])])
        }
        b"VP8L" => {
            let b: [u8; 5] = bytes(file)?;
            let bits = u32::from_le_bytes([b[1], b[2], b[3], b[4]]);
            Ok([1 + (bits & 0x3fff) as usize, 1 + (bits >> 14 & 0x3fff) as usize])
        }
        b"VP8X" => {
            let b: [u8; 10] = bytes(file)?;
            const EXIF: u8 = 8;
            const XMP: u8 = 4;
            let mut wanted = b[0] & (EXIF | XMP);
            let mut rest = length.next_multiple_of(2).saturating_sub(10);
            while wanted != 0 {
                file.seek_relative(rest as i64)?;
                let name: [u8; 4] = bytes(file)?;
                let length = size(file)?;
                let found = wanted
                    & match &name {
                        b"EXIF" => EXIF,
                        b"XMP " => XMP,
                        _ => 0,
                    };
                let content = block(file, if found == 0 { 0 } else { length.min(MOST) })?;
                rest = length.next_multiple_of(2) - content.len() as u64;
                match found {
                    EXIF => notes.exif = Some(content),
                    XMP => notes.xmp = Some(content),
                    _ => {}
                }
                wanted &= !found;
            }
            Ok([three(&b[4..7]), three(&b[7..10])])
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Header> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        Header::of_file(path)
    }

    const EXIF: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";

    /// The beginning of a JPEG file, 300 x 200 pixels, turned by EXIF, between padding and other segments;
    /// and its end.
    fn jpeg() -> Vec<u8> {
        let exif = [&b"Exif\0\0"[..], EXIF].concat();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        let parts: [&[u8]; 6] = [
            b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xff\xe1",
            &length,
            &exif,
            b"\xff\xc4\0\x03x",
            b"\xff\xc2\0\x0b\x08\0\xc8\x01\x2c\x01\x01\x11\0",
            b"\xff\xda\0\x02...\xff\xd9",
        ];
        parts.concat()
    }

    #[test]
    fn sizes_and_orientations_are_read_of_each_format() {
        let image = Image::filled(30, 20, [1, 2, 3]).encode_png().unwrap();
        assert_eq!(of(&image).unwrap(), Header { width: 30, height: 20, orientation: 1 });
        let chunk = [&(EXIF.len() as u32).to_be_bytes()[..], b"eXIf", EXIF, b"...."].concat();
        for place in [33, image.len() - 12] {
            let turned = of(&[&image[..place], &chunk, &image[place..]].concat()).unwrap();
            assert_eq!((turned.orientation, turned.upright_size()), (6, [20, 30]));
        }
        assert_eq!(of(&jpeg()).unwrap(), Header { width: 300, height: 200, orientation: 6 });
        let lossy = b"RIFF\x1a\0\0\0WEBPVP8 \x0e\0\0\0\x30\x01\x00\x9d\x01\x2a\x2c\x01\xc8\0\0\0\0\0";
        assert_eq!(of(lossy).unwrap(), Header { width: 300, height: 200, orientation: 1 });
        let lossless = b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0\x2f\x2b\xc1\x31\0\0";
        assert_eq!(of(lossless).unwrap(), Header { width: 300, height: 200, orientation: 1 });
        let parts: [&[u8]; 3] =
            [b"RIFF\x38\0\0\0WEBPVP8X\x0a\0\0\0\x08\0\0\0\x2b\x01\0\xc7\0\0", b"EXIF\x1a\0\0\0", EXIF];
        assert!(of(&parts.concat()).is_err(), "it is shorter than it says");
        let header = of(&[&parts.concat()[..], &[0; 4]].concat()).unwrap();
        assert_eq!(header, Header { width: 300, height: 200, orientation: 6 });
        // XMP behind another chunk of odd length.
        let xmp = b"<x tiff:Orientation=\"8\"/>";
        let parts: [&[u8]; 4] = [
            b"RIFF\x3f\0\0\0WEBPVP8X\x0a\0\0\0\x04\0\0\0\x2b\x01\0\xc7\0\0",
            b"EXIF\x01\0\0\0.\0XMP ",
            &(xmp.len() as u32).to_le_bytes(),
            xmp,
        ];
        assert_eq!(of(&parts.concat()).unwrap(), Header { width: 300, height: 200, orientation: 8 });
    }

    #[test]
    fn a_file_that_is_cut_or_no_image_is_found() {
        let image = Image::filled(30, 20, [1, 2, 3]).encode_png().unwrap();
        for cut in (0..image.len()).map(|end| &image[..end]) {
            let can_be_read = Image::decode(cut, &crate::image::Limits::default()).is_ok();
            assert_eq!(of(cut).is_ok(), can_be_read, "{} of {} bytes", cut.len(), image.len());
        }
        for end in 0..jpeg().len() {
            assert!(of(&jpeg()[..end]).is_err(), "{end} of {} bytes", jpeg().len());
        }
        // A frame, and the end without a scan.
        let frame = jpeg().windows(2).position(|w| w == b"\xff\xda").unwrap();
        assert!(of(&[&jpeg()[..frame], b"\xff\xd9"].concat()).is_err());
        assert!(of(b"GIF89a...").unwrap_err().message().what.contains("GIF"));
        assert!(of(b"<html>not found</html>").is_err());
        // What stands behind the end is no matter where the image can be decoded.
        assert!(of(&[&image[..], b"\n"].concat()).is_ok());
    }
}
