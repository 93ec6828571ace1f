//! gradus.
