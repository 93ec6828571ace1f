//! Optimisers on quadratics: what theory says, and what the optimisers do.
//!
//! L(w) = ½ Σ cᵢ wᵢ² has the gradient (c₁w₁, .., cₙwₙ); a quadratic ½ wᵀAw with symmetric A is one of these
//! in the basis of A's eigenvectors (`analysis::eigen`). Each coordinate moves by itself. With step η and
//! x = ηc,
//!
//! * gradient descent: w(t+1) = (1 − x) w(t), so w(t) = ρᵗ w(0), ρ = 1 − x;
//! * momentum μ (heavy ball, Polyak 1964): the roots of λ² − (1 + μ − x) λ + μ decide;
//! * Nesterov's momentum, as PyTorch computes it: the roots of λ² − (1 + μ)(1 − x) λ + μ (1 − x).
//!
//! Both roots lie inside the unit circle iff |μ| < 1 and 0 < x < 2 (1 + μ), for Nesterov 0 ≤ μ < 1 and
//! 0 < x < 2 (1 + μ) / (1 + 2μ). The best constant step of gradient descent is 2 / (min + max), with the rate
//! (κ − 1) / (κ + 1), κ = max / min; heavy ball's is 4 / (√min + √max)² with μ = r²,
//! r = (√κ − 1) / (√κ + 1), and its error falls like (1 + t) rᵗ, for the roots are double (claims D1 to D7).

use crate::numbers::{apart, number};
use gradus_core::optim::State;
use gradus_core::{Element, Rule, Sgd, Tape, Tensor, elementary};
use serde::Serialize;

/// L(w) = ½ Σ cᵢ wᵢ².
#[derive(Clone, Debug, PartialEq)]
pub struct Quadratic {
    /// The curvatures cᵢ, finite numbers of any sign; at least one.
    pub curvatures: Vec<f64>,
}

/// What becomes of w(t) as t grows. Of several coordinates the worst decides; the order is from best to
/// worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every coordinate goes to 0.
    Converges,
    /// A coordinate that is not 0 never moves.
    Stays,
    /// A coordinate neither vanishes nor grows beyond all bounds: it changes its sign for ever, or circles.
    Alternates,
    /// A coordinate grows beyond all bounds.
    Diverges,
}

/// A root of a coordinate's characteristic polynomial: an eigenvalue of the matrix by which a step multiplies
/// (w(t), w(t−1)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Root {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
    /// The absolute value.
    pub modulus: f64,
}

impl Verdict {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Converges => "converges",
            Verdict::Stays => "stays",
            Verdict::Alternates => "alternates",
            Verdict::Diverges => "diverges",
        }
    }
}

impl Quadratic {
    /// With these curvatures. Panics when there are none or one is not finite.
    #[track_caller]
    pub fn new(curvatures: impl Into<Vec<f64>>) -> Self {
        let curvatures = curvatures.into();
        assert!(
            !curvatures.is_empty() && curvatures.iter().all(|c| c.is_finite()),
            "Quadratic: finite curvatures, got {curvatures:?}"
        );
        Quadratic { curvatures }
    }

    fn min(&self) -> f64 {
        self.curvatures.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn max(&self) -> f64 {
        self.curvatures.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The loss at w.
    #[track_caller]
    pub fn loss(&self, w: &[f64]) -> f64 {
        assert_eq!(w.len(), self.curvatures.len(), "Quadratic: a point of {} coordinates", w.len());
        0.5 * self.curvatures.iter().zip(w).map(|(c, w)| c * w * w).sum::<f64>()
    }

    /// The factors ρᵢ = 1 − ηcᵢ by which a step of gradient descent multiplies each coordinate.
    pub fn factors(&self, lr: f64) -> Vec<f64> {
        self.curvatures.iter().map(|&c| f64::mul_add(-lr, c, 1.0)).collect()
    }

    /// 2 / max c: gradient descent goes to 0 from every start iff 0 < η < this. `None` unless every curvature is
    /// positive: a negative one leads away, along one of 0 nothing moves.
    pub fn bound(&self) -> Option<f64> {
        (self.min() > 0.0).then(|| 2.0 / self.max())
    }

    /// κ = max / min, if every curvature is positive.
    pub fn condition(&self) -> Option<f64> {
        (self.min() > 0.0).then(|| self.max() / self.min())
    }

    /// The constant step of gradient descent whose rate is least: 2 / (min + max). `None` unless every
    /// curvature is positive.
    pub fn best_step(&self) -> Option<f64> {
        (self.min() > 0.0).then(|| 2.0 / (self.min() + self.max()))
    }

    /// The rate at the best step: (κ − 1) / (κ + 1).
    pub fn best_rate(&self) -> Option<f64> {
        (self.min() > 0.0).then(|| (self.max() - self.min()) / (self.max() + self.min()))
    }

    /// Heavy ball with the step and momentum whose rate is least; its rate is √μ. `None` unless every
    /// curvature is positive.
    pub fn best_heavy_ball(&self) -> Option<Sgd> {
        let (low, high) = (self.min().sqrt(), self.max().sqrt());
        let rate = (high - low) / (high + low);
        (self.min() > 0.0)
            .then(|| Sgd { momentum: rate * rate, ..Sgd::new(4.0 / ((low + high) * (low + high))) })
    }

    /// Nesterov's momentum with its usual parameters, η = 1 / max and μ = (√κ − 1) / (√κ + 1); its rate is
    /// 1 − 1 / √κ. `None` unless every curvature is positive.
    pub fn usual_nesterov(&self) -> Option<Sgd> {
        let (low, high) = (self.min().sqrt(), self.max().sqrt());
        let momentum = (high - low) / (high + low);
        (self.min() > 0.0).then(|| Sgd { momentum, nesterov: true, ..Sgd::new(1.0 / self.max()) })
    }

    /// Both roots of each coordinate, the one with the larger real or imaginary part first. For gradient descent
    /// one of them is ρᵢ, the other 0.
    pub fn roots(&self, rule: &Sgd) -> Vec<[Root; 2]> {
        let of = |&c: &f64| {
            let (p, q) = characteristic(rule, c);
            let (half, square) = (p / 2.0, p * p / 4.0 - q);
            [1.0, -1.0].map(|sign| {
                if square > 0.0 {
                    let re = half + sign * square.sqrt();
                    Root { re, im: 0.0, modulus: re.abs() }
                } else {
                    Root { re: half, im: sign * (-square).sqrt(), modulus: q.abs().sqrt() }
                }
            })
        };
        self.curvatures.iter().map(of).collect()
    }

    /// The asymptotic rate: the largest absolute root over all coordinates. The error falls like its powers,
    /// or, where the root is double, like t times its powers. For gradient descent it is max |ρᵢ|.
    pub fn rate(&self, rule: &Sgd) -> f64 {
        self.roots(rule).as_flattened().iter().map(|root| root.modulus).fold(0.0, f64::max)
    }

    /// What `rule` does from `start`, and why. A coordinate that starts at 0 stays there and has no say. For
    /// gradient descent the answer is that of exact arithmetic on these very numbers; with momentum the limit
    /// of the step is rounded once. Panics unless the momentum is in [0, 1).
    #[track_caller]
    pub fn verdict(&self, rule: &Sgd, start: &[f64]) -> (Verdict, String) {
        assert_eq!(start.len(), self.curvatures.len(), "Quadratic: a start of {} coordinates", start.len());
        assert!(
            (0.0..1.0).contains(&rule.momentum),
            "Quadratic: momentum {} is not in [0, 1)",
            rule.momentum
        );
        let moving = (1..).zip(&self.curvatures).zip(start).filter(|(_, w)| **w != 0.0);
        let judged = moving.map(|((number, &c), _)| judge(rule, number, c));
        // Of equally bad coordinates the one with the largest root is named.
        judged.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map_or_else(
            || (Verdict::Converges, "the start is the minimum".to_string()),
            |(verdict, _, reason)| (verdict, reason),
        )
    }

    /// Whether a step of gradient descent never increases the loss, from any start. A coordinate's share of
    /// the loss is multiplied by ρ²: a positive curvature needs ρ² ≤ 1, so 0 ≤ η ≤ 2 / c, a negative one
    /// ρ² ≥ 1.
    pub fn loss_never_increases(&self, lr: f64) -> bool {
        self.curvatures.iter().all(|&c| {
            let excess = excess(lr, c, 2.0);
            if c > 0.0 { lr >= 0.0 && excess <= 0.0 } else { c == 0.0 || lr >= 0.0 || excess >= 0.0 }
        })
    }

    /// The points w(0), .., w(steps) of the optimiser itself, with gradients from the tape.
    #[track_caller]
    pub fn descend<E: Element>(&self, rule: impl Into<Rule>, start: &[E], steps: usize) -> Vec<Vec<E>> {
        let n = self.curvatures.len();
        assert_eq!(start.len(), n, "Quadratic: a start of {} coordinates", start.len());
        let rule = rule.into();
        let c = Tensor::from_fn([n], |i| E::from_f64(self.curvatures[i]));
        let (mut w, mut state) = (start.to_vec(), State::default());
        let mut path = vec![w.clone()];
        for _ in 0..steps {
            let mut tape = Tape::eval();
            let x = tape.input(Tensor::from_slice([n], &w));
            let square = tape.mul(x.clone(), x.clone());
            let weighted = tape.mul(square, c.clone().into());
            let sum = tape.sum(weighted, &[0], false);
            let loss = tape.mul_scalar(sum, 0.5);
            let gradients = tape.backward(&loss);
            let gradient = gradients.of(&x).expect("the loss depends on every coordinate");
            rule.step(&mut w, gradient.data(), &mut state);
            path.push(w.clone());
        }
        path
    }

    /// The first t with ‖w(t)‖ ≤ shrink ‖w(0)‖, by taking the optimiser's steps; `None` if there is none up
    /// to `most`.
    pub fn steps_counted(&self, rule: &Sgd, start: &[f64], shrink: f64, most: u64) -> Option<u64> {
        let norm = |w: &[f64]| w.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (small, rule) = (shrink * norm(start), Rule::from(*rule));
        let (mut w, mut state) = (start.to_vec(), State::default());
        (0..=most).find(|_| {
            let there = norm(&w) <= small;
            let gradient: Vec<f64> = self.curvatures.iter().zip(&w).map(|(c, w)| c * w).collect();
            rule.step(&mut w, &gradient, &mut state);
            there
        })
    }
}

/// The least t with rateᵗ ≤ shrink, for a shrink in (0, 1) such as 1e-6: ⌈ln shrink / ln rate⌉. `None` where
/// the rate is 1 or more.
pub fn steps_needed(rate: f64, shrink: f64) -> Option<u64> {
    (rate < 1.0).then(|| (elementary::ln(shrink) / elementary::ln(rate)).ceil().max(1.0) as u64)
}

/// The bound on ηc: `rule` converges along a curvature c iff 0 < ηc < this.
pub fn limit(rule: &Sgd) -> f64 {
    let mu = rule.momentum;
    if rule.nesterov { 2.0 * (1.0 + mu) / (1.0 + 2.0 * mu) } else { 2.0 * (1.0 + mu) }
}

/// p and q of the characteristic polynomial λ² − pλ + q of one coordinate.
fn characteristic(rule: &Sgd, c: f64) -> (f64, f64) {
    let (mu, rho) = (rule.momentum, f64::mul_add(-rule.lr, c + rule.weight_decay, 1.0));
    if rule.nesterov { ((1.0 + mu) * rho, mu * rho) } else { (mu + rho, mu) }
}

/// a b − limit, rounded once: its sign is exact.
fn excess(a: f64, b: f64, limit: f64) -> f64 {
    a.mul_add(b, -limit)
}

/// What becomes of one coordinate that does not start at 0, the size of its root, and why.
fn judge(rule: &Sgd, w: usize, c: f64) -> (Verdict, f64, String) {
    let (lr, mu, c) = (rule.lr, rule.momentum, c + rule.weight_decay);
    let root = Quadratic { curvatures: vec![c - rule.weight_decay] }.rate(rule);
    let limit = limit(rule);
    let excess = excess(lr, c, limit);
    let says = |verdict, sign: &str| {
        let (rate, curvature) = (apart(lr, &[limit / c]), number(c));
        let reason = if mu == 0.0 {
            let factor = f64::mul_add(-lr, c, 1.0);
            // Below 1 by less than a double can tell.
            let factor =
                if factor == 1.0 { format!("1 - {}", number(lr * c)) } else { apart(factor, &[-1.0, 1.0]) };
            format!("w{w} is multiplied by 1 - {rate} * {curvature} = {factor} each step")
        } else {
            let (moved, mu) = (apart(lr * c, &[limit]), number(mu));
            format!("w{w}: step * curvature = {moved} {sign} {}, the limit with momentum {mu}", number(limit))
        };
        (verdict, root, reason)
    };
    if lr == 0.0 || c == 0.0 {
        let zero = if lr == 0.0 { "the step" } else { "its curvature, and so its gradient," };
        (Verdict::Stays, root, format!("w{w} never moves: {zero} is 0"))
    } else if (lr > 0.0) != (c > 0.0) {
        (Verdict::Diverges, root, format!("w{w} grows: step * curvature = {} < 0", number(lr * c)))
    } else if excess > 0.0 {
        says(Verdict::Diverges, ">")
    } else if excess == 0.0 {
        says(Verdict::Alternates, "=")
    } else {
        says(Verdict::Converges, "<")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::Adam;

    fn gd(lr: f64) -> Sgd {
        Sgd::new(lr)
    }

    #[test]
    fn the_verdict_looks_at_step_curvature_and_start() {
        let q = Quadratic::new([1.0, 4.0]);
        let verdict = |lr, start: [f64; 2]| q.verdict(&gd(lr), &start).0;
        assert_eq!(q.bound(), Some(0.5));
        assert_eq!(verdict(0.25, [1.0, 1.0]), Verdict::Converges);
        assert_eq!(verdict(0.5, [1.0, 1.0]), Verdict::Alternates);
        assert_eq!(verdict(0.5, [1.0, 0.0]), Verdict::Converges);
        assert_eq!(verdict(0.75, [1.0, 1.0]), Verdict::Diverges);
        assert_eq!(verdict(0.0, [1.0, 1.0]), Verdict::Stays);
        assert_eq!(verdict(-0.1, [1.0, 1.0]), Verdict::Diverges);
        assert_eq!(verdict(9.0, [0.0, 0.0]), Verdict::Converges);
        let bowl = |c: f64| Quadratic::new([c, 1.0]).verdict(&gd(0.5), &[1.0, 1.0]).0;
        assert_eq!((bowl(0.0), bowl(-1.0)), (Verdict::Stays, Verdict::Diverges));
        for c in [[0.0, -1.0], [0.0, 4.0], [-0.0, 0.0]] {
            assert_eq!(Quadratic::new(c).bound(), None);
        }
        // The double next to 2/3 makes 3 η round to 2, yet it is below it, and the verdict knows.
        let third = Quadratic::new([3.0]);
        assert_eq!(2.0 / 3.0 * 3.0, 2.0);
        assert_eq!(third.verdict(&gd(2.0 / 3.0), &[1.0]).0, Verdict::Converges);
        assert_eq!(third.verdict(&gd((2.0f64 / 3.0).next_up()), &[1.0]).0, Verdict::Diverges);
    }

    #[test]
    fn the_reason_names_the_coordinate() {
        let reason = |rule: &Sgd, c: [f64; 2]| Quadratic::new(c).verdict(rule, &[1.0, 1.0]).1;
        assert_eq!(reason(&gd(0.5), [1.0, 8.0]), "w2 is multiplied by 1 - 0.5 * 8 = -3 each step");
        assert_eq!(reason(&gd(0.5), [1.0, 2.0]), "w1 is multiplied by 1 - 0.5 * 1 = 0.5 each step");
        assert!(reason(&gd(0.5), [0.0, 2.0]).starts_with("w1 never moves: its curvature"));
        assert!(reason(&gd(0.0), [1.0, 2.0]).ends_with("never moves: the step is 0"));
        let momentum = Sgd { momentum: 0.5, ..gd(0.5) };
        assert_eq!(
            reason(&momentum, [1.0, 8.0]),
            "w2: step * curvature = 4 > 3, the limit with momentum 0.5"
        );
    }

    #[test]
    fn the_slow_scenario() {
        let q = Quadratic::new([1.0, 1e4]);
        assert_eq!((q.best_step(), q.condition()), (Some(2.0 / 10001.0), Some(1e4)));
        assert_eq!(steps_needed(q.best_rate().unwrap(), 1e-6), Some(69_078));
        assert_eq!(steps_needed(0.5, 0.25), Some(2));
        assert_eq!((steps_needed(1.0, 0.1), steps_needed(0.0, 0.1)), (None, Some(1)));
        let heavy = q.best_heavy_ball().unwrap();
        assert!((q.rate(&heavy) - 99.0 / 101.0).abs() < 1e-7, "{}", q.rate(&heavy));
        // The root is double: t times the powers of the rate, as in the text of claim D7.
        assert_eq!(steps_needed(99.0 / 101.0, 1e-6), Some(691));
        assert_eq!(q.steps_counted(&heavy, &[0.0, 1.0], 1e-6, 2000), Some(1074));
        assert_eq!(q.steps_counted(&heavy, &[0.0, 1.0], 1e-6, 1073), None);
        let nesterov = q.usual_nesterov().unwrap();
        assert!((q.rate(&nesterov) - 0.99).abs() < 1e-7, "{}", q.rate(&nesterov));
    }

    #[test]
    fn roots_are_eigenvalues_of_a_step() {
        let q = Quadratic::new([1.0, 8.0, 40.0]);
        let heavy = Sgd { momentum: 0.9, ..gd(0.1) };
        assert_eq!(
            q.roots(&gd(0.25))[1].map(|r| (r.re, r.im, r.modulus)),
            [(0.0, 0.0, 0.0), (-1.0, 0.0, 1.0)]
        );
        for rule in [heavy, Sgd { nesterov: true, ..heavy }, gd(0.1)] {
            let mut largest = 0.0f64;
            for (&c, roots) in q.curvatures.iter().zip(q.roots(&rule)) {
                let (p, product) = characteristic(&rule, c);
                for Root { re, im, modulus } in roots {
                    let zero = (re * re - im * im - p * re + product, 2.0 * re * im - p * im);
                    assert!(zero.0.abs() < 1e-14 && zero.1.abs() < 1e-14, "{rule:?} {c}: {zero:?}");
                    assert!((modulus - re.hypot(im)).abs() < 1e-15);
                    largest = largest.max(modulus);
                }
            }
            assert_eq!(q.rate(&rule), largest);
        }
        // Heavy ball's roots are complex where (1 + μ - ηc)² < 4μ: then their product μ is the square of both.
        assert!((q.roots(&heavy)[0][0].modulus - 0.9f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn every_optimizer_finds_the_minimum() {
        let q = Quadratic::new([1.0, 10.0]);
        let momentum = Sgd { momentum: 0.5, ..gd(0.1) };
        for rule in [
            gd(0.1).into(),
            momentum.into(),
            Sgd { nesterov: true, ..momentum }.into(),
            Rule::from(Adam::new(0.05)),
        ] {
            let path = q.descend(rule, &[1.0, -1.0], 500);
            assert_eq!(path.len(), 501);
            assert!(q.loss(&path[500]) < 1e-6, "{rule:?} {:?}", path[500]);
        }
    }

    #[test]
    fn losses_that_never_increase() {
        let never = |c: [f64; 2], lr| Quadratic::new(c).loss_never_increases(lr);
        assert!(never([1.0, 4.0], 0.5) && never([1.0, 4.0], 0.0) && never([0.0, 0.0], -3.0));
        assert!(!never([1.0, 4.0], 0.5f64.next_up()) && !never([1.0, 4.0], -0.1));
        assert!(never([-1.0, 1.0], 0.5) && !never([-1.0, 0.0], -0.5) && never([-1.0, 0.0], -2.0));
    }
}
