//! Two-stage detection: Faster R-CNN (Ren et al. 2015) and Mask R-CNN (He et al. 2017), with torchvision's
//! definitions.
//!
//! Images are made ready ([`transform`]) and seen by a [`Backbone`], one of the [`backbones`], at several
//! scales. The first stage ([`rpn`]) proposes boxes; the second ([`roi_heads`]) says for each what it shows,
//! where exactly, and, with masks, on which pixels. [`postprocess`] keeps the best. A detector's checkpoint
//! is told by its [`names`]; [`pretrain`] begins with one, or with a classifier's.
//!
//! ```
//! use gradus_core::{Rng, Tape, Tensor};
//! use gradus_models::detection::{BackboneKind, Config, Detector, Target};
//! let config = Config { min_size: 64, max_size: 96, ..Config::new(BackboneKind::Resnet18Fpn, 2) };
//! let rng = &mut Rng::seed(0);
//! let net = Detector::<f32>::new(config, rng);
//! let image = Tensor::full([48, 64, 3], 0.5);
//! let boxes = Tensor::from_slice([1, 4], &[8.0, 4.0, 40.0, 44.0]);
//! let target = Target { boxes, labels: vec![1], masks: None };
//! let mut g = Tape::train(rng);
//! let losses = net.losses(&mut g, &[image.clone()], &[target])?;
//! let total = losses.total(&mut g);
//! let gradients = g.backward(&total);
//! let found = net.detect(&[image]);
//! # let _ = gradients;
//! assert!(found[0].boxes.shape()[0] <= 100);
//! # Ok::<(), gradus_models::detection::TargetError>(())
//! ```

pub mod anchors;
mod backbone;
pub mod backbones;
pub mod boxes;
pub mod choice;
pub mod coder;
mod config;
mod detector;
pub mod matcher;
pub mod names;
pub mod nms;
pub mod patches;
pub mod pooler;
pub mod postprocess;
mod pretrained;
pub mod roi_heads;
pub mod rpn;
pub mod sampler;
mod target;
pub mod transform;

pub use backbone::Backbone;
pub use backbones::BackboneKind;
pub use config::Config;
pub use detector::Detector;
pub use postprocess::{Pasted, paste_mask};
pub use pretrained::{NORM_EPS, Pretrained, Source, load_pretrained, norm_eps, pretrain, pretrain_file};
pub use target::{Detections, Losses, Masks, Target, TargetError};
