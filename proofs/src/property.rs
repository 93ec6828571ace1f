//! Running a property: many cases, a counterexample made small, a line in the report.
//!
//! A property is a generator and a closure that says whether one case is right. [`holds`] demands that all
//! are, [`refuted`] (for negative controls: planted wrong claims) that one is not; [`law`] and
//! [`law_refuted`] do the same with quickcheck, for laws over plain numbers. PROPTEST_CASES sets the number
//! of cases (1,000 by default). The cases are the same on each run; PROPTEST_RNG_SEED chooses others.

use gradus_core::simd::Isa;
use proptest::strategy::Strategy;
use proptest::test_runner::{
    Config, RngAlgorithm, RngSeed, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::cell::Cell;
use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;

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
    holds_with(config(), strategy, property);
}

/// [`holds`] with other settings, such as [`few`] cases.
#[track_caller]
pub fn holds_with<S: Strategy>(config: Config, strategy: S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let cases = config.cases;
    if let Err(e) = TestRunner::new(config).run(&strategy, property) {
        panic!("{e}");
    }
    tried(cases.into());
}

/// Some case drawn from `strategy` violates `property`. Panics when none is found: then the generator of the
/// claim whose control this is could not find a mistake either.
#[track_caller]
pub fn refuted<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let config = config();
    let cases = config.cases.max(CONTROL_CASES);
    let found = search(TestRunner::new(Config { cases, ..config }), strategy, property);
    assert!(found, "the planted claim survived {cases} cases");
}

/// Whether the runner finds a case that violates the property, and reports it. A panic is no counterexample:
/// it is passed on.
#[track_caller]
fn search<S: Strategy>(
    mut runner: TestRunner,
    strategy: S,
    property: impl Fn(S::Value) -> TestCaseResult,
) -> bool
where
    S::Value: Debug,
{
    let cases = runner.config().cases;
    let panicked = Cell::new(None);
    let found = runner.run(&strategy, |case| {
        catch_unwind(AssertUnwindSafe(|| property(case))).unwrap_or_else(|payload| {
            panicked.set(Some(payload));
            Err(TestCaseError::fail("a panic"))
        })
    });
    if let Some(payload) = panicked.take() {
        resume_unwind(payload);
    }
    match found {
        Err(TestError::Fail(why, case)) => report(cases.into(), Some(&format!("{case:?}: {why}"))),
        Err(e) => panic!("{e}"),
        Ok(()) => return false,
    }
    true
}

/// This many cases, for properties of which each costs as much as a thousand of the others.
pub fn few(cases: u32) -> Config {
    Config { cases, ..config() }
}

/// Settings for `proptest!`, reported as they are asked for: this many cases.
pub fn settings(cases: u32) -> Config {
    tried(cases.into());
    few(cases)
}

/// Whether `cases` samples of the strategy, the same in each run, hold one that violates the property.
pub fn refutes<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value) -> TestCaseResult) -> bool
where
    S::Value: Debug,
{
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    search(TestRunner::new_with_rng(few(cases), rng), strategy, property)
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
        Err(e) => report(cases, Some(&arguments(&format!("{e:?}")))),
        Ok(tried) => panic!("the planted law survived {tried} cases"),
    }
}

/// The case alone, of quickcheck's `TestResult { .., arguments: Some(["(0, 2)"]), .. }`.
fn arguments(result: &str) -> String {
    let inner = result.split_once("Some([\"").and_then(|(_, rest)| rest.split_once("\"])"));
    inner.map_or(result, |(case, _)| case).to_string()
}

fn quick<A: Arbitrary + Debug>(cases: u64, law: fn(A) -> bool) -> Result<u64, quickcheck::TestResult> {
    let numbers = Gen::from_size_and_seed(100, seed());
    QuickCheck::new().rng(numbers).tests(cases).max_tests(cases).quicktest(law)
}

/// Runs the tests of this test program again on each instruction set that the machine has, with so many times
/// fewer cases and these settings of the environment. In such a run it does nothing.
pub fn on_each_instruction_set(settings: &[(&str, &str)], fewer: u32) {
    const AGAIN: &str = "GRADUS_PROOFS_AGAIN";
    if std::env::var_os(AGAIN).is_some() {
        return;
    }
    let this = std::env::current_exe().expect("the test program's own path");
    // AVX512-BF16 differs from AVX-512 in mixed precision alone.
    for isa in Isa::ALL.into_iter().filter(|&isa| isa.is_available() && isa != Isa::Avx512Bf16) {
        let mut run = Command::new(&this);
        run.env(AGAIN, "1").env("GRADUS_ISA", isa.name()).envs(settings.iter().copied());
        run.env("PROPTEST_CASES", cases().div_ceil(fewer).to_string()).env_remove(REPORT);
        let output = run.output().expect("the test program runs itself");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{isa}, {settings:?}:\n{said}");
    }
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
    #[should_panic(expected = "out of order")]
    fn a_panic_does_not_refute() {
        refuted(0..100i32, |_| panic!("out of order"));
    }

    #[test]
    #[should_panic(expected = "minimal failing input: 7")]
    fn a_wrong_property_fails_with_a_small_case() {
        holds(0..1000i32, |x| ensure(x < 7, || format!("{x}")));
    }
}
