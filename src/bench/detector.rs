//! The three detectors of `benches/peers/torch_detect.py`: a training step of two images and detection in
//! one, at PennFudanPed's sizes, scaled to 800. Each in a process of its own, so that each has its own peak
//! of memory.

use super::median;
use crate::error::{Error, Result};
use crate::memory::peak_mib;
use gradus_core::gemm::Precision;
use gradus_core::optim::{Optimizer, Sgd};
use gradus_core::{Rng, Tape, Tensor, init, parallel};
use gradus_models::detection::{BackboneKind, Config, Detector, Masks, Target};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// Times the models, each in a process of its own on as many threads. Under a profile each process tells its
/// own, and writes its trace beside `trace`, with the model in its name.
///
/// # Errors
/// The program cannot be started again, or failed.
pub fn run(models: &[String], settings: Settings, trace: Option<&Path>) -> Result<DetectorBench> {
    let program =
        std::env::current_exe().map_err(|e| Error::failure(format!("the program's own path: {e}")))?;
    let mut timings = Vec::new();
    for model in models {
        say!("{model}: {} steps and as many detections", settings.runs + 1);
        let mut command = Command::new(&program);
        command.args(arguments(model, settings, trace));
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|e| Error::failure(format!("{}: {e}", program.display())))?;
        let failed =
            || Error::failure(format!("the process that timed {model} ended with {}", output.status));
        let own: Vec<Timing> = serde_json::from_slice(&output.stdout).map_err(|_| failed())?;
        timings.extend(own);
    }
    Ok(DetectorBench(timings))
}

/// Of the process that times a model.
fn arguments(model: &str, settings: Settings, trace: Option<&Path>) -> Vec<String> {
    let (runs, seed, precision) = (settings.runs.to_string(), settings.seed.to_string(), settings.precision);
    let threads = parallel::threads().to_string();
    let mut all = vec!["bench", "detector", "--json", "--here", "--model", model];
    all.extend(["--runs", &runs, "--threads", &threads, "--precision", precision.name(), "--seed", &seed]);
    let profile = trace.map(|trace| format!("--profile={}", trace_of(model, trace).display()));
    all.into_iter().map(String::from).chain(profile).collect()
}

/// `profile-r50.json` of `profile.json`.
fn trace_of(model: &str, trace: &Path) -> PathBuf {
    let stem = trace.file_stem().unwrap_or_default().to_string_lossy();
    let end = trace.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    trace.with_file_name(format!("{stem}-{model}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_works_is_the_one_that_is_profiled() {
        let trace = Path::new("out").join("profile.json");
        let settings = Settings { runs: 5, seed: 1234, precision: Precision::F32 };
        let own = arguments("r50", settings, Some(&trace));
        let expected = format!("--profile={}", Path::new("out").join("profile-r50.json").display());
        assert!(own.contains(&"--here".into()) && own.last() == Some(&expected), "{own:?}");
        assert!(!arguments("r50", settings, None).concat().contains("profile"));
    }
}
