//! Why a classifier names the class that it names: where in the picture it looked.
//!
//! Two answers, which ask the network in different ways. *Grad-CAM* asks its gradient: with A_k the maps of
//! the last convolution and y the logit of a class, α_k = mean over places of ∂y/∂A_k says how much map k
//! speaks for the class, and ReLU(Σ_k α_k ReLU(A_k)) where it does so in the picture (Selvaraju et al.,
//! *Grad-CAM*, 2017). It costs one pass, and is as coarse as the maps. *Occlusion* asks the network itself: a
//! gray square covers each part of the picture in turn, and where the class's probability falls, something
//! was that it needs (Zeiler and Fergus, *Visualizing and understanding convolutional networks*, 2014). It
//! costs a pass a place, and is negative where what was covered spoke against the class.

use crate::image::{Filter, Image, caption_grid};
use gradus_core::{Tape, Tensor, Var};
use gradus_models::{AlexNet, Network};

/// Places of the covering square along each side.
const PLACES: usize = 9;
/// The part of the side that it covers: neighbours overlap by a half.
const COVERS: usize = 5;
/// Pictures judged at a time.
const BATCH: usize = 27;
/// The side of a picture in the drawing, in pixels.
const SHOWN: usize = 224;

/// A network whose last convolution's maps can be had.
pub trait Seeing {
    /// [n, h, w, 3] to [n, p, q, channels].
    fn maps(&self, g: &mut Tape, x: Var) -> Var;
    /// These to logits [n, classes].
    fn head(&self, g: &mut Tape, maps: Var) -> Var;
}

impl Seeing for AlexNet {
    fn maps(&self, g: &mut Tape, x: Var) -> Var {
        AlexNet::maps(self, g, x)
    }
    fn head(&self, g: &mut Tape, maps: Var) -> Var {
        AlexNet::head(self, g, maps)
    }
}

impl Seeing for Network {
    fn maps(&self, g: &mut Tape, x: Var) -> Var {
        Network::maps(self, g, x)
    }
    fn head(&self, g: &mut Tape, maps: Var) -> Var {
        Network::head(self, g, maps)
    }
}

/// A number for each place of a picture, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Places down and across.
    pub shape: [usize; 2],
    /// What speaks for the class is positive.
    pub values: Vec<f32>,
}

impl Heat {
    /// At a point of the picture, both coordinates from 0 to 1, between the places' middles.
    fn at(&self, y: f32, x: f32) -> f32 {
        let [rows, columns] = self.shape;
        let cell = |at: f32, n: usize| {
            let at = (at * n as f32 - 0.5).clamp(0.0, n as f32 - 1.0);
            (at as usize, (at as usize + 1).min(n - 1), at.fract())
        };
        let ((top, bottom, down), (left, right, along)) = (cell(y, rows), cell(x, columns));
        let row = |r: usize| {
            let [a, b] = [left, right].map(|c| self.values[r * columns + c]);
            a + (b - a) * along
        };
        row(top) + (row(bottom) - row(top)) * down
    }

    /// The picture, warm where the heat is positive and cool where it is negative, in parts of the largest.
    pub fn over(&self, picture: &Image) -> Image {
        let (w, h) = (picture.width(), picture.height());
        let largest = self.values.iter().fold(f32::MIN_POSITIVE, |most, v| most.max(v.abs()));
        let mut samples = Vec::with_capacity(w * h * 3);
        for y in 0..h {
            for x in 0..w {
                let heat = self.at((y as f32 + 0.5) / h as f32, (x as f32 + 0.5) / w as f32) / largest;
                let color = if heat > 0.0 { WARM } else { COOL };
                let part = 0.75 * heat.abs().min(1.0);
                for (&sample, color) in picture.pixel(x, y).iter().zip(color) {
                    samples.push((f32::from(sample) * (1.0 - part) + color * part).round() as u8);
                }
            }
        }
        Image::from_u8(w, h, 3, samples)
    }
}

/// Told apart by the colour-blind, too.
const WARM: [f32; 3] = [240.0, 110.0, 0.0];
const COOL: [f32; 3] = [0.0, 90.0, 200.0];

/// Where the maps of the last convolution speak for a class, in one image [1, h, w, 3].
pub fn grad_cam(net: &impl Seeing, image: &Tensor, class: usize) -> Heat {
    let maps = net.maps(&mut Tape::infer(), image.clone().into()).value;
    let [_, rows, columns, channels] = maps.dims("grad_cam");
    let mut g = Tape::eval();
    let input = g.input(maps.clone());
    let logits = net.head(&mut g, input.clone());
    let logit = g.index_select(logits, 1, &[class]);
    let gradients = g.backward(&logit);
    let gradient = gradients.of(&input).expect("a logit depends on the maps");
    let mut weights = vec![0.0; channels];
    for place in gradient.data().chunks(channels) {
        place.iter().zip(&mut weights).for_each(|(d, sum)| *sum += d / (rows * columns) as f32);
    }
    let value = |place: &[f32]| {
        let sum: f32 = place.iter().zip(&weights).map(|(a, weight)| a.max(0.0) * weight).sum();
        sum.max(0.0)
    };
    Heat { shape: [rows, columns], values: maps.data().chunks(channels).map(value).collect() }
}

/// By how much the probability of a class falls in one image [1, h, w, 3] where a square of zeros (the data's
/// mean) covers it.
pub fn occlusion(net: &impl Seeing, image: &Tensor, class: usize) -> Heat {
    let [_, h, w, c] = image.dims("occlusion");
    let range = |k: usize, n: usize| {
        let middle = (2 * k + 1) * n / (2 * PLACES);
        middle.saturating_sub(n.div_ceil(2 * COVERS))..(middle + n.div_ceil(2 * COVERS)).min(n)
    };
    let covered = |k: usize| {
        let mut covered = image.data().to_vec();
        for y in range(k / PLACES, h) {
            let across = range(k % PLACES, w);
            covered[(y * w + across.start) * c..(y * w + across.end) * c].fill(0.0);
        }
        covered
    };
    let probabilities = |images: &[Vec<f32>]| -> Vec<f32> {
        let mut g = Tape::infer();
        let x = Tensor::from_slice([images.len(), h, w, c], &images.concat());
        let maps = net.maps(&mut g, x.into());
        let logits = net.head(&mut g, maps);
        let classes = logits.value.dims::<2>("occlusion")[1];
        g.softmax(logits, -1).value.data().chunks(classes).map(|row| row[class]).collect()
    };
    let whole = probabilities(&[image.data().to_vec()])[0];
    let places: Vec<usize> = (0..PLACES * PLACES).collect();
    let values = places.chunks(BATCH).flat_map(|some| {
        let images: Vec<_> = some.iter().map(|&k| covered(k)).collect();
        probabilities(&images).into_iter().map(move |p| whole - p)
    });
    Heat { shape: [PLACES, PLACES], values: values.collect() }
}

/// What the network saw, beside both answers; `picture` is the input as a picture, `named` the class and its
/// probability.
pub fn explain(net: &impl Seeing, input: &Tensor, picture: &Image, class: usize, named: &str) -> Image {
    let panels = explained(net, input, picture, class, named);
    caption_grid("", &panels, panels.len(), SHOWN)
}

/// The panels of [`explain`], with their captions.
pub fn explained(
    net: &impl Seeing,
    input: &Tensor,
    picture: &Image,
    class: usize,
    named: &str,
) -> Vec<(Image, String)> {
    let times = (SHOWN / picture.width().max(picture.height())).max(1);
    let shown = picture.clone().resize(picture.width() * times, picture.height() * times, Filter::Nearest);
    let [cam, covered] = [grad_cam(net, input, class), occlusion(net, input, class)].map(|h| h.over(&shown));
    vec![
        (shown, format!("{named}\nwhat it sees")),
        (cam, "Grad-CAM\norange: speaks for it".to_string()),
        (covered, "occlusion\norange: where covered, less sure".to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SyntheticShapes, Transform};
    use gradus_core::{Adam, Optimizer, Rng};

    /// A network whose maps are the picture itself, and whose one class is the brightness of one place in it.
    struct Looks {
        at: [usize; 2],
    }

    impl Seeing for Looks {
        fn maps(&self, _: &mut Tape, x: Var) -> Var {
            x
        }
        fn head(&self, g: &mut Tape, maps: Var) -> Var {
            let [y, x] = self.at;
            let row = g.index_select(maps, 1, &[y]);
            let place = g.index_select(row, 2, &[x]);
            let sum = g.sum(place, &[1, 2, 3], false);
            let n = sum.value.len();
            let one = g.reshape(sum, &[n as isize, 1]);
            let zero = g.input(Tensor::zeros([n, 1]));
            g.concat(vec![one, zero], 1)
        }
    }

    #[test]
    fn what_is_needed_is_where_it_is() {
        let image = Tensor::from_fn([1, 36, 36, 3], |_| 1.0);
        let net = Looks { at: [5, 29] };
        let heat = occlusion(&net, &image, 0);
        let hottest = (0..81).max_by(|&a, &b| heat.values[a].total_cmp(&heat.values[b])).unwrap();
        // The places whose squares cover row 5 and column 29; all others change nothing.
        assert!((hottest / 9).abs_diff(1) <= 1 && (hottest % 9).abs_diff(7) <= 1, "{hottest}");
        let changed = heat.values.iter().filter(|v| v.abs() > 1e-6).count();
        assert!((1..=9).contains(&changed), "{changed}");
        // What speaks for the other class is against this one.
        assert!(occlusion(&net, &image, 1).values[hottest] < 0.0);
        // The maps are the picture: each channel speaks for the class by its share of the gradient.
        let cam = grad_cam(&net, &image, 0);
        let expected = 3.0 / (36.0 * 36.0);
        assert!(cam.shape == [36, 36] && cam.values.iter().all(|v| (v / expected - 1.0).abs() < 1e-5));
        assert!(grad_cam(&net, &image, 1).values.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn heat_is_drawn_where_it_is() {
        let heat = Heat { shape: [2, 2], values: vec![0.0, 1.0, -0.5, 0.0] };
        assert_eq!((heat.at(0.25, 0.75), heat.at(0.0, 1.0), heat.at(0.25, 0.5)), (1.0, 1.0, 0.5));
        let drawn = heat.over(&Image::filled(40, 40, [100; 3]));
        let at = |x, y| drawn.pixel(x, y).to_vec();
        assert!(at(35, 4)[0] > 180 && at(35, 4)[2] < 60, "warm {:?}", at(35, 4));
        assert!(at(4, 35)[2] > 110 && at(4, 35)[0] < 80, "cool {:?}", at(4, 35));
        assert_eq!(at(2, 2), [100; 3]);
    }

    #[test]
    fn a_trained_network_looks_at_the_shape() {
        // Enough to tell shapes from guessing.
        let splits = SyntheticShapes::with_len(1, 360).split();
        let rng = Rng::seed(1);
        let mut net = AlexNet::cifar(splits.classes().len(), &mut rng.stream("weights"));
        let mut adam = Optimizer::new(Adam::new(3e-4));
        for batch in crate::data::Loader::training(splits.train, Transform::CIFAR, 24, &rng).epoch(0, 0) {
            let batch = batch.unwrap();
            let mut g = Tape::train(&mut rng.stream("dropout").at(batch.number as u64));
            let logits = net.forward(&mut g, batch.images.into());
            let loss = g.cross_entropy(logits, &batch.labels);
            adam.step(&mut net, &g.backward(&loss)).unwrap();
        }
        let picture = splits.test.image(0).unwrap();
        let mut x = Tensor::stale([1, 32, 32, 3]);
        Transform::CIFAR.evaluate(&picture, x.data_mut()).unwrap();
        let panels = explained(&net, &x, &picture, splits.test.label(0), "a shape");
        assert_eq!(panels.len(), 3);
        let cam = grad_cam(&net, &x, splits.test.label(0));
        assert!(cam.shape == [4, 4] && cam.values.iter().all(|v| v.is_finite() && *v >= 0.0));
        // Both networks of the trait see alike.
        let any = Network::AlexNet(Box::new(net));
        assert_eq!(grad_cam(&any, &x, splits.test.label(0)), cam);
    }
}
