//! `gradus report`: the hand-in, one page of all questions from finished runs.

use super::options::Global;
use super::output::new_file;
use super::tour;
use crate::comparison::Question;
use crate::data::{self, Splits};
use crate::engine::alexnet::Settings;
use crate::engine::detector;
use crate::engine::files::Files;
use crate::error::{Error, Result};
use crate::files;
use crate::report::classifier::{self, Trained};
use crate::report::{Page, Typeset, detectors, theory};
use crate::run::{Existing, Run};
use crate::serve;
use crate::shell::Typed;
use clap::Args;
use gradus_core::gemm::Precision;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The hand-in: one page, and a PDF, that answers every question from finished runs
#[derive(Args)]
#[command(after_help = "Examples:
  gradus report -o report                                        on data that the program draws
  gradus report --alexnet runs/alexnet -o report                 question 4 from a run
  gradus report --alexnet runs/alexnet --cifar cifar-10-binary.tar.gz \\
    --detectors runs/a runs/b --image crossing.jpg -o report

The page is one file that needs no network. Beside it stand report.ipynb, a notebook with the same texts, figures and
commands; latex, a folder that Overleaf opens as it is; and, where pdflatex is installed, report.pdf.")]
pub struct Report {
    /// A run of `gradus train alexnet`; without one, AlexNet is trained on drawn shapes
    #[arg(long, value_name = "RUN")]
    alexnet: Option<PathBuf>,
    /// The run's data, where it is no longer at the place that the run remembers
    #[arg(long, value_name = "SRC", requires = "alexnet")]
    cifar: Option<String>,
    /// Two runs of `gradus train detector`
    #[arg(long, num_args = 2, value_names = ["RUN_A", "RUN_B"])]
    detectors: Option<Vec<PathBuf>>,
    /// Photographs that both detectors look at
    #[arg(long, value_name = "PHOTO", num_args = 1.., requires = "detectors")]
    image: Vec<PathBuf>,
    /// The detectors' data, where it is no longer at the place that the first run remembers
    #[arg(long, value_name = "SRC", requires = "detectors")]
    pedestrians: Option<String>,
    /// Whose work it is: a line below the title
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Who and what helped, for the acknowledgement: "Ada Lovelace, and used a spell checker"
    #[arg(long, value_name = "COLLABORATORS AND TOOLS")]
    with: Option<String>,
    /// Where index.html, report.ipynb, latex and report.pdf go
    #[arg(short = 'o', long, value_name = "DIR")]
    out: PathBuf,
    /// Compute a few seconds' worth of analyses instead of all images'
    #[arg(long)]
    quick: bool,
    /// Leave out the data sets' pictures, and draw what detectors find on plain gray: for a page that may be
    /// passed on
    #[arg(long)]
    plain: bool,
    /// Overwrite an existing report
    #[arg(long)]
    force: bool,
    /// Open it in the browser when it is done
    #[arg(long)]
    open: bool,
}

#[derive(Serialize)]
struct Written {
    page: String,
    tex: String,
    notebook: String,
    pdf: Option<String>,
    seconds: f64,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:.0} s; look at {}", self.seconds, self.page)?;
        writeln!(f, "run {}; typeset {}", self.notebook, self.tex)?;
        match &self.pdf {
            Some(pdf) => writeln!(f, "print {pdf}"),
            None => {
                writeln!(f, "no PDF: pdflatex is not installed (Debian: texlive-latex-recommended lmodern)")
            }
        }
    }
}

/// What such a homework asks to be said of others' help.
fn acknowledgement(with: Option<&str>) -> String {
    match with {
        Some(with) => format!("Acknowledgement: I worked with {with}."),
        None => "Acknowledgement: no collaborators and no tools besides gradus were named.".into(),
    }
}

impl Report {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let start = Instant::now();
        let at = |name: &str| new_file(self.out.join(name), self.force);
        let (path, notebook, pdf) = (at("index.html")?, at("report.ipynb")?, at("report.pdf")?);
        let tex = at("latex/report.tex")?;
        // What is wrong with the arguments is said before any work.
        let (trained, detectors) = (self.trained()?, self.detectors(global.precision)?);
        let mut page = Page::new("Homework: descent, filters, IoU, AlexNet, detectors");
        page.author(self.author.as_deref()).text(acknowledgement(self.with.as_deref()));
        page.text("One command made this page; below the figures stand the commands that made them.");
        page.command([self.command(global)]);
        page.links(&theory::PARTS);
        theory::descent(&mut page)?;
        theory::filters(&mut page)?;
        theory::iou(&mut page)?;
        files::create_folder(&self.out)?;
        let run = self.alexnet.clone().unwrap_or_else(|| self.out.join("alexnet"));
        let (splits, source) = match trained {
            Some(given) => given,
            None => {
                // What an interrupted report has trained is not trained again.
                let begun = !self.force && Files::of(&run).have_state()?;
                let existing = if begun { Existing::Resume } else { Existing::Replace };
                (tour::train(global, &run, existing)?.0, tour::SOURCE.into())
            }
        };
        let (plain, quick, seed) = (self.plain, self.quick, global.seed);
        let trained = Trained { run: &run, splits: &splits, source: &source, plain, quick, seed };
        classifier::section(&mut page, &trained)?;
        detectors::section(&mut page, detectors.as_ref())?;
        theory::sources(&mut page);
        files::write_atomic(&path, page.html().as_bytes())?;
        files::write_atomic(&notebook, page.notebook().as_bytes())?;
        page.tex(&self.out.join("latex"))?;
        let made = page.pdf(&pdf)? == Typeset::Done;
        global.print(&Written {
            page: files::name_of(&path),
            tex: files::name_of(tex),
            notebook: files::name_of(notebook),
            pdf: made.then(|| files::name_of(pdf)),
            seconds: start.elapsed().as_secs_f64(),
        })?;
        if self.open {
            serve::show(path);
        }
        Ok(())
    }

    /// What was typed.
    fn command(&self, global: &Global) -> Typed {
        let paths = |p: &[PathBuf]| p.iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
        Typed::from("gradus report")
            .option("--author", &self.author)
            .option("--with", &self.with)
            .option("--alexnet", paths(self.alexnet.as_slice()))
            .option("--cifar", &self.cifar)
            .option("--detectors", paths(self.detectors.as_deref().unwrap_or_default()))
            .option("--pedestrians", &self.pedestrians)
            .option("--image", paths(&self.image))
            .flag("--quick", self.quick)
            .flag("--plain", self.plain)
            .option("--seed", [global.seed])
            .option("-o", [self.out.display()])
    }

    fn detectors(&self, precision: Precision) -> Result<Option<Question>> {
        let Some([a, b]) = self.detectors.as_deref() else { return Ok(None) };
        let data = match &self.pedestrians {
            Some(data) => data.clone(),
            None => Run::settings::<detector::Settings>(a)?.data,
        };
        let question = Question::new([a.clone(), b.clone()], data, self.image.clone());
        Ok(Some(Question { plain: self.plain, precision, ..question }))
    }

    /// The run named with `--alexnet`, its data and how that is named.
    fn trained(&self) -> Result<Option<(Splits, String)>> {
        let Some(run) = &self.alexnet else { return Ok(None) };
        let settings: Settings = Run::settings(run)?;
        let source = self.cifar.clone().unwrap_or(settings.data);
        let splits = data::open(&source, settings.val_fraction, settings.plan.seed, settings.reading)?;
        if splits.dataset().checksum()? != settings.data_checksum {
            return Err(Error::input("is not the data that the run was trained on")
                .in_file(Path::new(&source))
                .remedy("name it with --cifar"));
        }
        Ok(Some((splits, source)))
    }
}
