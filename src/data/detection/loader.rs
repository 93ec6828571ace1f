//! Batches for detectors: decoded and mirrored on a thread of their own while the network computes.
//!
//! Batch b of epoch e is a function of (seed, e, b): a permutation drawn from (seed, e) orders the images,
//! and image i is mirrored with probability 1/2 by the stream (seed, e, i). Left and right exchanged, column
//! x of an image w wide is w − 1 − x and a box (x1, x2) is (w − x2, w − x1).

use std::sync::Arc;

use gradus_core::{Rng, Tensor};
use gradus_models::detection::{Masks, Target};

use super::{DetectionDataset, Sample};
use crate::data::Ahead;
use crate::error::{Error, Result};
use crate::image::Image;
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

/// Prepares the batches of some images to train on.
#[derive(Clone)]
pub struct DetectionLoader {
    data: Arc<dyn DetectionDataset>,
    indices: Arc<[usize]>,
    batch: usize,
    masks: bool,
    rng: Rng,
}

impl DetectionLoader {
    /// Batches in random order, mirrored at random; the last may be smaller. Panics where `batch` is 0.
    #[track_caller]
    pub fn new(
        data: Arc<dyn DetectionDataset>,
        indices: impl Into<Arc<[usize]>>,
        batch: usize,
        masks: bool,
        rng: &Rng,
    ) -> Self {
        assert!(batch > 0, "DetectionLoader: batches of 0 images");
        DetectionLoader { data, indices: indices.into(), batch, masks, rng: rng.stream("loader") }
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.indices.len().div_ceil(self.batch)
    }

    /// The images in an epoch.
    pub fn images(&self) -> usize {
        self.indices.len()
    }

    /// The batches of an epoch from batch `start` on.
    pub fn epoch(&self, epoch: usize, start: usize) -> Ahead<DetectionBatch> {
        let (loader, order) = (self.clone(), self.order(epoch));
        Ahead::new(start..self.batches(), "loader", move |number| loader.prepare(epoch, number, &order))
    }

    /// Batch `number` of an epoch, prepared here and now.
    pub fn batch(&self, epoch: usize, number: usize) -> Result<DetectionBatch> {
        self.prepare(epoch, number, &self.order(epoch))
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        self.rng.stream("order").at(epoch as u64).permutation(self.indices.len())
    }

    fn prepare(&self, epoch: usize, number: usize, order: &[usize]) -> Result<DetectionBatch> {
        let places = &order[number * self.batch..order.len().min((number + 1) * self.batch)];
        let (images, targets, names) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = DetectionBatch { number, images, targets, names };
        for i in places.iter().map(|&k| self.indices[k]) {
            let mut sample = self.data.load(i)?.without_crowd();
            let mirrored = self.rng.stream("augment").at(epoch as u64).at(i as u64).chance(0.5);
            let named = |e: Error| e.in_file(self.data.name(i));
            let mut target = target(&sample, self.masks).map_err(named)?;
            if mirrored {
                sample.image = sample.image.flip_horizontal();
                mirror(&mut target, sample.image.width());
            }
            batch.images.push(tensor(&sample.image).map_err(named)?);
            batch.targets.push(target);
            batch.names.push(self.data.name(i));
        }
        Ok(batch)
    }
}

/// The largest image that a detector is given, in pixels: as floats it takes 1.5 GiB.
const MOST_PIXELS: usize = 1 << 27;

/// Whether a detector can be given an image. Error: it has more than 2^27 pixels.
pub fn bounded(image: &Image) -> Result<()> {
    let (w, h) = (image.width(), image.height());
    if w * h > MOST_PIXELS {
        let what =
            format!("is {w} x {h} pixels; detectors are given up to {} million", MOST_PIXELS / 1_000_000);
        return Err(Error::input(what).remedy("scale it down first"));
    }
    Ok(())
}

/// An 8-bit RGB image as [height, width, 3] in 0..1. Error: it is not [`bounded`].
pub fn tensor(image: &Image) -> Result<Tensor> {
    bounded(image)?;
    let samples = image.as_u8();
    Ok(Tensor::from_fn([image.height(), image.width(), 3], |i| f32::from(samples[i]) / 255.0))
}

/// A sample's objects for training. Errors: masks are wanted and an object has none.
fn target(sample: &Sample, masks: bool) -> Result<Target> {
    let n = sample.boxes.len();
    let boxes = Tensor::from_slice([n, 4], sample.boxes.as_flattened());
    let (height, width) = (sample.image.height(), sample.image.width());
    if let Some(k) = sample.masks.iter().position(|m| masks && m.is_none()) {
        let what = format!("object {k} with the box {:?} has no mask", sample.boxes[k]);
        return Err(Error::input(what).remedy("add its mask, or train --model fasterrcnn, which needs none"));
    }
    let bits = || sample.masks.iter().flatten().flat_map(Rle::bitmap).collect();
    let masks = masks.then(|| Masks { n, height, width, bits: bits() });
    Ok(Target { boxes, labels: sample.labels.clone(), masks })
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
    use crate::data::Scenes;

    fn loader(seed: u64, masks: bool) -> DetectionLoader {
        let indices: Vec<usize> = (2..9).collect();
        DetectionLoader::new(Arc::new(Scenes::new(3, 9, 64, 48)), indices, 3, masks, &Rng::seed(seed))
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
                if let (false, Some(b)) = (same, sample.boxes.first()) {
                    assert_eq!(target.boxes.data()[..4], [64.0 - b[2], b[1], 64.0 - b[0], b[3]]);
                }
            }
        }
        assert!(mirrored >= 7 && straight >= 7, "{mirrored} of {} are mirrored", mirrored + straight);
    }

    #[test]
    fn an_object_without_a_mask_is_named_where_masks_are_learned() {
        let mut sample = Scenes::new(3, 1, 64, 48).draw(0);
        sample.push([1.0, 2.0, 3.0, 4.0], 1, None, 4.0, false);
        assert_eq!(target(&sample, false).unwrap().labels.len(), sample.labels.len());
        let error = target(&sample, true).unwrap_err().to_string();
        assert!(error.contains("[1.0, 2.0, 3.0, 4.0]") && error.contains("fasterrcnn"), "{error}");
    }
}
