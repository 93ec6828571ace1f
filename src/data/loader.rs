//! Batches, prepared on a thread of their own while the network computes.
//!
//! Batch b of epoch e is a function of (seed, e, b): a permutation drawn from (seed, e) orders the images,
//! and image i is changed at random by the stream (seed, e, i). An interrupted epoch can so be taken up at
//! any batch. What a batch is, and what is changed in an image, is the [`Collate`]'s.

use gradus_core::Rng;

use super::ahead::Ahead;
use super::images::{Images, Subset};
use crate::error::Result;

/// How images become a batch.
pub trait Collate: Clone + Send + 'static {
    /// Where the images come from.
    type Data: Images + ?Sized + 'static;
    /// What a step of training takes.
    type Batch: Send + 'static;

    /// The batch with this number in its epoch, of these images of a data set. While training, image i is
    /// changed at random by the stream `rng.at(i)`; without `rng` it is shown as it is.
    fn collate(
        &self,
        number: usize,
        data: &Self::Data,
        images: &[usize],
        rng: Option<&Rng>,
    ) -> Result<Self::Batch>;
}

/// Prepares the batches of a subset.
pub struct Loader<C: Collate> {
    subset: Subset<C::Data>,
    collate: C,
    batch: usize,
    /// Where the order and the changes come from; none for evaluation.
    rng: Option<Rng>,
}

/// By hand, since the data set need not be one that can be cloned.
impl<C: Collate> Clone for Loader<C> {
    fn clone(&self) -> Self {
        let Loader { subset, collate, batch, rng } = self;
        Loader { subset: subset.clone(), collate: collate.clone(), batch: *batch, rng: rng.clone() }
    }
}

impl<C: Collate> Loader<C> {
    /// Batches to train on: in random order, images changed at random; the last may be smaller. Panics where
    /// `batch` is 0.
    #[track_caller]
    pub fn training(subset: Subset<C::Data>, collate: C, batch: usize, rng: &Rng) -> Self {
        assert!(batch > 0, "Loader: batches of 0 images");
        Loader { subset, collate, batch, rng: Some(rng.stream("loader")) }
    }

    /// Batches to evaluate: in order, images as they are; the last may be smaller. Panics where `batch` is 0.
    #[track_caller]
    pub fn evaluation(subset: Subset<C::Data>, collate: C, batch: usize) -> Self {
        assert!(batch > 0, "Loader: batches of 0 images");
        Loader { subset, collate, batch, rng: None }
    }

    /// The same images in batches of another size. Panics where that is 0.
    #[must_use]
    #[track_caller]
    pub fn in_batches_of(&self, batch: usize) -> Self {
        assert!(batch > 0, "Loader: batches of 0 images");
        Loader { batch, ..self.clone() }
    }

    /// Images of the first batch; only the last one may have fewer.
    pub fn largest(&self) -> usize {
        self.batch.min(self.subset.len())
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.subset.len().div_ceil(self.batch)
    }

    /// The images.
    pub fn subset(&self) -> &Subset<C::Data> {
        &self.subset
    }

    /// The batches of an epoch from batch `start` on.
    pub fn epoch(&self, epoch: usize, start: usize) -> Ahead<C::Batch> {
        let (loader, order) = (self.clone(), self.order(epoch));
        Ahead::new(start..self.batches(), "loader", move |number| loader.prepare(epoch, number, &order))
    }

    /// Batch `number` of an epoch, prepared here and now.
    pub fn batch(&self, epoch: usize, number: usize) -> Result<C::Batch> {
        self.prepare(epoch, number, &self.order(epoch))
    }

    /// The images in the order of this epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
        match &self.rng {
            Some(rng) => {
                let places = rng.stream("order").at(epoch as u64).permutation(self.subset.len());
                places.into_iter().map(|k| self.subset.indices()[k]).collect()
            }
            None => self.subset.indices().to_vec(),
        }
    }

    fn prepare(&self, epoch: usize, number: usize, order: &[usize]) -> Result<C::Batch> {
        let images = &order[number * self.batch..order.len().min((number + 1) * self.batch)];
        let rng = self.rng.as_ref().map(|rng| rng.stream("augment").at(epoch as u64));
        self.collate.collate(number, self.subset.dataset(), images, rng.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::data::{Loader, SyntheticShapes, Transform};

    #[test]
    fn no_batch_is_larger_than_the_first() {
        let train = SyntheticShapes::with_len(1, 96).split().train;
        for batch in [1, train.len() - 7, train.len(), train.len() + 5] {
            let loader = Loader::evaluation(train.clone(), Transform::CIFAR, batch);
            let sizes = (0..loader.batches()).map(|i| loader.batch(0, i).unwrap().labels.len());
            assert_eq!(sizes.max(), Some(loader.largest()), "{batch}");
        }
    }
}
