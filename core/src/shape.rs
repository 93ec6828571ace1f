//! Shapes: up to six extents, row-major.

use std::fmt;
use std::ops::Deref;

/// The most axes a tensor can have.
pub const MAX_RANK: usize = 6;

/// The extents of a tensor, outermost first. Dereferences to a slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// Panics when there are more than [`MAX_RANK`] extents.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "shape {dims:?}: at most {MAX_RANK} axes");
        let mut d = [1; MAX_RANK];
        d[..dims.len()].copy_from_slice(dims);
        Shape { dims: d, rank: dims.len() }
    }

    /// The number of elements: the product, 1 for a scalar. Panics where it overflows.
    #[track_caller]
    pub fn numel(&self) -> usize {
        let n = self.iter().try_fold(1usize, |a, &d| a.checked_mul(d));
        n.unwrap_or_else(|| panic!("shape {self:?}: too many elements"))
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
        let a = if axis < 0 { axis + self.rank as isize } else { axis };
        assert!((0..self.rank as isize).contains(&a), "axis {axis} of shape {self:?}");
        a as usize
    }
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
