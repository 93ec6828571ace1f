//! AlexNet (Krizhevsky, *One weird trick for parallelizing convolutional neural networks*, 2014), in two
//! sizes.
//!
//! Five convolutions, three of them followed by a maximum over windows, then three linear layers with
//! dropout. For 32x32 images as in the CIFAR-10 exercise (23,272,266 parameters for 10 classes), and for
//! 224x224 images as in torchvision (61,100,840 for 1,000). Both share names: `features.{0,3,6,8,10}`,
//! `classifier.{1,4,6}`.
//!
//! A maximum commutes with ReLU, so that each pool is followed, and each other convolution ended, by one; the
//! exercise and torchvision differ in that order alone.

use gradus_core::init::{self, Fan};
use gradus_core::nn::{Conv2d, Linear};
use gradus_core::ops::PoolSpec;
use gradus_core::ops::conv::Conv;
use gradus_core::{Activation, Element, Module, Rng, Slot, Tape, Tensor, Var, Visitor};
use std::collections::BTreeMap;

/// Which of the two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 32x32 images.
    Cifar,
    /// 224x224 images (others of at least 63x63 work: the features are averaged to 6x6).
    ImageNet,
}

/// Channels after each convolution.
const CHANNELS: [usize; 5] = [64, 192, 384, 256, 256];
/// PyTorch's indices of the convolutions and of the linear layers.
const FEATURES: [&str; 5] = ["features.0", "features.3", "features.6", "features.8", "features.10"];
const CLASSIFIER: [&str; 3] = ["classifier.1", "classifier.4", "classifier.6"];
/// The convolutions (counted from 0) that a pool follows.
const POOLED: [usize; 2] = [0, 1];
const DROPOUT: f64 = 0.5;

impl Size {
    /// The size whose first convolution has this shape in a checkpoint.
    pub fn recognise(first: &[usize]) -> Option<Self> {
        [Size::Cifar, Size::ImageNet].into_iter().find(|size| {
            let side = size.convolutions()[0].0;
            first == [CHANNELS[0], 3, side, side]
        })
    }

    /// Kernel side and geometry of each convolution.
    fn convolutions(self) -> [(usize, Conv); 5] {
        let same3 = (3, Conv::new(1, 1));
        match self {
            Size::Cifar => [(3, Conv::new(2, 1)), same3, same3, same3, same3],
            Size::ImageNet => [(11, Conv::new(4, 2)), (5, Conv::new(1, 2)), same3, same3, same3],
        }
    }

    fn pool(self) -> PoolSpec {
        match self {
            Size::Cifar => PoolSpec::square(2, 2),
            Size::ImageNet => PoolSpec::square(3, 2),
        }
    }

    /// The side of the last feature map.
    fn map_side(self) -> usize {
        match self {
            Size::Cifar => 2,
            Size::ImageNet => 6,
        }
    }

    /// The side of the images it is made for.
    pub fn image_side(self) -> usize {
        match self {
            Size::Cifar => 32,
            Size::ImageNet => 224,
        }
    }
}

/// A layer as it is in a network: what it does, what comes out of it for one image, what it learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its parameters' name in a checkpoint; empty where it has none.
    pub name: &'static str,
    /// What it does.
    pub does: String,
    /// The shape of its output for one image: [height, width, channels], or `[features]`.
    pub output: Vec<usize>,
    /// How many numbers it learns.
    pub parameters: usize,
}

/// What the forward pass tells of each layer: its parameters' name, what it does, its output's shape.
type Told<'a> = &'a mut dyn FnMut(&'static str, &dyn Fn() -> String, &[usize]);

/// Nobody asks.
fn untold(_: &'static str, _: &dyn Fn() -> String, _: &[usize]) {}

/// The network.
#[derive(Debug)]
pub struct AlexNet<E: Element = f32> {
    size: Size,
    features: [Conv2d<E>; 5],
    classifier: [Linear<E>; 3],
}

impl<E: Element> AlexNet<E> {
    /// With random weights: convolutions Kaiming normal (fan in, ReLU), linear layers Xavier normal with
    /// ReLU's gain, biases 0.
    pub fn new(size: Size, classes: usize, rng: &mut Rng) -> Self {
        let convolutions = size.convolutions();
        let features = std::array::from_fn(|i| {
            let (k, geometry) = convolutions[i];
            let c_in = if i == 0 { 3 } else { CHANNELS[i - 1] };
            let weight = init::kaiming_normal([k, k, c_in, CHANNELS[i]], Fan::In, init::RELU, rng);
            Conv2d::new(weight, geometry, true)
        });
        let pixels = size.map_side() * size.map_side();
        let mut linear = |i, o| Linear::new(init::xavier_normal([i, o], init::RELU, rng), true);
        let first = linear(pixels * CHANNELS[4], 4096).on_maps(pixels);
        AlexNet { size, features, classifier: [first, linear(4096, 4096), linear(4096, classes)] }
    }

    /// For 32x32 images.
    pub fn cifar(classes: usize, rng: &mut Rng) -> Self {
        Self::new(Size::Cifar, classes, rng)
    }

    /// For 224x224 images.
    pub fn imagenet(classes: usize, rng: &mut Rng) -> Self {
        Self::new(Size::ImageNet, classes, rng)
    }

    /// Which size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The five convolutions.
    pub fn convolutions(&self) -> &[Conv2d<E>; 5] {
        &self.features
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classifier[2].weight.value.shape()[1]
    }

    /// Images [n, h, w, 3], normalised, to the last feature maps: [n, 2, 2, 256] or [n, 6, 6, 256].
    #[track_caller]
    pub fn features(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let maps = self.maps(g, x);
        self.pooled(g, maps, &mut untold)
    }

    /// Images [n, h, w, 3], normalised, to what the last convolution gives, before ReLU and pooling:
    /// [n, 4, 4, 256] or [n, 13, 13, 256].
    #[track_caller]
    pub fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        self.mapped(g, x, &mut untold)
    }

    fn mapped(&self, g: &mut Tape<E>, x: Var<E>, told: Told<'_>) -> Var<E> {
        let last = self.features.len() - 1;
        let mut x = x;
        for (i, conv) in self.features.iter().enumerate() {
            let pooled = POOLED.contains(&i);
            let relu = !pooled && i != last;
            x = conv.forward(g, x, if relu { Activation::Relu } else { Activation::None });
            let does = || {
                let (side, Conv { stride, padding, .. }) = (conv.weight.value.shape()[0], conv.geometry);
                let then = if relu { ", ReLU" } else { "" };
                format!("convolution {side}x{side}, stride {}, padding {}{then}", stride[0], padding[0])
            };
            told(FEATURES[i], &does, x.shape());
            if pooled {
                x = self.maxima(g, x, told);
            }
        }
        x
    }

    fn maxima(&self, g: &mut Tape<E>, x: Var<E>, told: Told<'_>) -> Var<E> {
        let pool = self.size.pool();
        let x = g.max_pool2d(x, pool, Activation::Relu);
        let does =
            || format!("maximum {}x{}, stride {}, ReLU", pool.kernel[0], pool.kernel[1], pool.stride[0]);
        told("", &does, x.shape());
        x
    }

    /// Maps, as [`AlexNet::maps`] gives them, to logits [n, classes].
    #[track_caller]
    pub fn head(&self, g: &mut Tape<E>, maps: Var<E>) -> Var<E> {
        let x = self.pooled(g, maps, &mut untold);
        self.classify(g, x)
    }

    fn pooled(&self, g: &mut Tape<E>, maps: Var<E>, told: Told<'_>) -> Var<E> {
        let mut x = self.maxima(g, maps, told);
        if self.size == Size::ImageNet {
            x = g.adaptive_avg_pool2d(x, [6, 6]);
            told("", &|| "mean over a grid of 6x6".into(), x.shape());
        }
        x
    }

    /// Images [n, h, w, 3], normalised, to logits [n, classes].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let x = self.features(g, x);
        self.classify(g, x)
    }

    /// Feature maps, as [`AlexNet::features`] gives them, to logits [n, classes].
    #[track_caller]
    pub fn classify(&self, g: &mut Tape<E>, features: Var<E>) -> Var<E> {
        self.classified(g, features, &mut untold)
    }

    fn classified(&self, g: &mut Tape<E>, features: Var<E>, told: Told<'_>) -> Var<E> {
        let mut x = g.flatten(features);
        told("", &|| "flattened".into(), x.shape());
        let last = self.classifier.len() - 1;
        for (i, linear) in self.classifier.iter().enumerate() {
            let inner = i != last;
            if inner {
                x = g.dropout(x, DROPOUT);
            }
            x = linear.forward(g, x, if inner { Activation::Relu } else { Activation::None });
            let does = || if inner { format!("dropout {DROPOUT}, linear, ReLU") } else { "linear".into() };
            told(CLASSIFIER[i], &does, x.shape());
        }
        x
    }

    /// The layers in their order, as an image of the size it is made for goes through them.
    pub fn layers(&mut self) -> Vec<Layer> {
        let mut counts = BTreeMap::new();
        self.for_each(|name, slot| {
            if let (Slot::Param(p), Some((layer, _))) = (slot, name.rsplit_once('.')) {
                *counts.entry(layer.to_string()).or_insert(0) += p.value.len();
            }
        });
        let side = self.size.image_side();
        let mut layers =
            vec![Layer { name: "", does: "image".into(), output: vec![side, side, 3], parameters: 0 }];
        let mut told = |name: &'static str, does: &dyn Fn() -> String, shape: &[usize]| {
            let parameters = counts.get(name).copied().unwrap_or(0);
            layers.push(Layer { name, does: does(), output: shape[1..].to_vec(), parameters });
        };
        let (mut g, image) = (Tape::infer(), Tensor::zeros([1, side, side, 3]));
        let x = self.mapped(&mut g, image.into(), &mut told);
        let x = self.pooled(&mut g, x, &mut told);
        self.classified(&mut g, x, &mut told);
        layers
    }
}

impl<E: Element> Module<E> for AlexNet<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        for (name, conv) in FEATURES.iter().zip(&mut self.features) {
            v.child(name, conv);
        }
        for (name, linear) in CLASSIFIER.iter().zip(&mut self.classifier) {
            v.child(name, linear);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_as_published() {
        assert_eq!(AlexNet::<f32>::cifar(10, &mut Rng::seed(0)).num_params(), 23_272_266);
        assert_eq!(AlexNet::<f32>::imagenet(1000, &mut Rng::seed(0)).num_params(), 61_100_840);
    }

    #[test]
    fn layers_have_all_parameters_and_the_published_shapes() {
        for (size, classes, convolved, first) in
            [(Size::Cifar, 10, vec![16, 16, 64], 1_792), (Size::ImageNet, 1000, vec![55, 55, 64], 23_296)]
        {
            let mut net = AlexNet::<f32>::new(size, classes, &mut Rng::seed(0));
            let layers = net.layers();
            assert_eq!(layers.iter().map(|l| l.parameters).sum::<usize>(), net.num_params());
            let named: Vec<_> = layers.iter().map(|l| l.name).filter(|n| !n.is_empty()).collect();
            assert_eq!(named, [&FEATURES[..], &CLASSIFIER].concat());
            assert!(layers.iter().all(|l| (l.parameters > 0) != l.name.is_empty()));
            assert_eq!((&layers[1].output, layers[1].parameters), (&convolved, first));
            assert_eq!(layers.last().unwrap().output, [classes]);
            let flat = layers.iter().find(|l| l.does == "flattened").unwrap();
            assert_eq!(flat.output, [size.map_side() * size.map_side() * 256]);
        }
    }
}
