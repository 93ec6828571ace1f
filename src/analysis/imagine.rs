//! An input that a network takes for a class.
//!
//! The notebook draws noise, x ~ N(0, 1) for each normalised value, and keeps what the network names the
//! class with the greatest probability: a search that knows nothing of the network. Gradient ascent asks it:
//! from faint noise, Adam climbs ln p(class | x), and after each step every pixel is brought back to what a
//! picture can hold, 0 to 1 before normalisation (projected ascent).

use crate::data::Normalise;
use crate::image::{Image, caption_grid};
use gradus_core::optim::{Adam, Rule, State};
use gradus_core::{Rng, Tape, Tensor};
use gradus_models::AlexNet;

/// Noise images judged at a time.
const BATCH: usize = 64;
/// Adam's rate, in standard deviations of the training images.
const LR: f64 = 0.02;
/// The noise that ascent begins with, in standard deviations.
const FAINT: f64 = 0.1;

/// A normalised input [1, side, side, 3], and the probability of the class asked for.
#[derive(Clone, Debug)]
pub struct Imagined {
    /// The input.
    pub input: Tensor,
    /// What the network gives it.
    pub probability: f64,
}

/// For each class the best of `count` inputs of noise, the same ones for all.
pub fn search(net: &AlexNet, classes: &[usize], count: usize, rng: &Rng) -> Vec<Imagined> {
    let side = net.size().image_side();
    let blank = Imagined { input: Tensor::zeros([1, side, side, 3]), probability: -1.0 };
    let mut best = vec![blank; classes.len()];
    for first in (0..count).step_by(BATCH) {
        let n = BATCH.min(count - first);
        let mut own = rng.stream("search").at(first as u64);
        let x = Tensor::from_fn([n, side, side, 3], |_| own.normal() as f32);
        let p = probabilities(net, &x);
        for (best, &class) in best.iter_mut().zip(classes) {
            for i in 0..n {
                let probability = f64::from(p.data()[i * net.classes() + class]);
                if probability > best.probability {
                    *best = Imagined { input: image(&x, i), probability };
                }
            }
        }
    }
    best
}

/// Where `steps` steps of projected gradient ascent lead, for each class from a start of its own. The classes
/// climb together, one image each: their gradients do not mix, and Adam does not mind that the mean loss
/// scales them.
pub fn ascend(
    net: &AlexNet,
    classes: &[usize],
    steps: usize,
    normalise: &Normalise,
    rng: &Rng,
) -> Vec<Imagined> {
    let side = net.size().image_side();
    let mut own = rng.stream("ascend");
    let mut x = Tensor::from_fn([classes.len(), side, side, 3], |_| (FAINT * own.normal()) as f32);
    let (rule, mut state) = (Rule::from(Adam::new(LR)), State::default());
    let bounds: [[f32; 2]; 3] = std::array::from_fn(|c| [normalise.apply(0, c), normalise.apply(u8::MAX, c)]);
    for _ in 0..steps {
        let mut g = Tape::eval();
        let input = g.input(x.clone());
        let logits = net.forward(&mut g, input.clone());
        let loss = g.cross_entropy(logits, classes);
        let gradients = g.backward(&loss);
        let gradient = gradients.of(&input).expect("the loss depends on the input");
        rule.step(x.data_mut(), gradient.data(), &mut state);
        x.data_mut()
            .iter_mut()
            .enumerate()
            .for_each(|(i, v)| *v = v.clamp(bounds[i % 3][0], bounds[i % 3][1]));
    }
    let p = probabilities(net, &x);
    let reached = |(i, &class): (usize, &usize)| Imagined {
        input: image(&x, i),
        probability: f64::from(p.data()[i * net.classes() + class]),
    };
    classes.iter().enumerate().map(reached).collect()
}

/// Image i of several.
fn image(x: &Tensor, i: usize) -> Tensor {
    let [_, h, w, c] = x.dims("image");
    Tensor::from_slice([1, h, w, c], &x.data()[i * h * w * c..(i + 1) * h * w * c])
}

fn probabilities(net: &AlexNet, x: &Tensor) -> Tensor {
    let mut g = Tape::infer();
    let logits = net.forward(&mut g, x.clone().into());
    g.softmax(logits, -1).value
}

/// Both ways side by side for each of these classes, with the probabilities reached; and how many inputs of
/// each way the network takes for their class rather than for anything else.
pub fn imagine(
    net: &AlexNet,
    named: &[(usize, &str)],
    (searched, steps): (usize, usize),
    normalise: &Normalise,
    rng: &Rng,
) -> (Image, [usize; 2]) {
    let side = net.size().image_side();
    let classes: Vec<usize> = named.iter().map(|n| n.0).collect();
    let found = search(net, &classes, searched, rng);
    let climbed = ascend(net, &classes, steps, normalise, rng);
    let mut items = Vec::new();
    for ((&(_, name), found), climbed) in named.iter().zip(&found).zip(&climbed) {
        for (way, one) in [("noise", found), ("ascent", climbed)] {
            let picture = normalise.picture(side, side, &stretched(one.input.data()));
            items.push((picture, format!("{name}\n{way}: {}", probability(one.probability))));
        }
    }
    let taken = [&found, &climbed].map(|all| all.iter().filter(|one| one.probability > 0.5).count());
    (caption_grid("", &items, 4, 128), taken)
}

/// A normalised input about its mean, with the deviation of 1 that training images have, where it has less: what ascent
/// finds is too faint to be seen otherwise.
fn stretched(values: &[f32]) -> Vec<f32> {
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n).sqrt();
    let times = if deviation > 0.0 { (1.0 / deviation).max(1.0) } else { 1.0 };
    values.iter().map(|v| (v - mean) * times).collect()
}

/// Three decimals, but for what they would call 0 or 1.
fn probability(p: f64) -> String {
    match p {
        _ if p < 0.0005 => "p < 0.001".into(),
        _ if p >= 0.9995 => "p > 0.999".into(),
        _ => format!("p = {p:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faint_inputs_are_stretched_and_others_are_not() {
        assert_eq!(stretched(&[0.25, 0.75]), [-1.0, 1.0]);
        assert_eq!(stretched(&[-3.0, 3.0]), [-3.0, 3.0]);
        assert_eq!(stretched(&[0.5; 3]), [0.0; 3]);
    }

    #[test]
    fn no_probability_is_called_none_or_certain() {
        let said = [0.0, 4.9e-4, 5e-4, 0.5, 0.9994, 0.9996, 1.0].map(probability);
        let right =
            ["p < 0.001", "p < 0.001", "p = 0.001", "p = 0.500", "p = 0.999", "p > 0.999", "p > 0.999"];
        assert_eq!(said, right);
    }

    #[test]
    fn ascent_climbs_where_the_search_stays_and_pixels_stay_pixels() {
        let net = AlexNet::cifar(10, &mut Rng::seed(4));
        let (rng, n) = (Rng::seed(1), Normalise::CIFAR10);
        let (start, found) = (ascend(&net, &[3, 5], 0, &n, &rng), ascend(&net, &[3, 5], 30, &n, &rng));
        let searched = search(&net, &[3, 5], 64, &rng);
        for ((start, found), searched) in start.iter().zip(&found).zip(&searched) {
            let p = found.probability;
            assert!(p > 0.9 && p > searched.probability && start.probability < 0.5, "{p}");
            for (i, v) in found.input.data().iter().enumerate() {
                assert!((n.apply(0, i % 3)..=n.apply(255, i % 3)).contains(v));
            }
        }
        // More noise never finds less.
        assert!(search(&net, &[3], 128, &rng)[0].probability >= searched[0].probability);
    }
}
