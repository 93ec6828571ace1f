//! What a run does at this moment: `live.json`, written anew every second by a thread of its own, for whoever
//! watches the run.
//!
//! No result depends on it, and a disk that refuses it is no reason to stop. A process that ends by itself
//! says so in it; where it says that the process runs, and has not been written for [`DEAD`], the process is
//! gone. The losses of the epoch's steps are in it so that a first epoch of many hours has a curve, too. It
//! is replaced, so that nobody reads half of it, but not synced: after a power cut it is of no interest.

use gradus_core::{parallel, simd};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the file is called.
pub(super) const LIVE: &str = "live.json";
/// Between two beats.
const EVERY: Duration = Duration::from_secs(1);
/// Whoever is said to run and has been silent for longer is dead. A loaded machine may delay a beat.
pub const DEAD: Duration = Duration::from_secs(6);
/// Points of the curve of an epoch: beyond twice as many every other one goes.
const POINTS: usize = 256;
/// The part of the rate so far in the next one, of short steps.
const SMOOTH: f64 = 0.9;

/// What becomes of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It trains or judges.
    #[default]
    Running,
    /// It ended before its last epoch, and can be resumed.
    Stopped,
    /// All epochs are trained.
    Done,
}

/// A run at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Now {
    /// The process that trains it.
    pub process: u32,
    /// The machine.
    pub host: String,
    /// Threads it computes with.
    pub threads: usize,
    /// The instruction set.
    pub isa: String,
    /// What becomes of it.
    pub state: State,
    /// "training", or "judging" after an epoch.
    pub doing: String,
    /// The epoch that is trained, counted from 1.
    pub epoch: usize,
    /// Steps of it that are behind.
    pub step: usize,
    /// Of each epoch.
    pub steps: usize,
    /// Lately.
    pub images_per_second: f64,
    /// An estimate for all epochs, of training alone; none before the first step.
    pub seconds_left: Option<f64>,
    /// The learning rate of the last step.
    pub lr: f64,
    /// Numbers of steps in the epoch, counted from 1, and their losses.
    pub losses: Vec<(usize, f64)>,
}

/// The beat of a run, until it is dropped.
#[derive(Debug)]
pub struct Live {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    epochs: usize,
    /// Of an epoch.
    images: usize,
    last: Instant,
    /// One step of so many is a point of the curve.
    stride: usize,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    now: Mutex<Now>,
    ended: Condvar,
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file. Whether it can be is nobody's concern.
    fn beat(&self, now: &Now) {
        let Ok(text) = serde_json::to_vec(now) else { return };
        // Named as all that is unfinished, which a run that goes on removes.
        let unfinished = self.path.with_file_name(format!(".{LIVE}.part"));
        let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
    }
}

impl Live {
    /// A run in this folder, of so many epochs, steps and images of each, begins or goes on.
    pub fn begin(folder: &Path, epochs: usize, steps: usize, images: usize) -> Self {
        let now = Now {
            process: std::process::id(),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            threads: parallel::threads(),
            isa: simd::isa().name().into(),
            steps,
            ..Now::default()
        };
        let shared =
            Arc::new(Shared { path: folder.join(LIVE), now: Mutex::new(now), ended: Condvar::new() });
        let beating = shared.clone();
        let beat = move || {
            let mut now = beating.now();
            loop {
                beating.beat(&now);
                if now.state != State::Running {
                    return;
                }
                now =
                    beating.ended.wait_timeout(now, EVERY).map_or_else(|e| e.into_inner().0, |(now, _)| now);
            }
        };
        // Without a thread nobody is told; that is all.
        let thread = std::thread::Builder::new().name("live".into()).spawn(beat).ok();
        Live { shared, thread, epochs, images, last: Instant::now(), stride: 1 }
    }

    /// An epoch begins, or goes on after some of its steps, of which some losses are known.
    pub fn epoch(&mut self, epoch: usize, step: usize, losses: Vec<(usize, f64)>) {
        let mut now = self.shared.now();
        (now.epoch, now.step, now.doing) = (epoch, step, "training".into());
        now.losses = losses;
        (self.stride, self.last) = (1, Instant::now());
    }

    /// A step is done: its loss, its rate, how many images it was of, and how many of the epoch are behind.
    pub fn step(&mut self, loss: f64, lr: f64, images: usize, behind: usize) {
        let seconds = self.last.elapsed().as_secs_f64().max(1e-9);
        self.last = Instant::now();
        let mut now = self.shared.now();
        now.step += 1;
        now.lr = lr;
        // Of steps that take much less than a second some ten count, of long ones hardly more than the last.
        let rate = images as f64 / seconds;
        let kept = if now.images_per_second > 0.0 { SMOOTH / (1.0 + seconds) } else { 0.0 };
        now.images_per_second = kept * now.images_per_second + (1.0 - kept) * rate;
        let left = (self.epochs + 1).saturating_sub(now.epoch) * self.images;
        now.seconds_left = Some(left.saturating_sub(behind) as f64 / now.images_per_second);
        let step = now.step;
        if (step - 1).is_multiple_of(self.stride) {
            now.losses.push((step, loss));
        }
        if now.losses.len() > 2 * POINTS {
            self.stride *= 2;
            let stride = self.stride;
            now.losses.retain(|(step, _)| (step - 1).is_multiple_of(stride));
        }
    }

    /// The epoch's steps are done, and the network is judged.
    pub fn judging(&mut self) {
        self.shared.now().doing = "judging".into();
    }

    /// All epochs are trained.
    pub fn done(self) {
        self.end(State::Done);
    }

    fn end(&self, state: State) {
        let mut now = self.shared.now();
        if now.state == State::Running {
            now.state = state;
        }
        drop(now);
        self.shared.ended.notify_all();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end(State::Stopped);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path) -> Now {
        serde_json::from_slice(&fs::read(folder.join(LIVE)).unwrap()).unwrap()
    }

    #[test]
    fn it_says_what_it_does_and_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut live = Live::begin(dir.path(), 3, 1000, 4000);
        live.epoch(2, 0, vec![(1, 9.0)]);
        assert_eq!(live.shared.now().losses, [(1, 9.0)]);
        live.epoch(2, 0, Vec::new());
        for step in 1..=1000 {
            live.step(1.0 / step as f64, 0.1, 4, 4 * step);
        }
        let now = live.shared.now().clone();
        assert_eq!((now.epoch, now.step, now.steps, now.state), (2, 1000, 1000, State::Running));
        assert!((POINTS..=2 * POINTS).contains(&now.losses.len()), "{}", now.losses.len());
        assert!(now.losses[0] == (1, 1.0) && now.losses.is_sorted_by_key(|p| p.0));
        // One epoch of 4,000 images is left.
        assert!((now.seconds_left.unwrap() * now.images_per_second / 4000.0 - 1.0).abs() < 1e-9);
        live.judging();
        drop(live);
        let now = written(dir.path());
        assert_eq!(
            (now.state, now.doing.as_str(), now.process),
            (State::Stopped, "judging", std::process::id())
        );
        Live::begin(dir.path(), 1, 1, 1).done();
        assert_eq!(written(dir.path()).state, State::Done);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn it_beats_while_a_step_is_long_and_a_folder_that_goes_does_not_stop_it() {
        let dir = tempfile::tempdir().unwrap();
        let live = Live::begin(dir.path(), 1, 1, 1);
        let beat = || fs::metadata(dir.path().join(LIVE)).ok().and_then(|about| about.modified().ok());
        let begun = Instant::now();
        let first = loop {
            match beat() {
                Some(first) => break first,
                None => assert!(begun.elapsed() < DEAD),
            }
        };
        while beat() == Some(first) {
            assert!(begun.elapsed() < 2 * DEAD);
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(dir);
        drop(live);
    }
}
