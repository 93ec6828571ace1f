//! What a file says of its image before a pixel is decoded: its size, and how it was held.
//!
//! A data set of a hundred thousand files is looked at in seconds: of each the first bytes are read, segment
//! by segment, and the last.

use std::io::BufReader;
use std::path::Path;

use super::format::Format;
use super::orientation::Notes;
use super::raster::Image;
use super::segments::walk;
use crate::error::Result;
use crate::files;

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
        let mut file = BufReader::with_capacity(1 << 12, files::open(path)?);
        let mut look = || walk(format, &mut file, &mut notes);
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
