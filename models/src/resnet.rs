//! ResNet (He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016): blocks that add to their
//! input, y = ReLU(x + F(x)).
//!
//! A 7x7 convolution of stride 2 and a 3x3 maximum of stride 2, then four layers of blocks of widths 64, 128,
//! 256, 512 at strides 4, 8, 16, 32. F is two 3x3 convolutions (18 and 34), or 1x1, 3x3, 1x1 with four times
//! as many channels at the end (50). The first block of layers 2 to 4 halves the map; in ResNet-50 its 3x3
//! convolution does it, as in torchvision. Where x has not the shape of F(x), a 1x1 convolution
//! (`downsample`) maps it.

use crate::body::Body;
use crate::conv_norm::{ConvNorm, Norm};
use crate::linear::linear;
use gradus_core::nn::Linear;
use gradus_core::ops::PoolSpec;
use gradus_core::ops::conv::Conv;
use gradus_core::{Activation, Element, Module, Rng, Tape, Var, Visitor};

/// Which of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// ResNet-18: basic blocks, 2 2 2 2.
    R18,
    /// ResNet-34: basic blocks, 3 4 6 3.
    R34,
    /// ResNet-50: bottlenecks, 3 4 6 3.
    R50,
}

const WIDTHS: [usize; 4] = [64, 128, 256, 512];

impl Depth {
    /// The depth of the network whose tensors these are, told by the last block of layers 1 and 3; `has`
    /// knows whether there is one of a name.
    pub fn recognise(has: impl Fn(&str) -> bool) -> Option<Self> {
        let bottlenecks = has("layer1.0.conv3.weight");
        let ends = |layer: usize, blocks: usize| {
            let block = |k: usize| has(&format!("layer{layer}.{k}.conv2.weight"));
            block(blocks - 1) && !block(blocks)
        };
        [Depth::R18, Depth::R34, Depth::R50].into_iter().find(|depth| {
            let [first, _, third, _] = depth.blocks();
            bottlenecks == (depth.expansion() > 1) && ends(1, first) && ends(3, third)
        })
    }

    fn blocks(self) -> [usize; 4] {
        match self {
            Depth::R18 => [2, 2, 2, 2],
            Depth::R34 | Depth::R50 => [3, 4, 6, 3],
        }
    }

    /// Output channels of a block for each of its width.
    fn expansion(self) -> usize {
        if self == Depth::R50 { 4 } else { 1 }
    }

    /// The channels after each layer.
    pub fn channels(self) -> [usize; 4] {
        WIDTHS.map(|width| width * self.expansion())
    }
}

/// y = ReLU(x + F(x)): torchvision's `BasicBlock` and `Bottleneck`.
#[derive(Debug)]
struct Block<E: Element> {
    convolutions: Vec<ConvNorm<E>>,
    downsample: Option<ConvNorm<E>>,
}

const BLOCK_NAMES: [[&str; 2]; 3] = [["conv1", "bn1"], ["conv2", "bn2"], ["conv3", "bn3"]];

impl<E: Element> Block<E> {
    fn new(depth: Depth, c_in: usize, width: usize, stride: usize, norm: Norm, rng: &mut Rng) -> Self {
        let c_out = width * depth.expansion();
        let same = Conv::new(1, 1);
        let plan = match depth {
            Depth::R18 | Depth::R34 => {
                vec![([c_in, width], 3, Conv::new(stride, 1)), ([width, width], 3, same)]
            }
            Depth::R50 => vec![
                ([c_in, width], 1, Conv::default()),
                ([width, width], 3, Conv::new(stride, 1)),
                ([width, c_out], 1, Conv::default()),
            ],
        };
        let convolutions = plan.into_iter().map(|(c, k, at)| ConvNorm::new(c, k, at, norm, rng)).collect();
        let changes = stride != 1 || c_in != c_out;
        let downsample = changes.then(|| ConvNorm::new([c_in, c_out], 1, Conv::new(stride, 0), norm, rng));
        Block { convolutions, downsample }
    }

    #[track_caller]
    fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let (last, first) = self.convolutions.split_last().expect("a block has convolutions");
        let identity = match &self.downsample {
            Some(map) => map.forward(g, x.clone(), Activation::None),
            None => x.clone(),
        };
        let x = first.iter().fold(x, |x, conv| conv.forward(g, x, Activation::Relu));
        last.forward_onto(g, x, identity, Activation::Relu)
    }

    fn channels(&self) -> usize {
        self.convolutions.last().map_or(0, ConvNorm::channels)
    }

    fn convolutions(&mut self) -> impl Iterator<Item = &mut ConvNorm<E>> {
        self.convolutions.iter_mut().chain(&mut self.downsample)
    }
}

impl<E: Element> Module<E> for Block<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        for (names, conv) in BLOCK_NAMES.into_iter().zip(&mut self.convolutions) {
            conv.visit_as(v, names);
        }
        if let Some(map) = &mut self.downsample {
            v.child("downsample", map);
        }
    }
}

/// All but the classifier: what detectors call the body.
#[derive(Debug)]
pub struct ResNetBody<E: Element = f32> {
    stem: ConvNorm<E>,
    layers: [Vec<Block<E>>; 4],
}

impl<E: Element> ResNetBody<E> {
    /// The maximum after the stem.
    pub const POOL: PoolSpec =
        PoolSpec { kernel: [3; 2], stride: [2; 2], padding: [1; 2], dilation: [1; 2], ceil_mode: false };
    /// The stages that can be frozen: layer4, layer3, layer2, layer1, and the stem.
    pub const STAGES: usize = 5;

    /// With random weights: Kaiming normal (fan out, ReLU).
    pub fn new(depth: Depth, norm: Norm, rng: &mut Rng) -> Self {
        let stem = ConvNorm::new([3, 64], 7, Conv::new(2, 3), norm, rng);
        let mut c_in = 64;
        let layers = std::array::from_fn(|l| {
            let block = |b: usize| {
                let stride = if l > 0 && b == 0 { 2 } else { 1 };
                let block = Block::new(depth, c_in, WIDTHS[l], stride, norm, rng);
                c_in = depth.channels()[l];
                block
            };
            (0..depth.blocks()[l]).map(block).collect()
        });
        ResNetBody { stem, layers }
    }

    /// conv1, bn1, ReLU: images [n, h, w, 3] to [n, h/2, w/2, 64].
    #[track_caller]
    pub fn stem(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        self.stem.forward(g, x, Activation::Relu)
    }

    /// Images [n, h, w, 3], normalised, to the maps after layers 1 to 4, at strides 4, 8, 16, 32.
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> [Var<E>; 4] {
        let x = self.stem(g, x);
        let mut x = g.max_pool2d(x, Self::POOL, Activation::None);
        self.layers.each_ref().map(|layer| {
            x = layer.iter().fold(x.clone(), |x, block| block.forward(g, x));
            x.clone()
        })
    }
}

impl<E: Element> Body<E> for ResNetBody<E> {
    /// [`ResNetBody::forward`]'s.
    fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Vec<Var<E>> {
        self.forward(g, x).into()
    }

    fn channels(&self) -> Vec<usize> {
        self.layers.iter().filter_map(|layer| Some(layer.last()?.channels())).collect()
    }

    fn stages(&mut self) -> Vec<Vec<&mut ConvNorm<E>>> {
        let layers = self.layers.iter_mut();
        let layers = layers.map(|layer| layer.iter_mut().flat_map(Block::convolutions).collect());
        [vec![&mut self.stem]].into_iter().chain(layers).collect()
    }
}

impl<E: Element> Module<E> for ResNetBody<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        self.stem.visit_as(v, ["conv1", "bn1"]);
        for (l, layer) in self.layers.iter_mut().enumerate() {
            for (b, block) in layer.iter_mut().enumerate() {
                v.child(&format!("layer{}.{b}", l + 1), block);
            }
        }
    }
}

/// The classifier.
#[derive(Debug)]
pub struct ResNet<E: Element = f32> {
    body: ResNetBody<E>,
    fc: Linear<E>,
}

impl<E: Element> ResNet<E> {
    /// With random weights: the body's, and a linear layer with PyTorch's default.
    pub fn new(depth: Depth, classes: usize, rng: &mut Rng) -> Self {
        let body = ResNetBody::new(depth, Norm::Trained, rng);
        ResNet { body, fc: linear(depth.channels()[3], classes, rng) }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.fc.weight.value.shape()[1]
    }

    /// Images [n, h, w, 3], normalised, to logits [n, classes].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let maps = self.maps(g, x);
        self.head(g, maps)
    }

    /// Images [n, h, w, 3], normalised, to the last stage's maps: [n, h/32, w/32, channels].
    #[track_caller]
    pub fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        let [.., maps] = self.body.forward(g, x);
        maps
    }

    /// Maps, as [`ResNet::maps`] gives them, to logits [n, classes].
    #[track_caller]
    pub fn head(&self, g: &mut Tape<E>, maps: Var<E>) -> Var<E> {
        let x = g.mean(maps, &[1, 2], false);
        self.fc.forward(g, x, Activation::None)
    }
}

impl<E: Element> Module<E> for ResNet<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("", &mut self.body);
        v.child("fc", &mut self.fc);
    }
}
