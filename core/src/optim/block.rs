//! Blocks of parameters, stepped in parallel: each number of a parameter, its gradient and its state is read
//! once and written once a step.

use crate::simd::{Kernel, Simd};
use crate::{element::Element, parallel};

/// Elements of a block. Its arrays, five with AMSGrad and 640 KiB of f32 then, fit a core's second cache;
/// smaller or larger blocks were not measured. A step is bound by memory (620 MB of AlexNet's at 59 GB/s),
/// and no block changes that.
pub(super) const BLOCK: usize = 32 * 1024;

/// A part of one parameter, its gradient and its state (empty where the rule keeps less).
pub(super) struct ParamBlock<'a, E> {
    pub(super) p: &'a mut [E],
    pub(super) g: &'a [E],
    pub(super) state: [&'a mut [E]; 3],
}

/// A rule with the constants of one step.
pub(super) trait Formula<E: Element>: Copy + Send + Sync {
    /// Steps the vector at i. Mark it with `#[inline(always)]`.
    fn update<S: Simd<E>>(self, s: S, block: &mut ParamBlock<'_, E>, i: usize);
}

/// Steps every block.
pub(super) fn step_blocks<E: Element>(formula: impl Formula<E>, blocks: &mut [ParamBlock<'_, E>]) {
    parallel::chunks(blocks, 1, |_, block| E::dispatch(Update { formula, block: &mut block[0] }));
}

struct Update<'a, 'b, E, F> {
    formula: F,
    block: &'a mut ParamBlock<'b, E>,
}

impl<E: Element, F: Formula<E>> Kernel<E> for Update<'_, '_, E, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        for i in (0..self.block.p.len()).step_by(S::LANES) {
            self.formula.update(s, self.block, i);
        }
    }
}

/// The vector at i, short at the end.
#[inline(always)]
pub(super) fn get<E: Element, S: Simd<E>>(s: S, from: &[E], i: usize) -> S::V {
    let from = &from[i..];
    if from.len() >= S::LANES { s.read(from) } else { s.read_tail(from) }
}

/// Writes the vector at i, short at the end.
#[inline(always)]
pub(super) fn put<E: Element, S: Simd<E>>(s: S, to: &mut [E], i: usize, v: S::V) {
    let to = &mut to[i..];
    if to.len() >= S::LANES { s.write(to, v) } else { s.write_tail(to, v) }
}
