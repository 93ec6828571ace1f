//! A detector as a training task, with torchvision's recipe for fine-tuning and one for a quick start from
//! nothing, and how detectors are judged.
//!
//! Fine-tuning, a step descends on the plain sum of the losses by SGD with momentum 0.9 and weight decay
//! 0.0005. Its rate is η · 0.1^⌊e/3⌋ in epoch e (or falls as [`Decay`] says); in epoch 0 it rises along a
//! line from η/1000 over the first min(1000, batches − 1) steps. (torchvision's `references/detection`, and
//! its tutorial on fine-tuning.) From random weights, where a few hundred steps are all there is time for,
//! AdamW's rate rises to η and falls again in one cycle.

use super::culprit::Shown;
use super::trainer::{self, Task};
use crate::data::detection::{Annotated, DetectionBatch, Mirrored, Sample, tensor};
use crate::data::{Ahead, Loader};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::metrics::coco::{self, Category, Evaluation, Kind};
use crate::metrics::confusion::Confusion;
use crate::metrics::rle::Rle;
use crate::progress::Progress;
use gradus_core::gemm::Precision;
use gradus_core::optim::{Adam, Rule, Sgd};
use gradus_core::schedule::{OneCycle, Schedule};
use gradus_core::{NotFinite, Rng, Tape, Tensor, Var};
use gradus_models::detection::{Detections, Detector, paste_mask};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Instant;

/// The losses by torchvision's names, in the order of [`Tally`].
pub const LOSSES: [&str; 5] =
    ["loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask"];
/// The side of a predicted mask, in cells.
const MASK_SIDE: usize = 28;

/// How weights descend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// SGD with torchvision's steps: what pretrained weights need.
    #[default]
    FineTuning,
    /// AdamW in one cycle: random weights learn in few steps.
    FromScratch,
}

/// How the rate falls in fine-tuning: after every so many epochs, to so many times what it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decay {
    /// In epochs.
    #[serde(deserialize_with = "super::count")]
    pub every: usize,
    /// The factor.
    #[serde(deserialize_with = "super::factor")]
    pub factor: f64,
}

impl Default for Decay {
    /// torchvision's tutorial: a tenth, every third epoch.
    fn default() -> Self {
        Decay { every: 3, factor: 0.1 }
    }
}

/// What the training depends on, beside the data and the network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Passes over the training images.
    #[serde(deserialize_with = "super::count")]
    pub epochs: usize,
    /// Images a step.
    #[serde(deserialize_with = "super::count")]
    pub batch: usize,
    /// The learning rate η.
    #[serde(deserialize_with = "super::rate")]
    pub lr: f64,
    /// What is done with it.
    #[serde(default)]
    pub recipe: Recipe,
    /// When it falls, in fine-tuning.
    #[serde(default)]
    pub decay: Decay,
    /// Of everything random.
    pub seed: u64,
    /// What products and convolutions read.
    #[serde(default, with = "super::named_precision")]
    pub precision: Precision,
    /// Whether images are mirrored at random.
    #[serde(default = "mirrored")]
    pub flip: bool,
}

/// As the runs of versions were that could not do without.
fn mirrored() -> bool {
    true
}

impl Default for Plan {
    /// That of torchvision's tutorial.
    fn default() -> Self {
        let (recipe, decay, precision) = (Recipe::FineTuning, Decay::default(), Precision::F32);
        Plan { epochs: 10, batch: 2, lr: 0.005, recipe, decay, seed: 1234, precision, flip: true }
    }
}

impl Plan {
    /// The optimiser.
    pub fn rule(&self) -> Rule {
        match self.recipe {
            Recipe::FineTuning => Sgd { momentum: 0.9, weight_decay: 0.0005, ..Sgd::new(self.lr) }.into(),
            Recipe::FromScratch => Adam::decoupled(self.lr).into(),
        }
    }

    /// The rate of a batch in an epoch of so many batches.
    pub fn lr(&self, epoch: usize, batch: usize, batches: usize) -> f64 {
        if self.recipe == Recipe::FromScratch {
            return OneCycle::new(self.lr, self.epochs * batches).lr(epoch * batches + batch);
        }
        let Decay { every, factor } = self.decay;
        let base = Schedule::Step { step_size: every, gamma: factor }.lr(self.lr, epoch);
        match batches.saturating_sub(1).min(1000) {
            total_iters @ 1.. if epoch == 0 => {
                Schedule::Linear { start_factor: 1e-3, end_factor: 1.0, total_iters }.lr(base, batch)
            }
            _ => base,
        }
    }
}

/// Sums of the losses over the images seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    images: usize,
    /// By [`LOSSES`], times the number of images.
    sums: [f64; 5],
}

impl Tally {
    /// The mean of each loss.
    pub fn means(&self) -> [f64; 5] {
        self.sums.map(|s| s / self.images.max(1) as f64)
    }

    /// The mean of their sum.
    pub fn total(&self) -> f64 {
        self.means().iter().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.total())
    }
}

impl trainer::Tally for Tally {
    fn images(&self) -> usize {
        self.images
    }
}

/// COCO's 12 numbers for boxes and, where there are masks, for masks: see [`coco::NAMES`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Of boxes.
    #[serde(rename = "box")]
    pub boxes: [f64; 12],
    /// Of masks.
    #[serde(rename = "mask", skip_serializing_if = "Option::is_none", default)]
    pub masks: Option<[f64; 12]>,
}

/// One of the 12 numbers for people; a dash where it is undefined.
pub fn shown(value: f64) -> String {
    if value < 0.0 { "–".into() } else { format!("{value:.3}") }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (k, name) in coco::NAMES.iter().enumerate() {
            let masks = self.masks.map(|m| format!("  mask {:>5}", shown(m[k]))).unwrap_or_default();
            writeln!(f, "  {name:<10} box {:>5}{masks}", shown(self.boxes[k]))?;
        }
        Ok(())
    }
}

/// Detections that are surer count in the confusion matrix: the least score that is shown.
pub const SURE: f64 = 0.5;

/// What a detector found in some images, compared with the truth.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// All detections, masks included.
    pub detections: Vec<coco::Detection>,
    /// Of boxes.
    pub boxes: Evaluation,
    /// Of masks.
    pub masks: Option<Evaluation>,
    /// Which class was found in place of which, by boxes from a score of [`SURE`] on.
    pub confusion: Confusion,
    /// The median time of an image, in seconds, reading not counted.
    pub seconds_per_image: f64,
}

impl Judgement {
    /// The numbers.
    pub fn score(&self) -> Score {
        Score { boxes: self.boxes.stats, masks: self.masks.as_ref().map(|m| m.stats) }
    }
}

/// The detections of one image in its results file's form. `classes[k - 1]` is label k's category.
pub fn to_coco(
    found: &Detections,
    image: i64,
    [height, width]: [usize; 2],
    classes: &[Category],
) -> Result<Vec<coco::Detection>> {
    let boxes = found.boxes.data().as_chunks::<4>().0;
    let one = |(k, b): (usize, &[f32; 4])| {
        let [x1, y1, x2, y2] = b.map(f64::from);
        let category = classes[found.labels[k] - 1].id;
        let d = coco::Detection::of_box(image, category, found.scores[k].into(), [x1, y1, x2 - x1, y2 - y1]);
        let Some(masks) = &found.masks else { return Ok(d) };
        let cells = MASK_SIDE * MASK_SIDE;
        let p = paste_mask(&masks.data()[k * cells..][..cells], MASK_SIDE, b, [height, width]);
        let bits: Vec<u8> = p.values.iter().map(|&v| u8::from(v > 0.5)).collect();
        Ok(d.with_mask(Rle::from_window(height, width, [p.x, p.y], p.width, &bits)?))
    };
    boxes.iter().enumerate().map(one).collect()
}

/// What is said of an image for which a detector predicts no numbers.
pub fn predicts_nothing(bad: &NotFinite) -> Error {
    Error::failure(format!("what the network predicts is not finite; the first of it: {bad}"))
}

/// Runs a detector over some images and compares. `classes[k - 1]` is label k's category.
///
/// # Errors
/// Unreadable images, predictions that are not finite, or an interruption.
pub fn judge(net: &Detector, classes: &[Category], part: &Annotated, label: &str) -> Result<Judgement> {
    let mut progress = Progress::new(label, "images", part.len() as u64, 0);
    let (mut detections, mut times) = (Vec::new(), Vec::new());
    for (sample, &i) in part.samples().zip(part.indices()) {
        let Sample { image, image_id, .. } = sample?;
        let x = tensor(&image).map_err(|e| e.in_file(part.dataset().name(i)))?;
        let start = Instant::now();
        let found =
            net.detect_finite(&[x]).map_err(|bad| predicts_nothing(&bad).in_file(part.dataset().name(i)))?;
        times.push(start.elapsed().as_secs_f64());
        detections.extend(to_coco(&found[0], image_id, [image.height(), image.width()], classes)?);
        progress.advance(1, || format!("{} found", detections.len()));
        interrupt::check("nothing was changed")?;
    }
    let truth = part.dataset().ground_truth(part.indices())?;
    let boxes = coco::evaluate(&truth, &detections, Kind::Box)?;
    // Where masks are judged, a detection's area is its mask's.
    let of_mask =
        |d: &coco::Detection| Some(coco::Detection::of_mask(d.image, d.category, d.score, d.mask.clone()?));
    let masks: Option<Vec<_>> = detections.iter().map(of_mask).collect();
    let masks = masks.filter(|_| net.config().masks);
    let masks = masks.map(|m| coco::evaluate(&truth, &m, Kind::Mask)).transpose()?;
    times.sort_by(f64::total_cmp);
    let seconds_per_image = times.get(times.len() / 2).copied().unwrap_or(0.0);
    let confusion = coco::confused(&truth, &detections, SURE);
    Ok(Judgement { detections, boxes, masks, confusion, seconds_per_image })
}

/// A detector, learning the objects of some images and judged on others.
pub struct Detection {
    plan: Plan,
    loader: Loader<Mirrored>,
    test: Annotated,
}

impl Detection {
    /// Masks are loaded where `masks` says so.
    pub fn new(plan: Plan, train: Annotated, test: Annotated, masks: bool) -> Self {
        let loader =
            Loader::training(train, Mirrored { masks, flip: plan.flip }, plan.batch, &Rng::seed(plan.seed));
        Detection { plan, loader, test }
    }

    /// Its batches.
    pub fn loader(&self) -> &Loader<Mirrored> {
        &self.loader
    }
}

impl Task for Detection {
    type Net = Detector;
    type Batch = DetectionBatch;
    type Tally = Tally;
    type Score = Score;

    fn with_batch(&self, images: usize) -> Option<Self> {
        let (plan, test) = (self.plan, self.test.clone());
        Some(Detection { plan, loader: self.loader.in_batches_of(images), test })
    }

    fn epochs(&self) -> usize {
        self.plan.epochs
    }

    fn precision(&self) -> Precision {
        self.plan.precision
    }

    fn images(&self) -> usize {
        self.loader.subset().len()
    }

    fn largest_step(&self) -> usize {
        self.loader.largest()
    }

    fn steps(&self) -> usize {
        self.loader.batches()
    }

    fn batches(&self, epoch: usize, start: usize) -> Ahead<DetectionBatch> {
        self.loader.epoch(epoch, start)
    }

    fn shown<'b>(&self, batch: &'b DetectionBatch) -> Vec<Shown<'b>> {
        let shown = |(name, image): (&String, &'b Tensor)| Shown { name: name.clone(), pixels: image.data() };
        batch.names.iter().zip(&batch.images).map(shown).collect()
    }

    fn lr(&self, epoch: usize, batch: usize) -> f64 {
        self.plan.lr(epoch, batch, self.loader.batches())
    }

    fn rng(&self, step: u64) -> Rng {
        Rng::seed(self.plan.seed).stream("samples").at(step)
    }

    fn loss(&self, net: &Detector, g: &mut Tape, batch: &DetectionBatch, tally: &mut Tally) -> Result<Var> {
        let losses = net.losses(g, &batch.images, &batch.targets).map_err(|e| {
            let name = batch.names.get(e.image).cloned().unwrap_or_default();
            let object = e.object.map(|o| format!("object {o}: ")).unwrap_or_default();
            Error::input(format!("{object}{}", e.problem)).in_file(name).remedy("mend or remove it")
        })?;
        let images = batch.images.len();
        tally.images += images;
        for (name, value) in losses.values() {
            if let Some(k) = LOSSES.iter().position(|&l| l == name) {
                tally.sums[k] += value * images as f64;
            }
        }
        Ok(losses.total(g))
    }

    fn judge(&self, net: &Detector) -> Result<Score> {
        Ok(judge(net, self.test.dataset().classes(), &self.test, "test images")?.score())
    }

    /// The greater box AP is better, as COCO ranks; anything is better than one that is undefined.
    fn better(score: &Score, best: &Score) -> bool {
        score.boxes[0] > best.boxes[0] || best.boxes[0] < 0.0
    }
}

/// An image's detections of at least this score, the surest first, in the order of [`Detections`].
pub fn surest(found: &Detections, score: f32) -> Detections {
    let n = found.scores.iter().take_while(|&&s| s >= score).count();
    let masks = found.masks.as_ref().map(|m| {
        let cells = MASK_SIDE * MASK_SIDE;
        Tensor::from_slice([n, MASK_SIDE, MASK_SIDE], &m.data()[..n * cells])
    });
    let boxes = Tensor::from_slice([n, 4], &found.boxes.data()[..4 * n]);
    Detections { boxes, labels: found.labels[..n].to_vec(), scores: found.scores[..n].to_vec(), masks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_and_falls_as_torchvisions() {
        let plan = Plan::default();
        // After iterations 0, 10 and 20 of 60 the next step's rates, as the tutorial prints them.
        for (batch, want) in [(1, 8.966e-5), (11, 9.363e-4), (21, 1.7829e-3)] {
            assert!((plan.lr(0, batch, 60) / want - 1.0).abs() < 1e-4, "{}", plan.lr(0, batch, 60));
        }
        assert!((plan.lr(0, 0, 60) - 5e-6).abs() < 1e-18 && (plan.lr(0, 59, 60) - 0.005).abs() < 1e-15);
        for (epoch, want) in [(1, 5e-3), (2, 5e-3), (3, 5e-4), (5, 5e-4), (6, 5e-5), (9, 5e-6)] {
            assert!((plan.lr(epoch, 0, 60) / want - 1.0).abs() < 1e-12);
        }
        // Longer trainings decay later, and less.
        let longer = Plan { epochs: 60, decay: Decay { every: 20, factor: 0.5 }, ..plan };
        for (epoch, want) in [(19, 5e-3), (20, 2.5e-3), (40, 1.25e-3), (59, 1.25e-3)] {
            assert!((longer.lr(epoch, 0, 60) / want - 1.0).abs() < 1e-12);
        }
        // One batch leaves no step to warm up in; 5000 batches warm up over 1000.
        assert_eq!(plan.lr(0, 0, 1), 0.005);
        assert!(plan.lr(0, 999, 5000) < 0.005 && plan.lr(0, 1000, 5000) == 0.005);
    }

    #[test]
    fn a_plan_from_a_file_descends() {
        let whole = serde_json::to_value(Plan::default()).unwrap();
        assert_eq!(serde_json::from_value::<Plan>(whole.clone()).unwrap(), Plan::default());
        for (at, value) in [("/lr", 0.0), ("/lr", -0.1), ("/decay/factor", 1.1), ("/decay/factor", -0.1)] {
            let mut lying = whole.clone();
            *lying.pointer_mut(at).unwrap() = value.into();
            assert!(serde_json::from_value::<Plan>(lying).is_err(), "{at} {value}");
        }
    }

    #[test]
    fn detections_become_results_with_masks_in_their_boxes() {
        let classes = [Category { id: 1, name: "a".into() }, Category { id: 18, name: "b".into() }];
        let found = Detections {
            boxes: Tensor::from_slice([2, 4], &[2.0, 3.0, 8.0, 9.0, 0.0, 0.0, 4.0, 2.0]),
            labels: vec![2, 1],
            scores: vec![0.9, 0.4],
            masks: Some(Tensor::from_fn([2, 28, 28], |i| if i < 784 { 1.0 } else { 0.0 })),
        };
        let results = to_coco(&found, 7, [12, 20], &classes).unwrap();
        assert_eq!((results[0].image, results[0].category, results[1].category), (7, 18, 1));
        assert_eq!(results[0].bbox, [2.0, 3.0, 6.0, 6.0]);
        // Enlarged by 30/28 about (5, 6) the box is [1.79, 2.79, 8.21, 9.21]: pixels 1 to 8 and 2 to 9, whose
        // samples all fall within the frame of zeros.
        assert_eq!(results[0].mask.as_ref().unwrap().area(), 64);
        assert_eq!(results[1].mask.as_ref().unwrap().area(), 0);
        let sure = surest(&found, 0.5);
        assert_eq!((sure.labels.len(), sure.masks.unwrap().shape()[0]), (1, 1));
    }
}
