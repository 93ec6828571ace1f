//! Images: JPEG, PNG and WebP files, what their headers say without decoding, and how they were held.
//!
//! What is decoded keeps to the limits, has the size that its header says, and comes back from PNG as it was.

use super::bytes::Bytes;
use flate2::Crc;
use gradus::image::{Format, Header, Image, Limits, Samples};
use std::cell::OnceCell;
use std::fs;
use tempfile::TempDir;

/// Larger ones are decoded as these are, and take longer.
const SMALL: Limits = Limits { side: 256, bytes: 1 << 17, file: 1 << 20 };
const CHUNKS: [&[u8; 4]; 13] = [
    b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"gAMA", b"acTL", b"fcTL", b"fdAT",
    b"sBIT", b"IEND",
];

/// Decodes, and looks at what it got.
fn decoded(file: &[u8]) -> Option<Image> {
    let image = Image::decode(file, &SMALL).map_err(|e| assert_eq!(e.exit_code(), 2, "{e}")).ok()?;
    let (width, height, channels) = (image.width(), image.height(), image.channels());
    let count = match image.samples() {
        Samples::U8(samples) => samples.len(),
        Samples::U16(samples) => samples.len(),
    };
    assert_eq!(count, width * height * channels);
    assert!(
        count > 0 && width.max(height) <= SMALL.side && count * image.depth() as usize / 8 <= SMALL.bytes
    );
    if count < 1 << 10 {
        let back = Image::decode(&image.encode_png().unwrap(), &SMALL).unwrap();
        assert!(
            back == image,
            "{width} x {height} pixels of {channels} channels come back from PNG as others"
        );
    }
    Some(image)
}

/// A JPEG file.
pub fn jpeg(data: &[u8]) {
    if let Some(image) = decoded(data) {
        image.to_rgb8();
    }
}

/// A WebP file.
pub fn webp(data: &[u8]) {
    if let Some(image) = decoded(data) {
        image.to_gray8();
    }
}

/// A PNG file of these sizes and chunks, whose checksums are right and whose pixels are packed.
pub fn png(data: &[u8]) {
    let mut bytes = Bytes(data);
    let file = png_of(&mut bytes);
    let Some(image) = decoded(&file) else { return };
    let [width, height] =
        [16, 20].map(|at| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize);
    let own = [image.width(), image.height()];
    assert!(own == [width, height] || own == [height, width], "{own:?} of {width} x {height}");
    let rgb = image.to_rgb8();
    assert_eq!((rgb.channels(), rgb.depth()), (3, 8));
}

fn png_of(bytes: &mut Bytes) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let side = |bytes: &mut Bytes| match bytes.byte() {
        255 => (bytes.integer() as u32).to_be_bytes(),
        side => u32::from(side % 64).to_be_bytes(),
    };
    let depth = [1, 2, 4, 8, 16, 3][usize::from(bytes.byte() % 6)];
    let [color, interlaced] = [bytes.byte() % 7, bytes.byte() % 3];
    let header = [&side(bytes)[..], &side(bytes), &[depth, color, 0, 0, interlaced]].concat();
    chunk(&mut file, b"IHDR", &header);
    while !bytes.is_empty() {
        let kind = bytes.byte();
        let length = usize::from(bytes.byte());
        let content = match kind % 16 {
            // Rows, of which a few bytes stand for many.
            0 => packed(bytes, length),
            10 => [bytes.take(4), &packed(bytes, length)].concat(),
            _ => bytes.take(length).to_vec(),
        };
        match CHUNKS.get(usize::from(kind % 16)) {
            Some(name) => chunk(&mut file, name, &content),
            None if kind.is_multiple_of(2) => chunk(&mut file, b"IDAT", &content),
            None => chunk(&mut file, bytes.take(4).try_into().unwrap_or(b"abCd"), &content),
        }
    }
    chunk(&mut file, b"IEND", b"");
    file
}

/// Rows in zlib's form, stored as they are: a compressor would take most of the time.
fn packed(bytes: &mut Bytes, length: usize) -> Vec<u8> {
    let times = 1 + usize::from(bytes.byte());
    let mut rows = bytes.take(length).repeat(times);
    rows.truncate(u16::MAX.into());
    let n = rows.len() as u16;
    let sum = |(a, b), &row: &u8| ((a + u32::from(row)) % 65_521, (b + a + u32::from(row)) % 65_521);
    let (a, b) = rows.iter().fold((1, 0), sum);
    [&[0x78, 1, 1][..], &n.to_le_bytes(), &(!n).to_le_bytes(), &rows, &(b << 16 | a).to_be_bytes()].concat()
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(content);
    file.extend((content.len() as u32).to_be_bytes());
    file.extend(name);
    file.extend(content);
    file.extend(crc.sum().to_be_bytes());
}

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// The header's size and orientation are those of the image, where it is a small one.
fn header_agrees(file: &[u8]) {
    let image = Image::decode(file, &SMALL);
    // What the limits refuse is decoded in vain, where its header is odd.
    if image.as_ref().is_err_and(|e| e.message().what.contains("pixels")) {
        return;
    }
    FOLDER.with(|folder| {
        let path = folder.get_or_init(|| tempfile::tempdir().unwrap()).path().join("x");
        fs::write(&path, file).unwrap();
        let header = Header::of_file(&path);
        let Ok(image) = image else { return };
        let header = header.unwrap();
        assert_eq!(header.upright_size(), [image.width(), image.height()], "{header:?}");
        assert_eq!(Image::open_oriented(&path).unwrap().1, header.orientation);
        assert!((1..=8).contains(&header.orientation));
    });
}

/// The header of a file of any kind.
pub fn header(data: &[u8]) {
    if Format::of(data).is_ok() {
        header_agrees(data);
    }
}

/// EXIF or XMP, in a file of each kind.
pub fn orientation(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (kind, content) = (bytes.byte(), bytes.rest());
    let xmp = kind & 4 > 0;
    let file = match kind % 4 {
        0 => {
            let name = if xmp { &b"http://ns.adobe.com/xap/1.0/\0"[..] } else { b"Exif\0\0" };
            let content = [name, &content[..content.len().min(60_000)]].concat();
            let length = (content.len() as u16 + 2).to_be_bytes();
            [b"\xff\xd8\xff\xe1", &length[..], &content, &JPEG[2..]].concat()
        }
        1 => {
            let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
            chunk(&mut file, b"IHDR", &[0, 0, 0, 3, 0, 0, 0, 2, 8, 0, 0, 0, 0]);
            let xmp_text = [b"XML:com.adobe.xmp\0", &[0; 4][..], content].concat();
            if xmp {
                chunk(&mut file, b"iTXt", &xmp_text)
            } else {
                chunk(&mut file, b"eXIf", content)
            }
            chunk(&mut file, b"IDAT", &packed(&mut Bytes(&[1, 0, 9, 8, 7, 0, 6, 5, 4]), 8));
            chunk(&mut file, b"IEND", b"");
            file
        }
        _ => {
            let pad = &[0][..content.len() % 2];
            let (name, flag) = if xmp { (b"XMP ", 4) } else { (b"EXIF", 8) };
            let head = [b"VP8X\x0a\0\0\0", &[flag, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]].concat();
            let length = (content.len() as u32).to_le_bytes();
            let rest = [b"WEBP", &head[..], WEBP, name, &length, content, pad].concat();
            [b"RIFF", &(rest.len() as u32).to_le_bytes()[..], &rest].concat()
        }
    };
    header_agrees(&file);
}

/// One gray pixel.
const JPEG: &[u8] = include_bytes!("pixel.jpg");
/// The chunk of one pixel, lossless.
const WEBP: &[u8] = include_bytes!("pixel.vp8l");
