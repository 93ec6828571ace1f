//! Batches for detectors: images of their own sizes with their objects, mirrored at random.
//!
//! While training, an image is mirrored with probability 1/2. Left and right exchanged, column x of an image
//! w wide is w − 1 − x, and a box (x1, x2) is (w − x2, w − x1).

use gradus_core::{Rng, Tensor};
use gradus_models::detection::{Masks, Target};

use super::dataset::{DetectionDataset, Sample};
use super::input::tensor;
use crate::data::loader::Collate;
use crate::error::{Error, Result};
use crate::metrics::rle::Rle;

/// Images with their objects, as a detector takes them.
#[derive(Debug)]
pub struct DetectionBatch {
    /// The number of the batch in its epoch.
    pub number: usize,
    /// [height, width, 3] in 0..1, each of its own size.
    pub images: Vec<Tensor>,
    /// Their objects, crowd regions left out.
    pub targets: Vec<Target>,
    /// Their names.
    pub names: Vec<String>,
}

/// Makes a detector's batches; images are mirrored at random while training.
#[derive(Clone, Copy, Debug)]
pub struct Mirrored {
    /// Are masks learned?
    pub masks: bool,
    /// Are images mirrored at all? Not where left and right mean something.
    pub flip: bool,
}

impl Collate for Mirrored {
    type Data = dyn DetectionDataset;
    type Batch = DetectionBatch;

    fn collate(
        &self,
        number: usize,
        data: &dyn DetectionDataset,
        indices: &[usize],
        rng: Option<&Rng>,
    ) -> Result<DetectionBatch> {
        let (images, targets, names) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = DetectionBatch { number, images, targets, names };
        for &i in indices {
            let mut sample = data.load(i)?;
            // There is nothing to learn from a region of many objects.
            sample.objects.retain(|o| !o.crowd);
            let named = |e: Error| e.in_file(data.name(i));
            let mut target = target(&sample, self.masks).map_err(named)?;
            if self.flip && rng.is_some_and(|rng| rng.at(i as u64).chance(0.5)) {
                sample.image = sample.image.flip_horizontal();
                mirror(&mut target, sample.image.width());
            }
            batch.images.push(tensor(&sample.image).map_err(named)?);
            batch.targets.push(target);
            batch.names.push(data.name(i));
        }
        Ok(batch)
    }
}

/// A sample's objects for training. Errors: masks are wanted and an object has none.
fn target(Sample { image, objects, .. }: &Sample, masks: bool) -> Result<Target> {
    let n = objects.len();
    let boxes: Vec<[f32; 4]> = objects.iter().map(|o| o.bbox).collect();
    let boxes = Tensor::from_slice([n, 4], boxes.as_flattened());
    if let Some(k) = objects.iter().position(|o| masks && o.mask.is_none()) {
        let what = format!("object {k} with the box {:?} has no mask", objects[k].bbox);
        return Err(Error::input(what).remedy("add its mask, or train --model fasterrcnn, which needs none"));
    }
    let bits = || objects.iter().filter_map(|o| o.mask.as_ref()).flat_map(Rle::bitmap).collect();
    let masks = masks.then(|| Masks { n, height: image.height(), width: image.width(), bits: bits() });
    Ok(Target { boxes, labels: objects.iter().map(|o| o.label).collect(), masks })
}

/// Exchanges left and right in an image of that width.
fn mirror(target: &mut Target, width: usize) {
    for b in target.boxes.data_mut().as_chunks_mut::<4>().0 {
        (b[0], b[2]) = (width as f32 - b[2], width as f32 - b[0]);
    }
    if let Some(masks) = &mut target.masks {
        masks.bits.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::detection::Object;
    use crate::data::{Loader, Scenes, Subset};
    use std::sync::Arc;

    fn loader(seed: u64, masks: bool) -> Loader<Mirrored> {
        let scenes: Arc<dyn DetectionDataset> = Arc::new(Scenes::new(3, 9, 64, 48));
        let some = Subset::new(scenes, (2..9).collect::<Vec<_>>());
        Loader::training(some, Mirrored { masks, flip: true }, 3, &Rng::seed(seed))
    }

    fn names(epoch: usize) -> Vec<String> {
        loader(1, false).epoch(epoch, 0).flat_map(|b| b.unwrap().names).collect()
    }

    #[test]
    fn an_epoch_visits_its_images_once_in_an_order_of_its_own() {
        let mut first = names(0);
        assert_ne!(first, names(1));
        first.sort();
        let all: Vec<String> = (2..9).map(|i| format!("synthetic scene {i:05}")).collect();
        assert_eq!(first, all);
    }

    #[test]
    fn taken_up_at_a_batch_it_goes_on_bit_for_bit() {
        let whole: Vec<_> = loader(1, true).epoch(4, 0).map(Result::unwrap).collect();
        assert_eq!(whole.iter().map(|b| b.images.len()).collect::<Vec<_>>(), [3, 3, 1]);
        let late = loader(1, true).epoch(4, 2).next().unwrap().unwrap();
        assert_eq!((late.number, &late.names), (2, &whole[2].names));
        assert!(late.images == whole[2].images && late.targets[0].masks == whole[2].targets[0].masks);
    }

    #[test]
    fn mirrored_boxes_stay_around_their_mirrored_objects() {
        let (mut mirrored, mut straight) = (0, 0);
        for batch in (0..4).flat_map(|e| loader(1, true).epoch(e, 0)) {
            let batch = batch.unwrap();
            for (k, target) in batch.targets.iter().enumerate() {
                let i: usize = batch.names[k][16..].parse().unwrap();
                let sample = Scenes::new(3, 9, 64, 48).draw(i);
                let same = batch.images[k] == tensor(&sample.image).unwrap();
                *(if same { &mut straight } else { &mut mirrored }) += 1;
                let masks = target.masks.as_ref().unwrap();
                for (o, b) in target.boxes.data().as_chunks::<4>().0.iter().enumerate() {
                    // A scene's boxes are those of its masks.
                    let [x, y, w, h] =
                        Rle::from_bitmap(48, 64, masks.of(o)).unwrap().bounding_box().map(|v| v as f32);
                    assert_eq!(*b, [x, y, x + w, y + h]);
                }
                // The object's own pixels moved with it.
                if let (false, Some(Object { bbox: b, .. })) = (same, sample.objects.first()) {
                    assert_eq!(target.boxes.data()[..4], [64.0 - b[2], b[1], 64.0 - b[0], b[3]]);
                }
            }
        }
        assert!(mirrored >= 7 && straight >= 7, "{mirrored} of {} are mirrored", mirrored + straight);
    }

    #[test]
    fn without_mirroring_images_stay_as_they_are() {
        let scenes: Arc<dyn DetectionDataset> = Arc::new(Scenes::new(3, 9, 64, 48));
        let straight = Mirrored { masks: false, flip: false };
        for batch in Loader::training(Subset::all(scenes), straight, 3, &Rng::seed(1)).epoch(0, 0) {
            let batch = batch.unwrap();
            for (image, name) in batch.images.iter().zip(&batch.names) {
                let sample = Scenes::new(3, 9, 64, 48).draw(name[16..].parse().unwrap());
                assert_eq!(*image, tensor(&sample.image).unwrap());
            }
        }
    }

    #[test]
    fn an_object_without_a_mask_is_named_where_masks_are_learned() {
        let mut sample = Scenes::new(3, 1, 64, 48).draw(0);
        let bbox = [1.0, 2.0, 3.0, 4.0];
        sample.objects.push(Object { bbox, label: 1, area: 4.0, crowd: false, mask: None });
        assert_eq!(target(&sample, false).unwrap().labels.len(), sample.objects.len());
        let error = target(&sample, true).unwrap_err().to_string();
        assert!(error.contains("[1.0, 2.0, 3.0, 4.0]") && error.contains("fasterrcnn"), "{error}");
    }
}
