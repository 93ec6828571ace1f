//! Which way up a picture is: EXIF's orientation, or else XMP's.
//!
//! Cameras store what their sensor saw and note how it was held: tag 0x0112 of the first directory of a TIFF
//! block (EXIF), or the property `tiff:Orientation` of an XML packet (XMP). EXIF counts where it has the tag;
//! where each of PNG, JPEG and WebP keep the two, and which of several counts, is as in Pillow's
//! `ImageOps.exif_transpose`.

use std::io::Read;

use byteorder::{BE, ByteOrder, LE};

/// What one text of a PNG file may unpack to, and all of them together.
const TEXT: u64 = 1 << 20;
const TEXTS: u64 = 1 << 26;

/// What a file says of its picture's orientation.
#[derive(Default)]
pub(super) struct Notes {
    /// A TIFF block.
    pub exif: Option<Vec<u8>>,
    /// The same in hexadecimal, as ImageMagick writes it in PNG files.
    pub raw_profile: Option<Vec<u8>>,
    /// An XML packet.
    pub xmp: Option<Vec<u8>>,
    /// What has been unpacked so far.
    pub unpacked: u64,
}

impl Notes {
    /// A chunk of a PNG file: `eXIf` counts, and the texts `Raw profile type exif` and `XML:com.adobe.xmp`.
    pub fn add_chunk(&mut self, name: &[u8; 4], content: &[u8]) {
        if name == b"eXIf" {
            self.exif = Some(content.to_vec());
        }
        let Some((keyword, content)) = split_at_zero(content) else { return };
        if !matches!(keyword, b"Raw profile type exif" | b"XML:com.adobe.xmp") {
            return;
        }
        let text = match (name, content) {
            (b"tEXt", text) => Some(text.to_vec()),
            (b"zTXt", [0, packed @ ..]) => self.inflate(packed),
            // A compression flag and method, a language, the keyword translated, the text.
            (b"iTXt", [flag, _, texts @ ..]) => {
                let text =
                    split_at_zero(texts).and_then(|(_, texts)| split_at_zero(texts)).map(|(_, text)| text);
                if *flag == 0 { text.map(<[u8]>::to_vec) } else { text.and_then(|t| self.inflate(t)) }
            }
            _ => None,
        };
        let place = if keyword.starts_with(b"Raw") { &mut self.raw_profile } else { &mut self.xmp };
        if text.is_some() {
            *place = text;
        }
    }

    fn inflate(&mut self, packed: &[u8]) -> Option<Vec<u8>> {
        let (mut text, left) = (Vec::new(), TEXTS - self.unpacked.min(TEXTS));
        let unpacked = flate2::read::ZlibDecoder::new(packed).take(TEXT.min(left)).read_to_end(&mut text);
        self.unpacked += text.len() as u64;
        unpacked.ok().map(|_| text)
    }

    /// A segment APP1 of a JPEG file, with XMP or EXIF, of which several are one in pieces.
    pub fn add_segment(&mut self, content: &[u8]) {
        if let Some(piece) = content.strip_prefix(b"Exif\0\0") {
            self.exif.get_or_insert_default().extend(piece);
        } else if let Some(packet) = content.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            self.xmp = Some(packet.to_vec());
        }
    }

    /// 1 to 8 of the EXIF standard; 1 where nothing sound is said.
    pub fn orientation(&self) -> u8 {
        let in_exif = match (&self.exif, &self.raw_profile) {
            (Some(exif), _) => in_tiff(exif),
            (None, Some(digits)) => from_hexadecimal(digits).and_then(|exif| in_tiff(&exif)),
            (None, None) => None,
        };
        let said = in_exif.or_else(|| in_xml(self.xmp.as_deref()?));
        said.filter(|o| (1..=8).contains(o)).unwrap_or(1)
    }
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The bytes of a raw profile: an empty line, the profile's name, its length, and its digits.
fn from_hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n').skip(3);
    let digits: Option<Vec<u8>> =
        lines.flatten().map(|&b| char::from(b).to_digit(16).map(|d| d as u8)).collect();
    Some(digits?.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Tag 0x0112 of the first directory of a TIFF block, which may bear EXIF's name once more. The last of
/// several counts.
fn in_tiff(mut tiff: &[u8]) -> Option<u8> {
    while let Some(rest) = tiff.strip_prefix(b"Exif\0\0") {
        tiff = rest;
    }
    match tiff.get(..4)? {
        b"II*\0" => in_directory::<LE>(tiff),
        b"MM\0*" => in_directory::<BE>(tiff),
        _ => None,
    }
}

/// [`in_tiff`], in one order of bytes.
fn in_directory<B: ByteOrder>(tiff: &[u8]) -> Option<u8> {
    let number =
        |at: usize, size: usize| Some(B::read_uint(tiff.get(at..at.checked_add(size)?)?, size) as usize);
    let directory = number(4, 4)?;
    let entries = number(directory, 2)?;
    let whole = (0..entries).map(|i| directory + 2 + 12 * i).take_while(|&e| e + 12 <= tiff.len());
    let entry = whole.filter(|&e| number(e, 2) == Some(0x0112)).last()?;
    // One number of one, two or four bytes; they stand at the field's beginning.
    let size = match (number(entry + 2, 2)?, number(entry + 4, 4)?) {
        (1, 1) => 1,
        (3, 1) => 2,
        (4, 1) => 4,
        _ => return None,
    };
    number(entry + 8, size)?.try_into().ok()
}

/// The digit of `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
fn in_xml(packet: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = packet;
    while let Some(at) = rest.windows(NAME.len()).position(|w| w == NAME) {
        rest = &rest[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"));
        if let Some(&[digit @ b'0'..=b'9', ..]) = value {
            return Some(digit - b'0');
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::segments::{SCAN, notes};
    use super::*;
    use crate::image::format::Format;

    const LITTLE: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";

    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let chunk = |(name, content): &(&[u8; 4], &[u8])| {
            [&(content.len() as u32).to_be_bytes()[..], &name[..], content, b"crc!"].concat()
        };
        [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.iter().flat_map(chunk).collect()].concat()
    }

    #[test]
    fn exif_is_read_in_either_byte_order_and_width_and_lies_are_harmless() {
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        let long = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x05";
        assert_eq!((in_tiff(LITTLE), in_tiff(big), in_tiff(long)), (Some(6), Some(8), Some(5)));
        assert_eq!(in_tiff(&[b"Exif\0\0", LITTLE].concat()), Some(6));
        for cut in 0..LITTLE.len() {
            assert_eq!(in_tiff(&LITTLE[..cut]), None);
        }
        assert_eq!(in_tiff(b"II*\0\xff\xff\xff\xff"), None);
        // Two numbers are no orientation.
        assert_eq!(in_tiff(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x02\0\0\0\x06\0\x06\0"), None);
    }

    #[test]
    fn png_files_keep_it_in_chunks_before_and_after_the_pixels() {
        let xml: &[u8] = b"XML:com.adobe.xmp\0\0\0\0\0<a><tiff:Orientation>3</tiff:Orientation></a>";
        let hex: String = LITTLE.iter().map(|b| format!("{b:02x}")).collect();
        let raw =
            format!("Raw profile type exif\0\nexif\n      {}\n{}\n{}", LITTLE.len(), &hex[..20], &hex[20..]);
        let of = |chunks: &[(&[u8; 4], &[u8])]| notes(Format::Png, &png(chunks)).orientation();
        assert_eq!(of(&[(b"IDAT", b"pixels"), (b"eXIf", LITTLE), (b"IEND", b"")]), 6);
        assert_eq!(of(&[(b"iTXt", xml), (b"IDAT", b"pixels")]), 3);
        assert_eq!(of(&[(b"iTXt", xml), (b"tEXt", raw.as_bytes())]), 6);
        // EXIF without the tag leaves it to XMP; nothing behind the end counts.
        assert_eq!(of(&[(b"eXIf", b"II*\0\x08\0\0\0\0\0"), (b"iTXt", xml)]), 3);
        assert_eq!(of(&[(b"IEND", b""), (b"eXIf", LITTLE)]), 1);
        // A chunk longer than the file ends the search.
        let mut lie = png(&[(b"eXIf", LITTLE)]);
        lie[8] = 0xff;
        assert_eq!(notes(Format::Png, &lie).orientation(), 1);
    }

    #[test]
    fn compressed_texts_are_unpacked_within_bounds() {
        use std::io::Write;
        let pack = |text: &[u8]| {
            let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(text).unwrap();
            packed.finish().unwrap()
        };
        let packet = pack(b"<x tiff:Orientation=\"8\"/>");
        let content = [b"XML:com.adobe.xmp\0\x01\0\0\0".to_vec(), packet].concat();
        assert_eq!(notes(Format::Png, &png(&[(b"iTXt", &content)])).orientation(), 8);
        let bomb = [b"XML:com.adobe.xmp\0\0".to_vec(), pack(&vec![b' '; 50 << 20])].concat();
        let bomb = png(&[(b"zTXt", &bomb)]);
        assert_eq!(notes(Format::Png, &bomb).xmp.map(|x| x.len()), Some(1 << 20));
        let bombs = [&bomb[..8], &bomb[8..].repeat(100)].concat();
        assert_eq!(notes(Format::Png, &bombs).unpacked, TEXTS);
    }

    #[test]
    fn jpeg_files_keep_it_before_their_first_scan() {
        let segment = |marker: u8, content: &[u8]| {
            [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
        };
        let exif = segment(0xe1, &[b"Exif\0\0", LITTLE].concat());
        let xmp = segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation=\"4\"/>");
        let start = b"\xff\xd8".to_vec();
        let of = |parts: &[&Vec<u8>]| {
            notes(Format::Jpeg, &parts.iter().copied().flatten().copied().collect::<Vec<_>>()).orientation()
        };
        let scan = segment(SCAN, &[1, 2, 3]);
        assert_eq!(of(&[&start, &xmp]), 4);
        assert_eq!(of(&[&start, &xmp, &exif]), 6);
        assert_eq!(of(&[&start, &scan, &exif]), 1);
        // In two pieces, as long EXIF is.
        let (a, b) = LITTLE.split_at(12);
        let pieces = [a, b].map(|piece| segment(0xe1, &[b"Exif\0\0", piece].concat()));
        assert_eq!(of(&[&start, &pieces[0], &pieces[1]]), 6);
    }

    #[test]
    fn xmp_says_it_as_an_attribute_or_an_element() {
        assert_eq!(in_xml(b"tiff:Orientation tiff:Orientation=\"x\" tiff:Orientation=\"7\""), Some(7));
        assert_eq!(in_xml(b"<tiff:Orientation>2</tiff:Orientation>"), Some(2));
        assert_eq!((in_xml(b"tiff:Orientation"), in_xml(b"")), (None, None));
    }
}
