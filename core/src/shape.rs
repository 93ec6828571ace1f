//! Shapes: up to eight extents, row-major.
//!
//! Extents come from who calls, and their products must not wrap. A shape is the one place where that is
//! looked at: the product of all its extents, each 0 counted as 1, is at most [`MOST`]. So the product of any
//! of them fits, and so do strides, offsets and bytes, wherever they are made.

use std::fmt;
use std::ops::Deref;

/// The most axes a tensor can have.
pub const MAX_RANK: usize = 8;

/// The most elements of a tensor: their bytes, at most 8 each, have addresses.
pub(crate) const MOST: usize = isize::MAX as usize / 8;

/// The extents of a tensor, outermost first. Dereferences to a slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// Panics when there are more than [`MAX_RANK`] extents, or more elements than any memory holds.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        Self::of_result("shape", dims)
    }

    /// As [`Shape::new`], for what an op makes, which a panic names.
    #[track_caller]
    pub(crate) fn of_result(op: &str, dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "{op}: {dims:?} has more than {MAX_RANK} axes");
        let n = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
        assert!(n.is_some_and(|n| n <= MOST), "{op}: {dims:?} has more elements than memory has addresses");
        let mut d = [1; MAX_RANK];
        d[..dims.len()].copy_from_slice(dims);
        Shape { dims: d, rank: dims.len() }
    }

    /// The number of elements: the product, 1 for a scalar.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> [usize; MAX_RANK] {
        let mut s = [0; MAX_RANK];
        let mut next = 1;
        for axis in (0..self.rank).rev() {
            s[axis] = next;
            next *= self.dims[axis];
        }
        s
    }

    /// An axis counted from the front, or from the back when negative. Panics when there is none.
    #[track_caller]
    pub fn axis(&self, axis: isize) -> usize {
        let rank = self.rank as isize;
        assert!((-rank..rank).contains(&axis), "axis {axis} of shape {self:?}");
        axis.rem_euclid(rank) as usize
    }

    /// The shape seen around an axis.
    pub(crate) fn around(&self, axis: usize) -> Around {
        let (outer, rest) = self.split_at(axis);
        Around { outer: outer.iter().product(), n: rest[0], inner: rest[1..].iter().product() }
    }
}

/// A shape seen as [outer, n, inner] around an axis of n: `outer · inner` lines of n elements that lie
/// `inner` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    pub outer: usize,
    pub n: usize,
    pub inner: usize,
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(d: [usize; N]) -> Self {
        Shape::new(&d)
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(d: &[usize]) -> Self {
        Shape::new(d)
    }
}

impl From<&Vec<usize>> for Shape {
    #[track_caller]
    fn from(d: &Vec<usize>) -> Self {
        Shape::new(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_of_extents_fits() {
        let s = Shape::new(&[1 << 20, 0, 1 << 39]);
        assert_eq!((s.numel(), s.strides()[..2].to_vec()), (0, vec![0, 1 << 39]));
        assert_eq!([-8, -1, 0, 7].map(|a| Shape::new(&[1; 8]).axis(a)), [0, 7, 0, 7]);
        for dims in [[1 << 30, 0, 1 << 31], [usize::MAX, 1, 0], [MOST, 2, 1]] {
            let refused = std::panic::catch_unwind(|| Shape::new(&dims));
            assert!(refused.is_err(), "{dims:?}");
        }
    }

    #[test]
    #[should_panic(expected = "shape: [1, 1, 1, 1, 1, 1, 1, 1, 1] has more than 8 axes")]
    fn nine_axes_are_refused() {
        Shape::new(&[1; 9]);
    }
}
