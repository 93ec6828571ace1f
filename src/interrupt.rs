//! Ctrl-C: the first asks the running work to save its state and stop, the second stops at once.

use crate::error::{Error, Result};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and SIGTERM) is a request that [`requested`] reports.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Where no handler can be set, Ctrl-C ends the process as ever, and the last state on disk is whole.
        let _ = ctrlc::set_handler(|| {
            if REQUESTED.swap(true, SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nstopping at the next step; Ctrl-C again stops at once");
        });
    });
}

/// Whether the user has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(SeqCst)
}

/// Error: an end was requested; `kept` tells how things stand.
pub fn check(kept: &str) -> Result<()> {
    if requested() { Err(Error::interrupted(kept)) } else { Ok(()) }
}
