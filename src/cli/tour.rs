//! `gradus` alone: the tour, on data that the program draws itself.

use super::Global;
use crate::data::SyntheticShapes;
use crate::engine::alexnet::{self, Settings, Summary};
use crate::engine::classifier::Plan;
use crate::engine::model::Arch;
use crate::error::Result;
use crate::files;
use crate::image::{Image, Limits};
use crate::report::Page;
use crate::run::Existing;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::time::Instant;

const FOLDER: &str = "gradus-tour";
/// Drawn images; three quarters are trained on.
const IMAGES: usize = 12_000;
const EPOCHS: usize = 5;

#[derive(Serialize)]
struct Tour {
    page: String,
    seconds: f64,
    questions: Questions,
}

#[derive(Serialize)]
struct Questions {
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
    let plan = Plan { epochs: EPOCHS, batch: 128, lr: 1e-3, seed: global.seed };
    let settings = Settings::new(Arch::Cifar, "synthetic", &splits, crate::data::VAL_FRACTION, plan);
    let run = folder.join("alexnet");
    let alexnet = alexnet::train(&settings, &splits, &run, Existing::Replace)?;

    let mut page = Page::new("gradus: a tour");
    page.text(
        "Everything on this page was computed on this machine just now, from data that the program drew.",
    );
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
    global.print(&Tour { page, seconds: start.elapsed().as_secs_f64(), questions: Questions { alexnet } })
}
