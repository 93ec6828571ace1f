//! Training, whatever is learned: epochs of steps, judged after each, the best weights kept, stopped and
//! resumed to the same bits.
//!
//! Batch b of epoch e is a function of (seed, e, b), and what is random in step t of (seed, t): a training's
//! future depends on its weights, its optimiser's state and its position alone, and these are what is saved.

use super::culprit::{self, Shown};
use super::files::{Files, Weights};
use super::position::Position;
use super::resume::{self, checkpoint_error};
use super::room::{self, Need};
use crate::data::Ahead;
use crate::error::{Error, Result};
use crate::files;
use crate::interrupt;
use crate::numbers::{count, counted};
use crate::progress::{Progress, clock};
use crate::run::live::Live;
use crate::run::{Existing, Run};
use gradus_core::gemm::Precision;
use gradus_core::optim::{Optimizer, Rule};
use gradus_core::{Module, NotFinite, OutOfMemory, Rng, Tape, Var, memory, parallel, simd};
use gradus_models::checkpoint::{self, Metadata, save_module};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// In a long epoch the state is saved this often.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// A loss above this is no training any more: networks begin with losses of a few units, and none comes back
/// from here.
const DIVERGED: f64 = 1e6;

/// Sums over the batches of an epoch; shown as "loss 0.31, ...".
pub trait Tally: Clone + Default + Serialize + DeserializeOwned + fmt::Display {
    /// The images they are of.
    fn images(&self) -> usize;
}

/// What is learned: the data, the loss, and how a network is judged.
pub trait Task {
    /// What learns.
    type Net: Module<f32>;
    /// What a step sees.
    type Batch: Send + 'static;
    /// What is summed while an epoch is learned.
    type Tally: Tally;
    /// How good the network is after an epoch.
    type Score: Clone + Default + fmt::Debug + Serialize + DeserializeOwned;

    /// The same with so many images a step, to see what they take; none where that is nothing.
    fn with_batch(&self, _images: usize) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
    /// Passes over the training images.
    fn epochs(&self) -> usize;
    /// What products and convolutions of a step read.
    fn precision(&self) -> Precision {
        Precision::F32
    }
    /// Images in a pass.
    fn images(&self) -> usize;
    /// Images of the largest step, where its memory is worth a look beforehand.
    fn largest_step(&self) -> usize {
        1
    }
    /// Steps in a pass.
    fn steps(&self) -> usize;
    /// The batches of an epoch from `start` on.
    fn batches(&self, epoch: usize, start: usize) -> Ahead<Self::Batch>;
    /// The images of a batch: to say which were shown, where something is wrong with one.
    fn shown<'b>(&self, batch: &'b Self::Batch) -> Vec<Shown<'b>>;
    /// The learning rate of a batch in an epoch.
    fn lr(&self, epoch: usize, batch: usize) -> f64;
    /// What is random in step `step`.
    fn rng(&self, step: u64) -> Rng;
    /// The tape of a step.
    fn tape(&self, step: u64) -> Tape {
        Tape::train(&mut self.rng(step)).in_precision(self.precision())
    }
    /// A batch's loss, recorded; adds to the sums.
    fn loss(
        &self,
        net: &Self::Net,
        g: &mut Tape,
        batch: &Self::Batch,
        tally: &mut Self::Tally,
    ) -> Result<Var>;
    /// Judges the network after an epoch.
    fn judge(&self, net: &Self::Net) -> Result<Self::Score>;
    /// Whether a score is better than the best so far; equal ones are not.
    fn better(score: &Self::Score, best: &Self::Score) -> bool;
}

/// The position of a task's training.
pub type PositionOf<T> = Position<<T as Task>::Tally, <T as Task>::Score>;

/// A network in training.
pub struct Trainer<T: Task> {
    task: T,
    files: Files,
    metadata: Metadata,
    net: T::Net,
    optimizer: Optimizer,
    position: PositionOf<T>,
}

impl<T: Task> Trainer<T> {
    /// A training from the beginning. `metadata` goes into the weights' files and the state's.
    pub fn new(task: T, net: T::Net, rule: impl Into<Rule>, folder: &Path, metadata: Metadata) -> Self {
        let (files, optimizer) = (Files::of(folder), Optimizer::new(rule));
        Trainer { task, files, metadata, net, optimizer, position: Position::default() }
    }

    /// Goes on where the run in the folder was, and says where; at the beginning if it has saved no state.
    ///
    /// # Errors
    /// The state cannot be read, or more epochs are behind than are asked for.
    pub fn resume(&mut self) -> Result<()> {
        let folder = self.files.folder().display();
        self.files.must_have_kept_state()?;
        if !self.files.have_state()? {
            say!("{folder}: it had saved no state; it begins at the beginning");
            return Ok(());
        }
        let state = self.files.state();
        self.position = resume::load(&state, &mut self.net, &mut self.optimizer)?;
        let taken = self.optimizer.state().values().map(|state| state.step).max().unwrap_or(0);
        let damaged = |what| resume::damaged(&state, what);
        self.position.check(self.task.steps(), taken).map_err(damaged)?;
        if self.position.tally.images() > self.task.images() {
            return Err(damaged("it has seen more images than there are"));
        }
        let (Position { epoch, batch, .. }, epochs) = (&self.position, self.task.epochs());
        if *epoch > epochs {
            return Err(Error::input(format!(
                "has trained {} already, more than {epochs}",
                counted(*epoch, "epoch", "epochs")
            ))
            .in_file(self.files.folder())
            .remedy(format!("ask for {epoch} or more with --epochs, or choose another --out")));
        }
        match *epoch == epochs {
            true => say!("{folder}: all {epochs} epochs are trained already"),
            false => say!("{folder}: resuming at epoch {} of {epochs}, batch {}", epoch + 1, batch + 1),
        }
        Ok(())
    }

    /// Whether a step is behind.
    pub fn has_begun(&self) -> bool {
        self.position.step > 0
    }

    /// Whether no step follows.
    pub fn is_done(&self) -> bool {
        self.position.epoch >= self.task.epochs()
    }

    /// Where it stands.
    pub fn position(&self) -> &PositionOf<T> {
        &self.position
    }

    /// Begins or goes on where the run stands, and trains to the last epoch; `record` sees each epoch as in
    /// [`Trainer::run`]. Where it fails before its first step, a new run leaves no folder.
    pub fn in_run(
        mut self,
        run: &mut Run,
        existing: Existing,
        mut record: impl FnMut(&mut Run, &PositionOf<T>) -> Result<()>,
    ) -> Result<Self> {
        let train = || {
            if existing == Existing::Resume {
                self.resume()?;
            }
            run.go_on(self.position.epoch, self.position.batch, self.is_done())?;
            self.announce();
            self.must_fit()?;
            self.run(|position| record(run, position))
        };
        let trained = memory::caught(train).unwrap_or_else(|e| Err(self.lacking("", &e)));
        if trained.is_err() && !self.has_begun() {
            run.give_up();
        }
        trained.map(|()| self)
    }

    /// Error: there is not enough memory for a step.
    fn must_fit(&mut self) -> Result<()> {
        let batch = self.task.largest_step();
        if self.is_done() {
            return Ok(());
        }
        let one = self.bytes_of(1)?;
        // That fits, or there was an error.
        if batch < 2 {
            return Ok(());
        }
        let steps = [one, self.bytes_of(2)?];
        Need::of(steps, &mut self.net, &self.optimizer).must_fit_here(batch)
    }

    /// What a step of so many images has in memory at once, in bytes.
    fn bytes_of(&mut self, images: usize) -> Result<usize> {
        let Some(task) = self.task.with_batch(images) else { return Ok(0) };
        let Some(batch) = task.batches(0, 0).next().transpose()? else { return Ok(0) };
        let most = room::peak(&mut self.net, images, |net| {
            let mut g = task.tape(0);
            let loss = task.loss(net, &mut g, &batch, &mut T::Tally::default())?;
            g.backward(&loss);
            Ok(())
        })?;
        let pixels: usize = task.shown(&batch).iter().map(|shown| size_of_val(shown.pixels)).sum();
        Ok(most + room::BATCHES * pixels)
    }

    /// Says what is to be done, where and with what, and how it is stopped.
    fn announce(&self) {
        if self.is_done() {
            return;
        }
        let (epochs, steps, threads) = (self.task.epochs(), self.task.steps(), parallel::threads());
        let (isa, folder) = (simd::isa().name(), self.files.folder().display());
        let plural = |n: usize, what: &str| format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" });
        let [epochs, steps, threads] =
            [(epochs, "epoch"), (steps, "step"), (threads, "thread")].map(|(n, what)| plural(n, what));
        say!(
            "{epochs} of {steps} on {threads} ({isa}), in {folder}; Ctrl-C saves the state, `gradus train --resume {folder}` goes on"
        );
    }

    fn save_state(&mut self) -> Result<()> {
        self.must_be_finite()?;
        let path = self.files.state();
        let Trainer { net, optimizer, position, metadata, .. } = self;
        files::written(&path, || resume::save(&path, net, optimizer, position, metadata))
    }

    /// Saves the state, and says how to go on.
    fn interrupted(&mut self) -> Result<Error> {
        self.save_state()?;
        let folder = self.files.folder().display();
        Ok(Error::interrupted(format!("the state is saved; `gradus train --resume {folder}` goes on")))
    }

    /// Weights are written and judged where they are numbers.
    fn must_be_finite(&mut self) -> Result<()> {
        match NotFinite::in_module(&mut self.net) {
            None => Ok(()),
            Some(bad) => Err(self.diverged(format!("after step {}, {bad}", self.position.step))),
        }
    }

    /// The end of a training that has left all sense, and what to do about it.
    fn diverged(&self, what: String) -> Error {
        let what = format!("{what}: the training diverged");
        let folder = self.files.folder().display();
        let goes = match (self.files.state().exists(), self.has_begun()) {
            (true, _) => "goes on from its last state",
            (false, true) => "begins again",
            (false, false) => return Error::failure(what).remedy("train with a lower --lr"),
        };
        let remedy = format!("`gradus train --resume {folder} --lr RATE` {goes} at a lower rate");
        Error::failure(what).remedy(remedy)
    }

    /// Trains to the last epoch. `after_epoch` sees each finished epoch, after its weights and before its
    /// state are saved: it may be called again for the same epoch by a resumed run.
    ///
    /// # Errors
    /// Interrupted (the state is saved), a loss that is not finite or above a million, or a file that cannot
    /// be read or written.
    pub fn run(&mut self, mut after_epoch: impl FnMut(&PositionOf<T>) -> Result<()>) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let (epochs, steps, images) = (self.task.epochs(), self.task.steps(), self.task.images());
        let mut live = Live::begin(self.files.folder(), epochs, steps, images);
        while !self.is_done() {
            self.train_epoch(&mut live)?;
            self.must_be_finite()?;
            live.judging();
            let start = Instant::now();
            let score = match self.task.judge(&self.net) {
                Err(Error::Interrupted(_)) => return Err(self.interrupted()?),
                score => score?,
            };
            let [training, judging] = [self.position.seconds, start.elapsed().as_secs_f64()];
            detail!("{training:.2} s of training, {judging:.2} s of judging");
            let improved = self.finish_epoch(score);
            let epoch = self.position.epoch.to_string();
            let about = self.metadata.clone().into_iter().chain([("epoch".into(), epoch)]).collect();
            for which in improved.then_some(Weights::Best).into_iter().chain([Weights::Last]) {
                let path = self.files.weights(which);
                files::written(&path, || save_module(&path, &mut self.net, &about))
                    .map_err(checkpoint_error)?;
            }
            after_epoch(&self.position)?;
            self.save_state()?;
        }
        live.done();
        Ok(())
    }

    /// Writes the epoch into the history. Returns whether it is the best so far.
    fn finish_epoch(&mut self, score: T::Score) -> bool {
        let p = &mut self.position;
        let improved = p.best().is_none_or(|best| T::better(&score, &best.score));
        let images = p.tally.images();
        p.end_epoch(score, images, self.optimizer.lr(), self.task.steps());
        if improved {
            p.best_epoch = p.epoch;
        }
        improved
    }

    fn train_epoch(&mut self, live: &mut Live) -> Result<()> {
        let behind = self.position.curve(self.task.steps());
        live.epoch(self.position.epoch + 1, self.position.batch, behind);
        let (epoch, epochs) = (self.position.epoch, self.task.epochs());
        let label = format!("epoch {}/{epochs}", epoch + 1);
        let done = self.position.tally.images();
        let mut progress = Progress::new(label.as_str(), "images", self.task.images() as u64, done as u64);
        let mut since = Instant::now();
        let mut saved = Instant::now();
        for batch in self.task.batches(epoch, self.position.batch) {
            let before = self.position.tally.images();
            let batch = batch?;
            let loss =
                memory::caught(|| self.step(&batch)).map_err(|e| self.lacking(&self.at(&batch), &e))??;
            let p = &mut self.position;
            p.seconds += since.elapsed().as_secs_f64();
            since = Instant::now();
            let behind = p.tally.images();
            live.step(loss, self.optimizer.lr(), behind - before, behind);
            progress.advance((behind - before) as u64, || p.tally.to_string());
            if interrupt::requested() {
                return Err(self.interrupted()?);
            }
            if saved.elapsed() > SAVE_EVERY {
                self.save_state()?;
                saved = Instant::now();
            }
        }
        let p = &self.position;
        let left = clock(p.seconds * (epochs - epoch - 1) as f64);
        progress.line(&format!("{label}: {}, {}, {left} left in all", p.tally, clock(p.seconds)));
        Ok(())
    }

    /// One step of descent. A loss or a gradient that is not finite, or a loss beyond all sense, is refused:
    /// weights, optimiser and position stay as they were. The batch has been seen all the same, and batch
    /// norm in training took it into its running statistics in the forward pass; so the network is not to be
    /// saved then. The run stops, and goes on from its last state.
    fn step(&mut self, batch: &T::Batch) -> Result<f64> {
        let mut tally = self.position.tally.clone();
        let mut g = self.task.tape(self.position.step);
        let loss = self.task.loss(&self.net, &mut g, batch, &mut tally)?;
        let value = f64::from(loss.value.item());
        if !value.is_finite() {
            return Err(self.not_finite(batch, &format!("the loss is {value}")));
        }
        if value > DIVERGED {
            return Err(self.diverged(format!("{}the loss is {value:.3e}", self.at(batch))));
        }
        self.optimizer.set_lr(self.task.lr(self.position.epoch, self.position.batch));
        if let Err(bad) = self.optimizer.step(&mut self.net, &g.backward(&loss)) {
            return Err(self.not_finite(batch, &bad.to_string()));
        }
        self.position.take_step(tally, value, self.task.steps());
        Ok(value)
    }

    /// Which step it is, and of which images.
    fn at(&self, batch: &T::Batch) -> String {
        let Position { epoch, batch: number, step, .. } = &self.position;
        let images = culprit::names(&self.task.shown(batch));
        format!("step {} (epoch {}, batch {}: {images}): ", step + 1, epoch + 1, number + 1)
    }

    /// What is said where there was no memory for something: what is kept, and what to do.
    fn lacking(&self, at: &str, lacking: &OutOfMemory) -> Error {
        let remedy = match self.files.state().exists() {
            true => {
                let folder = self.files.folder().display();
                format!("with more memory `gradus train --resume {folder}` goes on from its last state")
            }
            false => "give it more memory, or a smaller --batch".into(),
        };
        Error::failure(format!("{at}{lacking}")).remedy(remedy)
    }

    /// What is said of a step that met NaN or infinity: where, and in which tensor first.
    fn not_finite(&mut self, batch: &T::Batch, what: &str) -> Error {
        let (at, shown) = (self.at(batch), self.task.shown(batch));
        if let Some(image) = culprit::bad_image(&shown) {
            return Error::input(format!("{at}{what}, since the image holds NaN or infinity"))
                .in_file(image)
                .remedy("mend or remove it");
        }
        let tape = self.task.tape(self.position.step);
        let first = culprit::first(&shown, &mut self.net, tape, |net, g| {
            // Of interest are the results on the way.
            let _ = self.task.loss(net, g, batch, &mut T::Tally::default());
        });
        let first = culprit::told(first);
        self.diverged(format!("{at}{what}{first}"))
    }

    /// Task and network, with the weights of the best score.
    pub fn into_best(mut self) -> Result<(T, T::Net)> {
        let path = self.files.weights(Weights::Best);
        let loaded = checkpoint::load(&path).map_err(checkpoint_error)?;
        checkpoint::load_exact(&mut self.net, &loaded.tensors, &path).map_err(checkpoint_error)?;
        Ok((self.task, self.net))
    }
}
