//! A run of `train detector`: data, network, trainer, and the folder with everything they leave behind.

use super::curves;
use super::detection::{Detection, Judgement, LOSSES, Plan, Score, judge, shown};
use super::detector_data::Sources;
use super::detector_model::metadata;
use super::files::{Files, Weights};
use super::found::{class, objects, picture};
use super::resume::checkpoint_error;
use super::trainer::{PositionOf, Trainer};
use crate::data::Reading;
use crate::data::coco::json::results_to_json;
use crate::data::detection::{Annotated, DetectionDataset, Object, TestSplit};
use crate::error::{Error, Result};
use crate::files::{self, exists};
use crate::image::{Image, Overlay, picture_rows};
use crate::memory::peak_mib;
use crate::metrics::coco::{Category, NAMES};
use crate::metrics::rle::Rle;
use crate::numbers::{count, counted};
use crate::run::{Existing, Run};
use gradus_core::{Module, Rng, simd};
use gradus_models::checkpoint::{CheckpointFile, load_verbatim};
use gradus_models::detection::{BackboneKind, Config, Detector, NORM_EPS, norm_eps, pretrain_file};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Images in a picture of a batch, and the longer side of each.
const SHOWN: usize = 8;
const SIDE: usize = 320;
/// Detections of less are not drawn.
const DRAWN_SCORE: f64 = 0.5;

/// Everything that the result depends on: a run's `args.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// "detector"
    pub task: String,
    /// "fasterrcnn" or "maskrcnn"
    pub model: String,
    /// Its backbone.
    pub backbone: BackboneKind,
    /// The network, its sizes and what of it is trained.
    pub config: Config,
    /// Where the data was; may move between resumptions.
    pub data: String,
    /// What the data set is called.
    pub data_name: String,
    /// Identifies the data.
    pub data_checksum: String,
    /// Label k's category is `classes[k - 1]`.
    pub classes: Vec<Category>,
    /// Which images are for testing.
    pub test_split: String,
    /// Where other data to test on were; may move between resumptions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<String>,
    /// Identifies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_checksum: Option<String>,
    /// The classes that are learned, where these are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// The file of the first weights; may move between resumptions.
    pub weights: Option<String>,
    /// Identifies it.
    pub weights_sha256: Option<String>,
    /// Which of its weights, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
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
    /// With everything that the data, the weights' file and the machine tell.
    pub fn new(
        config: Config,
        source: &str,
        data: &dyn DetectionDataset,
        split: TestSplit,
        weights: Option<&CheckpointFile>,
        plan: Plan,
    ) -> Result<Self> {
        let sha256 = weights.map(|w| w.sha256().map(String::from)).transpose();
        Ok(Settings {
            task: "detector".into(),
            model: if config.masks { "maskrcnn" } else { "fasterrcnn" }.into(),
            backbone: config.backbone,
            config,
            data: source.into(),
            data_name: data_name(source),
            data_checksum: data.checksum()?,
            classes: data.classes().to_vec(),
            test_split: split.to_string(),
            val: None,
            val_checksum: None,
            only: None,
            weights: weights.map(|w| files::name_of(w.path())),
            weights_sha256: sha256.map_err(checkpoint_error)?,
            weights_key: None,
            plan,
            isa: simd::isa().name().into(),
            reading: Reading::default(),
        })
    }

    /// The images to train on and those to test on.
    pub fn parts(&self, sources: &Sources) -> Result<[Annotated; 2]> {
        sources.parts(self.test_split.parse()?, self.plan.seed)
    }
}

/// The last folder's or file's name; drawn scenes are called what they are.
fn data_name(source: &str) -> String {
    if source.starts_with("synthetic") && !Path::new(source).exists() {
        return "synthetic street scenes".into();
    }
    Path::new(source).file_name().map_or(source.into(), |n| n.to_string_lossy().into_owned())
}

/// What a finished run tells.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its folder.
    pub run: String,
    /// How many were trained.
    pub epochs: usize,
    /// The one with the greatest box AP on the test images, counted from 1.
    pub best_epoch: usize,
    /// What became of the network's tensors at the start, where weights were read then.
    pub weights: Option<String>,
    /// Of the best epoch's weights, on the test images (which chose it).
    pub test: Score,
    /// Of the last epoch's weights, on the test images: what the recipe ends with.
    pub last: Score,
    /// The most memory the process held, in MiB.
    pub peak_mib: Option<f64>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.run, counted(self.epochs, "epoch", "epochs"))?;
        let ap = |s: &Score| match s.masks {
            Some(m) => format!("box AP {}, mask AP {}", shown(s.boxes[0]), shown(m[0])),
            None => format!("box AP {}", shown(s.boxes[0])),
        };
        writeln!(f, "test images, last epoch: {}", ap(&self.last))?;
        let (best, test) = (self.best_epoch, ap(&self.test));
        writeln!(f, "test images, epoch {best} (the best of them by box AP): {test}")?;
        self.test.fmt(f)?;
        match self.peak_mib {
            Some(m) => writeln!(f, "peak memory {m:.0} MiB"),
            None => Ok(()),
        }
    }
}

/// Trains (or goes on training) in `folder`, judges the best weights on the test images, and leaves the
/// pictures. `weights` is the file that the settings name, where it is open already. Where training fails
/// before its first step, it leaves no new folder. A run with a state goes on without the file of its first
/// weights.
pub fn train(
    settings: &Settings,
    weights: Option<&CheckpointFile>,
    sources: &Sources,
    folder: &Path,
    existing: Existing,
) -> Result<Summary> {
    let [train, test] = settings.parts(sources)?;
    must_have_objects(&train, &test)?;
    if settings.config.masks {
        let remedy = "add their masks, or train --model fasterrcnn, which needs none";
        let told = |e: Error| e.in_file(&settings.data).remedy(remedy);
        sources.data.without_mask(train.indices(), &|_| true).judge(Reading::default()).map_err(told)?;
    }
    let mut run = Run::open(folder, settings, existing)?;
    let prepared = prepare(settings, weights, [train, test.clone()], &run, existing);
    let (trainer, weights) = prepared.inspect_err(|_| run.give_up())?;
    let trainer = trainer.in_run(&mut run, existing, record)?;

    let PositionOf::<Detection> { history, best_epoch, .. } = trainer.position().clone();
    let (_, net) = trainer.into_best()?;
    let judged = judge(&net, &settings.classes, &test, "best weights, test images")?;
    files::write_atomic(
        run.file("detections.json"),
        results_to_json(&judged.detections, |id| test.dataset().image_name(id)).as_bytes(),
    )?;
    curves::leave(&judged, folder)?;
    pictures_of_test(&run, &judged, &test, &settings.classes)?;
    let end = serde_json::json!({ "best_epoch": best_epoch, "test": judged.score() });
    run.end(&end, &curves::counts(&judged))?;
    Ok(Summary {
        run: files::name_of(folder),
        epochs: history.len(),
        best_epoch,
        weights,
        test: judged.score(),
        last: history[history.len() - 1].score.clone(),
        peak_mib: peak_mib(),
    })
}

/// A trainer at the beginning, and what became of the network's tensors where weights were read.
fn prepare(
    settings: &Settings,
    file: Option<&CheckpointFile>,
    [train, test]: [Annotated; 2],
    run: &Run,
    existing: Existing,
) -> Result<(Trainer<Detection>, Option<String>)> {
    let mut net = Detector::new(settings.config.clone(), &mut Rng::seed(settings.plan.seed).stream("init"));
    net.precision = settings.plan.precision;
    let own = if existing == Existing::Resume { own_eps(&Files::of(run.folder()))? } else { None };
    let mut weights = None;
    match (own, &settings.weights) {
        (Some(eps), _) => net.backbone.set_norm_eps(eps),
        (None, Some(path)) => {
            let file = file.cloned().map_or_else(|| CheckpointFile::open(path), Ok);
            let key = settings.weights_key.as_deref();
            let loaded = file.and_then(|file| pretrain_file(&mut net, &file, key));
            weights = Some(loaded.map_err(checkpoint_error)?.to_string());
        }
        (None, None) => {}
    }
    let source = weights.as_deref().unwrap_or(if own.is_some() { "the run's own" } else { "all random" });
    announce(&mut net, settings, [&train, &test], source);
    let about = metadata(&settings.config, &settings.classes, net.backbone.norm_eps());
    let task = Detection::new(settings.plan, train, test, settings.config.masks);
    if existing != Existing::Resume || !run.file("train_batch0.png").exists() {
        picture_of_training(run, &task, &settings.classes)?;
    }
    let trainer = Trainer::new(task, net, settings.plan.rule(), run.folder(), about);
    Ok((trainer, weights))
}

/// Batch norm's ε as a run with a state has it, where its files say so: all else that its first weights
/// decided is in the state's tensors.
fn own_eps(files: &Files) -> Result<Option<f64>> {
    if !files.have_state()? {
        return Ok(None);
    }
    for file in [files.state(), files.weights(Weights::Last)] {
        if !exists(&file)? {
            continue;
        }
        let loaded = load_verbatim(&file).map_err(checkpoint_error)?;
        if loaded.metadata.contains_key(NORM_EPS) {
            return norm_eps(&file, &loaded).map(Some).map_err(checkpoint_error);
        }
    }
    Ok(None)
}

/// Is there something to learn from, and something to judge by? Without objects among the test images every
/// AP is undefined, and no epoch better than another.
fn must_have_objects(train: &Annotated, test: &Annotated) -> Result<()> {
    for (part, of, lack) in
        [(train, "training", "there is nothing to learn"), (test, "test", "no AP is defined")]
    {
        let labels: Option<Vec<_>> = part.indices().iter().map(|&i| part.dataset().labels(i)).collect();
        if labels.is_some_and(|l| l.iter().all(Vec::is_empty)) {
            let n = part.len();
            let what = format!("the {of} images ({n}) hold no object, so {lack}");
            return Err(Error::input(what).remedy("choose another --test-split"));
        }
    }
    Ok(())
}

/// What is about to be trained.
fn announce(net: &mut Detector, settings: &Settings, parts: [&Annotated; 2], weights: &str) {
    let mut trainable = 0;
    net.for_each_param(|_, p| trainable += if p.trainable { p.value.len() } else { 0 });
    let [train, test] = parts.map(Annotated::len);
    let c = &settings.config;
    say!(
        "{} on {}, {} parameters, {} of them trained; {train} images to train on, {test} to test on",
        if c.masks { "Mask R-CNN" } else { "Faster R-CNN" },
        c.backbone,
        count(net.num_params()),
        count(trainable),
    );
    say!("weights: {weights}");
}

/// The last epoch's line in the run's log.
fn record(run: &mut Run, position: &PositionOf<Detection>) -> Result<()> {
    let Some(e) = position.last() else { return Ok(()) };
    let masks = e.score.masks.map(|m| format!(", mask AP {}", shown(m[0]))).unwrap_or_default();
    let [ap, ap50, ..] = e.score.boxes;
    let best = if position.best_epoch == e.epoch && ap >= 0.0 { ", the best so far" } else { "" };
    let memory = peak_mib().map(|m| format!("; peak memory {m:.0} MiB")).unwrap_or_default();
    let boxes = format!("{} (AP50 {})", shown(ap), shown(ap50));
    say!("epoch {}: test box AP {boxes}{masks}{best}{memory}", e.epoch);
    let losses = if e.score.masks.is_some() { 5 } else { 4 };
    let named = |part: &str, names: &[&str], values: &[f64]| -> Vec<(String, f64)> {
        names.iter().zip(values).map(|(name, &v)| (format!("{part}/{name}"), v)).collect()
    };
    let mut all = named("train", &["loss"], &[e.train.total()]);
    all.extend(named("train", &LOSSES[..losses], &e.train.means()));
    all.extend(named("box", &NAMES, &e.score.boxes));
    all.extend(e.score.masks.iter().flat_map(|masks| named("mask", &NAMES, masks)));
    let after = [("lr", e.lr), ("images_per_second", e.images_per_second), ("seconds", e.seconds)];
    let values: Vec<_> = all.iter().map(|(name, v)| (name.as_str(), *v)).chain(after).collect();
    run.epoch(e.epoch, &e.curve(), &values)
}

/// `train_batch0.png`: what the network really sees first, with labels.
fn picture_of_training(run: &Run, task: &Detection, classes: &[Category]) -> Result<()> {
    let mut items = Vec::new();
    // The images are the same one by one, and a large batch need not fit into memory.
    let loader = task.loader().in_batches_of(1);
    for number in 0..loader.batches() {
        let batch = loader.batch(0, number)?;
        for ((x, target), name) in batch.images.iter().zip(&batch.targets).zip(&batch.names) {
            let [h, w, _] = x.dims("picture");
            let object = |(k, b): (usize, &[f32; 4])| Overlay {
                bbox: *b,
                label: classes[target.labels[k] - 1].name.clone(),
                mask: target.masks.as_ref().map(|m| m.of(k).to_vec()),
                class: class(target.labels[k] - 1, classes),
            };
            let boxes = target.boxes.data().as_chunks::<4>().0;
            let objects: Vec<Overlay> = boxes.iter().enumerate().map(object).collect();
            let image = Image::from_f32(w, h, 3, x.data());
            items.push((picture(&image, &objects, SIDE, false), name.clone()));
        }
        if items.len() >= SHOWN {
            break;
        }
    }
    items.truncate(SHOWN);
    let title = "The first training images, mirrored at random";
    picture_rows(title, &items, 4).save_png(run.file("train_batch0.png"))
}

/// `val_batch0_labels.png` beside `val_batch0_pred.png`: the first test images, their objects and what is
/// found.
fn pictures_of_test(run: &Run, judged: &Judgement, test: &Annotated, classes: &[Category]) -> Result<()> {
    let (mut labels, mut predictions) = (Vec::new(), Vec::new());
    for (sample, &i) in test.samples().zip(test.indices()).take(SHOWN) {
        let (sample, name) = (sample?, test.dataset().name(i));
        let truth = |o: &Object| Overlay {
            bbox: o.bbox,
            label: classes[o.label - 1].name.clone(),
            mask: o.mask.as_ref().map(Rle::bitmap),
            class: class(o.label - 1, classes),
        };
        let truths: Vec<Overlay> = sample.objects.iter().map(truth).collect();
        let own = judged.detections.iter().filter(|d| d.image == sample.image_id && d.score >= DRAWN_SCORE);
        let found = objects(&own.cloned().collect::<Vec<_>>(), classes);
        labels.push((picture(&sample.image, &truths, SIDE, false), name.clone()));
        predictions.push((picture(&sample.image, &found, SIDE, false), name));
    }
    picture_rows("Test images: the objects", &labels, 4).save_png(run.file("val_batch0_labels.png"))?;
    let title = format!("Test images: what is found, from score {DRAWN_SCORE}");
    picture_rows(&title, &predictions, 4).save_png(run.file("val_batch0_pred.png"))
}
