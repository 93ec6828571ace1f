//! Question 1: when gradient descent on a quadratic converges, and when it is slow.

use super::claims;
use crate::error::Result;
use crate::lessons::descent::{DescentReport, charts, descend, steps_at_best};
use crate::lessons::quadratic::Quadratic;
use crate::numbers::{count, number};
use crate::report::{Page, Rich};
use crate::shell::Typed;
use gradus_core::elementary;
use gradus_core::optim::Sgd;

/// Of a path that is drawn.
const SHOWN_STEPS: usize = 60;

/// Question 1: when gradient descent converges, and when it is slow.
pub fn descent(page: &mut Page) -> Result<Vec<DescentReport>> {
    page.section("q1", "1. When does gradient descent converge?");
    steps(page);
    converges(page);
    let reports = rates(page);
    slow(page)?;
    claims(page, 'D');
    Ok(reports)
}

/// 1a to 1c: the gradient, where it vanishes, and what a step along it does.
fn steps(page: &mut Page) {
    page.text("The loss is a quadratic with curvatures $a$ and $b$:");
    page.formula("L(w) = \\frac{1}{2}\\left(a\\,w_1^2 + b\\,w_2^2\\right).");
    page.part("q1a", "1a. The gradient")
        .text(
            "Each weight stands in one term alone, and the derivative of $\\frac{1}{2} a\\,w_1^2$ is $a\\,w_1$, that of \
             $\\frac{1}{2} b\\,w_2^2$ is $b\\,w_2$:",
        );
    page.formula("\\nabla L(w) = \\left(a\\,w_1, \\; b\\,w_2\\right).");
    page.part("q1b", "1b. The minimiser").text(
        "For $a, b > 0$ both terms of the loss are non-negative, and their sum vanishes only where both do: $w = (0, 0)$ \
         is the minimiser, and there is no other. It is also the only point where the gradient vanishes.",
    );
    page.part("q1c", "1c. What a step does")
        .text("The step $w \\leftarrow w - \\eta \\nabla L(w)$ is, for each weight,");
    page.formula("w_1 \\leftarrow w_1 - \\eta a\\,w_1 = (1 - \\eta a)\\,w_1,")
        .formula("w_2 \\leftarrow w_2 - \\eta b\\,w_2 = (1 - \\eta b)\\,w_2.");
    page.text(
        "The factors are $\\rho_1 = 1 - \\eta a$ and $\\rho_2 = 1 - \\eta b$, the same in each step. After $t$ steps \
         $w_1(t) = \\rho_1^t\\, w_1(0)$ and $w_2(t) = \\rho_2^t\\, w_2(0)$; the weights do not see each other.",
    );
}

/// 1d: exactly when the steps lead to the minimiser.
fn converges(page: &mut Page) {
    page.part("q1d", "1d. Exactly when it converges").text(
        "$|\\rho_i|^t \\to 0$ if and only if $|\\rho_i| < 1$, that is $0 < \\eta a < 2$ and $0 < \\eta b < 2$. So from a \
         start with both weights not zero, and for $a, b > 0$, descent converges to the minimiser exactly when",
    );
    page.formula("0 < \\eta < \\frac{2}{\\max(a, b)}.").text(
        "At the limit the steep weight alternates for ever; beyond it, it diverges. A weight without curvature never \
         moves, and one with negative curvature diverges at any positive rate.",
    );
}

/// 1e: what makes it slow, and a path on which it is. Its region of convergence, which ends 1d, comes first.
fn slow(page: &mut Page) -> Result<()> {
    let (q, rule) = (Quadratic::new(vec![1.0, 10.0]), Sgd::new(0.18).into());
    let (report, path) = descend(&q, rule, [1.0, 1.0], Some(SHOWN_STEPS));
    let [(_, steps), (_, losses), (_, region), (_, slow)] = charts(&q, &rule, &path);
    let command = || [Typed::from("gradus descent --a 1 --b 10 --lr 0.18 -o pictures")];
    page.chart(
        &region,
        "Which rates converge: those left of the limit, in the tinted area, which goes on to the left without end. What is \
         marked as here is the path in 1e, at nine tenths of the limit.",
    )?;
    page.command(command());
    page.part("q1e", "1e. When it is slow").text(
        "When a factor is near 1 in size: at a rate much smaller than need be, just below the limit, and, whatever the rate, \
         when $a$ and $b$ differ much. The rate must be small for the steep direction, and the flat one then hardly moves. \
         What counts is the greater of $|1 - \\eta a|$ and $|1 - \\eta b|$. It is least where both are equal, \
         $1 - \\eta \\min(a, b) = \\eta \\max(a, b) - 1$: the best constant rate is $2/(a+b)$, and even with it a step \
         multiplies the error by",
    );
    page.formula("\\frac{\\kappa - 1}{\\kappa + 1}, \\qquad \\kappa = \\frac{\\max(a,b)}{\\min(a,b)},").text(
        "so that a millionth of the error takes $t = \\ln 10^6 / \\ln \\frac{\\kappa + 1}{\\kappa - 1} \\approx 6.9\\,\\kappa$ \
         steps for large $\\kappa$: the last two rows of the table. Momentum, which goes on with a part of the step before, \
         turns $\\kappa$ into about $\\kappa^{1/2}$ there.",
    );
    page.chart(&slow, slowness())?;
    let [w1, w2] = report.last.map(number);
    page.chart(
        &steps,
        Rich::from("$\\eta = 0.18$, $a = 1$, $b = 10$: $w_2$ changes its sign at each step, $w_1$ goes along the valley. ")
            .then(format!("After {} steps the weights are {w1} and {w2}.", report.steps)),
    )?;
    let [first, last] = [path.first(), path.last()].map(|w| number(w.map_or(f64::NAN, |w| q.loss(w))));
    page.chart(
        &losses,
        format!(
            "The loss along this path falls from {first} to {last}: nearly a straight line on this scale. It is the sum of one \
             term a weight, and each keeps the square of its factor a step, {} and {}.",
            number(report.rho[0] * report.rho[0]),
            number(report.rho[1] * report.rho[1])
        ),
    )?;
    page.command(command());
    Ok(())
}

/// What the chart of steps over the curvatures' ratio shows.
fn slowness() -> String {
    let told = [1e2, 1e4].map(|kappa| {
        let [by_rate, _, momentum] = steps_at_best(kappa).map(|n| count(n.unwrap_or(0) as usize));
        format!("at a ratio of {} it takes {by_rate} steps, momentum {momentum}", count(kappa as usize))
    });
    // The slope on the chart's two logarithmic scales, over a power of ten.
    let steps = |kappa: f64| steps_at_best(kappa)[0].unwrap_or(1).max(1) as f64;
    let slope = |kappa: f64| {
        (elementary::ln(steps(10.0 * kappa)) - elementary::ln(steps(kappa))) / std::f64::consts::LN_10
    };
    let begins = [1.0, 10.0, 100.0, 1000.0].into_iter().find(|&kappa| (slope(kappa) - 1.0).abs() < 0.02);
    let begins = begins.unwrap_or(1000.0);
    format!(
        "How slow descent is at its best constant rate: from a ratio of about {begins} on, where the line becomes straight, its \
         slope is {:.2} from one power of ten to the next, so that the steps grow like the ratio itself (momentum: like its \
         root). {}; {}. The triangles are of runs whose steps were taken and counted.",
        slope(begins),
        told[0].replacen('a', "A", 1),
        told[1]
    )
}

/// A table of rates and what they lead to.
fn rates(page: &mut Page) -> Vec<DescentReport> {
    let (mut reports, mut commands) = (Vec::new(), Vec::new());
    let mut rows =
        vec![["a", "b", "η", "factors", "verdict", "steps to a millionth"].map(String::from).to_vec()];
    for (a, b, lr) in [
        (1.0, 4.0, 0.25),
        (1.0, 4.0, 0.5),
        (1.0, 4.0, 0.55),
        (1.0, 100.0, 2.0 / 101.0),
        (1.0, 1e4, 2.0 / 10_001.0),
    ] {
        let report =
            descend(&Quadratic::new(vec![a, b]), Sgd::new(lr).into(), [1.0, 1.0], Some(SHOWN_STEPS)).0;
        rows.push(vec![
            a.to_string(),
            b.to_string(),
            number(lr),
            format!("{:.4}, {:.4}", report.rho[0], report.rho[1]),
            report.verdict.into(),
            report.steps_needed.map_or("never".into(), |n| n.to_string()),
        ]);
        let typed = Typed::from("gradus descent");
        commands.push(typed.option("--a", [a]).option("--b", [b]).option("--lr", [lr]));
        reports.push(report);
    }
    page.table(rows).command(commands);
    reports
}
