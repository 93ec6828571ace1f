//! Where the time goes: spans of named work, while somebody asks.
//!
//! A span's own time is its length less that of the spans inside it. Own times therefore add up to the time
//! that is measured, T = Σ own + outside, however spans are nested. Kernels say what they do (operations, and
//! the least number of bytes that they must move), from which their rate and arithmetic intensity follow.
//! While no profile is on a span costs one load of a flag. Spans count where work is shared out, and not in
//! the tasks that it is shared to, so that a span lasts as long as whoever shared the work out waits for all
//! threads.

use crate::{element::Element, parallel};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// What a span is about: an op or a kernel, and which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// As the op's error messages name it.
    pub name: &'static str,
    /// The pass or the algorithm, or "".
    pub detail: &'static str,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gap = if self.detail.is_empty() { "" } else { " " };
        write!(f, "{}{gap}{}", self.name, self.detail)
    }
}

/// The sum over all spans of a label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    /// Spans.
    pub calls: u64,
    /// Own time.
    pub own: Duration,
    /// Floating-point operations, a multiply-add counted as two; 0 where nobody said.
    pub flops: f64,
    /// Bytes of operands and results, each counted once; 0 where nobody said.
    pub bytes: f64,
}

/// One span, for a trace.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What it was.
    pub label: Label,
    /// Threads are counted from 0, in the order in which they first opened a span.
    pub thread: u32,
    /// Since the profile was started.
    pub start: Duration,
    /// From the beginning to the end, inner spans included.
    pub length: Duration,
    /// As in [`Total`].
    pub flops: f64,
    /// As in [`Total`].
    pub bytes: f64,
    /// Bytes of all f32 buffers in use when it ended.
    pub in_use: usize,
}

/// What was gathered.
#[derive(Clone, Debug)]
pub struct Profile {
    /// From [`start`] to [`finish`].
    pub wall: Duration,
    /// By label.
    pub totals: BTreeMap<Label, Total>,
    /// The first [`MOST_EVENTS`] spans, in the order in which they ended.
    pub events: Vec<Event>,
}

/// Spans that are kept one by one; all are counted in the totals. A bound of memory: some 20 MB.
pub const MOST_EVENTS: usize = 200_000;

static ON: AtomicBool = AtomicBool::new(false);
static GATHERED: Mutex<Option<(Instant, Profile)>> = Mutex::new(None);

thread_local! {
    /// Time spent in inner spans, for each open span of this thread.
    static OPEN: RefCell<Vec<Duration>> = const { RefCell::new(Vec::new()) };
}

fn gathered() -> std::sync::MutexGuard<'static, Option<(Instant, Profile)>> {
    GATHERED.lock().unwrap_or_else(|e| e.into_inner())
}

/// Begins to gather; what was gathered before is dropped.
pub fn start() {
    let empty = Profile { wall: Duration::ZERO, totals: BTreeMap::new(), events: Vec::new() };
    *gathered() = Some((Instant::now(), empty));
    ON.store(true, Relaxed);
}

/// Whether spans are gathered.
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Ends it. `None` if it was not started.
pub fn finish() -> Option<Profile> {
    ON.store(false, Relaxed);
    let (since, mut profile) = gathered().take()?;
    profile.wall = since.elapsed();
    Some(profile)
}

/// The totals until now, without the events. `None` if it was not started.
pub fn so_far() -> Option<Profile> {
    let gathered = gathered();
    let (since, profile) = gathered.as_ref()?;
    Some(Profile { wall: since.elapsed(), totals: profile.totals.clone(), events: Vec::new() })
}

/// Opens a span that ends when the result is dropped.
#[inline]
#[must_use = "the span ends when this is dropped"]
pub fn span(name: &'static str, detail: &'static str) -> Span {
    Span((is_on() && !parallel::is_worker()).then(|| {
        OPEN.with_borrow_mut(|open| open.push(Duration::ZERO));
        Open { label: Label { name, detail }, since: Instant::now(), flops: 0.0, bytes: 0.0 }
    }))
}

/// An open span, or nothing where no profile is on.
pub struct Span(Option<Open>);

struct Open {
    label: Label,
    since: Instant,
    flops: f64,
    bytes: f64,
}

impl Span {
    /// Says what is done inside: floating-point operations, and bytes of operands and results.
    #[inline]
    pub fn work(mut self, work: impl FnOnce() -> (f64, f64)) -> Self {
        if let Some(open) = &mut self.0 {
            (open.flops, open.bytes) = work();
        }
        self
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(Open { label, since, flops, bytes }) = self.0.take() else { return };
        let length = since.elapsed();
        let inner = OPEN.with_borrow_mut(|open| {
            let inner = open.pop().unwrap_or_default();
            if let Some(outer) = open.last_mut() {
                *outer += length;
            }
            inner
        });
        let thread = thread_number();
        // A span that outlives its profile, or began before it, is not counted.
        let Some((begin, profile)) = &mut *gathered() else { return };
        let Some(start) = since.checked_duration_since(*begin) else { return };
        let total = profile.totals.entry(label).or_default();
        total.calls += 1;
        total.own += length.saturating_sub(inner);
        total.flops += flops;
        total.bytes += bytes;
        if profile.events.len() < MOST_EVENTS {
            let in_use = f32::arena().stats().in_use;
            profile.events.push(Event { label, thread, start, length, flops, bytes, in_use });
        }
    }
}

fn thread_number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static NUMBER: OnceLock<u32> = const { OnceLock::new() });
    NUMBER.with(|n| *n.get_or_init(|| COUNT.fetch_add(1, Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, since the profile is the process's.
    #[test]
    fn own_times_add_up_and_work_is_counted() {
        drop(span("before", ""));
        assert!(finish().is_none());
        start();
        let began = Instant::now();
        {
            let _outer = span("outer", "");
            for _ in 0..3 {
                let _inner = span("inner", "forward").work(|| (10.0, 4.0));
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let most = began.elapsed();
        let so_far = so_far().expect("started");
        let profile = finish().expect("started");
        drop(span("after", ""));
        let (outer, inner) = (
            profile.totals[&Label { name: "outer", detail: "" }],
            profile.totals[&Label { name: "inner", detail: "forward" }],
        );
        assert_eq!((outer.calls, inner.calls, inner.flops, inner.bytes), (1, 3, 30.0, 12.0));
        assert!(inner.own >= Duration::from_millis(6) && outer.own + inner.own <= most);
        // Own times add up to the outer span's length: no time is counted twice, none is lost.
        let length = profile.events.iter().find(|e| e.label.name == "outer").expect("kept").length;
        assert_eq!(outer.own + inner.own, length);
        assert_eq!(profile.totals.iter().filter(|(l, _)| ["before", "after"].contains(&l.name)).count(), 0);
        assert_eq!(so_far.totals, profile.totals);
        assert!(so_far.wall <= profile.wall && so_far.events.is_empty());
        assert!(!is_on() && finish().is_none() && super::so_far().is_none());
    }
}
