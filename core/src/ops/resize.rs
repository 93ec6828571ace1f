//! Resizing of images [N, H, W, C]: bilinear and nearest, both separable maps.
//!
//! Along an axis of n inputs and o outputs, bilinear samples output i at the source coordinate s = max((i +
//! ½) n / o - ½, 0) between its two neighbours (half-pixel centres, `align_corners=False`; both are read,
//! though the weight of one be 0, so that NaN and infinities spread as in PyTorch: an axis that keeps its
//! size is copied); nearest takes input ⌊i n / o⌋, with the quotient n / o rounded to f32 as PyTorch does:
//! for one pair of sizes in a hundred, such as 2 to 82, that is one input below the exact one.

use super::taps::Taps;
use crate::tape::{Tape, Var};
use crate::{element::Element, tensor::Tensor};

#[track_caller]
fn bilinear<E: Element>(n: usize, o: usize) -> Taps<E> {
    Taps::new("resize_bilinear", n, o, |i| {
        let s = ((i as f64 + 0.5) * (n as f64 / o as f64) - 0.5).max(0.0);
        let low = (s as usize).min(n - 1);
        let pair = [(low, 1.0 - (s - low as f64)), (low + 1, s - low as f64)];
        let alone = n == o || low + 1 == n;
        if alone { vec![(low, E::ONE)] } else { pair.map(|(i, w)| (i, E::from_f64(w))).to_vec() }
    })
}

#[track_caller]
fn nearest<E: Element>(n: usize, o: usize) -> Taps<E> {
    let ratio = n as f32 / o as f32;
    Taps::new("resize_nearest", n, o, |i| [(((i as f32 * ratio) as usize).min(n - 1), E::ONE)])
}

/// The size of an image scaled by a factor: ⌊n · factor⌋ on each axis, the ratio used then being that of the
/// sizes (PyTorch's `recompute_scale_factor`).
pub fn scaled_size(size: [usize; 2], factor: f64) -> [usize; 2] {
    size.map(|n| (n as f64 * factor).floor() as usize)
}

impl<E: Element> Tape<E> {
    /// Bilinear interpolation to [height, width]: [N, H, W, C] to [N, height, width, C]. It does not smooth
    /// before it shrinks. Source: `torch.nn.functional.interpolate`.
    #[track_caller]
    pub fn resize_bilinear(&mut self, x: Var<E>, size: [usize; 2]) -> Var<E> {
        let ([h, w], y) = result("resize_bilinear", &x, size);
        self.separable("resize_bilinear", x, y, bilinear(h, size[0]), bilinear(w, size[1]))
    }

    /// The nearest input for each output: [N, H, W, C] to [N, height, width, C]. Source:
    /// `torch.nn.functional.interpolate`.
    #[track_caller]
    pub fn resize_nearest(&mut self, x: Var<E>, size: [usize; 2]) -> Var<E> {
        let ([h, w], y) = result("resize_nearest", &x, size);
        self.separable("resize_nearest", x, y, nearest(h, size[0]), nearest(w, size[1]))
    }
}

/// The images' size, and room for the result.
#[track_caller]
fn result<E: Element>(op: &str, x: &Var<E>, size: [usize; 2]) -> ([usize; 2], Tensor<E>) {
    let [n, h, w, c] = x.value.dims(op);
    assert!(h > 0 && w > 0 && size[0] > 0 && size[1] > 0, "{op}: {:?} to {size:?}", x.shape());
    ([h, w], Tensor::result(op, &[n, size[0], size[1], c]))
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// As PyTorch 2.15: a neighbour of weight 0 is read.
    #[test]
    fn not_a_number_spreads_to_what_reads_it() {
        let x = Tensor::<f64>::from_fn([1, 3, 3, 1], |i| if i == 4 { f64::NAN } else { 0.0 });
        for (size, rows, columns) in [([6, 6], 0..5, 0..5), ([3, 6], 1..2, 0..5), ([3, 3], 1..2, 1..2)] {
            let y = Tape::infer().resize_bilinear(x.clone().into(), size).value;
            for (i, v) in y.data().iter().enumerate() {
                let (p, q) = (i / size[1], i % size[1]);
                assert_eq!(v.is_nan(), rows.contains(&p) && columns.contains(&q), "{size:?} {p} {q}");
            }
        }
    }

    #[test]
    fn the_same_size_is_the_identity() {
        let x = Tensor::<f32>::from_fn([1, 5, 7, 3], |i| i as f32);
        assert_eq!(Tape::infer().resize_bilinear(x.clone().into(), [5, 7]).value, x);
        assert_eq!(Tape::infer().resize_nearest(x.clone().into(), [5, 7]).value, x);
        assert_eq!(scaled_size([9, 12], 1.37), [12, 16]);
    }
}
