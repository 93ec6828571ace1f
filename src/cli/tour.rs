//! `gradus` alone: the tour, on data that the program draws itself.

use super::options::Global;
use super::output::next;
use super::tour_detectors::detectors;
use crate::comparison::Comparison;
use crate::data::{self, Splits};
use crate::engine::alexnet::{self, Settings, Summary};
use crate::engine::classifier::Plan;
use crate::engine::files::Files;
use crate::engine::model::Arch;
use crate::error::Result;
use crate::files;
use crate::lessons::descent::DescentReport;
use crate::lessons::filters::FILTERS;
use crate::report::classifier::{self, Trained};
use crate::report::{Page, theory};
use crate::run::Existing;
use crate::serve;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::time::Instant;

const FOLDER: &str = "gradus-tour";
/// Drawn images; three quarters are trained on.
pub const SOURCE: &str = "synthetic:7000";
const EPOCHS: usize = 3;

#[derive(Serialize)]
struct Toured {
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

impl fmt::Display for Toured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.questions.alexnet;
        writeln!(f, "AlexNet on synthetic shapes: test accuracy {:.1} %", 100.0 * s.test.accuracy)?;
        self.questions.alexnet.confusion.fmt(f)?;
        self.questions.detectors.fmt(f)?;
        writeln!(f, "{:.0} s; look at {}", self.seconds, self.page)
    }
}

/// AlexNet learns what the program draws, in a run's folder of its own.
pub fn train(global: &Global, run: &Path, existing: Existing) -> Result<(Splits, Summary)> {
    say!("AlexNet learns ten classes of drawn shapes ({EPOCHS} epochs)");
    let splits = data::open(SOURCE, data::VAL_FRACTION, global.seed, data::Reading::default())?;
    let &Global { seed, precision, .. } = global;
    let plan = Plan { epochs: EPOCHS, batch: 64, lr: 1.5e-3, one_cycle: true, seed, precision };
    let settings = Settings::new(Arch::Cifar, SOURCE, &splits, data::VAL_FRACTION, plan)?;
    let summary = alexnet::train(&settings, &splits, run, existing)?;
    Ok((splits, summary))
}

/// The tour: all five questions on data that the program draws itself, and a page to look at
///
/// It leaves its page, gradus-tour/index.html, and its runs in the current folder.
#[derive(Args, Default)]
pub struct Tour {
    /// Open the page in the browser as soon as there is something to see
    #[arg(long)]
    open: bool,
}

impl Tour {
    /// Runs the command in the current folder.
    pub fn run(&self, global: &Global) -> Result<()> {
        let (start, folder) = (Instant::now(), Path::new(FOLDER));
        files::create_folder(folder)?;
        let path = folder.join("index.html");
        let show = |page: &mut Page, to_come: Option<&str>| {
            files::write_atomic(&path, page.growing(to_come).html().as_bytes())
        };
        let mut page = Page::new("gradus: a tour");
        page.text(
            "Everything on this page was computed on this machine just now, from data that the program drew and from one \
             photograph that it brings along.",
        )
        .links(&theory::PARTS);
        let descent = theory::descent(&mut page)?;
        theory::filters(&mut page)?;
        let iou = theory::iou(&mut page)?;
        show(&mut page, Some("AlexNet is learning; question 4 comes in a minute."))?;
        say!("{}: questions 1 to 3 are there already; the page grows", path.display());
        if self.open {
            serve::show(&path);
        }

        let run = folder.join("alexnet");
        let (splits, alexnet) = train(global, &run, Existing::Replace)?;
        let seed = global.seed;
        let trained = Trained { run: &run, splits: &splits, source: SOURCE, plain: false, quick: true, seed };
        classifier::section(&mut page, &trained)?;
        Files::of(&run).drop_state()?;
        show(&mut page, Some("Two detectors are learning; question 5 comes in a minute."))?;

        let detectors = detectors(&mut page, folder, global)?;
        theory::sources(&mut page);
        show(&mut page, None)?;
        let page = files::name_of(&path);
        let filters = FILTERS.map(|f| f.name).to_vec();
        let questions = Questions { descent, filters, iou, alexnet, detectors };
        global.print(&Toured { page, seconds: start.elapsed().as_secs_f64(), questions })?;
        next(&[
            format!("gradus predict {FOLDER}/alexnet PICTURE"),
            "gradus lab --open".into(),
            "gradus train alexnet --data FOLDER-OF-CLASS-FOLDERS".into(),
        ]);
        Ok(())
    }
}
