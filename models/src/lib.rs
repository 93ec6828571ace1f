//! AlexNet, ResNet, MobileNetV2 and two-stage detectors, with PyTorch's checkpoints.
#![warn(missing_docs)]

pub mod alexnet;
pub mod checkpoint;
pub mod detection;
pub mod filters;
pub mod quadratic;
pub mod scalar;

pub use alexnet::AlexNet;
