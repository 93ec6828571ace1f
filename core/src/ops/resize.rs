//! Resizing of images [N, H, W, C]: bilinear and nearest, both separable maps.
//!
//! Along an axis of n inputs and o outputs, bilinear samples output i at the source coordinate s = max((i + ½) n / o - ½, 0) between
//! its two neighbours (half-pixel centres, `align_corners=False`); nearest takes input ⌊i n / o⌋, with the quotient n / o rounded to f32
//! as PyTorch does: for one pair of sizes in a hundred, such as 2 to 82, that is one input below the exact one.

use super::separable::Taps;
use crate::{Element, Tape, Var};

fn bilinear<E: Element>(n: usize, o: usize) -> Taps<E> {
    Taps::new(n, o, |i| {
        let s = ((i as f64 + 0.5) * (n as f64 / o as f64) - 0.5).max(0.0);
        let low = (s as usize).min(n - 1);
        let high = (low + 1).min(n - 1);
        let t = if high == low { 0.0 } else { s - low as f64 };
        [(low, 1.0 - t), (high, t)].into_iter().filter(|&(_, w)| w != 0.0)
    })
}

fn nearest<E: Element>(n: usize, o: usize) -> Taps<E> {
    let ratio = n as f32 / o as f32;
    Taps::new(n, o, |i| [(((i as f32 * ratio) as usize).min(n - 1), 1.0)])
}

/// The size of an image scaled by a factor: ⌊n · factor⌋ on each axis, the ratio used then being that of the sizes
/// (PyTorch's `recompute_scale_factor`).
pub fn scaled_size(size: [usize; 2], factor: f64) -> [usize; 2] {
    size.map(|n| (n as f64 * factor).floor() as usize)
}

impl<E: Element> Tape<E> {
    /// Bilinear interpolation to [height, width]: [N, H, W, C] to [N, height, width, C]. It does not smooth before it shrinks.
    /// Source: `torch.nn.functional.interpolate`.
    #[track_caller]
    pub fn resize_bilinear(&mut self, x: Var<E>, size: [usize; 2]) -> Var<E> {
        let [h, w] = check("resize_bilinear", &x, size);
        self.separable("resize_bilinear", x, bilinear(h, size[0]), bilinear(w, size[1]))
    }

    /// The nearest input for each output: [N, H, W, C] to [N, height, width, C]. Source: `torch.nn.functional.interpolate`.
    #[track_caller]
    pub fn resize_nearest(&mut self, x: Var<E>, size: [usize; 2]) -> Var<E> {
        let [h, w] = check("resize_nearest", &x, size);
        self.separable("resize_nearest", x, nearest(h, size[0]), nearest(w, size[1]))
    }
}

#[track_caller]
fn check<E: Element>(op: &str, x: &Var<E>, size: [usize; 2]) -> [usize; 2] {
    let [_, h, w, _] = x.value.dims(op);
    assert!(h > 0 && w > 0 && size[0] > 0 && size[1] > 0, "{op}: {:?} to {size:?}", x.shape());
    [h, w]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::ops::testing::gradients;

    #[test]
    fn doubling_a_row() {
        let x = Tensor::from_slice([1, 1, 3, 1], &[0.0, 4.0, 8.0]);
        let (y, [g]) = gradients([x.clone()], |t, [x]| t.resize_bilinear(x, [1, 6]));
        assert_eq!(y.data(), [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
        assert_eq!(g.data(), [2.0, 2.0, 2.0]);
        let (y, [g]) = gradients([x], |t, [x]| t.resize_nearest(x, [2, 4]));
        assert_eq!(y.data(), [0.0, 0.0, 4.0, 8.0, 0.0, 0.0, 4.0, 8.0]);
        assert_eq!(g.data(), [4.0, 2.0, 2.0]);
        // PyTorch 2.15: 41 · fl(2 / 82) < 1.
        let x = Tensor::from_slice([1, 1, 2, 1], &[0.0, 1.0]);
        assert_eq!(Tape::infer().resize_nearest(x.into(), [1, 82]).value.data()[40..43], [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_same_size_is_the_identity() {
        let x = Tensor::<f32>::from_fn([1, 5, 7, 3], |i| i as f32);
        assert_eq!(Tape::infer().resize_bilinear(x.clone().into(), [5, 7]).value, x);
        assert_eq!(Tape::infer().resize_nearest(x.clone().into(), [5, 7]).value, x);
        assert_eq!(scaled_size([9, 12], 1.37), [12, 16]);
    }
}
