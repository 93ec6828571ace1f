//! Progress on standard error: a bar with rate and time left on a terminal, a plain line every ten seconds
//! elsewhere.

use crate::error::Result;
use crate::{interrupt, say};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one piece of work of known length.
pub struct Progress {
    label: String,
    unit: &'static str,
    total: u64,
    done: u64,
    /// Done by an earlier process: no part of the rate.
    skipped: u64,
    start: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

/// 83 s as "1:23", 4000 s as "1:06:40".
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

impl Progress {
    /// Work of `total` units, of which `done` were done before.
    pub fn new(label: impl Into<String>, unit: &'static str, total: u64, done: u64) -> Self {
        let label = label.into();
        let bar = (std::io::stderr().is_terminal() && !say::quiet()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix} {wide_bar:.cyan/blue} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.clone());
            bar.set_position(done);
            bar
        });
        let now = Instant::now();
        Progress { label, unit, total, done, skipped: done, start: now, last_line: now, bar }
    }

    /// Units a second since the start.
    pub fn rate(&self) -> f64 {
        (self.done - self.skipped) as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }

    /// `units` more are done; `note` says how it goes (the loss, say).
    pub fn advance(&mut self, units: u64, note: impl FnOnce() -> String) {
        self.done += units;
        let rate = self.rate();
        let left = (self.total.saturating_sub(self.done)) as f64 / rate.max(1e-9);
        let digits = if rate < 10.0 { 2 } else { 0 };
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            bar.set_message(format!(
                "{rate:.digits$} {}/s, {}{} left",
                self.unit,
                noted(&note()),
                clock(left)
            ));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let Progress { label, unit, done, total, .. } = self;
            let (note, left) = (noted(&note()), clock(left));
            say!("{label}: {done}/{total} {unit}, {rate:.digits$} {unit}/s, {note}{left} left");
        }
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{text}")),
            None => say!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A note among others, where there is one.
fn noted(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!("{note}, ") }
}

/// What `look` makes of each item, on all threads and with progress. Error: an interruption.
pub fn of_each<T: Sync, R: Send>(
    label: impl Into<String>,
    unit: &'static str,
    items: &[T],
    look: impl Fn(&T) -> R + Sync,
) -> Result<Vec<R>> {
    let progress = Mutex::new(Progress::new(label, unit, items.len() as u64, 0));
    let one = |item| {
        interrupt::check("nothing was changed")?;
        let seen = look(item);
        progress.lock().unwrap_or_else(PoisonError::into_inner).advance(1, String::new);
        Ok(seen)
    };
    items.par_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn clock() {
        assert_eq!(super::clock(83.4), "1:23");
        assert_eq!(super::clock(4000.0), "1:06:40");
        assert_eq!(super::clock(-1.0), "0:00");
    }
}
