//! `gradus` alone: the tour, on data that the program draws itself.

use super::Global;
use super::descent::{DescentReport, descend, path_chart, region_chart};
use super::iou::charts;
use crate::data::SyntheticShapes;
use crate::engine::alexnet::{self, Settings, Summary};
use crate::engine::classifier::Plan;
use crate::engine::model::Arch;
use crate::error::Result;
use crate::files;
use crate::filtering::{Shown, filter};
use crate::image::{Image, Limits, caption_grid};
use crate::report::Page;
use crate::run::Existing;
use gradus_core::optim::Sgd;
use gradus_models::detection::boxes::Metric;
use gradus_models::filters::{Border, FILTERS, find};
use gradus_models::quadratic::Quadratic;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::time::Instant;

const FOLDER: &str = "gradus-tour";
/// Drawn images; three quarters are trained on.
const IMAGES: usize = 12_000;
const EPOCHS: usize = 8;
/// Of a path that is drawn.
const SHOWN_STEPS: usize = 60;

#[derive(Serialize)]
struct Tour {
    page: String,
    seconds: f64,
    questions: Questions,
}

#[derive(Serialize)]
struct Questions {
    descent: Vec<DescentReport>,
    filters: Vec<&'static str>,
    iou: f64,
    alexnet: Summary,
}

impl fmt::Display for Tour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.questions.alexnet;
        writeln!(f, "AlexNet on synthetic shapes: test accuracy {:.1} %", 100.0 * s.test.accuracy)?;
        self.questions.alexnet.confusion.fmt(f)?;
        writeln!(f, "{:.0} s; look at {}", self.seconds, self.page)
    }
}

/// Runs the tour in the current folder.
pub fn run(global: &Global) -> Result<()> {
    let start = Instant::now();
    let folder = Path::new(FOLDER);
    files::create_folder(folder)?;
    eprintln!("AlexNet learns ten classes of drawn shapes ({EPOCHS} epochs)");
    let splits = SyntheticShapes::with_len(global.seed, IMAGES).split();
    let plan = Plan { epochs: EPOCHS, batch: 128, lr: 3e-4, seed: global.seed };
    let settings = Settings::new(Arch::Cifar, "synthetic", &splits, crate::data::VAL_FRACTION, plan);
    let run = folder.join("alexnet");
    let alexnet = alexnet::train(&settings, &splits, &run, Existing::Replace)?;

    let mut page = Page::new("gradus: a tour");
    page.text(
        "Everything on this page was computed on this machine just now, from data that the program drew and from one \
         photograph that it brings along.",
    );
    let descent = descent(&mut page)?;
    filters(&mut page)?;
    let iou = iou(&mut page)?;
    page.heading("4. AlexNet learns to see");
    page.text(&format!(
        "{} images of 32x32 pixels were drawn: ten shapes in random colours, sizes, places and angles, on textured \
         ground and with noise (synthetic shapes, no photographs). AlexNet trained on {} of them for {EPOCHS} epochs. \
         Of {} images that it never saw it named {:.1} % rightly; guessing would name 10 %.",
        IMAGES,
        splits.train.len(),
        alexnet.test.images,
        100.0 * alexnet.test.accuracy
    ));
    for (file, caption) in [
        (
            "train_batch0.png",
            "What the network sees first: synthetic shapes, turned, mirrored, moved, with labels.",
        ),
        ("results.png", "Loss and accuracy over the epochs, on synthetic shapes."),
        ("confusion_matrix.png", "Which synthetic shape was taken for which; the diagonal is right."),
        ("val_batch0_pred.png", "Validation images and what the network takes them for; ✗ marks mistakes."),
    ] {
        let path = run.join(file);
        let image = Image::decode(&files::read(&path, 64 << 20)?, &Limits::default())
            .map_err(|e| e.in_file(&path))?;
        page.figure(&image, caption)?;
    }
    page.command("gradus");
    let path = folder.join("index.html");
    files::write_atomic(&path, page.html().as_bytes())?;
    let page = path.display().to_string();
    let filters = FILTERS.map(|f| f.name).to_vec();
    let questions = Questions { descent, filters, iou, alexnet };
    global.print(&Tour { page, seconds: start.elapsed().as_secs_f64(), questions })
}

/// Question 1: when gradient descent converges, and when it is slow.
fn descent(page: &mut Page) -> Result<Vec<DescentReport>> {
    page.heading("1. When does gradient descent converge?");
    page.text(
        "On L(w) = (a w1² + b w2²) / 2 a step of rate η multiplies w1 by 1 - ηa and w2 by 1 - ηb. Both go to 0 exactly when \
         0 < η < 2 / max(a, b). The best constant rate is 2 / (a + b); even with it, the number of steps grows like the \
         ratio of the curvatures.",
    );
    let mut reports = Vec::new();
    let mut rows =
        vec![["a", "b", "η", "factors", "verdict", "steps to a millionth"].map(String::from).to_vec()];
    for (a, b, lr) in [(1.0, 4.0, 0.25), (1.0, 4.0, 0.5), (1.0, 4.0, 0.55), (1.0, 100.0, 2.0 / 101.0)] {
        let report =
            descend(&Quadratic::new(vec![a, b]), Sgd::new(lr).into(), [1.0, 1.0], Some(SHOWN_STEPS))?.0;
        rows.push(vec![
            a.to_string(),
            b.to_string(),
            format!("{lr:.4}"),
            format!("{:.3}, {:.3}", report.rho[0], report.rho[1]),
            report.verdict.clone(),
            report.steps_needed.map_or("never".into(), |n| n.to_string()),
        ]);
        reports.push(report);
    }
    page.table(&rows);
    let q = Quadratic::new(vec![1.0, 10.0]);
    let (_, path) = descend(&q, Sgd::new(0.18).into(), [1.0, 1.0], Some(SHOWN_STEPS))?;
    page.figure(
        &path_chart(&q, &path).image(),
        "η = 0.18, a = 1, b = 10: w2 changes its sign at each step, w1 crawls.",
    )?;
    page.figure(
        &region_chart(&q, 0.18).image(),
        "Which rates converge: left of the limit. The dot is the path above.",
    )?;
    page.command("gradus descent --a 1 --b 10 --lr 0.18 -o pictures");
    Ok(reports)
}

/// Question 2: filters designed by hand.
fn filters(page: &mut Page) -> Result<()> {
    page.heading("2. Filters designed by hand");
    page.text("Nine weights on each pixel and its neighbours. What the weights sum to is what becomes of flat areas.");
    let photo =
        Image::decode(include_bytes!("../../assets/camera.png"), &Limits::default())?.crop(150, 40, 256, 256);
    for name in ["sobel", "binomial", "sharpen-horizontal", "median"] {
        let Some(f) = find(name) else { continue };
        let shown = filter(f, &photo, Border::Reflect, Shown::Signed).image.to_rgb8();
        let pair = [(photo.clone().to_rgb8(), "before".to_string()), (shown, f.name.to_string())];
        page.figure(&caption_grid("", &pair, 2, 256), &format!("{}: {}", f.name, f.why))?;
    }
    page.text("Photograph: \"Cameraman\" by Lav Varshney, CC0.")
        .command("gradus filter all photo.png -o filtered/");
    Ok(())
}

/// Question 3: IoU and its gradient.
fn iou(page: &mut Page) -> Result<f64> {
    page.heading("3. Intersection over union");
    let (value, ..) = Metric::Iou.gradient(&[0.0, 0.0, 4.0, 2.0], &[1.0, 1.0, 5.0, 3.0]);
    page.text(&format!(
        "The boxes (0, 0, 4, 2) and (1, 1, 5, 3) share 3 of 13 units of area: IoU = {value:.4}. It always lies between 0 and 1, \
         since the intersection is a part of the union. It is not differentiable where edges meet; worse for a loss, it \
         is constant where the boxes are apart: no gradient says where to go. GIoU, DIoU and CIoU mend that."
    ));
    let [values, slopes] = charts();
    page.figure(&values.image(), "Four measures as a unit box moves past another.")?;
    page.figure(
        &slopes.image(),
        "Their derivatives: IoU's is 0 beyond one box width; the jumps are its kinks.",
    )?;
    page.command("gradus iou 0,0,4,2 1,1,5,3");
    Ok(value)
}
