//! A run of `train alexnet`: data, network, trainer, and the folder with everything they leave behind.

use super::classifier::{Classification, Judgement, Plan, Score, judge};
use super::model::{Arch, metadata};
use super::trainer::{PositionOf, Trainer};
use crate::data::{Batch, Loader, Reading, Splits, Transform};
use crate::error::Result;
use crate::files;
use crate::image::{Image, caption_grid};
use crate::metrics::confusion::{Confusion, predictions};
use crate::numbers::{count, counted};
use crate::run::{Existing, Run};
use gradus_core::optim::Adam;
use gradus_core::{Module, Rng, Tape, elementary, simd};
use gradus_models::AlexNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Images in a picture of a batch.
const SHOWN: usize = 64;

/// Everything that the result depends on: a run's `args.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// "alexnet"
    pub task: String,
    /// The network's layout.
    pub arch: Arch,
    /// Where the data was; may move between resumptions.
    pub data: String,
    /// What the data set calls itself.
    pub data_name: String,
    /// Identifies the data.
    pub data_checksum: String,
    /// The classes' names.
    pub classes: Vec<String>,
    /// Held out of folders that bring no split.
    pub val_fraction: f64,
    /// How it is trained.
    #[serde(flatten)]
    pub plan: Plan,
    /// The instruction set on which it was begun. Of bf16 it decides the bits; f32 has the same on each.
    pub isa: String,
    /// How the data's faults were taken.
    #[serde(default)]
    pub reading: Reading,
}

impl Settings {
    /// With everything that the data and the machine tell.
    pub fn new(arch: Arch, data: &str, splits: &Splits, val_fraction: f64, plan: Plan) -> Result<Self> {
        Ok(Settings {
            task: "alexnet".into(),
            arch,
            data: data.into(),
            data_name: splits.dataset().title().into(),
            data_checksum: splits.dataset().checksum()?,
            classes: splits.classes().to_vec(),
            val_fraction,
            plan,
            isa: simd::isa().name().into(),
            reading: Reading::default(),
        })
    }
}

/// What a finished run tells.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its folder.
    pub run: String,
    /// How many were trained.
    pub epochs: usize,
    /// The one with the least validation loss, counted from 1.
    pub best_epoch: usize,
    /// Of the best weights.
    pub val: Score,
    /// Of the best weights.
    pub test: Score,
    /// Of the best weights, on the test images.
    #[serde(skip)]
    pub confusion: Confusion,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {}, the best is {}",
            self.run,
            counted(self.epochs, "epoch", "epochs"),
            self.best_epoch
        )?;
        for (name, Score { images, loss, accuracy }) in [("validation", self.val), ("test", self.test)] {
            writeln!(f, "  {name:10}  {:6.2} %  loss {loss:.4}  ({images} images)", 100.0 * accuracy)?;
        }
        self.confusion.fmt(f)
    }
}

/// Trains (or goes on training) in `folder`, judges the best weights on the test images, and leaves the
/// pictures. Where it fails before its first step, it leaves no new folder.
pub fn train(settings: &Settings, splits: &Splits, folder: &Path, existing: Existing) -> Result<Summary> {
    let mut run = Run::open(folder, settings, existing)?;
    let trainer = prepare(settings, splits, &run, existing).inspect_err(|_| run.give_up())?;
    let trainer = trainer.in_run(&mut run, existing, |run, at| record(run, at, splits.classes().len()))?;

    let transform = settings.arch.transform();
    let PositionOf::<Classification> { history, best_epoch, .. } = trainer.position().clone();
    let (_, net) = trainer.into_best()?;
    let judged = judge(settings.plan.precision, &net, &splits.test, transform, "test")?;
    for (name, picture) in judged.pictures(&format!("{}, test images", settings.data_name), &splits.test)? {
        picture.save_png(run.file(name))?;
    }
    let Judgement { score: test, confusion, .. } = judged;
    pictures_of_validation(&run, &net, splits, settings)?;
    run.end(&serde_json::json!({ "best_epoch": best_epoch, "test": test }), &[])?;
    let val = history[best_epoch - 1].score;
    let run = files::name_of(folder);
    Ok(Summary { run, epochs: history.len(), best_epoch, val, test, confusion })
}

/// A trainer at the beginning.
fn prepare<'a>(
    settings: &Settings,
    splits: &'a Splits,
    run: &Run,
    existing: Existing,
) -> Result<Trainer<Classification<'a>>> {
    let (transform, plan) = (settings.arch.transform(), settings.plan);
    let mut rng = Rng::seed(plan.seed).stream("init");
    let mut net = AlexNet::new(settings.arch.size(), splits.classes().len(), &mut rng);
    say!("AlexNet, {} parameters", count(net.num_params()));
    let about = metadata(settings.arch, splits.classes());
    if existing != Existing::Resume || !run.file("train_batch0.png").exists() {
        picture_of_training(run, splits, transform, settings)?;
    }
    let task = Classification::new(plan, splits, transform);
    Ok(Trainer::new(task, net, Adam::new(plan.lr), run.folder(), about))
}

/// What to say of a validation loss no better than that of guessing, ln(classes) less a thousandth.
fn learned_nothing(loss: f64, classes: usize) -> Option<String> {
    let guessing = elementary::ln(classes as f64);
    (classes > 1 && loss > 0.999 * guessing).then(|| {
        format!(
            "a validation loss of {loss:.4} is no better than guessing among {classes} classes ({guessing:.4}). \
             Where it stays so, the first steps have switched the network's units off: begin again with another --seed or a smaller --lr"
        )
    })
}

/// The last epoch's line in the run's log.
fn record(run: &mut Run, position: &PositionOf<Classification>, classes: usize) -> Result<()> {
    let Some(e) = position.last() else { return Ok(()) };
    let (train, val) = (e.train.score(), e.score);
    let [of_train, of_val] = [train, val].map(|s| format!("{:.4} ({:.2} %)", s.loss, 100.0 * s.accuracy));
    let best = if position.best_epoch == e.epoch { ", the best so far" } else { "" };
    say!("epoch {}: train {of_train}, validation {of_val}{best}", e.epoch);
    if let Some(warning) = learned_nothing(val.loss, classes) {
        warning!("{warning}");
    }
    run.epoch(
        e.epoch,
        &e.curve(),
        &[
            ("train/loss", train.loss),
            ("val/loss", val.loss),
            ("train/accuracy", train.accuracy),
            ("val/accuracy", val.accuracy),
            ("lr", e.lr),
            ("images_per_second", e.images_per_second),
            ("seconds", e.seconds),
        ],
    )
}

/// `train_batch0.png`: what the network really sees first, with labels.
fn picture_of_training(run: &Run, splits: &Splits, transform: Transform, settings: &Settings) -> Result<()> {
    let rng = Rng::seed(settings.plan.seed);
    // The first of the batch are the same in a smaller one, and a large one need not fit into memory.
    let shown = settings.plan.batch.min(SHOWN);
    let batch = Loader::training(splits.train.clone(), transform, shown, &rng).batch(0, 0)?;
    let title = format!("{}: the first training batch, augmented", settings.data_name);
    let labels = batch.labels.iter().map(|&label| splits.classes()[label].clone());
    grid(&title, &batch, transform, labels).save_png(run.file("train_batch0.png"))
}

/// The first images of a batch as the network sees them, with captions.
fn grid(title: &str, batch: &Batch, transform: Transform, captions: impl Iterator<Item = String>) -> Image {
    let side = transform.side();
    let images = batch.images.data().chunks(transform.floats()).take(SHOWN);
    let items: Vec<_> = images.map(|x| transform.normalise.picture(side, side, x)).zip(captions).collect();
    caption_grid(title, &items, 8, side.max(64))
}

/// `val_batch0_labels.png` beside `val_batch0_pred.png`: the first validation images, their labels and what
/// the network takes them for.
fn pictures_of_validation(run: &Run, net: &AlexNet, splits: &Splits, settings: &Settings) -> Result<()> {
    let transform = settings.arch.transform();
    let batch = Loader::evaluation(splits.val.clone(), transform, SHOWN).batch(0, 0)?;
    let mut g = Tape::infer().in_precision(settings.plan.precision);
    let logits = net.forward(&mut g, batch.images.clone().into()).value;
    let classes = splits.classes();
    let labels = batch.labels.iter().map(|&l| classes[l].clone());
    let right = |(p, &l): (usize, &usize)| {
        if p == l { classes[p].clone() } else { format!("× {}", classes[p]) }
    };
    let predicted = predictions(&logits).zip(&batch.labels).map(right);
    let drawn = grid("Validation images: labels", &batch, transform, labels);
    drawn.save_png(run.file("val_batch0_labels.png"))?;
    let drawn = grid("Validation images: predictions", &batch, transform, predicted);
    drawn.save_png(run.file("val_batch0_pred.png"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_guesses_is_told_from_one_that_learns() {
        // Validation losses on CIFAR-10: five epochs of a run whose units were off, and the first ones of
        // three that learned.
        for dead in [2.3034, 2.3033, 2.3032, 2.3031, 2.3030] {
            assert!(learned_nothing(dead, 10).is_some_and(|w| w.contains("--seed")), "{dead}");
        }
        for alive in [2.1487, 1.7495, 1.6453] {
            assert_eq!(learned_nothing(alive, 10), None);
        }
        assert_eq!(learned_nothing(0.0, 1), None);
    }
}
