//! A matrix in memory: a slice, its extents, and how far its runs are apart. The transpose is the same memory
//! read the other way.

use super::kernel::{CacheLines, MAX_MR, RowPointers};
use crate::element::Element;
use crate::element::Over;

/// A matrix in memory, row-major or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, E> {
    pub(super) data: &'a [E],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) ld: usize,
    pub(super) transposed: bool,
}

impl<'a, E> Matrix<'a, E> {
    /// rows x cols, one row after the other. Panics when the slice is too short.
    #[track_caller]
    pub fn new(data: &'a [E], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows that begin `ld >= cols` elements apart. Panics when the slice is too short.
    #[track_caller]
    pub fn strided(data: &'a [E], rows: usize, cols: usize, ld: usize) -> Self {
        let need = if rows == 0 || cols == 0 {
            Some(0)
        } else {
            (rows - 1).checked_mul(ld).and_then(|n| n.checked_add(cols))
        };
        assert!(
            ld >= cols && need.is_some_and(|n| n <= data.len()),
            "gemm: {rows} x {cols} rows {ld} apart in {} elements",
            data.len()
        );
        Matrix { data, rows, cols, ld, transposed: false }
    }

    /// The transpose, in the same memory.
    pub fn t(self) -> Self {
        Matrix { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The first elements of eight runs, as if it had so many.
    pub(super) fn runs(&self) -> RowPointers<E> {
        std::array::from_fn(|i| self.data.as_ptr().wrapping_add(i.wrapping_mul(self.ld)))
    }

    /// Eight of its runs at a time, seen from the first eight ([`Matrix::runs`]), spread over `parts` parts:
    /// all of them, if there are so many parts.
    pub(super) fn lines(&self, part: usize, parts: usize) -> CacheLines {
        let (runs, len) = if self.transposed { (self.cols, self.rows) } else { (self.rows, self.cols) };
        let before = |part: usize| part * runs.div_ceil(MAX_MR) / parts;
        if before(part) == before(part + 1) {
            return CacheLines::NONE;
        }
        CacheLines::new::<E>(before(part) * MAX_MR * self.ld, len)
    }

    /// The elements from its first to its last.
    pub(super) fn span(&self) -> &'a [E] {
        let (runs, len) = if self.transposed { (self.cols, self.rows) } else { (self.rows, self.cols) };
        &self.data[..if runs == 0 || len == 0 { 0 } else { (runs - 1) * self.ld + len }]
    }

    /// A part of it.
    pub(crate) fn block(&self, row: usize, rows: usize, col: usize, cols: usize) -> Matrix<'a, E> {
        debug_assert!(row + rows <= self.rows && col + cols <= self.cols);
        let start = if self.transposed { col * self.ld + row } else { row * self.ld + col };
        let start = if rows == 0 || cols == 0 { 0 } else { start };
        Matrix { data: &self.data[start..], rows, cols, ..*self }
    }
}

impl<'a> Over for Matrix<'a, f32> {
    type Of<E: Element> = Matrix<'a, E>;
}
