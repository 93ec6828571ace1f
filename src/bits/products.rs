//! Products of matrices, of few and of many terms, and linear layers.

use super::case::{Case, op, whole};
use super::draw::{self, signed};
use gradus_core::gemm::{Matrix, gemm, gemm_add};
use gradus_core::{Activation, Epilogue};

/// [m, n, k]: tiles and vectors that are full, and those that are not; sums that are cut and those that are
/// not.
const SIZES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [3, 5, 7],
    [16, 16, 16],
    [17, 33, 65],
    [1, 1000, 129],
    [131, 1, 700],
    [64, 96, 1000],
    [129, 70, 300],
    [7, 50, 4097],
    [250, 260, 20],
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = SIZES.map(product).into();
    let batches = [signed(&[3, 1, 9, 34]), signed(&[5, 34, 21])];
    // A chain of fused multiply-adds a result: short enough for no cut.
    let chain = [signed(&[5, 37]), signed(&[37, 9])];
    cases.extend([
        op("products/of-37-terms", &chain, |t, x| t.matmul(x[0].clone(), x[1].clone())),
        op("products/batches", &batches, |t, x| t.matmul(x[0].clone(), x[1].clone())),
        op("products/linear", &[signed(&[19, 147]), signed(&[147, 53]), signed(&[53])], |t, x| {
            t.linear(x[0].clone(), &x[1], Some(&x[2]), Activation::Relu)
        }),
        op("products/linear-of-one-row", &[signed(&[1, 2050]), signed(&[2050, 77])], |t, x| {
            t.linear(x[0].clone(), &x[1], None, Activation::Relu6)
        }),
    ]);
    cases
}

/// A product, of operands as they lie and transposed, alone and added to what is there.
fn product([m, n, k]: [usize; 3]) -> Case {
    let name = format!("products/{m}x{n}x{k}");
    whole(name.clone(), move |d| {
        let mut rng = draw::stream(&name);
        let (a, b) = (draw::tensor(&[m, k], &mut rng), draw::tensor(&[k, n], &mut rng));
        let (at, bt) = (a.permute(&[1, 0]), b.permute(&[1, 0]));
        let mut c = draw::tensor(&[m, n], &mut rng);
        let left = [Matrix::new(a.data(), m, k), Matrix::new(at.data(), k, m).t()];
        let right = [Matrix::new(b.data(), k, n), Matrix::new(bt.data(), n, k).t()];
        for a in left {
            for b in right {
                gemm_add(a, b, c.data_mut());
                d.tensor(&c);
                gemm(a, b, c.data_mut(), &Epilogue::default());
                d.tensor(&c);
            }
        }
    })
}
