//! Training and evaluation: loops that can be stopped anywhere and go on to the same bits.

use serde::{Deserialize, Deserializer, de::Error};

pub mod alexnet;
pub mod classifier;
pub mod culprit;
pub mod curves;
pub mod detection;
pub mod detector;
pub mod detector_data;
pub mod detector_model;
pub mod files;
pub mod found;
pub mod lr_range;
pub mod model;
pub mod position;
pub mod resume;
pub mod room;
pub mod trainer;
pub mod weights;

/// The most passes of a run, and images of a step.
pub const MOST: usize = 1_000_000;

/// A number of passes, of images a step: from 1 to [`MOST`]. Settings are read from files, which may hold
/// any.
fn count<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let count = usize::deserialize(from)?;
    match count {
        1..=MOST => Ok(count),
        _ => Err(D::Error::custom(format!("a setting is {count}, not within 1 and {MOST}"))),
    }
}

/// A learning rate: with any other than a positive one nothing descends.
fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let rate = f64::deserialize(from)?;
    match rate.is_finite() && rate > 0.0 {
        true => Ok(rate),
        false => Err(D::Error::custom(format!("a learning rate is {rate}, not a positive number"))),
    }
}

/// To how much of itself a rate falls: from 0 to 1.
fn factor<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let factor = f64::deserialize(from)?;
    match (0.0..=1.0).contains(&factor) {
        true => Ok(factor),
        false => Err(D::Error::custom(format!("a factor is {factor}, not within 0 and 1"))),
    }
}

/// A precision in settings, by its name. Runs that were begun before there was a choice have f32, the
/// default.
mod named_precision {
    use gradus_core::gemm::Precision;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(precision: &Precision, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(precision.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Precision, D::Error> {
        let name = String::deserialize(from)?;
        let found = Precision::ALL.into_iter().find(|p| p.name() == name);
        found.ok_or_else(|| D::Error::custom(format!("precision {name}: not f32 or bf16")))
    }
}
