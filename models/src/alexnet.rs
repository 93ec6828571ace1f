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
use gradus_core::{Activation, Element, Module, Rng, Tape, Var, Visitor};

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
        self.pooled(g, maps)
    }

    /// Images [n, h, w, 3], normalised, to what the last convolution gives, before ReLU and pooling:
    /// [n, 4, 4, 256] or [n, 13, 13, 256].
    #[track_caller]
    pub fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let [before @ .., last] = &self.features;
        let mut x = x;
        for (i, conv) in before.iter().enumerate() {
            let pooled = POOLED.contains(&i);
            x = conv.forward(g, x, if pooled { Activation::None } else { Activation::Relu });
            if pooled {
                x = g.max_pool2d(x, self.size.pool(), Activation::Relu);
            }
        }
        last.forward(g, x, Activation::None)
    }

    /// Maps, as [`AlexNet::maps`] gives them, to logits [n, classes].
    #[track_caller]
    pub fn head(&self, g: &mut Tape<E>, maps: Var<E>) -> Var<E> {
        let x = self.pooled(g, maps);
        self.classify(g, x)
    }

    fn pooled(&self, g: &mut Tape<E>, maps: Var<E>) -> Var<E> {
        let mut x = g.max_pool2d(maps, self.size.pool(), Activation::Relu);
        if self.size == Size::ImageNet {
            x = g.adaptive_avg_pool2d(x, [6, 6]);
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
        let [first, second, third] = &self.classifier;
        let x = g.flatten(features);
        let x = g.dropout(x, DROPOUT);
        let x = first.forward(g, x, Activation::Relu);
        let x = g.dropout(x, DROPOUT);
        let x = second.forward(g, x, Activation::Relu);
        third.forward(g, x, Activation::None)
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
}
