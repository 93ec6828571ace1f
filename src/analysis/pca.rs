//! Principal components: the orthogonal directions in which points vary most.
//!
//! For n points xᵢ in d dimensions with mean m, the covariance is C = Σ (xᵢ - m)(xᵢ - m)ᵀ / (n - 1); its
//! eigenvectors with the greatest eigenvalues are the components, and the eigenvalues the variances along
//! them. C is summed over blocks of rows, centred first so that nothing cancels. The leading eigenvectors
//! come from subspace iteration: V ← orth(C V) on a few more vectors than are asked for, with the small
//! problem Vᵀ C V solved exactly each round (Rayleigh and Ritz; Halko, Martinsson, Tropp, *Finding structure
//! with randomness*, 2011, section 4.5).

use super::eigen;
use gradus_core::gemm::{Matrix, gemm, gemm_add};
use gradus_core::{Element, Epilogue, Rng, Tensor};

/// Points that are centred and multiplied at a time.
const ROWS: usize = 2048;
/// Vectors iterated on beyond those asked for: the further away the next eigenvalue, the faster.
const SPARE: usize = 14;
/// Rounds at most.
const ROUNDS: usize = 500;
/// A component is found when |C v - λ v| is at most this part of the largest λ.
const TOLERANCE: f64 = 1e-10;

/// The leading principal components of some points.
#[derive(Clone, Debug)]
pub struct Pca {
    /// The points' mean, of length d.
    pub mean: Vec<f64>,
    /// Unit vectors of length d, the greatest variance first; the entry of greatest size is positive.
    pub components: Vec<Vec<f64>>,
    /// The variances along them (of n - 1 degrees of freedom).
    pub variances: Vec<f64>,
    /// The variance in all directions together.
    pub total: f64,
}

impl Pca {
    /// The k leading components of the rows of `x`, [n, d]. Panics unless 1 <= k <= d and n >= 2.
    #[track_caller]
    pub fn fit<E: Element>(x: &Tensor<E>, k: usize) -> Self {
        let [n, d] = x.dims("Pca::fit");
        assert!((1..=d).contains(&k) && n >= 2, "Pca::fit: {k} components of {n} points in {d} dimensions");
        let mean = mean(x);
        let c = covariance(x, &mean);
        let total = (0..d).map(|i| c[i * d + i]).sum();
        let (variances, components) = leading(&c, d, k);
        Pca { mean, components, variances, total }
    }

    /// The coordinates of the rows of `x`, [n, d], along the components: [n, k].
    #[track_caller]
    pub fn project<E: Element>(&self, x: &Tensor<E>) -> Tensor<E> {
        let ([n, d], k) = (x.dims("Pca::project"), self.components.len());
        assert_eq!(d, self.mean.len(), "Pca::project: dimensions");
        let v: Vec<E> = (0..d * k).map(|i| E::from_f64(self.components[i % k][i / k])).collect();
        let mut out = Tensor::stale([n, k]);
        for (rows, out) in x.data().chunks(ROWS * d).zip(out.data_mut().chunks_mut(ROWS * k)) {
            let centred = centred(rows, &self.mean);
            gemm(Matrix::new(&centred, rows.len() / d, d), Matrix::new(&v, d, k), out, &Epilogue::default());
        }
        out
    }
}

fn mean<E: Element>(x: &Tensor<E>) -> Vec<f64> {
    let [n, d] = x.dims("mean");
    let mut sum = vec![0.0; d];
    for row in x.data().chunks(d) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v.to_f64());
    }
    sum.iter().map(|s| s / n as f64).collect()
}

fn centred<E: Element>(rows: &[E], mean: &[f64]) -> Vec<E> {
    rows.iter().enumerate().map(|(i, v)| E::from_f64(v.to_f64() - mean[i % mean.len()])).collect()
}

/// d x d, symmetric to the bit.
fn covariance<E: Element>(x: &Tensor<E>, mean: &[f64]) -> Vec<f64> {
    let [n, d] = x.dims("covariance");
    let mut c = vec![0.0; d * d];
    for rows in x.data().chunks(ROWS * d) {
        let centred = centred(rows, mean);
        let m = Matrix::new(&centred, rows.len() / d, d);
        let mut part = vec![E::ZERO; d * d];
        gemm_add(m.t(), m, &mut part);
        c.iter_mut().zip(&part).for_each(|(c, p)| *c += p.to_f64());
    }
    let scale = 1.0 / (n - 1) as f64;
    for i in 0..d {
        for j in 0..=i {
            let value = 0.5 * (c[i * d + j] + c[j * d + i]) * scale;
            (c[i * d + j], c[j * d + i]) = (value, value);
        }
    }
    c
}

/// The k greatest eigenvalues of a symmetric, positive semidefinite d x d matrix, and their eigenvectors.
fn leading(c: &[f64], d: usize, k: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let p = d.min(k + SPARE);
    let mut rng = Rng::seed(0).stream("pca");
    let mut v: Vec<Vec<f64>> = (0..p).map(|_| (0..d).map(|_| rng.normal()).collect()).collect();
    orthonormalise(&mut v);
    let mut values = vec![0.0; p];
    for _ in 0..ROUNDS {
        let image = apply(c, d, &v);
        let inner = |i: usize, j: usize| 0.5 * (dot(&v[i], &image[j]) + dot(&v[j], &image[i]));
        let small: Vec<Vec<f64>> =
            (0..p).map(|i| (0..p).map(|j| inner(i.min(j), i.max(j))).collect()).collect();
        let pairs: Vec<_> = eigen(&small).into_iter().rev().collect();
        v = combine(&v, &pairs);
        let image = combine(&image, &pairs);
        values = pairs.iter().map(|p| p.0).collect();
        let error = |i: usize| {
            let square: f64 = v[i].iter().zip(&image[i]).map(|(v, c)| c - values[i] * v).map(|d| d * d).sum();
            square.sqrt()
        };
        if (0..k).all(|i| error(i) <= TOLERANCE * values[0].abs()) {
            break;
        }
        v = image;
        orthonormalise(&mut v);
    }
    v.truncate(k);
    values.truncate(k);
    for component in &mut v {
        let greatest = component.iter().fold(0.0f64, |g, x| if x.abs() > g.abs() { *x } else { g });
        component.iter_mut().for_each(|x| *x *= 1f64.copysign(greatest));
    }
    (values, v)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// C v for each v.
fn apply(c: &[f64], d: usize, v: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let flat = v.concat();
    let mut out = vec![0.0; flat.len()];
    gemm(Matrix::new(&flat, v.len(), d), Matrix::new(c, d, d), &mut out, &Epilogue::default());
    out.chunks(d).map(<[f64]>::to_vec).collect()
}

/// For each eigenvector of the small problem, that combination of the vectors.
fn combine(v: &[Vec<f64>], pairs: &[(f64, Vec<f64>)]) -> Vec<Vec<f64>> {
    let sum = |weights: &Vec<f64>| {
        let mut out = vec![0.0; v[0].len()];
        for (w, v) in weights.iter().zip(v) {
            out.iter_mut().zip(v).for_each(|(o, v)| *o += w * v);
        }
        out
    };
    pairs.iter().map(|(_, weights)| sum(weights)).collect()
}

/// Gram and Schmidt, twice, which is enough. A vector that vanishes (the rank is used up) becomes an axis
/// that the others leave free.
fn orthonormalise(v: &mut [Vec<f64>]) {
    let d = v[0].len();
    let mut axis = 0;
    for i in 0..v.len() {
        loop {
            let before = dot(&v[i], &v[i]).sqrt();
            for _ in 0..2 {
                for j in 0..i {
                    let (done, rest) = v.split_at_mut(i);
                    let along = dot(&done[j], &rest[0]);
                    rest[0].iter_mut().zip(&done[j]).for_each(|(x, y)| *x -= along * y);
                }
            }
            let length = dot(&v[i], &v[i]).sqrt();
            if length > 1e-12 * before {
                v[i].iter_mut().for_each(|x| *x /= length);
                break;
            }
            v[i] = (0..d).map(|j| f64::from(u8::from(j == axis % d))).collect();
            axis += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: usize, d: usize, scales: impl Fn(usize) -> f64) -> Tensor<f64> {
        let mut rng = Rng::seed(5);
        Tensor::from_fn([n, d], |i| scales(i % d) * rng.normal() + (i % d) as f64)
    }

    #[test]
    fn an_exact_case() {
        // Four points with mean (1, 2): ±(3, 3)√2 and ±(1, -1): variances 2 · 36 / 3 = 24 and 2 · 2 / 3.
        let r = 3.0 * 2f64.sqrt();
        let x = Tensor::from_slice([4, 2], &[1.0 + r, 2.0 + r, 1.0 - r, 2.0 - r, 2.0, 1.0, 0.0, 3.0]);
        let pca = Pca::fit(&x, 2);
        let h = 0.5f64.sqrt();
        for (value, exact) in [
            (pca.mean[0], 1.0),
            (pca.mean[1], 2.0),
            (pca.variances[0], 24.0),
            (pca.variances[1], 4.0 / 3.0),
            (pca.total, 24.0 + 4.0 / 3.0),
            (pca.components[0][0], h),
            (pca.components[0][1], h),
            (pca.components[1][0] * pca.components[1][1], -0.5),
        ] {
            assert!((value - exact).abs() < 1e-13, "{value} is not {exact}");
        }
        // The first point lies 6 away from the mean, along the first component.
        assert!((pca.project(&x).data()[0] - 6.0).abs() < 1e-13);
    }

    #[test]
    fn components_are_eigenvectors_and_the_projection_has_their_variances() {
        let x = random(400, 60, |j| 1.0 + 10.0 * 0.8f64.powi(j as i32));
        let pca = Pca::fit(&x, 5);
        let c = covariance(&x, &pca.mean);
        let exact = eigen(&c.chunks(60).map(<[f64]>::to_vec).collect::<Vec<_>>());
        let y = pca.project(&x);
        let spread = covariance(&y, &mean(&y));
        for i in 0..5 {
            let (value, vector) = &exact[59 - i];
            assert!((pca.variances[i] - value).abs() < 1e-10 * exact[59].0);
            assert!((dot(&pca.components[i], vector).abs() - 1.0).abs() < 1e-12);
            for j in 0..5 {
                let expected = if i == j { *value } else { 0.0 };
                assert!((spread[i * 5 + j] - expected).abs() < 1e-9 * exact[59].0);
            }
        }
        // No axis of the data does better; the test would see if a component were one.
        let along = |j: usize| c[j * 60 + j];
        assert!((0..60).all(|j| along(j) < pca.variances[0]) && along(0) > pca.variances[4]);
    }

    #[test]
    fn data_of_low_rank_and_f32() {
        let (mut rng, d) = (Rng::seed(1), 20);
        let directions: Vec<f64> = (0..2 * d).map(|_| rng.normal()).collect();
        let weights: Vec<f64> = (0..200).map(|_| rng.normal()).collect();
        let x = Tensor::from_fn([100, d], |i| {
            let (row, j) = (i / d, i % d);
            weights[2 * row] * directions[j] + weights[2 * row + 1] * directions[d + j]
        });
        let pca = Pca::fit(&x, 3);
        assert!(pca.variances[2].abs() < 1e-12 * pca.total);
        assert!((pca.variances[0] + pca.variances[1] - pca.total).abs() < 1e-12 * pca.total);
        let single = Pca::fit(&x.cast::<f32>(), 2);
        assert!((single.variances[0] / pca.variances[0] - 1.0).abs() < 1e-5);
        // Points that are all the same have no variance, and still a basis.
        let same = Pca::fit(&Tensor::<f64>::full([5, 3], 2.0), 3);
        assert_eq!((same.total, same.variances), (0.0, vec![0.0; 3]));
    }
}
