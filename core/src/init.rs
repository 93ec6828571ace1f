//! Initial values of weights.
//!
//! A weight has its outputs in the last axis (HWIO, or [in, out]); fan_in = kh·kw·in is the number of terms
//! in an output, fan_out = kh·kw·out the number of outputs a channel takes part in.
//!
//! * Kaiming (He et al., ICCV 2015) keeps the variance of ReLU networks from layer to layer: σ = gain / √fan.
//! * Xavier (Glorot and Bengio, AISTATS 2010) compromises between both passes: σ = gain √(2 / (fan_in +
//!   fan_out)).
//!
//! The uniform forms have the same σ: they reach to ±√3 σ. Values are drawn in f64 and rounded, in chunks
//! that have a stream each, so that both precisions and any number of threads agree.

use crate::{element::Element, parallel, random::Rng, shape::Shape, tensor::Tensor};

/// √2: the gain of a layer followed by a ReLU.
pub const RELU: f64 = std::f64::consts::SQRT_2;

/// Which number of connections Kaiming's initialisation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Terms of an output: preserves the variance going forward.
    In,
    /// Outputs of a channel: preserves it going back.
    Out,
}

/// (fan_in, fan_out) of a weight laid out [.., in, out]. Panics with fewer than two axes.
#[track_caller]
pub fn fans(shape: &Shape) -> (usize, usize) {
    let [window @ .., input, output] = &shape[..] else { panic!("init: {shape:?} is no weight's shape") };
    let window: usize = window.iter().product();
    (window * input, window * output)
}

/// Normal values of mean 0 and standard deviation gain / √fan.
#[track_caller]
pub fn kaiming_normal<E: Element>(shape: impl Into<Shape>, fan: Fan, gain: f64, rng: &mut Rng) -> Tensor<E> {
    let shape = shape.into();
    normal(shape, 0.0, kaiming(&shape, fan, gain), rng)
}

/// Uniform values of mean 0 and standard deviation gain / √fan.
#[track_caller]
pub fn kaiming_uniform<E: Element>(shape: impl Into<Shape>, fan: Fan, gain: f64, rng: &mut Rng) -> Tensor<E> {
    let shape = shape.into();
    let bound = 3f64.sqrt() * kaiming(&shape, fan, gain);
    uniform(shape, -bound, bound, rng)
}

/// Normal values of mean 0 and standard deviation gain √(2 / (fan_in + fan_out)).
#[track_caller]
pub fn xavier_normal<E: Element>(shape: impl Into<Shape>, gain: f64, rng: &mut Rng) -> Tensor<E> {
    let shape = shape.into();
    normal(shape, 0.0, xavier(&shape, gain), rng)
}

/// Uniform values of mean 0 and standard deviation gain √(2 / (fan_in + fan_out)).
#[track_caller]
pub fn xavier_uniform<E: Element>(shape: impl Into<Shape>, gain: f64, rng: &mut Rng) -> Tensor<E> {
    let shape = shape.into();
    let bound = 3f64.sqrt() * xavier(&shape, gain);
    uniform(shape, -bound, bound, rng)
}

/// Normal values.
#[track_caller]
pub fn normal<E: Element>(shape: impl Into<Shape>, mean: f64, std: f64, rng: &mut Rng) -> Tensor<E> {
    draw(shape.into(), rng, |r, z| {
        r.normals(z);
        z.iter_mut().for_each(|z| *z = mean + std * *z);
    })
}

/// Uniform values in [lo, hi).
#[track_caller]
pub fn uniform<E: Element>(shape: impl Into<Shape>, lo: f64, hi: f64, rng: &mut Rng) -> Tensor<E> {
    draw(shape.into(), rng, |r, u| u.iter_mut().for_each(|u| *u = r.range(lo, hi)))
}

/// One value everywhere.
#[track_caller]
pub fn constant<E: Element>(shape: impl Into<Shape>, value: f64) -> Tensor<E> {
    Tensor::full(shape, E::from_f64(value))
}

#[track_caller]
fn kaiming(shape: &Shape, fan: Fan, gain: f64) -> f64 {
    let (input, output) = fans(shape);
    let fan = if fan == Fan::In { input } else { output };
    gain / (fan.max(1) as f64).sqrt()
}

#[track_caller]
fn xavier(shape: &Shape, gain: f64) -> f64 {
    let (input, output) = fans(shape);
    gain * (2.0 / (input + output).max(1) as f64).sqrt()
}

fn draw<E: Element>(
    shape: Shape,
    rng: &mut Rng,
    f: impl Fn(&mut Rng, &mut [f64]) + Send + Sync,
) -> Tensor<E> {
    let rng = rng.split();
    let mut t = Tensor::stale(shape);
    parallel::chunks(t.data_mut(), parallel::GRAIN, |i, chunk| {
        let mut rng = rng.at(i as u64);
        let mut some = [0.0; 256];
        for values in chunk.chunks_mut(some.len()) {
            let some = &mut some[..values.len()];
            f(&mut rng, some);
            values.iter_mut().zip(some).for_each(|(v, x)| *v = E::from_f64(*x));
        }
    });
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (mean, standard deviation, greatest magnitude)
    fn moments(t: &Tensor<f64>) -> (f64, f64, f64) {
        let n = t.len() as f64;
        let mean = t.data().iter().sum::<f64>() / n;
        let var = t.data().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean, var.sqrt(), t.data().iter().fold(0.0, |m, v| v.abs().max(m)))
    }

    #[test]
    fn fans_count_connections() {
        assert_eq!(fans(&Shape::new(&[3, 5, 16, 32])), (240, 480));
        assert_eq!(fans(&Shape::new(&[16, 32])), (16, 32));
    }

    #[test]
    fn the_deviation_is_the_formulas() {
        let shape = [3, 3, 64, 128];
        let rng = &mut Rng::seed(1);
        let (input, output) = (576.0f64, 1152.0f64);
        let cases = [
            (kaiming_normal(shape, Fan::In, RELU, rng), (2.0 / input).sqrt(), f64::INFINITY),
            (kaiming_normal(shape, Fan::Out, 1.0, rng), (1.0 / output).sqrt(), f64::INFINITY),
            // Bound of PyTorch's default for a = √5: 1/√fan_in.
            (
                kaiming_uniform(shape, Fan::In, (1.0f64 / 3.0).sqrt(), rng),
                (1.0 / input / 3.0).sqrt(),
                1.0 / input.sqrt(),
            ),
            (xavier_normal(shape, 1.5, rng), 1.5 * (2.0 / (input + output)).sqrt(), f64::INFINITY),
            (
                xavier_uniform(shape, 1.0, rng),
                (2.0 / (input + output)).sqrt(),
                (6.0 / (input + output)).sqrt(),
            ),
            (uniform(shape, -1.0, 1.0, rng), (1.0f64 / 3.0).sqrt(), 1.0),
        ];
        for (t, std, bound) in cases {
            let (mean, got, largest) = moments(&t);
            // Standard errors: σ/√n of the mean, below σ/√(2n) of σ; six of each.
            let n = t.len() as f64;
            assert!(mean.abs() < 6.0 * std / n.sqrt(), "{mean}");
            assert!((got - std).abs() < 6.0 * std / (2.0 * n).sqrt(), "{got} {std}");
            assert!(largest <= bound && (bound.is_infinite() || largest > 0.99 * bound));
        }
        assert_eq!(constant::<f32>([2], 0.5).data(), [0.5, 0.5]);
    }

    #[test]
    fn both_precisions_draw_the_same_and_every_draw_is_new() {
        let a: Tensor<f64> = normal([40_000], 1.0, 2.0, &mut Rng::seed(3));
        let b: Tensor<f32> = normal([40_000], 1.0, 2.0, &mut Rng::seed(3));
        assert!(a.cast::<f32>() == b);
        let rng = &mut Rng::seed(3);
        assert!(normal::<f32>([9], 0.0, 1.0, rng) != normal::<f32>([9], 0.0, 1.0, rng));
    }
}
