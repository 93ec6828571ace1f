//! Question 4 of the homework: AlexNet, with everything that the notebooks show, from a finished run and its
//! data.

use super::Page;
use crate::analysis::tsne::{self, embed};
use crate::analysis::{Outputs, Pca, confident_errors, first_filters, imagine, responses, samples, scatter};
use crate::data::Splits;
use crate::engine::files::Weights;
use crate::engine::lr_range;
use crate::engine::model::Classifier;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::progress::Progress;
use crate::run::Run;
use crate::run::status::Status;
use gradus_core::{Rng, Tensor};
use gradus_models::AlexNet;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// How much is computed for the page.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Images whose outputs are projected to their principal components.
    pub projected: usize,
    /// Images that t-SNE lays out.
    pub laid_out: usize,
    /// Of t-SNE.
    pub iterations: usize,
    /// Noise images searched for each imagined class.
    pub searched: usize,
    /// Steps of ascent for each imagined class.
    pub ascended: usize,
    /// Of the range test.
    pub range: lr_range::Settings,
}

impl Depth {
    /// What the notebooks do: all training images, 5,000 of them laid out.
    pub fn full() -> Self {
        Depth {
            projected: 45_000,
            laid_out: 5_000,
            iterations: 1000,
            searched: 20_000,
            ascended: 200,
            range: lr_range::Settings::default(),
        }
    }

    /// A few seconds' worth.
    pub fn quick() -> Self {
        Depth {
            projected: 2_000,
            laid_out: 800,
            iterations: 400,
            searched: 1_000,
            ascended: 60,
            range: lr_range::Settings { batch: 64, ..lr_range::Settings::default() },
        }
    }
}

/// A finished run and what it was trained on.
pub struct Trained<'a> {
    /// Its folder.
    pub run: &'a Path,
    /// Its data.
    pub splits: &'a Splits,
    /// How `--data` names it.
    pub source: &'a str,
    /// Whether the data's own pictures are left out, where they may not be passed on.
    pub plain: bool,
    /// Whether the depth is [`Depth::quick`].
    pub quick: bool,
    /// Of the page's analyses.
    pub seed: u64,
}

impl Trained<'_> {
    /// What makes the figures that no other command makes alone.
    fn command(&self) -> String {
        let plain = if self.plain { " --plain" } else { "" };
        let quick = if self.quick { " --quick" } else { "" };
        let (run, data, seed) = (self.run.display(), self.source, self.seed);
        format!("gradus report --alexnet {run} --cifar {data}{quick}{plain} --seed {seed} -o report")
    }

    /// What is computed for the page.
    fn depth(&self) -> Depth {
        if self.quick { Depth::quick() } else { Depth::full() }
    }
}

/// Adds question 4 to a page.
///
/// # Errors
/// The run has no weights or no log, or its classes are not the data's; an image cannot be read; Ctrl-C.
pub fn section(page: &mut Page, trained: &Trained<'_>) -> Result<()> {
    let (depth, seed) = (&trained.depth(), trained.seed);
    let model = Classifier::open(trained.run, Weights::Best, None)?;
    if model.classes != trained.splits.classes() {
        return Err(Error::input(format!("was trained on other classes than {} has", trained.source))
            .in_file(trained.run)
            .remedy("name the run's own data"));
    }
    let name = trained.splits.dataset().title().to_string();
    page.section("q4", &format!("4. AlexNet on {name}")).origin(&name);
    images(page, trained, &model)?;
    training(page, trained, &model, depth, seed)?;
    errors(page, trained, &model)?;
    representations(page, trained, &model, depth)?;
    inside(page, trained, &model, depth, seed)?;
    page.origin("");
    Ok(())
}

fn images(page: &mut Page, trained: &Trained<'_>, model: &Classifier) -> Result<()> {
    let (splits, transform) = (trained.splits, model.arch.transform());
    page.part("q4-data", "The images");
    page.text(&format!(
        "{} images train, {} choose the best epoch, {} judge it, in {} classes.",
        splits.train.len(),
        splits.val.len(),
        splits.test.len(),
        splits.classes().len()
    ));
    if trained.plain {
        page.text("The images themselves, and what is drawn from them, are left out here: this page may be passed on.");
        return Ok(());
    }
    let [raw, normalised] = samples::raw_and_normalised(&splits.train, transform, 24)?;
    page.figure(&raw, "Training images as they are.")?;
    page.figure(
        &normalised,
        "The same normalised by the training images' mean and deviation, each spread over the full range.",
    )?;
    page.figure(
        &samples::sobel(&splits.train, 6)?,
        "Sobel, horizontal and vertical, on their grays: 0 is mid-gray.",
    )?;
    page.figure(&samples::pooling(&splits.train, 4)?, "Maxima and means over windows of 2 and 3.")?;
    page.command(&trained.command());
    Ok(())
}

fn training(
    page: &mut Page,
    trained: &Trained<'_>,
    model: &Classifier,
    depth: &Depth,
    seed: u64,
) -> Result<()> {
    page.part("q4-training", "Training");
    let arch = model.arch;
    let mut fresh = AlexNet::new(arch.size(), model.classes.len(), &mut Rng::seed(seed).stream("init"));
    let found = lr_range::run(&mut fresh, trained.splits, arch.transform(), &depth.range, seed)?;
    page.figure(
        &found.chart(depth.range.skip).image(),
        "The learning-rate range test on fresh weights: the smoothed loss over the rate. A good rate is where it falls \
         fastest, well before it rises.",
    )?;
    let settings = Status::of(trained.run).settings;
    page.command(&format!(
        "gradus lr-range --data {} --arch {} --batch {} --seed {seed}",
        trained.source,
        settings["arch"].as_str().unwrap_or("cifar"),
        depth.range.batch
    ));
    let status = Status::of(trained.run);
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    let head = [
        "epoch",
        "training loss",
        "training accuracy (%)",
        "validation loss",
        "validation accuracy (%)",
        "seconds",
    ];
    let rows = status.epochs.iter().map(|e| {
        let of = |name: &str| e.get(name).map_or(f64::NAN, number);
        vec![
            of("epoch").to_string(),
            format!("{:.4}", of("train/loss")),
            format!("{:.2}", 100.0 * of("train/accuracy")),
            format!("{:.4}", of("val/loss")),
            format!("{:.2}", 100.0 * of("val/accuracy")),
            format!("{:.1}", of("seconds")),
        ]
    });
    page.table(&std::iter::once(head.map(String::from).to_vec()).chain(rows).collect::<Vec<_>>());
    for (quantity, chart) in Run::curves(trained.run)? {
        if matches!(quantity.as_str(), "loss" | "accuracy") {
            page.figure(&chart.image(), &format!("The {quantity} of each epoch."))?;
        }
    }
    results(page, trained, &status);
    Ok(())
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
    if trained.splits.dataset().title() == "CIFAR-10" {
        for published in [
            ["published, pytorch-image-classification", "21", "76.13", "74.79"],
            ["published, the exercise's copy", "–", "76.95", "76.78"],
        ] {
            rows.push(published.map(String::from).to_vec());
        }
    }
    page.table(&rows).command(&training_command(trained, status));
    let images = status.result["test"]["images"].as_f64().unwrap_or(0.0);
    if let Some(p) = status.result["test"]["accuracy"].as_f64().filter(|_| images > 0.0) {
        let error = 100.0 * (p * (1.0 - p) / images).sqrt();
        page.text(&format!(
            "The weights are those of the least validation loss. Accuracies are of all images. One standard error of \
             {images} test images is {error:.2} points."
        ));
    }
}

/// What trained the run: every setting that its result depends on.
fn training_command(trained: &Trained<'_>, status: &Status) -> String {
    commands(trained.source, &trained.run.display().to_string(), &status.settings)
}

/// The command that began a run, and those that went on with it otherwise, each with how far it was then.
fn commands(source: &str, run: &str, settings: &Value) -> String {
    let option = |name: &str, value: &Value| match value {
        Value::String(text) => format!(" --{name} {text}"),
        Value::Bool(true) => format!(" --{name}"),
        Value::Null | Value::Bool(false) => String::new(),
        number => format!(" --{name} {number}"),
    };
    let changes = settings["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let names = ["arch", "epochs", "batch", "lr", "one-cycle", "val-fraction", "precision", "seed"];
    let begun = names.map(|name| {
        let key = name.replace('-', "_");
        let first = changes.iter().find_map(|change| change[&key].get(0));
        option(name, first.unwrap_or(&settings[&key]))
    });
    let skip = option("skip-bad", &settings["reading"]["skip_bad"]);
    let mut all = format!("gradus train alexnet --data {source}{}{skip} --out {run}", begun.concat());
    for change in changes {
        let later = ["epochs", "lr", "one-cycle"].map(|name| match &change[name.replace('-', "_")][1] {
            Value::Bool(value) => format!(" --{name}={value}"),
            value => option(name, value),
        });
        let later = later.concat();
        if !later.is_empty() {
            let (epochs, batches) = (&change["after_epochs"], &change["after_batches"]);
            all +=
                &format!("; after {epochs} epochs and {batches} batches gradus train --resume {run}{later}");
        }
    }
    all
}

fn errors(page: &mut Page, trained: &Trained<'_>, model: &Classifier) -> Result<()> {
    page.part("q4-errors", "Errors");
    let matrix = trained.run.join("confusion_matrix.png");
    page.figure(
        &Image::open(&matrix)?,
        "Which class was taken for which, on the test images; the diagonal is right.",
    )?;
    page.command(&training_command(trained, &Status::of(trained.run)));
    if trained.plain {
        return Ok(());
    }
    let test = &trained.splits.test;
    let outputs = Outputs::of(&model.net, test, model.arch.transform())?;
    page.figure(
        &confident_errors(&outputs, test, 36)?,
        "The 36 test images that the network is surest of and wrong about: the probability of what each is, and below it of what \
         it was taken for.",
    )?;
    page.command(&trained.command());
    Ok(())
}

fn representations(page: &mut Page, trained: &Trained<'_>, model: &Classifier, depth: &Depth) -> Result<()> {
    page.part("q4-representations", "Representations");
    let classes = trained.splits.classes();
    let subset = trained.splits.train.take(depth.projected);
    let outputs = Outputs::of(&model.net, &subset, model.arch.transform())?;
    for (what, x) in [("logits", &outputs.logits), ("features", &outputs.features)] {
        let start = Instant::now();
        let pca = Pca::fit(x, 2);
        let plane = pca.project(x);
        let seconds = start.elapsed().as_secs_f64();
        let share = |i: usize| 100.0 * pca.variances[i] / pca.total.max(f64::MIN_POSITIVE);
        let axis = |i: usize| format!("component {} ({:.0} % of the variance)", i + 1, share(i));
        let (n, d) = (x.shape()[0], x.shape()[1]);
        let chart = scatter(
            &format!("Principal components of the {what}"),
            [&axis(0), &axis(1)],
            &plane,
            &outputs.labels,
            classes,
        );
        page.figure(
            &chart.image_sized(760, 560),
            &format!("Principal components of the {what} of {n} training images in {d} dimensions ({seconds:.1} s)."),
        )?;
        let n = depth.laid_out.min(n);
        let first = Tensor::from_slice([n, d], &x.data()[..n * d]);
        let settings = tsne::Settings { iterations: depth.iterations, ..tsne::Settings::default() };
        let mut progress = Progress::new(format!("t-SNE of {what}"), "steps", settings.iterations as u64, 0);
        let start = Instant::now();
        let plane = embed(&first, &settings, |_| progress.advance(1, String::new));
        let seconds = start.elapsed().as_secs_f64();
        let chart = scatter(
            &format!("t-SNE of the {what}"),
            ["first coordinate (no unit)", "second coordinate (no unit)"],
            &plane,
            &outputs.labels[..n],
            classes,
        );
        page.figure(
            &chart.image_sized(760, 560),
            &format!(
                "t-SNE of the {what} of the first {n} training images: perplexity {}, {} steps ({seconds:.1} s).",
                settings.perplexity, settings.iterations
            ),
        )?;
    }
    page.command(&trained.command());
    Ok(())
}

fn inside(
    page: &mut Page,
    trained: &Trained<'_>,
    model: &Classifier,
    depth: &Depth,
    seed: u64,
) -> Result<()> {
    page.part("q4-inside", "Inside the network");
    let transform = model.arch.transform();
    let named: Vec<(usize, &str)> = model.classes.iter().map(String::as_str).enumerate().take(8).collect();
    let ways = (depth.searched, depth.ascended);
    let (picture, [noise, ascent]) =
        imagine(&model.net, &named, ways, &transform.normalise, &Rng::seed(seed));
    page.figure(
        &picture,
        &format!(
            "Inputs sought for a class, with the probability that the network gives it: the best of {} images of noise, as the \
             notebook searches, beside {} steps of gradient ascent on the class's log-probability from faint noise. Of the {} \
             classes shown the network sees {noise} in their noise and {ascent} after ascent (p above a half).",
            depth.searched,
            depth.ascended,
            named.len()
        ),
    )?;
    page.figure(&first_filters(&model.net), "The first layer's filters, each spread over the full range.")?;
    if !trained.plain {
        page.figure(
            &responses(&model.net, &trained.splits.test.take(5), transform, 7)?,
            "Test images and what the first layer's first seven filters make of them.",
        )?;
    }
    page.command(&trained.command());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_commands_of_a_run_tell_all_that_its_result_depends_on() {
        let mut settings = json!({"arch": "cifar", "epochs": 9, "batch": 12, "lr": 1e-4, "one_cycle": false,
            "val_fraction": 0.1, "precision": "f32", "seed": 7, "reading": {"skip_bad": true}});
        let begun = "gradus train alexnet --data photos --arch cifar --epochs";
        let all = " --val-fraction 0.1 --precision f32 --seed 7 --skip-bad --out r";
        let now = format!("{begun} 9 --batch 12 --lr 0.0001{all}");
        assert_eq!(commands("photos", "r", &settings), now);
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
        assert_eq!(commands("photos", "r", &settings), then);
    }
}
