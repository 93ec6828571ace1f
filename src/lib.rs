//! The application gradus as a library: what its commands do, as functions.
//!
//! [`data`] opens data sets and makes batches, [`engine`] trains and judges, [`run`] is the folder that a
//! training leaves, [`metrics`] and [`analysis`] look at what was learned, [`lessons`] teach descent, filters
//! and overlap, [`report`] and [`serve`] show it, [`plot`] and [`image`] draw. The networks are
//! `gradus_models`, the numerics `gradus_core`.
//!
//! An epoch of AlexNet on drawn shapes:
//!
//! ```
//! use gradus::data::{Loader, SyntheticShapes, Transform};
//! use gradus_core::{Adam, Optimizer, Rng, Tape};
//! use gradus_models::AlexNet;
//!
//! let (rng, data) = (Rng::seed(1234), SyntheticShapes::with_len(1, 96).split());
//! let mut net = AlexNet::cifar(data.classes().len(), &mut rng.stream("weights"));
//! let mut adam = Optimizer::new(Adam::new(3e-4));
//! for batch in Loader::training(data.train, Transform::CIFAR, 24, &rng).epoch(0, 0) {
//!     let batch = batch?;
//!     let mut g = Tape::train(&mut rng.stream("dropout").at(batch.number as u64));
//!     let logits = net.forward(&mut g, batch.images.into());
//!     let loss = g.cross_entropy(logits, &batch.labels);
//!     adam.step(&mut net, &g.backward(&loss))?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a network makes of images, in the plane:
//!
//! ```
//! use gradus::analysis::{Outputs, Pca};
//! use gradus::data::{SyntheticShapes, Transform};
//! use gradus_core::Rng;
//! use gradus_models::AlexNet;
//!
//! let images = SyntheticShapes::with_len(1, 24).split().train;
//! let net = AlexNet::cifar(images.classes().len(), &mut Rng::seed(1));
//! let outputs = Outputs::of(&net, &images, Transform::CIFAR)?;
//! assert_eq!(outputs.features.shape()[..], [images.len(), 1024]);
//! let plane = Pca::fit(&outputs.features, 2).project(&outputs.features);
//! assert_eq!(plane.shape()[..], [images.len(), 2]);
//! # Ok::<(), gradus::Error>(())
//! ```
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
// What is said goes through `say!`, and results through `Global::print`.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

#[macro_use]
mod say;

pub mod analysis;
pub mod bench;
pub mod bits;
pub mod cli;
pub mod comparison;
pub mod data;
pub mod engine;
pub mod error;
pub mod fetch;
pub mod files;
pub mod image;
pub mod interrupt;
pub mod lessons;
mod lock;
pub mod looks;
pub mod memory;
pub mod metrics;
pub mod numbers;
pub mod plot;
pub mod profile;
pub mod progress;
pub mod report;
pub mod run;
pub mod serve;
pub mod shell;

pub use error::{Error, Result};
