//! An affine map and an activation of each channel, forward and backward.

use super::blocks::{block_rows, blocks};
use crate::epilogue::{Activation, bound, is_between};
use crate::ops::reduce::{Sum, fold};
use crate::parallel::{self, GRAIN, Shared};
use crate::simd::{Kernel, Simd};
use crate::{element::Element, tensor::Tensor};

/// The map of each channel, z = (x - mean) · scale + shift, y = act(z): `[C]` each.
#[derive(Clone)]
pub(super) struct Channels<E: Element> {
    pub mean: Tensor<E>,
    pub scale: Tensor<E>,
    pub shift: Tensor<E>,
    activation: Activation,
}

impl<E: Element> Channels<E> {
    pub fn new(mean: Tensor<E>, scale: Tensor<E>, shift: Tensor<E>, activation: Activation) -> Self {
        Channels { mean, scale, shift, activation }
    }

    fn len(&self) -> usize {
        self.mean.len()
    }

    /// Mean, scale and shift of c channels; the activation's bounds.
    #[inline(always)]
    fn maps(&self, c: usize) -> ([&[E]; 3], [E; 2]) {
        ([&self.mean, &self.scale, &self.shift].map(|t| &t.data()[..c]), self.activation.bounds())
    }

    /// y, in place where nobody else owns x.
    pub fn forward(&self, mut x: Tensor<E>) -> Tensor<E> {
        let c = self.len();
        let piece = (GRAIN / c.max(1)).max(1) * c;
        if x.is_unique() {
            parallel::chunks(x.data_mut(), piece, |_, y| {
                E::dispatch(ChannelsForward { at: self, x: None, y })
            });
            return x;
        }
        let mut y = Tensor::stale(*x.shape());
        parallel::chunks(y.data_mut(), piece, |i, y| {
            let x = Some(&x.data()[i * piece..][..y.len()]);
            E::dispatch(ChannelsForward { at: self, x, y });
        });
        y
    }

    /// Σ g' and Σ g' (x - mean) of each channel, `[C]` each.
    pub fn sums(&self, x: &Tensor<E>, g: &Tensor<E>) -> [Tensor<E>; 2] {
        let c = self.len();
        let rows = x.len() / c.max(1);
        let n = rows.div_ceil(block_rows(c));
        let mut partial = Tensor::<E>::stale([n, 2 * c]);
        let out = Shared::new(partial.data_mut());
        blocks(rows, c, |b, range| {
            // SAFETY: block b's part is this call's alone.
            let (sum, dot) = unsafe { out.slice(b * 2 * c..(b + 1) * 2 * c) }.split_at_mut(c);
            E::dispatch(BlockSums { at: self, x: &x.data()[range.clone()], g: &g.data()[range], sum, dot });
        });
        let mut total = Tensor::stale([2 * c]);
        fold(partial.data(), total.data_mut(), [1, n, 2 * c], Sum);
        let (sum, dot) = total.data().split_at(c);
        [Tensor::from_slice([c], sum), Tensor::from_slice([c], dot)]
    }

    /// scale · (g' - a - (x - mean) · b) in place of g, with a and b for each channel: what passes through
    /// the batch's statistics; none for statistics that are given.
    pub fn backward(&self, x: &Tensor<E>, g: &mut Tensor<E>, through: Option<[&[E]; 2]>) {
        let c = self.len();
        let piece = (GRAIN / c.max(1)).max(1) * c;
        parallel::chunks(g.data_mut(), piece, |i, d| {
            E::dispatch(ChannelsBackward { at: self, x: &x.data()[i * piece..][..d.len()], d, through });
        });
    }
}

struct ChannelsForward<'a, E: Element> {
    at: &'a Channels<E>,
    /// None: y holds x.
    x: Option<&'a [E]>,
    y: &'a mut [E],
}

impl<E: Element> Kernel<E> for ChannelsForward<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let c = self.at.len();
        let ([mean, scale, shift], bounds) = self.at.maps(c);
        match self.x {
            None => {
                for y in self.y.chunks_exact_mut(c) {
                    for k in 0..c {
                        y[k] = bound((y[k] - mean[k]) * scale[k] + shift[k], bounds);
                    }
                }
            }
            Some(x) => {
                for (y, x) in self.y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    for k in 0..c {
                        y[k] = bound((x[k] - mean[k]) * scale[k] + shift[k], bounds);
                    }
                }
            }
        }
    }
}

struct BlockSums<'a, E: Element> {
    at: &'a Channels<E>,
    x: &'a [E],
    g: &'a [E],
    sum: &'a mut [E],
    dot: &'a mut [E],
}

impl<E: Element> Kernel<E> for BlockSums<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let c = self.at.len();
        let ([mean, scale, shift], bounds) = self.at.maps(c);
        let (sum, dot) = (&mut self.sum[..c], &mut self.dot[..c]);
        sum.fill(E::ZERO);
        dot.fill(E::ZERO);
        for (x, g) in self.x.chunks_exact(c).zip(self.g.chunks_exact(c)) {
            for k in 0..c {
                let d = x[k] - mean[k];
                let z = d * scale[k] + shift[k];
                let g = if is_between(z, bounds) { g[k] } else { E::ZERO };
                sum[k] += g;
                dot[k] += g * d;
            }
        }
    }
}

struct ChannelsBackward<'a, E: Element> {
    at: &'a Channels<E>,
    x: &'a [E],
    /// Holds g.
    d: &'a mut [E],
    through: Option<[&'a [E]; 2]>,
}

impl<E: Element> Kernel<E> for ChannelsBackward<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let c = self.at.len();
        let ([mean, scale, shift], bounds) = self.at.maps(c);
        let rows = self.x.chunks_exact(c).zip(self.d.chunks_exact_mut(c));
        let Some([a, b]) = self.through.map(|v| v.map(|v| &v[..c])) else {
            for (x, g) in rows {
                for k in 0..c {
                    let z = (x[k] - mean[k]) * scale[k] + shift[k];
                    g[k] = if is_between(z, bounds) { scale[k] * g[k] } else { E::ZERO };
                }
            }
            return;
        };
        for (x, g) in rows {
            for k in 0..c {
                let d = x[k] - mean[k];
                let z = d * scale[k] + shift[k];
                let passed = if is_between(z, bounds) { g[k] } else { E::ZERO };
                g[k] = scale[k] * (passed - a[k] - d * b[k]);
            }
        }
    }
}
