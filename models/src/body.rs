//! A network's body, all but what names classes: what a detector sees with.

use crate::conv_norm::ConvNorm;
use gradus_core::{Element, Module, Tape, Var};
use std::fmt;

/// The body of a network that is trained on images' classes first. Its tensors have torchvision's names.
pub trait Body<E: Element = f32>: Module<E> + fmt::Debug + Send + Sync {
    /// Images [n, h, w, 3], normalised, to the maps that a pyramid stands on, from fine to coarse, each half
    /// as high and wide as the one before.
    #[track_caller]
    fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Vec<Var<E>>;

    /// The channels of each of the maps.
    fn channels(&self) -> Vec<usize>;

    /// The convolutions of each stage, from the images on. A stage is trained or frozen as a whole.
    fn stages(&mut self) -> Vec<Vec<&mut ConvNorm<E>>>;

    /// Leaves the last `trainable` stages trainable and freezes those before. Panics when there are not so
    /// many.
    #[track_caller]
    fn train_last(&mut self, trainable: usize) {
        let stages = self.stages();
        assert!(trainable <= stages.len(), "{trainable} trainable stages of {}", stages.len());
        let first = stages.len() - trainable;
        for (i, stage) in stages.into_iter().enumerate() {
            stage.into_iter().for_each(|conv| conv.set_trainable(i >= first));
        }
    }

    /// Sets ε of every batch norm: 1e-5 at first.
    fn set_norm_eps(&mut self, eps: f64) {
        self.stages().into_iter().flatten().for_each(|conv| conv.set_eps(eps));
    }
}
