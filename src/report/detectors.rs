//! Question 5 of the homework: two two-stage detectors, each by itself, both compared, and both on a photograph.

use super::Page;
use crate::comparison::people::{SAME, WITHIN};
use crate::comparison::{Comparison, Question, Side, compare};
use crate::engine::curves::{CONFIDENCE, PRECISION_RECALL};
use crate::engine::detection::{Plan, Recipe};
use crate::engine::detector::Settings;
use crate::error::Result;
use crate::image::Image;
use crate::numbers::{count, number};
use crate::run::Run;
use crate::run::status::Status;
use crate::shell::Typed;
use gradus_core::optim::{Adam, Rule, Sgd};
use gradus_models::detection::Config;
use serde_json::Value;
use std::path::Path;

/// The parts' headings.
const TRAINED: &str = "5a. Two detectors trained";
const COMPARED: &str = "5b. Both compared";
const PHOTOGRAPH: &str = "5c. Both on a photograph";
/// Of an epoch's line in the log: what the page shows.
const COLUMNS: [[&str; 2]; 6] = [
    ["epoch", "epoch"],
    ["train/loss", "training loss"],
    ["box/AP", "test AP"],
    ["box/AP50", "AP50"],
    ["box/AP75", "AP75"],
    ["box/AR100", "AR100"],
];
/// Adds question 5 to a page; without runs, how to make them.
///
/// # Errors
/// A run that is none, or that learned from other images than the other; unreadable data or pictures.
pub fn section(page: &mut Page, question: Option<&Question>) -> Result<()> {
    page.section("q5", "5. Two two-stage detectors");
    let Some(question) = question else {
        page.text(
            "No detectors were given to this page. Two runs of gradus train detector fill this section.",
        );
        page.part("q5a", TRAINED)
            .likewise("gradus train detector --data data/PennFudanPed --weights FILE".into());
        page.part("q5b", COMPARED)
            .likewise("gradus compare RUN_A RUN_B --data data/PennFudanPed -o compared".into());
        page.part("q5c", PHOTOGRAPH)
            .likewise("gradus report --detectors RUN_A RUN_B --image PHOTO -o report".into());
        return Ok(());
    };
    let comparison = compare(question)?;
    page.text(format!(
        "{} AP is COCO's average precision, the mean over IoU from 0.50 to 0.95: 1 is perfect, 0 finds nothing. AP50 and AP75 \
         count boxes from that IoU, AR100 is the recall of at most 100 boxes an image.",
        comparison.opening()
    ));
    answer(page, &comparison, question.plain)?;
    page.command([question.command(Path::new("compared"))]);
    Ok(())
}

/// Each run by itself, both compared, both on the photographs: the three parts of the question. `plain`: without
/// the data's pictures.
///
/// # Errors
/// A run's files cannot be read.
pub fn answer(page: &mut Page, comparison: &Comparison, plain: bool) -> Result<()> {
    page.part("q5a", TRAINED);
    for side in [&comparison.a, &comparison.b] {
        page.subpart(side.model.clone());
        one(page, comparison, side, plain)?;
    }
    page.part("q5b", COMPARED);
    compared(page, comparison)?;
    page.part("q5c", PHOTOGRAPH);
    match comparison.pictures.is_empty() {
        true => page.text("No photograph was given to this page: the option --image names one."),
        false => page.text(format!(
            "Two boxes are of one object where their IoU is above {SAME}; two of one detector also where more than {WITHIN} of the \
             smaller lies within the other, as that of a part does. So a box of a part that reaches further beyond its object \
             counts as another object, and one around several people as one of the first."
        )),
    };
    photographs(page, comparison)
}

/// Both side by side: table, words and charts.
///
/// # Errors
/// Those of [`Page::figure`].
pub fn compared(page: &mut Page, comparison: &Comparison) -> Result<()> {
    page.table(comparison.rows());
    page.text(comparison.words().join(" ")).text(comparison.reasons().join(" "));
    let told = |of: fn(&Side) -> &[f64]| {
        let last = [&comparison.a, &comparison.b].map(|s| (s, of(s).len(), of(s).last()));
        let last = last.map(|(s, n, v)| {
            v.map(|v| format!("{} ends with {v:.3} after {n} epochs", s.model)).unwrap_or_default()
        });
        last.join(", ")
    };
    let of = match comparison.a.test.masks.is_some() == comparison.b.test.masks.is_some() {
        true => "Both are the sum of the same losses",
        false => "Masks have a loss of their own, so that the two are not the same quantity",
    };
    let says = [
        format!("The loss of each epoch: {}. {of}.", told(|s| &s.losses)),
        format!("COCO's AP of boxes on the test images after each epoch: {}.", told(|s| &s.test_ap)),
    ];
    for ((_, chart), says) in comparison.charts().into_iter().zip(says) {
        page.chart(&chart, says)?;
    }
    Ok(())
}

/// What both find in the same photographs.
///
/// # Errors
/// Those of [`Page::figure`].
pub fn photographs(page: &mut Page, comparison: &Comparison) -> Result<()> {
    for (k, (name, picture)) in comparison.pictures.iter().enumerate() {
        for words in comparison.in_picture(k) {
            page.text(words);
        }
        let caption =
            format!("{name}: what both find, from a score of {:.2} on, at the same scale.", comparison.score);
        page.figure(picture, caption)?;
    }
    Ok(())
}

fn one(page: &mut Page, comparison: &Comparison, side: &Side, plain: bool) -> Result<()> {
    let folder = Path::new(&side.run);
    let settings: Settings = Run::settings(folder)?;
    page.text(opening(side, &settings));
    let status = Status::of(folder);
    let cell = |v: Option<&Value>| match v {
        Some(v) if v.is_u64() => v.to_string(),
        Some(v) => v.as_f64().filter(|v| *v >= 0.0).map_or("–".into(), |v| format!("{v:.3}")),
        None => "–".into(),
    };
    let rows = status.epochs.iter().map(|e| COLUMNS.map(|[name, _]| cell(e.get(name))).to_vec());
    page.table(std::iter::once(COLUMNS.map(|c| c[1].into()).to_vec()).chain(rows));
    let best = &side.curves[1];
    page.command([command(&settings, side)]).text(format!(
        "{} {} {}",
        comparison.which_weights(side),
        best.precision_recall(),
        best.confidence()
    ));
    let drawn = [
        (PRECISION_RECALL, "precision over recall on the test images."),
        (CONFIDENCE, "precision, recall and F1 over the confidence from which boxes count."),
        ("val_batch0_pred.png", "what these weights find in test images, from score 0.5."),
    ];
    for (name, says) in drawn {
        let path = folder.join(name);
        if path.exists() && !(plain && name.starts_with("val_")) {
            page.figure(&Image::open(&path)?, format!("{}: {says}", side.model))?;
        }
    }
    Ok(())
}

/// What was trained, from what, and how far.
fn opening(side: &Side, settings: &Settings) -> String {
    let [begun, trained] = match &settings.weights {
        Some(file) => {
            let file = Path::new(file).file_name().map_or(file.into(), |f| f.to_string_lossy());
            [
                format!("from the weights in {file}"),
                format!("its last {} stages", settings.config.trainable_layers),
            ]
        }
        None => ["from random weights".into(), "all of it".into()],
    };
    let far = if side.epochs < settings.plan.epochs {
        format!(" The run is unfinished: {} of {} epochs.", side.epochs, settings.plan.epochs)
    } else {
        String::new()
    };
    format!(
        "{}: {} parameters, {begun}; of the backbone {trained} learned, batch norm {}. Images are scaled to at least {} pixels, \
         at most {}. {}{far}",
        side.model,
        count(side.parameters),
        if settings.config.freeze_bn { "stayed as it was" } else { "learned too" },
        settings.config.min_size,
        settings.config.max_size,
        learned(&settings.plan)
    )
}

/// How a detector learned: the optimiser, its rate, and what becomes of an image.
fn learned(plan: &Plan) -> String {
    let mirrored = if plan.flip { "every second image is mirrored" } else { "no image is mirrored" };
    let (rate, batch) = (number(plan.lr), plan.batch);
    match plan.rule() {
        Rule::Sgd(Sgd { momentum, weight_decay, .. }) => format!(
            "It learned by SGD with momentum {momentum} and weight decay {weight_decay}, {batch} images a step, at a rate of {rate} \
             that is reached in the first epoch and multiplied by {} every {} epochs; {mirrored}.",
            plan.decay.factor, plan.decay.every
        ),
        Rule::Adam(Adam { weight_decay, .. }) => format!(
            "It learned by AdamW with weight decay {weight_decay}, {batch} images a step, at a rate that rises to {rate} and falls \
             again in one cycle; {mirrored}."
        ),
    }
}

/// What trains such a run.
fn command(settings: &Settings, side: &Side) -> Typed {
    if settings.plan.recipe == Recipe::FromScratch {
        return "gradus".into();
    }
    let Settings { model, backbone, data, config, plan, .. } = settings;
    let Plan { epochs, batch, lr, seed, .. } = plan;
    let command = Typed::from("gradus train detector")
        .option("--data", [data])
        .option("--model", [model])
        .option("--backbone", [backbone])
        .option("--weights", &settings.weights)
        .option("--epochs", [epochs])
        .option("--batch", [batch])
        .option("--lr", [lr]);
    others(command, settings)
        .option("--min-size", [config.min_size])
        .option("--max-size", [config.max_size])
        .switch("--freeze-bn", config.freeze_bn)
        .option("--trainable-layers", [config.trainable_layers])
        .option("--seed", [seed])
        .option("--out", [&side.run])
}

/// With the options of which images and classes, and those that are not what they are by default.
fn others(command: Typed, settings: &Settings) -> Typed {
    let Settings { config, plan, test_split, .. } = settings;
    let defaults = Config::new(config.backbone, config.num_classes);
    let other = |own: f64, default: f64| (own != default).then_some(own);
    let anchors = || config.anchor_sizes.iter().flatten().map(usize::to_string).collect::<Vec<_>>().join(",");
    let most = Some(config.box_detections_per_img).filter(|&most| most != defaults.box_detections_per_img);
    command
        .option("--val", &settings.val)
        .option("--test-split", settings.val.is_none().then_some(test_split))
        .option("--classes", settings.only.as_ref().map(|only| only.join(",")))
        .flag("--no-flip", !plan.flip)
        .option("--anchors", (config.anchor_sizes != defaults.anchor_sizes).then(anchors))
        .option("--max-detections", most)
        .option("--score-threshold", other(config.box_score_thresh, defaults.box_score_thresh))
        .option("--nms-threshold", other(config.box_nms_thresh, defaults.box_nms_thresh))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detectors_recipe_is_the_runs() {
        let told = learned(&Plan { batch: 3, lr: 0.01, flip: false, ..Plan::default() });
        for words in [
            "momentum 0.9 and weight decay 0.0005, 3 images a step, at a rate of 0.01",
            "by 0.1 every 3 epochs; no image",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let told = learned(&Plan { recipe: Recipe::FromScratch, ..Plan::default() });
        assert!(
            told.contains("AdamW with weight decay 0.01") && told.contains("one cycle; every second"),
            "{told}"
        );
    }
}
