//! Two detectors side by side: accuracy on the images they learned from and on those they did not, losses
//! over the epochs, speed, size, and what both find in the same pictures at the same scale.

use crate::data::detection::{Annotated, DetectionDataset, Object, describe_parts};
use crate::engine::detection::{Score, judge, shown};
use crate::engine::detector::Settings;
use crate::engine::detector_data::Sources;
use crate::engine::detector_model::DetectorModel;
use crate::engine::files::{Files, Weights};
use crate::engine::found::{FoundIn, Picture, find, picture_name};
use crate::error::{Error, Result};
use crate::files;
use crate::image::{Image, picture_rows};
use crate::numbers::count;
use crate::plot::{Chart, Scale, Series};
use crate::run::{Run, log};
use crate::shell::Typed;
use gradus_core::gemm::Precision;
use gradus_core::{Module, Slot};
use gradus_models::detection::Detector;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

pub mod curves;
pub mod people;
mod words;

use curves::Curves;

/// The longer side of a compared picture, in pixels.
const SIDE: usize = 720;

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Question {
    /// The runs' folders.
    pub runs: [PathBuf; 2],
    /// Their data.
    pub data: String,
    /// Pictures that both look at.
    pub photos: Vec<PathBuf>,
    /// Of each run.
    pub weights: Weights,
    /// The least score that is shown.
    pub score: f32,
    /// Draw on plain gray.
    pub plain: bool,
    /// What products and convolutions read.
    pub precision: Precision,
}

impl Question {
    /// By the last weights, from score 0.5, with the photos and in f32.
    pub fn new(runs: [PathBuf; 2], data: impl Into<String>, photos: Vec<PathBuf>) -> Self {
        let (data, weights, precision) = (data.into(), Weights::Last, Precision::F32);
        Question { runs, data, photos, weights, score: 0.5, plain: false, precision }
    }

    /// What answers it in the folder `out`, with every option that would make it another.
    pub fn command(&self, out: &Path) -> Typed {
        let [a, b] = self.runs.each_ref().map(|run| run.display());
        Typed::from("gradus compare")
            .word(a)
            .word(b)
            .option("--data", [&self.data])
            .option("--image", self.photos.iter().map(|p| p.display()))
            .option("--score", [self.score])
            .option("--weights", [self.weights])
            .flag("--plain", self.plain)
            .option("-o", [out.display()])
    }
}

/// One of the two.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// The run's folder.
    pub run: String,
    /// Network and backbone.
    pub model: String,
    /// Of the network as it was trained: frozen batch norm has none.
    pub parameters: usize,
    /// The weights' file, in MiB.
    pub weights_mib: f64,
    /// Passes over the training images.
    pub epochs: usize,
    /// The time of an epoch of training, in seconds: the mean.
    pub seconds_per_epoch: f64,
    /// The median time of detection, in seconds.
    pub seconds_per_image: f64,
    /// On the images it learned from.
    pub train: Score,
    /// On the others.
    pub test: Score,
    /// The mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Box AP on the test images after each epoch.
    pub test_ap: Vec<f64>,
    /// What it finds in the pictures.
    pub photos: Vec<FoundIn>,
    /// What it finds in them from the confidence on that serves it best on the test images, by F1.
    pub confident: Vec<FoundIn>,
    /// On the test images, over the confidence: of the weights that are compared, and of the run's best.
    pub curves: [Curves; 2],
    /// The weights that it began with, from a file of this name.
    pub pretrained: Option<String>,
    /// What it was trained by, name and value: where these differ, the two runs do.
    #[serde(skip)]
    pub recipe: Vec<(&'static str, String)>,
}

/// Both.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The first.
    pub a: Side,
    /// The second.
    pub b: Side,
    /// How many images both learned from, and how many judge them.
    pub images: [usize; 2],
    /// The least score that is shown.
    pub score: f32,
    /// Which weights of each: the last or the best.
    #[serde(serialize_with = "named")]
    pub weights: Weights,
    /// For each picture its name, and what both find, side by side.
    #[serde(skip)]
    pub pictures: Vec<(String, Image)>,
    /// For each picture what is in it, where it is one of the data's own.
    #[serde(skip)]
    pub truths: Vec<Option<Vec<Object>>>,
}

/// As options name them.
fn named<S: serde::Serializer>(weights: &Weights, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(weights)
}

/// Judges both runs and shows them the pictures.
///
/// # Errors
/// A run that is none, or that learned from other images than the other; unreadable data or pictures.
pub fn compare(question: &Question) -> Result<Comparison> {
    let [run_a, run_b] = &question.runs;
    let (a, b): (Settings, Settings) = (Run::settings(run_a)?, Run::settings(run_b)?);
    let split = |s: &Settings| {
        (s.test_split.clone(), s.data_checksum.clone(), s.val_checksum.clone(), s.only.clone())
    };
    if split(&a) != split(&b) || (a.test_split.starts_with("random") && a.plan.seed != b.plan.seed) {
        let what = format!("learned from other images than {}", run_a.display());
        return Err(Error::input(what)
            .in_file(run_b)
            .remedy("compare runs with the same data, --test-split, --val, --classes and --seed"));
    }
    let sources = Sources::open(&question.data, a.val.as_deref(), a.only.as_deref(), a.reading)?;
    must_be(&question.data, &*sources.data, &a.data_checksum)?;
    if let (Some(val), Some(source), Some(checksum)) = (&sources.val, &a.val, &a.val_checksum) {
        must_be(source, &**val, checksum)?;
    }
    let [train, test] = a.parts(&sources)?;
    say!("{}", describe_parts(&question.data, &train, a.val.as_deref(), &test));
    let images = [train.len(), test.len()];
    let (mut a, shown_a) = side(question, run_a, &a, &sources)?;
    let (mut b, shown_b) = side(question, run_b, &b, &sources)?;
    if a.model == b.model {
        // Two runs of one network are told apart by their folders.
        for s in [&mut a, &mut b] {
            s.model = format!("{} ({})", s.model, s.run);
        }
    }
    let pair = |(k, (left, right)): (usize, (Image, Image))| {
        let caption = |s: &Side| format!("{}: {} found", s.model, s.photos[k].detections.len());
        let both = [(left, caption(&a)), (right, caption(&b))];
        (picture_name(&question.photos, k), picture_rows("", &both, 2))
    };
    let pictures = shown_a.into_iter().zip(shown_b).enumerate().map(pair).collect();
    let (score, weights, truths) = (question.score, question.weights, truths(question, &*sources.data)?);
    Ok(Comparison { a, b, images, score, weights, pictures, truths })
}

/// In data of more images a photograph is not looked for.
const SEARCHED: usize = 2000;

/// What is in each picture, where it is one of the data's own: its pixels tell.
fn truths(question: &Question, data: &dyn DetectionDataset) -> Result<Vec<Option<Vec<Object>>>> {
    let open = |path: &PathBuf| Image::open(path).map(Image::to_rgb8);
    let photos = question.photos.iter().map(open).collect::<Result<Vec<_>>>()?;
    let mut truths = vec![None; photos.len()];
    for i in 0..if photos.is_empty() || data.len() > SEARCHED { 0 } else { data.len() } {
        let sample = data.load(i)?;
        for (truth, _) in truths.iter_mut().zip(&photos).filter(|(_, photo)| **photo == sample.image) {
            *truth = Some(sample.objects.clone());
        }
    }
    Ok(truths)
}

/// Error: the data are not those of the runs.
fn must_be(source: &str, data: &dyn DetectionDataset, checksum: &str) -> Result<()> {
    if data.checksum()? == checksum {
        return Ok(());
    }
    let what = "is not the data that the runs learned from";
    Err(Error::input(what).in_file(source).remedy("name the runs' data"))
}

fn side(
    question: &Question,
    run: &Path,
    settings: &Settings,
    sources: &Sources,
) -> Result<(Side, Vec<Image>)> {
    let mut model = opened(question, run, question.weights)?;
    let [train, test] = settings.parts(sources)?;
    let categories = model.categories_in(sources.data.classes(), &question.data)?;
    let score = |net: &Detector, part: &Annotated, label: &str| judge(net, &categories, part, label);
    let train = score(&model.net, &train, "training images")?;
    let judged = score(&model.net, &test, "test images")?;
    let Course { seconds, losses, test_ap } = Course::of(run)?;
    let (epochs, best) = (losses.len(), best_epoch(&test_ap));
    let of_best = question.weights == Weights::Best;
    let own = Curves::of(&judged.boxes, if of_best { best } else { epochs });
    let best = if of_best || best == epochs {
        own.clone()
    } else {
        let net = opened(question, run, Weights::Best)?.net;
        Curves::of(&score(&net, &test, "test images, best weights")?.boxes, best)
    };
    let least = own.best.map_or(question.score, |best| best.score as f32);
    let (photos, confident, shown) = looked_at(question, &model, least)?;
    let file = Files::of(run).existing_weights(question.weights)?;
    let bytes = std::fs::metadata(&file).map_err(|e| Error::read(&file, &e))?.len();
    let network = if settings.config.masks { "Mask R-CNN" } else { "Faster R-CNN" };
    let side = Side {
        run: files::name_of(run),
        model: format!("{network}, {}", settings.config.backbone),
        parameters: parameters(&mut model.net, settings.config.freeze_bn),
        weights_mib: bytes as f64 / (1 << 20) as f64,
        epochs,
        seconds_per_epoch: seconds.iter().sum::<f64>() / seconds.len().max(1) as f64,
        seconds_per_image: judged.seconds_per_image,
        train: train.score(),
        test: judged.score(),
        losses,
        test_ap,
        photos,
        confident,
        curves: [own, best],
        pretrained: settings.weights.as_ref().map(|file| {
            Path::new(file)
                .file_name()
                .map_or_else(|| file.clone(), |name| name.to_string_lossy().into_owned())
        }),
        recipe: recipe(settings),
    };
    Ok((side, shown))
}

/// A run's network, as the question has it.
fn opened(question: &Question, run: &Path, weights: Weights) -> Result<DetectorModel> {
    let mut model = DetectorModel::open(run, weights, [None, None])?;
    model.net.precision = question.precision;
    Ok(model)
}

/// What a network finds in the question's pictures: all that is shown, all from the score `least` on, and drawn.
fn looked_at(
    question: &Question,
    model: &DetectorModel,
    least: f32,
) -> Result<(Vec<FoundIn>, Vec<FoundIn>, Vec<Image>)> {
    let (mut photos, mut confident, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for path in &question.photos {
        let picture = Picture { path, image: Image::open(path)?.to_rgb8(), id: 0 };
        let look = |score| find(model, &model.classes, &picture, score, Some(SIDE), question.plain);
        let (found, _, image) = look(question.score)?;
        let sure = if least < question.score { look(least)?.0 } else { found.from(least) };
        photos.push(found);
        confident.push(sure);
        shown.push(image);
    }
    Ok((photos, confident, shown))
}

/// What a run's log says of its epochs.
#[derive(Default)]
struct Course {
    seconds: Vec<f64>,
    losses: Vec<f64>,
    test_ap: Vec<f64>,
}

impl Course {
    fn of(run: &Path) -> Result<Self> {
        let mut course = Course::default();
        log::rows(run, |row| {
            let number = |name: &str| row.get(name).and_then(Value::as_f64);
            course.seconds.extend(number("seconds"));
            course.losses.extend(number("train/loss"));
            course.test_ap.extend(number("box/AP"));
        })?;
        Ok(course)
    }
}

/// The epoch whose weights a run keeps as its best, counted from 1: the first of the greatest AP.
fn best_epoch(test_ap: &[f64]) -> usize {
    let greatest = test_ap.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    test_ap.iter().position(|&ap| ap == greatest).map_or(0, |i| i + 1)
}

/// What a run was trained by, in words that tell two apart.
fn recipe(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings { config, plan, .. } = settings;
    vec![
        ("the backbone", config.backbone.to_string()),
        ("masks", config.masks.to_string()),
        ("how many of the backbone's stages learned", config.trainable_layers.to_string()),
        ("the sizes of anchors", format!("{:?}", config.anchor_sizes)),
        ("whether batch norm learned", config.freeze_bn.to_string()),
        ("the size of images", format!("{} {}", config.min_size, config.max_size)),
        ("epochs", plan.epochs.to_string()),
        ("batch", plan.batch.to_string()),
        ("the learning rate", plan.lr.to_string()),
    ]
}

/// The parameters that a detector had in training. To detect with, batch norm is frozen: its weights and
/// biases, which otherwise are parameters, are constants then.
fn parameters(net: &mut Detector, frozen: bool) -> usize {
    let mut count = net.num_params();
    net.for_each(|name, slot| {
        let learned = !frozen && [".weight", ".bias"].iter().any(|end| name.ends_with(end));
        if let Slot::Buffer(t) = slot
            && learned
        {
            count += t.len();
        }
    });
    count
}

impl Comparison {
    fn sides(&self) -> [&Side; 2] {
        [&self.a, &self.b]
    }

    /// A quantity a row; the first row is the head.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows =
            vec![std::iter::once(String::new()).chain(self.sides().map(|s| s.model.clone())).collect()];
        let mut row = |name: &str, of: &dyn Fn(&Side) -> String| {
            rows.push(std::iter::once(name.to_string()).chain(self.sides().map(of)).collect::<Vec<_>>());
        };
        for (k, name) in [(0, "box AP"), (1, "box AP50"), (2, "box AP75"), (8, "box AR100")] {
            row(&format!("{name}, training images"), &|s| shown(s.train.boxes[k]));
            row(&format!("{name}, test images"), &|s| shown(s.test.boxes[k]));
        }
        if self.sides().iter().any(|s| s.test.masks.is_some()) {
            row("mask AP, training images", &|s| shown(s.train.masks.map_or(-1.0, |m| m[0])));
            row("mask AP, test images", &|s| shown(s.test.masks.map_or(-1.0, |m| m[0])));
        }
        row("parameters", &|s| count(s.parameters));
        row("weights (MiB)", &|s| format!("{:.1}", s.weights_mib));
        row("epochs", &|s| s.epochs.to_string());
        row("training (s an epoch)", &|s| format!("{:.1}", s.seconds_per_epoch));
        row("detection (s an image)", &|s| format!("{:.3}", s.seconds_per_image));
        rows
    }

    /// A quantity over the epochs.
    fn chart(&self, title: &str, y: &str, of: impl Fn(&Side) -> &[f64]) -> Chart {
        let points = |s: &Side| of(s).iter().enumerate().map(|(i, &v)| ((i + 1) as f64, v)).collect();
        let line = |s: &Side| Series::line(s.model.as_str(), points(s));
        let [a, b] = self.sides().map(line);
        Chart::new(title, "epoch", y).x_scale(Scale::Whole).y_range(0.0, 0.0).with(a).with(b)
    }

    /// The charts and their files' names.
    pub fn charts(&self) -> [(&'static str, Chart); 2] {
        [
            ("losses", self.chart("Training loss", "loss (sum of all)", |s| &s.losses)),
            ("ap", self.chart("Box AP on the test images", "AP", |s| &s.test_ap)),
        ]
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows() {
            writeln!(f, "{:<28} {:>28} {:>28}", row[0], row[1], row[2])?;
        }
        for s in self.sides() {
            for photo in &s.photos {
                writeln!(f, "{}, {}: {} found", s.model, photo.image, photo.detections.len())?;
            }
        }
        Ok(())
    }
}
