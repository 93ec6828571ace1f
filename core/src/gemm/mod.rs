//! Matrix products: C = act(scale · (A·B) + bias + residual), or C += A·B.
//!
//! After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): a tile of C stays in
//! registers (`tile`) while a strip of A and a panel of B pass; B is packed into panels (`pack`); A is read where it
//! lies or copied strip by strip (`left`); blocks of the depth keep both in the caches (`drive`). A convolution is the same product
//! with another left operand (`ops::conv::im2col`). Where the processor multiplies tiles of bf16, f32 is made of those (`planes`);
//! mixed precision (`precision`) needs but one product of bf16 a number.

pub(crate) mod deep;
pub(crate) mod drive;
pub(crate) mod left;
pub(crate) mod output;
pub(crate) mod pack;
pub mod peak;
#[cfg(target_arch = "x86_64")]
mod planes;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_planes.rs"]
mod planes;
pub(crate) mod precision;
pub(crate) mod tile;

use crate::parallel::Shared;
use crate::simd::{Isa, isa};
use crate::{Element, Epilogue, profile};
use drive::{Right, multiply, multiply_stack};
use left::{ColumnMajor, Left, RowMajor};
use output::{Finish, Output, RowMap};
pub use pack::Packed;
use pack::Stack;
pub use precision::Precision;
use precision::operand;
use tile::Rows;

/// A matrix in memory, row-major or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, E> {
    data: &'a [E],
    rows: usize,
    cols: usize,
    ld: usize,
    transposed: bool,
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

    /// Whether columns, not rows, are runs.
    pub(crate) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// The first elements of eight runs, as if it had so many.
    fn runs(&self) -> Rows<E> {
        std::array::from_fn(|i| self.data.as_ptr().wrapping_add(i.wrapping_mul(self.ld)))
    }

    /// The elements from its first to its last.
    fn span(&self) -> &'a [E] {
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

fn span<E: Element>(a: &Matrix<'_, E>, b: &Matrix<'_, E>) -> profile::Span {
    profile::span("gemm", "").work(|| {
        let [m, k, n] = [a.rows, a.cols, b.cols].map(|x| x as f64);
        (2.0 * m * n * k, (m * k + k * n + m * n) * size_of::<E>() as f64)
    })
}

/// C = epilogue(A·B), C m x n row-major, on all threads.
#[track_caller]
pub fn gemm<E: Element>(a: Matrix<'_, E>, b: Matrix<'_, E>, c: &mut [E], epilogue: &Epilogue<'_, E>) {
    let _span = span(&a, &b);
    (E::compiled().product)(a, b, c, Finish::with(epilogue));
}

/// C += A·B, C m x n row-major, on all threads.
#[track_caller]
pub fn gemm_add<E: Element>(a: Matrix<'_, E>, b: Matrix<'_, E>, c: &mut [E]) {
    let _span = span(&a, &b);
    (E::compiled().product)(a, b, c, Finish::ADD);
}

/// C = epilogue(A·B) with B packed beforehand; C's rows begin `ldc` elements apart. On all threads.
#[track_caller]
pub fn gemm_packed<E: Element>(
    a: Matrix<'_, E>,
    b: &Packed<'_, E>,
    c: &mut [E],
    ldc: usize,
    epilogue: &Epilogue<'_, E>,
) {
    (E::compiled().packed_product)(a, b, c, ldc, Finish::with(epilogue), true);
}

/// As [`gemm_packed`], on the calling thread: for tasks that are parallel outside.
#[track_caller]
pub fn gemm_packed_serial<E: Element>(
    a: Matrix<'_, E>,
    b: &Packed<'_, E>,
    c: &mut [E],
    ldc: usize,
    epilogue: &Epilogue<'_, E>,
) {
    (E::compiled().packed_product)(a, b, c, ldc, Finish::with(epilogue), false);
}

/// Rows of A up to which B is read in place.
const FEW_ROWS: usize = 16;

/// The depth from which on a product on tiles keeps γ_k, the bound of k multiply-adds one after the other (`planes`).
const LEAST_DEPTH: usize = 35;

/// The instruction set that serves a product: tiles of 32 x 32 are no use to a thin one, nor to a shallow one.
pub(crate) fn suited(rows: usize, depth: usize, cols: usize) -> Isa {
    match isa() {
        Isa::Amx | Isa::Avx512Bf16 if rows <= FEW_ROWS || depth < LEAST_DEPTH || cols < 16 => Isa::Avx512,
        isa => isa,
    }
}

pub(crate) fn run<E: Element>(a: Matrix<'_, E>, b: Matrix<'_, E>, c: &mut [E], finish: Finish<'_, E>) {
    assert_eq!(a.cols, b.rows, "gemm: {} x {} times {} x {}", a.rows, a.cols, b.rows, b.cols);
    assert_eq!(c.len(), a.rows * b.cols, "gemm: the result is {} x {}", a.rows, b.cols);
    let isa = suited(a.rows, b.rows, b.cols);
    let data = operand(isa, b.span());
    let b = Matrix { data: &data, ..b };
    if a.rows <= FEW_ROWS || (b.cols <= 32 && planes::of::<E>(isa) == 0) {
        return product(a, &Packed::in_place_on(isa, b, true), c, b.cols, finish, true);
    }
    let out = Output { c: Shared::new(c), map: RowMap::Even { ld: b.cols }, finish };
    by_left(isa, a, |a| multiply_stack(a, Stack { isa, parts: &[b] }, out));
}

pub(crate) fn product<E: Element>(
    a: Matrix<'_, E>,
    b: &Packed<'_, E>,
    c: &mut [E],
    ldc: usize,
    finish: Finish<'_, E>,
    spread: bool,
) {
    assert_eq!(a.cols, b.rows(), "gemm: {} x {} times {} x {}", a.rows, a.cols, b.rows(), b.cols());
    assert!(ldc >= b.cols(), "gemm: rows of {} columns {ldc} apart", b.cols());
    let out = Output { c: Shared::new(c), map: RowMap::Even { ld: ldc }, finish };
    by_left(b.isa(), a, |a| multiply(a, Right::Packed(b), out, spread));
}

/// Hands a matrix on as left operand for an instruction set.
fn by_left<E: Element>(isa: Isa, a: Matrix<'_, E>, multiply: impl FnOnce(&dyn Left<E>)) {
    let data = operand(isa, a.span());
    let a = Matrix { data: &data, ..a };
    if a.transposed {
        multiply(&ColumnMajor(a));
    } else {
        multiply(&RowMajor(a));
    }
}

#[cfg(test)]
mod tests;
