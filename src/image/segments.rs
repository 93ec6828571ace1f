//! The walk over an image file before a pixel is decoded, segment by segment: its size, and the notes on how
//! it was held.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use byteorder::{BE, ByteOrder, LE, ReadBytesExt};

use super::format::Format;
use super::orientation::Notes;

/// The most that is read of a note on orientation.
const MOST: u64 = 1 << 20;

/// What a file in memory says of its image's orientation, as far as it is whole.
pub(super) fn notes(format: Format, file: &[u8]) -> Notes {
    let mut notes = Notes::default();
    // Where a file ends early, or holds no size, what was found before counts.
    let _ = walk(format, &mut Cursor::new(file), &mut notes);
    notes
}

/// Goes over a file until the columns and rows of its image and all that it says of their orientation are
/// known. Error: it ends before.
pub(super) fn walk(
    format: Format,
    file: &mut (impl BufRead + Seek),
    notes: &mut Notes,
) -> io::Result<[usize; 2]> {
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
        let length = u64::from(file.read_u32::<BE>()?);
        let name = bytes(file)?;
        let read = match &name {
            b"IEND" => return size.ok_or_else(|| io::ErrorKind::InvalidData.into()),
            b"IHDR" | b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" => length.min(MOST),
            _ => 0,
        };
        match (&name, &block(file, read)?[..]) {
            (b"IHDR", content) => {
                size = content.get(..8).map(|sides| [0, 4].map(|at| BE::read_u32(&sides[at..]) as usize));
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
                marker = file.read_u8().ok()?;
                at += 1;
            }
            // A zero tells a pixel's 0xff from a marker; the others stand alone: TEM, restarts, start and
            // end.
            if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd9) {
                continue;
            }
            let length = file.read_u16::<BE>().ok();
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
            // The precision, rows, columns.
            (0xc0..=0xcf, frame @ [_, _, _, _, _, ..]) => {
                size = Some([3, 1].map(|at| usize::from(BE::read_u16(&frame[at..]))));
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
    let length = u64::from(file.read_u32::<LE>()?);
    match &form {
        b"VP8 " => {
            let b: [u8; 10] = bytes(file)?;
            Ok([6, 8].map(|at| usize::from(LE::read_u16(&b[at..])) & 0x3fff))
        }
        b"VP8L" => {
            let b: [u8; 5] = bytes(file)?;
            let bits = LE::read_u32(&b[1..]);
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
                let length = u64::from(file.read_u32::<LE>()?);
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
            Ok([4, 7].map(|at| 1 + LE::read_u24(&b[at..]) as usize))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
