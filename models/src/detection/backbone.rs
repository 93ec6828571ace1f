//! What a detector looks at an image with: a classifier's body, and for most a pyramid on it. Which there are
//! stands in [`backbones`](super::backbones).
//!
//! | | levels, strides | channels |
//! |---|---|---|
//! | with a pyramid | 4, 8, 16, 32, pool 64 | 256 |
//! | without | the body's last map, 32 | the map's |

use super::backbones::BackboneKind;
use crate::body::Body;
use crate::conv_norm::Norm;
use crate::fpn::{self, Fpn};
use gradus_core::{Element, Module, Rng, Tape, Var, Visitor};

/// Body and pyramid.
#[derive(Debug)]
pub struct Backbone<E: Element = f32> {
    body: Box<dyn Body<E>>,
    fpn: Option<Fpn<E>>,
    norm_eps: f64,
}

impl<E: Element> Backbone<E> {
    /// With random weights, the last `trainable` stages of the body trainable (see [`BackboneKind::stages`]),
    /// and the pyramid. Panics when there are not so many stages.
    #[track_caller]
    pub fn new(kind: BackboneKind, trainable: usize, norm: Norm, rng: &mut Rng) -> Self {
        let mut body = kind.design().body(norm, rng);
        body.train_last(trainable);
        let fpn = kind.has_fpn().then(|| Fpn::new(&body.channels(), rng));
        let norm_eps = body.stages()[0][0].eps();
        Backbone { body, fpn, norm_eps }
    }

    /// The channels of every level.
    pub fn out_channels(&self) -> usize {
        match (&self.fpn, &self.body.channels()[..]) {
            (None, [.., last]) => *last,
            _ => fpn::CHANNELS,
        }
    }

    /// The number of levels, from the finest, that RoIAlign reads: all but `pool`.
    pub fn roi_levels(&self) -> usize {
        if self.fpn.is_some() { self.body.channels().len() } else { 1 }
    }

    /// ε of the batch norms: 1e-5 at first.
    pub fn norm_eps(&self) -> f64 {
        self.norm_eps
    }

    /// Sets ε of every batch norm.
    pub fn set_norm_eps(&mut self, eps: f64) {
        self.norm_eps = eps;
        self.body.set_norm_eps(eps);
    }

    /// Images [n, h, w, 3], normalised, to the levels [n, h/s, w/s, `out_channels`] from fine to coarse.
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Vec<Var<E>> {
        let mut maps = self.body.maps(g, x);
        match &self.fpn {
            Some(fpn) => fpn.forward(g, maps),
            None => maps.split_off(maps.len() - 1),
        }
    }
}

impl<E: Element> Module<E> for Backbone<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        let body = if self.fpn.is_some() { "body" } else { "" };
        v.child(body, self.body.as_mut());
        if let Some(fpn) = &mut self.fpn {
            v.child("fpn", fpn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::Tensor;

    fn backbone(kind: BackboneKind) -> Backbone {
        Backbone::new(kind, kind.default_trainable(), kind.default_norm(), &mut Rng::seed(0))
    }

    #[test]
    fn levels_halve_and_are_as_announced() {
        for kind in BackboneKind::ALL {
            let mut net = backbone(kind);
            let x = Tensor::<f32>::from_fn([1, 64, 96, 3], |i| (0.37 * i as f32).sin());
            let levels = net.forward(&mut Tape::infer(), x.into());
            assert_eq!(levels.len(), if kind.has_fpn() { 5 } else { 1 });
            let finest = if kind.has_fpn() { 4 } else { 32 };
            for (k, level) in levels.iter().enumerate() {
                let stride = finest << k;
                let want = [1, 64usize.div_ceil(stride), 96usize.div_ceil(stride), net.out_channels()];
                assert_eq!(level.shape()[..], want, "{kind}, level {k}");
            }
            assert_eq!(net.roi_levels(), levels.len() - usize::from(kind.has_fpn()));
            assert_eq!(net.body.stages().len(), kind.stages(), "{kind}");
            assert_eq!(net.norm_eps(), 1e-5);
            net.set_norm_eps(0.25);
            assert!(net.norm_eps() == 0.25 && net.body.stages().iter().flatten().all(|c| c.eps() == 0.25));
        }
    }
}
