//! Options that several commands have.

use crate::data::Reading;
use crate::engine;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use gradus_core::gemm::Precision;
use std::path::PathBuf;

/// Options that most commands have.
#[derive(Args, Clone)]
#[command(next_help_heading = "Common options")]
pub struct Global {
    /// Print exactly one JSON value on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but what is wrong: no progress, no notes
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: each file that is written, and what took its time
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Threads to compute with [default: all cores]; the results' bits do not depend on it
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// What products and convolutions read: f32, whose bits are the same on every processor, or bf16 (mixed
    /// precision; faster where the processor has AMX or AVX512-BF16, whose bits are their own)
    #[arg(long, global = true, value_name = "P", default_value = "f32", value_parser = precision)]
    pub precision: Precision,
    /// The seed of everything random
    #[arg(long, global = true, value_name = "N", default_value_t = 1234)]
    pub seed: u64,
    /// Print what took the time, op by op, at the end; write a trace for Chrome's viewer to FILE [default:
    /// gradus-profile.json]
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "gradus-profile.json")]
    pub profile: Option<PathBuf>,
    /// Which of these were given, where a run that goes on has its own
    #[arg(skip)]
    pub(super) given: Given,
}

/// Options that were given, not taken by default.
#[derive(Clone, Copy, Default)]
pub(super) struct Given {
    seed: bool,
    precision: bool,
}

impl Given {
    pub fn of(matches: &ArgMatches) -> Self {
        let given = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        Given { seed: given("seed"), precision: given("precision") }
    }
}

/// Parses a precision by its name.
fn precision(text: &str) -> std::result::Result<Precision, String> {
    let found = Precision::ALL.into_iter().find(|p| p.name() == text);
    found.ok_or_else(|| "choose f32 or bf16".into())
}

impl Global {
    /// The seed, where a run goes on its own unless another is given.
    pub fn seed_of(&self, begun: Option<u64>) -> u64 {
        pick(self.given.seed.then_some(self.seed), begun, self.seed)
    }

    /// The precision, where a run goes on its own unless another is given.
    pub fn precision_of(&self, begun: Option<Precision>) -> Precision {
        pick(self.given.precision.then_some(self.precision), begun, self.precision)
    }
}

/// What is given, else what a run that goes on was begun with, else the default.
pub(super) fn pick<T>(given: Option<T>, begun: Option<T>, default: T) -> T {
    given.or(begun).unwrap_or(default)
}

/// How commands that read a data set take its faults.
#[derive(Args, Clone, Copy, Default)]
pub(super) struct ReadingArgs {
    /// Refuse a data set that has any fault, however small; each image is decoded for it
    #[arg(long)]
    strict: bool,
    /// Leave out images that cannot be read, and say which
    #[arg(long, conflicts_with = "strict")]
    skip_bad: bool,
}

impl ReadingArgs {
    /// How they are taken.
    pub fn reading(self) -> Reading {
        Reading { strict: self.strict, skip_bad: self.skip_bad }
    }

    /// How a run that goes on reads its data, unless told otherwise.
    pub fn of_run(self, begun: Option<Reading>) -> Reading {
        let given = self.reading();
        if given.is_default() { begun.unwrap_or(given) } else { given }
    }
}

/// Parses a count of a run's settings, which its folder can hold.
pub(super) fn count(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        n if n > engine::MOST => Err(format!("at most {} is possible", engine::MOST)),
        n => Ok(n),
    }
}

/// Parses a number from 0 to 1, such as a detection's least score.
pub(super) fn fraction(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(v) if (0.0..=1.0).contains(&v) => Ok(v),
        _ => Err("a number from 0 to 1 is needed, such as 0.5".into()),
    }
}

/// Parses a count that must be at least 1.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("at least 1 is needed".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("a whole number is needed, such as 25".into()),
    }
}
