//! Training and evaluation: loops that can be stopped anywhere and go on to the same bits.

pub mod alexnet;
pub mod classifier;
pub mod culprit;
pub mod detection;
pub mod detector;
pub mod detector_model;
pub mod found;
pub mod lr_range;
pub mod model;
pub mod state;
pub mod trainer;
pub mod weights;

/// Of runs that were begun before there was a choice.
fn single_precision() -> String {
    gradus_core::gemm::Precision::F32.name().into()
}
