//! Eigenvalues and eigenvectors of small symmetric matrices, by Jacobi's rotations.

use gradus_core::elementary;

/// The eigenvalues of a symmetric matrix of n rows, ascending, and for each its eigenvector, all of length 1
/// and orthogonal (Jacobi 1846: rotations that each remove one element outside of the diagonal). In the basis
/// of these vectors ½ wᵀAw is a sum of squares. Panics when the matrix is not square and symmetric.
#[track_caller]
pub fn eigen(matrix: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
    let n = matrix.len();
    let symmetric = |i: usize| matrix[i].len() == n && (0..i).all(|j| matrix[i][j] == matrix[j][i]);
    assert!((0..n).all(symmetric), "eigen: a symmetric matrix, got {matrix:?}");
    let mut a = matrix.to_vec();
    // Rows of v are the vectors.
    let mut v: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(i == j)).collect()).collect();
    // Each sweep at least squares what is left outside of the diagonal, once that is small.
    for _ in 0..32 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                off += a[p][q].abs();
                rotate(&mut a, &mut v, p, q);
            }
        }
        if off == 0.0 {
            break;
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..n).map(|i| a[i][i]).zip(v).collect();
    pairs.sort_by(|x, y| x.0.total_cmp(&y.0));
    pairs
}

/// A rotation of the axes p and q that makes a[p][q] zero.
fn rotate(a: &mut [Vec<f64>], v: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let tan = theta.signum() / (theta.abs() + elementary::hypot(theta, 1.0));
    let cos = 1.0 / elementary::hypot(tan, 1.0);
    let sin = tan * cos;
    let turn = |x: f64, y: f64| (cos * x - sin * y, sin * x + cos * y);
    for row in a.iter_mut() {
        (row[p], row[q]) = turn(row[p], row[q]);
    }
    for rows in [&mut *a, v] {
        for k in 0..rows.len() {
            (rows[p][k], rows[q][k]) = turn(rows[p][k], rows[q][k]);
        }
    }
    (a[p][q], a[q][p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_of_a_symmetric_matrix() {
        let a = vec![vec![2.0, -1.0, 0.0], vec![-1.0, 2.0, -1.0], vec![0.0, -1.0, 2.0]];
        let pairs = eigen(&a);
        let root = 2.0f64.sqrt();
        for ((value, vector), exact) in pairs.iter().zip([2.0 - root, 2.0, 2.0 + root]) {
            assert!((value - exact).abs() < 1e-14, "{value} {exact}");
            for (row, v) in a.iter().zip(vector) {
                let av: f64 = row.iter().zip(vector).map(|(a, v)| a * v).sum();
                assert!((av - value * v).abs() < 1e-14);
            }
        }
    }
}
