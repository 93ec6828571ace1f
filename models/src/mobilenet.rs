//! MobileNetV2 (Sandler et al., *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, CVPR 2018).
//!
//! A block widens its input t-fold (1x1, ReLU6), filters each channel by itself (3x3 depthwise, ReLU6), and
//! narrows without an activation (1x1); where shape allows, it adds its input. 19 features, counted as
//! torchvision does: a 3x3 convolution of stride 2, 17 blocks, a 1x1 convolution to 1280 channels at stride
//! 32.

use crate::body::Body;
use crate::conv_norm::{ConvNorm, Norm};
use gradus_core::nn::Linear;
use gradus_core::ops::conv::Conv;
use gradus_core::{Activation, Element, Module, Rng, Tape, Var, Visitor, init};

/// (t, channels, blocks, stride of the first): table 2 of the paper.
const BLOCKS: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];
const STEM: usize = 32;
/// The channels after the last feature.
pub const CHANNELS: usize = 1280;
/// The features whose maps a pyramid stands on: the last of the first block of each stride from 4 to 16, and
/// the last of all.
const LEVELS: [usize; 4] = [2, 4, 7, 18];
const DROPOUT: f64 = 0.2;

/// One of the 19: a convolution alone, or a block (torchvision's `InvertedResidual`), whose last one is
/// linear.
#[derive(Debug)]
struct Feature<E: Element> {
    convolutions: Vec<ConvNorm<E>>,
    is_block: bool,
    adds: bool,
}

impl<E: Element> Feature<E> {
    fn conv(channels: [usize; 2], kernel: usize, geometry: Conv, norm: Norm, rng: &mut Rng) -> Self {
        let conv = ConvNorm::new(channels, kernel, geometry, norm, rng);
        Feature { convolutions: vec![conv], is_block: false, adds: false }
    }

    fn block([c_in, c_out]: [usize; 2], stride: usize, t: usize, norm: Norm, rng: &mut Rng) -> Self {
        let wide = c_in * t;
        let pointwise = Conv::default();
        let widen = (t != 1).then_some(([c_in, wide], 1, pointwise));
        let filter = ([wide, wide], 3, Conv::new(stride, 1).groups(wide));
        let narrow = ([wide, c_out], 1, pointwise);
        let plan = widen.into_iter().chain([filter, narrow]);
        let convolutions = plan.map(|(c, k, geometry)| ConvNorm::new(c, k, geometry, norm, rng)).collect();
        Feature { convolutions, is_block: true, adds: stride == 1 && c_in == c_out }
    }

    #[track_caller]
    fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let (last, first) = self.convolutions.split_last().expect("a feature has convolutions");
        let identity = self.adds.then(|| x.clone());
        let x = first.iter().fold(x, |x, conv| conv.forward(g, x, Activation::Relu6));
        match identity {
            Some(identity) => last.forward_onto(g, x, identity, Activation::None),
            None => last.forward(g, x, if self.is_block { Activation::None } else { Activation::Relu6 }),
        }
    }
}

impl<E: Element> Module<E> for Feature<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        let (last, first) = self.convolutions.split_last_mut().expect("a feature has convolutions");
        if !self.is_block {
            return last.visit(v);
        }
        let n = first.len();
        for (i, conv) in first.iter_mut().enumerate() {
            v.child(&format!("conv.{i}"), conv);
        }
        last.visit_as(v, [&format!("conv.{n}"), &format!("conv.{}", n + 1)]);
    }
}

/// All but the classifier: torchvision's `mobilenet_v2().features`, names `0.0.weight` to `18.1.running_var`.
#[derive(Debug)]
pub struct MobileNetV2Features<E: Element = f32> {
    features: Vec<Feature<E>>,
}

impl<E: Element> MobileNetV2Features<E> {
    /// The features at which a stage begins (its stride), and the last.
    pub const STAGES: [usize; 6] = [0, 2, 4, 7, 14, 18];

    /// With random weights: Kaiming normal (fan out, ReLU).
    pub fn new(norm: Norm, rng: &mut Rng) -> Self {
        let mut features = vec![Feature::conv([3, STEM], 3, Conv::new(2, 1), norm, rng)];
        let mut c_in = STEM;
        for (t, c_out, blocks, stride) in BLOCKS {
            for b in 0..blocks {
                let stride = if b == 0 { stride } else { 1 };
                features.push(Feature::block([c_in, c_out], stride, t, norm, rng));
                c_in = c_out;
            }
        }
        features.push(Feature::conv([c_in, CHANNELS], 1, Conv::default(), norm, rng));
        MobileNetV2Features { features }
    }

    /// Images [n, h, w, 3], normalised, to the map after each feature in turn; `f(k, map)` sees the k-th.
    /// Returns the last, [n, h/32, w/32, 1280].
    #[track_caller]
    pub fn forward_each(&self, g: &mut Tape<E>, x: Var<E>, mut f: impl FnMut(usize, &Var<E>)) -> Var<E> {
        self.features.iter().enumerate().fold(x, |x, (k, feature)| {
            let y = feature.forward(g, x);
            f(k, &y);
            y
        })
    }

    /// Images [n, h, w, 3], normalised, to the last map, [n, h/32, w/32, 1280].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        self.forward_each(g, x, |_, _| ())
    }
}

impl<E: Element> Body<E> for MobileNetV2Features<E> {
    /// Those after features 2, 4, 7 and 18.
    fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Vec<Var<E>> {
        let mut maps = Vec::new();
        self.forward_each(g, x, |k, map| maps.extend(LEVELS.contains(&k).then(|| map.clone())));
        maps
    }

    fn channels(&self) -> Vec<usize> {
        let last = |k: usize| self.features[k].convolutions.last();
        LEVELS.into_iter().filter_map(|k| Some(last(k)?.channels())).collect()
    }

    fn stages(&mut self) -> Vec<Vec<&mut ConvNorm<E>>> {
        let mut stages: Vec<Vec<_>> = Self::STAGES.map(|_| Vec::new()).into();
        for (k, feature) in self.features.iter_mut().enumerate() {
            let stage = Self::STAGES.partition_point(|&first| first <= k) - 1;
            stages[stage].extend(&mut feature.convolutions);
        }
        stages
    }
}

impl<E: Element> Module<E> for MobileNetV2Features<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        for (k, feature) in self.features.iter_mut().enumerate() {
            v.child(&k.to_string(), feature);
        }
    }
}

/// The classifier.
#[derive(Debug)]
pub struct MobileNetV2<E: Element = f32> {
    features: MobileNetV2Features<E>,
    classifier: Linear<E>,
}

impl<E: Element> MobileNetV2<E> {
    /// With random weights: the features', and a linear layer normal with standard deviation 0.01.
    pub fn new(classes: usize, rng: &mut Rng) -> Self {
        let features = MobileNetV2Features::new(Norm::Trained, rng);
        let classifier = Linear::new(init::normal([CHANNELS, classes], 0.0, 0.01, rng), true);
        MobileNetV2 { features, classifier }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classifier.weight.value.shape()[1]
    }

    /// Images [n, h, w, 3], normalised, to logits [n, classes].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let maps = self.maps(g, x);
        self.head(g, maps)
    }

    /// Images [n, h, w, 3], normalised, to the last feature's maps: [n, h/32, w/32, 1280].
    #[track_caller]
    pub fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        self.features.forward(g, x)
    }

    /// Maps, as [`MobileNetV2::maps`] gives them, to logits [n, classes].
    #[track_caller]
    pub fn head(&self, g: &mut Tape<E>, maps: Var<E>) -> Var<E> {
        let x = g.mean(maps, &[1, 2], false);
        let x = g.dropout(x, DROPOUT);
        self.classifier.forward(g, x, Activation::None)
    }
}

impl<E: Element> Module<E> for MobileNetV2<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("features", &mut self.features);
        v.child("classifier.1", &mut self.classifier);
    }
}
