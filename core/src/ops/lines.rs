//! Lines along an axis, a block of them at a time, and their exponentials: what softmax and cross entropy are
//! made of.
//!
//! An exponential costs more than all else that is done to an element, and on vectors a tenth of what it
//! costs alone. So the elements of a block are copied to one piece of memory, whatever their strides, and
//! become exponentials there, a whole number of vectors at a time. Each line is summed from its beginning to
//! its end.

use super::elementwise::{Map, maps};
use crate::element::Element;
use crate::parallel::{self, Shared};
use crate::shape::Around;
use crate::simd::{Kernel, Simd};

/// Elements of one task. Exponentials cost about ten times what light work does, and so this is an eighth of
/// [`parallel::GRAIN`]; not measured.
const PIECE: usize = 2048;
/// The most lines of a block: two vectors of the widest instruction set, two cache lines of f32. Not
/// measured.
pub(super) const WIDTH: usize = 32;

/// A number for each line of a block.
pub(super) type PerLine<E> = [E; WIDTH];

/// Up to [`WIDTH`] lines of n elements each. Where a line is contiguous in memory so are its neighbours, one
/// after the other; else neighbouring lines lie side by side, and `stride` elements lead from one to the next
/// of each line.
pub(super) struct Lines<'a, E> {
    data: Shared<'a, E>,
    stride: usize,
    n: usize,
    count: usize,
    contiguous: bool,
}

impl<'a, E: Element> Lines<'a, E> {
    /// Calls `f` for blocks of the lines of `data` along an axis, on all threads.
    pub fn for_each(data: &mut [E], around: Around, f: impl Fn(usize, Lines<'_, E>) + Send + Sync) {
        let Around { outer, n, inner } = around;
        if n == 0 {
            return;
        }
        if inner == 1 {
            return Self::blocks(data, n, |row, rows| f(row * n, Lines::rows(rows, n)));
        }
        let blocks = inner.div_ceil(WIDTH);
        let together = (PIECE / (n * inner.min(WIDTH)).max(1)).max(1);
        let data = Shared::new(data);
        parallel::ranges(outer * blocks, together, |range| {
            for task in range {
                let first = task % blocks * WIDTH;
                let start = task / blocks * n * inner + first;
                // SAFETY: a block touches its own lines alone, and no line is in two blocks.
                let data = unsafe { data.part(start..data.len()) };
                let count = WIDTH.min(inner - first);
                f(start, Lines { data, stride: inner, n, count, contiguous: false });
            }
        });
    }

    /// Calls `f` for blocks of up to [`WIDTH`] rows of n elements, with the first row's number, on all
    /// threads.
    pub fn blocks(data: &mut [E], n: usize, f: impl Fn(usize, &mut [E]) + Send + Sync) {
        let together = (PIECE / n.max(1)).max(1);
        parallel::chunks(data, together * n.max(1), |i, rows| {
            for (k, block) in rows.chunks_mut(WIDTH * n.max(1)).enumerate() {
                f(i * together + k * WIDTH, block);
            }
        });
    }

    /// Up to [`WIDTH`] rows of n elements.
    pub fn rows(data: &'a mut [E], n: usize) -> Self {
        let count = data.len() / n;
        assert!(count <= WIDTH, "a block of {count} lines");
        Lines { data: Shared::new(data), stride: n, n, count, contiguous: true }
    }

    /// How many runs of contiguous elements there are, and how many elements in each: lines, or the elements
    /// of neighbouring lines.
    fn runs(&self) -> (usize, usize) {
        if self.contiguous { (self.count, self.n) } else { (self.n, self.count) }
    }

    /// A run of contiguous elements.
    fn run(&mut self, i: usize) -> &mut [E] {
        let (at, (_, length)) = (i * self.stride, self.runs());
        // SAFETY: blocks have no element in common, and while the borrow of self lasts nothing else of this
        // one is borrowed.
        unsafe { self.data.slice(at..at + length) }
    }

    /// The lines, where they are contiguous.
    fn lines(&mut self) -> std::slice::ChunksExactMut<'_, E> {
        assert!(self.contiguous);
        // SAFETY: as in `run`.
        unsafe { self.data.slice(0..self.count * self.n) }.chunks_exact_mut(self.n)
    }

    /// Calls `f` with each line's number and each of its elements, along a line in order.
    #[inline(always)]
    pub fn change(&mut self, numbers: &mut PerLine<E>, mut f: impl FnMut(&mut E, &mut E)) {
        if self.contiguous {
            for (line, number) in self.lines().zip(numbers) {
                line.iter_mut().for_each(|x| f(number, x));
            }
            return;
        }
        for i in 0..self.n {
            self.run(i).iter_mut().zip(&mut *numbers).for_each(|(x, number)| f(number, x));
        }
    }

    /// The same with another number for each element, as [`Lines::copy`] orders them.
    #[inline(always)]
    pub fn change_with(
        &mut self,
        numbers: &mut PerLine<E>,
        other: &[E],
        mut f: impl FnMut(&mut E, &mut E, E),
    ) {
        if self.contiguous {
            let others = other.chunks_exact(self.n);
            for ((line, other), number) in self.lines().zip(others).zip(numbers) {
                line.iter_mut().zip(other).for_each(|(x, &y)| f(number, x, y));
            }
            return;
        }
        for (i, other) in other.chunks_exact(self.count).enumerate() {
            let pairs = self.run(i).iter_mut().zip(other);
            pairs.zip(&mut *numbers).for_each(|((x, &y), number)| f(number, x, y));
        }
    }

    /// The elements, one run after the other.
    pub fn copy(&mut self) -> Vec<E> {
        let mut all = Vec::with_capacity(self.count * self.n);
        (0..self.runs().0).for_each(|i| all.extend_from_slice(self.run(i)));
        all
    }

    /// The same of another tensor of the same shape, from its element `start` on.
    pub fn copy_of(&self, other: &[E], start: usize) -> Vec<E> {
        let (runs, length) = self.runs();
        let mut all = Vec::with_capacity(runs * length);
        (0..runs).for_each(|i| all.extend_from_slice(&other[start + i * self.stride..][..length]));
        all
    }

    /// Each line's greatest element; NaN where it has one.
    pub fn max(&mut self) -> PerLine<E> {
        let mut m = [E::NEG_INFINITY; WIDTH];
        self.change(&mut m, |m, x| *m = x.max(*m));
        m
    }

    /// Takes each line's number off its elements, and gives the exponentials of what is left, and their sums.
    pub fn exps_less(&mut self, mut m: PerLine<E>) -> (Vec<E>, PerLine<E>) {
        self.change(&mut m, |m, x| *x -= *m);
        let (mut e, mut s) = (self.copy(), [E::ZERO; WIDTH]);
        exps(&mut e);
        self.change_with(&mut s, &e, |s, _, e| *s += e);
        (e, s)
    }
}

/// A function of every element, some vectors of them at a time.
struct Vectors<'a, E, F>(&'a mut [E], F);

maps! { |d, a, b|
    ExpOf: d.exp();
    LnOf: d.ln();
}

impl<E: Element, F: Map<E>> Kernel<E> for Vectors<'_, E, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let (whole, rest) = self.0.as_chunks_mut::<WIDTH>();
        for chunk in whole {
            for x in chunk {
                *x = self.1.at(*x, E::ZERO, E::ZERO);
            }
        }
        if rest.is_empty() {
            return;
        }
        // A loop over fewer would run element by element.
        let mut last = [E::ZERO; WIDTH];
        last[..rest.len()].copy_from_slice(rest);
        for x in &mut last {
            *x = self.1.at(*x, E::ZERO, E::ZERO);
        }
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// x ← eˣ
pub(super) fn exps<E: Element>(x: &mut [E]) {
    E::dispatch(Vectors(x, ExpOf));
}

/// x ← ln x
pub(super) fn lns<E: Element>(x: &mut [E]) {
    E::dispatch(Vectors(x, LnOf));
}
