//! The detection data sets on real data: `cargo test --features real-data`, with GRADUS_TEST_DATA naming the
//! folder above `data`.
#![cfg(feature = "real-data")]

use std::path::PathBuf;

use gradus::data::coco::Coco;
use gradus::data::detection::{DetectionDataset, TestSplit};
use gradus::data::open_detection as open;
use gradus::data::{Images, PennFudan, Reading};

fn data() -> PathBuf {
    let root = std::env::var_os("GRADUS_TEST_DATA").expect("GRADUS_TEST_DATA names the folder of test data");
    PathBuf::from(root).join("data")
}

#[test]
fn penn_fudan_has_150_images_and_385_pedestrians() {
    let folder = data().join("PennFudanPed");
    let set = PennFudan::open(&folder, Reading::default()).unwrap();
    assert_eq!(set.len(), 150);
    let mut pedestrians = 0;
    for i in 0..set.len() {
        let sample = set.load(i).unwrap();
        pedestrians += sample.objects.len();
        // The boxes of the annotations count from 1; two of them are off by 3 and 6 pixels.
        let name = set.name(i).replace(".png", "");
        let text = std::fs::read_to_string(folder.join(format!("Annotation/{name}.txt"))).unwrap();
        let boxes: Vec<Vec<f32>> = text
            .lines()
            .filter(|l| l.starts_with("Bounding box"))
            .map(|l| {
                let numbers = l.rsplit(" : ").next().unwrap();
                numbers.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
            })
            .collect();
        assert_eq!(boxes.len(), sample.objects.len(), "{name}");
        for (want, got) in boxes.iter().zip(sample.objects.iter().map(|o| o.bbox)) {
            let off = want.iter().zip(&got).map(|(w, g)| (w - 1.0 - g).abs()).fold(0.0, f32::max);
            assert!(off <= 6.0, "{name}: {want:?} and {got:?}");
        }
    }
    assert_eq!(pedestrians, 385);
    let (training, test) = TestSplit::Every(5).indices(&set, 0).unwrap();
    assert_eq!((training.len(), test.len()), (120, 30));
}

#[test]
fn coco_people_are_read() {
    let root = data().join("coco-people");
    for (split, images, objects, masks) in [("train", 61, 554, 465), ("val", 37, 341, 274)] {
        let annotations = root.join(format!("annotations/instances_{split}.json"));
        let folder = root.join("images").join(split);
        let set = Coco::open(&annotations, &folder, Reading::default()).unwrap();
        assert_eq!((set.len(), set.classes().len()), (images, 80));
        let samples: Vec<_> = (0..set.len()).map(|i| set.load(i).unwrap()).collect();
        assert_eq!(samples.iter().map(|s| s.objects.len()).sum::<usize>(), objects);
        let with_mask = samples
            .iter()
            .flat_map(|s| &s.objects)
            .filter_map(|o| o.mask.as_ref())
            .filter(|m| m.area() > 0)
            .count();
        assert_eq!(with_mask, masks);
        let all: Vec<usize> = (0..set.len()).collect();
        assert_eq!(set.ground_truth(&all).unwrap().truths.len(), objects);
        let source = format!("{}:{}", annotations.display(), folder.display());
        assert_eq!(open(&source, Reading::default()).unwrap().checksum().unwrap(), set.checksum().unwrap());
    }
}
