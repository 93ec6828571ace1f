//! Reports on single pictures: how they are stored, which way up they are, how large they say that they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use gradus::image::{Format, Image, Limits, Samples};

/// EXIF that says 6: turned by a quarter.
const EXIF_6: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0";
const XMP_6: &[u8] = b"<x:xmpmeta><rdf:Description tiff:Orientation=\"6\"/></x:xmpmeta>";

fn decode(bytes: &[u8]) -> Result<Image, String> {
    Image::decode(bytes, &Limits::default()).map_err(|e| e.to_string())
}

/// A gray JPEG file of columns x rows blocks, each a shade lighter than the one before, with these segments
/// at its beginning. A block is one code of four bits for the size of its step, the step, and one bit that
/// ends it.
pub fn jpeg(columns: u16, rows: u16, segments: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let mut add = |marker: u8, content: &[u8]| {
        out.extend([0xff, marker]);
        out.extend((content.len() as u16 + 2).to_be_bytes());
        out.extend(content);
    };
    segments.iter().for_each(|(marker, content)| add(*marker, content));
    add(0xdb, &[&[0][..], &[8; 64]].concat());
    let [[w1, w2], [h1, h2]] = [8 * columns, 8 * rows].map(u16::to_be_bytes);
    add(0xc0, &[8, h1, h2, w1, w2, 1, 1, 0x11, 0]);
    add(0xc4, &[&[0, 0, 0, 0, 12][..], &[0; 12], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]].concat());
    add(0xc4, &[&[0x10, 1][..], &[0; 15], &[0]].concat());
    add(0xda, &[1, 1, 0, 0, 63, 0]);
    // Steps of +1: size 1 (code 0001), bit 1, end of block 0.
    let bits: Vec<u8> = (0..columns * rows).flat_map(|_| [0, 0, 0, 1, 1, 0]).collect();
    for byte in bits.chunks(8) {
        // What is left of the last byte is filled with ones.
        out.push((0..8).fold(0, |value, i| value << 1 | byte.get(i).unwrap_or(&1)));
    }
    out.extend([0xff, 0xd9]);
    out
}

fn png(image: &Image, before: &[(&[u8; 4], &[u8])], after: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let whole = image.encode_png().unwrap();
    let (head, rest) = whole.split_at(33);
    let (pixels, end) = rest.split_at(rest.len() - 12);
    let chunks = |list: &[(&[u8; 4], &[u8])]| -> Vec<u8> {
        list.iter()
            .flat_map(|(name, content)| {
                let mut crc = flate2::Crc::new();
                crc.update(&name[..]);
                crc.update(content);
                [&(content.len() as u32).to_be_bytes()[..], &name[..], content, &crc.sum().to_be_bytes()]
                    .concat()
            })
            .collect()
    };
    [head, &chunks(before), pixels, &chunks(after), end].concat()
}

fn numbered() -> Image {
    Image::from_u8(3, 2, 1, (0..6).collect())
}

/// libpng's pngtest.png: its eXIf chunk follows the pixels.
#[test]
fn libpng_pngtest_exif_after_the_pixels() {
    let upright = numbered().upright(6);
    assert_eq!(decode(&png(&numbered(), &[], &[(b"eXIf", EXIF_6)])).unwrap(), upright);
    assert_eq!(decode(&png(&numbered(), &[(b"eXIf", EXIF_6)], &[])).unwrap(), upright);
}

/// Pillow's tests xmp_tags_orientation.png and .jpg, and exif_imagemagick.png: XMP, or a raw profile, tells
/// the orientation.
#[test]
fn pillow_orientation_in_xmp_and_raw_profiles() {
    let packet = [b"XML:com.adobe.xmp\0\0\0\0\0", XMP_6].concat();
    assert_eq!(decode(&png(&numbered(), &[(b"iTXt", &packet)], &[])).unwrap(), numbered().upright(6));
    let hex: String = EXIF_6.iter().map(|b| format!("{b:02x}")).collect();
    let profile = format!("Raw profile type exif\0\nexif\n{:8}\n{hex}\n", EXIF_6.len());
    let file = png(&numbered(), &[], &[(b"tEXt", profile.as_bytes())]);
    assert_eq!(decode(&file).unwrap(), numbered().upright(6));

    let plain = decode(&jpeg(3, 2, &[])).unwrap();
    let packet = [b"http://ns.adobe.com/xap/1.0/\0", XMP_6].concat();
    assert_eq!(decode(&jpeg(3, 2, &[(0xe1, &packet)])).unwrap(), plain.clone().upright(6));
    // EXIF that has the tag counts for more.
    let exif = [&b"Exif\0\0"[..], &EXIF_6[..EXIF_6.len() - 3], b"\x03\0\0"].concat();
    assert_eq!(decode(&jpeg(3, 2, &[(0xe1, &packet), (0xe1, &exif)])).unwrap(), plain.upright(3));
}

/// qtbase's qtbug13653-no_eoi.jpg: the pixels are followed by a comment that was cut off instead of the end
/// marker.
#[test]
fn qtbase_qtbug13653_jpeg_without_its_end_marker() {
    let whole = jpeg(40, 30, &[]);
    let image = decode(&whole).unwrap();
    assert_eq!(
        (image.width(), image.height(), image.pixel(0, 0), image.pixel(319, 0)),
        (320, 240, &[129][..], &[168][..])
    );
    let n = whole.len();
    for cut in [n - 2, n - 1] {
        assert!(decode(&whole[..cut]).as_ref() == Ok(&image), "without the last {} bytes", n - cut);
    }
    let comment = [&whole[..n - 2], b"\xff\xfe\x15\x4f and then nothing"].concat();
    assert!(decode(&comment).as_ref() == Ok(&image));
    for cut in (whole.len() - 300..n - 2).chain((3..n - 300).step_by(37)) {
        let error = decode(&whole[..cut]).unwrap_err();
        assert!(error.contains("ends early"), "{cut} of {n} bytes: {error}");
    }
}

/// A progressive file without its end, and where its only scan is, which brings the mean of each block and
/// nothing else.
fn means_alone() -> (Vec<u8>, usize) {
    // A baseline file otherwise.
    let mut bytes = jpeg(2, 2, &[]);
    let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    bytes[frame + 1] = 0xc2;
    let scan = bytes.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    bytes[scan + 8] = 0;
    bytes.truncate(scan + 10);
    // Four means: steps of +1 without the bit that ends a block.
    bytes.extend([0b0001_1000, 0b1100_0110, 0b0011_1111]);
    (bytes, scan)
}

/// A progressive file that ends after a scan is no whole file, though all its bits are there.
#[test]
fn a_progressive_jpeg_that_lacks_a_scan_is_truncated() {
    let (bytes, _) = means_alone();
    assert!(decode(&[&bytes[..], &[0xff, 0xd9]].concat()).is_ok());
    assert!(decode(&bytes).unwrap_err().contains("ends early"));
}

/// Each scan is a pass over all blocks, and may have few bytes: a small file must not ask for thousands.
#[test]
fn a_jpeg_of_endless_scans_is_refused() {
    let (bytes, scan) = means_alone();
    let of = |scans: usize| [&bytes[..scan], &bytes[scan..].repeat(scans), &[0xff, 0xd9][..]].concat();
    assert!(decode(&of(100)).is_ok());
    assert!(decode(&of(101)).unwrap_err().contains("more than 100 scans"));
}

/// A checksum of the pixels that is wrong is seen, though each chunk's is right.
#[test]
fn the_adler_checksum_of_png_is_checked() {
    let image = numbered();
    let bytes = image.encode_png().unwrap();
    let length = u32::from_be_bytes(bytes[33..37].try_into().unwrap()) as usize;
    let mut pixels = bytes[41..41 + length].to_vec();
    *pixels.last_mut().unwrap() ^= 1;
    let mut crc = flate2::Crc::new();
    crc.update(b"IDAT");
    crc.update(&pixels);
    let broken = [&bytes[..41], &pixels, &crc.sum().to_be_bytes(), &bytes[41 + length + 4..]].concat();
    assert!(decode(&broken).unwrap_err().contains("a checksum is wrong"), "{:?}", decode(&broken));
}

/// thumbor's tests: 16384 x 16384 pixels in 33 KB took 11 GB in `filter`.
#[test]
#[cfg(target_os = "linux")]
fn thumbor_16384_pixels_square_are_filtered_in_8_bytes_a_pixel() {
    // A quarter of its sides: the same bytes a pixel, beside the fixed cost of a process.
    const SIDE: usize = 4096;
    let dir = tempfile::tempdir().unwrap();
    let (small, large, out) = (dir.path().join("s.png"), dir.path().join("l.png"), dir.path().join("o.png"));
    Image::filled(8, 8, [200, 100, 50]).save_png(&small).unwrap();
    Image::filled(SIDE, SIDE, [200, 100, 50]).save_png(&large).unwrap();
    let peak = |picture: &Path| -> u64 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(["filter", "sobel", "--force", "--threads", "1", "-o"])
            .args([&out, picture])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
            peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0) << 10);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(child.wait().unwrap().success());
        peak
    };
    let (fixed, all) = (peak(&small), peak(&large));
    let bytes = (all - fixed) as f64 / (SIDE * SIDE) as f64;
    assert!(bytes <= 8.0, "{bytes} bytes a pixel");
    // A flat picture has no edges.
    let edges = Image::open(&out).unwrap();
    assert_eq!((edges.width(), edges.pixel(SIDE / 2, SIDE / 2)), (SIDE, &[0, 0, 0][..]));
}

/// WebP in data sets and on the command line: lossy, lossless with alpha, and turned.
#[test]
fn webp_is_read_as_in_pillow() {
    for (name, bytes, pixels) in WEBP {
        let image = decode(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((image.samples(), image.width()), (&Samples::U8(pixels.to_vec()), 2), "{name}");
        assert_eq!(Format::of(bytes).unwrap(), Format::WebP);
        // When a data set is opened, its ends are enough: damage between them is not looked for, an end that
        // lacks is.
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, [&bytes[..16], &vec![0xff; bytes.len() - 16]].concat()).unwrap();
        assert_eq!(Format::of_file(file.path()).unwrap(), Format::WebP);
        fs::write(&file, &bytes[..26]).unwrap();
        assert!(Format::of_file(file.path()).is_err(), "{name}");
        for cut in 0..bytes.len() - 1 {
            let _ = decode(&bytes[..cut]);
        }
    }
}
/// Made with Pillow, with what Pillow decodes of them.
const WEBP: [(&str, &[u8], &[u8]); 4] = [
    ("lossy", b"\x52\x49\x46\x46\x4e\x00\x00\x00\x57\x45\x42\x50\x56\x50\x38\x20\x42\x00\x00\x00\xf0\x01\x00\x9d\x01\x2a\x02\x00\x03\x00\x00\xc0\x12\x25\x9c\x02\x74\x05\xba\xa9\xc6\x9c\x0f\x1c\x00\xfe\xf7\xe1\xfb\xef\xfe\xb6\xfe\x35\xef\xf1\x8b\xff\xea\xb2\x6e\x3e\x8f\x2f\x0a\x1b\x77\xbf\x68\x28\x83\x56\x78\x8d\x68\x1c\xf6\x79\x28\xba\x5f\x04\xa7\x7f\x9a\x00", &[83, 81, 79, 152, 150, 148, 27, 27, 27, 240, 240, 240, 1, 6, 7, 43, 48, 49]),
    ("lossless", b"\x52\x49\x46\x46\x42\x00\x00\x00\x57\x45\x42\x50\x56\x50\x38\x4c\x36\x00\x00\x00\x2f\x01\x80\x00\x00\x2f\x40\x10\x40\x52\xa3\xed\xcf\xb2\xc2\x1a\x64\xd2\x36\xa5\x82\xea\xdf\xda\xae\x11\x68\x58\x1c\x1d\xf5\xdf\x04\x31\xff\x01\x7f\xc4\x23\xc6\x36\xad\x20\x10\x48\x43\x0e\x11\xed\x70\x44\xff\x43\x03", &[255, 0, 0, 0, 255, 0, 0, 0, 255, 250, 240, 230, 1, 2, 3, 40, 50, 60]),
    ("lossless with alpha", b"\x52\x49\x46\x46\x4a\x00\x00\x00\x57\x45\x42\x50\x56\x50\x38\x4c\x3e\x00\x00\x00\x2f\x01\x80\x00\x10\x2f\x40\x20\x40\x11\x9e\xf9\xbf\xc5\x05\x37\xc8\xa4\x6d\x5a\x43\xf5\x6f\x6d\xd7\x08\x34\x2c\x8e\x8e\xfa\x6f\x82\x20\x12\x20\x21\x72\xdd\x47\x56\x97\x19\x70\xb8\x7e\x31\x66\xdb\xda\x1a\x08\x04\xd2\x10\x4b\x26\x3b\x1c\xd1\xff\xd0", &[255, 0, 0, 255, 0, 255, 0, 7, 0, 0, 255, 0, 250, 240, 230, 128, 1, 2, 3, 200, 40, 50, 60, 9]),
    ("turned by EXIF", b"\x52\x49\x46\x46\x76\x00\x00\x00\x57\x45\x42\x50\x56\x50\x38\x58\x0a\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x02\x00\x00\x56\x50\x38\x4c\x36\x00\x00\x00\x2f\x01\x80\x00\x00\x2f\x40\x10\x40\x52\xa3\xed\xcf\xb2\xc2\x1a\x64\xd2\x36\xa5\x82\xea\xdf\xda\xae\x11\x68\x58\x1c\x1d\xf5\xdf\x04\x31\xff\x01\x7f\xc4\x23\xc6\x36\xad\x20\x10\x48\x43\x0e\x11\xed\x70\x44\xff\x43\x03\x45\x58\x49\x46\x1a\x00\x00\x00\x4d\x4d\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03\x00\x00\x00\x00\x00\x00", &[40, 50, 60, 1, 2, 3, 250, 240, 230, 0, 0, 255, 0, 255, 0, 255, 0, 0]),
];
