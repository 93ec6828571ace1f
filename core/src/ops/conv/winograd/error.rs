//! The bound of the module's head, from the maps themselves.

use super::super::spec::Pass;
use super::transform::{
    AxisMap, InputMap, OutputGradientMap, OutputMap, POINTS, WeightGradientMap, WeightMap,
};
use crate::element::Element;
use crate::simd::{Kernel, Simd};

struct Column<L, const M: usize, const R: usize>(usize, std::marker::PhantomData<L>);

impl<L: AxisMap, const M: usize, const R: usize> Kernel<f64> for Column<L, M, R> {
    type Output = [f64; POINTS];
    fn run<S: Simd<f64>>(self, s: S) -> [f64; POINTS] {
        let unit = std::array::from_fn(|i| s.splat(if i == self.0 { 1.0 } else { 0.0 }));
        let image = L::apply::<S, f64, M, R>(s, unit);
        let mut lanes = [0.0; 16];
        std::array::from_fn(|i| {
            s.write(&mut lanes, image[i]);
            lanes[0]
        })
    }
}

/// The absolute values of a map's matrix.
fn matrix<L: AxisMap, const M: usize, const R: usize>() -> Vec<Vec<f64>> {
    let (from, to) = L::extents(M, R);
    let columns: Vec<_> =
        (0..from).map(|j| f64::dispatch(Column::<L, M, R>(j, std::marker::PhantomData))).collect();
    (0..to).map(|i| columns.iter().map(|c| c[i].abs()).collect()).collect()
}

/// For m outputs and r taps: κ² of a pass, and the roundings of all maps on both axes, at most.
pub fn of(m: usize, r: usize, pass: Pass) -> (f64, f64) {
    match (m, r) {
        (4, 3) => (amplification::<4, 3>(pass), 24.0),
        (2, 3) => (amplification::<2, 3>(pass), 24.0),
        (2, 5) => (amplification::<2, 5>(pass), 26.0),
        _ => unreachable!("{m} outputs, {r} taps"),
    }
}

fn amplification<const M: usize, const R: usize>(pass: Pass) -> f64 {
    let sums = |m: Vec<Vec<f64>>| m.iter().map(|row| row.iter().sum::<f64>()).collect::<Vec<_>>();
    let (input, weight) = (sums(matrix::<InputMap, M, R>()), sums(matrix::<WeightMap, M, R>()));
    let (back, other) = match pass {
        Pass::BackwardWeight => {
            (matrix::<WeightGradientMap, M, R>(), sums(matrix::<OutputGradientMap, M, R>()))
        }
        _ => (matrix::<OutputMap, M, R>(), weight),
    };
    let row = |r: &Vec<f64>| r.iter().zip(&input).zip(&other).map(|((r, a), b)| r * a * b).sum::<f64>();
    let largest = back.iter().map(row).fold(0.0, f64::max);
    largest * largest
}
