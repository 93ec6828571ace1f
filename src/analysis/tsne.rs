//! t-SNE (van der Maaten and Hinton, *Visualizing data using t-SNE*, 2008): points of many dimensions laid
//! out in the plane so that neighbours stay neighbours.
//!
//! Point i takes j for a neighbour with p(j|i) ∝ exp(-βᵢ |xᵢ - xⱼ|²), where βᵢ is such that the entropy is
//! ln(perplexity); only its 3 · perplexity nearest count. P = (p(j|i) + p(i|j)) / 2n. In the plane qᵢⱼ =
//! kᵢⱼ / Z with kᵢⱼ = 1 / (1 + |yᵢ - yⱼ|²) and Z = Σ k over all pairs. The divergence KL = Σ pᵢⱼ ln(pᵢⱼ /
//! qᵢⱼ) falls by descent along
//!
//!   ∂KL/∂yᵢ = 4 Σⱼ pᵢⱼ kᵢⱼ (yᵢ - yⱼ)  -  4/Z Σⱼ kᵢⱼ² (yᵢ - yⱼ),
//!
//! an attraction over the neighbours and a repulsion between all. The repulsion is summed exactly: n² pairs
//! of a dozen operations go through the vector units so fast that for the thousands of points a picture can
//! show neither a tree nor a grid would gain, and there is nothing to approximate. Each row is summed by one
//! thread: the same bits on any number.

use super::Pca;
use gradus_core::gemm::{Matrix, gemm};
use gradus_core::simd::{Kernel, Simd};
use gradus_core::{Element, Epilogue, Tensor, elementary, parallel};

/// How to lay out.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many neighbours a point has, about.
    pub perplexity: f64,
    /// Steps of descent.
    pub iterations: usize,
    /// In the first steps attraction is this many times stronger, so that groups find each other.
    pub exaggeration: f64,
    /// How many steps those are.
    pub exaggerated: usize,
}

impl Default for Settings {
    /// scikit-learn's.
    fn default() -> Self {
        Settings { perplexity: 30.0, iterations: 1000, exaggeration: 12.0, exaggerated: 250 }
    }
}

/// The points in the plane, [n, 2], of the rows of `x`, [n, d]; `each` sees every step's number. They begin
/// at their two principal components: nothing is drawn at random. Panics with fewer than 4 points or a
/// perplexity below 1.
#[track_caller]
pub fn embed<E: Element>(x: &Tensor<E>, s: &Settings, mut each: impl FnMut(usize)) -> Tensor<E> {
    let [n, d] = x.dims("tsne::embed");
    assert!(n >= 4 && s.perplexity >= 1.0, "tsne::embed: {n} points, perplexity {}", s.perplexity);
    let p = Affinities::of(x, s.perplexity);
    let pca = Pca::fit(x, 2.min(d));
    let start = pca.project(x);
    let k = pca.components.len();
    let scale = 1e-4 / pca.variances[0].sqrt().max(f64::MIN_POSITIVE);
    let place =
        |i: usize, axis: usize| if axis < k { start.data()[i * k + axis].to_f64() * scale } else { 0.0 };
    let mut y: [Vec<E>; 2] =
        std::array::from_fn(|axis| (0..n).map(|i| E::from_f64(place(i, axis))).collect());
    let mut descent = Descent::new(n, (n as f64 / s.exaggeration / 4.0).max(50.0));
    for step in 0..s.iterations {
        let early = step < s.exaggerated;
        let gradient = p.gradient(&y, if early { s.exaggeration } else { 1.0 });
        descent.step(&mut y, &gradient, if early { 0.5 } else { 0.8 });
        each(step);
    }
    Tensor::from_fn([n, 2], |i| y[i % 2][i / 2])
}

/// Descent with momentum and a rate of its own for each coordinate (Jacobs, *Increased rates of convergence
/// through learning rate adaptation*, 1988): more while the gradient keeps its sign, less where it turns.
struct Descent<E> {
    lr: E,
    velocity: [Vec<E>; 2],
    gain: [Vec<E>; 2],
}

impl<E: Element> Descent<E> {
    fn new(n: usize, lr: f64) -> Self {
        let each = |v: E| std::array::from_fn(|_| vec![v; n]);
        Descent { lr: E::from_f64(lr), velocity: each(E::ZERO), gain: each(E::ONE) }
    }

    fn step(&mut self, y: &mut [Vec<E>; 2], gradient: &[Vec<E>; 2], momentum: f64) {
        let [momentum, more, less, least] = [momentum, 0.2, 0.8, 0.01].map(E::from_f64);
        for axis in 0..2 {
            for i in 0..y[axis].len() {
                let (g, v, gain) = (gradient[axis][i], &mut self.velocity[axis][i], &mut self.gain[axis][i]);
                let turned = (g > E::ZERO) == (*v > E::ZERO);
                *gain = (if turned { *gain * less } else { *gain + more }).max(least);
                *v = momentum * *v - self.lr * *gain * g;
                y[axis][i] += *v;
            }
        }
    }
}

/// P, sparse: row i holds its neighbours in ascending order.
struct Affinities<E> {
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<E>,
}

/// Rows of distances computed at a time.
const ROWS: usize = 128;

impl<E: Element> Affinities<E> {
    fn of(x: &Tensor<E>, perplexity: f64) -> Self {
        let [n, _] = x.dims("affinities");
        let count = ((3.0 * perplexity) as usize).clamp(1, n - 1);
        let neighbours = neighbours(x, count);
        let conditional = parallel::map(n, |i| {
            let squares: Vec<f64> = neighbours[i].iter().map(|n| n.1).collect();
            conditional(&squares, perplexity.min(count as f64))
        });
        // Both directions of every pair, sorted by row and column; equal ones are added.
        let mut pairs: Vec<(u32, u32, f64)> = Vec::with_capacity(2 * n * count);
        for (i, (row, p)) in neighbours.iter().zip(&conditional).enumerate() {
            for (&(j, _), p) in row.iter().zip(p) {
                let half = p / (2 * n) as f64;
                pairs.extend([(i as u32, j, half), (j, i as u32, half)]);
            }
        }
        pairs.sort_by_key(|p| (p.0, p.1));
        let (mut starts, mut columns, mut values) = (vec![0; n + 1], Vec::new(), Vec::<f64>::new());
        for (k, &(i, j, p)) in pairs.iter().enumerate() {
            if k > 0 && (pairs[k - 1].0, pairs[k - 1].1) == (i, j) {
                *values.last_mut().expect("a pair came before") += p;
            } else {
                columns.push(j);
                values.push(p);
                starts[i as usize + 1] += 1;
            }
        }
        (0..n).for_each(|i| starts[i + 1] += starts[i]);
        Affinities { starts, columns, values: values.into_iter().map(E::from_f64).collect() }
    }

    fn row(&self, i: usize) -> impl Iterator<Item = (usize, E)> + '_ {
        let range = self.starts[i]..self.starts[i + 1];
        self.columns[range.clone()].iter().map(|&j| j as usize).zip(self.values[range].iter().copied())
    }

    /// ∂KL/∂y, with `exaggeration` times P for P.
    fn gradient(&self, y: &[Vec<E>; 2], exaggeration: f64) -> [Vec<E>; 2] {
        let n = y[0].len();
        let padded = padded(y);
        let forces = parallel::map(n, |i| {
            let at = [y[0][i], y[1][i]];
            let repulsion = E::dispatch(Repulsion { x: &padded[0], y: &padded[1], at });
            let mut pull = [E::ZERO; 2];
            for (j, p) in self.row(i) {
                let (dx, dy) = (at[0] - y[0][j], at[1] - y[1][j]);
                let k = p / (E::ONE + dx * dx + dy * dy);
                pull = [pull[0] + k * dx, pull[1] + k * dy];
            }
            (pull, repulsion)
        });
        // Point i itself, at distance 0, has added 1 to its row.
        let z: f64 = forces.iter().map(|(_, r)| r[0].to_f64() - 1.0).sum();
        let (pull, push) = (E::from_f64(4.0 * exaggeration), E::from_f64(4.0 / z));
        std::array::from_fn(|axis| forces.iter().map(|(p, r)| pull * p[axis] - push * r[1 + axis]).collect())
    }
}

/// Where the points that fill up the last vector lie: too far away to count.
const FAR: f64 = 1e15;
/// Sums over points that are made side by side, on every instruction set: a vector of AVX-512, the longest.
const STRANDS: usize = 16;

fn padded<E: Element>(y: &[Vec<E>; 2]) -> [Vec<E>; 2] {
    let n = y[0].len().next_multiple_of(STRANDS);
    y.each_ref().map(|y| {
        let mut y = y.clone();
        y.resize(n, E::from_f64(FAR));
        y
    })
}

/// Σ k, Σ k² (x - xⱼ), Σ k² (y - yⱼ) over all points j, for one point (x, y).
struct Repulsion<'a, E> {
    x: &'a [E],
    y: &'a [E],
    at: [E; 2],
}

impl<E: Element> Kernel<E> for Repulsion<'_, E> {
    type Output = [E; 3];

    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) -> [E; 3] {
        let (px, py, one) = (s.splat(self.at[0]), s.splat(self.at[1]), s.splat(E::ONE));
        let vectors = STRANDS / S::LANES;
        let [mut z, mut fx, mut fy] = [[s.zero(); STRANDS / 4]; 3];
        for (x, y) in self.x.chunks_exact(STRANDS).zip(self.y.chunks_exact(STRANDS)) {
            for v in 0..vectors {
                let (x, y) = (s.read(&x[v * S::LANES..]), s.read(&y[v * S::LANES..]));
                let (dx, dy) = (s.sub(px, x), s.sub(py, y));
                let k = s.div(one, s.fma(dx, dx, s.fma(dy, dy, one)));
                let square = s.mul(k, k);
                z[v] = s.add(z[v], k);
                fx[v] = s.fma(square, dx, fx[v]);
                fy[v] = s.fma(square, dy, fy[v]);
            }
        }
        [&z, &fx, &fy].map(|sums| s.sum::<STRANDS>(&sums[..vectors]))
    }
}

/// The `count` nearest other points of each point, the nearest first, and their squared distances
/// |xᵢ|² + |xⱼ|² - 2⟨xᵢ, xⱼ⟩ of centred points.
fn neighbours<E: Element>(x: &Tensor<E>, count: usize) -> Vec<Vec<(u32, f64)>> {
    let [n, d] = x.dims("neighbours");
    let mut mean = vec![0.0; d];
    for row in x.data().chunks(d) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += v.to_f64() / n as f64);
    }
    let centred: Vec<E> =
        x.data().iter().enumerate().map(|(i, v)| E::from_f64(v.to_f64() - mean[i % d])).collect();
    let all = Matrix::new(&centred, n, d);
    let squares: Vec<f64> =
        centred.chunks(d).map(|row| row.iter().map(|v| v.to_f64() * v.to_f64()).sum()).collect();
    let mut found = Vec::with_capacity(n);
    for first in (0..n).step_by(ROWS) {
        let rows = ROWS.min(n - first);
        let mut products = vec![E::ZERO; rows * n];
        let block = Matrix::new(&centred[first * d..(first + rows) * d], rows, d);
        gemm(block, all.t(), &mut products, &Epilogue::default());
        found.extend(parallel::map(rows, |r| {
            let i = first + r;
            let distance = |j: usize| (squares[i] + squares[j] - 2.0 * products[r * n + j].to_f64()).max(0.0);
            let mut row: Vec<(u32, f64)> =
                (0..n).filter(|&j| j != i).map(|j| (j as u32, distance(j))).collect();
            let nearer = |a: &(u32, f64), b: &(u32, f64)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
            row.select_nth_unstable_by(count - 1, nearer);
            row.truncate(count);
            row.sort_unstable_by(nearer);
            row
        }));
    }
    found
}

/// p(j|i) over the neighbours at these squared distances, with entropy ln(perplexity) (as near as they
/// allow).
fn conditional(squares: &[f64], perplexity: f64) -> Vec<f64> {
    let nearest = squares.iter().copied().fold(f64::INFINITY, f64::min);
    let weights = |beta: f64| -> Vec<f64> {
        let w: Vec<f64> = squares.iter().map(|s| elementary::exp(-beta * (s - nearest))).collect();
        let sum: f64 = w.iter().sum();
        w.iter().map(|w| w / sum).collect()
    };
    // The entropy falls as β grows: bisection between powers of two.
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..200 {
        let error = entropy(&weights(beta)) - elementary::ln(perplexity);
        if error.abs() < 1e-10 {
            break;
        }
        if error > 0.0 {
            low = beta;
            beta = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * beta };
        } else {
            high = beta;
            beta = 0.5 * (low + high);
        }
    }
    weights(beta)
}

fn entropy(p: &[f64]) -> f64 {
    p.iter().filter(|p| **p > 0.0).map(|p| -p * elementary::ln(*p)).sum()
}

#[cfg(test)]
mod tests;
