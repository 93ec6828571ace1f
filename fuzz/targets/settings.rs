//! What a run or a weights file says of itself, and what the command line names: settings, a training's
//! position, data sets that are drawn.
//!
//! What is accepted keeps to its own check, is written and read back equal, and gives sizes, rates and
//! positions that a training can go on from.

use super::bytes::Bytes;
use super::json::edited;
use gradus::data::detection::TestSplit;
use gradus::data::{Ahead, Reading, Scenes, find, open_detection};
use gradus::engine::culprit::Shown;
use gradus::engine::files::Files;
use gradus::engine::trainer::{Tally, Task, Trainer};
use gradus::engine::{MOST, alexnet, detector};
use gradus_core::nn::Linear;
use gradus_core::{Adam, Optimizer, Rng, Tape, Tensor, Var};
use gradus_models::checkpoint::{Metadata, RawTensor, StateDict, save};
use gradus_models::detection::anchors::AnchorGenerator;
use gradus_models::detection::transform::Transform;
use gradus_models::detection::{BackboneKind, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::{self, Debug};
use std::fs;
use std::sync::LazyLock;
use tempfile::TempDir;

const WORDS: &[&str] = &[
    "alexnet",
    "detector",
    "cifar",
    "imagenet",
    "f32",
    "bf16",
    "resnet18-fpn",
    "resnet34-fpn",
    "resnet50-fpn",
    "mobilenet-v2",
    "mobilenet-v2-fpn",
    "fine-tuning",
    "from-scratch",
    "random:2",
    "every:3",
    "last:1",
    "random:0",
    "model.weight",
    "model.bias",
    "optimizer.weight.m",
    "optimizer.weight.v",
    "weight",
    "bias",
    "1e999",
    "NaN",
];

static ALEXNET: LazyLock<Value> =
    LazyLock::new(|| document(include_str!("../../tests/older-runs/alexnet/args.json")));
static DETECTOR: LazyLock<Value> =
    LazyLock::new(|| document(include_str!("../../tests/older-runs/detector/args.json")));

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What is accepted, which is read back equal.
fn accepted<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: Value) -> Option<T> {
    let read: T = serde_json::from_value(value).map_err(|e| assert!(!e.to_string().is_empty())).ok()?;
    let text = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), read);
    Some(read)
}

/// What a network of these settings is made of is finite, and within its sides.
fn config(config: &Config) {
    assert_eq!(config.check(), Ok(()));
    let transform = Transform::new(config);
    for size in [[1, 1], [1, 32_768], [32_768, 1], [480, 640], [20_000, 20_000], [3, 4]] {
        let scaled = transform.scaled(size);
        assert!(scaled.iter().all(|&side| (1..=config.max_size).contains(&side)), "{size:?} to {scaled:?}");
    }
    let anchors = AnchorGenerator::<f32>::new(&config.anchor_sizes, &config.aspect_ratios);
    assert!(anchors.cells.iter().flatten().flatten().all(|v| v.is_finite()));
    assert!(anchors.per_location().iter().all(|&n| (1..=100).contains(&n)));
    let round: Config = serde_json::from_value(serde_json::to_value(config).unwrap()).unwrap();
    assert_eq!(round, *config);
}

/// The settings in a detector's weights file.
pub fn detector_config(data: &[u8]) {
    let mut bytes = Bytes(data);
    let kind = BackboneKind::ALL[usize::from(bytes.byte()) % BackboneKind::ALL.len()];
    let base = serde_json::to_value(Config::new(kind, 3)).unwrap();
    if let Some(read) = accepted::<Config>(edited(base, &mut bytes, WORDS)) {
        config(&read);
    }
}

/// A run's `args.json`, of both kinds.
pub fn settings(data: &[u8]) {
    let mut bytes = Bytes(data);
    if bytes.byte() % 2 == 0 {
        let read: Option<alexnet::Settings> = accepted(edited(ALEXNET.clone(), &mut bytes, WORDS));
        let Some(read) = read else { return };
        assert!((1..=MOST).contains(&read.plan.epochs) && (1..=MOST).contains(&read.plan.batch));
        assert!(read.plan.lr > 0.0);
        return;
    }
    let Some(read) = accepted::<detector::Settings>(edited(DETECTOR.clone(), &mut bytes, WORDS)) else {
        return;
    };
    config(&read.config);
    read.plan.rule();
    for (epoch, batch, batches) in [(0, 0, 1), (0, 9, 10), (read.plan.epochs - 1, MOST - 1, MOST)] {
        let lr = read.plan.lr(epoch, batch, batches);
        assert!(lr >= 0.0 && lr <= read.plan.lr, "{lr} of {:?}", read.plan);
    }
    if let Ok(split) = read.test_split.parse::<TestSplit>() {
        divides(split, 5, read.plan.seed);
    }
}

/// Each image is in one of the two parts.
fn divides(split: TestSplit, n: usize, seed: u64) {
    assert_eq!(split.to_string().parse::<TestSplit>().unwrap(), split);
    let Ok((training, test)) = split.indices(&Scenes::new(1, n, 32, 32), seed) else { return };
    let mut all = [training, test].concat();
    all.sort_unstable();
    assert_eq!(all, (0..n).collect::<Vec<_>>());
}

/// What the command line names: drawn data sets, and which images are for testing.
pub fn sources(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (form, text) = (bytes.byte(), String::from_utf8_lossy(bytes.rest()).replace(['/', '\\'], ":"));
    match form % 4 {
        0 => {
            if let Ok(split) = text.parse() {
                divides(split, usize::from(form), form.into());
            }
        }
        1 => {
            if let Ok(data) = open_detection(&format!("synthetic{text}"), Reading::default()) {
                assert!((2..=1_000_000).contains(&data.len()) && !data.name(data.len() - 1).is_empty());
            }
        }
        // As many as are soon drawn.
        2 if text.len() < 6 => {
            if let Ok(source) = find(&format!("synthetic{text}"), 1, Reading::default()) {
                let splits = source.divided(0.1, 1).unwrap();
                assert!(splits.train.len() + splits.val.len() + splits.test.len() == splits.dataset().len());
            }
        }
        _ => drop(gradus::fetch::find(&text)),
    }
}

/// A training of next to nothing: 3 steps of 9 images, 4 times.
struct Little;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    images: usize,
    loss: f64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {}", self.loss)
    }
}

impl Tally for Seen {
    fn images(&self) -> usize {
        self.images
    }
}

impl Task for Little {
    type Net = Linear;
    type Batch = ();
    type Tally = Seen;
    type Score = f64;

    fn epochs(&self) -> usize {
        4
    }
    fn images(&self) -> usize {
        9
    }
    fn steps(&self) -> usize {
        3
    }
    fn batches(&self, _: usize, start: usize) -> Ahead<()> {
        Ahead::new(start..3, "loader", |_| Ok(()))
    }
    fn shown<'b>(&self, _: &'b ()) -> Vec<Shown<'b>> {
        Vec::new()
    }
    fn lr(&self, _: usize, _: usize) -> f64 {
        0.1
    }
    fn rng(&self, step: u64) -> Rng {
        Rng::seed(step)
    }
    fn loss(&self, _: &Linear, _: &mut Tape, _: &(), _: &mut Seen) -> gradus::Result<Var> {
        Err(gradus::Error::failure("nothing is learned here"))
    }
    fn judge(&self, _: &Linear) -> gradus::Result<f64> {
        Ok(0.0)
    }
    fn better(score: &f64, best: &f64) -> bool {
        score > best
    }
}

/// What a state file of it holds: shapes of tensors, and two texts of JSON.
static STATE: LazyLock<Value> = LazyLock::new(|| {
    let epoch = |number: usize| {
        json!({"epoch": number, "train": {"images": 9, "loss": 1.5}, "score": 0.5, "lr": 0.1, "seconds": 2.0,
               "images_per_second": 4.5})
    };
    let rule = Optimizer::<f32>::new(Adam::new(0.1)).rule;
    let mut tensors = json!({"model.weight": [2, 3], "model.bias": [2]});
    for name in rule.state_names() {
        tensors[format!("optimizer.weight.{name}")] = json!([3, 2]);
        tensors[format!("optimizer.bias.{name}")] = json!([2]);
    }
    let position = json!({"epoch": 2, "batch": 1, "step": 7, "tally": {"images": 3, "loss": 0.5}, "seconds": 0.5,
                          "history": [epoch(1), epoch(2)], "best_epoch": 1});
    json!({"tensors": tensors, "position": position, "optimizer_steps": {"weight": 7, "bias": 7}})
});

thread_local! {
    static FOLDER: TempDir = {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        folder
    };
}

/// A training's state: where it resumes, it stands somewhere.
pub fn state(data: &[u8]) {
    let mut bytes = Bytes(data);
    let raw = bytes.byte();
    let state = edited(STATE.clone(), &mut bytes, WORDS);
    let (Some(tensors), Some(state)) = (tensors(&state["tensors"]), state.as_object()) else { return };
    let texts = state.iter().filter(|(name, _)| *name != "tensors");
    let mut metadata: Metadata = texts.map(|(name, value)| (name.clone(), value.to_string())).collect();
    if raw == 255 {
        metadata.insert("position".into(), bytes.text(100));
    }
    FOLDER.with(|folder| {
        save(Files::of(folder.path()).state(), &tensors, &metadata).unwrap();
        let net = Linear::new(Tensor::zeros([3, 2]), true);
        let mut trainer = Trainer::new(Little, net, Adam::new(0.1), folder.path(), Metadata::new());
        if let Err(e) = trainer.resume() {
            return assert_eq!(e.exit_code(), 2, "{e}");
        }
        let at = trainer.position();
        assert!(at.epoch <= 4 && at.batch <= 3 && at.best().is_some() == (at.epoch > 0));
        assert_eq!(at.last().map_or(0, |log| log.epoch), at.epoch);
        assert!(trainer.is_done() == (at.epoch == 4) && trainer.has_begun() == (3 * at.epoch + at.batch > 0));
    });
}

/// Tensors of these shapes, none of them large.
fn tensors(shapes: &Value) -> Option<StateDict> {
    let side = |side: &Value| side.as_u64().filter(|&side| side < 9).map(|side| side as usize);
    let tensor = |(name, shape): (&String, &Value)| {
        let shape: Vec<usize> = shape.as_array()?.iter().take(4).map(side).collect::<Option<_>>()?;
        let values = vec![0.25; shape.iter().product()];
        Some((name.clone(), RawTensor::from_f32(&shape, &values)))
    };
    shapes.as_object()?.iter().filter(|(name, _)| *name != "__metadata__").map(tensor).collect()
}
