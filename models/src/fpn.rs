//! Feature pyramid network (Lin et al., *Feature Pyramid Networks for Object Detection*, CVPR 2017).
//!
//! From maps C_0 (finest) to C_n (coarsest): M_n = inner_n(C_n), M_k = inner_k(C_k) + up(M_{k+1}), P_k =
//! layer_k(M_k), with `inner` 1x1 and `layer` 3x3 convolutions to 256 channels, and `up` the nearest value at
//! the size of C_k. One level more, `pool`, takes every second value of P_n. torchvision:
//! `FeaturePyramidNetwork`, `LastLevelMaxPool`.

use gradus_core::init::{self, Fan};
use gradus_core::nn::Conv2d;
use gradus_core::ops::PoolSpec;
use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::{Activation, Element, Module, Rng, Tape, Var, Visitor};

/// The channels of each level.
pub const CHANNELS: usize = 256;

/// The pyramid.
#[derive(Debug)]
pub struct Fpn<E: Element = f32> {
    inner: Vec<Conv2d<E>>,
    layer: Vec<Conv2d<E>>,
}

impl<E: Element> Fpn<E> {
    /// Over maps of so many channels, from fine to coarse. Weights Kaiming uniform (fan in, a = 1), biases 0.
    pub fn new(channels: &[usize], rng: &mut Rng) -> Self {
        let mut conv = |kernel: usize, c_in: usize, padding: usize| {
            let weight = init::kaiming_uniform([kernel, kernel, c_in, CHANNELS], Fan::In, 1.0, rng);
            Conv2d::new(weight, Conv::new(1, padding), true)
        };
        Fpn {
            inner: channels.iter().map(|&c| conv(1, c, 0)).collect(),
            layer: channels.iter().map(|_| conv(3, CHANNELS, 1)).collect(),
        }
    }

    /// Maps from fine to coarse, to as many levels [n, h, w, 256] of their sizes, and `pool`.
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, maps: Vec<Var<E>>) -> Vec<Var<E>> {
        assert_eq!(maps.len(), self.inner.len(), "fpn: maps");
        let mut levels = Vec::new();
        let mut above: Option<Var<E>> = None;
        for ((map, inner), layer) in maps.into_iter().zip(&self.inner).zip(&self.layer).rev() {
            let [_, h, w, _] = map.value.dims("fpn");
            let residual = above.map(|above| g.resize_nearest(above, [h, w]));
            let merged = inner.forward(g, map, Fused { residual, ..Fused::default() });
            levels.push(layer.forward(g, merged.clone(), Activation::None));
            above = Some(merged);
        }
        let pool = g.max_pool2d(levels[0].clone(), PoolSpec::square(1, 2), Activation::None);
        levels.reverse();
        levels.push(pool);
        levels
    }
}

impl<E: Element> Module<E> for Fpn<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        for (name, blocks) in [("inner_blocks", &mut self.inner), ("layer_blocks", &mut self.layer)] {
            for (k, block) in blocks.iter_mut().enumerate() {
                v.child(&format!("{name}.{k}.0"), block);
            }
        }
    }
}
