//! Random numbers: a counter-based generator with named streams.
//!
//! The k-th number of a stream is mix(key + k·γ), the output function of SplitMix64 (Steele, Lea, Flood,
//! *Fast splittable pseudorandom number generators*, 2014) at a counter. A stream is a key; `stream` and `at`
//! derive further keys by hashing a name or an index into it. Because nothing but (key, counter) is state,
//! the augmentation of image 17 in epoch 3 is `rng.stream("augment").at(3).at(17)`, whichever thread computes
//! it, and a saved generator is two integers.

use crate::element::Element;
use crate::elementary::double;
use crate::simd::{Kernel, Simd};

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of random numbers: a key and a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    key: u64,
    counter: u64,
}

impl Rng {
    /// The root stream of a seed.
    pub fn seed(seed: u64) -> Self {
        Rng { key: mix(seed ^ 0x6772_6164_7573_0001), counter: 0 }
    }

    /// The sub-stream of that name; it does not depend on how many numbers were drawn from `self`.
    pub fn stream(&self, name: &str) -> Self {
        let fnv = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        Rng { key: mix(self.key ^ mix(fnv.wrapping_add(GAMMA))), counter: 0 }
    }

    /// The sub-stream of that index; it does not depend on how many numbers were drawn from `self`.
    pub fn at(&self, index: u64) -> Self {
        Rng { key: mix(self.key.wrapping_add(mix(index.wrapping_mul(GAMMA) ^ GAMMA))), counter: 0 }
    }

    /// A new independent stream, drawn from this one.
    pub fn split(&mut self) -> Self {
        Rng { key: mix(self.u64()), counter: 0 }
    }

    /// (key, counter): all there is to save.
    pub fn state(&self) -> [u64; 2] {
        [self.key, self.counter]
    }

    /// The generator saved by [`Rng::state`].
    pub fn from_state([key, counter]: [u64; 2]) -> Self {
        Rng { key, counter }
    }

    /// The k-th number from here, without advancing: lets threads fill one buffer together.
    #[inline]
    pub fn peek(&self, k: u64) -> u64 {
        mix(self.key.wrapping_add(self.counter.wrapping_add(k).wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// Moves on by n numbers.
    pub fn skip(&mut self, n: u64) {
        self.counter = self.counter.wrapping_add(n);
    }

    /// 64 uniform bits.
    pub fn u64(&mut self) -> u64 {
        let x = self.peek(0);
        self.skip(1);
        x
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    pub fn f32(&mut self) -> f32 {
        (self.u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn f64(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [lo, hi).
    pub fn range(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * self.f64()
    }

    /// Uniform in 0..n (bias below 2^-32 for n < 2^32). Panics when n is 0.
    #[track_caller]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "Rng::below(0)");
        ((u128::from(self.u64()) * n as u128) >> 64) as usize
    }

    /// True with probability p.
    pub fn chance(&mut self, p: f64) -> bool {
        self.f64() < p
    }

    /// Standard normal, by Box and Muller's transform; two numbers are drawn for each.
    pub fn normal(&mut self) -> f64 {
        let u = self.pair();
        box_muller(u[0], u[1])
    }

    /// Numbers in (0, 1] and in [0, 2π).
    fn pair(&mut self) -> [f64; 2] {
        [1.0 - self.f64(), std::f64::consts::TAU * self.f64()]
    }

    /// As many standard normal numbers: what [`Rng::normal`] gives one by one, on vectors.
    pub fn normals(&mut self, out: &mut [f64]) {
        f64::dispatch(Normals { rng: self, out });
    }

    /// Fisher and Yates' shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A random permutation of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..n).collect();
        self.shuffle(&mut p);
        p
    }
}

/// √(-2 ln u) cos v
#[inline(always)]
fn box_muller(u: f64, v: f64) -> f64 {
    (-2.0 * double::ln(u)).sqrt() * double::cos_of_small(v)
}

/// The numbers that [`Rng::normals`] gives.
struct Normals<'a> {
    rng: &'a mut Rng,
    out: &'a mut [f64],
}

impl Kernel<f64> for Normals<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<f64>>(self, _: S) {
        let Normals { rng, out } = self;
        for chunk in out.chunks_mut(LANES) {
            let mut u = [[0.0; LANES]; 2];
            for k in 0..chunk.len() {
                [u[0][k], u[1][k]] = rng.pair();
            }
            // All lanes, whatever the chunk's length: a loop over fewer would run one by one.
            let mut z = [0.0; LANES];
            for k in 0..LANES {
                z[k] = box_muller(u[0][k], u[1][k]);
            }
            chunk.copy_from_slice(&z[..chunk.len()]);
        }
    }
}

/// Normal numbers that are made together.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_of_position_and_of_each_other() {
        let mut a = Rng::seed(7);
        let before = a.stream("x").u64();
        a.u64();
        assert_eq!(a.stream("x").u64(), before);
        assert_ne!(a.stream("x").u64(), a.stream("y").u64());
        assert_ne!(a.at(0).u64(), a.at(1).u64());
        assert_ne!(Rng::seed(7).u64(), Rng::seed(8).u64());
    }

    #[test]
    fn state_resumes() {
        let mut a = Rng::seed(1);
        a.normal();
        let mut b = Rng::from_state(a.state());
        assert_eq!(a.u64(), b.u64());
    }

    #[test]
    fn moments() {
        let mut r = Rng::seed(3);
        let n = 100_000;
        // Standard errors: mean 1/sqrt(n) = 0.0032, variance sqrt(2/n) = 0.0045; six of each.
        let x: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let mean = x.iter().sum::<f64>() / n as f64;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.019 && (var - 1.0).abs() < 0.027, "{mean} {var}");
        let u = (0..n).map(|_| r.f64()).sum::<f64>() / n as f64;
        assert!((u - 0.5).abs() < 6.0 * (1.0 / 12.0 / n as f64).sqrt());
    }

    #[test]
    fn permutation_is_one() {
        let mut p = Rng::seed(5).permutation(1000);
        assert_ne!(p[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        p.sort_unstable();
        assert!(p.iter().enumerate().all(|(i, &v)| i == v));
    }
}
