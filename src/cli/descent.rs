//! `gradus descent`: gradient descent on a quadratic, factor by factor.

use super::options::{Global, at_least_one};
use super::output::draw;
use crate::error::{Error, Result};
use crate::lessons::descent::{DescentReport, Method, charts, descend};
use crate::lessons::quadratic::Quadratic;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gradus_core::Rule;
use std::path::PathBuf;

/// The most steps that are walked.
const MOST: usize = 1_000_000;

/// Descend on L(w) = (a w1² + b w2²) / 2: factors, verdict, pictures
///
/// A step w ← w - η ∇L multiplies w1 by 1 - ηa and w2 by 1 - ηb. From a start with both coordinates not zero
/// it converges exactly when 0 < η < 2 / max(a, b) (a, b positive). The best constant η is 2 / (a + b); the
/// larger max(a, b) / min(a, b), the slower.
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
    #[arg(long, default_value = "gd", value_parser = method())]
    optimizer: Method,
    /// Steps to walk [default: until the error has shrunk to a millionth, at most 100,000]
    #[arg(long, value_parser = at_least_one)]
    steps: Option<usize>,
    /// Where it starts
    #[arg(long, value_name = "W1,W2", default_value = "1,1", allow_hyphen_values = true)]
    start: String,
    /// Draw the path, the loss, the region of convergence and the steps that it takes at best into this folder
    #[arg(short = 'o', long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite pictures
    #[arg(long)]
    force: bool,
}

fn method() -> impl TypedValueParser<Value = Method> {
    PossibleValuesParser::new(Method::NAMED.map(|(name, _)| name)).try_map(|name| Method::named(&name))
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
            return self.optimizer.best(q).ok_or_else(|| {
                Error::input(format!("--lr auto: no rate is best for a = {}, b = {}", self.a, self.b)).remedy(
                    "it needs positive curvatures; where one is 0 that coordinate never moves, where one is \
                             negative the loss has no least value; name a rate to see it happen",
                )
            });
        }
        let lr = number("--lr", &self.lr)?;
        if lr <= 0.0 {
            return Err(Error::input(format!("--lr {lr} is not positive"))
                .remedy("a step of rate 0 never moves, a negative one climbs: the factors 1 - lr c are then 1 or more"));
        }
        Ok(self.optimizer.rule(lr))
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
        if let Some(steps) = self.steps.filter(|&steps| steps > MOST) {
            return Err(Error::input(format!("--steps {steps} is more than {MOST}")));
        }
        let (mut report, path) = descend(&q, rule, start, self.steps);
        if let Some(out) = &self.out {
            report.pictures = draw(out, self.force, charts(&q, &rule, &path))?;
        }
        Ok(report)
    }
}
