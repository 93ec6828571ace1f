//! AlexNet, ResNet, MobileNetV2 and two-stage detectors, with PyTorch's checkpoints.
#![warn(missing_docs)]

pub mod checkpoint;
pub mod detection;
pub mod filters;
pub mod quadratic;
pub mod scalar;
