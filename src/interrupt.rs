//! Ctrl-C: the first asks the running work to save its state and stop, the second stops at once. A request to
//! end (SIGTERM) and a terminal that is closed (SIGHUP) ask the same, unless the process was begun to outlive
//! them, as `nohup` does: a signal that is ignored at the start stays so.

use crate::error::{Error, Result};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal is a request that [`requested`] reports. Where it cannot be listened to, Ctrl-C ends
/// the process as ever, and the last state on disk is whole.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(listen_for_signals);
}

fn request() {
    if REQUESTED.swap(true, SeqCst) {
        std::process::exit(130);
    }
    say!("\nstopping; Ctrl-C again stops at once");
}

#[cfg(unix)]
fn listen_for_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use std::sync::Arc;
    let ignored = ignored();
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| ignored >> (signal - 1) & 1 == 0);
    // A file that may not grow any more is then an error of the write, which is told, and no end of the
    // process.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    if let Ok(mut signals) = Signals::new(heard) {
        std::thread::spawn(move || signals.forever().for_each(|_| request()));
    }
}

/// The signals that the process was begun to ignore, a bit for each, the first for signal 1. Linux tells;
/// elsewhere none is known.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let bits = status.as_deref().unwrap_or_default().lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
fn listen_for_signals() {
    let _ = ctrlc::set_handler(request);
}

/// Whether the user has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(SeqCst)
}

/// Error: an end was requested; `kept` tells how things stand.
pub fn check(kept: &str) -> Result<()> {
    if requested() { Err(Error::interrupted(kept)) } else { Ok(()) }
}
