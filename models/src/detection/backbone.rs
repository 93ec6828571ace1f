//! What a detector looks at an image with: a classifier's body, and for most a pyramid on it.
//!
//! | kind | levels, strides | channels | as in torchvision |
//! |---|---|---|---|
//! | `resnet50-fpn`, `resnet18-fpn` | 4, 8, 16, 32, pool 64 | 256 | `resnet_fpn_backbone` |
//! | `mobilenet-v2` | 32 | 1280 | `mobilenet_v2().features` |
//! | `mobilenet-v2-fpn` | 4, 8, 16, 32, pool 64 | 256 | `_mobilenet_extractor(fpn=True, returned_layers=[1, 2, 3, 5])` |
//!
//! torchvision's own choice of layers for MobileNet pyramids, the last two stages, gives two maps of one
//! stride. The last feature of each stride's first block and of the last stage make the pyramid here that
//! ResNets have, so that anchors and RoIAlign's levels are the same for both.

use crate::checkpoint::StateDict;
use crate::conv_norm::Norm;
use crate::fpn::{self, Fpn};
use crate::mobilenet::{self, MobileNetV2Features};
use crate::resnet::{Depth, ResNetBody};
use gradus_core::{Element, Module, Rng, Tape, Var, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which backbone, as the command line names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackboneKind {
    /// ResNet-50 with a pyramid.
    Resnet50Fpn,
    /// ResNet-18 with a pyramid.
    Resnet18Fpn,
    /// MobileNetV2's last map alone.
    MobilenetV2,
    /// MobileNetV2 with a pyramid.
    MobilenetV2Fpn,
}

impl BackboneKind {
    /// All of them.
    pub const ALL: [BackboneKind; 4] = [
        BackboneKind::Resnet50Fpn,
        BackboneKind::Resnet18Fpn,
        BackboneKind::MobilenetV2,
        BackboneKind::MobilenetV2Fpn,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            BackboneKind::Resnet50Fpn => "resnet50-fpn",
            BackboneKind::Resnet18Fpn => "resnet18-fpn",
            BackboneKind::MobilenetV2 => "mobilenet-v2",
            BackboneKind::MobilenetV2Fpn => "mobilenet-v2-fpn",
        }
    }

    /// The backbone of a detector's checkpoint, told by its names.
    pub fn recognise(state: &StateDict) -> Option<Self> {
        let has = |name: &str| state.contains_key(&format!("backbone.{name}"));
        match () {
            () if has("body.layer1.0.conv3.weight") && !has("body.layer3.6.conv3.weight") => {
                Some(BackboneKind::Resnet50Fpn)
            }
            () if has("body.layer1.0.conv2.weight") && !has("body.layer1.2.conv2.weight") => {
                Some(BackboneKind::Resnet18Fpn)
            }
            () if has("body.18.0.weight") => Some(BackboneKind::MobilenetV2Fpn),
            () if has("18.0.weight") => Some(BackboneKind::MobilenetV2),
            () => None,
        }
    }

    /// Whether a pyramid gives its levels.
    pub fn has_fpn(self) -> bool {
        self != BackboneKind::MobilenetV2
    }

    /// How many stages can be trained or frozen.
    pub fn stages(self) -> usize {
        match self {
            BackboneKind::Resnet50Fpn | BackboneKind::Resnet18Fpn => ResNetBody::<f32>::STAGES,
            BackboneKind::MobilenetV2 | BackboneKind::MobilenetV2Fpn => {
                MobileNetV2Features::<f32>::STAGES.len()
            }
        }
    }

    /// How many of the last stages are trained from pretrained weights, unless told otherwise: 3 with a
    /// pyramid, as in torchvision, and all of `mobilenet-v2`, as in its tutorial.
    pub fn default_trainable(self) -> usize {
        if self.has_fpn() { 3 } else { self.stages() }
    }

    /// What becomes of batch norm, unless told otherwise: frozen with a pyramid, as in torchvision, and
    /// trained in `mobilenet-v2`, as in its tutorial.
    pub fn default_norm(self) -> Norm {
        if self.has_fpn() { Norm::Frozen } else { Norm::Trained }
    }
}

impl fmt::Display for BackboneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no backbone has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackbone(String);

impl fmt::Display for UnknownBackbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = BackboneKind::ALL.map(BackboneKind::name).join(", ");
        write!(f, "no backbone is called {:?}; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownBackbone {}

impl FromStr for BackboneKind {
    type Err = UnknownBackbone;

    fn from_str(name: &str) -> Result<Self, UnknownBackbone> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownBackbone(name.to_string()))
    }
}

#[derive(Debug)]
enum Body<E: Element> {
    ResNet(Box<ResNetBody<E>>),
    MobileNet(MobileNetV2Features<E>),
}

/// MobileNetV2's features that a pyramid reads, and their channels.
const MOBILENET_LEVELS: [(usize, usize); 4] = [(2, 24), (4, 32), (7, 64), (18, mobilenet::CHANNELS)];

/// Body and pyramid.
#[derive(Debug)]
pub struct Backbone<E: Element = f32> {
    kind: BackboneKind,
    body: Body<E>,
    fpn: Option<Fpn<E>>,
}

impl<E: Element> Backbone<E> {
    /// With random weights, the last `trainable` stages of the body trainable (see [`BackboneKind::stages`]),
    /// and the pyramid. Panics when there are not so many stages.
    #[track_caller]
    pub fn new(kind: BackboneKind, trainable: usize, norm: Norm, rng: &mut Rng) -> Self {
        let resnet = |depth, rng: &mut Rng| {
            let mut body = ResNetBody::new(depth, norm, rng);
            body.train_last(trainable);
            (Body::ResNet(Box::new(body)), depth.channels())
        };
        let (body, channels) = match kind {
            BackboneKind::Resnet50Fpn => resnet(Depth::R50, rng),
            BackboneKind::Resnet18Fpn => resnet(Depth::R18, rng),
            BackboneKind::MobilenetV2 | BackboneKind::MobilenetV2Fpn => {
                let mut body = MobileNetV2Features::new(norm, rng);
                body.train_last(trainable);
                (Body::MobileNet(body), MOBILENET_LEVELS.map(|(_, channels)| channels))
            }
        };
        Backbone { kind, body, fpn: kind.has_fpn().then(|| Fpn::new(&channels, rng)) }
    }

    /// Which one.
    pub fn kind(&self) -> BackboneKind {
        self.kind
    }

    /// The channels of every level.
    pub fn out_channels(&self) -> usize {
        if self.fpn.is_some() { fpn::CHANNELS } else { mobilenet::CHANNELS }
    }

    /// The number of levels that [`Backbone::forward`] gives: the RPN reads all.
    pub fn levels(&self) -> usize {
        if self.fpn.is_some() { 5 } else { 1 }
    }

    /// The number of levels, from the finest, that RoIAlign reads: all but `pool`.
    pub fn roi_levels(&self) -> usize {
        if self.fpn.is_some() { 4 } else { 1 }
    }

    /// ε of the batch norms: 1e-5 at first.
    pub fn norm_eps(&self) -> f64 {
        match &self.body {
            Body::ResNet(body) => body.norm_eps(),
            Body::MobileNet(body) => body.norm_eps(),
        }
    }

    /// Sets ε of every batch norm.
    pub fn set_norm_eps(&mut self, eps: f64) {
        match &mut self.body {
            Body::ResNet(body) => body.set_norm_eps(eps),
            Body::MobileNet(body) => body.set_norm_eps(eps),
        }
    }

    /// Images [n, h, w, 3], normalised, to the levels [n, h/s, w/s, `out_channels`] from fine to coarse.
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Vec<Var<E>> {
        let maps = match &self.body {
            Body::ResNet(body) => body.forward(g, x).into(),
            Body::MobileNet(body) if self.fpn.is_some() => {
                let mut maps = Vec::new();
                body.forward_each(g, x, |k, map| {
                    if MOBILENET_LEVELS.iter().any(|&(level, _)| level == k) {
                        maps.push(map.clone());
                    }
                });
                maps
            }
            Body::MobileNet(body) => vec![body.forward(g, x)],
        };
        match &self.fpn {
            Some(fpn) => fpn.forward(g, maps),
            None => maps,
        }
    }
}

impl<E: Element> Module<E> for Backbone<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        let body = if self.fpn.is_some() { "body" } else { "" };
        match &mut self.body {
            Body::ResNet(net) => v.child(body, net.as_mut()),
            Body::MobileNet(net) => v.child(body, net),
        }
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
    fn names_on_the_command_line() {
        for kind in BackboneKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        let said = "resnet101".parse::<BackboneKind>().unwrap_err().to_string();
        assert!(said.contains("resnet101") && said.contains("mobilenet-v2-fpn"), "{said}");
    }

    #[test]
    fn levels_halve_and_are_as_announced() {
        for kind in BackboneKind::ALL {
            let net = backbone(kind);
            let x = Tensor::<f32>::from_fn([1, 64, 96, 3], |i| (0.37 * i as f32).sin());
            let levels = net.forward(&mut Tape::infer(), x.into());
            assert_eq!(levels.len(), net.levels());
            let finest = if kind.has_fpn() { 4 } else { 32 };
            for (k, level) in levels.iter().enumerate() {
                let stride = finest << k;
                let want = [1, 64usize.div_ceil(stride), 96usize.div_ceil(stride), net.out_channels()];
                assert_eq!(level.shape()[..], want, "{kind}, level {k}");
            }
            assert_eq!(net.roi_levels(), levels.len() - usize::from(kind.has_fpn()));
        }
    }
}
