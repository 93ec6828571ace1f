//! The maps of Winograd's and Toom-Cook's convolution, over vectors of channels.
//!
//! A product of polynomials is found from its values at enough points. For M outputs of a kernel of R taps
//! there are N = M + R − 1 points: y = Aᵀ[(G g) ⊙ (Bᵀ d)], and in two dimensions the same along both axes
//! (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, section 4). A and G evaluate
//! polynomials, of M and of R coefficients, Bᵀ interpolates. With the six points 0, ±a, ±b, ∞ (M = 4 of R =
//! 3, M = 2 of R = 5) and n₀ = a²b², n_a = 2a²(a² − b²), n_b = 2b²(b² − a²):
//!
//! ```text
//! Bᵀ d: a²b² d₀ − (a²+b²) d₂ + d₄          A y: y₀                   G g: g₀ / n₀
//!       (d₄ − b² d₂) ± a (d₃ − b² d₁)           Σ_k (±a)ᵏ y_k             Σ_j (±a)ʲ g_j / n_a
//!       (d₄ − a² d₂) ± b (d₃ − a² d₁)           Σ_k (±b)ᵏ y_k             Σ_j (±b)ʲ g_j / n_b
//!       a²b² d₁ − (a²+b²) d₃ + d₅               y_{M−1}                   g_{R−1}
//! ```
//!
//! The passes need Aᵀ and Gᵀ as well. For M = 2 of R = 3 the points are 0, ±1, ∞. The usual a = 1, b = 2
//! costs digits; a = 5/8, b = 3/2 halves the error (see `winograd`), and its Bᵀ and A are exact in binary.

use crate::element::Element;
use crate::elementary;
use crate::simd::Simd;

/// The most points on an axis.
pub(super) const POINTS: usize = 6;
/// A tile of vectors; the maps use its first rows and columns.
pub(super) type Tile<V> = [[V; POINTS]; POINTS];

/// The points ±a, ±b. Measured, for 64 channels of uniform numbers, root mean square error of F(4x4) relative
/// to a direct sum: ±1, ±2 4.2; ±1/2, ±2 2.6; ±1/√2, ±√2 1.9; ±2/3, ±3/2 1.7; ±5/8, ±3/2 1.8, exact in binary
/// as 2/3 is not.
const A: f64 = 0.625;
const B: f64 = 1.5;
const A2: f64 = A * A;
const B2: f64 = B * B;
/// n₀, n_a, n_b.
const NODES: [f64; 3] = [A2 * B2, 2.0 * A2 * (A2 - B2), 2.0 * B2 * (B2 - A2)];

/// Points on an axis for m outputs of r taps.
pub(super) const fn points(m: usize, r: usize) -> usize {
    m + r - 1
}

/// A linear map on one axis, for M outputs a tile and R taps.
pub(super) trait AxisMap {
    /// The extents of its input and output.
    fn extents(m: usize, r: usize) -> (usize, usize);
    /// The image of a vector; entries beyond the extents are of no account.
    fn apply<S: Simd<E>, E: Element, const M: usize, const R: usize>(
        s: S,
        x: [S::V; POINTS],
    ) -> [S::V; POINTS];
}

/// Applies a map along both axes.
#[inline(always)]
pub(super) fn both_axes<L: AxisMap, S: Simd<E>, E: Element, const M: usize, const R: usize>(
    s: S,
    x: &mut Tile<S::V>,
) {
    let (from, to) = L::extents(M, R);
    for j in 0..from {
        let column = [x[0][j], x[1][j], x[2][j], x[3][j], x[4][j], x[5][j]];
        let image = L::apply::<S, E, M, R>(s, column);
        for i in 0..to {
            x[i][j] = image[i];
        }
    }
    for row in x.iter_mut().take(to) {
        *row = L::apply::<S, E, M, R>(s, *row);
    }
}

#[inline(always)]
fn c<S: Simd<E>, E: Element>(s: S, x: f64) -> S::V {
    s.splat(E::from_f64(x))
}

/// Bᵀ: pixels to points.
pub(super) struct InputMap;
/// Aᵀ: points to outputs.
pub(super) struct OutputMap;
/// A: gradients of outputs to gradients of points.
pub(super) struct OutputGradientMap;
/// G: taps to points.
pub(super) struct WeightMap;
/// Gᵀ: gradients of points to gradients of taps.
pub(super) struct WeightGradientMap;

/// The values at 0, ±a, ±b, ∞ of the polynomial with L coefficients x, the finite ones over n₀, n_a, n_b.
#[inline(always)]
fn evaluated<S: Simd<E>, E: Element, const L: usize>(s: S, x: [S::V; POINTS], n: [f64; 3]) -> [S::V; POINTS] {
    let at = |p: f64, n: f64| {
        let term = |j: usize| c(s, elementary::powi(p, j as i32) / n);
        let (mut even, mut odd) = (s.mul(term(0), x[0]), s.zero());
        for j in (2..L).step_by(2) {
            even = s.fma(term(j), x[j], even);
        }
        for (k, j) in (1..L).step_by(2).rev().enumerate() {
            odd = if k == 0 { s.mul(term(j), x[j]) } else { s.fma(term(j), x[j], odd) };
        }
        (s.add(even, odd), s.sub(even, odd))
    };
    let (a, minus_a) = at(A, n[1]);
    let (b, minus_b) = at(B, n[2]);
    [s.mul(c(s, 1.0 / n[0]), x[0]), a, minus_a, b, minus_b, x[L - 1]]
}

/// The transposed map.
#[inline(always)]
fn coefficients<S: Simd<E>, E: Element, const L: usize>(
    s: S,
    m: [S::V; POINTS],
    n: [f64; 3],
) -> [S::V; POINTS] {
    let (even_a, odd_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    let mut x = [s.zero(); POINTS];
    for (j, x) in x.iter_mut().enumerate().take(L) {
        let (a, b) = if j % 2 == 0 { (even_a, even_b) } else { (odd_a, odd_b) };
        let term = |p: f64, n: f64| c(s, elementary::powi(p, j as i32) / n);
        let sum = if j == L - 1 { s.fma(term(B, n[2]), b, m[5]) } else { s.mul(term(B, n[2]), b) };
        let sum = s.fma(term(A, n[1]), a, sum);
        *x = if j == 0 { s.fma(c(s, 1.0 / n[0]), m[0], sum) } else { sum };
    }
    x
}

impl AxisMap for InputMap {
    #[inline(always)]
    fn extents(m: usize, r: usize) -> (usize, usize) {
        (points(m, r), points(m, r))
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize, const R: usize>(
        s: S,
        d: [S::V; POINTS],
    ) -> [S::V; POINTS] {
        let z = s.zero();
        if points(M, R) == 4 {
            return [s.sub(d[0], d[2]), s.add(d[2], d[1]), s.sub(d[2], d[1]), s.sub(d[3], d[1]), z, z];
        }
        let (a, b) = (c(s, A), c(s, B));
        let (minus_a2, minus_b2, product, minus_sum) =
            (c(s, -A2), c(s, -B2), c(s, A2 * B2), c(s, -(A2 + B2)));
        let (even_a, odd_a) = (s.fma(minus_b2, d[2], d[4]), s.fma(minus_b2, d[1], d[3]));
        let (even_b, odd_b) = (s.fma(minus_a2, d[2], d[4]), s.fma(minus_a2, d[1], d[3]));
        let (odd_a, odd_b) = (s.mul(a, odd_a), s.mul(b, odd_b));
        [
            s.fma(product, d[0], s.fma(minus_sum, d[2], d[4])),
            s.add(even_a, odd_a),
            s.sub(even_a, odd_a),
            s.add(even_b, odd_b),
            s.sub(even_b, odd_b),
            s.fma(product, d[1], s.fma(minus_sum, d[3], d[5])),
        ]
    }
}

impl AxisMap for OutputMap {
    #[inline(always)]
    fn extents(m: usize, r: usize) -> (usize, usize) {
        (points(m, r), m)
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize, const R: usize>(
        s: S,
        m: [S::V; POINTS],
    ) -> [S::V; POINTS] {
        if points(M, R) == 4 {
            let (z, even, odd) = (s.zero(), s.add(m[1], m[2]), s.sub(m[1], m[2]));
            return [s.add(m[0], even), s.add(odd, m[3]), z, z, z, z];
        }
        coefficients::<S, E, M>(s, m, [1.0; 3])
    }
}

impl AxisMap for OutputGradientMap {
    #[inline(always)]
    fn extents(m: usize, r: usize) -> (usize, usize) {
        (m, points(m, r))
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize, const R: usize>(
        s: S,
        y: [S::V; POINTS],
    ) -> [S::V; POINTS] {
        if points(M, R) == 4 {
            let z = s.zero();
            return [y[0], s.add(y[0], y[1]), s.sub(y[0], y[1]), y[1], z, z];
        }
        evaluated::<S, E, M>(s, y, [1.0; 3])
    }
}

impl AxisMap for WeightMap {
    #[inline(always)]
    fn extents(m: usize, r: usize) -> (usize, usize) {
        (r, points(m, r))
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize, const R: usize>(
        s: S,
        g: [S::V; POINTS],
    ) -> [S::V; POINTS] {
        if points(M, R) == 4 {
            let (z, half) = (s.zero(), c(s, 0.5));
            let (even, odd) = (s.mul(half, s.add(g[0], g[2])), s.mul(half, g[1]));
            return [g[0], s.add(even, odd), s.sub(even, odd), g[2], z, z];
        }
        evaluated::<S, E, R>(s, g, NODES)
    }
}

impl AxisMap for WeightGradientMap {
    #[inline(always)]
    fn extents(m: usize, r: usize) -> (usize, usize) {
        (points(m, r), r)
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize, const R: usize>(
        s: S,
        u: [S::V; POINTS],
    ) -> [S::V; POINTS] {
        if points(M, R) == 4 {
            let (z, half) = (s.zero(), c(s, 0.5));
            let (even, odd) = (s.add(u[1], u[2]), s.sub(u[1], u[2]));
            return [s.fma(half, even, u[0]), s.mul(half, odd), s.fma(half, even, u[3]), z, z, z];
        }
        coefficients::<S, E, R>(s, u, NODES)
    }
}
