//! Claims E1 and E2, over the library's elementary functions (`gradus_core::elementary`), against a reference
//! of as many digits as one asks for.

#[path = "reference.rs"]
mod reference;

use gradus_core::{Rng, elementary};
use gradus_proofs::property::{ensure, holds, refuted};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rayon::prelude::*;
use reference::Function;

/// Arguments of f32 next to which two roundings could differ, with their correctly rounded results: `function
/// argument result`, in bits. Trying all 2³² arguments finds them.
const HARD: &str = include_str!("hard_cases.txt");

fn hard_cases() -> Vec<(Function, f32, f32)> {
    let case = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().expect("a function");
        let function = Function::ALL.into_iter().find(|f| f.name() == name).expect("one of the functions");
        let mut bits = || u32::from_str_radix(words.next().expect("a number"), 16).expect("bits of f32");
        (function, f32::from_bits(bits()), f32::from_bits(bits()))
    };
    HARD.lines().filter(|l| !l.starts_with('#')).map(case).collect()
}

/// Whether the middle between two numbers of f32 lies within two units of y's last place.
fn is_near_a_middle(y: f64) -> bool {
    const HALF: u64 = 1 << 28;
    let (size, least) = (y.abs(), f64::from_bits((1023 - 125) << 52));
    if (least..f64::from(f32::MAX)).contains(&size) {
        return (y.to_bits() & (2 * HALF - 1)).abs_diff(HALF) <= 2;
    }
    if size < least && size > 0.0 {
        // Numbers of f32 are whole multiples of 2^-149 here, and the middles are odd multiples of half of it.
        let halves = size * f64::from_bits((1023 + 150) << 52);
        let middle = ((halves - 1.0) / 2.0).round() * 2.0 + 1.0;
        return (halves - middle).abs() <= 2.0 * f64::EPSILON * halves;
    }
    // The middle between the greatest number and what would follow it.
    let last = f64::from(f32::MAX) + f64::from_bits((1023 + 103) << 52);
    (size - last).abs() <= f64::from_bits((1023 + 77) << 52)
}

/// The correctly rounded result in f32.
fn rounded(function: Function, x: f32) -> f32 {
    function.value(f64::from(x)).round(24, -149) as f32
}

/// Same bits, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// Given that f64 errs by less than a unit in the last place, its rounded result is right where no middle is
/// near; there the reference decides.
fn is_rounded_correctly(function: Function, x: f32, single: f32) -> bool {
    let y = function.computed(f64::from(x));
    if is_near_a_middle(y) && function.is_defined_at(f64::from(x)) {
        same(single, rounded(function, x))
    } else {
        same(single, y as f32)
    }
}

#[test]
fn e1_the_hard_cases_are_rounded_correctly() {
    let cases = hard_cases();
    // Of tanh there is none.
    assert_eq!(Function::ALL.iter().filter(|f| cases.iter().any(|c| c.0 == **f)).count(), 8);
    cases.into_par_iter().for_each(|(function, x, want)| {
        assert!(same(rounded(function, x), want), "the table: {function:?} of {:08x}", x.to_bits());
        let y = function.computed(x);
        assert!(same(y, want), "{function:?}({x:e}): {:08x}, not {:08x}", y.to_bits(), want.to_bits());
    });
}

/// Ten million arguments of each function, of every size and sign.
#[test]
fn e1_a_sample_is_rounded_correctly() {
    sample(10_000_000, |i| {
        let mut rng = Rng::seed(1).at(i);
        rng.u64() as u32
    });
}

/// All arguments of each function: minutes.
#[cfg(feature = "exhaustive")]
#[test]
fn e1_every_argument_is_rounded_correctly() {
    sample(1 << 32, |i| i as u32);
}

fn sample(n: u64, bits: impl Fn(u64) -> u32 + Sync) {
    const PIECE: u64 = 1 << 16;
    for function in Function::ALL {
        (0..n.div_ceil(PIECE)).into_par_iter().for_each(|piece| {
            for i in piece * PIECE..((piece + 1) * PIECE).min(n) {
                let x = f32::from_bits(bits(i));
                let y = function.computed(x);
                assert!(is_rounded_correctly(function, x, y), "{function:?}({x:e}) = {y:e}");
            }
        });
    }
}

#[test]
fn e1_control_rounding_the_f64_result_is_enough() {
    let twice =
        |&(function, x, want): &(Function, f32, f32)| same(function.computed(f64::from(x)) as f32, want);
    assert!(
        !hard_cases().iter().all(twice),
        "no case needs its exception: the tables of exceptions are superfluous"
    );
}

/// What a C library does that computes in f32 alone.
#[test]
fn e1_control_an_exponential_in_f32_alone() {
    let exp = |x: f32| {
        let n = (x * std::f32::consts::LOG2_E).round();
        let r = (x - n * 0.693_145_75) - n * 1.428_606_8e-6;
        let series = (1..=8).rev().fold(1.0f32, |sum, k| 1.0 + r / k as f32 * sum);
        series * f32::from_bits(((n as i32 + 127) as u32) << 23)
    };
    refuted(-80.0f32..80.0, |x| {
        ensure(is_rounded_correctly(Function::Exp, x, exp(x)), || format!("e^{x:e} is not {:e}", exp(x)))
    });
}

/// Arguments of every size, those of the functions' interesting parts more often.
fn argument() -> impl Strategy<Value = f64> {
    prop_oneof![
        -30.0f64..30.0,
        -1.0f64..1.0,
        -750.0f64..750.0,
        any::<u64>().prop_map(f64::from_bits).prop_filter("a number", |x| !x.is_nan()),
        (-1.0f64..1.0, -60i32..40).prop_map(|(x, n)| x * f64::from_bits(((1023 + n) as u64) << 52)),
    ]
}

/// Whether y is f(x) to less than a unit in the last place.
fn is_within_a_unit(function: Function, x: f64, y: f64) -> TestCaseResult {
    // The reference works with as many digits as x is large or small; a thousand bits are enough for a test.
    if !function.is_defined_at(x) || x != 0.0 && !(1e-150..1e150).contains(&x.abs()) {
        return Ok(());
    }
    let error = function.value(x).error(y);
    ensure(error < 1.0, || format!("{function:?}({x:e}) = {y:e} is {error} units off"))
}

#[test]
fn e2_errors_are_below_a_unit_in_the_last_place() {
    holds((argument(), 0..9usize), |(x, function)| {
        let function = Function::ALL[function];
        is_within_a_unit(function, x, function.computed(x))
    });
}

#[test]
fn e2_special_arguments_have_their_special_results() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let of = |function: Function, x: f64| function.computed(x);
    for function in Function::ALL {
        assert!(of(function, nan).is_nan(), "{function:?}");
    }
    use Function::*;
    for (function, x, want) in [
        (Exp, inf, inf),
        (Exp, -inf, 0.0),
        (Exp, 710.0, inf),
        (Exp, -746.0, 0.0),
        (Exp, 0.0, 1.0),
        (Exp, -0.0, 1.0),
        (Ln, 0.0, -inf),
        (Ln, -0.0, -inf),
        (Ln, inf, inf),
        (Ln, 1.0, 0.0),
        (Ln, -1.0, nan),
        (Ln, 5e-324, -744.4400719213812),
        (Ln1p, -1.0, -inf),
        (Ln1p, inf, inf),
        (Ln1p, 0.0, 0.0),
        (Ln1p, -0.0, -0.0),
        (Ln1p, -1.5, nan),
        (Tanh, inf, 1.0),
        (Tanh, -inf, -1.0),
        (Tanh, 0.0, 0.0),
        (Tanh, -0.0, -0.0),
        (Tanh, 5e-324, 5e-324),
        (Sigmoid, inf, 1.0),
        (Sigmoid, -inf, 0.0),
        (Sigmoid, 0.0, 0.5),
        (Sin, inf, nan),
        (Cos, -inf, nan),
        (Sin, -0.0, -0.0),
        (Cos, 0.0, 1.0),
        (Atan, inf, std::f64::consts::FRAC_PI_2),
        (Atan, -inf, -std::f64::consts::FRAC_PI_2),
        (Atan, -0.0, -0.0),
        (Erf, inf, 1.0),
        (Erf, -inf, -1.0),
        (Erf, -0.0, -0.0),
    ] {
        let y = of(function, x);
        assert!(y.to_bits() == want.to_bits() || y.is_nan() && want.is_nan(), "{function:?}({x}) = {y}");
        let single = function.computed(x as f32);
        assert!(x as f32 as f64 != x || same(single, want as f32), "{function:?}({x}) = {single}");
    }
}

/// Where the library's sine has a coefficient with one bit changed: the last but 24 of 1/5!.
#[test]
fn e2_control_a_coefficient_with_one_bit_changed() {
    let wrong = f64::from_bits((1.0f64 / 120.0).to_bits() ^ (1 << 24));
    let sin = |x: f64| {
        let z = x * x;
        elementary::sin(x) + x * z * z * (wrong - 1.0 / 120.0)
    };
    refuted(-0.7f64..0.7, |x| is_within_a_unit(Function::Sin, x, sin(x)));
}

#[test]
fn e2_control_half_a_unit() {
    refuted(argument(), |x| {
        let small = x.is_finite() && (1e-100..700.0).contains(&x.abs());
        let error = if small { Function::Exp.value(x).error(elementary::exp(x)) } else { 0.0 };
        ensure(error <= 0.5, || format!("e^{x:e} is {error} units off"))
    });
}

#[test]
fn e2_whole_powers_err_by_as_many_roundings() {
    holds((0.5f64..2.0, -40i32..40), |(x, n)| {
        // By another way.
        let exact = elementary::exp(f64::from(n) * elementary::ln(x));
        let y = elementary::powi(x, n);
        // In units of ε = 2u: powi errs by n/2. ln x, at most 0.7, errs by half a unit and is multiplied by
        // n; the product, at most 0.7 n, is rounded: together 0.85 n in the exponent, and so relatively; exp
        // adds 1.
        let bound = (1.35 * f64::from(n.abs()) + 1.0) * f64::EPSILON * exact;
        ensure((y - exact).abs() <= bound, || format!("{x}^{n} = {y}, not {exact}"))
    });
}

#[test]
fn e2_control_powers_without_an_error() {
    refuted((0.5f64..2.0, -40i32..40), |(x, n)| {
        let exact = elementary::exp(f64::from(n) * elementary::ln(x));
        ensure(elementary::powi(x, n) == exact, || format!("{x}^{n}"))
    });
}
