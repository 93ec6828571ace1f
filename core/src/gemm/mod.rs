//! Matrix products: C = act(scale · (A·B) + bias + residual), or C += A·B.
//!
//! After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008). A product is
//! planned once (`plan`): who multiplies, in tiles of what shape. A is read where it lies or copied strip by
//! strip (`lhs`), B is cut into panels and packed (`rhs`), and blocks of the depth keep both in the caches
//! while the loops around them run (`drive`). One of two engines multiplies: `vectors`, whose tile of C stays
//! in registers while a strip of A and a panel of B pass (`kernel`), or, in mixed precision, `pairs` of bf16.
//! A convolution is the same product with another left operand (`ops::conv::im2col`).

pub(crate) mod drive;
pub(crate) mod kernel;
pub(crate) mod lhs;
mod matrix;
pub(crate) mod output;
#[cfg(target_arch = "x86_64")]
mod pairs;
pub mod peak;
pub(crate) mod plan;
pub(crate) mod rhs;
mod sweep;
#[cfg(test)]
mod tests;
mod vectors;

use crate::{element::Element, epilogue::Epilogue, profile};
use drive::Product;
pub use matrix::Matrix;
use output::Finish;
use plan::Plan;
pub use plan::Precision;

fn span<E: Element>(a: &Matrix<'_, E>, b: &Matrix<'_, E>) -> profile::Span {
    profile::span("gemm", "").work(|| {
        let [m, k, n] = [a.rows, a.cols, b.cols].map(|x| x as f64);
        (2.0 * m * n * k, (m * k + k * n + m * n) * size_of::<E>() as f64)
    })
}

/// C = epilogue(A·B), C m x n row-major, on all threads.
#[track_caller]
pub fn gemm<E: Element>(a: Matrix<'_, E>, b: Matrix<'_, E>, c: &mut [E], epilogue: &Epilogue<'_, E>) {
    run(Precision::F32, a, b, c, Finish::with(epilogue));
}

/// C = epilogue(A·B) from operands of this precision, C m x n row-major, on all threads.
#[track_caller]
pub fn gemm_in<E: Element>(
    precision: Precision,
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    c: &mut [E],
    epilogue: &Epilogue<'_, E>,
) {
    run(precision, a, b, c, Finish::with(epilogue));
}

/// C += A·B, C m x n row-major, on all threads.
#[track_caller]
pub fn gemm_add<E: Element>(a: Matrix<'_, E>, b: Matrix<'_, E>, c: &mut [E]) {
    run(Precision::F32, a, b, c, Finish::ADD);
}

/// C = finish(A·B) from operands of this precision, C m x n row-major, on all threads.
#[track_caller]
pub(crate) fn run<E: Element>(
    precision: Precision,
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    c: &mut [E],
    finish: Finish<'_, E>,
) {
    let _span = span(&a, &b);
    assert_eq!(a.cols, b.rows, "gemm: {} x {} times {} x {}", a.rows, a.cols, b.rows, b.cols);
    assert_eq!(c.len(), a.rows * b.cols, "gemm: the result is {} x {}", a.rows, b.cols);
    let plan = Plan::new::<E>(precision, [a.rows, b.rows, b.cols]);
    E::own::<Product<'_, f32>, _>(Product { plan, a, b, c, finish }, product_f32, product_f64);
}

fn product_f32(of: Product<'_, f32>) {
    of.run();
}

fn product_f64(of: Product<'_, f64>) {
    of.run();
}
