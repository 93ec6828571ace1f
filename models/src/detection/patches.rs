//! The 3x3 neighbourhoods of a few cells of maps: what a 3x3 convolution reads to make those cells of its
//! result.
//!
//! A convolution's gradient that is wanted at k cells alone is that of a linear layer over their k patches: k
//! 9 c numbers instead of all cells'. Backward adds each patch to where it was read; rows of the map are
//! independent tasks.

use gradus_core::{Element, Tape, Tensor, Var, parallel, profile};

/// Patches of a map [n, h, w, c] around cells (flat indices into n h w, in ascending order): [k, 9 c], zero
/// beyond the border, in the order of a convolution's weights [3, 3, c, out].
#[track_caller]
pub fn patches<E: Element>(g: &mut Tape<E>, x: Var<E>, cells: &[usize]) -> Var<E> {
    let _span = profile::span("patches", "forward");
    let [n, h, w, c] = x.value.dims("patches");
    assert!(
        cells.is_sorted() && cells.last().is_none_or(|&k| k < n * h * w),
        "patches: cells of {:?}",
        x.shape()
    );
    let mut y = Tensor::stale([cells.len(), 9 * c]);
    let map = x.value.data();
    parallel::chunks(y.data_mut(), 9 * c, |k, y| {
        let (row, column) = (cells[k] / w, cells[k] % w);
        for (tap, y) in y.chunks_exact_mut(c).enumerate() {
            match neighbour(row, column, tap, [h, w]) {
                Some(at) => y.copy_from_slice(&map[at * c..][..c]),
                None => y.fill(E::ZERO),
            }
        }
    });
    let (node, cells) = (x.node, cells.to_vec());
    g.record("patches", y, &[node], move |dy, slots| {
        slots.add(node, || {
            let mut dx = Tensor::zeros([n, h, w, c]);
            parallel::chunks(dx.data_mut(), w * c, |row, dx| {
                // Cells whose patches reach this row: those of the rows around it.
                let first = cells.partition_point(|&k| k < row.saturating_sub(1) * w);
                let end = cells.partition_point(|&k| k < (row + 2) * w);
                for k in first..end {
                    let (from, column) = (cells[k] / w, cells[k] % w);
                    let patch = &dy.data()[k * 9 * c..][..9 * c];
                    for (tap, dy) in patch.chunks_exact(c).enumerate() {
                        let at = neighbour(from, column, tap, [h, w]).filter(|at| at / w == row);
                        let Some(at) = at else { continue };
                        let dx = &mut dx[(at - row * w) * c..][..c];
                        dx.iter_mut().zip(dy).for_each(|(d, g)| *d += *g);
                    }
                }
            });
            dx
        });
    })
}

/// The flat index of tap number 0 .. 9 around a cell, whose row is counted over all images.
fn neighbour(row: usize, column: usize, tap: usize, [h, w]: [usize; 2]) -> Option<usize> {
    let (y, x) = ((row % h + tap / 3).checked_sub(1)?, (column + tap % 3).checked_sub(1)?);
    (y < h && x < w).then(|| (row / h * h + y) * w + x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::ops::conv::{Conv, Fused};
    use gradus_core::{Activation, Rng, init};

    #[test]
    fn a_linear_layer_over_patches_is_the_convolution_at_those_cells() {
        let rng = &mut Rng::seed(3);
        let [n, h, w, c] = [2, 4, 5, 3];
        let map: Tensor<f64> = init::normal([n, h, w, c], 0.0, 1.0, rng);
        let kernel: Tensor<f64> = init::normal([3, 3, c, 2], 0.0, 1.0, rng);
        // Corners, borders, neighbours, both images.
        let cells = [0, 1, 4, 7, 12, 19, 20, 33, 39];
        let mut g = Tape::eval();
        let (x, k) = (g.input(map.clone()), g.input(kernel.clone()));
        let p = patches(&mut g, x.clone(), &cells);
        let flat = g.reshape(k.clone(), &[9 * c as isize, 2]);
        let y = g.linear(p, &flat, None, Activation::None);

        let mut full = Tape::eval();
        let (fx, fk) = (full.input(map), full.input(kernel));
        let all = full.conv2d(fx.clone(), &fk, None, Conv::new(1, 1), Fused::default());
        let all = full.reshape(all, &[-1, 2]);
        let fy = full.index_select(all, 0, &cells);
        let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
            assert!(a.data().iter().zip(b.data()).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
        };
        close(&y.value, &fy.value);
        let seed: Tensor<f64> = init::normal(*y.shape(), 0.0, 1.0, rng);
        let (ours, theirs) =
            (g.backward_from([(y.node, seed.clone())]), full.backward_from([(fy.node, seed)]));
        close(ours.of(&x).unwrap(), theirs.of(&fx).unwrap());
        close(ours.of(&k).unwrap(), theirs.of(&fk).unwrap());
    }
}
