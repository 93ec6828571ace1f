//! The loops around the tile.
//!
//! C is cut into tasks of rows by panels. A task goes over groups of panels that fit the second cache
//! with a block of depth; over the blocks of depth, the sums between them kept in C; over its tiles of rows, whose
//! strip of A stays in the first cache; over the group's panels. A large B is packed by the tasks themselves, a block at
//! a time into memory that is still in the cache when it is read: where it lies plain, the first tile of rows reads it in
//! place and packs it in passing, for the others. Every sum is made by one task, in an order that
//! does not depend on the cut: results have the same bits on any number of threads.

use super::Matrix;
use super::left::{Block, KC, Left, blocks};
use super::output::Output;
use super::pack::{Packed, Panels, Stack};
use super::planes;
use super::tile::{Lines, Panel, Row, Strip, Target, multiply_row};
use crate::Element;
use crate::parallel;
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// The right operand.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, E: Element> {
    /// Packed beforehand.
    Packed(&'a Packed<'a, E>),
    /// Packed by each task, block by block.
    Fresh(Stack<'a, E>),
}

impl<E: Element> Right<'_, E> {
    pub fn isa(&self) -> Isa {
        match self {
            Right::Packed(b) => b.isa(),
            Right::Fresh(b) => b.isa,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Right::Packed(b) => b.rows(),
            Right::Fresh(b) => b.rows(),
        }
    }

    fn panels(&self) -> Panels {
        match self {
            Right::Packed(b) => b.panels(),
            Right::Fresh(b) => b.panels(),
        }
    }
}

/// Elements of B up to which it stays in the second cache as a whole.
const SMALL: usize = 192 * 1024;
/// Rows of A up to which a small B that lies plain is read in place. Packing it, which the caller does alone, would let
/// the other threads fall asleep.
const LOW: usize = 4096;

/// C = finish(A · B) for a B that nobody packed, on all threads. A large one is packed by the tasks, unless these are
/// then too few for the threads.
#[track_caller]
pub(crate) fn multiply_stack<E: Element>(a: &dyn Left<E>, b: Stack<'_, E>, out: Output<'_, E>) {
    let right = Right::Fresh(b);
    if a.rows() == 0 || right.panels().cols == 0 {
        return;
    }
    let tasks = Grid::new(a.rows(), &right, a.packed()).tasks(a.rows());
    let small = right.rows() * right.panels().cols <= SMALL;
    if !small && parallel::is_even(tasks) {
        return multiply(a, right, out, true);
    }
    let b = match *b.parts {
        [part] if small && a.rows() <= LOW => Packed::in_place_on(b.isa, part, true),
        _ => Packed::stack_on(b.isa, b.parts, true),
    };
    multiply(a, Right::Packed(&b), out, true);
}

/// C = finish(A · B), on all threads if `spread`.
#[track_caller]
pub(crate) fn multiply<E: Element>(a: &dyn Left<E>, b: Right<'_, E>, out: Output<'_, E>, spread: bool) {
    let (rows, panels) = (a.rows(), b.panels());
    out.check(rows, panels.cols);
    let (count, len) = a.segments();
    assert_eq!(count * len, b.rows(), "gemm: the depths of A and B differ");
    if rows == 0 || panels.cols == 0 {
        return;
    }
    let blocks = blocks(count, len);
    let grid = if spread {
        Grid::new(rows, &b, a.packed() || planes::of::<E>(b.isa()) == 1)
    } else {
        Grid { rows, across: 1 }
    };
    let across = grid.across;
    parallel::for_each(grid.tasks(rows), |i| {
        let r = i / across * grid.rows;
        let panels = range(i % across, across, panels.count);
        run_task(a, b, out, &blocks, r..rows.min(r + grid.rows), panels);
    });
}

/// Elements of B that a task keeps in the second cache, of 6 bytes each or less.
const B_BLOCK: usize = 192 * 1024;

fn run_task<E: Element>(
    a: &dyn Left<E>,
    b: Right<'_, E>,
    out: Output<'_, E>,
    blocks: &[Block],
    rows: Range<usize>,
    panels: Range<usize>,
) {
    let all = b.panels();
    let group = (B_BLOCK / (KC * all.widest())).max(1);
    // Groups of panels, each with a block of the depth that begins at B's row k.
    let mut steps = Vec::new();
    for first in panels.clone().step_by(group) {
        let mut k = 0;
        for block in blocks {
            steps.push((first..panels.end.min(first + group), k, block));
            k += block.depth();
        }
    }
    for (i, &(ref panels, k, block)) in steps.iter().enumerate() {
        let end = k + block.depth();
        let out = Output { finish: out.finish.of_block(k == 0, end == b.rows()), ..out };
        match b {
            Right::Packed(b) => {
                let (rows, panels) = (rows.clone(), panels.clone());
                let sweep = Sweep { a, block, b, k, panels, col: 0, rows, out, copies: &[], coming: None };
                E::dispatch_on(b.isa(), sweep);
            }
            Right::Fresh(stack) => {
                // Whole chunks, as in a panel of the whole depth: bits do not depend on who packs.
                let chunk = if planes::of::<E>(stack.isa) > 0 { planes::CHUNK } else { 1 };
                let from = k / chunk * chunk;
                let to = stack.rows().min(end.next_multiple_of(chunk));
                let cols = all.columns(panels.clone());
                let (col, k) = (cols.start, k - from);
                let sweep = |b: &Packed<'_, E>, rows, copies: &[*mut E], coming| {
                    let panels = 0..b.panels().count;
                    E::dispatch_on(
                        stack.isa,
                        Sweep { a, block, b, k, panels, col, rows, out, copies, coming },
                    );
                };
                match stack.in_place(from..to, cols.clone()) {
                    Some(b) if rows.len() <= b.mr() => sweep(&b, rows.clone(), &[], None),
                    Some(b) if !a.skips() => {
                        // The first tile of rows packs in passing what the others read.
                        let (first, mut packed) = (rows.start..rows.start + b.mr(), b.room());
                        sweep(&b, first.clone(), &packed.places(), None);
                        sweep(&packed, first.end..rows.end, &[], None);
                    }
                    _ => {
                        let coming = steps.get(i + 1).and_then(|&(ref panels, k, block)| {
                            stack.part(k..k + block.depth(), all.columns(panels.clone()))
                        });
                        sweep(&stack.pack(from..to, cols), rows.clone(), &[], coming);
                    }
                }
            }
        }
    }
}

/// How a product is cut into tasks.
struct Grid {
    /// Rows of a task.
    rows: usize,
    /// Tasks beside one another; their panels differ by at most one.
    across: usize,
}

impl Grid {
    /// One task below four million multiply-adds, which take less time than a thread to wake; else tasks of about a
    /// million, at most 64. With a B that is packed they have at least 64 rows where there are so many, 256 by a large B,
    /// but there are as many as threads, if 64 rows are left to each; panels are shared out where this leaves tasks of more
    /// than four million or less than four for a thread, 32 in all. Where tasks pack B, they are few and long, so that it is
    /// packed few times. Where strips of A are copied, or rounded, each serves panels enough to pay for it.
    fn new<E: Element>(rows: usize, b: &Right<'_, E>, copied: bool) -> Grid {
        let (panels, threads) = (b.panels(), parallel::threads());
        let (_, mr, _) = super::pack::geometry::<E>(b.isa());
        // Without a last round of a few.
        let whole_rounds = |down: usize| if down > threads { down / threads * threads } else { down };
        let millions = (rows * panels.cols * b.rows()) >> 20;
        let tasks = if millions < 4 { 1 } else { millions.min(64) };
        let (down, across) = match b {
            Right::Packed(_) => {
                let least = if panels.cols * b.rows() > 1 << 18 { 256 } else { 64 };
                let down = tasks.min(rows.div_ceil(least));
                let most = if copied { (panels.count / 6).max(1) } else { panels.count };
                let wanted = (millions / 4).max(4 * threads).min(tasks).min(32);
                let fewest = (wanted / down).clamp(1, most);
                let even = |&across: &usize| across == 1 || parallel::is_even(across * down);
                let across = (fewest..=most.min(2 * fewest)).find(even).unwrap_or(fewest);
                let down = down.max((threads / across).min(rows / 64).min(tasks));
                (if across == 1 { whole_rounds(down) } else { down }, across)
            }
            Right::Fresh(_) => {
                // Powers of two: whole rounds for two threads, four or eight.
                let across = 1 << (panels.count / 5).clamp(1, tasks.min(16)).ilog2();
                let down = tasks.div_ceil(across).min(rows.div_ceil(1024).max(threads.min(4) / across));
                // Packing twice takes as long as some 16 rows: less than a thread may wait for another's last panel.
                let (whole, half) = (rows.next_multiple_of(mr), rows.div_ceil(2).next_multiple_of(mr));
                let uneven = down == 1
                    && across >= threads
                    && busiest(panels.count, across, 1) * whole
                        > busiest(panels.count, across, 2) * (half + 8);
                (if uneven { 2 } else { whole_rounds(down) }, across)
            }
        };
        Grid { rows: rows.div_ceil(down).next_multiple_of(mr), across }
    }

    /// The tasks that so many rows are cut into.
    fn tasks(&self, rows: usize) -> usize {
        rows.div_ceil(self.rows) * self.across
    }
}

/// The i-th of `ranges` ranges of panels, which differ by at most one.
fn range(i: usize, ranges: usize, panels: usize) -> Range<usize> {
    let start = |i: usize| (i * panels).div_ceil(ranges);
    start(i)..start(i + 1)
}

/// What the busiest thread multiplies, panels by a `down`-th of the rows, if each has as many of the tasks, as they come.
fn busiest(panels: usize, across: usize, down: usize) -> usize {
    let threads = parallel::threads();
    let of_task = |i: usize| range(i % across, across, panels).len();
    let of_thread = |t: usize| parallel::share(t, threads, down * across).map(of_task).sum();
    (0..threads).map(of_thread).max().unwrap_or(0)
}

/// Tiles of rows whose strips are made together, in place and copied.
const GROUP: usize = 8;
const GROUP_COPIED: usize = 4;

/// Rows by panels, over one block of the depth.
pub(super) struct Sweep<'a, E: Element> {
    pub a: &'a dyn Left<E>,
    pub block: &'a Block,
    pub b: &'a Packed<'a, E>,
    /// B's row where the block begins.
    pub k: usize,
    pub panels: Range<usize>,
    /// C's column where B's begin.
    pub col: usize,
    pub rows: Range<usize>,
    pub out: Output<'a, E>,
    /// Where panels that are read in place are packed in passing, or none.
    pub copies: &'a [*mut E],
    /// What the task packs next, where it lies in one matrix: it is fetched while tiles are multiplied, but on tiles of bf16.
    pub coming: Option<Matrix<'a, E>>,
}

impl<E: Element> Kernel<E> for Sweep<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        if S::LANES == 16 && self.b.planes() > 0 {
            // SAFETY: `check` found the rows and columns in C; sweeps that run together have distinct rows or columns; the
            // instruction set is there, or `dispatch_on` had chosen another.
            return unsafe { self.run_on_tiles(s) };
        }
        let mut strips: [Strip<E>; GROUP] = std::array::from_fn(|_| Strip::new());
        let mr = self.b.mr();
        debug_assert!(self.copies.is_empty() || self.rows.len() <= mr, "others than the first pack nothing");
        let panels = self.panels();
        let group = mr * if self.a.packed() { GROUP_COPIED } else { GROUP };
        for first in self.rows.clone().step_by(group) {
            let rows = first..self.rows.end.min(first + group);
            let strips = &mut strips[..rows.len().div_ceil(mr)];
            strips.iter_mut().for_each(Strip::clear);
            // SAFETY: `check` found the rows and columns in C; sweeps that run together have distinct rows or columns.
            unsafe {
                if !self.block.segments.is_empty() {
                    self.a.strips(self.b.isa(), first, rows.len(), mr, self.block, strips);
                }
                self.strips_by_panels(s, strips, &panels, rows);
            }
        }
    }
}

impl<E: Element> Sweep<'_, E> {
    /// The panels and where they go; from the block's first row on, but of bf16's tiles, which have `ld` 0.
    pub fn panels(&self) -> Vec<Panel<E>> {
        let places = self.copies.iter().copied().chain(std::iter::repeat(std::ptr::null_mut()));
        let of_block = |(p, copy): (usize, *mut E)| {
            let panel = self.b.panel(p);
            let ptr = panel.ptr.wrapping_add(self.k * panel.ld);
            Panel { ptr, far: panel.far || !copy.is_null(), copy, col: self.col + panel.col, ..panel }
        };
        self.panels.clone().zip(places).map(of_block).collect()
    }

    /// Multiplies the strips of some rows.
    ///
    /// # Safety
    /// As for [`multiply_row`], for each strip and panel.
    #[inline(always)]
    unsafe fn strips_by_panels<S: Simd<E>>(
        &self,
        s: S,
        strips: &[Strip<E>],
        panels: &[Panel<E>],
        rows: Range<usize>,
    ) {
        let (mr, packed, count) = (self.b.mr(), self.a.packed(), panels.len());
        let (runs, coming) = (self.a.runs(), self.coming.as_ref().map(|m| (m, m.runs())));
        // Of each panel, and for how long a strip.
        let (mut of_next, mut of_coming, mut shared) = (Vec::new(), Vec::new(), None);
        for (j, a) in strips.iter().enumerate() {
            let top = rows.start + j * mr;
            let target = Target::new(&self.out, top, mr.min(rows.end - top));
            let next = if packed {
                // The rows below, or the first ones of the next block.
                let (steps, below) = (&self.block.steps, rows.end..self.rows.end.min(rows.end + rows.len()));
                let (rows, steps) = if below.is_empty() {
                    (self.rows.start..self.rows.start + rows.len(), steps.end..steps.end + steps.len())
                } else {
                    (below, steps.clone())
                };
                let part = |p| self.a.ahead(rows.clone(), steps.clone(), j * count + p, strips.len() * count);
                of_next.clear();
                of_next.extend((0..count).map(part));
                Some((&runs, &of_next[..]))
            } else {
                let stretch = strips.get(j + 1).and_then(Strip::stretch);
                stretch.map(|(rows, len)| {
                    if shared != Some(len) {
                        of_next.clear();
                        of_next.extend((0..count).map(|p| Lines::share::<E>(len, p, count)));
                        shared = Some(len);
                    }
                    (rows, &of_next[..])
                })
            };
            let coming = coming.as_ref().map(|(m, runs)| {
                let (before, tiles) = ((top - self.rows.start) / mr, self.rows.len().div_ceil(mr));
                of_coming.clear();
                of_coming.extend((0..count).map(|p| Lines::runs(m, before * count + p, tiles * count)));
                (runs, &of_coming[..])
            });
            let row = Row { a, panels, c: &target, first: top == self.rows.start, next, coming };
            // SAFETY: the caller's.
            unsafe {
                if packed {
                    multiply_row::<S, E, true>(s, &row);
                } else {
                    multiply_row::<S, E, false>(s, &row);
                }
            }
        }
    }
}

#[cfg(all(test, feature = "rayon"))]
mod tests {
    use super::*;
    use crate::gemm::pack::geometry;
    use crate::parallel::on;

    #[test]
    fn the_busiest_thread() {
        // 11 panels for two threads: 6 and 5, or 11 of half of the rows each.
        assert_eq!(on(2, || [busiest(11, 2, 1), busiest(11, 2, 2)]), [6, 11]);
        // 7 and 7, 7 and 6.
        assert_eq!(on(2, || [busiest(27, 4, 1), busiest(27, 4, 2)]), [14, 27]);
        assert_eq!(on(4, || [busiest(27, 4, 1), busiest(27, 4, 2)]), [7, 14]);
        assert_eq!(on(1, || [busiest(27, 4, 1), busiest(27, 4, 2)]), [27, 54]);
    }

    /// Tasks of rows, and beside one another, of a product whose B of 8 columns a panel is packed.
    #[test]
    fn packed_panels_are_shared_out() {
        let (lanes, _, nv) = geometry::<f32>(Isa::Portable);
        let cut = |threads: usize, rows: usize, panels: usize, depth: usize| {
            let data = vec![0f32; panels * nv * lanes * depth];
            let b = Packed::in_place_on(Isa::Portable, Matrix::new(&data, depth, panels * nv * lanes), true);
            let grid = on(threads, || Grid::new(rows, &Right::Packed(&b), false));
            (rows.div_ceil(grid.rows), grid.across)
        };
        // 2 million multiply-adds are one task.
        assert_eq!([1, 2, 16].map(|threads| cut(threads, 128, 32, 64)), [(1, 1); 3]);
        // 48 million: twelve tasks of four million, more where twelve are less than four for each of the threads.
        assert_eq!([1, 2, 16].map(|threads| cut(threads, 256, 48, 512)), [(4, 3), (4, 3), (4, 8)]);
        // 1024 million: as many as are taken.
        assert_eq!(cut(2, 256, 256, 2048), (1, 32));
        // Five for four threads would leave three of them idle in the last round, seven leave one.
        assert_eq!([2, 4].map(|threads| cut(threads, 64, 40, 256)), [(1, 5), (1, 7)]);
    }

    /// Tasks of rows, and beside one another, where tasks pack their B of so many panels.
    #[test]
    fn tasks_come_in_whole_rounds() {
        const DEPTH: usize = 8192;
        let (lanes, _, nv) = geometry::<f32>(Isa::Portable);
        let cut = |threads: usize, rows: usize, panels: usize, depth: usize| {
            let data = vec![0f32; panels * nv * lanes * depth];
            let parts = [Matrix::new(&data, depth, panels * nv * lanes)];
            let right = Right::Fresh(Stack { isa: Isa::Portable, parts: &parts });
            let grid = on(threads, || Grid::new(rows, &right, false));
            (rows.div_ceil(grid.rows), grid.across)
        };
        // Small products are one task.
        assert_eq!([1, 2, 16].map(|threads| cut(threads, 20, 11, 64)), [(1, 1); 3]);
        // Three tasks of rows for three threads, or one, two for two.
        assert_eq!([1, 2, 3].map(|threads| cut(threads, 2800, 6, DEPTH)), [(3, 1), (2, 1), (3, 1)]);
        // 11 panels for two threads are cut by rows as well, 12 are not; few rows are not worth packing twice.
        assert_eq!([11, 12].map(|panels| cut(2, 700, panels, DEPTH)), [(2, 2), (1, 2)]);
        assert_eq!(cut(2, 64, 11, DEPTH), (1, 2));
    }
}
