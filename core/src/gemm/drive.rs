//! The loops around an engine.
//!
//! C is cut into tasks of rows by panels ([`Cut`]). A task goes over groups of panels that fit the second
//! cache with a block of depth; over the blocks of depth, the sums between them kept in C; over its tiles of
//! rows, whose strip of A stays in the first cache; over the group's panels. The right operand was packed
//! beforehand, or each task packs what it needs, a block at a time, into memory that is still in the cache
//! when it is read. Every sum is made by one task, in an order that does not depend on the cut: results have
//! the same bits on any number of threads.

use super::lhs::{ColumnMajor, DepthBlock, KC, Lhs, RowMajor, blocks};
use super::matrix::Matrix;
use super::output::{Finish, Output, RowMap};
use super::plan::{Engine, FEW_ROWS, Plan};
use super::rhs::{PackedRhs, Rhs, StackedRhs};
use super::sweep::Sweep;
use super::vectors;
use crate::buffer::{Buffer, add_to};
use crate::cut::{Cut, is_even, share};
use crate::element::{Element, Over};
use crate::parallel::{self, Shared};
use std::ops::Range;

/// C = finish(A · B), C m x n row-major.
pub(super) struct Product<'a, E> {
    pub plan: Plan,
    pub a: Matrix<'a, E>,
    pub b: Matrix<'a, E>,
    pub c: &'a mut [E],
    pub finish: Finish<'a, E>,
}

impl<'a> Over for Product<'a, f32> {
    type Of<E: Element> = Product<'a, E>;
}

impl<E: Element> Product<'_, E> {
    /// On all threads.
    pub fn run(self) {
        let Product { plan, a, b, c, finish } = self;
        let (data_a, data_b) = (plan.operand(a.span()), plan.operand(b.span()));
        let (a, b) = (Matrix { data: &data_a, ..a }, Matrix { data: &data_b, ..b });
        let out = Output { c: Shared::new(c), map: RowMap::Even { ld: b.cols }, finish };
        let times_b = |a: &dyn Lhs<E>| {
            if a.rows() <= FEW_ROWS || (b.cols <= 32 && plan.engine == Engine::Vectors) {
                multiply(a, Rhs::Packed(&PackedRhs::in_place(plan, b, true)), out);
            } else {
                multiply_stack(a, StackedRhs { plan, parts: &[b] }, out);
            }
        };
        if a.transposed { times_b(&ColumnMajor(a)) } else { times_b(&RowMajor(a)) }
    }
}

/// Elements of B up to which it stays in the second cache as a whole: 768 KiB of f32.
const SMALL: usize = 192 * 1024;
/// Rows of A up to which a small B that lies plain is read in place. Packing it, which one thread does alone,
/// would let the others fall asleep: measured on two threads, 256^3 took 91 us with a packed B and takes 77,
/// 192^3 64 and 40. Tall ones gain from packing: 12544 x 64 x 256 took 3 % longer in place.
const LOW: usize = 4096;

/// C = finish(A · B) for a B that nobody packed, on all threads. A large one is packed by the tasks, unless
/// these are then too few for the threads.
#[track_caller]
pub(crate) fn multiply_stack<E: Element>(a: &dyn Lhs<E>, b: StackedRhs<'_, E>, out: Output<'_, E>) {
    let right = Rhs::Fresh(b);
    let (of, threads) = (right.extents(a.rows()), parallel::threads());
    if of.rows == 0 || of.cols == 0 {
        return;
    }
    let small = of.depth * of.cols <= SMALL;
    if !small && is_even(Cut::of_fresh(of, threads).tasks(), threads) {
        return multiply(a, right, out);
    }
    let b = match *b.parts {
        [part] if small && of.rows <= LOW => PackedRhs::in_place(b.plan, part, true),
        _ => PackedRhs::stack(b),
    };
    multiply(a, Rhs::Packed(&b), out);
}

/// C = finish(A · B), on all threads.
#[track_caller]
pub(crate) fn multiply<E: Element>(a: &dyn Lhs<E>, b: Rhs<'_, E>, out: Output<'_, E>) {
    let (of, threads) = (b.extents(a.rows()), parallel::threads());
    out.check(of.rows, of.cols);
    let (count, len) = a.segments();
    assert_eq!(count * len, of.depth, "gemm: the depths of A and B differ");
    if of.rows == 0 || of.cols == 0 {
        return;
    }
    let blocks = blocks(count, len);
    let cut = match b {
        // Pairs copy, and round, whatever they read.
        Rhs::Packed(b) => Cut::of_packed(of, threads, a.packed() || b.plan().engine != Engine::Vectors),
        Rhs::Fresh(_) => Cut::of_fresh(of, threads),
    };
    parallel::for_each(cut.tasks(), |i| {
        let (rows, panels) = cut.task(i);
        let task = Task { a, out, rows, panels, blocks: &blocks };
        match b {
            Rhs::Packed(b) => task.by_packed(b),
            Rhs::Fresh(b) => task.by_fresh(b),
        }
    });
}

/// Multiplies rows by panels, by the engine of the plan.
///
/// # Safety
/// The rows and the panels' columns lie in C and in the epilogue's parts, and nobody else writes them
/// meanwhile. Panels are of a right operand that lives; where one is packed in passing, its place has room.
unsafe fn sweep<E: Element>(sweep: Sweep<'_, E>) {
    // SAFETY: this function's contract is that of each.
    E::own::<Sweep<'_, f32>, _>(sweep, |s| unsafe { sweep_f32(s) }, |s| unsafe { sweep_f64(s) });
}

/// # Safety
/// As for [`sweep`].
unsafe fn sweep_f32(sweep: Sweep<'_, f32>) {
    // SAFETY: as for `sweep`; a plan of pairs was made where the machine has the unit.
    unsafe {
        match sweep.plan.engine {
            Engine::Vectors => vectors::sweep(sweep),
            #[cfg(target_arch = "x86_64")]
            Engine::Pairs(unit) => super::pairs::sweep(unit, sweep),
        }
    }
}

/// # Safety
/// As for [`sweep`].
unsafe fn sweep_f64(sweep: Sweep<'_, f64>) {
    // SAFETY: as for `sweep`. Pairs are made of f32, so that f64 has one engine.
    unsafe { vectors::sweep(sweep) }
}

/// Elements of B that a task keeps in the second cache: 768 KiB of f32. Measured: groups of 4 to 11 panels
/// are within 1 % of each other, 22 panels, 1 MiB, 1 to 2 % slower.
const B_BLOCK: usize = 192 * 1024;

/// Rows by panels over the whole depth: what one thread does by itself. Tasks that run together have distinct
/// rows or panels, which [`Output::check`] found in C: the contract of every sweep that a task makes.
struct Task<'a, E: Element> {
    a: &'a dyn Lhs<E>,
    out: Output<'a, E>,
    rows: Range<usize>,
    panels: Range<usize>,
    blocks: &'a [DepthBlock],
}

/// A group of panels, and a block of the depth that begins at B's row k.
struct Step<'a> {
    panels: Range<usize>,
    k: usize,
    block: &'a DepthBlock,
}

impl<'a, E: Element> Task<'a, E> {
    /// Groups of panels of at most `widest` columns, one after the other; of each all blocks.
    fn steps(&self, widest: usize) -> Vec<Step<'a>> {
        let group = (B_BLOCK / (KC * widest)).max(1);
        let mut steps = Vec::new();
        for first in self.panels.clone().step_by(group) {
            let mut k = 0;
            for block in self.blocks {
                steps.push(Step { panels: first..self.panels.end.min(first + group), k, block });
                k += block.depth();
            }
        }
        steps
    }

    /// The result of a step of a product of this depth.
    fn out_of(&self, step: &Step<'_>, depth: usize) -> Output<'a, E> {
        let (first, last) = (step.k == 0, step.k + step.block.depth() == depth);
        Output { finish: self.out.finish.of_block(first, last), ..self.out }
    }

    /// By panels that were packed beforehand.
    fn by_packed(&self, b: &PackedRhs<'_, E>) {
        for step in self.steps(b.widths().widest()) {
            let out = self.out_of(&step, b.depth());
            let Step { panels, k, block } = step;
            let (plan, rows) = (*b.plan(), self.rows.clone());
            let panels = &b.panels(panels, k, 0, &[]);
            // SAFETY: rows and panels are a task's, as [`Task`] has them; nothing is packed in passing.
            unsafe { sweep(Sweep { plan, a: self.a, block, panels, k, rows, out, coming: None }) };
        }
    }

    /// By panels that the task makes ready step by step: where B lies plain, the first tile of rows reads it
    /// in place and packs it in passing, for the others; else it is packed before. Left operands that leave
    /// out what is zero read no whole panel.
    fn by_fresh(&self, stack: StackedRhs<'_, E>) {
        let (depth, widths) = (Rhs::Fresh(stack).depth(), Rhs::Fresh(stack).widths());
        let steps = self.steps(widths.widest());
        for (i, step) in steps.iter().enumerate() {
            let out = self.out_of(step, depth);
            // Whole chunks, as in a panel of the whole depth: bits do not depend on who packs.
            let (chunk, end) = (stack.plan.chunk, step.k + step.block.depth());
            let rows = step.k / chunk * chunk..depth.min(end.next_multiple_of(chunk));
            let columns = widths.columns(step.panels.clone());
            let fresh = FreshPanels {
                task: self,
                block: step.block,
                out,
                k: step.k - rows.start,
                col: columns.start,
            };
            match stack.in_place(rows.clone(), columns.clone()) {
                Some(b) if self.rows.len() <= b.plan().rows => fresh.read_in_place(&b),
                Some(b) if !self.a.skips() => fresh.pack_in_passing(&b),
                _ => {
                    let coming = steps.get(i + 1).and_then(|next| {
                        let rows = next.k..next.k + next.block.depth();
                        stack.part(rows, widths.columns(next.panels.clone()))
                    });
                    fresh.sweep(&stack.pack(rows, columns), &[], self.rows.clone(), coming);
                }
            }
        }
    }
}

/// A step of a task that packs for itself.
struct FreshPanels<'a, E: Element> {
    task: &'a Task<'a, E>,
    block: &'a DepthBlock,
    out: Output<'a, E>,
    k: usize,
    col: usize,
}

impl<E: Element> FreshPanels<'_, E> {
    /// Some rows by all panels, each packed in passing at its place, where there is one.
    fn sweep(
        &self,
        b: &PackedRhs<'_, E>,
        places: &[*mut E],
        rows: Range<usize>,
        coming: Option<Matrix<'_, E>>,
    ) {
        let &FreshPanels { task: &Task { a, .. }, block, out, k, col } = self;
        let (plan, panels) = (*b.plan(), &b.panels(0..b.widths().count, k, col, places));
        // SAFETY: rows and panels are a task's, as [`Task`] has them; places have room for panels of this
        // width and depth.
        unsafe { sweep(Sweep { plan, a, block, panels, k, rows, out, coming }) };
    }

    /// A single tile of rows: packing is for those who read twice.
    fn read_in_place(&self, b: &PackedRhs<'_, E>) {
        self.sweep(b, &[], self.task.rows.clone(), None);
    }

    /// The first tile of rows packs in passing what the others read.
    fn pack_in_passing(&self, b: &PackedRhs<'_, E>) {
        let (rows, mut packed) = (self.task.rows.clone(), b.room());
        let first = rows.start..rows.start + b.plan().rows;
        self.sweep(b, &packed.places(), first.clone(), None);
        self.sweep(&packed, &[], first.end..rows.end, None);
    }
}

/// Depth below which cutting it costs more, in sums of partial results, than threads give. It makes the bits;
/// not measured.
const LEAST_PIECE: usize = 2048;
/// Tasks that a deep product is cut into: two for each of 16 threads. They make the bits; not measured.
const DEEP_TASKS: usize = 32;

/// C = A · B for a small C and a large depth (a gradient of weights): the depth is cut into pieces by shape,
/// and their sums added in order. C's rows are `ldc` apart.
#[track_caller]
pub(crate) fn multiply_deep<E: Element>(
    plan: Plan,
    a: &dyn Lhs<E>,
    b: Matrix<'_, E>,
    c: &mut [E],
    ldc: usize,
) {
    let (rows, cols) = (a.rows(), b.cols);
    let (count, len) = a.segments();
    assert_eq!(count * len, b.rows, "gemm: the depths of A and B differ");
    let down = (rows / 128).clamp(1, DEEP_TASKS);
    let pieces = (count * len / LEAST_PIECE).min(DEEP_TASKS.div_ceil(down));
    if pieces <= 1 || b.transposed || cols == 0 || rows == 0 {
        let out = Output { c: Shared::new(c), map: RowMap::Even { ld: ldc }, finish: Finish::SET };
        return multiply(a, Rhs::Packed(&PackedRhs::in_place(plan, b, true)), out);
    }
    let blocks = blocks(count, len);
    let mut sums = Buffer::<E>::stale(pieces * rows * cols);
    let shared = Shared::new(&mut sums);
    let step = rows.div_ceil(down).next_multiple_of(plan.rows);
    let down = rows.div_ceil(step);
    parallel::for_each(down * pieces, |i| {
        let (r, piece) = (i % down * step, i / down);
        // SAFETY: the parts of different pieces do not overlap; tasks of one piece write different rows of
        // it.
        let c = unsafe { shared.part(piece * rows * cols..(piece + 1) * rows * cols) };
        for (j, block) in blocks[share(piece, pieces, blocks.len())].iter().enumerate() {
            let from = block.segments.start * len + block.steps.start;
            // Some hundred rows of A in a task: packing would take longer than it saves.
            let b = &PackedRhs::in_place(plan, b.block(from, block.depth(), 0, cols), false);
            let out =
                Output { c, map: RowMap::Even { ld: cols }, finish: Finish::SET.of_block(j == 0, false) };
            let (panels, rows) = (&b.panels(0..b.widths().count, 0, 0, &[]), r..rows.min(r + step));
            // SAFETY: the part holds the rows, which are this task's; nothing is packed in passing.
            unsafe { sweep(Sweep { plan, a, block, panels, k: 0, rows, out, coming: None }) };
        }
    });
    let c = Shared::new(c);
    parallel::ranges(rows, (parallel::GRAIN / cols).max(1), |range| {
        for i in range {
            // SAFETY: row i of C is in one range alone, and rows do not overlap, since ldc >= cols.
            let out = unsafe { c.slice(i * ldc..i * ldc + cols) };
            out.copy_from_slice(&sums[i * cols..][..cols]);
            for p in 1..pieces {
                add_to(out, &sums[(p * rows + i) * cols..][..cols]);
            }
        }
    });
}
