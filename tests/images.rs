//! Images against Pillow: decoded pixels, resizing; and files that are broken or lie.
#![cfg(feature = "real-data")]

use std::path::{Path, PathBuf};

use gradus::image::{Filter, Image, Limits, Samples};
use sha2::{Digest, Sha256};

fn photos() -> PathBuf {
    let root = std::env::var_os("GRADUS_TEST_DATA").expect("GRADUS_TEST_DATA names the test data's folder");
    Path::new(&root).join("data/photos")
}

fn open(name: &str) -> Image {
    Image::open(photos().join(name)).unwrap_or_else(|e| panic!("{e}"))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn means(image: &Image) -> Vec<f64> {
    let channels = image.channels();
    let values: Vec<f64> = match image.samples() {
        Samples::U8(v) => v.iter().map(|&s| f64::from(s)).collect(),
        Samples::U16(v) => v.iter().map(|&s| f64::from(s)).collect(),
    };
    let pixels = (values.len() / channels) as f64;
    (0..channels).map(|c| values.iter().skip(c).step_by(channels).sum::<f64>() / pixels).collect()
}

#[test]
fn every_photo_decodes_as_in_pillow() {
    let listed: serde_json::Value =
        serde_json::from_slice(&std::fs::read(photos().join("decoded.json")).unwrap()).unwrap();
    let mut exact = 0;
    for (name, want) in listed.as_object().unwrap() {
        let image = open(name);
        let number = |key: &str| want[key].as_u64().unwrap() as usize;
        let size = (number("width"), number("height"));
        // The list has sizes as stored; this one is stored turned by a quarter.
        let size = if want["exif_orientation"] == 6 { (size.1, size.0) } else { size };
        assert_eq!((image.width(), image.height()), size, "{name}");
        if let Some(mean) = want["mean"].as_array() {
            // The list expands gray with alpha to RGBA.
            let got = means(&image);
            let got = if image.channels() == 2 { vec![got[0], got[0], got[0], got[1]] } else { got };
            assert_eq!(got.len(), mean.len(), "{name}");
            let tolerance = if name.ends_with(".jpg") { 0.07 } else { 0.0006 };
            for (g, w) in got.iter().zip(mean) {
                assert!((g - w.as_f64().unwrap()).abs() <= tolerance, "{name}: {got:?}, Pillow {mean:?}");
            }
        }
        if let Some(sum) = want["sha256_pixels"].as_str() {
            let bytes = match image.channels() {
                2 => image.as_u8().chunks(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect(),
                _ => image.as_u8().to_vec(),
            };
            assert_eq!(sha256(&bytes), sum, "{name}");
            exact += 1;
        }
        if let (Some(sum), Samples::U16(v)) = (want["sha256_u16_little_endian"].as_str(), image.samples()) {
            let bytes: Vec<u8> = v.iter().flat_map(|s| s.to_le_bytes()).collect();
            assert_eq!(sha256(&bytes), sum, "{name}");
            exact += 1;
        }
    }
    assert!(exact >= 14, "only {exact} files were compared exactly");
}

#[test]
fn upright_after_exif_and_cmyk_converted() {
    // The turned file shows the same picture as the one it was made from.
    let (turned, straight) = (open("variant_exif_orientation6.jpg"), open("grace_hopper.jpg"));
    let difference: f64 =
        turned.as_u8().iter().zip(straight.as_u8()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    assert!(difference / (turned.as_u8().len() as f64) < 4.0, "{}", difference / turned.as_u8().len() as f64);
    // Pillow: Image.open("variant_cmyk.jpg").convert("RGB"), channel means.
    for (got, want) in means(&open("variant_cmyk.jpg")).iter().zip(CMYK_MEANS) {
        assert!((got - want).abs() < 1.0, "{:?}", means(&open("variant_cmyk.jpg")));
    }
    assert_eq!(open("variant_rgb16.png").depth(), 16);
}

#[test]
fn resizing_is_pillows_to_the_bit() {
    for (name, width, height, sum) in RESIZED {
        let resized = open(name).to_rgb8().resize(width, height, Filter::Bilinear);
        assert_eq!(sha256(resized.as_u8()), sum, "{name} to {width}x{height}");
    }
    let evaluation = open("chelsea.png").to_rgb8().resize_shorter(256).center_crop(224);
    assert_eq!(sha256(evaluation.as_u8()), CHELSEA_224);
}

#[test]
fn png_round_trip() {
    for name in
        ["camera.png", "variant_rgba.png", "variant_gray16.png", "variant_rgb16.png", "variant_grayalpha.png"]
    {
        let image = open(name);
        assert_eq!(Image::decode(&image.encode_png().unwrap(), &Limits::default()).unwrap(), image, "{name}");
    }
}

#[test]
fn truncated_files_are_errors_wherever_they_end() {
    for entry in std::fs::read_dir(photos()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e == "json") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for percent in (0..100).step_by(9) {
            let cut = &bytes[..bytes.len() * percent / 100];
            let error = Image::decode(cut, &Limits::default());
            assert!(error.is_err(), "{} cut at {percent} % decodes", path.display());
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    let mut rng = gradus_core::random::Rng::seed(1);
    for name in [
        "variant_gray.jpg",
        "variant_cmyk.jpg",
        "dog1.jpg",
        "variant_interlaced_rgba.png",
        "variant_palette4bit.png",
    ] {
        let bytes = std::fs::read(photos().join(name)).unwrap();
        for round in 0..150 {
            let mut broken = bytes.clone();
            // Headers are where lies hurt: half of the rounds change bytes among the first 700 only.
            let reach = if round % 2 == 0 { bytes.len() } else { bytes.len().min(700) };
            for _ in 0..1 + rng.below(8) {
                broken[rng.below(reach)] = rng.u64() as u8;
            }
            let _ = Image::decode(&broken, &Limits::default());
        }
    }
}

const CMYK_MEANS: [f64; 3] = [32.936, 10.638, 6.149];

/// sha256 of Pillow's `Image.open(name).convert("RGB").resize((width, height), BILINEAR)`.
const RESIZED: [(&str, usize, usize, &str); 5] = [
    ("astronaut.png", 224, 224, "1b8467c224081c5fe7b48a254553c096fd548cc5fcebcdf99c4b5b8a0ff30b72"),
    ("astronaut.png", 700, 600, "63d8974152183912c9589f89bc5df18a6d56cc21415c9b9bd9d2bb81e0b9084c"),
    ("camera.png", 33, 512, "55006813384155406e60573ad0c7b7c4d7d9892f84154bad440b66bcd4e84b44"),
    ("chelsea.png", 451, 17, "95cace50930743ca9164449b9408252e9e999322fa980009e8600f3153900b18"),
    ("variant_palette.png", 1, 1, "5795de9d108359a784ab53eec6d8ec72a908e6c76b2c99bc19aa134040d8804e"),
];

/// torchvision: Resize(256), CenterCrop(224) of the Pillow image.
const CHELSEA_224: &str = "d2380d7104e4d7d5ba262b5731ac6b0fa74c50f04e93471053462f00c462c25f";
