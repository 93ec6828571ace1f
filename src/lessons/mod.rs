//! Lessons: what gradient descent, filters designed by hand and the overlap of boxes do, and why.
//!
//! The mathematics is [`quadratic`], [`filters`] and [`kinks`]: the claims in `proofs` are about these
//! functions. What people are told and shown of it, on the command line, in the report and in the lab alike,
//! is [`descent`], [`filtering`] and [`iou`]; what they can try, and whether they got it right, is [`exercises`].

pub mod descent;
pub mod exercises;
pub mod filtering;
pub mod filters;
pub mod iou;
pub mod kinks;
pub mod quadratic;
