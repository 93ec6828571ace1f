//! Question 5 of the homework: two two-stage detectors, each by itself and both compared.

use super::Page;
use crate::comparison::{Comparison, Question, Side, compare};
use crate::engine::detection::{Plan, Recipe};
use crate::engine::detector::Settings;
use crate::error::Result;
use crate::image::Image;
use crate::run::Run;
use crate::run::status::Status;
use gradus_models::detection::Config;
use serde_json::Value;
use std::path::Path;

/// The first two parts: name and heading.
const PARTS: [[&str; 2]; 2] =
    [["q5a", "(a) A detector fine-tuned"], ["q5b", "(b) A detector on another backbone"]];
/// Of an epoch's line in the log: what the page shows.
const COLUMNS: [[&str; 2]; 6] = [
    ["epoch", "epoch"],
    ["train/loss", "training loss"],
    ["box/AP", "test AP"],
    ["box/AP50", "AP50"],
    ["box/AP75", "AP75"],
    ["box/AR100", "AR100"],
];
/// Pictures that a run draws, and what they show.
const DRAWN: [[&str; 2]; 2] = [
    ["PR_curve.png", "precision over recall on the test images, by the weights of the greatest test AP."],
    ["val_batch0_pred.png", "what these weights find in test images, from score 0.5."],
];

/// Adds question 5 to a page; without runs, how to make them.
///
/// # Errors
/// A run that is none, or that learned from other images than the other; unreadable data or pictures.
pub fn section(page: &mut Page, question: Option<&Question>) -> Result<()> {
    page.section("q5", "5. Two two-stage detectors");
    let Some(question) = question else {
        page.text(
            "No detectors were given to this page. Two runs of `gradus train detector` fill this section.",
        );
        for [name, heading] in PARTS {
            page.part(name, heading)
                .likewise("gradus train detector --data data/PennFudanPed --weights FILE");
        }
        page.part("q5c", "(c) Both compared")
            .likewise("gradus report --detectors RUN_A RUN_B --image PHOTO -o report");
        return Ok(());
    };
    page.text(
        "Both learned from the same images. AP is COCO's average precision, the mean over IoU from 0.50 to 0.95: 1 is \
         perfect, 0 finds nothing. AP50 and AP75 count boxes from that IoU, AR100 is the recall of at most 100 boxes an image.",
    );
    answer(page, &compare(question)?, question.plain)?;
    page.command(&question.command(Path::new("compared")));
    Ok(())
}

/// Each run by itself, then both: the three parts of the question. `plain`: without the data's pictures.
///
/// # Errors
/// A run's files cannot be read.
pub fn answer(page: &mut Page, comparison: &Comparison, plain: bool) -> Result<()> {
    for (side, [name, heading]) in [&comparison.a, &comparison.b].into_iter().zip(PARTS) {
        page.part(name, heading);
        one(page, side, plain)?;
    }
    page.part("q5c", "(c) Both compared");
    compared(page, comparison)
}

/// Both side by side: table, charts and pictures.
///
/// # Errors
/// Those of [`Page::figure`].
pub fn compared(page: &mut Page, comparison: &Comparison) -> Result<()> {
    page.table(comparison.rows());
    let says = ["The loss of each epoch.", "COCO's AP of boxes on the test images after each epoch."];
    for ((_, chart), says) in comparison.charts().into_iter().zip(says) {
        page.figure(&chart.image(), says)?;
    }
    for (name, picture) in &comparison.pictures {
        page.figure(picture, format!("{name}: what both find, at the same scale."))?;
    }
    Ok(())
}

fn one(page: &mut Page, side: &Side, plain: bool) -> Result<()> {
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
    page.command(&command(&settings, side));
    for [name, says] in DRAWN {
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
         at most {}.{far}",
        side.model,
        side.parameters,
        if settings.config.freeze_bn { "stayed as it was" } else { "learned too" },
        settings.config.min_size,
        settings.config.max_size
    )
}

/// What trains such a run.
fn command(settings: &Settings, side: &Side) -> String {
    if settings.plan.recipe == Recipe::FromScratch {
        return "gradus".into();
    }
    let Settings { model, backbone, data, config, plan, .. } = settings;
    let Plan { epochs, batch, lr, seed, .. } = plan;
    let weights = settings.weights.as_ref().map_or(String::new(), |w| format!(" --weights {w}"));
    format!(
        "gradus train detector --data {data} --model {model} --backbone {backbone}{weights} --epochs {epochs} --batch {batch} \
         --lr {lr}{} --min-size {} --max-size {} --freeze-bn={} --trainable-layers {} --seed {seed} --out {}",
        others(settings),
        config.min_size,
        config.max_size,
        config.freeze_bn,
        config.trainable_layers,
        side.run
    )
}

/// The options of which images and classes, and those that are not what they are by default.
fn others(settings: &Settings) -> String {
    let Settings { config, plan, test_split, .. } = settings;
    let defaults = Config::new(config.backbone, config.num_classes);
    let mut options = match &settings.val {
        Some(val) => format!(" --val {val}"),
        None => format!(" --test-split {test_split}"),
    };
    if let Some(only) = &settings.only {
        options += &format!(" --classes {}", only.join(","));
    }
    if !plan.flip {
        options += " --no-flip";
    }
    if config.anchor_sizes != defaults.anchor_sizes {
        let sizes: Vec<String> = config.anchor_sizes.iter().flatten().map(usize::to_string).collect();
        options += &format!(" --anchors {}", sizes.join(","));
    }
    if config.box_detections_per_img != defaults.box_detections_per_img {
        options += &format!(" --max-detections {}", config.box_detections_per_img);
    }
    for (name, own, default) in [
        ("score", config.box_score_thresh, defaults.box_score_thresh),
        ("nms", config.box_nms_thresh, defaults.box_nms_thresh),
    ] {
        if own != default {
            options += &format!(" --{name}-threshold {own}");
        }
    }
    options
}
