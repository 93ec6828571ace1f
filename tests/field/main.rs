//! Troubles that users of other tools reported, tried here: one test a report, named in a comment, on inputs
//! that the test makes.
//!
//! Each report is one case of a kind. The test holds the right value, so that the kind does not come back.

mod checkpoints;
mod common;
mod damage;
mod detection;
mod detectors;
mod folders;
mod images;
mod numerics;
mod runs;
mod training;
