//! How a network of question 4 was trained: the learning-rate range test, the epochs, the result beside the published
//! ones, and the commands that did it.

use super::trained::{Depth, Trained};
use crate::data::{Normalise, Transform};
use crate::engine::lr_range::{self, RangeTest};
use crate::engine::model::Classifier;
use crate::error::Result;
use crate::numbers::number;
use crate::report::Page;
use crate::run::Run;
use crate::run::status::Status;
use crate::shell::Typed;
use gradus_core::Rng;
use gradus_core::optim::Adam;
use gradus_models::AlexNet;
use serde_json::{Map, Value};

/// The epochs' table: a column's head, the quantity in the log, how many times it, with so many decimals.
const COLUMNS: [(&str, &str, f64, usize); 6] = [
    ("epoch", "epoch", 1.0, 0),
    ("training loss", "train/loss", 1.0, 4),
    ("training accuracy (%)", "train/accuracy", 100.0, 2),
    ("validation loss", "val/loss", 1.0, 4),
    ("validation accuracy (%)", "val/accuracy", 100.0, 2),
    ("seconds", "seconds", 1.0, 1),
];

/// What others reached with this recipe on CIFAR-10: who, best epoch, validation and test accuracy in percent.
const PUBLISHED: [[&str; 4]; 2] = [
    ["pytorch-image-classification, as published", "21", "76.13", "74.79"],
    ["the exercise's own copy, as published", "–", "76.95", "76.78"],
];

/// The range test, the epochs, and what came of them.
pub(super) fn training(
    page: &mut Page,
    trained: &Trained<'_>,
    model: &Classifier,
    depth: &Depth,
) -> Result<()> {
    page.part("q4-training", "Training");
    let (arch, seed) = (model.arch, trained.seed);
    let status = Status::of(trained.run);
    page.text(recipe(&status.settings, arch.transform()));
    let mut fresh = AlexNet::new(arch.size(), model.classes.len(), &mut Rng::seed(seed).stream("init"));
    let found = lr_range::run(&mut fresh, trained.splits, arch.transform(), &depth.range, seed)?;
    page.chart(
        &found.chart(depth.range.skip),
        format!(
            "The learning-rate range test on fresh weights: the smoothed loss over the rate. A good rate is where it falls \
             fastest, well before it rises{}.",
            found.suggested.map_or(String::new(), |lr| format!(": here {lr:.1e}"))
        ),
    )?;
    page.text(beside_suggestion(&found, status.settings["lr"].as_f64()));
    page.command([Typed::from("gradus lr-range")
        .option("--data", [trained.source])
        .option("--arch", [status.settings["arch"].as_str().unwrap_or("cifar")])
        .option("--batch", [depth.range.batch])
        .option("--seed", [seed])]);
    let head = COLUMNS.map(|column| column.0.to_string()).to_vec();
    let row = |e: &Map<String, Value>| {
        let cell = |(_, name, times, decimals): (_, &str, f64, usize)| {
            let value = e.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
            format!("{:.decimals$}", times * value)
        };
        COLUMNS.map(cell).to_vec()
    };
    page.table(std::iter::once(head).chain(status.epochs.iter().map(row)));
    for (quantity, chart) in Run::curves(trained.run)? {
        if matches!(quantity.as_str(), "loss" | "accuracy") {
            page.chart(&chart, format!("The {quantity} of each epoch.{}", course(&status, &quantity)))?;
        }
    }
    results(page, trained, &status);
    Ok(())
}

/// How the run learned: the optimiser, the batches, and what becomes of an image.
fn recipe(settings: &Value, transform: Transform) -> String {
    let Some(lr) = settings["lr"].as_f64() else { return String::new() };
    let Adam { betas: (first, second), eps, .. } = Adam::new(lr);
    let rate = match settings["one_cycle"].as_bool() {
        Some(true) => format!("that rises to {} and falls again in one cycle", number(lr)),
        _ => format!("of {} throughout", number(lr)),
    };
    let Normalise { mean, std } = transform.normalise;
    let three = |values: [f32; 3]| values.map(|v| format!("{v:.4}")).join(", ");
    format!(
        "It learns by Adam (betas {first} and {second}, epsilon {eps:e}, no weight decay) with a learning rate {rate}, {} images a \
         step, for {} epochs; dropout keeps every second input of the first two linear layers. While it learns an image is {}. \
         Then from red, green and blue in 0 to 1 the means {} are subtracted, and the rest is divided by the deviations {}; test \
         images have that alone.",
        settings["batch"],
        settings["epochs"],
        transform.augmentation,
        three(mean),
        three(std)
    )
}

/// How the run's own rate compares with the one that the range test suggests, and whether that test has seen
/// its loss rise.
fn beside_suggestion(found: &RangeTest, lr: Option<f64>) -> String {
    let least = found.loss.iter().zip(&found.lr).min_by(|a, b| a.0.total_cmp(b.0));
    let (Some((least, at)), Some(&last), Some(lr)) = (least, found.loss.last(), lr) else {
        return String::new();
    };
    let rises = match last > 1.1 * least {
        true => format!(
            "least at {at:.1e} ({}), and rises beyond it to {} where the test ends",
            number(*least),
            number(last)
        ),
        false => format!("least at {at:.1e} ({}), and has hardly risen where the test ends", number(*least)),
    };
    let beside = found.suggested.map_or(String::new(), |suggested| {
        let side = if lr < *at { "still falling" } else { "no longer falling" };
        format!(
            " The run's own rate of {} is {} times the suggestion: the test spends one step on a rate, and smoothing sees a fall \
             late, so that it names the order of magnitude at best. At the run's rate the loss was {side}.",
            number(lr),
            number((10.0 * lr / suggested).round() / 10.0)
        )
    });
    format!("The smoothed loss is {rises}.{beside}")
}

/// From where to where a quantity went, in training and in validation.
fn course(status: &Status, quantity: &str) -> String {
    let of = |part: &str| {
        let value =
            |e: Option<&Map<String, Value>>| e?.get(&format!("{part}/{quantity}"))?.as_f64().map(number);
        Some((value(status.epochs.first())?, value(status.epochs.last())?))
    };
    let (Some((t0, t1)), Some((v0, v1))) = (of("train"), of("val")) else { return String::new() };
    format!(" From the first to the last, training goes from {t0} to {t1}, validation from {v0} to {v1}.")
}

/// The run's figures, beside the published ones where the data is theirs.
fn results(page: &mut Page, trained: &Trained<'_>, status: &Status) {
    let best = status.result["best_epoch"].as_u64().unwrap_or(0);
    let of = |v: &Value| v.as_f64().map_or("-".to_string(), |a| format!("{:.2}", 100.0 * a));
    let row = status.epochs.iter().find(|e| e.get("epoch").and_then(Value::as_u64) == Some(best));
    let val = row.and_then(|e| e.get("val/accuracy")).map_or("-".into(), of);
    let mut rows = vec![
        ["", "best epoch", "validation (%)", "test (%)"].map(String::from).to_vec(),
        vec!["this run".into(), best.to_string(), val, of(&status.result["test"]["accuracy"])],
    ];
    let title = trained.splits.dataset().title();
    if title == "CIFAR-10" {
        rows.extend(PUBLISHED.map(|row| row.map(String::from).to_vec()));
    }
    page.table(rows).command(command(trained, status));
    let images = status.result["test"]["images"].as_f64().unwrap_or(0.0);
    if let Some(p) = status.result["test"]["accuracy"].as_f64().filter(|_| images > 0.0) {
        let error = 100.0 * (p * (1.0 - p) / images).sqrt();
        page.text(format!(
            "The weights are those of the least validation loss. Accuracies are of all images. One standard error of \
             {images} test images is {error:.2} points.{}",
            beside_published(title, 100.0 * p)
        ));
    }
}

/// By how much a test accuracy is above or below the published ones, where the data is theirs.
fn beside_published(title: &str, accuracy: f64) -> String {
    if title != "CIFAR-10" {
        return String::new();
    }
    let told = PUBLISHED.map(|[who, _, _, test]| {
        let by = accuracy - test.parse().unwrap_or(f64::NAN);
        format!("{:.2} points {} {who}", by.abs(), if by < 0.0 { "below" } else { "above" })
    });
    format!(" On the test images this run is {}.", told.join(" and "))
}

/// What trained the run: every setting that its result depends on.
pub(super) fn command(trained: &Trained<'_>, status: &Status) -> Vec<Typed> {
    commands(trained.source, &trained.run.display().to_string(), &status.settings)
}

/// The command that began a run, and those that went on with it otherwise, each with how far it was then.
fn commands(source: &str, run: &str, settings: &Value) -> Vec<Typed> {
    let option = |typed: Typed, name: &'static str, value: &Value| match value {
        Value::String(text) => typed.option(name, [text]),
        Value::Bool(set) => typed.flag(name, *set),
        Value::Null => typed,
        number => typed.option(name, [number]),
    };
    let key = |name: &str| name.trim_start_matches('-').replace('-', "_");
    let changes = settings["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let names =
        ["--arch", "--epochs", "--batch", "--lr", "--one-cycle", "--val-fraction", "--precision", "--seed"];
    let begun = names.into_iter().fold(
        Typed::from("gradus train alexnet").option("--data", [source]),
        |typed, name| {
            let first = changes.iter().find_map(|change| change[key(name)].get(0));
            option(typed, name, first.unwrap_or(&settings[key(name)]))
        },
    );
    let begun = option(begun, "--skip-bad", &settings["reading"]["skip_bad"]).option("--out", [run]);
    let resumed = Typed::from("gradus train").option("--resume", [run]);
    let later = changes.iter().filter_map(|change| {
        let changed =
            ["--epochs", "--lr", "--one-cycle"].into_iter().fold(
                resumed.clone(),
                |typed, name| match &change[key(name)][1] {
                    Value::Bool(value) => typed.switch(name, *value),
                    value => option(typed, name, value),
                },
            );
        let when = format!("after {} epochs and {} batches", change["after_epochs"], change["after_batches"]);
        (changed != resumed).then(|| changed.when(when))
    });
    std::iter::once(begun).chain(later).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::joined;
    use serde_json::json;

    #[test]
    fn the_commands_of_a_run_tell_all_that_its_result_depends_on() {
        let mut settings = json!({"arch": "cifar", "epochs": 9, "batch": 12, "lr": 1e-4, "one_cycle": false,
            "val_fraction": 0.1, "precision": "f32", "seed": 7, "reading": {"skip_bad": true}});
        let begun = "gradus train alexnet --data photos --arch cifar --epochs";
        let all = " --val-fraction 0.1 --precision f32 --seed 7 --skip-bad --out r";
        let now = format!("{begun} 9 --batch 12 --lr 0.0001{all}");
        assert_eq!(joined(&commands("photos", "r", &settings)), now);
        settings["changes"] = json!([
            {"after_epochs": 1, "after_batches": 0, "epochs": [2, 5], "isa": ["avx2", "portable"]},
            {"after_epochs": 3, "after_batches": 4, "epochs": [5, 9], "lr": [1e-3, 1e-4], "one_cycle": [true, false]},
            {"after_epochs": 4, "after_batches": 0, "data": ["a", "photos"]},
        ]);
        let then = format!(
            "{begun} 2 --batch 12 --lr 0.001 --one-cycle{all}\
             ; after 1 epochs and 0 batches gradus train --resume r --epochs 5\
             ; after 3 epochs and 4 batches gradus train --resume r --epochs 9 --lr 0.0001 --one-cycle=false"
        );
        assert_eq!(joined(&commands("photos", "r", &settings)), then);
    }

    #[test]
    fn the_recipe_is_the_runs() {
        let settings = json!({"lr": 1e-3, "batch": 128, "epochs": 25, "one_cycle": false});
        let told = recipe(&settings, Transform::CIFAR);
        for words in [
            "betas 0.9 and 0.999, epsilon 1e-8",
            "rate of 0.001 throughout, 128 images a step, for 25 epochs",
            "turned by up to 5 degrees",
            "border of 2 black pixels",
            "0.4914, 0.4822, 0.4465",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let cycle = json!({"lr": 0.01, "batch": 8, "epochs": 2, "one_cycle": true});
        let told = recipe(&cycle, Transform::IMAGENET);
        assert!(told.contains("rises to 0.01 and falls again") && told.contains("224 x 224"), "{told}");
    }

    #[test]
    fn a_suggestion_is_compared_with_the_runs_rate() {
        let lr = vec![1e-5, 1e-4, 1e-3, 1e-2];
        let found = |loss: [f64; 4]| RangeTest { suggested: Some(1e-4), lr: lr.clone(), loss: loss.to_vec() };
        let told = beside_suggestion(&found([2.3, 2.1, 2.0, 4.0]), Some(5e-4));
        assert!(told.contains("least at 1.0e-3 (2), and rises beyond it to 4"), "{told}");
        assert!(
            told.contains("rate of 0.0005 is 5 times the suggestion") && told.contains("still falling"),
            "{told}"
        );
        let told = beside_suggestion(&found([2.3, 2.2, 2.1, 2.0]), Some(0.02));
        assert!(told.contains("hardly risen") && told.contains("no longer falling"), "{told}");
    }

    #[test]
    fn accuracies_stand_beside_the_published() {
        let told = beside_published("CIFAR-10", 75.0);
        assert!(told.contains("0.21 points above") && told.contains("1.78 points below"), "{told}");
        assert_eq!(beside_published("Synthetic shapes", 75.0), "");
    }
}
