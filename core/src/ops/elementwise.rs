//! The loop under every pointwise op: dᵢ ← f(dᵢ, aᵢ, bᵢ), where a and b broadcast to d's shape as in NumPy.
//!
//! Neighbouring axes of d along which both operands move in the same manner are joined to one. Then operands
//! of equal shapes make a single run of all elements, so does an operand of one element, and a vector of
//! channels makes one run for each row. Within a run an operand is a slice or a single value, and the loop is
//! simple enough to be vectorised. What `f` does not look at is not read.

use crate::parallel::{self, GRAIN};
use crate::shape::{MAX_RANK, Shape};
use crate::simd::{Kernel, Simd};
use crate::{element::Element, tensor::Tensor};

/// A function of the destination and two operands. Mark `at` with `#[inline(always)]`.
pub(crate) trait Map<E>: Copy + Send + Sync + 'static {
    fn at(self, d: E, a: E, b: E) -> E;
}

/// Functions for [`apply`], a line each: of d, a and b alone, with a constant (`|c: E, d, a, b|`), or by
/// something that knows functions (`|f: Pointwise, d, a, b|`).
macro_rules! maps {
    (|$d:ident, $a:ident, $b:ident| $($seen:vis $name:ident: $value:expr;)*) => { $(
        #[derive(Clone, Copy)]
        $seen struct $name;
        maps!(@ impl[] $name, $d, $a, $b, $value);
    )* };
    (|$c:ident: E, $d:ident, $a:ident, $b:ident| $($seen:vis $name:ident: $value:expr;)*) => { $(
        #[derive(Clone, Copy)]
        $seen struct $name<E>(E);
        maps!(@ impl[] $name<E> as $c, $d, $a, $b, $value);
    )* };
    (|$f:ident: $knows:ident, $d:ident, $a:ident, $b:ident| $($seen:vis $name:ident: $value:expr;)*) => { $(
        #[derive(Clone, Copy)]
        $seen struct $name<F>(F);
        maps!(@ impl[F: $knows<E>] $name<F> as $f, $d, $a, $b, $value);
    )* };
    (@ impl[$($bound:tt)*] $name:ty $(as $x:ident)?, $d:ident, $a:ident, $b:ident, $value:expr) => {
        impl<E: Element, $($bound)*> Map<E> for $name {
            #[inline(always)]
            #[allow(unused_variables)]
            fn at(self, $d: E, $a: E, $b: E) -> E {
                $(let $x = self.0;)?
                $value
            }
        }
    };
}
pub(crate) use maps;

/// The shape that two shapes broadcast to. Panics, naming `op`, when they do not.
#[track_caller]
pub(crate) fn broadcast(op: &str, a: &Shape, b: &Shape) -> Shape {
    let rank = a.len().max(b.len());
    let mut dims = [1; MAX_RANK];
    for (i, d) in dims.iter_mut().enumerate().take(rank) {
        let extent = |s: &Shape| (i + s.len()).checked_sub(rank).map_or(1, |k| s[k]);
        *d = match (extent(a), extent(b)) {
            (m, n) if m == n || n == 1 => m,
            (1, n) => n,
            _ => panic!("{op}: shapes {a:?} and {b:?} do not broadcast"),
        };
    }
    Shape::of_result(op, &dims[..rank])
}

/// d ← f(d, a, b). An absent operand reads as 0. Panics when an operand does not broadcast to d's shape.
#[track_caller]
pub(crate) fn apply<E: Element, F: Map<E>>(
    d: &mut Tensor<E>,
    a: Option<&Tensor<E>>,
    b: Option<&Tensor<E>>,
    f: F,
) {
    let zero = [E::ZERO];
    let scalar = Shape::new(&[]);
    let runs =
        BroadcastRuns::new(d.shape(), [a.map_or(&scalar, |t| t.shape()), b.map_or(&scalar, |t| t.shape())]);
    let a = a.map_or(&zero[..], |t| t.data());
    let b = b.map_or(&zero[..], |t| t.data());
    parallel::chunks(d.data_mut(), GRAIN, |i, d| {
        E::dispatch(Piece { runs: &runs, first: i * GRAIN, d, a, b, f });
    });
}

/// The joined axes of a destination, outermost first, with the operands' strides (0 where they repeat).
struct BroadcastRuns {
    axes: Vec<(usize, [usize; 2])>,
}

impl BroadcastRuns {
    #[track_caller]
    fn new(shape: &Shape, operands: [&Shape; 2]) -> Self {
        let strides = operands.map(|o| {
            assert!(broadcast("apply", shape, o) == *shape, "shape {o:?} does not broadcast to {shape:?}");
            let (own, skip) = (o.strides(), shape.len() - o.len());
            let mut s = [0; MAX_RANK];
            (0..o.len()).filter(|&k| o[k] != 1).for_each(|k| s[k + skip] = own[k]);
            s
        });
        let mut axes: Vec<(usize, [usize; 2])> = Vec::with_capacity(MAX_RANK);
        for (i, &n) in shape.iter().enumerate().filter(|&(_, &n)| n != 1) {
            let step = strides.map(|s| s[i]);
            match axes.last_mut() {
                Some((m, outer)) if (0..2).all(|k| outer[k] == step[k] * n) => {
                    *m *= n;
                    *outer = step;
                }
                _ => axes.push((n, step)),
            }
        }
        if axes.is_empty() {
            axes.push((1, [0, 0]));
        }
        BroadcastRuns { axes }
    }

    /// Where run number `index` begins in both operands.
    #[inline(always)]
    fn offsets(&self, mut index: usize) -> [usize; 2] {
        let mut at = [0; 2];
        for (n, step) in self.axes[..self.axes.len() - 1].iter().rev() {
            let k = index % n;
            index /= n;
            at = [at[0] + k * step[0], at[1] + k * step[1]];
        }
        at
    }
}

/// The part of the destination that starts at flat index `first`.
struct Piece<'a, E, F> {
    runs: &'a BroadcastRuns,
    first: usize,
    d: &'a mut [E],
    a: &'a [E],
    b: &'a [E],
    f: F,
}

impl<E: Element, F: Map<E>> Kernel<E> for Piece<'_, E, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let Some(&(n, step)) = self.runs.axes.last() else { return };
        let (mut done, total) = (0, self.d.len());
        while done < total {
            let (run, start) = ((self.first + done) / n, (self.first + done) % n);
            let len = (n - start).min(total - done);
            let [a, b] = self.runs.offsets(run);
            // step is 0 or 1 in the innermost axis: a repeated operand is a slice of one.
            let a = &self.a[a + start * step[0]..][..if step[0] == 0 { 1 } else { len }];
            let b = &self.b[b + start * step[1]..][..if step[1] == 0 { 1 } else { len }];
            one_run(&mut self.d[done..done + len], a, b, self.f);
            done += len;
        }
    }
}

#[inline(always)]
fn one_run<E: Element, F: Map<E>>(d: &mut [E], a: &[E], b: &[E], f: F) {
    match (a.len() == d.len(), b.len() == d.len()) {
        (true, true) => {
            for ((d, &a), &b) in d.iter_mut().zip(a).zip(b) {
                *d = f.at(*d, a, b);
            }
        }
        (true, false) => {
            for (d, &a) in d.iter_mut().zip(a) {
                *d = f.at(*d, a, b[0]);
            }
        }
        (false, true) => {
            for (d, &b) in d.iter_mut().zip(b) {
                *d = f.at(*d, a[0], b);
            }
        }
        (false, false) => {
            for d in d.iter_mut() {
                *d = f.at(*d, a[0], b[0]);
            }
        }
    }
}
