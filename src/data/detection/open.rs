//! How `--data` names a data set for detectors.

use std::path::Path;
use std::sync::Arc;

use super::dataset::DetectionDataset;
use crate::data::coco::Coco;
use crate::data::{PennFudan, Reading, Scenes};
use crate::error::{Error, Result};
use crate::looks;

/// Opens a data set: PennFudanPed's folder, `ANNOTATIONS.json:IMAGES` in COCO's instances format, or
/// `synthetic`, the drawn [`Scenes`]: always the same 250 of 320 x 240 pixels (`synthetic:N` or
/// `synthetic:N:WIDTHxHEIGHT` for others). `reading` says how faults are taken.
pub fn open(source: &str, reading: Reading) -> Result<Arc<dyn DetectionDataset>> {
    if let Some(rest) = source.strip_prefix("synthetic").filter(|_| !Path::new(source).exists()) {
        return Ok(Arc::new(synthetic(rest)?));
    }
    if let Some(at) = source.to_ascii_lowercase().rfind(".json:") {
        let (annotations, images) = (&source[..at + 5], &source[at + 6..]);
        return Ok(Arc::new(Coco::open(Path::new(annotations), Path::new(images), reading)?));
    }
    if source.to_ascii_lowercase().ends_with(".json") {
        let error = Error::input("the folder of its images is missing").in_file(source);
        return Err(error.remedy(format!("write {source}:IMAGES")));
    }
    let path = Path::new(source);
    let expected = "PennFudanPed's folder or ANNOTATIONS.json:IMAGES";
    let other = |e: Error| {
        if path.join("PNGImages").is_dir() { e } else { looks::instead_of_data(e, path, expected) }
    };
    Ok(Arc::new(PennFudan::open(path, reading).map_err(other)?))
}

/// The drawn scenes that `synthetic` with this behind it names.
fn synthetic(rest: &str) -> Result<Scenes> {
    let parse = || {
        let mut parts = rest.split(':').skip(1);
        let len = parts.next().map_or(Some(250), |n| n.parse().ok())?;
        let size = parts.next().map_or(Some((320, 240)), |size| {
            let (w, h) = size.split_once('x')?;
            Some((w.parse().ok()?, h.parse().ok()?))
        });
        let (w, h): (usize, usize) = size?;
        let sound = rest.is_empty() || rest.starts_with(':');
        let bounded = (2..=1_000_000).contains(&len) && w.min(h) >= 32 && w.max(h) <= 4096;
        (sound && bounded && parts.next().is_none()).then(|| Scenes::new(1234, len, w, h))
    };
    parse().ok_or_else(|| {
        let remedy =
            "name `synthetic`, `synthetic:N` or `synthetic:N:WIDTHxHEIGHT`, sides of 32 to 4096 pixels";
        Error::input(format!("synthetic{rest} is no data set")).remedy(remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_scenes_have_numbers_and_sizes() {
        for (source, len, size) in [
            ("synthetic", 250, [320, 240]),
            ("synthetic:9", 9, [320, 240]),
            ("synthetic:4:64x48", 4, [64, 48]),
        ] {
            let data = open(source, Reading::default()).unwrap();
            let image = data.load(0).unwrap().image;
            assert_eq!((data.len(), [image.width(), image.height()]), (len, size));
        }
        for source in [
            "synthetic:",
            "synthetic:1",
            "synthetic9",
            "synthetic:9:64",
            "synthetic:9:8x8",
            "synthetic:9:64x48:1",
        ] {
            assert!(
                open(source, Reading::default())
                    .err()
                    .unwrap()
                    .to_string()
                    .contains("synthetic:N:WIDTHxHEIGHT"),
                "{source}"
            );
        }
    }

    #[test]
    fn a_source_without_its_images_is_explained() {
        let error = open("a/instances.json", Reading::default()).err().unwrap().to_string();
        assert!(error.contains("write a/instances.json:IMAGES"), "{error}");
        let error = open("a/missing.json:b", Reading::default()).err().unwrap().to_string();
        assert!(error.starts_with("a/missing.json: cannot be read"), "{error}");
    }
}
