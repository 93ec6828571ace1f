//! How the network of question 4 was trained, in words: the optimiser and its rate, what a batch is and what becomes of
//! its images, and why the rate is not the one that the range test suggests.

use crate::data::{Augmentation, Transform};
use crate::engine::alexnet::Settings;
use crate::engine::lr_range::RangeTest;
use crate::numbers::{count, number};
use gradus_core::optim::Adam;

/// The optimiser and its constants, the batch, and what images become.
pub(super) fn recipe(settings: &Settings, transform: Transform, images: usize) -> String {
    let plan = settings.plan;
    let Adam { lr, betas, eps, weight_decay, .. } = Adam::new(plan.lr);
    let schedule =
        if plan.one_cycle { "that rises to it and falls again in one cycle" } else { "that stays as it is" };
    let decay = if weight_decay == 0.0 {
        "no weight decay".into()
    } else {
        format!("a weight decay of {weight_decay}")
    };
    let steps = images.div_ceil(plan.batch);
    let [m, s] =
        [transform.normalise.mean, transform.normalise.std].map(|v| v.map(|v| format!("{v:.3}")).join(", "));
    let changed = match transform.augmentation {
        Augmentation::Small { side, degrees, padding } => format!(
            "turned by up to {degrees} degrees either way, mirrored half the time, and cut to {side} x {side} pixels at a random \
             place after padding by {padding}"
        ),
        Augmentation::Large { side, .. } => format!(
            "cut at random to between 8 and 100 % of their area, scaled to {side} x {side} pixels, and mirrored half the time"
        ),
    };
    format!(
        "The optimiser is Adam with a learning rate of {} {schedule}, β1 = {} in the place of momentum, β2 = {}, ε = {}, and \
         {decay}. A batch is {} images, an epoch {} steps over {} images; {} epochs were asked for. Each training image is \
         {changed}; every image is then normalised by the means ({m}) and the deviations ({s}) of red, green and blue in 0 to 1.",
        number(lr),
        betas.0,
        betas.1,
        number(eps),
        count(plan.batch),
        count(steps),
        count(images),
        plan.epochs
    )
}

/// A smoothed loss that ends so much above its least has risen.
const RISEN: f64 = 1.05;

/// What the range test shows, and how its suggestion and the run's rate differ.
pub(super) fn range(found: &RangeTest, lr: f64) -> String {
    let least = found.loss.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    let (Some((at, least)), Some(last), Some(end)) = (least, found.loss.last(), found.lr.last()) else {
        return "The range test ended before its first step.".into();
    };
    let (best, rises) = (found.lr[at], *last > RISEN * least);
    let ends = if rises {
        format!("rises from there to {last:.2} at {end:.1e}, where the test ends")
    } else {
        format!("did not rise from there on: at {end:.1e}, where the test ends, it is {last:.2}")
    };
    let curve = format!("The smoothed loss is least, {least:.2}, at a rate of {best:.1e}, and {ends}.");
    let Some(suggested) = found.suggested else {
        return format!(
            "{curve} It never falls before, so that the test suggests no rate; the run's is {lr:.1e}."
        );
    };
    let times = lr / suggested;
    let how = match times {
        _ if (0.5..=2.0).contains(&times) => {
            return format!(
                "{curve} The suggested {suggested:.1e}, where it falls fastest, is about the run's {lr:.1e}."
            );
        }
        _ if times > 1.0 => format!("{times:.0} times"),
        _ => format!("a {:.0}th of", 1.0 / times),
    };
    let place = if lr < best {
        "below the rate of the least loss, on the part of the curve that still falls"
    } else {
        "not below the rate of the least loss, where the test gives no reason to expect that it goes on falling"
    };
    format!(
        "{curve} It falls fastest at {suggested:.1e}, which is the suggestion; the run's rate, {lr:.1e}, is {how} that. The two \
         answer different questions: the test passes over each rate in one step, and its smoothing and the steps before say \
         where the loss of fresh weights falls fastest, not what serves a whole training. The run's rate is {place}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(loss: &[f64], suggested: Option<f64>) -> RangeTest {
        let lr = (0..loss.len()).map(|i| [1e-5, 1e-4, 1e-3, 1e-2, 1e-1][i]).collect();
        RangeTest { suggested, lr, loss: loss.to_vec() }
    }

    #[test]
    fn words_follow_the_range_test() {
        let rises = tested(&[2.3, 2.2, 1.9, 1.8, 2.6], Some(1e-4));
        let said = range(&rises, 1e-3);
        for part in [
            "least, 1.80, at a rate of 1.0e-2, and rises from there to 2.60 at 1.0e-1",
            "is 10 times that",
            "rate is below the rate",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(range(&rises, 1e-1).contains("is not below the rate"));
        assert!(range(&rises, 1.5e-4).contains("is about the run's 1.5e-4"));
        assert!(range(&rises, 1e-5).contains("is a 10th of that"));
        let falls = tested(&[2.3, 2.2, 1.9, 1.8, 1.7], Some(1e-4));
        assert!(range(&falls, 1e-3).contains("did not rise from there on: at 1.0e-1"));
        assert!(range(&tested(&[2.3, 2.4], None), 1e-3).contains("suggests no rate"));
        assert!(range(&tested(&[], None), 1e-3).contains("before its first step"));
    }

    #[test]
    fn the_recipe_is_told_in_its_own_numbers() {
        use crate::data::{Reading, open};
        use crate::engine::classifier::Plan;
        use crate::engine::model::Arch;
        use gradus_core::gemm::Precision;
        let splits = open("synthetic:24", 0.2, 1, Reading::default()).unwrap();
        let plan =
            Plan { epochs: 7, batch: 10, lr: 0.002, one_cycle: true, seed: 1, precision: Precision::F32 };
        let settings = Settings::new(Arch::Cifar, "synthetic:24", &splits, 0.2, plan).unwrap();
        let said = recipe(&settings, Transform::CIFAR, 25);
        for part in [
            "a learning rate of 0.002 that rises",
            "no weight decay",
            "A batch is 10 images, an epoch 3 steps over 25 images; 7 epochs",
            "up to 5 degrees",
            "padding by 2",
            "(0.491, 0.482, 0.447)",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(recipe(&settings, Transform::IMAGENET, 25).contains("scaled to 224 x 224"));
    }
}
