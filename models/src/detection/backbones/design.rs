//! What a row of the table of backbones says.

use crate::body::Body;
use crate::conv_norm::Norm;
use gradus_core::{Element, Rng};

/// How a backbone is made, and how its checkpoints are told.
pub trait Design<E: Element> {
    /// The body, with random weights.
    fn body(&self, norm: Norm, rng: &mut Rng) -> Box<dyn Body<E>>;

    /// How many stages the body has.
    fn stages(&self) -> usize;

    /// Whether these are the body's tensors, and no other backbone's. `has` knows whether there is one of a
    /// name.
    fn is_of(&self, has: &dyn Fn(&str) -> bool) -> bool;

    /// Whether a pyramid stands on the body's maps. Without one, the last map is the only level.
    fn has_fpn(&self) -> bool {
        true
    }

    /// How many of the last stages are trained from pretrained weights, unless told otherwise: 3 with a
    /// pyramid, as in torchvision, and all without, as in its tutorial.
    fn default_trainable(&self) -> usize {
        if self.has_fpn() { 3 } else { self.stages() }
    }

    /// What becomes of batch norm, unless told otherwise: frozen with a pyramid, as in torchvision, and
    /// trained without, as in its tutorial.
    fn default_norm(&self) -> Norm {
        if self.has_fpn() { Norm::Frozen } else { Norm::Trained }
    }
}
