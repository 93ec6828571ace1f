//! Batches for classifiers: images as tensors, whose memory goes back to the arena and is used again.

use std::sync::{Mutex, PoisonError};

use gradus_core::{Rng, Tensor};

use super::dataset::Dataset;
use crate::data::augment::Transform;
use crate::data::description::skippable;
use crate::data::loader::Collate;
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

impl Collate for Transform {
    type Data = dyn Dataset;
    type Batch = Batch;

    fn collate(
        &self,
        number: usize,
        data: &dyn Dataset,
        indices: &[usize],
        rng: Option<&Rng>,
    ) -> Result<Batch> {
        let side = self.side();
        let mut images = Tensor::stale([indices.len(), side, side, 3]);
        // Decoding photographs costs more than a step: all threads share it. Of several errors the first
        // image's counts.
        let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        gradus_core::parallel::chunks(images.data_mut(), self.floats(), |k, out| {
            if let Err(e) = write(self, data, indices[k], rng, out) {
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
        Ok(Batch { number, images, labels, indices: indices.to_vec() })
    }
}

/// Image i of the data set, as this epoch shows it.
fn write(
    transform: &Transform,
    data: &dyn Dataset,
    i: usize,
    rng: Option<&Rng>,
    out: &mut [f32],
) -> Result<()> {
    let image = data.image(i)?;
    let transformed = match rng {
        Some(rng) => transform.train(&image, &mut rng.at(i as u64), out),
        None => transform.evaluate(&image, out),
    };
    transformed.map_err(|e| skippable(e.in_file(data.name(i))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Images, Labelled, Loader, Subset};
    use crate::image::Image;
    use std::sync::Arc;

    /// Images of one color, their index; image `bad` cannot be read.
    struct Numbers {
        classes: Vec<String>,
        bad: usize,
    }

    impl Images for Numbers {
        fn kind(&self) -> String {
            "numbers".into()
        }
        fn len(&self) -> usize {
            25
        }
        fn name(&self, i: usize) -> String {
            format!("{i}.png")
        }
        fn checksum(&self) -> Result<String> {
            Ok(String::new())
        }
    }

    impl Dataset for Numbers {
        fn title(&self) -> &str {
            "numbers"
        }
        fn classes(&self) -> &[String] {
            &self.classes
        }
        fn label(&self, i: usize) -> usize {
            i % 2
        }
        fn image(&self, i: usize) -> Result<Image> {
            if i == self.bad {
                return Err(Error::input("is broken").in_file(self.name(i)));
            }
            Ok(Image::filled(32, 32, [i as u8 * 10; 3]))
        }
    }

    fn numbers(bad: usize) -> Labelled {
        Subset::all(Arc::new(Numbers { classes: vec!["even".into(), "odd".into()], bad }))
    }

    fn training(seed: u64) -> Loader<Transform> {
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
