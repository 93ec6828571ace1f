//! MobileNetV2: torchvision's `mobilenet_v2().features`, whose last map is all, or with a pyramid
//! `_mobilenet_extractor(fpn=True, returned_layers=[1, 2, 3, 5])`.
//!
//! torchvision's own choice of layers for MobileNet pyramids, the last two stages, gives two maps of one
//! stride. The maps here have the strides of ResNets', so that anchors and RoIAlign's levels are the same for
//! both.

use super::design::Design;
use crate::body::Body;
use crate::conv_norm::Norm;
use crate::mobilenet::MobileNetV2Features;
use gradus_core::{Element, Rng};

/// With a pyramid or without.
pub(super) struct MobileNetV2 {
    pub pyramid: bool,
}

impl<E: Element> Design<E> for MobileNetV2 {
    fn body(&self, norm: Norm, rng: &mut Rng) -> Box<dyn Body<E>> {
        Box::new(MobileNetV2Features::new(norm, rng))
    }

    fn stages(&self) -> usize {
        MobileNetV2Features::<E>::STAGES.len()
    }

    fn is_of(&self, has: &dyn Fn(&str) -> bool) -> bool {
        has("18.0.weight")
    }

    fn has_fpn(&self) -> bool {
        self.pyramid
    }
}
