//! Memory that the system does not give.
//!
//! An op that finds no memory for its result cannot go on, and its signature need not say so: the stack is
//! unwound by a panic whose payload, [`OutOfMemory`], tells what there was no memory for. Whoever can say in
//! which file or batch that was, or save something, catches it with [`caught`]; all else that panics goes on
//! past it.
//!
//! What a vector of the standard library cannot get ends the process. So vectors whose length depends on the
//! data are made here.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

/// What found no memory, and how much. It is the payload of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfMemory(String);

impl OutOfMemory {
    /// Unwinds the stack: `what` needs so many bytes and does not get them.
    pub fn panic(what: impl fmt::Display, bytes: f64) -> ! {
        panic_any(OutOfMemory(format!("{what} ({:.1} MiB)", bytes / (1u64 << 20) as f64)))
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OutOfMemory {}

/// What `f` returns, or what it found no memory for. Any other panic goes on.
///
/// What `f` was changing may be half changed: it serves for work that is thrown away when it fails.
pub fn caught<R>(f: impl FnOnce() -> R) -> Result<R, OutOfMemory> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| match panic.downcast() {
        Ok(lacking) => *lacking,
        Err(panic) => resume_unwind(panic),
    })
}

/// An empty vector with room for `len` elements. Panics with [`OutOfMemory`] and `what` it is for.
pub fn room<T>(what: &str, len: usize) -> Vec<T> {
    let mut room = Vec::new();
    if room.try_reserve_exact(len).is_err() {
        OutOfMemory::panic(format!("{what}: no memory"), len as f64 * size_of::<T>() as f64);
    }
    room
}

/// A vector of `len` times one value. Panics with [`OutOfMemory`].
pub fn filled<T: Clone>(what: &str, value: T, len: usize) -> Vec<T> {
    let mut filled = room(what, len);
    filled.resize(len, value);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_memory_is_told_and_other_panics_go_on() {
        let lacking = caught(|| room::<u32>("a row", 1 << 60)).unwrap_err();
        assert_eq!(lacking.to_string(), "a row: no memory (4398046511104.0 MiB)");
        assert_eq!(caught(|| filled("", 7, 3)), Ok(vec![7; 3]));
        assert!(catch_unwind(|| caught(|| panic!("of another kind"))).is_err());
    }
}
