//! A classifier as a training task: augmented batches, the mean cross-entropy, judged on the validation
//! images.
//!
//! Step t drops out by the stream (seed, "dropout", t). The weights of the least validation loss are the
//! best, and judge the test images in the end. Accuracies are of all images (not means over batches).

use super::culprit::{self, Shown};
use super::trainer::{self, Task};
use crate::data::{Ahead, Batch, Labelled, Loader, Splits, Transform};
use crate::error::{Error, Result};
use crate::image::{Image, caption_grid};
use crate::interrupt;
use crate::metrics::confusion::{Confusion, predictions};
use crate::metrics::losses::{Loss, TopLosses};
use crate::plot;
use crate::progress::Progress;
use gradus_core::gemm::Precision;
use gradus_core::{OneCycle, Rng, Schedule, Tape, Tensor, Var};
use gradus_models::AlexNet;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Images evaluated at a time.
const EVALUATION_BATCH: usize = 256;

/// What the training depends on, beside the data and the network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Passes over the training images.
    #[serde(deserialize_with = "super::count")]
    pub epochs: usize,
    /// Images a step.
    #[serde(deserialize_with = "super::count")]
    pub batch: usize,
    /// Adam's learning rate.
    #[serde(deserialize_with = "super::rate")]
    pub lr: f64,
    /// Whether the rate rises to `lr` and falls again, in one cycle over all steps; otherwise it is constant.
    #[serde(default)]
    pub one_cycle: bool,
    /// Of everything random.
    pub seed: u64,
    /// What products and convolutions read.
    #[serde(default, with = "super::named_precision")]
    pub precision: Precision,
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
pub struct Tally {
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

    /// Their means.
    pub fn score(&self) -> Score {
        let n = self.images.max(1) as f64;
        Score { images: self.images, loss: self.loss / n, accuracy: self.correct as f64 / n }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.score();
        write!(f, "loss {:.4}, accuracy {:.2} %", s.loss, 100.0 * s.accuracy)
    }
}

impl trainer::Tally for Tally {
    fn images(&self) -> usize {
        self.images
    }
}

/// AlexNet, learning the classes of some splits.
pub struct Classification<'a> {
    plan: Plan,
    splits: &'a Splits,
    transform: Transform,
    loader: Loader<Transform>,
    schedule: Schedule,
}

impl<'a> Classification<'a> {
    /// The images prepared by `transform`.
    pub fn new(plan: Plan, splits: &'a Splits, transform: Transform) -> Self {
        let loader = Loader::training(splits.train.clone(), transform, plan.batch, &Rng::seed(plan.seed));
        let steps = plan.epochs * loader.batches();
        let schedule = match plan.one_cycle {
            true => Schedule::OneCycle(OneCycle { momentum: None, ..OneCycle::new(plan.lr, steps) }),
            false => Schedule::Constant,
        };
        Classification { plan, splits, transform, loader, schedule }
    }
}

impl Task for Classification<'_> {
    type Net = AlexNet;
    type Batch = Batch;
    type Tally = Tally;
    type Score = Score;

    fn with_batch(&self, images: usize) -> Option<Self> {
        let Classification { plan, splits, transform, ref loader, ref schedule } = *self;
        Some(Classification {
            plan,
            splits,
            transform,
            loader: loader.in_batches_of(images),
            schedule: schedule.clone(),
        })
    }

    fn epochs(&self) -> usize {
        self.plan.epochs
    }

    fn precision(&self) -> Precision {
        self.plan.precision
    }

    fn images(&self) -> usize {
        self.splits.train.len()
    }

    fn largest_step(&self) -> usize {
        self.loader.largest()
    }

    fn steps(&self) -> usize {
        self.loader.batches()
    }

    fn batches(&self, epoch: usize, start: usize) -> Ahead<Batch> {
        self.loader.epoch(epoch, start)
    }

    fn shown<'b>(&self, batch: &'b Batch) -> Vec<Shown<'b>> {
        shown(&self.splits.train, self.transform, batch)
    }

    fn lr(&self, epoch: usize, batch: usize) -> f64 {
        self.schedule.lr(self.plan.lr, epoch * self.loader.batches() + batch)
    }

    fn rng(&self, step: u64) -> Rng {
        Rng::seed(self.plan.seed).stream("dropout").at(step)
    }

    fn loss(&self, net: &AlexNet, g: &mut Tape, batch: &Batch, tally: &mut Tally) -> Result<Var> {
        let logits = net.forward(g, batch.images.clone().into());
        let values = logits.value.clone();
        let loss = g.cross_entropy(logits, &batch.labels);
        tally.add(f64::from(loss.value.item()), &values, &batch.labels);
        Ok(loss)
    }

    fn judge(&self, net: &AlexNet) -> Result<Score> {
        evaluate(self.plan.precision, net, &self.splits.val, self.transform, "validation", |_, _, _| {})
    }

    /// Only a strictly lower loss is better; NaN never is.
    fn better(score: &Score, best: &Score) -> bool {
        score.loss < best.loss
    }
}

/// The images of a batch by their names in the data set.
pub fn shown<'b>(subset: &Labelled, transform: Transform, batch: &'b Batch) -> Vec<Shown<'b>> {
    let name = |&i: &usize| subset.dataset().name(i);
    let pixels = batch.images.data().chunks(transform.floats());
    batch.indices.iter().map(name).zip(pixels).map(|(name, pixels)| Shown { name, pixels }).collect()
}

/// Which image it is whose logits are not finite, and the first of the network's results that was not.
fn not_finite(net: &AlexNet, tape: Tape, shown: &[Shown], batch: &Batch, logits: &Tensor) -> Error {
    let [_, classes] = logits.dims("logits");
    let bad = logits.data().chunks(classes).position(|row| row.iter().any(|v| !v.is_finite()));
    let image = &shown[bad.unwrap_or(0)];
    if image.pixels.iter().any(|v| !v.is_finite()) {
        return Error::input("holds NaN or infinity").in_file(&image.name).remedy("mend or remove it");
    }
    let mut g = tape.watching();
    net.forward(&mut g, batch.images.clone().into());
    let first = culprit::told(g.not_finite());
    Error::failure(format!("the network's answer is not finite{first}")).in_file(&image.name)
}

/// Images of the greatest losses that are remembered.
const TOP_LOSSES: usize = 24;
/// The confusion matrix.
pub const CONFUSION: &str = "confusion_matrix.png";
/// The images of the greatest losses.
pub const TOP_LOSSES_PICTURE: &str = "top_losses.png";

/// Judges a network on some images; `each` sees indices, labels and logits batch by batch.
///
/// # Errors
/// Unreadable images, an answer that is not finite, or an interruption.
pub fn evaluate(
    precision: Precision,
    net: &AlexNet,
    subset: &Labelled,
    transform: Transform,
    label: &str,
    mut each: impl FnMut(&[usize], &[usize], &Tensor),
) -> Result<Score> {
    let loader = Loader::evaluation(subset.clone(), transform, EVALUATION_BATCH);
    let mut tally = Tally::default();
    let mut progress = Progress::new(label, "images", subset.len() as u64, 0);
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        let tape = || Tape::infer().in_precision(precision);
        let mut g = tape();
        let logits = net.forward(&mut g, batch.images.clone().into());
        let values = logits.value.clone();
        if !values.is_finite() {
            return Err(not_finite(net, tape(), &shown(subset, transform, &batch), &batch, &values));
        }
        let loss = f64::from(g.cross_entropy(logits, &batch.labels).value.item());
        tally.add(loss, &values, &batch.labels);
        each(&batch.indices, &batch.labels, &values);
        progress.advance(batch.labels.len() as u64, || format!("loss {:.4}", tally.score().loss));
        interrupt::check("nothing was changed")?;
    }
    Ok(tally.score())
}

/// How a network does on some images.
pub struct Judgement {
    /// In short.
    pub score: Score,
    /// Which class was taken for which.
    pub confusion: Confusion,
    /// The images of the greatest losses.
    pub losses: TopLosses,
}

/// Judges a network on some images, and remembers which it was wrong about.
pub fn judge(
    precision: Precision,
    net: &AlexNet,
    subset: &Labelled,
    transform: Transform,
    label: &str,
) -> Result<Judgement> {
    let (mut confusion, mut losses) = (Confusion::new(subset.classes()), TopLosses::new(TOP_LOSSES));
    let score = evaluate(precision, net, subset, transform, label, |indices, labels, logits| {
        for (truth, predicted) in labels.iter().zip(predictions(logits)) {
            confusion.add(*truth, predicted);
        }
        losses.add(indices, labels, logits);
    })?;
    Ok(Judgement { score, confusion, losses })
}

impl Judgement {
    /// The confusion matrix, and the images of the greatest losses, with the names of their files.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn pictures(&self, what: &str, images: &Labelled) -> Result<[(&'static str, Image); 2]> {
        let title = format!("{what}: {:.2} % right", 100.0 * self.score.accuracy);
        let counts = plot::confusion(&title, &self.confusion);
        Ok([(CONFUSION, counts), (TOP_LOSSES_PICTURE, self.top_losses(what, images)?)])
    }

    fn top_losses(&self, what: &str, images: &Labelled) -> Result<Image> {
        let classes = self.confusion.classes();
        let item = |l: &Loss| {
            let taken = if l.predicted == l.truth { "" } else { &classes[l.predicted] };
            let text = format!("{}\nloss {:.2}\n{taken}", classes[l.truth], l.loss);
            Ok((images.dataset().image(l.index)?, text))
        };
        let items: Vec<(Image, String)> = self.losses.worst().iter().map(item).collect::<Result<_>>()?;
        let title = format!("{what}, greatest losses: class, loss, what it was taken for");
        Ok(caption_grid(&title, &items, 6, 128))
    }
}
