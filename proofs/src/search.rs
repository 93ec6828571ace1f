//! Negative controls: a planted wrong claim has to be refuted by the same generator that the true one survives.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Settings of the properties: this many cases, and no files of past failures.
pub fn cases(n: u32) -> Config {
    Config { cases: n, failure_persistence: None, ..Config::default() }
}

/// Whether `n` samples of the strategy, the same in each run, hold one that refutes the property.
pub fn refutes<S: Strategy>(
    n: u32,
    strategy: S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> bool {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(cases(n), rng).run(&strategy, property).is_err()
}
