//! Two-stage detection: boxes and what is built on them.

pub mod backbone;
pub mod boxes;
