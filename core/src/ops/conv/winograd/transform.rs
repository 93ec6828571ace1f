//! The maps of Winograd's and Toom-Cook's convolution, over vectors of channels.
//!
//! A product of polynomials is found from its values at enough points. For M outputs of a kernel of 3 taps there are
//! N = M + 2 points: y = Aᵀ[(G g) ⊙ (Bᵀ d)], and in two dimensions the same along both axes (Lavin and Gray, Fast
//! Algorithms for Convolutional Neural Networks, section 4). With the points 0, ±a, ±b, ∞ for M = 4 and
//! n₀ = a²b², n_a = 2a²(a² − b²), n_b = 2b²(b² − a²):
//!
//! ```text
//! Bᵀ d: a²b² d₀ − (a²+b²) d₂ + d₄            Aᵀ m: m₀ + (m₁+m₂) + (m₃+m₄)            G g: g₀ / n₀
//!       (d₄ − b² d₂) ± a (d₃ − b² d₁)              a (m₁−m₂) + b (m₃−m₄)                  (g₀ + a² g₂ ± a g₁) / n_a
//!       (d₄ − a² d₂) ± b (d₃ − a² d₁)              a² (m₁+m₂) + b² (m₃+m₄)                (g₀ + b² g₂ ± b g₁) / n_b
//!       a²b² d₁ − (a²+b²) d₃ + d₅                  a³ (m₁−m₂) + b³ (m₃−m₄) + m₅           g₂
//! ```
//!
//! for M = 2 the points are 0, ±1, ∞. The gradients need the transposed maps A and Gᵀ as well. The usual a = 1, b = 2
//! costs digits; a = 5/8, b = 3/2 halves the error (see `winograd`), and its Bᵀ and Aᵀ are exact in binary.

use crate::Element;
use crate::simd::Simd;

/// The most points on an axis: N for M = 4.
pub(super) const POINTS: usize = 6;
/// A tile of vectors; the maps use its first rows and columns.
pub(super) type Tile<V> = [[V; POINTS]; POINTS];

const A: f64 = 0.625;
const B: f64 = 1.5;
const A2: f64 = A * A;
const B2: f64 = B * B;
const NODE_0: f64 = A2 * B2;
const NODE_A: f64 = 2.0 * A2 * (A2 - B2);
const NODE_B: f64 = 2.0 * B2 * (B2 - A2);

/// A linear map on one axis, for M outputs a tile.
pub(super) trait Map {
    /// The extents of its input and output.
    fn extents(m: usize) -> (usize, usize);
    /// The image of a vector; entries beyond the extents are of no account.
    fn apply<S: Simd<E>, E: Element, const M: usize>(s: S, x: [S::V; POINTS]) -> [S::V; POINTS];
}

/// Applies a map along both axes.
#[inline(always)]
pub(super) fn both_axes<L: Map, S: Simd<E>, E: Element, const M: usize>(s: S, x: &mut Tile<S::V>) {
    let (from, to) = L::extents(M);
    for j in 0..from {
        let column = [x[0][j], x[1][j], x[2][j], x[3][j], x[4][j], x[5][j]];
        let image = L::apply::<S, E, M>(s, column);
        for i in 0..to {
            x[i][j] = image[i];
        }
    }
    for row in x.iter_mut().take(to) {
        *row = L::apply::<S, E, M>(s, *row);
    }
}

#[inline(always)]
fn c<S: Simd<E>, E: Element>(s: S, x: f64) -> S::V {
    s.splat(E::from_f64(x))
}

/// Bᵀ: pixels to points.
pub(super) struct Input;
/// Aᵀ: points to outputs.
pub(super) struct Output;
/// A: gradients of outputs to gradients of points.
pub(super) struct OutputGradient;
/// G: taps to points.
pub(super) struct Weight;
/// Gᵀ: gradients of points to gradients of taps.
pub(super) struct WeightGradient;

impl Map for Input {
    #[inline(always)]
    fn extents(m: usize) -> (usize, usize) {
        (m + 2, m + 2)
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize>(s: S, d: [S::V; POINTS]) -> [S::V; POINTS] {
        let z = s.zero();
        if M == 2 {
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

impl Map for Output {
    #[inline(always)]
    fn extents(m: usize) -> (usize, usize) {
        (m + 2, m)
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize>(s: S, m: [S::V; POINTS]) -> [S::V; POINTS] {
        let z = s.zero();
        let (even_a, odd_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        if M == 2 {
            return [s.add(m[0], even_a), s.add(odd_a, m[3]), z, z, z, z];
        }
        let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(even_a, even_b)),
            s.fma(c(s, A), odd_a, s.mul(c(s, B), odd_b)),
            s.fma(c(s, A2), even_a, s.mul(c(s, B2), even_b)),
            s.fma(c(s, A2 * A), odd_a, s.fma(c(s, B2 * B), odd_b, m[5])),
            z,
            z,
        ]
    }
}

impl Map for OutputGradient {
    #[inline(always)]
    fn extents(m: usize) -> (usize, usize) {
        (m, m + 2)
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize>(s: S, y: [S::V; POINTS]) -> [S::V; POINTS] {
        let z = s.zero();
        if M == 2 {
            return [y[0], s.add(y[0], y[1]), s.sub(y[0], y[1]), y[1], z, z];
        }
        let even_a = s.fma(c(s, A2), y[2], y[0]);
        let even_b = s.fma(c(s, B2), y[2], y[0]);
        let odd_a = s.fma(c(s, A), y[1], s.mul(c(s, A2 * A), y[3]));
        let odd_b = s.fma(c(s, B), y[1], s.mul(c(s, B2 * B), y[3]));
        [y[0], s.add(even_a, odd_a), s.sub(even_a, odd_a), s.add(even_b, odd_b), s.sub(even_b, odd_b), y[3]]
    }
}

impl Map for Weight {
    #[inline(always)]
    fn extents(m: usize) -> (usize, usize) {
        (3, m + 2)
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize>(s: S, g: [S::V; POINTS]) -> [S::V; POINTS] {
        let z = s.zero();
        if M == 2 {
            let half = c(s, 0.5);
            let (even, odd) = (s.mul(half, s.add(g[0], g[2])), s.mul(half, g[1]));
            return [g[0], s.add(even, odd), s.sub(even, odd), g[2], z, z];
        }
        let even_a = s.fma(c(s, A2 / NODE_A), g[2], s.mul(c(s, 1.0 / NODE_A), g[0]));
        let even_b = s.fma(c(s, B2 / NODE_B), g[2], s.mul(c(s, 1.0 / NODE_B), g[0]));
        let (odd_a, odd_b) = (s.mul(c(s, A / NODE_A), g[1]), s.mul(c(s, B / NODE_B), g[1]));
        [
            s.mul(c(s, 1.0 / NODE_0), g[0]),
            s.add(even_a, odd_a),
            s.sub(even_a, odd_a),
            s.add(even_b, odd_b),
            s.sub(even_b, odd_b),
            g[2],
        ]
    }
}

impl Map for WeightGradient {
    #[inline(always)]
    fn extents(m: usize) -> (usize, usize) {
        (m + 2, 3)
    }
    #[inline(always)]
    fn apply<S: Simd<E>, E: Element, const M: usize>(s: S, u: [S::V; POINTS]) -> [S::V; POINTS] {
        let z = s.zero();
        let (even_a, odd_a) = (s.add(u[1], u[2]), s.sub(u[1], u[2]));
        if M == 2 {
            let half = c(s, 0.5);
            return [s.fma(half, even_a, u[0]), s.mul(half, odd_a), s.fma(half, even_a, u[3]), z, z, z];
        }
        let (even_b, odd_b) = (s.add(u[3], u[4]), s.sub(u[3], u[4]));
        let g0 = s.fma(c(s, 1.0 / NODE_A), even_a, s.mul(c(s, 1.0 / NODE_B), even_b));
        let g2 = s.fma(c(s, A2 / NODE_A), even_a, s.fma(c(s, B2 / NODE_B), even_b, u[5]));
        [
            s.fma(c(s, 1.0 / NODE_0), u[0], g0),
            s.fma(c(s, A / NODE_A), odd_a, s.mul(c(s, B / NODE_B), odd_b)),
            g2,
            z,
            z,
            z,
        ]
    }
}
