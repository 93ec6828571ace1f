//! `gradus descent`: gradient descent on a quadratic, factor by factor.

use super::Global;
use crate::error::{Error, Result};
use crate::files;
use crate::plot::{Chart, Scale, Series, Style};
use clap::{Args, ValueEnum};
use gradus_core::optim::{Adam, Rule, Sgd};
use gradus_models::quadratic::{Quadratic, Verdict, limit, steps_needed};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// The error is to shrink to this part.
const SHRINK: f64 = 1e-6;
/// More steps than this are counted, not walked.
const LONGEST: u64 = 100_000;
/// The most steps that are walked.
const MOST: usize = 1_000_000;
/// Steps walked where none are asked for and none suffice.
const SHORT: usize = 100;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Optimizer {
    Gd,
    Momentum,
    Nesterov,
    Adam,
}

/// Descend on L(w) = (a w1² + b w2²) / 2: factors, verdict, pictures
///
/// A step w ← w - η ∇L multiplies w1 by 1 - ηa and w2 by 1 - ηb. From a start with both coordinates not zero it
/// converges exactly when 0 < η < 2 / max(a, b) (a, b positive). The best constant η is 2 / (a + b); the larger
/// max(a, b) / min(a, b), the slower.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus descent --a 1 --b 10 --lr 0.1
  gradus descent --a 1 --b 10000 --lr auto          69,078 steps: the slow scenario
  gradus descent --a 1 --b 2 --lr 1 -o pictures     on the boundary: alternates for ever
  gradus descent --a 1 --b 100 --optimizer momentum --lr auto --json")]
pub struct Descent {
    /// The curvature along w1
    #[arg(long, allow_negative_numbers = true)]
    a: f64,
    /// The curvature along w2
    #[arg(long, allow_negative_numbers = true)]
    b: f64,
    /// The learning rate η, or `auto`: the best constant one (nesterov: 1 / max; adam: that of gd)
    #[arg(long, default_value = "auto", allow_hyphen_values = true)]
    lr: String,
    /// The method; momentum is 0.9 (with --lr auto the one that goes with the rate)
    #[arg(long, value_enum, default_value = "gd")]
    optimizer: Optimizer,
    /// Steps to walk [default: until the error has shrunk to a millionth, at most 100,000]
    #[arg(long, value_parser = super::at_least_one)]
    steps: Option<usize>,
    /// Where it starts
    #[arg(long, value_name = "W1,W2", default_value = "1,1", allow_hyphen_values = true)]
    start: String,
    /// Draw the path, the loss and the region of convergence into this folder
    #[arg(short = 'o', long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite pictures
    #[arg(long)]
    force: bool,
}

/// What the command tells.
#[derive(Clone, Debug, Serialize)]
pub struct DescentReport {
    /// The factors 1 - ηa and 1 - ηb of a step of gradient descent.
    pub rho: [f64; 2],
    /// converges, stays, alternates or diverges.
    pub verdict: String,
    /// 2 / max(a, b); none where no rate converges.
    pub bound: Option<f64>,
    /// Steps walked.
    pub steps: usize,
    /// Where it ends.
    #[serde(rename = "final")]
    pub last: [f64; 2],
    /// The learning rate.
    pub lr: f64,
    /// Steps until the error has shrunk to a millionth: by the factors, with momentum counted; none where it never does
    /// or takes more than a count of 100,000.
    pub steps_needed: Option<u64>,
    /// Why.
    pub reason: String,
    /// The pictures drawn.
    pub pictures: Vec<String>,
}

impl fmt::Display for DescentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.verdict, self.reason)?;
        let [rho1, rho2] = self.rho.map(brief);
        writeln!(
            f,
            "  learning rate {}; factors of a step of gradient descent {rho1} and {rho2}",
            brief(self.lr)
        )?;
        match self.bound.map(brief) {
            Some(b) => {
                writeln!(f, "  gradient descent converges from every start exactly for 0 < rate < {b}")?
            }
            None => writeln!(f, "  no rate converges from every start: a curvature is not positive")?,
        }
        if let Some(n) = self.steps_needed {
            writeln!(f, "  steps to shrink the error to a millionth: {n}")?;
        }
        writeln!(f, "  after {} steps: ({}, {})", self.steps, brief(self.last[0]), brief(self.last[1]))?;
        self.pictures.iter().try_for_each(|p| writeln!(f, "  picture: {p}"))
    }
}

/// With an exponent where there would be many zeros.
fn brief(value: f64) -> String {
    if value == 0.0 || (1e-4..1e7).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}

fn number(name: &str, text: &str) -> Result<f64> {
    let value: Option<f64> = text.trim().parse().ok().filter(|v: &f64| v.is_finite());
    value.ok_or_else(|| Error::input(format!("{name} {text} is not a finite number")).remedy("such as 0.1"))
}

impl Descent {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        global.print(&self.report()?)
    }

    fn rule(&self, q: &Quadratic) -> Result<Rule> {
        if self.lr == "auto" {
            let plain = q.best_step().ok_or_else(|| {
                Error::input(format!("--lr auto: no rate is best for a = {}, b = {}", self.a, self.b)).remedy(
                    "it needs positive curvatures; where one is 0 that coordinate never moves, where one is \
                             negative the loss has no least value; name a rate to see it happen",
                )
            })?;
            let own = match self.optimizer {
                Optimizer::Momentum => q.best_heavy_ball(),
                Optimizer::Nesterov => q.usual_nesterov(),
                Optimizer::Gd | Optimizer::Adam => None,
            };
            return Ok(own.map_or(Self::rule_of(self.optimizer, plain), Rule::from));
        }
        let lr = number("--lr", &self.lr)?;
        if lr <= 0.0 {
            return Err(Error::input(format!("--lr {lr} is not positive"))
                .remedy("a step of rate 0 never moves, a negative one climbs: the factors 1 - lr c are then 1 or more"));
        }
        Ok(Self::rule_of(self.optimizer, lr))
    }

    fn rule_of(optimizer: Optimizer, lr: f64) -> Rule {
        match optimizer {
            Optimizer::Gd => Sgd::new(lr).into(),
            Optimizer::Momentum => Sgd { momentum: 0.9, ..Sgd::new(lr) }.into(),
            Optimizer::Nesterov => Sgd { momentum: 0.9, nesterov: true, ..Sgd::new(lr) }.into(),
            Optimizer::Adam => Adam::new(lr).into(),
        }
    }

    fn start(&self) -> Result<[f64; 2]> {
        let parts: Vec<&str> = self.start.split(',').collect();
        let [w1, w2] = parts[..] else {
            return Err(
                Error::input(format!("--start {} is not two numbers", self.start)).remedy("such as 1,-2")
            );
        };
        Ok([number("--start", w1)?, number("--start", w2)?])
    }

    fn report(&self) -> Result<DescentReport> {
        for (name, c) in [("--a", self.a), ("--b", self.b)] {
            if !c.is_finite() {
                return Err(Error::input(format!("{name} {c} is not a finite number")));
            }
        }
        let q = Quadratic::new(vec![self.a, self.b]);
        let (rule, start) = (self.rule(&q)?, self.start()?);
        let (mut report, path) = descend(&q, rule, start, self.steps)?;
        if let Some(out) = &self.out {
            report.pictures = draw(out, self.force, &q, &rule, &path)?;
        }
        Ok(report)
    }
}

/// Walks `steps` steps (or as many as are needed), and tells what happens and why.
pub fn descend(
    q: &Quadratic,
    rule: Rule,
    start: [f64; 2],
    steps: Option<usize>,
) -> Result<(DescentReport, Vec<Vec<f64>>)> {
    let lr = rule.lr();
    let (verdict, reason, needed) = match &rule {
        Rule::Sgd(sgd) => {
            let (verdict, reason, needed) = judge(q, sgd, start);
            (Some(verdict.name()), reason, needed)
        }
        Rule::Adam(_) => (None, "Adam: observed, not proven".to_string(), None),
    };
    let walk = steps.unwrap_or_else(|| needed.map_or(SHORT, |n| n.min(LONGEST) as usize));
    if walk > MOST {
        return Err(Error::input(format!("--steps {walk} is more than {MOST}")));
    }
    let path = q.descend(rule, &start, walk);
    let last = path.last().map_or(start, |w| [w[0], w[1]]);
    let norm = |w: [f64; 2]| w[0].hypot(w[1]);
    let grown = !norm(last).is_finite() || norm(last) > 2.0 * norm(start);
    let observed = if grown { "diverges" } else { "converges" };
    let report = DescentReport {
        rho: [q.factors(lr)[0], q.factors(lr)[1]],
        verdict: verdict.unwrap_or(observed).to_string(),
        bound: q.bound(),
        steps: walk,
        last,
        lr,
        steps_needed: needed,
        reason,
        pictures: Vec::new(),
    };
    Ok((report, path))
}

/// What becomes of the path, why, and the steps until the error has shrunk to a millionth.
pub fn judge(q: &Quadratic, sgd: &Sgd, start: [f64; 2]) -> (Verdict, String, Option<u64>) {
    let (verdict, reason) = on_the_bound(q, sgd, start).unwrap_or_else(|| q.verdict(sgd, &start));
    let by_rate = steps_needed(q.rate(sgd), SHRINK).filter(|_| verdict == Verdict::Converges);
    // With momentum the error falls like t times the powers of the rate: the rate alone promises too much.
    let count = |n| if sgd.momentum == 0.0 { Some(n) } else { q.steps_counted(sgd, &start, SHRINK, LONGEST) };
    (verdict, reason, by_rate.and_then(count))
}

/// Few decimals are doubles: exact arithmetic on the double next to 0.2 would put it beyond the bound 2 / 10. A rate that
/// rounds to the bound is the bound.
fn on_the_bound(q: &Quadratic, sgd: &Sgd, start: [f64; 2]) -> Option<(Verdict, String)> {
    let bound = q.bound().filter(|b| sgd.momentum == 0.0 && *b == sgd.lr)?;
    let steep = (0..2).find(|&i| 2.0 / q.curvatures()[i] == bound && start[i] != 0.0)?;
    let (number, c) = (steep + 1, q.curvatures()[steep]);
    let reason =
        format!("w{number} is multiplied by 1 - {bound} * {c} = -1 each step: the rate is the bound");
    Some((Verdict::Alternates, reason))
}

/// The three pictures: path over contours, loss, region of convergence.
fn draw(out: &Path, force: bool, q: &Quadratic, rule: &Rule, path: &[Vec<f64>]) -> Result<Vec<String>> {
    files::create_folder(out)?;
    // Adam's region is not known: its rate is shown over that of gradient descent.
    let judged = match rule {
        Rule::Sgd(sgd) => *sgd,
        Rule::Adam(_) => Sgd::new(rule.lr()),
    };
    let charts = [
        ("path.png", path_chart(q, path)),
        ("loss.png", loss_chart(q, path)),
        ("region.png", region_chart(q, &judged)),
    ];
    let mut pictures = Vec::new();
    for (name, chart) in charts {
        let file = super::new_file(out.join(name), force)?;
        chart.image().save_png(&file)?;
        pictures.push(file.display().to_string());
    }
    Ok(pictures)
}

/// Contours of the loss, and where the steps went.
pub fn path_chart(q: &Quadratic, path: &[Vec<f64>]) -> Chart {
    let shown: Vec<(f64, f64)> = path
        .iter()
        .map(|w| (w[0], w[1]))
        .take_while(|(x, y)| x.abs() < 1e6 && y.abs() < 1e6)
        .take(200)
        .collect();
    let mut chart = Chart::new("Steps over the loss's contours", "w1", "w2");
    let (a, b) = (q.curvatures()[0], q.curvatures()[1]);
    if a > 0.0 && b > 0.0 {
        let start = shown.first().copied().unwrap_or((1.0, 1.0));
        let most = a * start.0 * start.0 + b * start.1 * start.1;
        for k in 1..=5 {
            let level = most * f64::from(k * k) / 25.0;
            let ring = (0..=96).map(|i| {
                let t = std::f64::consts::TAU * f64::from(i) / 96.0;
                ((level / a).sqrt() * t.cos(), (level / b).sqrt() * t.sin())
            });
            let name = if k == 1 { "equal loss" } else { "" };
            chart = chart.with(
                Series::new(name, ring.collect(), Style::Faint)
                    .color(crate::image::Color::rgb(150, 150, 160)),
            );
        }
    }
    chart.with(Series::line("path", shown.clone())).with(Series::new("steps", shown, Style::Dots))
}

/// The loss after each step.
pub fn loss_chart(q: &Quadratic, path: &[Vec<f64>]) -> Chart {
    // A long path is thinned to what a picture can show.
    let stride = path.len().div_ceil(1000);
    let points = (0..).zip(path).step_by(stride).map(|(t, w)| (f64::from(t), q.loss(w)));
    let points: Vec<(f64, f64)> = points.filter(|(_, l)| *l > 0.0 && l.is_finite()).collect();
    Chart::new("Loss by step", "step", "loss").y_scale(Scale::Log).with(Series::line("", points))
}

/// Which learning rates converge with this momentum, over the ratio of the curvatures, in units of the smaller one.
pub fn region_chart(q: &Quadratic, rule: &Sgd) -> Chart {
    let plain = rule.momentum == 0.0;
    let most = limit(rule);
    let kind = if rule.nesterov { "Nesterov's momentum" } else { "momentum" };
    let (title, bound) = if plain {
        ("Where gradient descent converges".to_string(), "limit 2/max".to_string())
    } else {
        (format!("Where {kind} {:.2} converges", rule.momentum), format!("limit {most:.2}/max"))
    };
    let kappas: Vec<f64> = (0..=120).map(|i| 10f64.powf(f64::from(i) / 30.0)).collect();
    let curve = |f: &dyn Fn(f64) -> f64| kappas.iter().map(|&k| (f(k), k)).collect::<Vec<_>>();
    let mut chart = Chart::new(&title, "learning rate x smaller curvature", "ratio of the curvatures")
        .x_scale(Scale::Log)
        .y_scale(Scale::Log)
        .with(Series::new("converges", curve(&|k| most / k), Style::Area))
        .with(Series::line(&bound, curve(&|k| most / k)));
    if plain {
        chart = chart.with(Series::line("best rate 2/(min + max)", curve(&|k| 2.0 / (1.0 + k))));
    }
    if let Some(kappa) = q.condition() {
        let least = q.curvatures().iter().copied().fold(f64::INFINITY, f64::min);
        chart = chart.with(Series::new("here", vec![(rule.lr * least, kappa)], Style::Dots));
    }
    chart
}
