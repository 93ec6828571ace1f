//! AlexNet, ResNet, MobileNetV2 and two-stage detectors, with PyTorch's checkpoints.
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod alexnet;
pub mod body;
pub mod checkpoint;
pub mod conv_norm;
pub mod detection;
pub mod fpn;
mod linear;
pub mod mobilenet;
pub mod network;
pub mod resnet;
pub mod scalar;

pub use alexnet::AlexNet;
pub use conv_norm::Norm;
pub use mobilenet::MobileNetV2;
pub use network::Network;
pub use resnet::ResNet;
