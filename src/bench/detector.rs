//! The three detectors of `benches/peers/torch_detect.py`: a training step of two images and detection in
//! one, at PennFudanPed's sizes, scaled to 800. Each in a process of its own, so that each has its own peak
//! of memory.

use super::{alone, median};
use crate::error::Result;
use crate::memory::peak_mib;
use gradus_core::gemm::Precision;
use gradus_core::optim::{Optimizer, Sgd};
use gradus_core::{Rng, Tape, Tensor, init};
use gradus_models::detection::{BackboneKind, Config, Detector, Masks, Target};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The detectors, as the peers' script names them.
pub const MODELS: [&str; 3] = ["r50", "mbv2", "mask"];
/// [height, width]
const SIZES: [[usize; 2]; 2] = [[414, 455], [360, 500]];

/// How a detector is timed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Steps and detections, after the first of each.
    pub runs: usize,
    /// Of the random weights and images.
    pub seed: u64,
    /// What products and convolutions read.
    pub precision: Precision,
}

/// One detector's times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// Of [`MODELS`].
    pub model: String,
    /// A training step, in seconds.
    pub train_s: f64,
    /// Detection in an image, in seconds.
    pub infer_s: f64,
    /// The most memory the process held.
    pub peak_mib: Option<f64>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct DetectorBench(pub Vec<Timing>);

impl fmt::Display for DetectorBench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for t in &self.0 {
            let memory = t.peak_mib.map(|m| format!("{m:8.0} MiB")).unwrap_or_default();
            let Timing { model, train_s, infer_s, .. } = t;
            writeln!(f, "{model:5} training step {train_s:7.2} s  detection {infer_s:7.2} s{memory}")?;
        }
        Ok(())
    }
}

fn config(model: &str) -> Config {
    match model {
        "mbv2" => Config::new(BackboneKind::MobilenetV2, 2),
        "mask" => Config::new(BackboneKind::Resnet50Fpn, 2).with_masks(),
        _ => Config::new(BackboneKind::Resnet50Fpn, 2),
    }
}

/// Two people in an image of this size.
fn target([h, w]: [usize; 2], masks: bool) -> Target {
    let [fh, fw] = [h as f32, w as f32];
    let boxes = [fw * 0.2, fh * 0.3, fw * 0.4, fh * 0.9, fw * 0.5, fh * 0.25, fw * 0.7, fh * 0.95];
    let columns = [100..180, 240..330];
    let inside = |i: usize| {
        let (object, y, x) = (i / (h * w), i / w % h, i % w);
        u8::from((100..300).contains(&y) && columns[object].contains(&x))
    };
    let masks =
        masks.then(|| Masks { n: 2, height: h, width: w, bits: (0..2 * h * w).map(inside).collect() });
    Target { boxes: Tensor::from_slice([2, 4], &boxes), labels: vec![1, 1], masks }
}

/// Times one of [`MODELS`] in this process, with random weights: how many proposals they leave to be detected
/// in, and so its time, depends on the seed.
pub fn run_one(model: &str, Settings { runs, seed, precision }: Settings) -> Timing {
    let mut rng = Rng::seed(seed);
    let config = config(model);
    let masks = config.masks;
    let mut net = Detector::<f32>::new(config, &mut rng);
    net.precision = precision;
    let images = SIZES.map(|[h, w]| init::uniform::<f32>([h, w, 3], 0.0, 1.0, &mut rng));
    let targets = SIZES.map(|size| target(size, masks));
    // Random weights that learned from noise would run away in a few steps. At a rate of 0 they stay, and a
    // step takes what it takes.
    let mut sgd = Optimizer::new(Sgd { momentum: 0.9, weight_decay: 0.0005, ..Sgd::new(0.0) });
    let train_s = median(1, runs, || {
        let mut g = Tape::train(&mut rng).in_precision(precision);
        let losses = net.losses(&mut g, &images, &targets).expect("the targets are sound");
        let total = losses.total(&mut g);
        sgd.step(&mut net, &g.backward(&total)).expect("gradients are finite");
    });
    let infer_s = median(1, runs, || {
        net.detect(&images[..1]);
    });
    Timing { model: model.into(), train_s, infer_s, peak_mib: peak_mib() }
}

/// Times the models, each in a process of its own.
///
/// # Errors
/// The program cannot be started again, or failed.
pub fn run(models: &[String], settings: &Settings, trace: Option<&Path>) -> Result<DetectorBench> {
    let Settings { runs, seed, precision } = settings;
    let mut timings = Vec::new();
    for model in models {
        say!("{model}: {} steps and as many detections", runs + 1);
        let options: [(&str, &dyn fmt::Display); 4] =
            [("model", model), ("runs", runs), ("seed", seed), ("precision", &precision.name())];
        timings.extend(alone::<Vec<Timing>>("detector", &options, model, trace)?);
    }
    Ok(DetectorBench(timings))
}
