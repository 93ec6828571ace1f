//! ResNets under a pyramid, torchvision's `resnet_fpn_backbone`: the maps after layers 1 to 4.

use super::design::Design;
use crate::body::Body;
use crate::conv_norm::Norm;
use crate::resnet::{Depth, ResNetBody};
use gradus_core::{Element, Rng};

/// The ResNet of that depth.
pub(super) struct ResNetFpn(pub Depth);

impl<E: Element> Design<E> for ResNetFpn {
    fn body(&self, norm: Norm, rng: &mut Rng) -> Box<dyn Body<E>> {
        Box::new(ResNetBody::new(self.0, norm, rng))
    }

    fn stages(&self) -> usize {
        ResNetBody::<E>::STAGES
    }

    fn is_of(&self, has: &dyn Fn(&str) -> bool) -> bool {
        Depth::recognise(has) == Some(self.0)
    }
}
