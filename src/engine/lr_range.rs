//! The learning-rate range test (Smith, *Cyclical learning rates for training neural networks*, 2017).
//!
//! From lr₀ to lr₁ in n exponential steps, lr_t = lr₀ (lr₁/lr₀)^{t/n}: one step of descent each, the loss
//! smoothed by s_t = α l_t + (1 - α) s_{t-1}. It ends early where s exceeds 5 times its least, or a loss or a
//! gradient is no number any more. The weights are restored: they are only borrowed. The suggestion is where
//! the smoothed loss falls fastest in log lr, away from both ends.

use super::classifier::shown;
use super::culprit::{self, Shown};
use crate::data::{Batch, Loader, Splits, Transform};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::plot::{Chart, Scale, Series};
use crate::progress::Progress;
use gradus_core::gemm::Precision;
use gradus_core::optim::{Adam, Optimizer};
use gradus_core::{Rng, Tape, elementary};
use gradus_models::AlexNet;
use gradus_models::checkpoint::{load_matching, state_dict};
use serde::Serialize;

/// The settings of a range test.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The first learning rate.
    pub from: f64,
    /// The last.
    pub to: f64,
    /// How many steps.
    pub steps: usize,
    /// Images a step.
    pub batch: usize,
    /// The weight of the newest loss.
    pub smoothing: f64,
    /// Ends where the smoothed loss is this many times its least.
    pub diverge: f64,
    /// Points left out at the plot's beginning, and at each end for the suggestion.
    pub skip: usize,
    /// What products and convolutions read.
    pub precision: Precision,
}

impl Default for Settings {
    /// The exercise's: 1e-7 to 10 in 100 steps.
    fn default() -> Self {
        Settings {
            from: 1e-7,
            to: 10.0,
            steps: 100,
            batch: 256,
            smoothing: 0.05,
            diverge: 5.0,
            skip: 5,
            precision: Precision::F32,
        }
    }
}

/// The chart shows losses up to so many times the first one.
pub const SHOWN: f64 = 1.5;

/// What the test found.
#[derive(Clone, Debug, Serialize)]
pub struct RangeTest {
    /// Where the smoothed loss falls fastest; none where it never falls.
    pub suggested: Option<f64>,
    /// The learning rates tried.
    pub lr: Vec<f64>,
    /// The smoothed losses.
    pub loss: Vec<f64>,
}

impl RangeTest {
    /// Loss over learning rate, without the first `skip` points, the suggestion marked. It ends where the loss has
    /// risen to [`SHOWN`] times what it was, so that the rise is seen and does not flatten the rest.
    pub fn chart(&self, skip: usize) -> Chart {
        let first = skip.min(self.lr.len());
        let most = self.loss.get(first).map_or(0.0, |loss| SHOWN * loss);
        let end =
            self.loss.iter().rposition(|loss| *loss <= most).map_or(first, |last| (last + 1).max(first));
        let points = self.lr[first..end].iter().copied().zip(self.loss[first..end].iter().copied()).collect();
        let chart = Chart::new("Learning-rate range test", "learning rate", "smoothed loss (nats)")
            .x_scale(Scale::Log)
            .with(Series::line("", points));
        match self.suggested {
            Some(lr) => chart.mark(lr, format!("suggested {lr:.1e}")),
            None => chart,
        }
    }
}

/// Runs the test on training images; the network's weights are as before when it returns.
pub fn run(
    net: &mut AlexNet,
    splits: &Splits,
    transform: Transform,
    settings: &Settings,
    seed: u64,
) -> Result<RangeTest> {
    let before = state_dict(net);
    let found = descend(net, splits, transform, settings, seed);
    load_matching(net, &before);
    let (lr, loss) = found?;
    Ok(RangeTest { suggested: suggest(&lr, &loss, settings.skip), lr, loss })
}

fn descend(
    net: &mut AlexNet,
    splits: &Splits,
    transform: Transform,
    s: &Settings,
    seed: u64,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let root = Rng::seed(seed);
    let loader = Loader::training(splits.train.clone(), transform, s.batch, &root.stream("lr-range"));
    let mut optimizer = Optimizer::new(Adam::new(s.from));
    let (mut rates, mut losses) = (Vec::new(), Vec::<f64>::new());
    let mut progress = Progress::new("range test", "steps", s.steps as u64, 0);
    // A small data set is passed over as often as needed.
    let batches = (0..).flat_map(|epoch| loader.epoch(epoch, 0));
    for (t, batch) in batches.take(s.steps).enumerate() {
        let batch = batch?;
        let lr = s.from * elementary::exp(t as f64 / s.steps as f64 * elementary::ln(s.to / s.from));
        optimizer.set_lr(lr);
        let mut g = Tape::train(&mut root.stream("dropout").at(t as u64)).in_precision(s.precision);
        let logits = net.forward(&mut g, batch.images.clone().into());
        let loss = g.cross_entropy(logits, &batch.labels);
        let value = f64::from(loss.value.item());
        let shown = || shown(&splits.train, transform, &batch);
        if !value.is_finite() {
            must_have_diverged(net, &shown(), &batch, t)?;
        }
        let smooth = match losses.last() {
            Some(last) => s.smoothing * value + (1.0 - s.smoothing) * last,
            None => value,
        };
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        if !smooth.is_finite() || smooth > s.diverge * least {
            break;
        }
        rates.push(lr);
        losses.push(smooth);
        if optimizer.step(net, &g.backward(&loss)).is_err() {
            must_have_diverged(net, &shown(), &batch, t)?;
            break;
        }
        progress.advance(1, || format!("lr {lr:.2e}, loss {smooth:.4}"));
        interrupt::check("the weights are as they were")?;
    }
    Ok((rates, losses))
}

/// Too high a rate ends in NaN: that is what the test looks for. Error: there is NaN before any step, or in
/// the images.
fn must_have_diverged(net: &mut AlexNet, shown: &[Shown], batch: &Batch, step: usize) -> Result<()> {
    if let Some(image) = culprit::bad_image(shown) {
        return Err(Error::input("holds NaN or infinity").in_file(image).remedy("mend or remove it"));
    }
    if step > 0 {
        return Ok(());
    }
    let first = culprit::first(shown, net, Tape::infer(), |net, g| {
        net.forward(g, batch.images.clone().into());
    });
    let first = culprit::told(first);
    let images = culprit::names(shown);
    Err(Error::failure(format!("step 1 ({images}) meets NaN or infinity before any rate is tried{first}")))
}

/// The learning rate at which the loss falls fastest in its logarithm, `skip` points away from each end.
fn suggest(lr: &[f64], loss: &[f64], skip: usize) -> Option<f64> {
    let slope = |i: usize| (loss[i + 1] - loss[i - 1]) / elementary::ln(lr[i + 1] / lr[i - 1]);
    (skip.max(1)..lr.len().saturating_sub(skip.max(1)))
        .map(|i| (slope(i), lr[i]))
        .filter(|(slope, _)| *slope < 0.0)
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, lr)| lr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::NotFinite;

    #[test]
    fn nan_ends_the_test_where_rates_are_too_high_and_is_an_error_at_the_start() {
        use crate::data::{Reading, open};
        use gradus_core::Module;
        let splits = open("synthetic:24", 0.2, 1, Reading::default()).unwrap();
        let mut net = AlexNet::new(gradus_models::alexnet::Size::Cifar, 10, &mut Rng::seed(1));
        let s = Settings { from: 1e25, to: 1e35, steps: 5, batch: 4, ..Settings::default() };
        let found = run(&mut net, &splits, Transform::CIFAR, &s, 1).unwrap();
        assert!((1..5).contains(&found.lr.len()), "{:?}", found.lr);
        assert!(NotFinite::in_module(&mut net).is_none(), "the weights are as they were");

        net.for_each_param(|name, p| {
            if name == "classifier.6.bias" {
                p.value.data_mut()[0] = f32::NAN;
            }
        });
        let said = run(&mut net, &splits, Transform::CIFAR, &s, 1).unwrap_err().to_string();
        assert!(
            said.starts_with("step 1 (") && said.contains("the first of it: classifier.6.bias"),
            "{said}"
        );
    }

    #[test]
    fn the_chart_shows_the_rise() {
        let found = RangeTest {
            suggested: None,
            lr: vec![1e-4, 1e-3, 1e-2, 0.1, 1.0],
            loss: vec![2.4, 2.3, 1.9, 2.8, 7.0],
        };
        let shorter =
            RangeTest { suggested: None, lr: found.lr[..4].to_vec(), loss: found.loss[..4].to_vec() };
        assert_eq!(found.chart(1).svg(), shorter.chart(1).svg());
        let without =
            RangeTest { suggested: None, lr: found.lr[..3].to_vec(), loss: found.loss[..3].to_vec() };
        assert_ne!(found.chart(1).svg(), without.chart(1).svg());
        found.chart(9).svg();
    }

    #[test]
    fn the_steepest_descent_is_suggested() {
        let lr: Vec<f64> = (0..50).map(|i| 1e-7 * 1.4f64.powi(i)).collect();
        // A logistic fall centred on point 30: steepest there.
        let loss: Vec<f64> = (0..50).map(|i| 1.0 / (1.0 + (f64::from(i - 30) / 3.0).exp())).collect();
        assert_eq!(suggest(&lr, &loss, 5), Some(lr[30]));
        let rising: Vec<f64> = loss.iter().rev().copied().collect();
        assert_eq!(suggest(&lr, &rising, 5), None);
        assert_eq!(suggest(&lr[..3], &loss[..3], 5), None);
    }
}
