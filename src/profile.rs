//! `--profile`: where the time went, as a table for people, a trace for a viewer, and lines for a run's page.
//!
//! The table has a line for each op or kernel: own time, its share of the wall clock, and where the work is
//! known the rate in GFLOP/s (multiply-adds of the definition, counted as two) and GB/s (each operand once).
//! The trace is in the format of Chrome's trace viewer, which ui.perfetto.dev opens too, and shows the memory
//! of tensors over time.

use crate::error::{Error, Result};
use crate::files;
use gradus_core::Element;
use gradus_core::profile::{self, Event, Profile};
use serde::Serialize;
use std::fmt::{self, Write};
use std::path::Path;

/// Runs `work` under a profile; afterwards, however it ended, prints the table to standard error and writes
/// the trace.
///
/// # Errors
/// `work`'s, or the trace cannot be written.
pub fn around(trace: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    profile::start();
    let result = work();
    let Some(gathered) = profile::finish() else { return result };
    say!("{}", Table(&gathered).to_string().trim_end());
    let pool = f32::arena().stats();
    say!("tensors: {:.0} MiB at the most, {:.0} MiB held for them", mib(pool.peak), mib(pool.bytes));
    let written = write_trace(&gathered, trace);
    result.and(written)
}

/// What one op or kernel took.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Name, and pass or algorithm.
    pub op: String,
    /// How often.
    pub calls: u64,
    /// Own time, of all calls.
    pub seconds: f64,
    /// Of the wall clock.
    pub share: f64,
    /// 10⁹ operations a second, where the work is known.
    pub gflops: Option<f64>,
    /// 10⁹ bytes a second, where they are known.
    pub gbytes: Option<f64>,
}

/// What each op took, the longest first.
pub fn lines(profile: &Profile) -> Vec<Line> {
    let wall = profile.wall.as_secs_f64();
    let mut lines: Vec<_> = profile
        .totals
        .iter()
        .map(|(label, total)| {
            let seconds = total.own.as_secs_f64();
            let rate = |work: f64| (work > 0.0).then(|| work / seconds / 1e9);
            Line {
                op: label.to_string(),
                calls: total.calls,
                seconds,
                share: seconds / wall,
                gflops: rate(total.flops),
                gbytes: rate(total.bytes),
            }
        })
        .collect();
    lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    lines
}

/// The profile as a table.
struct Table<'a>(&'a Profile);

/// Seconds in the unit that reads best.
fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 0.01 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = self.0.wall.as_secs_f64();
        let lines = lines(self.0);
        let inside: f64 = lines.iter().map(|l| l.seconds).sum();
        let width = lines.iter().map(|l| l.op.len()).max().unwrap_or(0).max("outside of ops".len());
        let (calls, time_, each, share, gflops, gbytes) =
            ("calls", "time", "a call", "share", "GFLOP/s", "GB/s");
        writeln!(f, "{:width$} {calls:>8} {time_:>9} {each:>9} {share:>7} {gflops:>8} {gbytes:>6}", "")?;
        let rate = |r: Option<f64>| r.map_or(String::new(), |r| format!("{r:.1}"));
        for Line { op, calls, seconds, share, gflops, gbytes } in &lines {
            writeln!(
                f,
                "{op:width$} {calls:>8} {:>9} {:>9} {:>5.1} % {:>8} {:>6}",
                time(*seconds),
                time(seconds / *calls as f64),
                100.0 * share,
                rate(*gflops),
                rate(*gbytes),
            )?;
        }
        let outside = (wall - inside).max(0.0);
        let share = 100.0 * outside / wall;
        writeln!(f, "{:width$} {:>8} {:>9} {:>9} {share:>5.1} %", "outside of ops", "", time(outside), "")?;
        writeln!(f, "{:width$} {:>8} {:>9}", "wall clock", "", time(wall))
    }
}

/// An event as Chrome's format names it ("X": a complete one), times in µs.
#[derive(Serialize)]
struct Complete {
    name: String,
    ph: &'static str,
    ts: f64,
    dur: f64,
    pid: u32,
    tid: u32,
    args: Work,
}

/// A counter in Chrome's format ("C"), drawn as a curve.
#[derive(Serialize)]
struct Counter {
    name: &'static str,
    ph: &'static str,
    ts: f64,
    pid: u32,
    args: Memory,
}

#[derive(Serialize)]
struct Memory {
    mib: f64,
}

impl From<&Event> for Counter {
    fn from(e: &Event) -> Self {
        let ts = (e.start + e.length).as_secs_f64() * 1e6;
        Counter { name: "tensors", ph: "C", ts, pid: 1, args: Memory { mib: mib(e.in_use) } }
    }
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[derive(Serialize)]
struct Work {
    flops: f64,
    bytes: f64,
}

impl From<&Event> for Complete {
    fn from(e: &Event) -> Self {
        Complete {
            name: e.label.to_string(),
            ph: "X",
            ts: e.start.as_secs_f64() * 1e6,
            dur: e.length.as_secs_f64() * 1e6,
            pid: 1,
            tid: e.thread,
            args: Work { flops: e.flops, bytes: e.bytes },
        }
    }
}

fn write_trace(profile: &Profile, path: &Path) -> Result<()> {
    let mut text = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    for (i, event) in profile.events.iter().enumerate() {
        let json = |e: serde_json::Error| Error::failure(format!("JSON: {e}"));
        let span = serde_json::to_string(&Complete::from(event)).map_err(json)?;
        let counter = serde_json::to_string(&Counter::from(event)).map_err(json)?;
        let comma = if i == 0 { "" } else { ",\n" };
        write!(text, "{comma}{span},\n{counter}").map_err(|e| Error::failure(e.to_string()))?;
    }
    text.push_str("\n]}\n");
    files::write_atomic(path, text.as_bytes())?;
    say!("trace: {} (open it in ui.perfetto.dev or chrome://tracing)", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::profile::{Label, Total};
    use std::time::Duration;

    fn sample() -> Profile {
        let label = Label { name: "gemm", detail: "" };
        let own = Duration::from_millis(250);
        let event = Event {
            label,
            thread: 0,
            start: Duration::from_micros(5),
            length: own,
            flops: 1e9,
            bytes: 0.0,
            in_use: 3 << 20,
        };
        let total = Total { calls: 2, own, flops: 1e9, bytes: 0.0 };
        Profile { wall: Duration::from_secs(1), totals: [(label, total)].into(), events: vec![event] }
    }

    #[test]
    fn the_table_has_times_shares_and_rates() {
        let text = Table(&sample()).to_string();
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().map(words).collect();
        assert_eq!(lines[1], ["gemm", "2", "250.0", "ms", "125.0", "ms", "25.0", "%", "4.0"]);
        assert_eq!(lines[2], ["outside", "of", "ops", "750.0", "ms", "75.0", "%"]);
        assert_eq!(lines[3], ["wall", "clock", "1000.0", "ms"]);
    }

    #[test]
    fn the_trace_is_json_with_an_event_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        write_trace(&sample(), &path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(trace["traceEvents"][1]["args"]["mib"].as_f64(), Some(3.0));
        let event = &trace["traceEvents"][0];
        assert_eq!((event["name"].as_str(), event["ph"].as_str()), (Some("gemm"), Some("X")));
        assert_eq!((event["ts"].as_f64(), event["dur"].as_f64()), (Some(5.0), Some(250_000.0)));
    }
}
