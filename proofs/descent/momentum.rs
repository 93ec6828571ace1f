//! Claim D7: what lies beyond the question: momentum, Nesterov's momentum, more dimensions, Adam.

use super::{U, curvature, step};
use gradus::analysis::eigen;
use gradus::lessons::quadratic::{Quadratic, Verdict};
use gradus_core::optim::State;
use gradus_core::{Adam, Element, Rule, Sgd, Tape, Tensor};
use gradus_proofs::generators::dyadic;
use gradus_proofs::property::{ensure, holds, refuted, refuted_at};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

// D7

/// How far rounding moves a double root of λ² - pλ + q: by the root of what it moves p²/4 - q. The step is
/// off by at most 6u of itself (two roots, a sum, a square, a quotient), so ηc <= 4 by 24u; with the
/// roundings of ρ <= 3, of μ and of their sum p is off by less than 37u, p²/4 by 38u, q = μ by 8u: together
/// less than 48u = 48 * 2⁻⁵³.
const DOUBLE_ROOT: f64 = 7.3e-8;

/// |w(t)| <= (1 + (1 + r) t) rᵗ |w(0)| for every curvature between the ends: at the ends the roots are double and
/// w(t) = (1 + (1 - s) t) sᵗ w(0), s = r or -r; between them they are complex of size r, and
/// w(t) = rᵗ (cos tθ + B sin tθ) w(0) with |B sin θ| <= 1 + r, |sin tθ| <= t |sin θ|.
/// The parameters are rounded, which moves a double root by [`DOUBLE_ROOT`] at most. Each of T steps rounds by at most
/// 4u of the largest term, and its echo grows like t rᵗ: 8 T² u.
fn heavy_ball_bound(factor: impl Fn(f64, f64) -> f64) -> impl Fn((f64, f64, f64)) -> TestCaseResult {
    move |(kappa, between, low)| {
        let ends = Quadratic::new([low, kappa * low]);
        let heavy = ends.best_heavy_ball().unwrap();
        let root = kappa.sqrt();
        let (r, slack) = ((root - 1.0) / (root + 1.0), 8.0 * U * 300f64.powi(2));
        let middle = low * (1.0 + between * (kappa - 1.0));
        let path = Quadratic::new([low, middle, kappa * low]).descend(heavy, &[1.0; 3], 300);
        for (t, w) in path.iter().enumerate() {
            let t = t as f64;
            let bound = factor(r, t) * (r + DOUBLE_ROOT).powf(t) * (1.0 + slack) + 1e-290;
            ensure(w.iter().all(|w| w.abs() <= bound), || format!("step {t}: {w:?}, bound {bound:e}"))?;
        }
        Ok(())
    }
}

fn conditions() -> impl Strategy<Value = (f64, f64, f64)> {
    ((0.1f64..7.0).prop_map(f64::exp), 0.0f64..1.0, 0.1f64..10.0)
}

#[test]
fn d7_heavy_ball_at_its_best_falls_like_t_times_the_power() {
    holds(conditions(), heavy_ball_bound(|r, t| 1.0 + (1.0 + r) * t));
}

#[test]
fn d7_heavy_balls_best_rate() {
    holds(conditions(), |(kappa, _, low)| {
        let q = Quadratic::new([low, kappa * low]);
        let (root, rate) = (kappa.sqrt(), q.rate(&q.best_heavy_ball().unwrap()));
        let promised = (root - 1.0) / (root + 1.0);
        ensure((rate - promised).abs() <= DOUBLE_ROOT, || format!("rate {rate}, promised {promised}"))
    });
}

#[test]
fn d7_control_heavy_ball_without_the_factor_t() {
    refuted(conditions(), heavy_ball_bound(|_, _| 10.0));
}

/// Steps and momenta, and whether the optimiser reaches zero, in so many steps that the largest root's power
/// is e⁻²⁰: that leaves a factor of 10⁵ for the transient, 1 + 2t at most. Where the root is within 1/50 of 1
/// the case is left out.
fn with_momentum(
    nesterov: bool,
    stable: impl Fn(f64, f64) -> bool,
) -> impl Fn((f64, f64, f64)) -> TestCaseResult {
    move |(c, lr, momentum)| {
        let (q, rule) = (Quadratic::new([c]), Sgd { momentum, nesterov, ..Sgd::new(lr) });
        let rate = q.rate(&rule);
        if (rate - 1.0).abs() < 0.02 {
            return Ok(());
        }
        let steps = (20.0 / rate.ln().abs()).ceil() as usize + 2;
        let end = q.descend(rule, &[1.0], steps)[steps][0].abs();
        let (inside, converges) = (stable(lr * c, momentum), end < 1e-3);
        ensure(converges == inside, || format!("w({steps}) = {end:e}"))?;
        let verdict = q.verdict(&rule, &[1.0]).0;
        ensure((verdict == Verdict::Converges) == converges, || {
            format!("{verdict:?}, but w({steps}) = {end:e}")
        })
    }
}

fn momenta() -> impl Strategy<Value = (f64, f64, f64)> {
    (curvature(), step(), (0..16u8).prop_map(|k| f64::from(k) / 16.0))
}

#[test]
fn d7_heavy_ball_is_stable_iff() {
    holds(momenta(), with_momentum(false, |x, mu| 0.0 < x && x < 2.0 * (1.0 + mu)));
}

#[test]
fn d7_nesterov_is_stable_iff() {
    holds(momenta(), with_momentum(true, |x, mu| 0.0 < x && x < 2.0 * (1.0 + mu) / (1.0 + 2.0 * mu)));
}

#[test]
fn d7_nesterovs_rate_at_one_over_the_larger() {
    // η = 1/M, μ = (√κ - 1)/(√κ + 1): 1 - 1/√κ, a double root at the flat end.
    holds(conditions(), |(kappa, _, low)| {
        let root = kappa.sqrt();
        let nesterov =
            Sgd { momentum: (root - 1.0) / (root + 1.0), nesterov: true, ..Sgd::new(1.0 / (kappa * low)) };
        let rate = Quadratic::new([low, kappa * low]).rate(&nesterov);
        ensure((rate - (1.0 - 1.0 / root)).abs() <= DOUBLE_ROOT, || format!("rate {rate}"))
    });
}

#[test]
fn d7_control_heavy_ball_within_gradient_descents_bound() {
    refuted(momenta(), with_momentum(false, |x, _| 0.0 < x && x < 2.0));
}

#[test]
fn d7_control_nesterov_within_heavy_balls_bound() {
    refuted(momenta(), with_momentum(true, |x, mu| 0.0 < x && x < 2.0 * (1.0 + mu)));
}

#[test]
fn d7_heavy_ball_on_its_boundary_alternates() {
    holds((curvature(), 1..16u8), |(c, k)| {
        // Dyadic, so that the boundary is met exactly; 2 (1 + mu) / c is exact for c a power of two.
        let (mu, c) = (f64::from(k) / 16.0, 2f64.powf(c.log2().round()));
        let (q, rule) = (Quadratic::new([c]), Sgd { momentum: mu, ..Sgd::new(2.0 * (1.0 + mu) / c) });
        let verdict = q.verdict(&rule, &[1.0]).0;
        // w(t) tends to (-1)ᵗ (1 + mu) / (1 - mu), the part along the root -1; the other root is -mu <=
        // 15/16.
        let path = q.descend(rule, &[1.0], 600);
        let limit = (1.0 + mu) / (1.0 - mu);
        // 32 (15/16)^600 < 1e-15; each of 600 steps rounds by 8u of the limit's size, and its echo is 16
        // times that.
        let close = (path[600][0] - limit).abs() <= limit * 8.0 * U * 600.0 * 16.0;
        ensure(close && verdict == Verdict::Alternates, || {
            format!("{verdict:?}, {} of {limit}", path[600][0])
        })
    });
}

/// A symmetric matrix of n rows, of multiples of 1/4.
fn symmetric() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (1..=4usize).prop_flat_map(|n| {
        prop::collection::vec(dyadic(8, 2), n * n)
            .prop_map(move |v| (0..n).map(|i| (0..n).map(|j| v[i.min(j) * n + i.max(j)]).collect()).collect())
    })
}

/// Gradient descent on ½ wᵀAw, by the tape and the optimiser; the length of w after so many steps.
fn descend_matrix(a: &[Vec<f64>], lr: f64, start: &[f64], steps: usize) -> f64 {
    let n = a.len();
    let matrix = Tensor::from_fn([n, n], |i| a[i / n][i % n]);
    let (rule, mut state, mut w) = (Rule::from(Sgd::new(lr)), State::default(), start.to_vec());
    for _ in 0..steps {
        let mut tape = Tape::<f64>::eval();
        let x = tape.input(Tensor::from_slice([n], &w));
        let products = tape.mul(matrix.clone().into(), x.clone());
        let product = tape.sum(products, &[1], false);
        let terms = tape.mul(product, x.clone());
        let sum = tape.sum(terms, &[0], false);
        let loss = tape.mul_scalar(sum, 0.5);
        let gradients = tape.backward(&loss);
        rule.step(&mut w, gradients.of(&x).unwrap().data(), &mut state);
    }
    w.iter().map(|w| w * w).sum::<f64>().sqrt()
}

/// The test of "converges from the sum of all eigenvectors iff 0 < η and η `largest` < 2".
fn matrices(largest: impl Fn(&[Vec<f64>]) -> f64) -> impl Fn((Vec<Vec<f64>>, f64)) -> TestCaseResult {
    move |(a, lr)| {
        let pairs = eigen(&a);
        // Factors within 1/50 of 1 take too long to tell; without positive curvature nothing converges (D4).
        let slow = pairs.iter().any(|(l, _)| ((1.0 - lr * l).abs() - 1.0).abs() < 0.02);
        if slow || pairs[0].0 <= 0.0 {
            return Ok(());
        }
        let start: Vec<f64> = (0..a.len()).map(|i| pairs.iter().map(|(_, v)| v[i]).sum()).collect();
        let end = descend_matrix(&a, lr, &start, 500);
        let (converges, claimed) = (end < 1e-2, 0.0 < lr && lr * largest(&a) < 2.0);
        ensure(converges == claimed, || format!("|w(500)| = {end:e}"))
    }
}

fn matrices_and_steps() -> impl Strategy<Value = (Vec<Vec<f64>>, f64)> {
    // A + 2I is positive definite often enough.
    let shifted = symmetric().prop_map(|mut a| {
        (0..a.len()).for_each(|i| a[i][i] += 2.0);
        a
    });
    (shifted, (-2..32i32).prop_map(|k| f64::from(k) / 16.0))
}

#[test]
fn d7_any_quadratic_by_its_eigenvalues() {
    holds(matrices_and_steps(), matrices(|a| eigen(a)[a.len() - 1].0));
}

#[test]
fn d7_eigenvectors_are_eigenvectors() {
    // A sweep of Jacobi's method rounds each element by at most about 6 n u of the matrix' norm; fewer than
    // 16 sweeps of n (n - 1) / 2 rotations are needed: 16 * 6 * 6 * 4 u of a norm of at most 40 is below
    // 1e-10.
    holds(symmetric(), |a| {
        let pairs = eigen(&a);
        for (value, v) in &pairs {
            for (i, row) in a.iter().enumerate() {
                let av: f64 = row.iter().zip(v).map(|(a, v)| a * v).sum();
                ensure((av - value * v[i]).abs() < 1e-10, || format!("{value} {v:?}"))?;
            }
            let length: f64 = v.iter().map(|v| v * v).sum();
            ensure((length - 1.0).abs() < 1e-10, || format!("{v:?}"))?;
        }
        let trace: f64 = (0..a.len()).map(|i| a[i][i]).sum();
        let sum: f64 = pairs.iter().map(|p| p.0).sum();
        let ascending = pairs.windows(2).all(|p| p[0].0 <= p[1].0);
        ensure((sum - trace).abs() < 1e-10 && ascending, || format!("{pairs:?}"))
    });
}

#[test]
fn d7_control_the_largest_diagonal_element() {
    refuted(matrices_and_steps(), matrices(|a| (0..a.len()).map(|i| a[i][i]).fold(0.0, f64::max)));
}

#[test]
fn d7_adams_first_step_does_not_see_the_curvature() {
    // m/(1 - β₁) = g and √(v/(1 - β₂)) = |g|: the step is η |g| / (|g| + ε), whatever the curvature. Its 12
    // roundings, and those of 1 - β₂ = 0.001, which loses 10 bits, are below 2¹⁴ u.
    holds((1e-3f64..1e3, 0.01f64..10.0, 1e-3f64..0.1), |(c, w, lr)| {
        let path = Quadratic::new([c]).descend(Adam::new(lr), &[w], 1);
        let (moved, g) = (w - path[1][0], c * w);
        let expected = lr * g / (g + 1e-8);
        ensure((moved - expected).abs() <= 2f64.powi(14) * U * (lr + w), || {
            format!("moved {moved}, {expected}")
        })
    });
}

#[test]
fn d7_control_adam_settles_like_gradient_descent() {
    // An observation: with a constant step Adam hovers at the distance of a step, where descent has
    // converged.
    let q = Quadratic::new([1.0, 10.0]);
    let adam = q.descend(Adam::new(0.1), &[1.0, 1.0], 300);
    let descent = q.descend(Sgd::new(0.1), &[1.0, 1.0], 300);
    assert!(q.loss(&adam[300]) > q.loss(&descent[300]));
    refuted_at(("Adam's and descent's loss", q.loss(&adam[300]), q.loss(&descent[300])));
}
