//! How a network of question 4 was trained: the learning-rate range test, the epochs, the result beside the published
//! ones, and the commands that did it.

use super::recipe::{range, recipe};
use super::trained::{Depth, Trained};
use crate::engine::alexnet::Settings;
use crate::engine::lr_range;
use crate::engine::model::Classifier;
use crate::error::Result;
use crate::report::Page;
use crate::run::Run;
use crate::run::status::Status;
use crate::shell::Typed;
use gradus_core::Rng;
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
    let settings: Settings = Run::settings(trained.run)?;
    page.text(recipe(&settings, arch.transform(), trained.splits.train.len()));
    let mut fresh = AlexNet::new(arch.size(), model.classes.len(), &mut Rng::seed(seed).stream("init"));
    let found = lr_range::run(&mut fresh, trained.splits, arch.transform(), &depth.range, seed)?;
    page.text(range(&found, settings.plan.lr));
    page.chart(
        &found.chart(depth.range.skip),
        format!(
            "The learning-rate range test on fresh weights: the smoothed loss over the rate. A good rate is where it falls \
             fastest, well before it rises{}.",
            found.suggested.map_or(String::new(), |lr| format!(": here {lr:.1e}"))
        ),
    )?;
    let status = Status::of(trained.run);
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

/// From where to where a quantity went, in training and in validation.
fn course(status: &Status, quantity: &str) -> String {
    let of = |part: &str| {
        let told = |v: f64| match quantity {
            "accuracy" => format!("{:.2} %", 100.0 * v),
            _ => format!("{v:.4}"),
        };
        let value =
            |e: Option<&Map<String, Value>>| e?.get(&format!("{part}/{quantity}"))?.as_f64().map(told);
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
    fn accuracies_stand_beside_the_published() {
        let told = beside_published("CIFAR-10", 75.0);
        assert!(told.contains("0.21 points above") && told.contains("1.78 points below"), "{told}");
        assert_eq!(beside_published("Synthetic shapes", 75.0), "");
    }
}
