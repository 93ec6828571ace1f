//! Where a training stands, and what has become of the epochs behind. It is saved with the weights, and all
//! that resuming needs besides.

use serde::{Deserialize, Serialize};
use std::mem;

/// One epoch in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLog<T, S> {
    /// Counted from 1.
    pub epoch: usize,
    /// On the training images as they were shown, while they were learned from.
    pub train: T,
    /// After the epoch.
    pub score: S,
    /// The learning rate of its last step.
    pub lr: f64,
    /// Of training, in seconds.
    pub seconds: f64,
    /// Trained on, a second.
    pub images_per_second: f64,
    /// Its steps, and the losses of one in [`stride`] of them. Those of older runs are not known.
    #[serde(default)]
    steps: usize,
    #[serde(default)]
    losses: Vec<f32>,
}

/// At most so many losses of an epoch's steps are kept: its curve.
const CURVE: usize = 64;

/// Of an epoch of so many steps, one in how many is in the curve: the first, and each that is so far from it.
fn stride(steps: usize) -> usize {
    steps.div_ceil(CURVE).max(1)
}

impl<T, S> EpochLog<T, S> {
    /// Steps, counted from the first of the training, and their losses.
    pub fn curve(&self) -> Vec<(usize, f64)> {
        let before = (self.epoch - 1) * self.steps + 1;
        let places = (before..).step_by(stride(self.steps));
        places.zip(self.losses.iter().map(|&loss| loss.into())).collect()
    }
}

/// Where a training stands: with weights and optimiser all that resuming needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position<T, S> {
    /// Whole epochs behind.
    pub epoch: usize,
    /// Batches of the next epoch behind.
    pub batch: usize,
    /// Steps behind.
    pub(super) step: u64,
    /// Of the epoch begun.
    pub(super) tally: T,
    /// Of the epoch begun: in seconds, of all processes.
    pub(super) seconds: f64,
    /// Of the epoch begun, as in [`EpochLog`].
    #[serde(default)]
    losses: Vec<f32>,
    /// The epochs behind.
    pub history: Vec<EpochLog<T, S>>,
    /// The epoch with the best score, counted from 1.
    pub best_epoch: usize,
}

impl<T, S> Position<T, S> {
    /// Error: no training stands there whose epochs have so many steps; why. `taken` are the optimiser's.
    pub(super) fn check(&self, steps: usize, taken: u64) -> Result<(), &'static str> {
        let behind = (self.epoch as u64).checked_mul(steps as u64);
        let behind = behind.and_then(|behind| behind.checked_add(self.batch as u64));
        let of_its_steps = |log: &EpochLog<T, S>| log.losses.len() <= log.steps && log.steps <= steps;
        let numbered = self.history.iter().zip(1..).all(|(log, number)| log.epoch == number);
        for (holds, what) in [
            (self.batch <= steps, "its epoch has fewer steps than are behind"),
            (behind == Some(self.step), "its steps are not those of its epochs"),
            (taken <= self.step, "its optimiser has taken more steps than it"),
            (self.history.len() == self.epoch && numbered, "its epochs are not those of its history"),
            (
                self.best_epoch <= self.epoch && (self.best_epoch > 0) == (self.epoch > 0),
                "its best epoch is none",
            ),
            (self.seconds >= 0.0, "its seconds are none"),
            (
                self.losses.len() <= self.batch && self.history.iter().all(of_its_steps),
                "it has more losses than steps",
            ),
        ] {
            if !holds {
                return Err(what);
            }
        }
        Ok(())
    }

    /// Steps of the epoch begun, which has so many, counted from its first, and their losses.
    pub(super) fn curve(&self, steps: usize) -> Vec<(usize, f64)> {
        (1..).step_by(stride(steps)).zip(self.losses.iter().map(|&loss| loss.into())).collect()
    }

    /// A step is behind, of an epoch of so many: the sums with it, and its loss.
    pub(super) fn take_step(&mut self, tally: T, loss: f64, steps: usize) {
        self.tally = tally;
        if self.batch.is_multiple_of(stride(steps)) {
            self.losses.push(loss as f32);
        }
        (self.batch, self.step) = (self.batch + 1, self.step + 1);
    }

    /// The epoch is behind: its score, images, last learning rate and steps.
    pub(super) fn end_epoch(&mut self, score: S, images: usize, lr: f64, steps: usize)
    where
        T: Default,
    {
        let (train, losses) = (mem::take(&mut self.tally), mem::take(&mut self.losses));
        let seconds = mem::take(&mut self.seconds);
        let images_per_second = images as f64 / seconds.max(1e-9);
        (self.epoch, self.batch) = (self.epoch + 1, 0);
        let epoch = self.epoch;
        self.history.push(EpochLog { epoch, train, score, lr, seconds, images_per_second, steps, losses });
    }

    /// The last epoch.
    pub fn last(&self) -> Option<&EpochLog<T, S>> {
        self.history.last()
    }

    /// The epoch with the best score.
    pub fn best(&self) -> Option<&EpochLog<T, S>> {
        self.history.get(self.best_epoch.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_the_same_wherever_it_was_interrupted() {
        let trained = |steps: usize, epochs: usize| {
            let mut position = Position::<(), ()>::default();
            for step in 0..steps * epochs {
                position.take_step((), step as f64, steps);
                let last = position.curve(steps).last().copied();
                assert!(last.is_some_and(|(at, loss)| loss as usize % steps + 1 == at), "{last:?}");
                // Saved, and read again.
                let text = serde_json::to_string(&position).unwrap();
                position = serde_json::from_str(&text).unwrap();
                assert_eq!(
                    position.check(steps, 0).err(),
                    (position.epoch > 0).then_some("its best epoch is none")
                );
                if position.batch == steps {
                    position.end_epoch((), 0, 0.1, steps);
                }
            }
            position.history.iter().flat_map(EpochLog::curve).collect::<Vec<_>>()
        };
        // The loss of a step is the number of those before it.
        assert_eq!(trained(3, 2), [1, 2, 3, 4, 5, 6].map(|step| (step, step as f64 - 1.0)));
        let thinned = trained(130, 2);
        assert_eq!(thinned[..3], [(1, 0.0), (4, 3.0), (7, 6.0)]);
        assert_eq!((thinned.len(), thinned[44]), (88, (131, 130.0)));
        assert!([1, 63, 64, 65, 1000].iter().all(|&steps| trained(steps, 1).len() <= CURVE));
    }

    #[test]
    fn a_curve_of_more_steps_than_there_are_is_refused() {
        let mut position = Position::<(), ()> { losses: vec![0.0], ..Position::default() };
        assert_eq!(position.check(4, 0), Err("it has more losses than steps"));
        position.losses.clear();
        assert_eq!(position.check(4, 0), Ok(()));
        position.take_step((), 1.0, 1);
        position.end_epoch((), 1, 0.1, 1);
        position.best_epoch = 1;
        assert_eq!(position.check(1, 0), Ok(()));
        position.history[0].steps = 9;
        assert_eq!(position.check(1, 0), Err("it has more losses than steps"));
        // What an older run wrote says nothing of losses.
        let old = serde_json::json!({ "epoch": 0, "batch": 0, "step": 0, "tally": null, "seconds": 0.0, "history": [], "best_epoch": 0 });
        let old: Position<(), ()> = serde_json::from_value(old).unwrap();
        assert_eq!(old.check(4, 0), Ok(()));
    }
}
