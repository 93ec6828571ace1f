//! Claims D1 to D7, over the optimisers that users run (`gradus_core::optim`), with gradients from the tape.
//!
//! Curvatures, steps and starts are mostly small multiples of powers of two: then every product and sum below
//! is exact in f64, and the comparison with the theory needs no tolerance. Where numbers are arbitrary, the
//! tolerance is derived beside the test; u is the unit roundoff. D7 is in `momentum.rs`.

use gradus::lessons::quadratic::{Quadratic, Verdict, steps_needed};
use gradus_core::{Element, Sgd};
use gradus_proofs::generators::{dyadic, positive_dyadic};
use gradus_proofs::property::{ensure, holds, law, refuted, tried};
use gradus_proofs::rational::Rational;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

mod momentum;

const U: f64 = f64::UNIT_ROUNDOFF;

/// Curvatures (0, 2], multiples of 1/8.
fn curvature() -> impl Strategy<Value = f64> + Clone {
    (1..=16i32).prop_map(|k| f64::from(k) / 8.0)
}

/// Steps of either sign, multiples of 1/16 up to 4; many lie on the boundary of a curvature.
fn step() -> impl Strategy<Value = f64> + Clone {
    (-8..=64i32).prop_map(|k| f64::from(k) / 16.0)
}

/// Starts -8 .. 8 without 0.
fn nonzero() -> impl Strategy<Value = f64> + Clone {
    (1..=8i32, any::<bool>()).prop_map(|(k, negative)| f64::from(if negative { -k } else { k }))
}

/// Where gradient descent itself comes to rest, or where a coordinate has become a thousandth of its start or
/// a thousand times it: in at most 1000 steps, in which every factor of [`curvature`] and [`step`] other than
/// 1 and -1 (at least 1/128 away from these) has had the time, for (1 - 1/128)^1000 < 1/1000. The last two
/// points are returned.
fn settle(q: &Quadratic, lr: f64, start: &[f64]) -> [Vec<f64>; 2] {
    let mut at = start.to_vec();
    for steps in (0..1000).step_by(50) {
        let mut path = q.descend(Sgd::new(lr), &at, 50);
        at = path.pop().unwrap();
        let grown = at.iter().zip(start).any(|(w, w0)| !w.is_finite() || w.abs() > 1000.0 * w0.abs());
        if grown || vanished(&at, start) || steps == 950 {
            return [path.pop().unwrap(), at];
        }
    }
    unreachable!("the last fifty steps return")
}

fn vanished(w: &[f64], start: &[f64]) -> bool {
    w.iter().zip(start).all(|(w, w0)| w.abs() <= w0.abs() / 1000.0)
}

fn reaches_zero(q: &Quadratic, lr: f64, start: &[f64]) -> bool {
    vanished(&settle(q, lr, start)[1], start)
}

// D1

#[test]
fn d1_the_iterates_are_powers_of_the_factor() {
    // |ρ| <= 7 is a multiple of 1/128: five steps need at most 3 + 5 (log2 7 + 7) < 53 bits.
    holds((curvature(), curvature(), step(), nonzero(), nonzero()), |(a, b, lr, x, y)| {
        let path = Quadratic::new([a, b]).descend(Sgd::new(lr), &[x, y], 5);
        for (t, w) in (0..).zip(&path) {
            for (c, w0, w) in [(a, x, w[0]), (b, y, w[1])] {
                let rho = Rational::ONE - Rational::exactly(lr) * Rational::exactly(c);
                let expected = rho.pow(t) * Rational::exactly(w0);
                ensure(Rational::exactly(w) == expected, || format!("w({t}) = {w}, {expected:?} expected"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn d1_zero_is_the_only_minimiser() {
    holds((curvature(), curvature(), dyadic(64, 3), dyadic(64, 3)), |(a, b, x, y)| {
        let q = Quadratic::new([a, b]);
        let loss = q.loss(&[x, y]);
        ensure(loss >= q.loss(&[0.0, 0.0]) && (loss == 0.0) == (x == 0.0 && y == 0.0), || {
            format!("loss {loss}")
        })
    });
}

#[test]
fn d1_the_tapes_gradient_is_curvature_times_point() {
    // With a step of 1 the gradient is what was taken away: w(0) - w(1), exact for these numbers.
    law(|(c, w): (i16, i16)| {
        let (c, w) = (f64::from(c), f64::from(w));
        let path = Quadratic::new([c]).descend(Sgd::new(1.0), &[w], 1);
        path[0][0] - path[1][0] == c * w
    });
}

#[test]
fn d1_control_the_factor_without_the_half() {
    // The update factors of L = a w1² + b w2².
    refuted((curvature(), step(), nonzero()), |(c, lr, w)| {
        let path = Quadratic::new([c]).descend(Sgd::new(lr), &[w], 1);
        ensure(path[1][0] == (1.0 - 2.0 * lr * c) * w, || format!("w(1) = {}", path[1][0]))
    });
}

#[test]
fn d1_control_a_minimiser_for_every_curvature() {
    refuted((dyadic(16, 3), nonzero()), |(c, w)| {
        let q = Quadratic::new([c]);
        ensure(q.loss(&[w]) > q.loss(&[0.0]), || format!("loss {}", q.loss(&[w])))
    });
}

// D2

/// A planted or true condition on (step, smaller, larger curvature), against what the optimiser does.
fn decides(
    condition: impl Fn(f64, f64, f64) -> bool,
) -> impl Fn((f64, f64, f64, f64, f64)) -> TestCaseResult {
    move |(a, b, lr, x, y)| {
        let converges = reaches_zero(&Quadratic::new([a, b]), lr, &[x, y]);
        ensure(converges == condition(lr, a.min(b), a.max(b)), || format!("converges: {converges}"))
    }
}

fn starts_off_the_axes() -> impl Strategy<Value = (f64, f64, f64, f64, f64)> {
    (curvature(), curvature(), step(), nonzero(), nonzero())
}

#[test]
fn d2_converges_iff_the_step_is_positive_and_below_two_over_the_larger() {
    holds(starts_off_the_axes(), decides(|lr, _, larger| 0.0 < lr && lr * larger < 2.0));
}

#[test]
fn d2_the_verdict_is_what_the_optimiser_does() {
    holds(starts_off_the_axes(), |(a, b, lr, x, y)| {
        let q = Quadratic::new([a, b]);
        let (verdict, why) = q.verdict(&Sgd::new(lr), &[x, y]);
        let [before, end] = settle(&q, lr, &[x, y]);
        let seen = if vanished(&end, &[x, y]) {
            Verdict::Converges
        } else if end.iter().zip([x, y]).any(|(w, w0)| w.abs() > 1000.0 * w0.abs()) {
            Verdict::Diverges
        } else if end == before {
            Verdict::Stays
        } else {
            Verdict::Alternates
        };
        ensure(seen == verdict, || format!("{verdict:?} because {why}, but {seen:?}"))?;
        let (bound, known) = (q.bound().map(|bound| 0.0 < lr && lr < bound), verdict == Verdict::Converges);
        // 2 / c is rounded; the steps here are not the floats next to it unless they are it.
        ensure(bound == Some(known), || format!("the bound {:?} says {bound:?}", q.bound()))
    });
}

/// The exact iterate, up to rounding. One update in f32 computes w' = w (1 - ηc (1 + d₁)(1 + d₂)) (1 + d₃) with
/// |dᵢ| <= u: d₁ from c w (the tape's 0.5 and 2 are exact), d₂ from the product with η (none with a fused multiply-add),
/// d₃ from the difference. So its factor is within ε = |ηc| (2u + 3u² + u³) + u |ρ| of ρ, and T of them multiply to
/// within (|ρ| + ε)ᵀ - |ρ|ᵀ of ρᵀ. The oracle, in f64, rounds 2T + 2 times more: its relative error is below 4 T 2⁻⁵³.
/// Iterates that come near the least normal number, or overflow, are left out.
#[test]
fn d2_rounding_moves_the_iterates_no_more_than_the_bound() {
    holds((0.01f32..100.0, 1e-4f32..2.5, 0.1f32..10.0), |(c, part, w0)| {
        let (u, lr) = (f32::UNIT_ROUNDOFF, part / c);
        let (ec, rho) = (f64::from(lr) * f64::from(c), 1.0 - f64::from(lr) * f64::from(c));
        let eps = ec.abs() * (2.0 * u + 3.0 * u * u + u * u * u) + u * rho.abs();
        let path = Quadratic::new([f64::from(c)]).descend(Sgd::new(lr.into()), &[w0], 200);
        let mut exact = f64::from(w0);
        for (t, w) in path.iter().enumerate() {
            if !(1e-30..1e30).contains(&exact.abs()) {
                break;
            }
            let (size, steps) = (rho.abs(), t as f64);
            let grown = (size + eps).powf(steps) - size.powf(steps);
            let oracle = 4.0 * (steps + 2.0) * U * (size + eps).powf(steps);
            let (error, bound) = ((f64::from(w[0]) - exact).abs(), f64::from(w0) * (grown + oracle));
            ensure(error <= bound, || {
                format!("step {t}: {} is {error:e} from {exact}, bound {bound:e}", w[0])
            })?;
            exact *= rho;
        }
        Ok(())
    });
}

#[test]
fn d2_control_less_or_equal() {
    refuted(starts_off_the_axes(), decides(|lr, _, larger| 0.0 < lr && lr * larger <= 2.0));
}

#[test]
fn d2_control_the_smaller_curvature() {
    refuted(starts_off_the_axes(), decides(|lr, smaller, _| 0.0 < lr && lr * smaller < 2.0));
}

#[test]
fn d2_control_one_over_the_larger_is_necessary() {
    refuted(starts_off_the_axes(), decides(|lr, _, larger| 0.0 < lr && lr * larger <= 1.0));
}

#[test]
fn d2_control_any_start() {
    // On an axis the other curvature has no say.
    let axes = prop_oneof![Just(0.0), nonzero()];
    let starts = (curvature(), curvature(), step(), axes.clone(), axes);
    refuted(starts, decides(|lr, _, larger| 0.0 < lr && lr * larger < 2.0));
}

// D3

/// w(t) = (-1)ᵗ w(0), bit for bit.
fn alternates<E: Element>(c: f64, lr: f64, w0: E) -> TestCaseResult {
    let path = Quadratic::new([c]).descend(Sgd::new(lr), &[w0], 64);
    let right = |(t, w): (usize, &Vec<E>)| w[0] == if t % 2 == 0 { w0 } else { -w0 };
    ensure(path.iter().enumerate().all(right), || format!("{} {} {} ...", path[1][0], path[2][0], path[3][0]))
}

#[test]
fn d3_on_the_boundary_w_alternates_for_ever() {
    // Powers of two scale exactly; w stays far from overflow and underflow.
    holds((-20..20i32, 1e-6f32..1e6, any::<bool>()), |(k, w0, negative)| {
        let (c, w0) = (2f64.powi(k), if negative { -w0 } else { w0 });
        alternates(c, 2.0 / c, w0)?;
        alternates(c, 2.0 / c, f64::from(w0) * 1.1)?;
        let verdict = Quadratic::new([c]).verdict(&Sgd::new(2.0 / c), &[1.0]).0;
        ensure(verdict == Verdict::Alternates, || format!("{verdict:?}"))
    });
}

#[test]
fn d3_control_for_every_curvature() {
    // 2 / c, rounded, is not on the boundary.
    refuted((0.1f64..10.0, 0.1f64..10.0), |(c, w0)| alternates(c, 2.0 / c, w0));
}

// D4

#[test]
fn d4_without_curvature_a_coordinate_never_moves() {
    holds((curvature(), 0.0f64..0.9, any::<f32>()), |(c, part, w)| {
        let w = f64::from(if w.is_finite() { w } else { 1.0 });
        let q = Quadratic::new([0.0, c]);
        let path = q.descend(Sgd::new(part / c), &[w, 1.0], 20);
        ensure(path.iter().all(|p| p[0] == w), || format!("{path:?}"))?;
        // Every point of the line w2 = 0 is a minimiser.
        ensure(q.loss(&[w, 0.0]) == 0.0, || format!("{}", q.loss(&[w, 0.0])))?;
        let verdict = q.verdict(&Sgd::new(part / c), &[w, 1.0]).0;
        ensure((verdict == Verdict::Stays) == (w != 0.0 || part == 0.0), || format!("{verdict:?}"))
    });
}

#[test]
fn d4_with_negative_curvature_every_positive_step_diverges() {
    holds((curvature(), curvature(), positive_dyadic(32, 4), nonzero()), |(c, b, lr, w)| {
        let q = Quadratic::new([-c, b]);
        // No lower bound: 4 times lower at twice the distance, and below 0.
        let (near, far) = (q.loss(&[w, 0.0]), q.loss(&[2.0 * w, 0.0]));
        ensure(near < 0.0 && far == 4.0 * near, || format!("{near} {far}"))?;
        // 1 + 1/128 is the least factor; its 1000th power is above 1000.
        let end = settle(&q, lr, &[w, 0.0])[1][0].abs();
        ensure(end > 1000.0 * w.abs(), || format!("w = {end} at the end"))?;
        let verdict = q.verdict(&Sgd::new(lr), &[w, 0.0]).0;
        ensure(verdict == Verdict::Diverges && q.bound().is_none(), || format!("{verdict:?}"))
    });
}

#[test]
fn d4_control_a_small_step_always_converges() {
    refuted((dyadic(16, 3), nonzero()), |(c, w)| {
        ensure(reaches_zero(&Quadratic::new([c]), 1.0 / 16.0, &[w]), || "does not reach 0".to_string())
    });
}

// D5

/// Four roundings of numbers of at most about 1 (the step, the factor, and the code's |p/2| + √(p²/4)), each
/// below 2u.
const RATE_ERROR: f64 = 8.0 * U;

#[test]
fn d5_no_constant_step_has_a_better_rate() {
    holds((1e-3f64..1e3, 1e-3f64..1e3, 0.0f64..2.0), |(a, b, part)| {
        let q = Quadratic::new([a, b]);
        let (best, at_best) = (q.best_rate().unwrap(), q.rate(&Sgd::new(q.best_step().unwrap())));
        ensure((at_best - best).abs() <= RATE_ERROR, || {
            format!("{at_best} at the best step, {best} promised")
        })?;
        let rate = q.rate(&Sgd::new(part / a.max(b)));
        ensure(rate >= best - RATE_ERROR, || format!("the rate {rate} is better than {best}"))
    });
}

#[test]
fn d5_the_optimiser_needs_the_promised_steps() {
    // From (1, 1) both coordinates have the size rateᵗ. Rounding moves it by less than 6 T u (claim D2), T <
    // 1000.
    holds((1.2f64..60.0, 0.1f64..10.0), |(kappa, low)| {
        let q = Quadratic::new([low, kappa * low]);
        let steps = steps_needed(q.best_rate().unwrap(), 1e-6).unwrap() as usize;
        let path = q.descend(Sgd::new(q.best_step().unwrap()), &[1.0, 1.0], steps);
        let size = |t: usize| path[t][0].abs().max(path[t][1].abs());
        let slack = 1e-6 * 6e3 * U * steps as f64;
        ensure(size(steps) <= 1e-6 + slack && size(steps - 1) > 1e-6 - slack, || {
            format!("{} at step {}, {} at {steps}", size(steps - 1), steps - 1, size(steps))
        })
    });
}

#[test]
fn d5_the_number_of_steps_grows_like_the_condition() {
    // 2/κ <= -ln rate = 2 artanh(1/κ) <= (2/κ) / (1 - 1/κ²). A rate near 1 has lost κu of ln rate's
    // precision.
    holds((0.2f64..14.0).prop_map(f64::exp), |kappa| {
        let q = Quadratic::new([1.0, kappa]);
        let steps = steps_needed(q.best_rate().unwrap(), 1e-6).unwrap() as f64;
        let most = 0.5 * kappa * 1e6f64.ln();
        let (least, slack) = (most * (1.0 - 1.0 / (kappa * kappa)), 1.0 + 8.0 * most * kappa * U);
        ensure(least - slack <= steps && steps <= most + slack, || format!("{steps} of {least} .. {most}"))
    });
}

#[test]
fn d5_the_slow_scenario_takes_69078_steps() {
    let q = Quadratic::new([1.0, 1e4]);
    let steps = steps_needed(q.best_rate().unwrap(), 1e-6).unwrap() as usize;
    let path = q.descend(Sgd::new(q.best_step().unwrap()), &[1.0, 1.0], steps);
    assert_eq!(steps, 69_078);
    // Its margins, 4.5e-5 and 1.5e-4 of the value, are far above the rounding of 6 T u < 1e-10.
    assert!(path[steps][0].abs() <= 1e-6 && path[steps - 1][0].abs() > 1e-6);
    tried(steps as u64);
}

#[test]
fn d5_control_one_over_the_larger_is_best() {
    refuted((1e-3f64..1e3, 1e-3f64..1e3), |(a, b)| {
        let q = Quadratic::new([a, b]);
        let (rate, best) = (q.rate(&Sgd::new(1.0 / a.max(b))), q.best_rate().unwrap());
        ensure((rate - best).abs() <= RATE_ERROR, || format!("rate {rate}, best {best}"))
    });
}

#[test]
fn d5_control_steps_like_the_root_of_the_condition() {
    refuted((0.2f64..14.0).prop_map(f64::exp), |kappa| {
        let steps = steps_needed(Quadratic::new([1.0, kappa]).best_rate().unwrap(), 1e-6).unwrap() as f64;
        ensure(steps <= kappa.sqrt() * 1e6f64.ln() + 1.0, || format!("{steps} steps"))
    });
}

// D6

/// Whether one step of the optimiser increases the loss; exact for these numbers.
fn increases(q: &Quadratic, lr: f64, start: &[f64]) -> bool {
    let path = q.descend(Sgd::new(lr), start, 1);
    q.loss(&path[1]) > q.loss(&path[0])
}

#[test]
fn d6_the_loss_never_increases_iff_the_step_is_at_most_two_over_the_larger() {
    holds((curvature(), curvature(), step(), dyadic(8, 0), dyadic(8, 0)), |(a, b, lr, x, y)| {
        let q = Quadratic::new([a, b]);
        let inside = 0.0 <= lr && lr * a.max(b) <= 2.0;
        ensure(q.loss_never_increases(lr) == inside, || format!("claimed {}", !inside))?;
        // Inside, from any start; outside, from the steeper axis at least.
        let steeper = if a > b { [1.0, 0.0] } else { [0.0, 1.0] };
        let seen = if inside { increases(&q, lr, &[x, y]) } else { !increases(&q, lr, &steeper) };
        ensure(!seen, || format!("inside: {inside}"))
    });
}

#[test]
fn d6_of_any_sign_of_curvature() {
    holds((dyadic(16, 3), dyadic(16, 3), step(), dyadic(8, 0), dyadic(8, 0)), |(a, b, lr, x, y)| {
        let q = Quadratic::new([a, b]);
        let axes = [[1.0, 0.0], [0.0, 1.0]].iter().any(|axis| increases(&q, lr, axis));
        ensure(q.loss_never_increases(lr) != axes, || format!("on an axis: {axes}"))?;
        ensure(axes || !increases(&q, lr, &[x, y]), || "from the start".to_string())
    });
}

#[test]
fn d6_control_strictly_below() {
    refuted((curvature(), curvature(), step()), |(a, b, lr)| {
        let q = Quadratic::new([a, b]);
        let never = [[1.0, 0.0], [0.0, 1.0]].iter().all(|axis| !increases(&q, lr, axis));
        ensure(never == (0.0 <= lr && lr * a.max(b) < 2.0), || format!("never increases: {never}"))
    });
}

#[test]
fn d6_control_from_every_start_beyond_the_bound() {
    refuted((curvature(), curvature(), step(), nonzero(), nonzero()), |(a, b, lr, x, y)| {
        let q = Quadratic::new([a, b]);
        let beyond = lr * a.max(b) > 2.0;
        ensure(!beyond || increases(&q, lr, &[x, y]), || "the loss does not increase".to_string())
    });
}
