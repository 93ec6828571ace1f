//! Training a classifier: epochs of steps, validation, the best weights kept, stopped and resumed to the same bits.
//!
//! Step t sees batch b of epoch e (a function of seed and e), drops out by the stream (seed, "dropout", t), and descends
//! on the batch's mean cross-entropy. After an epoch the network is judged on the validation images; the weights of the
//! least validation loss are `weights/best`, and judge the test images in the end. Accuracies are of all images (not
//! means over batches).

use super::state::{self, checkpoint_error};
use crate::data::{Loader, Splits, Subset, Transform};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::metrics::confusion::Confusion;
use crate::progress::{Progress, clock};
use gradus_core::optim::{Adam, Optimizer};
use gradus_core::{Rng, Tape, Tensor};
use gradus_models::AlexNet;
use gradus_models::checkpoint::{self, Metadata, save_module};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Images evaluated at a time.
const EVALUATION_BATCH: usize = 256;
/// In a long epoch the state is saved this often.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// What the training depends on, beside the data.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Adam's learning rate.
    pub lr: f64,
    /// Of everything random.
    pub seed: u64,
}

/// Loss and accuracy over some images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How many.
    pub images: usize,
    /// The mean cross-entropy, in nats.
    pub loss: f64,
    /// The fraction whose most probable class is the true one.
    pub accuracy: f64,
}

/// Sums that become a [`Score`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    images: usize,
    loss: f64,
    correct: usize,
}

impl Tally {
    fn add(&mut self, mean_loss: f64, logits: &Tensor, labels: &[usize]) {
        self.images += labels.len();
        self.loss += mean_loss * labels.len() as f64;
        self.correct += predictions(logits).zip(labels).filter(|(p, l)| p == *l).count();
    }

    fn score(&self) -> Score {
        let n = self.images.max(1) as f64;
        Score { images: self.images, loss: self.loss / n, accuracy: self.correct as f64 / n }
    }
}

/// The most probable class of each row; the first of equals.
pub fn predictions(logits: &Tensor) -> impl Iterator<Item = usize> {
    let [_, classes] = logits.dims("predictions");
    logits.data().chunks(classes).map(|row| {
        let best = row.iter().enumerate().reduce(|best, v| if v.1 > best.1 { v } else { best });
        best.map_or(0, |(i, _)| i)
    })
}

/// One epoch's line in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLog {
    /// Counted from 1.
    pub epoch: usize,
    /// On the augmented training images, while they were learned from.
    pub train: Score,
    /// On the validation images, after the epoch.
    pub val: Score,
    /// The learning rate.
    pub lr: f64,
    /// Of training, in seconds.
    pub seconds: f64,
    /// Trained on, a second.
    pub images_per_second: f64,
}

/// Where the training stands: with weights and optimiser all that resuming needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Whole epochs behind.
    pub epoch: usize,
    /// Batches of the next epoch behind.
    pub batch: usize,
    /// Steps behind.
    step: u64,
    tally: Tally,
    /// Of the epoch begun: in seconds, of all processes.
    seconds: f64,
    /// The epochs behind.
    pub history: Vec<EpochLog>,
    /// The epoch with the least validation loss, counted from 1.
    pub best_epoch: usize,
}

/// A run's files that the training writes.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of the run in `folder`.
    pub fn of(folder: &Path) -> Self {
        Files { folder: folder.to_path_buf() }
    }
    /// The weights of the least validation loss.
    pub fn best(&self) -> PathBuf {
        self.folder.join("weights/best.safetensors")
    }
    /// The newest weights.
    pub fn last(&self) -> PathBuf {
        self.folder.join("weights/last.safetensors")
    }
    /// All that resuming needs.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state/state.safetensors")
    }
}

/// A network in training.
pub struct Trainer<'a> {
    plan: Plan,
    splits: &'a Splits,
    transform: Transform,
    files: Files,
    metadata: Metadata,
    net: AlexNet,
    optimizer: Optimizer,
    dropout: Rng,
    position: Position,
}

impl<'a> Trainer<'a> {
    /// A training from the beginning. `metadata` goes into the weights' files.
    pub fn new(
        net: AlexNet,
        plan: Plan,
        splits: &'a Splits,
        transform: Transform,
        folder: &Path,
        metadata: Metadata,
    ) -> Self {
        Trainer {
            plan,
            splits,
            transform,
            files: Files::of(folder),
            metadata,
            net,
            optimizer: Optimizer::new(Adam::new(plan.lr)),
            dropout: Rng::seed(plan.seed).stream("dropout"),
            position: Position::default(),
        }
    }

    /// Goes on where the run in the folder was, if it has saved a state.
    pub fn resume(&mut self) -> Result<()> {
        if self.files.state().exists() {
            self.position = state::load(&self.files.state(), &mut self.net, &mut self.optimizer)?;
        }
        Ok(())
    }

    /// Where it stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The files it writes.
    pub fn files(&self) -> &Files {
        &self.files
    }

    fn save_state(&mut self) -> Result<()> {
        state::save(&self.files.state(), &mut self.net, &self.optimizer, &self.position)
    }

    /// Saves the state, and says how to go on.
    fn interrupted(&mut self) -> Result<Error> {
        self.save_state()?;
        let folder = self.files.folder.display();
        Ok(Error::interrupted(format!(
            "the state is saved in {folder}; the same command with --resume goes on"
        )))
    }

    /// Trains to the plan's last epoch. `after_epoch` sees each finished epoch, after its weights and before its state
    /// are saved: it may be called again for the same epoch by a resumed run.
    ///
    /// # Errors
    /// Interrupted (the state is saved), a loss that is not finite, or a file that cannot be read or written.
    pub fn run(&mut self, mut after_epoch: impl FnMut(&Position) -> Result<()>) -> Result<()> {
        while self.position.epoch < self.plan.epochs {
            self.train_epoch()?;
            let train = self.position.tally.score();
            let val = match evaluate(&self.net, &self.splits.val, self.transform, "validation", |_, _, _| {})
            {
                Err(Error::Interrupted(_)) => return Err(self.interrupted()?),
                val => val?,
            };
            let p = &mut self.position;
            let seconds = p.seconds;
            p.history.push(EpochLog {
                epoch: p.epoch + 1,
                train,
                val,
                lr: self.optimizer.lr(),
                seconds,
                images_per_second: train.images as f64 / seconds.max(1e-9),
            });
            *p =
                Position { epoch: p.epoch + 1, batch: 0, tally: Tally::default(), seconds: 0.0, ..p.clone() };
            // Only a strictly lower loss is better; NaN never is.
            let best = p.best_epoch.checked_sub(1).map(|i| p.history[i].val.loss);
            let improved = best.is_none_or(|best| val.loss < best);
            if improved {
                p.best_epoch = p.epoch;
            }
            let about =
                self.metadata.clone().into_iter().chain([("epoch".into(), p.epoch.to_string())]).collect();
            if improved {
                save_module(self.files.best(), &mut self.net, &about).map_err(checkpoint_error)?;
            }
            save_module(self.files.last(), &mut self.net, &about).map_err(checkpoint_error)?;
            after_epoch(&self.position)?;
            self.save_state()?;
        }
        Ok(())
    }

    fn train_epoch(&mut self) -> Result<()> {
        let loader = Loader::training(
            self.splits.train.clone(),
            self.transform,
            self.plan.batch,
            &Rng::seed(self.plan.seed),
        );
        let epoch = self.position.epoch;
        let label = format!("epoch {}/{}", epoch + 1, self.plan.epochs);
        let total = self.splits.train.len() as u64;
        let mut progress = Progress::new(label, "images", total, self.position.tally.images as u64);
        let mut since = Instant::now();
        let mut saved = Instant::now();
        for batch in loader.epoch(epoch, self.position.batch) {
            let batch = batch?;
            let (loss, logits) = self.step(batch.images, &batch.labels);
            if !loss.is_finite() {
                return Err(Error::failure(format!(
                    "the loss is {loss} at step {} (epoch {}, batch {}): the training diverged",
                    self.position.step + 1,
                    epoch + 1,
                    batch.number + 1
                ))
                .remedy("train with a lower --lr"));
            }
            let p = &mut self.position;
            p.tally.add(loss, &logits, &batch.labels);
            p.batch += 1;
            p.step += 1;
            p.seconds += since.elapsed().as_secs_f64();
            since = Instant::now();
            progress.advance(batch.labels.len() as u64, || {
                let s = p.tally.score();
                format!("loss {:.4}, accuracy {:.1} %", s.loss, 100.0 * s.accuracy)
            });
            if interrupt::requested() {
                return Err(self.interrupted()?);
            }
            if saved.elapsed() > SAVE_EVERY {
                self.save_state()?;
                saved = Instant::now();
            }
        }
        let s = self.position.tally.score();
        progress.line(&format!(
            "epoch {}/{}: loss {:.4}, accuracy {:.2} %, {}",
            epoch + 1,
            self.plan.epochs,
            s.loss,
            100.0 * s.accuracy,
            clock(self.position.seconds)
        ));
        Ok(())
    }

    /// One step of descent: the batch's mean loss and its logits.
    fn step(&mut self, images: Tensor, labels: &[usize]) -> (f64, Tensor) {
        let mut g = Tape::train(&mut self.dropout.at(self.position.step));
        let logits = self.net.forward(&mut g, images.into());
        let values = logits.value.clone();
        let loss = g.cross_entropy(logits, labels);
        let value = f64::from(loss.value.item());
        self.optimizer.step(&mut self.net, &g.backward(&loss));
        (value, values)
    }

    /// The network with the weights of the least validation loss.
    pub fn into_best(mut self) -> Result<AlexNet> {
        let path = self.files.best();
        let loaded = checkpoint::load(&path).map_err(checkpoint_error)?;
        checkpoint::load_exact(&mut self.net, &loaded.tensors, &path).map_err(checkpoint_error)?;
        Ok(self.net)
    }
}

/// Judges a network on some images; `each` sees indices, labels and logits batch by batch.
pub fn evaluate(
    net: &AlexNet,
    subset: &Subset,
    transform: Transform,
    label: &str,
    mut each: impl FnMut(&[usize], &[usize], &Tensor),
) -> Result<Score> {
    let loader = Loader::evaluation(subset.clone(), transform, EVALUATION_BATCH);
    let mut tally = Tally::default();
    let mut progress = Progress::new(label, "images", subset.len() as u64, 0);
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        let mut g = Tape::infer();
        let logits = net.forward(&mut g, batch.images.into());
        let values = logits.value.clone();
        let loss = f64::from(g.cross_entropy(logits, &batch.labels).value.item());
        tally.add(loss, &values, &batch.labels);
        each(&batch.indices, &batch.labels, &values);
        progress.advance(batch.labels.len() as u64, || format!("loss {:.4}", tally.score().loss));
        if interrupt::requested() {
            return Err(Error::interrupted("nothing was changed"));
        }
    }
    Ok(tally.score())
}

/// Judges a network on some images, and counts which class was taken for which.
pub fn confusion(
    net: &AlexNet,
    subset: &Subset,
    transform: Transform,
    label: &str,
) -> Result<(Score, Confusion)> {
    let mut counts = Confusion::new(subset.classes());
    let score = evaluate(net, subset, transform, label, |_, labels, logits| {
        for (truth, predicted) in labels.iter().zip(predictions(logits)) {
            counts.add(*truth, predicted);
        }
    })?;
    Ok((score, counts))
}
