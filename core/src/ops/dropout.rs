//! Dropout: y = x m / q with m = 1 with probability q, else 0 (Srivastava et al., *Dropout*, 2014, in its
//! inverted form).
//!
//! One draw of 64 bits serves four elements: element i looks at 16 bits of number ⌊i / 4⌋ of the stream, and
//! is dropped if they are below 2¹⁶ p rounded. So p is honoured to 2⁻¹⁷, and q is 1 minus the p that was
//! honoured: the expectation of y is x exactly. Any thread can compute any element's mask, and backward draws
//! the same numbers again: nothing is kept.

use super::activation::update;
use super::elementwise::{Map, maps};
use crate::parallel::{self, GRAIN};
use crate::simd::{Kernel, Simd};
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, random::Rng, tensor::Tensor};

/// Which elements are dropped: a stream at its place, and a threshold for 16 bits.
#[derive(Clone)]
struct Mask {
    rng: Rng,
    threshold: u32,
}

/// Elements that are worked on together: 16 draws, four vectors of the widest instruction set. Not measured.
const GROUP: usize = 64;

impl Mask {
    fn new(rng: &mut Rng, p: f64, len: usize) -> Self {
        let mask = Mask { rng: rng.clone(), threshold: (p * 65536.0).round() as u32 };
        rng.skip(len.div_ceil(4) as u64);
        mask
    }

    /// x m / q
    fn apply<E: Element>(&self, mut x: Tensor<E>) -> Tensor<E> {
        let kept = 1.0 - f64::from(self.threshold) / 65536.0;
        let scale = if kept > 0.0 { E::from_f64(1.0 / kept) } else { E::ZERO };
        parallel::chunks(x.data_mut(), GRAIN, |i, x| {
            E::dispatch(Drop { mask: self, scale, first: (i * GRAIN / 4) as u64, x });
        });
        x
    }
}

struct Drop<'a, E> {
    mask: &'a Mask,
    scale: E,
    first: u64,
    x: &'a mut [E],
}

impl<E: Element> Kernel<E> for Drop<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let mut draw = self.first;
        for group in self.x.chunks_mut(GROUP) {
            let mut bits = [0u16; GROUP];
            for (k, quad) in bits.chunks_exact_mut(4).enumerate() {
                let number = self.mask.rng.peek(draw + k as u64);
                for (j, b) in quad.iter_mut().enumerate() {
                    *b = (number >> (16 * j)) as u16;
                }
            }
            for (x, &b) in group.iter_mut().zip(&bits) {
                *x = if u32::from(b) < self.mask.threshold { E::ZERO } else { *x * self.scale };
            }
            draw += GROUP as u64 / 4;
        }
    }
}

maps! { |c: E, d, a, b|
    KeptTimes: if a == E::ZERO { E::ZERO } else { d * c };
}

impl<E: Element> Tape<E> {
    /// In training, each element is 0 with probability p and otherwise grows by 1 / (1 - p); else x itself.
    /// Any shape; p in [0, 1], in steps of 2⁻¹⁶. Draws one number for each four elements from the tape's
    /// stream.
    #[track_caller]
    pub fn dropout(&mut self, x: Var<E>, p: f64) -> Var<E> {
        let _span = profile::span("dropout", "forward");
        assert!((0.0..=1.0).contains(&p), "dropout: p = {p} is not in [0, 1]");
        if !self.is_training() || p == 0.0 {
            return x;
        }
        let Var { value, node } = x;
        let mask = Mask::new(self.rng(), p, value.len());
        let y = mask.apply(value);
        self.record("dropout", y, &[node], move |g, slots| slots.add(node, || mask.apply(g)))
    }

    /// x m / (1 - p) for a given mask m of x's elements.
    #[track_caller]
    pub fn dropout_with_mask(&mut self, x: Var<E>, mask: &[bool], p: f64) -> Var<E> {
        let _span = profile::span("dropout", "forward");
        assert_eq!(mask.len(), x.value.len(), "dropout: the mask's length for x of shape {:?}", x.shape());
        assert!((0.0..1.0).contains(&p), "dropout: p = {p} is not in [0, 1)");
        let Var { value, node } = x;
        let mask = Tensor::from_fn(*value.shape(), |i| if mask[i] { E::ONE } else { E::ZERO });
        let f = KeptTimes(E::from_f64(1.0 / (1.0 - p)));
        let y = update(value, Some(&mask), None, f);
        self.record("dropout", y, &[node], move |g, slots| {
            slots.add(node, || update(g, Some(&mask), None, f))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(len: usize, p: f64) -> (Tensor<f32>, Tensor<f32>, Rng) {
        let mut rng = Rng::seed(3);
        let mut t = Tape::train(&mut rng);
        let x = t.input(Tensor::full([len], 1.0));
        let y = t.dropout(x.clone(), p);
        let after = t.rng().clone();
        let value = y.value.clone();
        let seed = Tensor::full([len], 1.0);
        let g = t.backward_from([(y.node, seed)]);
        (value, g.of(&x).unwrap().clone(), after)
    }

    #[test]
    fn backward_sees_the_same_mask() {
        let (y, g, _) = dropped(100_003, 0.3);
        assert_eq!(y, g);
        // Binomial: six standard deviations of a share of 0.3 among 100,003.
        let share = y.data().iter().filter(|&&v| v == 0.0).count() as f64 / 100_003.0;
        assert!((share - 0.3).abs() < 6.0 * (0.21f64 / 100_003.0).sqrt(), "{share}");
    }

    #[test]
    fn lanes_of_a_draw_are_independent() {
        // Each of the four places of a draw drops at the same rate, and neighbours do not follow each other.
        let (y, ..) = dropped(400_000, 0.5);
        let d: Vec<f64> = y.data().iter().map(|&v| if v == 0.0 { 1.0 } else { -1.0 }).collect();
        for lane in 0..4 {
            let mean = d.iter().skip(lane).step_by(4).sum::<f64>() / 1e5;
            let echo = d.windows(2).skip(lane).step_by(4).map(|w| w[0] * w[1]).sum::<f64>() / 1e5;
            // Sums of 100,000 signs: six standard deviations.
            assert!(mean.abs() < 6.0 / 1e5f64.sqrt() && echo.abs() < 6.0 / 1e5f64.sqrt());
        }
    }

    #[test]
    fn numbers_drawn_are_a_quarter_of_the_elements() {
        let fresh = Tape::<f32>::train(&mut Rng::seed(3)).rng().state()[1];
        assert_eq!(dropped(101, 0.5).2.state()[1], fresh + 26);
    }

    /// Where a piece of the work begins, its draws begin.
    #[test]
    fn a_long_tensors_mask_is_that_of_its_parts() {
        let drop = |t: &mut Tape<f32>, len: usize| t.dropout(Tensor::full([len], 1.0).into(), 0.5).value;
        let parts = [GRAIN, 2 * GRAIN, 20];
        let mut whole = Tape::train(&mut Rng::seed(3));
        let mut apart = Tape::train(&mut Rng::seed(3));
        let y: Vec<f32> = parts.iter().flat_map(|&len| drop(&mut apart, len).data().to_vec()).collect();
        assert_eq!(drop(&mut whole, parts.iter().sum()).data(), y);
        assert_eq!(whole.rng().state(), apart.rng().state());
    }

    #[test]
    fn extremes() {
        assert_eq!(dropped(5, 0.0).0, Tensor::full([5], 1.0));
        assert_eq!(dropped(5, 1.0).0, Tensor::zeros([5]));
        let x = Tensor::<f32>::full([4], 3.0);
        let y = Tape::infer().dropout(x.clone().into(), 0.9).value;
        assert!(std::ptr::eq(y.data(), x.data()));
        let y = Tape::infer().dropout_with_mask(x.into(), &[true, false, true, true], 0.25).value;
        assert_eq!(y.data(), [4.0, 0.0, 4.0, 4.0]);
    }
}
