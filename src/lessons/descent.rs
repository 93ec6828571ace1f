//! Gradient descent on a quadratic of two weights, told and drawn: factors, verdict, the steps it takes,
//! four charts.

use super::quadratic::{Quadratic, Verdict, limit, steps_needed};
use crate::error::{Error, Result};
use crate::image::{Color, palette};
use crate::numbers::{apart, beside, number};
use crate::plot::{Chart, Scale, Series, Style};
use gradus_core::elementary;
use gradus_core::optim::{Adam, Rule, Sgd};
use serde::Serialize;
use std::fmt;

/// The error is to shrink to this part.
const SHRINK: f64 = 1e-6;
/// More steps than this are counted, not walked.
const LONGEST: u64 = 100_000;
/// Steps walked where none are asked for and none suffice.
const SHORT: usize = 100;

/// How to descend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Gradient descent.
    Gd,
    /// Heavy ball.
    Momentum,
    /// Nesterov's momentum.
    Nesterov,
    /// Adam.
    Adam,
}

impl Method {
    /// Of heavy ball and of Nesterov's method.
    pub const MOMENTUM: f64 = 0.9;

    /// All of them by their names.
    pub const NAMED: [(&str, Method); 4] = [
        ("gd", Method::Gd),
        ("momentum", Method::Momentum),
        ("nesterov", Method::Nesterov),
        ("adam", Method::Adam),
    ];

    /// The method of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self> {
        let known = Method::NAMED.into_iter().find(|(own, _)| *own == name);
        known.map(|(_, method)| method).ok_or_else(|| Error::input(format!("there is no optimizer `{name}`")))
    }

    /// The method at a rate.
    pub fn rule(self, lr: f64) -> Rule {
        let momentum = Sgd { momentum: Method::MOMENTUM, ..Sgd::new(lr) };
        match self {
            Method::Gd => Sgd::new(lr).into(),
            Method::Momentum => momentum.into(),
            Method::Nesterov => Sgd { nesterov: true, ..momentum }.into(),
            Method::Adam => Adam::new(lr).into(),
        }
    }

    /// The method at the constant rate that is best for `q`, with the momentum that goes with it (Nesterov's
    /// at its usual rate, Adam at that of gradient descent). `None` where no rate is best: unless every
    /// curvature is positive.
    pub fn best(self, q: &Quadratic) -> Option<Rule> {
        match self {
            Method::Momentum => q.best_heavy_ball().map(Rule::from),
            Method::Nesterov => q.usual_nesterov().map(Rule::from),
            Method::Gd | Method::Adam => q.best_step().map(|lr| self.rule(lr)),
        }
    }
}

/// What becomes of a descent.
#[derive(Clone, Debug, Serialize)]
pub struct DescentReport {
    /// The factors 1 - ηa and 1 - ηb of a step of gradient descent.
    pub rho: [f64; 2],
    /// converges, stays, alternates or diverges.
    pub verdict: &'static str,
    /// 2 / max(a, b); none unless both are positive.
    pub bound: Option<f64>,
    /// Steps walked.
    pub steps: usize,
    /// Where it ends.
    #[serde(rename = "final")]
    pub last: [f64; 2],
    /// The learning rate.
    pub lr: f64,
    /// Steps until the error has shrunk to a millionth: by the factors, with momentum counted; none where it
    /// never does or takes more than a count of 100,000.
    pub steps_needed: Option<u64>,
    /// Why.
    pub reason: String,
    /// The pictures drawn.
    pub pictures: Vec<String>,
}

impl fmt::Display for DescentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.verdict, self.reason)?;
        let [rho1, rho2] = self.rho.map(|rho| apart(beside(1.0, rho), &[-1.0, 1.0]));
        let lr = apart(self.lr, self.bound.as_slice());
        writeln!(f, "  learning rate {lr}; factors of a step of gradient descent {rho1} and {rho2}")?;
        match self.bound.map(number) {
            Some(b) => {
                writeln!(f, "  gradient descent converges from every start exactly for 0 < rate < {b}")?
            }
            None => writeln!(f, "  no rate leads from every start to (0, 0): a curvature is not positive")?,
        }
        if let Some(n) = self.steps_needed {
            writeln!(f, "  steps to shrink the error to a millionth: {n}")?;
        }
        writeln!(f, "  after {} steps: ({}, {})", self.steps, number(self.last[0]), number(self.last[1]))?;
        self.pictures.iter().try_for_each(|p| writeln!(f, "  picture: {p}"))
    }
}

/// Walks `steps` steps (or as many as are needed), and tells what happens and why.
pub fn descend(
    q: &Quadratic,
    rule: Rule,
    start: [f64; 2],
    steps: Option<usize>,
) -> (DescentReport, Vec<Vec<f64>>) {
    let lr = rule.lr();
    let (verdict, reason, needed) = judge(q, &rule, start);
    let walk = steps.unwrap_or_else(|| needed.map_or(SHORT, |n| n.min(LONGEST) as usize));
    let path = q.descend(rule, &start, walk);
    let last = path.last().map_or(start, |w| [w[0], w[1]]);
    let norm = |w: [f64; 2]| elementary::hypot(w[0], w[1]);
    let grown = !norm(last).is_finite() || norm(last) > 2.0 * norm(start);
    let observed = if grown { "diverges" } else { "converges" };
    let report = DescentReport {
        rho: [q.factors(lr)[0], q.factors(lr)[1]],
        verdict: verdict.map_or(observed, Verdict::name),
        bound: q.bound(),
        steps: walk,
        last,
        lr,
        steps_needed: needed,
        reason,
        pictures: Vec::new(),
    };
    (report, path)
}

/// What becomes of the path, where that is proven; why; and the steps until the error has shrunk to a
/// millionth.
fn judge(q: &Quadratic, rule: &Rule, start: [f64; 2]) -> (Option<Verdict>, String, Option<u64>) {
    let Rule::Sgd(sgd) = rule else { return (None, "Adam: observed, not proven".into(), None) };
    let (verdict, reason) = fate(q, sgd, &start);
    let by_rate = steps_needed(q.rate(sgd), SHRINK).filter(|_| verdict == Verdict::Converges);
    // With momentum the error falls like t times the powers of the rate: the rate alone promises too much.
    let count = |n| if sgd.momentum == 0.0 { Some(n) } else { q.steps_counted(sgd, &start, SHRINK, LONGEST) };
    (Some(verdict), reason, by_rate.and_then(count))
}

/// What becomes of the path and why, as [`Quadratic::verdict`] has it, but for rates at the bound. Few decimals
/// are doubles: exact arithmetic on the double next to 0.2 would put it beyond the bound 2 / 10. A rate that
/// rounds to the bound is the bound.
pub fn fate(q: &Quadratic, sgd: &Sgd, start: &[f64]) -> (Verdict, String) {
    on_the_bound(q, sgd, start).unwrap_or_else(|| q.verdict(sgd, start))
}

fn on_the_bound(q: &Quadratic, sgd: &Sgd, start: &[f64]) -> Option<(Verdict, String)> {
    let steep = (0..start.len()).find(|&i| 2.0 / q.curvatures[i] == sgd.lr && start[i] != 0.0)?;
    // Whether the path diverges elsewhere is for the verdict to say.
    let steepest = q.curvatures.iter().all(|c| (0.0..=q.curvatures[steep]).contains(c));
    if sgd.momentum != 0.0 || !steepest {
        return None;
    }
    let [rate, c] = [sgd.lr, q.curvatures[steep]].map(number);
    let reason =
        format!("w{} is multiplied by 1 - {rate} * {c} = -1 each step: the rate is the bound", steep + 1);
    Some((Verdict::Alternates, reason))
}

/// The charts of a descent and their names: path over contours, loss, region of convergence, and how slow it is
/// at best.
pub fn charts(q: &Quadratic, rule: &Rule, path: &[Vec<f64>]) -> [(&'static str, Chart); 4] {
    // Adam's region is not known: its rate is shown over that of gradient descent.
    let judged = if let Rule::Sgd(sgd) = rule { *sgd } else { Sgd::new(rule.lr()) };
    [
        ("path", path_chart(q, path)),
        ("loss", loss_chart(q, path)),
        ("region", region_chart(q, &judged)),
        ("steps", steps_chart(q)),
    ]
}

/// Pieces of a contour, which is cut where it leaves the picture.
const RING: u32 = 720;

/// Contours of the loss, and where the steps went.
fn path_chart(q: &Quadratic, path: &[Vec<f64>]) -> Chart {
    let shown: Vec<(f64, f64)> = path
        .iter()
        .map(|w| (w[0], w[1]))
        .take_while(|(x, y)| x.abs() < 1e6 && y.abs() < 1e6)
        .take(200)
        .collect();
    let mut chart = Chart::new("Steps over the loss's contours", "w1", "w2").square().tight();
    let (a, b) = (q.curvatures[0], q.curvatures[1]);
    // A valley is as long as its curvatures differ: it is shown as far as the steps go, and to the axes' ends.
    let reach = 1.15 * shown.iter().flat_map(|(x, y)| [x.abs(), y.abs()]).fold(0.0, f64::max);
    let inside =
        |(x, y): (f64, f64)| if x.abs().max(y.abs()) <= reach { (x, y) } else { (f64::NAN, f64::NAN) };
    if a > 0.0 && b > 0.0 {
        let start = shown.first().copied().unwrap_or((1.0, 1.0));
        let most = a * start.0 * start.0 + b * start.1 * start.1;
        for k in 1..=5 {
            let level = most * f64::from(k * k) / 25.0;
            let ring = (0..=RING).map(|i| {
                let t = std::f64::consts::TAU * f64::from(i) / f64::from(RING);
                inside(((level / a).sqrt() * elementary::cos(t), (level / b).sqrt() * elementary::sin(t)))
            });
            let name = if k == 1 { "equal loss" } else { "" };
            chart =
                chart.with(Series::new(name, ring.collect(), Style::Faint).color(Color::rgb(150, 150, 160)));
        }
    }
    let (path, steps) = (Series::line("", shown.clone()), Series::new("steps", shown, Style::Dots));
    chart.with(path.color(palette(0))).with(steps.color(palette(0)))
}

/// The loss after each step.
fn loss_chart(q: &Quadratic, path: &[Vec<f64>]) -> Chart {
    // A long path is thinned to what a picture can show.
    let stride = path.len().div_ceil(1000);
    let points = (0..).zip(path).step_by(stride).map(|(t, w)| (f64::from(t), q.loss(w)));
    let points: Vec<(f64, f64)> = points.filter(|(_, l)| *l > 0.0 && l.is_finite()).collect();
    Chart::new("Loss by step", "step", "loss").y_scale(Scale::Log).with(Series::line("", points))
}

/// Ratios of curvatures from 1 to 10,000, so many a power of ten.
fn kappas(each: u32) -> impl Iterator<Item = f64> {
    let power = move |i| elementary::exp(f64::from(i) / f64::from(each) * std::f64::consts::LN_10);
    (0..=4 * each).map(power)
}

/// The steps that gradient descent takes at its best constant rate until the error of curvatures 1 and κ has
/// shrunk to a millionth, by its rate and counted, and those that momentum takes at its best.
pub fn steps_at_best(kappa: f64) -> [Option<u64>; 3] {
    let q = Quadratic::new([1.0, kappa]);
    let counted =
        |rule: Option<Sgd>| rule.and_then(|rule| q.steps_counted(&rule, &[1.0, 1.0], SHRINK, LONGEST));
    [
        q.best_rate().and_then(|rate| steps_needed(rate, SHRINK)),
        counted(q.best_step().map(Sgd::new)),
        counted(q.best_heavy_ball()),
    ]
}

/// The steps to a millionth of the error over the ratio of the curvatures.
fn steps_chart(q: &Quadratic) -> Chart {
    let curve = |each: u32, which: usize| {
        let point = |k: f64| steps_at_best(k)[which].map(|steps| (k, steps as f64));
        kappas(each).filter_map(point).collect::<Vec<_>>()
    };
    let chart = Chart::new("Steps to a millionth of the error", "ratio of the curvatures", "steps")
        .x_scale(Scale::Log)
        .y_scale(Scale::Log)
        .with(Series::line("gradient descent, best rate", curve(10, 0)))
        .with(Series::line("momentum at its best, counted", curve(10, 2)))
        .with(Series::new("gradient descent, counted", curve(1, 1), Style::Dots));
    q.condition().into_iter().fold(chart, |chart, kappa| chart.mark(kappa, "here"))
}

/// Which learning rates converge with this momentum, over the ratio of the curvatures, in units of the
/// smaller one.
fn region_chart(q: &Quadratic, rule: &Sgd) -> Chart {
    let plain = rule.momentum == 0.0;
    let most = limit(rule);
    let kind = if rule.nesterov { "Nesterov's momentum" } else { "momentum" };
    let (title, bound) = if plain {
        ("Where gradient descent converges".to_string(), "limit 2/max".to_string())
    } else {
        (format!("Where {kind} {:.2} converges", rule.momentum), format!("limit {most:.2}/max"))
    };
    let curve = |f: &dyn Fn(f64) -> f64| kappas(30).map(|k| (f(k), k)).collect::<Vec<_>>();
    let mut chart = Chart::new(&title, "learning rate x smaller curvature", "ratio of the curvatures")
        .x_scale(Scale::Log)
        .y_scale(Scale::Log)
        .with(Series::new("converges", curve(&|k| most / k), Style::Area))
        .with(Series::line(&bound, curve(&|k| most / k)));
    if plain {
        chart = chart.with(Series::line("best rate 2/(min + max)", curve(&|k| 2.0 / (1.0 + k))));
    }
    if let Some(kappa) = q.condition() {
        let least = q.curvatures.iter().copied().fold(f64::INFINITY, f64::min);
        chart = chart.with(Series::new("here", vec![(rule.lr * least, kappa)], Style::Dots));
    }
    chart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_like_the_ratio_of_the_curvatures() {
        for kappa in kappas(2) {
            let [by_rate, counted, momentum] = steps_at_best(kappa).map(|n| n.unwrap() as f64);
            // Both weights start alike and shrink by one factor: the count is the rate's, but for rounding.
            assert!((by_rate - counted).abs() <= 1.0, "{kappa}: {by_rate}, {counted}");
            if kappa > 10.0 {
                // ln 10^6 / ln((κ + 1) / (κ - 1)) is κ ln 10^6 / 2, less than one in 3 κ² of it aside.
                assert!((by_rate / kappa / 6.907_755 - 1.0).abs() < 0.01 + 1.0 / kappa, "{kappa}: {by_rate}");
                assert!(momentum < by_rate && momentum > kappa.sqrt(), "{kappa}: {momentum}");
            }
        }
        assert_eq!(steps_at_best(1e4)[0], Some(69_078));
    }
}
