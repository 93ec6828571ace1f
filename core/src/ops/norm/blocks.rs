//! Blocks of rows, whose sums are short: sums over a batch are sums of theirs.

use crate::parallel::{self, GRAIN};
use std::ops::Range;

/// Rows of a block: enough to make a task, few enough for short sums.
pub(super) fn block_rows(c: usize) -> usize {
    (GRAIN / c.max(1)).clamp(32, 256)
}

/// Calls `f(block, rows' range of elements)` for the blocks of [rows, c].
pub(super) fn blocks(rows: usize, c: usize, f: impl Fn(usize, Range<usize>) + Send + Sync) {
    let (size, n) = (block_rows(c) * c, rows.div_ceil(block_rows(c)));
    let together = (GRAIN / size.max(1)).max(1);
    parallel::ranges(n, together, |range| {
        range.for_each(|b| f(b, b * size..((b + 1) * size).min(rows * c)));
    });
}
