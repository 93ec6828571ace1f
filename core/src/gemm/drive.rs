//! The loops around the tile.
//!
//! C is cut into tasks of rows by panels, by shape alone. A task goes over groups of panels that fit the second cache
//! with a block of depth; over the blocks of depth, the sums between them kept in C; over its tiles of rows, whose strip of A stays in the first cache; over
//! the group's panels. Every sum is made by one task in one order: results have the same bits on any number of threads.

use super::Matrix;
use super::left::{Block, KC, Left, blocks};
use super::pack::Packed;
use super::tile::{MAX_MR, Strip, Target, tile};
use crate::buffer::Buffer;
use crate::parallel::{self, Shared};
use crate::simd::{Isa, Kernel, Simd};
use crate::{Element, Epilogue};
use std::ops::Range;

/// Rows that are the pixels of images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pixels {
    pub images: usize,
    pub extent: [usize; 2],
    /// Whether consecutive rows are the same pixel of consecutive images, not consecutive pixels of an image.
    pub images_inner: bool,
}

impl Pixels {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.images * self.extent[0] * self.extent[1]
    }

    /// Row i's image, vertical and horizontal place.
    #[inline(always)]
    pub fn at(&self, i: usize) -> (usize, usize, usize) {
        let [h, w] = self.extent;
        if self.images_inner {
            let (pixel, n) = (i / self.images, i % self.images);
            (n, pixel / w, pixel % w)
        } else {
            (i / (h * w), i / w % h, i % w)
        }
    }
}

/// Where C's rows begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowMap {
    /// Row i at i·ld.
    Even { ld: usize },
    /// Row i, pixel (n, y, x), at base + n·image + y·row + x·col.
    Grid { pixels: Pixels, base: usize, image: usize, row: usize, col: usize },
}

impl RowMap {
    #[inline(always)]
    fn offset(&self, i: usize) -> usize {
        match *self {
            RowMap::Even { ld } => i * ld,
            RowMap::Grid { pixels, base, image, row, col } => {
                let (n, y, x) = pixels.at(i);
                base + n * image + y * row + x * col
            }
        }
    }

    /// The end of the furthest of `rows` rows of `cols` elements.
    fn end(&self, rows: usize, cols: usize) -> usize {
        match *self {
            _ if rows == 0 => 0,
            RowMap::Even { ld } => (rows - 1) * ld + cols,
            RowMap::Grid { pixels, base, image, row, col } => {
                let [h, w] = pixels.extent;
                base + (pixels.images - 1) * image + (h - 1) * row + (w - 1) * col + cols
            }
        }
    }
}

/// What becomes of the product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finish<'a, E> {
    /// C = epilogue(A·B)
    Set(&'a Epilogue<'a, E>),
    /// C += A·B
    Add,
}

/// The result's place.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a, E> {
    pub c: Shared<'a, E>,
    pub map: RowMap,
    pub finish: Finish<'a, E>,
}

impl<E: Element> Output<'_, E> {
    /// Panics when C, or a part of the epilogue, is too small.
    #[track_caller]
    fn check(&self, rows: usize, cols: usize) {
        let end = self.map.end(rows, cols);
        assert!(end <= self.c.len(), "gemm: the result needs {end} elements, has {}", self.c.len());
        if let Finish::Set(e) = self.finish {
            assert!(e.scale.is_none_or(|s| s.len() >= cols), "gemm: scale is shorter than {cols} columns");
            assert!(e.bias.is_none_or(|b| b.len() >= cols), "gemm: bias is shorter than {cols} columns");
            assert!(
                e.residual.is_none_or(|r| r.len() >= end),
                "gemm: the residual is smaller than the result"
            );
        }
    }
}

/// C = finish(A · B), on all threads if `spread`.
#[track_caller]
pub(crate) fn multiply<E: Element>(a: &dyn Left<E>, b: &Packed<'_, E>, out: Output<'_, E>, spread: bool) {
    let (rows, cols) = (a.rows(), b.cols());
    out.check(rows, cols);
    let (count, len) = a.segments();
    assert_eq!(count * len, b.rows(), "gemm: the depths of A and B differ");
    if rows == 0 || cols == 0 {
        return;
    }
    let blocks = blocks(count, len);
    let grid = if spread { Grid::new(rows, b) } else { Grid { rows, panels: b.panels().count } };
    let across = b.panels().count.div_ceil(grid.panels);
    parallel::for_each(rows.div_ceil(grid.rows) * across, |i| {
        let (r, p) = (i / across * grid.rows, i % across * grid.panels);
        let sweep = Sweep {
            a,
            b,
            out,
            blocks: &blocks,
            rows: r..rows.min(r + grid.rows),
            panels: p..b.panels().count.min(p + grid.panels),
        };
        E::dispatch_on(b.isa(), sweep);
    });
}

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
    let (rows, cols, plain) = (a.rows(), b.cols(), Epilogue::default());
    let (count, len) = a.segments();
    assert_eq!(count * len, b.rows(), "gemm: the depths of A and B differ");
    let down = (rows / 128).clamp(1, DEEP_TASKS);
    let pieces = (count * len / LEAST_PIECE).min(DEEP_TASKS.div_ceil(down));
    if pieces <= 1 || b.is_transposed() || cols == 0 || rows == 0 {
        let out = Output { c: Shared::new(c), map: RowMap::Even { ld: ldc }, finish: Finish::Set(&plain) };
        return multiply(a, &Packed::stack_on(isa, &[b], true), out, true);
    }
    let blocks = blocks(count, len);
    let mut sums = Buffer::<E>::stale(pieces * rows * cols);
    let shared = Shared::new(&mut sums);
    let step = rows.div_ceil(down).next_multiple_of(MAX_MR);
    let down = rows.div_ceil(step);
    parallel::for_each(down * pieces, |i| {
        let (r, piece) = (i % down * step, i / down);
        // SAFETY: pieces are apart; within one, tasks write distinct rows.
        let c = unsafe { shared.part(piece * rows * cols..(piece + 1) * rows * cols) };
        let mine = piece * blocks.len() / pieces..(piece + 1) * blocks.len() / pieces;
        for (j, block) in blocks[mine].iter().enumerate() {
            let from = block.segments.start * len + block.steps.start;
            let b = b.block(from, block.segments.len() * block.steps.len(), 0, cols);
            let b = Packed::stack_on(isa, &[b], false);
            let finish = if j == 0 { Finish::Set(&plain) } else { Finish::Add };
            let out = Output { c, map: RowMap::Even { ld: cols }, finish };
            let (rows, panels) = (r..rows.min(r + step), 0..b.panels().count);
            E::dispatch_on(isa, Sweep { a, b: &b, out, blocks: std::slice::from_ref(block), rows, panels });
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

/// The extent of a task.
struct Grid {
    rows: usize,
    panels: usize,
}

impl Grid {
    /// Tasks of about 2 million multiply-adds, at most 64, at least 64 rows each where there are so many.
    fn new<E: Element>(rows: usize, b: &Packed<'_, E>) -> Grid {
        let work = rows * b.cols() * b.rows();
        let tasks = (work >> 20).clamp(1, 64);
        let least = if b.cols() * b.rows() > 1 << 18 { 128 } else { 64 };
        let down = tasks.min(rows.div_ceil(least));
        let across = (tasks.min(32) / down).clamp(1, b.panels().count);
        Grid { rows: rows.div_ceil(down).next_multiple_of(b.mr()), panels: b.panels().count.div_ceil(across) }
    }
}

/// One task: rows by panels, over blocks of the depth.
struct Sweep<'a, E: Element> {
    a: &'a dyn Left<E>,
    b: &'a Packed<'a, E>,
    out: Output<'a, E>,
    blocks: &'a [Block],
    rows: Range<usize>,
    panels: Range<usize>,
}

/// Tiles of rows whose strips are made together.
const GROUP: usize = 4;
/// Elements of B that a task keeps in the second cache.
const B_BLOCK: usize = 192 * 1024;

impl<E: Element> Kernel<E> for Sweep<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let mut strips: [Strip<E>; GROUP] = std::array::from_fn(|_| Strip::new());
        let panels = self.b.panels();
        let (_, _, vectors) = panels.extent(0);
        let group = (B_BLOCK / (KC * (vectors + 1) * S::LANES)).max(1);
        for p in self.panels.clone().step_by(group) {
            let panels = p..self.panels.end.min(p + group);
            if self.blocks.is_empty() {
                // SAFETY: as below.
                let none = Block { segments: 0..0, steps: 0..0 };
                unsafe { self.rows_by_panels(s, &mut strips, &none, 0, panels.clone(), true, true) };
            }
            let mut k = 0;
            for (i, block) in self.blocks.iter().enumerate() {
                let last = i + 1 == self.blocks.len();
                // SAFETY: `check` found the rows and columns in C; tasks are distinct rows or columns of it.
                unsafe { self.rows_by_panels(s, &mut strips, block, k, panels.clone(), i == 0, last) };
                k += block.segments.len() * block.steps.len();
            }
        }
    }
}

impl<E: Element> Sweep<'_, E> {
    /// One block of depth, which begins at B's row `k`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn rows_by_panels<S: Simd<E>>(
        &self,
        s: S,
        strips: &mut [Strip<E>; GROUP],
        block: &Block,
        k: usize,
        panels: Range<usize>,
        first: bool,
        last: bool,
    ) {
        let mr = self.b.mr();
        let mut offsets = [[0; MAX_MR]; GROUP];
        for first_row in self.rows.clone().step_by(mr * GROUP) {
            let count = (mr * GROUP).min(self.rows.end - first_row);
            let strips = &mut strips[..count.div_ceil(mr)];
            strips.iter_mut().for_each(Strip::clear);
            for i in 0..count {
                offsets[i / mr][i % mr] = self.out.map.offset(first_row + i);
            }
            // SAFETY: the caller's.
            unsafe {
                if !block.segments.is_empty() {
                    self.a.strips(self.b.isa(), first_row, count, mr, block, strips);
                }
                for (j, strip) in strips.iter().enumerate() {
                    for p in panels.clone() {
                        let mut panel = self.b.panel(p);
                        panel.ptr = panel.ptr.wrapping_add(k * panel.ld);
                        let (col, cols, _) = self.b.panels().extent(p);
                        let (add, epilogue) = match self.out.finish {
                            Finish::Add => (true, None),
                            Finish::Set(e) => (!first, last.then_some(e)),
                        };
                        let (c, rows) = (self.out.c.as_mut_ptr(), mr.min(count - j * mr));
                        let target = Target { c, offsets: offsets[j], rows, col, cols, add, epilogue };
                        if self.a.packed() {
                            tile::<S, E, true>(s, strip, panel, &target);
                        } else {
                            tile::<S, E, false>(s, strip, panel, &target);
                        }
                    }
                }
            }
        }
    }
}
