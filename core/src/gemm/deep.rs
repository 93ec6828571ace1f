//! Products of a small C and a large depth: gradients of weights.

use super::Matrix;
use super::drive::{Right, Sweep, multiply};
use super::left::{Left, blocks};
use super::output::{Finish, Output, RowMap};
use super::pack::{Packed, geometry};
use crate::Element;
use crate::buffer::Buffer;
use crate::parallel::{self, Shared};
use crate::simd::Isa;

/// Depth below which cutting it costs more, in sums of partial results, than threads give.
const LEAST_PIECE: usize = 2048;
/// Tasks that a deep product is cut into.
const DEEP_TASKS: usize = 32;

/// C = A · B for a small C and a large depth (a gradient of weights): the depth is cut into pieces by shape, and their
/// sums added in order. C's rows are `ldc` apart.
#[track_caller]
pub(crate) fn multiply_deep<E: Element>(
    isa: Isa,
    a: &dyn Left<E>,
    b: Matrix<'_, E>,
    c: &mut [E],
    ldc: usize,
) {
    let (rows, cols) = (a.rows(), b.cols());
    let (count, len) = a.segments();
    assert_eq!(count * len, b.rows(), "gemm: the depths of A and B differ");
    let down = (rows / 128).clamp(1, DEEP_TASKS);
    let pieces = (count * len / LEAST_PIECE).min(DEEP_TASKS.div_ceil(down));
    if pieces <= 1 || b.is_transposed() || cols == 0 || rows == 0 {
        let out = Output { c: Shared::new(c), map: RowMap::Even { ld: ldc }, finish: Finish::SET };
        return multiply(a, Right::Packed(&Packed::in_place_on(isa, b, true)), out, true);
    }
    let blocks = blocks(count, len);
    let mut sums = Buffer::<E>::stale(pieces * rows * cols);
    let shared = Shared::new(&mut sums);
    let step = rows.div_ceil(down).next_multiple_of(geometry::<E>(isa).1);
    let down = rows.div_ceil(step);
    parallel::for_each(down * pieces, |i| {
        let (r, piece) = (i % down * step, i / down);
        // SAFETY: pieces are apart; within one, tasks write distinct rows.
        let c = unsafe { shared.part(piece * rows * cols..(piece + 1) * rows * cols) };
        let mine = piece * blocks.len() / pieces..(piece + 1) * blocks.len() / pieces;
        for (j, block) in blocks[mine].iter().enumerate() {
            let from = block.segments.start * len + block.steps.start;
            let b = b.block(from, block.depth(), 0, cols);
            // Some hundred rows of A in a task: packing would take longer than it saves.
            let b = &Packed::in_place_on(isa, b, false);
            let finish = Finish::SET.of_block(j == 0, false);
            let out = Output { c, map: RowMap::Even { ld: cols }, finish };
            let (rows, panels) = (r..rows.min(r + step), 0..b.panels().count);
            E::dispatch_on(
                isa,
                Sweep { a, block, b, k: 0, panels, col: 0, rows, out, copies: &[], coming: None },
            );
        }
    });
    let c = Shared::new(c);
    parallel::ranges(rows, (parallel::GRAIN / cols).max(1), |range| {
        for i in range {
            // SAFETY: rows are apart.
            let out = unsafe { c.slice(i * ldc..i * ldc + cols) };
            out.copy_from_slice(&sums[i * cols..][..cols]);
            for p in 1..pieces {
                let part = &sums[(p * rows + i) * cols..][..cols];
                out.iter_mut().zip(part).for_each(|(o, s)| *o += *s);
            }
        }
    });
}
