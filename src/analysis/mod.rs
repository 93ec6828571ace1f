//! What a trained classifier does, made visible.
//!
//! [`Outputs`] are its features and logits on some images; [`Pca`] (by [`eigen`]) and [`tsne`] lay them out
//! in the plane; [`confident_errors`] shows where it is surest and wrong; [`first_filters`] and [`responses`]
//! what its first layer looks for; [`explain`] where in a picture it looked; [`imagine`] an input that it
//! takes for a class; [`samples`] what happens to a picture before any network sees it.

mod activations;
mod eigen;
mod explain;
mod filters;
mod imagine;
mod pca;
pub mod samples;
pub mod tsne;

pub use activations::{Outputs, confident_errors, first_filters, responses, scatter};
pub use eigen::eigen;
pub use explain::{Heat, Seeing, explain, explained, grad_cam, occlusion};
pub use filters::filters_told;
pub use imagine::{Imagined, ascend, imagine, search};
pub use pca::Pca;
