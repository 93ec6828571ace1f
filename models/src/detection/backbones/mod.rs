//! The backbones there are. A backbone is a file here, which says how it is made and how its checkpoints are
//! told (`Design`), and a row of the table below. What the command line takes, its help and what it says of a
//! wrong name follow from the table.

mod design;
mod mobilenet_v2;
mod resnet;

use crate::checkpoint::StateDict;
use crate::conv_norm::Norm;
use crate::resnet::Depth;
use design::Design;
use gradus_core::Element;
use mobilenet_v2::MobileNetV2;
use resnet::ResNetFpn;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The table: of each backbone what it is, what it is called here and on the command line, and its design.
macro_rules! backbones {
    ($($(#[$doc:meta])* $kind:ident = $name:literal: $design:expr;)*) => {
        /// Which backbone, as the command line names them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum BackboneKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl BackboneKind {
            /// All of them.
            pub const ALL: [BackboneKind; [$($name),*].len()] = [$(BackboneKind::$kind),*];

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(BackboneKind::$kind => $name,)*
                }
            }

            pub(super) fn design<E: Element>(self) -> &'static dyn Design<E> {
                match self {
                    $(BackboneKind::$kind => &$design,)*
                }
            }
        }
    };
}

backbones! {
    /// ResNet-50 with a pyramid.
    Resnet50Fpn = "resnet50-fpn": ResNetFpn(Depth::R50);
    /// ResNet-34 with a pyramid.
    Resnet34Fpn = "resnet34-fpn": ResNetFpn(Depth::R34);
    /// ResNet-18 with a pyramid.
    Resnet18Fpn = "resnet18-fpn": ResNetFpn(Depth::R18);
    /// MobileNetV2's last map alone.
    MobilenetV2 = "mobilenet-v2": MobileNetV2 { pyramid: false };
    /// MobileNetV2 with a pyramid.
    MobilenetV2Fpn = "mobilenet-v2-fpn": MobileNetV2 { pyramid: true };
}

impl BackboneKind {
    /// The backbone of a detector's checkpoint, told by its names.
    pub fn recognise(state: &StateDict) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let body = if kind.has_fpn() { "backbone.body." } else { "backbone." };
            kind.design::<f32>().is_of(&|name| state.contains_key(&format!("{body}{name}")))
        })
    }

    /// Whether a pyramid gives its levels.
    pub fn has_fpn(self) -> bool {
        self.design::<f32>().has_fpn()
    }

    /// How many stages can be trained or frozen.
    pub fn stages(self) -> usize {
        self.design::<f32>().stages()
    }

    /// How many of the last stages are trained from pretrained weights, unless told otherwise: 3 with a
    /// pyramid, else all.
    pub fn default_trainable(self) -> usize {
        self.design::<f32>().default_trainable()
    }

    /// What becomes of batch norm, unless told otherwise: frozen with a pyramid, else trained.
    pub fn default_norm(self) -> Norm {
        self.design::<f32>().default_norm()
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
        let named = Self::ALL.into_iter().find(|kind| kind.name() == name);
        named.ok_or_else(|| UnknownBackbone(name.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_command_line() {
        for kind in BackboneKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<BackboneKind>(&format!("\"{kind}\"")).unwrap(), kind);
        }
        let said = "resnet101".parse::<BackboneKind>().unwrap_err().to_string();
        assert!(said.contains("resnet101") && said.contains("mobilenet-v2-fpn"), "{said}");
    }
}
