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
#[cfg(test)]
mod tests;
mod vectors;

use crate::{Element, Epilogue, profile};
use drive::Sweep;
pub use matrix::Matrix;
use output::Finish;
pub use plan::Precision;
use plan::{Engine, Plan};

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
    E::product(Plan::new::<E>(precision, [a.rows, b.rows, b.cols]), a, b, c, finish);
}

/// The engines that an element has: f32 both, f64 vectors alone.
///
/// A generic function is compiled anew in every crate that uses it; what is called through this trait is
/// compiled here, once for each element, so that whoever depends on this crate compiles no kernel. It speaks
/// of types that cannot be named outside of the crate, and therefore nobody else can make an [`Element`]:
/// kernels rely on what f32 and f64 are.
#[doc(hidden)]
pub trait Engines: Sized {
    /// Whether mixed precision rounds it.
    const ROUNDS: bool;

    /// A matrix of f32, if it is one.
    fn as_f32<'a>(m: &Matrix<'a, Self>) -> Option<Matrix<'a, f32>>;

    /// C = finish(A · B) by a plan.
    fn product(
        plan: Plan,
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        c: &mut [Self],
        finish: Finish<'_, Self>,
    ) where
        Self: Element;

    /// Multiplies rows by panels.
    ///
    /// # Safety
    /// The rows, and the panels' columns, lie in C and in the epilogue's parts, and nobody else writes them
    /// meanwhile. Where panels are packed in passing, each place has room for the panel.
    unsafe fn sweep(sweep: Sweep<'_, Self>)
    where
        Self: Element;
}

macro_rules! engines {
    ($t:ty, $rounds:literal, $as_f32:expr, $sweep:expr) => {
        impl Engines for $t {
            const ROUNDS: bool = $rounds;

            fn as_f32<'a>(m: &Matrix<'a, Self>) -> Option<Matrix<'a, f32>> {
                $as_f32(m)
            }

            fn product(
                plan: Plan,
                a: Matrix<'_, Self>,
                b: Matrix<'_, Self>,
                c: &mut [Self],
                finish: Finish<'_, Self>,
            ) {
                drive::product(plan, a, b, c, finish);
            }

            unsafe fn sweep(sweep: Sweep<'_, Self>) {
                // SAFETY: the engine's contract is this method's.
                unsafe { $sweep(sweep) }
            }
        }
    };
}

engines!(f32, true, |m: &_| Some(*m), sweep_f32);
engines!(f64, false, |_: &_| None, vectors::sweep);

/// A sweep by the engine of its plan.
///
/// # Safety
/// As for [`Engines::sweep`].
unsafe fn sweep_f32(sweep: Sweep<'_, f32>) {
    // SAFETY: the rows and panels are as each engine asks, and a plan has pairs only where the processor has
    // them.
    unsafe {
        match sweep.right.b.plan().engine {
            Engine::Vectors => vectors::sweep(sweep),
            #[cfg(target_arch = "x86_64")]
            Engine::Pairs(unit) => pairs::sweep(unit, sweep),
        }
    }
}
