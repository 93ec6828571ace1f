//! Question 4 of the homework: AlexNet, with everything that the notebooks show, from a finished run and its
//! data.

use super::Page;
use crate::analysis::tsne::{self, embed};
use crate::analysis::{
    Outputs, Pca, confident_errors, explained, first_filters, imagine, responses, samples, scatter,
};
use crate::data::Splits;
use crate::engine::files::Weights;
use crate::engine::lr_range;
use crate::engine::model::Classifier;
use crate::error::{Error, Result};
use crate::image::{Image, caption_grid};
use crate::metrics::confusion::predictions;
use crate::progress::Progress;
use crate::run::Run;
use crate::run::status::Status;
use gradus_core::{Rng, Tensor};
use gradus_models::AlexNet;
use serde_json::{Map, Value};
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
    /// What the notebooks do: all training images, 5,000 of them laid out; or a few seconds' worth.
    pub fn of(quick: bool) -> Self {
        let either = |full, short| if quick { short } else { full };
        let range = lr_range::Settings::default();
        Depth {
            projected: either(45_000, 2_000),
            laid_out: either(5_000, 800),
            iterations: either(1000, 400),
            searched: either(20_000, 1_000),
            ascended: either(200, 60),
            range: lr_range::Settings { batch: either(range.batch, 64), ..range },
        }
    }
}

/// The epochs' table: a column's head, the quantity in the log, how many times it, with so many decimals.
const COLUMNS: [(&str, &str, f64, usize); 6] = [
    ("epoch", "epoch", 1.0, 0),
    ("training loss", "train/loss", 1.0, 4),
    ("training accuracy (%)", "train/accuracy", 100.0, 2),
    ("validation loss", "val/loss", 1.0, 4),
    ("validation accuracy (%)", "val/accuracy", 100.0, 2),
    ("seconds", "seconds", 1.0, 1),
];

/// Test images of which it is shown where the network looked.
const EXPLAINED: usize = 4;

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
    /// Whether it takes a few seconds: see [`Depth::of`].
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
}

/// Adds question 4 to a page.
///
/// # Errors
/// The run has no weights or no log, or its classes are not the data's; an image cannot be read; Ctrl-C.
pub fn section(page: &mut Page, trained: &Trained<'_>) -> Result<()> {
    let model = Classifier::open(trained.run, Weights::Best, None)?;
    if model.classes != trained.splits.classes() {
        return Err(Error::input(format!("was trained on other classes than {} has", trained.source))
            .in_file(trained.run)
            .remedy("name the run's own data"));
    }
    let name = trained.splits.dataset().title().to_string();
    page.section("q4", format!("4. AlexNet on {name}")).origin(Some(&name));
    let depth = Depth::of(trained.quick);
    images(page, trained, &model)?;
    training(page, trained, &model, &depth)?;
    errors(page, trained, &model)?;
    representations(page, trained, &model, &depth)?;
    inside(page, trained, &model, &depth)?;
    page.origin(None);
    Ok(())
}

fn images(page: &mut Page, trained: &Trained<'_>, model: &Classifier) -> Result<()> {
    let (splits, transform) = (trained.splits, model.arch.transform());
    page.part("q4-data", "The images");
    page.text(format!(
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

fn training(page: &mut Page, trained: &Trained<'_>, model: &Classifier, depth: &Depth) -> Result<()> {
    page.part("q4-training", "Training");
    let (arch, seed) = (model.arch, trained.seed);
    let mut fresh = AlexNet::new(arch.size(), model.classes.len(), &mut Rng::seed(seed).stream("init"));
    let found = lr_range::run(&mut fresh, trained.splits, arch.transform(), &depth.range, seed)?;
    page.figure(
        &found.chart(depth.range.skip).image(),
        "The learning-rate range test on fresh weights: the smoothed loss over the rate. A good rate is where it falls \
         fastest, well before it rises.",
    )?;
    let status = Status::of(trained.run);
    page.command(&format!(
        "gradus lr-range --data {} --arch {} --batch {} --seed {seed}",
        trained.source,
        status.settings["arch"].as_str().unwrap_or("cifar"),
        depth.range.batch
    ));
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
            page.figure(&chart.image(), format!("The {quantity} of each epoch."))?;
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
    page.table(rows).command(&training_command(trained, status));
    let images = status.result["test"]["images"].as_f64().unwrap_or(0.0);
    if let Some(p) = status.result["test"]["accuracy"].as_f64().filter(|_| images > 0.0) {
        let error = 100.0 * (p * (1.0 - p) / images).sqrt();
        page.text(format!(
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
    page.figure(
        &why(trained, model, &outputs)?,
        "Why: the first test images, and over them in orange where the network looked for the class that it names. \
         Grad-CAM asks its gradient at the last convolution's maps, whose places are as coarse as that; occlusion covers \
         each part in turn and sees the probability fall, or in blue rise.",
    )?;
    page.command(&trained.command());
    Ok(())
}

/// Some test images, and where the network looked.
fn why(trained: &Trained<'_>, model: &Classifier, outputs: &Outputs) -> Result<Image> {
    let (test, transform) = (&trained.splits.test, model.arch.transform());
    let (side, count) = (transform.side(), model.classes.len());
    let probabilities = outputs.probabilities();
    let named: Vec<usize> = predictions(&outputs.logits).take(EXPLAINED).collect();
    let mut panels = Vec::new();
    for (k, class) in named.into_iter().enumerate() {
        let mut x = Tensor::stale([1, side, side, 3]);
        transform.evaluate(&test.image(k)?, x.data_mut())?;
        let (is, taken) = (&model.classes[test.label(k)], &model.classes[class]);
        let p = 100.0 * probabilities.data()[k * count + class];
        let told = if is == taken {
            format!("{taken}, {p:.0} %")
        } else {
            format!("{is}; taken for {taken}, {p:.0} %")
        };
        let seen = transform.normalise.picture(side, side, x.data());
        panels.extend(explained(&model.net, &x, &seen, class, &told));
    }
    Ok(caption_grid("", &panels, 3, 224))
}

fn representations(page: &mut Page, trained: &Trained<'_>, model: &Classifier, depth: &Depth) -> Result<()> {
    page.part("q4-representations", "Representations");
    let subset = trained.splits.train.take(depth.projected);
    let outputs = Outputs::of(&model.net, &subset, model.arch.transform())?;
    let mut show = |title: String, axes: [&str; 2], plane: &Tensor, caption: String| {
        let labels = &outputs.labels[..plane.shape()[0]];
        let chart = scatter(&title, axes, plane, labels, trained.splits.classes());
        page.figure(&chart.image_sized(760, 560), caption).map(|_| ())
    };
    for (what, x) in [("logits", &outputs.logits), ("features", &outputs.features)] {
        let start = Instant::now();
        let pca = Pca::fit(x, 2);
        let plane = pca.project(x);
        let seconds = start.elapsed().as_secs_f64();
        let share = |i: usize| 100.0 * pca.variances[i] / pca.total.max(f64::MIN_POSITIVE);
        let axis = |i: usize| format!("component {} ({:.0} % of the variance)", i + 1, share(i));
        let (n, d) = (x.shape()[0], x.shape()[1]);
        let title = format!("Principal components of the {what}");
        let caption = format!("{title} of {n} training images in {d} dimensions ({seconds:.1} s).");
        show(title, [&axis(0), &axis(1)], &plane, caption)?;
        let n = depth.laid_out.min(n);
        let first = Tensor::from_slice([n, d], &x.data()[..n * d]);
        let settings = tsne::Settings { iterations: depth.iterations, ..tsne::Settings::default() };
        let mut progress = Progress::new(format!("t-SNE of {what}"), "steps", settings.iterations as u64, 0);
        let start = Instant::now();
        let plane = embed(&first, &settings, |_| progress.advance(1, String::new));
        let seconds = start.elapsed().as_secs_f64();
        let title = format!("t-SNE of the {what}");
        let caption = format!(
            "{title} of the first {n} training images: perplexity {}, {} steps ({seconds:.1} s).",
            settings.perplexity, settings.iterations
        );
        show(title, ["first coordinate (no unit)", "second coordinate (no unit)"], &plane, caption)?;
    }
    page.command(&trained.command());
    Ok(())
}

fn inside(page: &mut Page, trained: &Trained<'_>, model: &Classifier, depth: &Depth) -> Result<()> {
    page.part("q4-inside", "Inside the network");
    let transform = model.arch.transform();
    let named: Vec<(usize, &str)> = model.classes.iter().map(String::as_str).enumerate().take(8).collect();
    let ways = (depth.searched, depth.ascended);
    let (picture, [noise, ascent]) =
        imagine(&model.net, &named, ways, &transform.normalise, &Rng::seed(trained.seed));
    page.figure(
        &picture,
        format!(
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
