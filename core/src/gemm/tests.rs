//! Products against a naive one in f64.
//!
//! A sum of k products in any order, fused or not, is within γ_{k+2} Σ|a||b| of the true one, γ_n = n u /
//! (1 - n u) (Higham, "Accuracy and stability of numerical algorithms", §3.1). Products of pairs stand in
//! core/tests/bf16.rs.

use super::drive::multiply;
use super::lhs::{self, ColumnMajor, Lhs, RowMajor};
use super::output::{Output, RowMap};
use super::rhs::{PackedRhs, Rhs, StackedRhs};
use super::*;
use crate::parallel::Shared;
use crate::simd::Isa;
use crate::{epilogue::Activation, random::Rng};

/// The plan of vectors of an instruction set.
fn plan<E: Element>(isa: Isa) -> Plan {
    Plan::on_vectors::<E>(isa, Precision::F32)
}

fn random<E: Element>(n: usize, seed: u64) -> Vec<E> {
    let mut rng = Rng::seed(seed);
    (0..n).map(|_| E::from_f64(rng.range(-1.0, 1.0))).collect()
}

fn at<E: Element>(m: &Matrix<'_, E>, i: usize, j: usize) -> f64 {
    let (i, j) = if m.transposed { (j, i) } else { (i, j) };
    m.data[i * m.ld + j].to_f64()
}

/// How B is read.
#[derive(Clone, Copy, Debug)]
enum Side {
    Packed,
    InPlace,
    /// Packed by the tasks, from two matrices one above the other.
    Fresh,
}

impl Side {
    fn of(i: usize) -> Side {
        [Side::Packed, Side::InPlace, Side::Fresh][i % 3]
    }
}

/// One product: how to make it, and what it must be.
#[derive(Clone, Copy, Debug)]
struct Problem {
    m: usize,
    n: usize,
    k: usize,
    a_transposed: bool,
    b_transposed: bool,
    right: Side,
    /// 0: C += A·B, 1: plain, 2: every part of the epilogue.
    finish: usize,
    isa: Isa,
}

impl Problem {
    fn check<E: Element>(&self) {
        let Problem { m, n, k, .. } = *self;
        // Rows are apart, and what lies between must stay.
        let (lda, ldb, ldc) = if self.a_transposed { (m + 3, 0, n + 2) } else { (k + 3, 0, n + 2) };
        let ldb = ldb + if self.b_transposed { k + 1 } else { n + 1 };
        let (da, db) = (random::<E>(lda * m.max(k), 1), random::<E>(ldb * n.max(k), 2));
        let (scale, bias) = (random::<E>(n, 4), random::<E>(n, 5));
        let (mut c, residual) = (random::<E>(ldc * m, 6), random::<E>(ldc * m, 7));
        let before = c.clone();
        let (a, b) =
            (matrix(&da, [m, k], lda, self.a_transposed), matrix(&db, [k, n], ldb, self.b_transposed));
        let plain = Epilogue::default();
        let full = Epilogue {
            scale: Some(&scale),
            bias: Some(&bias),
            residual: Some(&residual),
            activation: Activation::Relu6,
        };
        let finish = match self.finish {
            0 => Finish::ADD,
            1 => Finish::with(&plain),
            _ => Finish::with(&full),
        };
        let packed;
        let halves = [b.block(0, k / 2, 0, n), b.block(k / 2, k - k / 2, 0, n)];
        let plan = plan::<E>(self.isa);
        let right = match self.right {
            Side::Fresh => Rhs::Fresh(StackedRhs { plan, parts: &halves }),
            Side::InPlace => {
                packed = PackedRhs::in_place(plan, b, true);
                Rhs::Packed(&packed)
            }
            Side::Packed => {
                packed = PackedRhs::stack(StackedRhs { plan, parts: &[b] });
                Rhs::Packed(&packed)
            }
        };
        let out = Output { c: Shared::new(&mut c), map: RowMap::Even { ld: ldc }, finish };
        let left: &dyn Lhs<E> = if a.transposed { &ColumnMajor(a) } else { &RowMajor(a) };
        multiply(left, right, out);
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|t| at(&a, i, t) * at(&b, t, j));
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                let [s, t] = [&scale, &bias].map(|of| of[j].to_f64());
                let [old, r] = [&before, &residual].map(|of| of[i * ldc + j].to_f64());
                let (want, size) = match self.finish {
                    0 => (sum + old, size + old.abs()),
                    1 => (sum, size),
                    _ => ((sum * s + t + r).clamp(0.0, 6.0), size * s.abs() + t.abs() + r.abs()),
                };
                let got = c[i * ldc + j].to_f64();
                let nu = (k + 6) as f64 * E::UNIT_ROUNDOFF;
                let bound = nu / (1.0 - nu) * size + f64::MIN_POSITIVE;
                assert!((got - want).abs() <= bound, "{self:?} C[{i}, {j}]: {got}, not {want} +- {bound}");
            }
            assert_eq!(c[i * ldc + n..(i + 1) * ldc], before[i * ldc + n..(i + 1) * ldc], "{self:?}");
        }
    }
}

/// A matrix whose rows, or columns, are `ld` apart.
fn matrix<E>(data: &[E], [rows, cols]: [usize; 2], ld: usize, transposed: bool) -> Matrix<'_, E> {
    match transposed {
        true => Matrix::strided(data, cols, rows, ld).t(),
        false => Matrix::strided(data, rows, cols, ld),
    }
}

/// The plan of pairs, if the instruction set has them.
fn on_pairs(isa: Isa) -> Option<Plan> {
    #[cfg(target_arch = "x86_64")]
    return Plan::on_pairs(isa);
    #[cfg(not(target_arch = "x86_64"))]
    None
}

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.is_available())
}

#[test]
fn every_tail_of_the_tile() {
    for isa in available() {
        let Plan { lanes, rows: mr, vectors: nv, .. } = plan::<f32>(isa);
        for m in 1..=2 * mr + 1 {
            for n in 1..=2 * lanes * nv + 1 {
                // Every choice of sides and finishes comes up over the sizes.
                let i = m * 7 + n;
                Problem {
                    m,
                    n,
                    k: 1 + i % 19,
                    a_transposed: i % 2 == 0,
                    b_transposed: i % 3 == 0,
                    right: Side::of(i / 3),
                    finish: (i / 2) % 3,
                    isa,
                }
                .check::<f32>();
            }
        }
    }
}

#[test]
fn every_edge_of_the_depth() {
    for isa in available() {
        for k in [0, 1, 2, 15, 16, 17, 31, 33, lhs::KC - 1, lhs::KC, lhs::KC + 1, 2 * lhs::KC + 1] {
            for i in 0..8 {
                let (a_transposed, b_transposed) = (i & 1 != 0, i & 2 != 0);
                for finish in 0..3 {
                    Problem {
                        m: 19,
                        n: 53,
                        k,
                        a_transposed,
                        b_transposed,
                        right: Side::of(i + finish + k),
                        finish,
                        isa,
                    }
                    .check::<f32>();
                }
            }
        }
    }
}

#[test]
fn many_tasks_and_panels() {
    for isa in available() {
        for (m, n, k) in [(300, 500, 70), (1, 700, 300), (700, 1, 300), (5, 1300, 600), (129, 97, 1030)] {
            for t in 0..4 {
                let (a_transposed, b_transposed) = (t & 1 != 0, t & 2 != 0);
                Problem { m, n, k, a_transposed, b_transposed, right: Side::of(t + m), finish: 2, isa }
                    .check::<f32>();
            }
        }
    }
}

#[test]
fn in_double_precision() {
    let isa = Isa::Portable;
    for (m, n, k) in [(1, 1, 1), (5, 9, 3), (37, 41, 530)] {
        for t in 0..4 {
            let (a_transposed, b_transposed) = (t & 1 != 0, t & 2 != 0);
            Problem { m, n, k, a_transposed, b_transposed, right: Side::of(t + m), finish: t % 3, isa }
                .check::<f64>();
        }
    }
}

#[test]
#[should_panic(expected = "gemm: 2 x 3 times 2 x 3")]
fn depths_that_differ() {
    let x = [0f32; 6];
    gemm(Matrix::new(&x, 2, 3), Matrix::new(&x, 2, 3), &mut [0.0; 6], &Epilogue::default());
}

/// Of both engines: blocks of this depth begin at steps that are no multiples of 32, which pairs take at
/// once.
#[test]
fn who_packs_changes_no_bit() {
    let mut rng = Rng::seed(11);
    let shapes = [(70, 80, 600), (70, 80, 1000), (5, 85, 1280), (70, 85, 1601), (64, 100, 512)];
    let plans: Vec<Plan> =
        available().flat_map(|isa| [Some(plan::<f32>(isa)), on_pairs(isa)]).flatten().collect();
    for (plan, (m, n, k)) in plans.into_iter().flat_map(|plan| shapes.map(|shape| (plan, shape))) {
        let mut draw = |len: usize| (0..len).map(|_| rng.range(-1.0, 1.0) as f32).collect::<Vec<_>>();
        let (a, b) = (draw(m * k), draw(k * n));
        let (a, b) = (RowMajor(Matrix::new(&a, m, k)), Matrix::new(&b, k, n));
        let halves = [b.block(0, k / 3, 0, n), b.block(k / 3, k - k / 3, 0, n)];
        let product = |right: Rhs<'_, f32>| {
            let mut c = vec![0f32; m * n];
            let out = Output { c: Shared::new(&mut c), map: RowMap::Even { ld: n }, finish: Finish::SET };
            multiply(&a, right, out);
            c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let beforehand = product(Rhs::Packed(&PackedRhs::stack(StackedRhs { plan, parts: &[b] })));
        // What tasks find in one matrix they pack in passing.
        for parts in [&halves[..], &[b]] {
            let by_tasks = product(Rhs::Fresh(StackedRhs { plan, parts }));
            assert!(by_tasks == beforehand, "{plan:?}, {m} x {n} x {k}, {} parts", parts.len());
        }
    }
}
