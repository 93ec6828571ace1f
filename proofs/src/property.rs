//! Running a property: many cases, a counterexample made small, a line in the report.
//!
//! A property is a generator and a closure that says whether one case is right. [`holds`] demands that all are,
//! [`refuted`] (for negative controls: planted wrong claims) that one is not; [`law`] and [`law_refuted`] do the same with
//! quickcheck, for laws over plain numbers. PROPTEST_CASES sets the number of cases (1,000 by default). The cases are
//! the same on each run; PROPTEST_RNG_SEED chooses others.

use proptest::strategy::Strategy;
use proptest::test_runner::{
    Config, RngAlgorithm, RngSeed, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io::Write;

/// Names the file that each test adds a line to, in JSON: {test, cases, counterexample?}.
pub const REPORT: &str = "GRADUS_PROOFS_REPORT";

/// What a control may try before it counts as not refuted, if fewer cases are asked for.
const CONTROL_CASES: u32 = 10_000;

/// How many cases a property tries: PROPTEST_CASES, or 1,000.
pub fn cases() -> u32 {
    config().cases
}

fn config() -> Config {
    let mut config = Config { failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 1000;
    }
    config.max_global_rejects = config.cases.saturating_mul(16).max(1024);
    config.max_local_rejects = 1 << 20;
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(seed());
    }
    config
}

/// The running test's name: libtest names its threads so.
fn test_name() -> String {
    std::thread::current().name().unwrap_or("unnamed").to_string()
}

/// Each test has its own cases (FNV-1a of its name).
fn seed() -> u64 {
    test_name().bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// Every case drawn from `strategy` satisfies `property`. Panics with the smallest counterexample found.
#[track_caller]
pub fn holds<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let config = config();
    let cases = config.cases;
    if let Err(e) = TestRunner::new(config).run(&strategy, property) {
        panic!("{e}");
    }
    tried(cases.into());
}

/// Some case drawn from `strategy` violates `property`. Panics when none is found: then the generator of the claim
/// whose control this is could not find a mistake either.
#[track_caller]
pub fn refuted<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let config = config();
    let cases = config.cases.max(CONTROL_CASES);
    match TestRunner::new(Config { cases, ..config }).run(&strategy, property) {
        Err(TestError::Fail(why, case)) => report(cases.into(), Some(&format!("{case:?}: {why}"))),
        Err(e) => panic!("{e}"),
        Ok(()) => panic!("the planted claim survived {cases} cases"),
    }
}

/// Settings for `proptest!`: this many cases, for properties of which each costs as much as a thousand of the others.
pub fn few(cases: u32) -> Config {
    Config { cases, ..config() }
}

/// Whether `cases` samples of the strategy, the same in each run, hold one that violates the property.
pub fn refutes<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value) -> TestCaseResult) -> bool
where
    S::Value: Debug,
{
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let found = TestRunner::new_with_rng(few(cases), rng).run(&strategy, property);
    if let Err(TestError::Fail(why, case)) = &found {
        report(cases.into(), Some(&format!("{case:?}: {why}")));
    }
    found.is_err()
}

/// A law over numbers drawn by quickcheck: one value, or a tuple of them.
#[track_caller]
pub fn law<A: Arbitrary + Debug>(law: fn(A) -> bool) {
    let cases = u64::from(cases());
    match quick(cases, law) {
        Ok(cases) => tried(cases),
        Err(e) => panic!("{e:?}"),
    }
}

/// A planted law that is wrong: quickcheck finds where.
#[track_caller]
pub fn law_refuted<A: Arbitrary + Debug>(law: fn(A) -> bool) {
    let cases = u64::from(cases().max(CONTROL_CASES));
    match quick(cases, law) {
        Err(e) => report(cases, Some(&format!("{e:?}"))),
        Ok(tried) => panic!("the planted law survived {tried} cases"),
    }
}

fn quick<A: Arbitrary + Debug>(cases: u64, law: fn(A) -> bool) -> Result<u64, quickcheck::TestResult> {
    let numbers = Gen::from_size_and_seed(100, seed());
    QuickCheck::new().rng(numbers).tests(cases).max_tests(cases).quicktest(law)
}

/// Reports that a test went through so many cases, for those that enumerate them.
pub fn tried(cases: u64) {
    report(cases, None);
}

/// Reports that an enumeration refuted a planted claim, and where.
pub fn refuted_at(case: impl Debug) {
    report(1, Some(&format!("{case:?}")));
}

fn report(cases: u64, counterexample: Option<&str>) {
    let Some(path) = std::env::var_os(REPORT) else { return };
    let mut line = serde_json::json!({"test": test_name(), "cases": cases});
    if let Some(case) = counterexample {
        line["counterexample"] = case.chars().take(400).collect::<String>().into();
    }
    // One write of one line: tests that run at the same time do not mix.
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut f| f.write_all(format!("{line}\n").as_bytes()));
    written.expect("the report can be written");
}

/// A case is right if `condition` holds; `why` is asked only where it does not.
pub fn ensure(condition: bool, why: impl FnOnce() -> String) -> TestCaseResult {
    if condition { Ok(()) } else { Err(TestCaseError::fail(why())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_refuted_and_properties_hold() {
        holds(0..100i32, |x| ensure(x < 100, || format!("{x}")));
        refuted(0..100i32, |x| ensure(x < 99, || format!("{x}")));
        law(|(a, b): (i16, i16)| i32::from(a) + i32::from(b) == i32::from(b) + i32::from(a));
        law_refuted(|a: i16| a.wrapping_add(1) == a.saturating_add(1));
    }

    #[test]
    #[should_panic(expected = "survived")]
    fn a_control_that_is_true_fails() {
        refuted(0..100i32, |x| ensure(x < 100, || format!("{x}")));
    }

    #[test]
    #[should_panic(expected = "minimal failing input: 7")]
    fn a_wrong_property_fails_with_a_small_case() {
        holds(0..1000i32, |x| ensure(x < 7, || format!("{x}")));
    }
}
