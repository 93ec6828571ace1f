//! What is failed and killed: a training as the commands do it, of a network so small that its file calls are
//! all it takes. It runs on one thread, so that these are the same calls each time.

use gradus::data::Ahead;
use gradus::engine::culprit::Shown;
use gradus::engine::trainer::{self, PositionOf, Task, Trainer};
use gradus::error::{Result, within_memory};
use gradus::interrupt;
use gradus::run::{Existing, Run};
use gradus_core::nn::{BatchNorm2d, Linear};
use gradus_core::optim::Adam;
use gradus_core::{Activation, Module, Rng, Tape, Tensor, Var, Visitor, init};
use gradus_models::checkpoint::Metadata;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const EPOCHS: usize = 3;
const STEPS: usize = 3;
const BATCH: usize = 8;
/// The step at which a run that is to be interrupted interrupts itself: within the second epoch.
const INTERRUPTED: u64 = 4;

/// How a run begins, and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Anew, in a folder that is free.
    Begin,
    /// Anew, with `--force`.
    Replace,
    /// It goes on.
    Resume,
    /// Anew, and Ctrl-C comes within the second epoch.
    Interrupted,
}

impl How {
    pub const ALL: [How; 4] = [How::Begin, How::Replace, How::Resume, How::Interrupted];

    pub fn name(self) -> &'static str {
        match self {
            How::Begin => "begin",
            How::Replace => "replace",
            How::Resume => "resume",
            How::Interrupted => "interrupted",
        }
    }

    fn existing(self) -> Existing {
        match self {
            How::Begin | How::Interrupted => Existing::Refuse,
            How::Replace => Existing::Replace,
            How::Resume => Existing::Resume,
        }
    }
}

/// Its own `main`: the exit codes are the command line's, and a panic has its own.
pub fn main(how: &str, folder: &Path) -> ExitCode {
    let how = How::ALL.into_iter().find(|h| h.name() == how).expect("a way to begin");
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().expect("threads");
    match within_memory(|| train(how, folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // As for the commands, that nobody hears it is no error.
            let _ = writeln!(std::io::stderr(), "gradus: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Settings {
    task: String,
    epochs: usize,
}

fn train(how: How, folder: &Path) -> Result<()> {
    let settings = Settings { task: "points".into(), epochs: EPOCHS };
    let mut run = Run::open(folder, &settings, how.existing())?;
    let about = Metadata::from([("task".to_string(), "points".to_string())]);
    let task = Points { how };
    let trainer = Trainer::new(task, Net::new(), Adam::new(0.05), folder, about);
    let trainer = trainer.in_run(&mut run, how.existing(), record)?;
    let best_epoch = trainer.position().best_epoch;
    let (task, net) = trainer.into_best()?;
    run.end(&serde_json::json!({ "best_epoch": best_epoch, "score": task.judge(&net)? }), &[])
}

/// What measures no time, in one chart, which takes most of a run's: the files of two runs are then the same
/// bytes.
fn record(run: &mut Run, at: &PositionOf<Points>) -> Result<()> {
    let Some(e) = at.last() else { return Ok(()) };
    let train = e.train.loss / e.train.images as f64;
    run.epoch(e.epoch, &e.curve(), &[("train/loss", train), ("val/loss", e.score)])
}

/// Batch norm has statistics, Adam its moments, and dropout is random: all that a state must hold.
struct Net {
    norm: BatchNorm2d,
    hidden: Linear,
    out: Linear,
}

impl Net {
    fn new() -> Self {
        let mut rng = Rng::seed(3);
        let mut layer = |i, o| Linear::new(init::xavier_normal([i, o], init::RELU, &mut rng), true);
        let (hidden, out) = (layer(2, 16), layer(16, 2));
        Net { norm: BatchNorm2d::new(2), hidden, out }
    }

    fn forward(&self, g: &mut Tape, x: Var) -> Var {
        let x = self.norm.forward(g, x, Activation::None);
        let x = self.hidden.forward(g, x, Activation::Relu);
        let x = g.dropout(x, 0.25);
        self.out.forward(g, x, Activation::None)
    }
}

impl Module for Net {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        v.child("norm", &mut self.norm);
        v.child("hidden", &mut self.hidden);
        v.child("out", &mut self.out);
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Tally {
    images: usize,
    loss: f64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss / self.images.max(1) as f64)
    }
}

impl trainer::Tally for Tally {
    fn images(&self) -> usize {
        self.images
    }
}

/// Which points of the plane lie where both coordinates have the same sign?
struct Points {
    how: How,
}

/// The points of a batch, and for each whether.
type Batch = (Tensor, Vec<usize>);

fn batch(name: &str, number: usize) -> Batch {
    let mut rng = Rng::seed(3).stream(name).at(number as u64);
    let points = Tensor::from_fn([BATCH, 2], |_| rng.normal() as f32);
    let labels = points.data().chunks(2).map(|p| usize::from(p[0] * p[1] > 0.0)).collect();
    (points, labels)
}

impl Task for Points {
    type Net = Net;
    type Batch = Batch;
    type Tally = Tally;
    type Score = f64;

    fn epochs(&self) -> usize {
        EPOCHS
    }

    fn images(&self) -> usize {
        STEPS * BATCH
    }

    fn steps(&self) -> usize {
        STEPS
    }

    fn batches(&self, epoch: usize, start: usize) -> Ahead<Batch> {
        Ahead::new(start..STEPS, "points", move |number| Ok(batch("train", epoch * STEPS + number)))
    }

    fn shown<'b>(&self, batch: &'b Batch) -> Vec<Shown<'b>> {
        vec![Shown { name: "points".into(), pixels: batch.0.data() }]
    }

    /// The last epoch's is far too high: its weights are not the best.
    fn lr(&self, epoch: usize, _: usize) -> f64 {
        if epoch + 1 < EPOCHS { 0.05 } else { 2.0 }
    }

    fn rng(&self, step: u64) -> Rng {
        if self.how == How::Interrupted && step == INTERRUPTED {
            interrupt_oneself();
        }
        Rng::seed(3).stream("dropout").at(step)
    }

    fn loss(&self, net: &Net, g: &mut Tape, (points, labels): &Batch, tally: &mut Tally) -> Result<Var> {
        let logits = net.forward(g, points.clone().into());
        let loss = g.cross_entropy(logits, labels);
        tally.images += labels.len();
        tally.loss += f64::from(loss.value.item()) * labels.len() as f64;
        Ok(loss)
    }

    fn judge(&self, net: &Net) -> Result<f64> {
        let (points, labels) = batch("val", 0);
        let mut g = Tape::infer();
        let logits = net.forward(&mut g, points.into());
        Ok(f64::from(g.cross_entropy(logits, &labels).value.item()))
    }

    fn better(score: &f64, best: &f64) -> bool {
        score < best
    }
}

/// Ctrl-C, and waits until it is heard.
fn interrupt_oneself() {
    use rustix::process::{Signal, getpid, kill_process};
    interrupt::listen();
    kill_process(getpid(), Signal::INT).expect("a signal to oneself");
    while !interrupt::requested() {
        std::thread::yield_now();
    }
}
