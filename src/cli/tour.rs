//! `gradus` alone: the tour, on data that the program draws itself.

use super::options::Global;
use super::tour_detectors::detectors;
use crate::comparison::Comparison;
use crate::data::{self, Splits};
use crate::engine::alexnet::{self, Settings, Summary};
use crate::engine::classifier::Plan;
use crate::engine::model::Arch;
use crate::error::Result;
use crate::files;
use crate::lessons::descent::DescentReport;
use crate::lessons::filters::FILTERS;
use crate::report::classifier::{self, Trained};
use crate::report::{Page, theory};
use crate::run::Existing;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::time::Instant;

const FOLDER: &str = "gradus-tour";
/// Drawn images; three quarters are trained on.
pub const SOURCE: &str = "synthetic:12000";
const EPOCHS: usize = 3;

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
    detectors: Comparison,
}

impl fmt::Display for Tour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.questions.alexnet;
        writeln!(f, "AlexNet on synthetic shapes: test accuracy {:.1} %", 100.0 * s.test.accuracy)?;
        self.questions.alexnet.confusion.fmt(f)?;
        self.questions.detectors.fmt(f)?;
        writeln!(f, "{:.0} s; look at {}", self.seconds, self.page)
    }
}

/// AlexNet learns what the program draws, in a run's folder of its own.
pub fn train(global: &Global, run: &Path) -> Result<(Splits, Summary)> {
    say!("AlexNet learns ten classes of drawn shapes ({EPOCHS} epochs)");
    let splits = data::open(SOURCE, data::VAL_FRACTION, global.seed, data::Reading::default())?;
    let &Global { seed, precision, .. } = global;
    let plan = Plan { epochs: EPOCHS, batch: 64, lr: 5e-4, one_cycle: true, seed, precision };
    let settings = Settings::new(Arch::Cifar, SOURCE, &splits, data::VAL_FRACTION, plan)?;
    let summary = alexnet::train(&settings, &splits, run, Existing::Replace)?;
    Ok((splits, summary))
}

/// Runs the tour in the current folder.
pub fn run(global: &Global) -> Result<()> {
    let start = Instant::now();
    let folder = Path::new(FOLDER);
    files::create_folder(folder)?;
    let run = folder.join("alexnet");
    let (splits, alexnet) = train(global, &run)?;

    let mut page = Page::new("gradus: a tour");
    page.text(
        "Everything on this page was computed on this machine just now, from data that the program drew and from one \
         photograph that it brings along.",
    )
    .links(&theory::PARTS);
    let descent = theory::descent(&mut page)?;
    theory::filters(&mut page)?;
    let iou = theory::iou(&mut page)?;
    let seed = global.seed;
    let trained = Trained { run: &run, splits: &splits, source: SOURCE, plain: false, quick: true, seed };
    classifier::section(&mut page, &trained)?;
    let detectors = detectors(&mut page, folder, global)?;
    theory::sources(&mut page);
    let path = folder.join("index.html");
    files::write_atomic(&path, page.html()?.as_bytes())?;
    let page = path.display().to_string();
    let filters = FILTERS.map(|f| f.name).to_vec();
    let questions = Questions { descent, filters, iou, alexnet, detectors };
    global.print(&Tour { page, seconds: start.elapsed().as_secs_f64(), questions })
}
