//! `gradus evaluate`: how good is a trained network on these images?

use super::detections::{self, ByClass};
use super::options::{Global, ReadingArgs};
use super::output::new_file;
use crate::data;
use crate::data::coco::json::results_to_json;
use crate::data::detection::{self, DetectionDataset, TestSplit};
use crate::data::{Dataset, Labelled, Reading, Source, Subset};
use crate::engine::alexnet::Settings;
use crate::engine::classifier::{self, Judgement, Score, judge};
use crate::engine::detection::{self as detecting, SURE};
use crate::engine::detector_data::tested;
use crate::engine::detector_model::{DetectorModel, is_detector_at};
use crate::engine::files::Weights;
use crate::engine::model::{Arch, Classifier};
use crate::engine::weights::Key;
use crate::engine::{curves, detector};
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::coco;
use crate::metrics::confusion::Confusion;
use crate::metrics::losses::Loss;
use crate::numbers::counted;
use crate::run::Run;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    Test,
    Val,
    Train,
    /// Every image
    All,
}

/// Loss and accuracy of a trained classifier, or COCO's 12 numbers of a detector, on a data set's split
#[derive(Args)]
#[command(after_help = "Examples:
  gradus evaluate runs/alexnet --data cifar-10-binary.tar.gz
  gradus evaluate weights.safetensors --data photos/ --split val --json
  gradus evaluate runs/detector --data data/PennFudanPed --split train
  gradus evaluate fasterrcnn.pth --data instances.json:images --split all
  gradus evaluate --detections found/detections.json --data instances.json      as pycocotools judges them
  gradus evaluate --detections runs/detector/detections.json --data data.yaml --split val")]
pub struct Evaluate {
    /// A run's folder, or a weights file: .safetensors, or PyTorch's .pth
    #[arg(required_unless_present = "detections")]
    model: Option<PathBuf>,
    /// Judge this file of results in COCO's format, without a network, by the annotations that --data names
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "test_split", "arch"])]
    detections: Option<PathBuf>,
    /// CIFAR-10's folder or .tar.gz, or a folder of images with one sub-folder a class; for detectors what
    /// `gradus train detector` takes
    #[arg(long, value_name = "SRC")]
    data: String,
    /// Which images [default: test; all of data that are not the run's and have no split of their own]
    #[arg(long, value_enum)]
    split: Option<Split>,
    /// Of a detector: which images of data that it was not trained on are test (a run knows its own data's)
    #[arg(long, value_name = "RULE")]
    test_split: Option<TestSplit>,
    /// Of a run: the best weights (best), or the newest (last)
    #[arg(long, value_enum, default_value_t = Weights::Best, hide_possible_values = true)]
    weights: Weights,
    #[command(flatten)]
    key: Key,
    /// The layout, where the weights do not tell
    #[arg(long)]
    arch: Option<Arch>,
    /// Leave here what was found: of a classifier confusion_matrix.png and .json and top_losses.png, of a
    /// detector that matrix with what was missed or found where nothing is, PR_curve.png, F1_curve.png and,
    /// with a network, detections.json
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace what is in DIR
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    faults: ReadingArgs,
}

#[derive(Serialize)]
struct Evaluation {
    split: &'static str,
    #[serde(flatten)]
    score: Score,
    /// Each class's images and the share of them that was recognised.
    classes: Vec<ClassShare>,
    /// The pairs most often confused.
    confused: Vec<Confused>,
    /// The images that it is most wrong about.
    top_losses: Vec<TopLoss>,
    #[serde(skip)]
    judged: Judgement,
}

#[derive(Serialize)]
struct TopLoss {
    image: String,
    is: String,
    taken_for: String,
    /// Nats.
    loss: f64,
}

#[derive(Serialize)]
struct ClassShare {
    name: String,
    images: u64,
    recall: Option<f64>,
}

#[derive(Serialize)]
struct Confused {
    is: String,
    taken_for: String,
    images: u64,
}

impl Evaluation {
    fn new(split: &'static str, judged: Judgement, images: &Labelled) -> Self {
        let (confusion, names) = (&judged.confusion, judged.confusion.classes());
        let share = |(i, name): (usize, &String)| ClassShare {
            name: name.clone(),
            images: confusion.counts()[i].iter().sum(),
            recall: confusion.recall(i),
        };
        let pair = |(is, taken_for, images): (usize, usize, u64)| Confused {
            is: names[is].clone(),
            taken_for: names[taken_for].clone(),
            images,
        };
        let classes = names.iter().enumerate().map(share).collect();
        let confused = confusion.worst(CONFUSED).into_iter().map(pair).collect();
        let worst = |l: &Loss| TopLoss {
            image: images.dataset().name(l.index),
            is: names[l.truth].clone(),
            taken_for: names[l.predicted].clone(),
            loss: l.loss,
        };
        let top_losses = judged.losses.worst().iter().map(worst).collect();
        Evaluation { split, score: judged.score, classes, confused, top_losses, judged }
    }

    /// Leaves pictures, and the whole matrix as JSON.
    fn leave(&self, out: &Path, images: &Labelled) -> Result<()> {
        files::create_folder(out)?;
        for (name, picture) in self.judged.pictures(&format!("{} images", self.split), images)? {
            picture.save_png(out.join(name))?;
        }
        curves::leave_matrix(&self.judged.confusion, out)?;
        left(out, &OF_CLASSIFIER);
        Ok(())
    }
}

/// What `--out` gets of a classifier, and of a detector.
const OF_CLASSIFIER: [&str; 3] =
    [classifier::CONFUSION, curves::CONFUSION_JSON, classifier::TOP_LOSSES_PICTURE];
const DETECTIONS: &str = "detections.json";
/// Pairs of classes in the JSON.
const CONFUSED: usize = 10;

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Score { images, loss, accuracy } = self.score;
        writeln!(
            f,
            "{}: {}, accuracy {:.2} %, loss {loss:.4}",
            self.split,
            counted(images, "image", "images"),
            100.0 * accuracy
        )?;
        self.judged.confusion.fmt(f)
    }
}

/// A detector's.
#[derive(Serialize)]
struct DetectorEvaluation {
    split: &'static str,
    images: usize,
    #[serde(flatten)]
    score: detecting::Score,
    /// What the twelve numbers of `box` and `mask` are called.
    numbers: [&'static str; 12],
    seconds_per_image: f64,
    classes: ByClass,
    #[serde(skip)]
    confusion: Confusion,
}

impl fmt::Display for DetectorEvaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (images, seconds) = (self.images, self.seconds_per_image);
        writeln!(f, "{}: {}, {seconds:.3} s an image", self.split, counted(images, "image", "images"))?;
        self.score.fmt(f)?;
        self.classes.fmt(f)?;
        writeln!(f, "boxes from a score of {SURE}, IoU 0.50")?;
        self.confusion.fmt(f)
    }
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Split::Test => "test",
            Split::Val => "val",
            Split::Train => "train",
            Split::All => "all",
        }
    }
}

impl Evaluate {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let model = match (&self.model, &self.detections) {
            (_, Some(results)) => return self.results(results, global),
            (Some(model), _) => model,
            (None, None) => {
                return Err(Error::input("no model is named").remedy("see gradus evaluate --help"));
            }
        };
        self.must_be_new(OF_CLASSIFIER.iter().chain(&curves::FILES).chain(&[DETECTIONS]))?;
        if self.weights == Weights::Last && !model.is_dir() {
            let remedy = "leave it out: a file holds one set of weights";
            return Err(Error::input("--weights last chooses among those of a run").remedy(remedy));
        }
        if is_detector_at(model, self.key.key.as_deref()) {
            self.detector(model, global)
        } else {
            self.classifier(model, global)
        }
    }

    /// Error: what would be left is there already.
    fn must_be_new<'a>(&self, mut names: impl Iterator<Item = &'a &'static str>) -> Result<()> {
        let Some(out) = &self.out else { return Ok(()) };
        names.try_for_each(|name| new_file(out.join(name), self.force).map(drop))
    }

    fn results(&self, results: &Path, global: &Global) -> Result<()> {
        self.must_be_new(curves::FILES.iter())?;
        let (judged, summary) = detections::judge(results, &self.data, self.split.map(Split::name))?;
        if let Some(out) = &self.out {
            files::create_folder(out)?;
            curves::leave(&judged, out)?;
            left(out, &curves::FILES);
        }
        global.print(&summary)
    }

    fn detector(&self, path: &Path, global: &Global) -> Result<()> {
        if self.arch.is_some() {
            let remedy = "leave it out: a detector's weights tell its layout";
            return Err(Error::input("--arch is of classifiers, and this is a detector").remedy(remedy));
        }
        let mut model = DetectorModel::open(path, self.key.or(self.weights), [None, None])?;
        model.net.precision = global.precision;
        let run: Option<detector::Settings> = path.is_dir().then(|| Run::settings(path)).transpose()?;
        let given = self.faults.reading();
        let skip_bad = given.skip_bad || run.as_ref().is_some_and(|run| run.reading.skip_bad);
        let data = data::open_detection(&self.data, Reading { skip_bad, ..given })?;
        // What a run learned of some classes is judged by these.
        let data = match run.as_ref().filter(|run| run.only.is_some()) {
            Some(run) => detection::like(data, &run.classes, true).map_err(|e| e.in_file(&self.data))?,
            None => data,
        };
        let categories = model.categories_in(data.classes(), &self.data)?;
        let seed = global.seed_of(run.as_ref().map(|run| run.plan.seed));
        let checksum = run.is_some().then(|| data.checksum()).transpose()?;
        let own = run
            .filter(|run| [Some(&run.data_checksum), run.val_checksum.as_ref()].contains(&checksum.as_ref()));
        own.as_ref().map_or(Ok(()), |run| must_be_the_runs(seed, run.plan.seed))?;
        let (split, indices) = match own.as_ref().zip(own.as_ref().and_then(|run| run.val.as_deref())) {
            Some((run, val)) => self.beside_val(&*data, run, val, checksum.as_ref())?,
            None => self.indices(&*data, own, seed)?,
        };
        let (split, images) = (split.name(), indices.len());
        say!("{}", detection::describe(&*data, &self.data, &[(split, &indices)]));
        let judged = detecting::judge(&model.net, &categories, &Subset::new(data.clone(), indices), split)?;
        if let Some(out) = &self.out {
            files::create_folder(out)?;
            curves::leave(&judged, out)?;
            let named = results_to_json(&judged.detections, |id| data.image_name(id));
            files::write_atomic(out.join(DETECTIONS), named.as_bytes())?;
            left(out, &[&curves::FILES[..], &[DETECTIONS]].concat());
        }
        let (score, seconds_per_image) = (judged.score(), judged.seconds_per_image);
        let classes = ByClass::of(&judged.boxes, judged.masks.as_ref());
        let confusion = judged.confusion;
        let numbers = coco::NAMES;
        global.print(&DetectorEvaluation {
            split,
            images,
            score,
            numbers,
            seconds_per_image,
            classes,
            confusion,
        })
    }

    /// The images that a run with `--val` is judged on: of the data that it was tested on those that it was
    /// tested on, of those that it learned from these.
    fn beside_val(
        &self,
        data: &dyn DetectionDataset,
        run: &detector::Settings,
        val: &str,
        checksum: Option<&String>,
    ) -> Result<(Split, Vec<usize>)> {
        let all = || (0..data.len()).collect();
        if let Some(rule) = self.test_split {
            let what = format!("--test-split {rule}, but the run was tested on {val}");
            return Err(Error::input(what).remedy("leave the option out: a run knows its images"));
        }
        let learned = Some(&run.data_checksum) == checksum;
        match self.split {
            Some(Split::All) => Ok((Split::All, all())),
            Some(Split::Train) if learned => Ok((Split::Train, data.part("train").unwrap_or_else(all))),
            Some(Split::Test) | None if run.val_checksum.as_ref() == checksum => {
                Ok((Split::Test, tested(data).unwrap_or_else(all)))
            }
            _ if learned => {
                let what = format!("is what the run learned from; it was tested on {val}");
                let remedy = format!("name --data {val}, or choose --split train");
                Err(Error::input(what).in_file(&self.data).remedy(remedy))
            }
            _ => {
                let what = "is what the run was tested on, and not what it learned from";
                Err(Error::input(what).in_file(&self.data).remedy("leave --split out"))
            }
        }
    }

    /// The images that a detector is judged on. A run divides its own data as it was trained. Others are
    /// divided by `--test-split`, or as they are marked, or else not at all.
    fn indices(
        &self,
        data: &dyn DetectionDataset,
        own: Option<detector::Settings>,
        seed: u64,
    ) -> Result<(Split, Vec<usize>)> {
        if let (Some(Split::All), Some(rule)) = (self.split, self.test_split) {
            let what = format!("--split all judges every image, and --test-split {rule} divides them");
            return Err(Error::input(what).remedy("leave one of them out"));
        }
        let rule = match (own, self.test_split) {
            (Some(run), Some(given)) if given.to_string() != run.test_split => {
                let own = run.test_split;
                let what = format!("--test-split {given}, but the run was trained with {own} on these data");
                return Err(Error::input(what).remedy("leave the option out: a run knows its images"));
            }
            (Some(run), _) => Some((run.test_split.parse::<TestSplit>()?, run.plan.seed)),
            (None, given) => given.map(|rule| (rule, seed)),
        };
        let marked = |split: Split| data.part(split.name()).map(|images| (split, images));
        match (self.split, rule) {
            (Some(Split::All), _) => Ok((Split::All, (0..data.len()).collect())),
            (Some(split), None | Some((TestSplit::Own, _))) => marked(split).ok_or_else(|| unmarked(split)),
            (None, None) => {
                let own = marked(Split::Test).or_else(|| marked(Split::Val));
                Ok(own.unwrap_or_else(|| (Split::All, (0..data.len()).collect())))
            }
            (None, Some((TestSplit::Own, _))) => {
                marked(Split::Val).or_else(|| marked(Split::Test)).ok_or_else(|| unmarked(Split::Test))
            }
            (Some(Split::Val), Some(_)) => Err(unmarked(Split::Val)),
            (Some(Split::Train), Some((rule, seed))) => Ok((Split::Train, rule.indices(data, seed)?.0)),
            (_, Some((rule, seed))) => Ok((Split::Test, rule.indices(data, seed)?.1)),
        }
    }

    fn classifier(&self, path: &Path, global: &Global) -> Result<()> {
        if self.test_split.is_some() {
            let remedy = "leave it out; --split chooses the images";
            return Err(Error::input("--test-split is of detectors, and this is a classifier").remedy(remedy));
        }
        let model = Classifier::open(path, self.key.or(self.weights), self.arch)?;
        let run: Option<Settings> = path.is_dir().then(|| Run::settings(path)).transpose()?;
        let given = self.faults.reading();
        let skip_bad = given.skip_bad || run.as_ref().is_some_and(|run| run.reading.skip_bad);
        let seed = global.seed_of(run.as_ref().map(|run| run.plan.seed));
        let source = data::find(&self.data, seed, Reading { skip_bad, ..given })?;
        let checksum = run.is_some().then(|| source.checksum()).transpose()?;
        let own = run.filter(|run| Some(&run.data_checksum) == checksum.as_ref());
        own.as_ref().map_or(Ok(()), |run| must_be_the_runs(seed, run.plan.seed))?;
        let (split, images) = self.images(source, own.as_ref(), seed)?;
        let split = split.name();
        say!("{}", data::describe(&self.data, &[(split.to_string(), &images)]));
        let images =
            data::renumbered(&images, &model.classes, model.named).map_err(|e| e.in_file(&self.data))?;
        if images.is_empty() {
            return Err(Error::input("has no image to judge")
                .in_file(&self.data)
                .remedy("name a folder with one sub-folder of pictures for each class, or another --split"));
        }
        let judged = judge(global.precision, &model.net, &images, model.arch.transform(), split)?;
        let evaluation = Evaluation::new(split, judged, &images);
        if let Some(out) = &self.out {
            evaluation.leave(out, &images)?;
        }
        global.print(&evaluation)
    }

    /// The images that a classifier is judged on. A run's own data are divided as it was trained. Others are
    /// as they are: a folder without a split of its own is a test set, all of it.
    fn images(&self, source: Source, own: Option<&Settings>, seed: u64) -> Result<(Split, Labelled)> {
        let folder: Arc<dyn Dataset> = match source {
            Source::Folder(folder) if own.is_none() => Arc::new(folder),
            source => {
                let splits = source.divided(own.map_or(data::VAL_FRACTION, |run| run.val_fraction), seed)?;
                return Ok(match self.split.unwrap_or(Split::Test) {
                    Split::All => (Split::All, Subset::all(splits.dataset().clone())),
                    split => (split, splits.get(split.name())?.clone()),
                });
            }
        };
        let part = |split: Split| folder.part(split.name()).map(|images| Subset::new(folder.clone(), images));
        let all = || (Split::All, Subset::all(folder.clone()));
        match self.split {
            Some(Split::All) => Ok(all()),
            Some(split) => part(split).map(|images| (split, images)).ok_or_else(|| {
                let what = format!(
                    "has no {} images of its own, and is not what the run learned from",
                    split.name()
                );
                Error::input(what).in_file(&self.data).remedy("choose --split all, which judges every image")
            }),
            None if part(Split::Train).or(part(Split::Val)).is_some() => {
                part(Split::Test).map(|images| (Split::Test, images)).ok_or_else(|| {
                    let own = [Split::Val, Split::Train].into_iter().filter(|s| part(*s).is_some());
                    let own: String = own.map(|s| format!("--split {}, or ", s.name())).collect();
                    let remedy = format!("choose {own}--split all, which judges every image");
                    Error::input("has no test images").in_file(&self.data).remedy(remedy)
                })
            }
            None => Ok(part(Split::Test).map_or_else(all, |images| (Split::Test, images))),
        }
    }
}

/// Says what was left, and where.
fn left(out: &Path, names: &[&str]) {
    say!("{} are in {}", names.join(", "), out.display());
}

/// The error of images that data of objects do not mark.
fn unmarked(split: Split) -> Error {
    match split {
        Split::Val => Error::input("these data have no split `val`").remedy("choose test, train or all"),
        _ => {
            let what = format!("--split {} of data that the detector was not trained on", split.name());
            Error::input(what).remedy("choose --split all, or divide them by --test-split")
        }
    }
}

/// A run's own data are divided as it was trained, so that what it learned from is not judged. Error: another
/// seed was given.
fn must_be_the_runs(seed: u64, own: u64) -> Result<()> {
    if seed == own {
        return Ok(());
    }
    let what = format!("--seed {seed}, but the run divided these data by the seed {own}");
    Err(Error::input(what).remedy("leave the option out: a run knows its images"))
}
