//! What a file says of its image before a pixel is decoded: its size, and how it was held.
//!
//! A data set of a hundred thousand files is looked at in seconds: of each the first bytes are read, segment
//! by segment, and the last.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::orientation::{Notes, SCAN};
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
    /// 1 to 8, as EXIF or XMP have it (of WebP, EXIF alone); 1 where they do not tell.
    pub orientation: u8,
}

impl Header {
    /// Looks at a file; one whose header is odd is decoded. Errors: those of [`Format::of_file`], or of
    /// decoding.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let format = Format::of_file(path)?;
        let look = || {
            let mut file = BufReader::with_capacity(1 << 12, File::open(path)?);
            match format {
                Format::Png => png(&mut file),
                Format::Jpeg => jpeg(&mut file),
                Format::WebP => webp(&mut file),
            }
        };
        if let Some(header) = look().ok().filter(|h| h.width > 0 && h.height > 0) {
            return Ok(header);
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

type Source = BufReader<File>;

fn bytes<const N: usize>(file: &mut Source) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// As many of the next n bytes as are read of a note; all n are passed.
fn block(file: &mut Source, n: u64) -> io::Result<Vec<u8>> {
    let mut block = Vec::new();
    file.take(n.min(MOST)).read_to_end(&mut block)?;
    file.seek_relative((n - block.len() as u64) as i64)?;
    Ok(block)
}

/// The size of the first chunk, IHDR, and the notes before and after the pixels, over which it leaps.
fn png(file: &mut Source) -> io::Result<Header> {
    file.seek(SeekFrom::Start(16))?;
    let [width, height] = [bytes(file)?, bytes(file)?].map(|b| u32::from_be_bytes(b) as usize);
    file.seek(SeekFrom::Start(33))?;
    let mut notes = Notes::default();
    loop {
        let length = u64::from(u32::from_be_bytes(bytes(file)?));
        match &bytes(file)? {
            b"IEND" => return Ok(Header { width, height, orientation: notes.orientation() }),
            name @ (b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt") => {
                notes.add_chunk(name, &block(file, length)?);
                file.seek_relative(4)?;
            }
            _ => file.seek_relative(length as i64 + 4)?,
        }
    }
}

/// The frame's size, and the notes before the first scan.
fn jpeg(file: &mut Source) -> io::Result<Header> {
    file.seek(SeekFrom::Start(2))?;
    let (mut size, mut notes) = (None, Notes::default());
    loop {
        // Markers may be padded with any number of 0xff; what else stands between segments is passed over.
        while bytes(file)? != [0xff] {}
        let mut marker = 0xff;
        while marker == 0xff {
            [marker] = bytes(file)?;
        }
        if matches!(marker, 0 | 1 | 0xd0..=0xd8) {
            continue;
        }
        let length = u64::from(u16::from_be_bytes(bytes(file)?).saturating_sub(2));
        match marker {
            // Frames of all kinds; 0xc4, 0xc8 and 0xcc are tables and extensions.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, h1, h0, w1, w0] = bytes(file)?;
                size = Some([[w1, w0], [h1, h0]].map(|b| usize::from(u16::from_be_bytes(b))));
                file.seek_relative(length as i64 - 5)?;
            }
            0xe1 => notes.add_segment(marker, &block(file, length)?),
            SCAN | 0xd9 => {
                let [width, height] = size.ok_or(io::ErrorKind::InvalidData)?;
                return Ok(Header { width, height, orientation: notes.orientation() });
            }
            _ => file.seek_relative(length as i64)?,
        }
    }
}

/// The size, of each of WebP's three forms, and EXIF.
fn webp(file: &mut Source) -> io::Result<Header> {
    file.seek(SeekFrom::Start(12))?;
    let form: [u8; 4] = bytes(file)?;
    let mut size = u64::from(u32::from_le_bytes(bytes(file)?));
    let two = |a: u8, b: u8| usize::from(u16::from_le_bytes([a, b])) & 0x3fff;
    let three = |b: &[u8]| 1 + (usize::from(b[0]) | usize::from(b[1]) << 8 | usize::from(b[2]) << 16);
    let (width, height) = match &form {
        b"VP8 " => {
            let b: [u8; 10] = bytes(file)?;
            (two(b[6], b[7]), two(b[8], b[9]))
        }
        b"VP8L" => {
            let b: [u8; 5] = bytes(file)?;
            let bits = u32::from_le_bytes([b[1], b[2], b[3], b[4]]);
            (1 + (bits & 0x3fff) as usize, 1 + (bits >> 14 & 0x3fff) as usize)
        }
        b"VP8X" => {
            let b: [u8; 10] = bytes(file)?;
            let mut notes = Notes::default();
            if b[0] & 8 != 0 {
                size = size.saturating_sub(10);
                let content = loop {
                    file.seek_relative((size + size % 2) as i64)?;
                    let name: [u8; 4] = bytes(file)?;
                    size = u64::from(u32::from_le_bytes(bytes(file)?));
                    if &name == b"EXIF" {
                        break block(file, size)?;
                    }
                };
                notes.exif = Some(content);
            }
            let (width, height) = (three(&b[4..7]), three(&b[7..10]));
            return Ok(Header { width, height, orientation: notes.orientation() });
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(Header { width, height, orientation: 1 })
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
        assert!(of(b"GIF89a...").unwrap_err().message().what.contains("GIF"));
        assert!(of(b"<html>not found</html>").is_err());
        // What stands behind the end is no matter where the image can be decoded.
        assert!(of(&[&image[..], b"\n"].concat()).is_ok());
    }
}
