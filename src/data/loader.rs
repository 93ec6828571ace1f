//! Batches, prepared on a thread of their own while the network computes.
//!
//! Batch b of epoch e is a function of (seed, e, b): a permutation drawn from (seed, e) orders the images,
//! and image i is augmented with the stream (seed, e, i). An interrupted epoch can so be taken up at any
//! batch. Batches are tensors, whose memory goes back to the pool and is used again.

use std::sync::{Mutex, PoisonError};

use gradus_core::{Rng, Tensor};

use super::description::skippable;
use super::{Ahead, Subset, Transform};
use crate::error::{Error, Result};

/// Some images and their labels.
#[derive(Debug)]
pub struct Batch {
    /// The number of the batch in its epoch.
    pub number: usize,
    /// Normalised, [n, height, width, 3].
    pub images: Tensor,
    /// The n classes.
    pub labels: Vec<usize>,
    /// The n indices in the data set.
    pub indices: Vec<usize>,
}

/// Prepares the batches of a subset.
#[derive(Clone)]
pub struct Loader {
    subset: Subset,
    transform: Transform,
    batch: usize,
    /// Where the order and the augmentation come from; none for evaluation.
    rng: Option<Rng>,
}

impl Loader {
    /// Batches to train on: in random order, augmented; the last may be smaller. Panics where `batch` is 0.
    #[track_caller]
    pub fn training(subset: Subset, transform: Transform, batch: usize, rng: &Rng) -> Self {
        assert!(batch > 0, "Loader: batches of 0 images");
        Loader { subset, transform, batch, rng: Some(rng.stream("loader")) }
    }

    /// Batches to evaluate: in order, not augmented; the last may be smaller. Panics where `batch` is 0.
    #[track_caller]
    pub fn evaluation(subset: Subset, transform: Transform, batch: usize) -> Self {
        assert!(batch > 0, "Loader: batches of 0 images");
        Loader { subset, transform, batch, rng: None }
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.subset.len().div_ceil(self.batch)
    }

    /// The images.
    pub fn subset(&self) -> &Subset {
        &self.subset
    }

    /// The batches of an epoch from batch `start` on.
    pub fn epoch(&self, epoch: usize, start: usize) -> Ahead<Batch> {
        let (loader, order) = (self.clone(), self.order(epoch));
        Ahead::new(start..self.batches(), "loader", move |number| loader.prepare(epoch, number, &order))
    }

    /// Batch `number` of an epoch, prepared here and now.
    pub fn batch(&self, epoch: usize, number: usize) -> Result<Batch> {
        self.prepare(epoch, number, &self.order(epoch))
    }

    /// The places in the subset, in the order of this epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
        match &self.rng {
            Some(rng) => rng.stream("order").at(epoch as u64).permutation(self.subset.len()),
            None => (0..self.subset.len()).collect(),
        }
    }

    fn prepare(&self, epoch: usize, number: usize, order: &[usize]) -> Result<Batch> {
        let places = &order[number * self.batch..order.len().min((number + 1) * self.batch)];
        let side = self.transform.side();
        let mut images = Tensor::stale([places.len(), side, side, 3]);
        let data = self.subset.dataset();
        let indices: Vec<usize> = places.iter().map(|&k| self.subset.indices()[k]).collect();
        // Decoding photographs costs more than a step: all threads share it. Of several errors the first
        // image's counts.
        let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        gradus_core::parallel::chunks(images.data_mut(), self.transform.floats(), |k, out| {
            if let Err(e) = self.write(epoch, indices[k], out) {
                let mut first = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if first.as_ref().is_none_or(|f| k < f.0) {
                    *first = Some((k, e));
                }
            }
        });
        if let Some((_, e)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(e);
        }
        let labels = indices.iter().map(|&i| data.label(i)).collect();
        Ok(Batch { number, images, labels, indices })
    }

    /// Image i of the data set as this epoch shows it.
    fn write(&self, epoch: usize, i: usize, out: &mut [f32]) -> Result<()> {
        let data = self.subset.dataset();
        let image = data.image(i)?;
        let transformed = match &self.rng {
            Some(rng) => {
                let mut own = rng.stream("augment").at(epoch as u64).at(i as u64);
                self.transform.train(&image, &mut own, out)
            }
            None => self.transform.evaluate(&image, out),
        };
        transformed.map_err(|e| skippable(e.in_file(data.describe(i))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::image::Image;
    use std::sync::Arc;

    /// Images of one color, their index; image `bad` cannot be read.
    struct Numbers {
        classes: Vec<String>,
        bad: usize,
    }

    impl Dataset for Numbers {
        fn name(&self) -> &str {
            "numbers"
        }
        fn classes(&self) -> &[String] {
            &self.classes
        }
        fn len(&self) -> usize {
            25
        }
        fn label(&self, i: usize) -> usize {
            i % 2
        }
        fn image(&self, i: usize) -> Result<Image> {
            if i == self.bad {
                return Err(Error::input("is broken").in_file(format!("{i}.png")));
            }
            Ok(Image::filled(32, 32, [i as u8 * 10; 3]))
        }
        fn checksum(&self) -> String {
            String::new()
        }
    }

    fn numbers(bad: usize) -> Subset {
        Subset::all(Arc::new(Numbers { classes: vec!["even".into(), "odd".into()], bad }))
    }

    fn training(seed: u64) -> Loader {
        Loader::training(numbers(99), Transform::CIFAR, 4, &Rng::seed(seed))
    }

    #[test]
    fn an_epoch_visits_each_image_once_in_an_order_of_its_own() {
        let order = |seed, epoch| -> Vec<usize> {
            training(seed).epoch(epoch, 0).flat_map(|b| b.unwrap().indices).collect()
        };
        let first = order(1, 0);
        assert_ne!(first, order(1, 1));
        assert_ne!(first, order(2, 0));
        assert_eq!(first, order(1, 0));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn taken_up_at_a_batch_it_goes_on_bit_for_bit() {
        let loader = training(3);
        let whole: Vec<Batch> = loader.epoch(2, 0).map(Result::unwrap).collect();
        assert_eq!((whole.len(), whole[6].labels.len()), (7, 1));
        for (late, whole) in loader.epoch(2, 5).map(Result::unwrap).zip(&whole[5..]) {
            assert_eq!((late.number, &late.indices), (whole.number, &whole.indices));
            assert_eq!(late.images.data(), whole.images.data());
            assert!(late.labels.iter().zip(&late.indices).all(|(l, i)| *l == i % 2));
        }
        assert_eq!(loader.batch(2, 3).unwrap().images.data(), whole[3].images.data());
    }

    #[test]
    fn evaluation_is_in_order_and_plain() {
        let loader = Loader::evaluation(numbers(99), Transform::CIFAR, 10);
        let batches: Vec<Batch> = loader.epoch(0, 0).map(Result::unwrap).collect();
        assert_eq!(batches[2].indices, [20, 21, 22, 23, 24]);
        assert_eq!(batches[1].images.data()[0], Transform::CIFAR.normalise.apply(100, 0));
    }

    #[test]
    fn a_bad_image_is_an_error_that_names_it_and_the_epoch_ends() {
        let loader = Loader::evaluation(numbers(5), Transform::CIFAR, 4);
        let mut batches = loader.epoch(0, 0);
        assert!(batches.next().unwrap().is_ok());
        assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "5.png: is broken");
        assert!(batches.next().is_none());
    }

    #[test]
    fn leaving_early_ends_the_thread() {
        let mut batches = training(1).epoch(0, 0);
        batches.next();
        drop(batches);
    }
}
