//! The command line: one file a subcommand.
//!
//! Results go to standard output (with `--json` exactly one JSON value), progress and messages to standard
//! error. Exit codes: 0 done, 2 bad input or usage, 1 a failure that is not the user's, 130 interrupted with
//! the state saved.

mod bench;
mod compare;
mod descent;
mod detect;
mod evaluate;
mod fetch;
mod filter;
mod iou;
mod lab;
mod lr_range;
mod predict;
mod report;
mod tour;
mod tour_detectors;
mod train;

use crate::data::{Reading, description};
use crate::error::{Error, Result};
use crate::plot::Chart;
use crate::{files, profile};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gradus_core::gemm::Precision;

/// Train, run and understand convolutional networks on a CPU.
///
/// Without a command: the tour, on data that the program draws itself; it takes some minutes and
/// ends with a page to look at, gradus-tour/index.html.
#[derive(Parser)]
#[command(
    name = "gradus",
    version,
    after_help = "Examples:
  gradus                                              the tour
  gradus train alexnet --data cifar-10-binary.tar.gz  25 epochs on CIFAR-10
  gradus evaluate runs/alexnet --data cifar-10-binary.tar.gz
  gradus predict runs/alexnet photo.jpg
  gradus train --help                                 every command teaches its options

Environment: GRADUS_ISA=amx|avx512bf16|avx512|avx2|portable forces an instruction set, GRADUS_CONV=im2col|winograd|winograd2|phases|direct
a convolution algorithm."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options of every command.
#[derive(Args, Clone)]
pub struct Global {
    /// Print exactly one JSON value on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Threads to compute with [default: all cores]; the results' bits do not depend on it
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// What products and convolutions read: f32, or bf16 (mixed precision; faster where the processor has AMX
    /// or AVX512-BF16)
    #[arg(long, global = true, value_name = "P", default_value = "f32", value_parser = precision)]
    pub precision: Precision,
    /// The seed of everything random
    #[arg(long, global = true, value_name = "N", default_value_t = 1234)]
    pub seed: u64,
    /// Print what took the time, op by op, at the end; write a trace for Chrome's viewer to FILE [default:
    /// gradus-profile.json]
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "gradus-profile.json")]
    pub profile: Option<PathBuf>,
    /// Which of these were given, where a run that goes on has its own
    #[arg(skip)]
    given: Given,
}

/// Options that were given, not taken by default.
#[derive(Clone, Copy, Default)]
struct Given {
    seed: bool,
    precision: bool,
}

impl Given {
    fn of(matches: &ArgMatches) -> Self {
        let given = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        Given { seed: given("seed"), precision: given("precision") }
    }
}

#[derive(Subcommand)]
enum Command {
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Predict(predict::Predict),
    Detect(detect::Detect),
    Compare(compare::Compare),
    LrRange(lr_range::LrRange),
    Descent(descent::Descent),
    Filter(filter::FilterArgs),
    Iou(iou::Iou),
    Fetch(fetch::Fetch),
    Lab(lab::Lab),
    Watch(lab::Watch),
    Report(report::Report),
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn precision(text: &str) -> std::result::Result<Precision, String> {
    let found = Precision::ALL.into_iter().find(|p| p.name() == text);
    found.ok_or_else(|| "choose f32 or bf16".into())
}

impl Global {
    /// Prints a command's result: for people, or as one JSON value.
    pub fn print(&self, result: &(impl Serialize + Display)) -> Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(result).map_err(|e| Error::failure(format!("JSON: {e}")))?
        } else {
            result.to_string()
        };
        let written = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
        match written {
            // The reader of a pipe may leave early.
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::failure(format!("standard output: {e}")))
            }
            _ => Ok(()),
        }
    }
}

/// Of each thread, in bytes: a main thread's.
const STACK: usize = 8 << 20;

fn run(cli: Cli) -> Result<()> {
    gradus_core::simd::Isa::from_env().map_err(Error::input)?;
    // 0: as many as there are processors.
    rayon::ThreadPoolBuilder::new()
        .num_threads(cli.global.threads.map_or(0, Into::into))
        .stack_size(STACK)
        .build_global()
        .map_err(|e| Error::failure(format!("threads: {e}")))?;
    crate::interrupt::listen();
    // On one of the pool's threads, which so need not be woken, nor hand over, where it shares out work.
    let here = !matches!(&cli.command, Some(Command::Bench(bench)) if bench.starts_others());
    rayon::scope(|_| match cli.global.profile.as_ref().filter(|_| here) {
        Some(trace) => profile::around(trace, || dispatch(&cli.global, cli.command)),
        None => dispatch(&cli.global, cli.command),
    })
}

fn dispatch(global: &Global, command: Option<Command>) -> Result<()> {
    match command {
        None => tour::run(global),
        Some(Command::Train(c)) => c.run(global),
        Some(Command::Evaluate(c)) => c.run(global),
        Some(Command::Predict(c)) => c.run(global),
        Some(Command::Detect(c)) => c.run(global),
        Some(Command::Compare(c)) => c.run(global),
        Some(Command::LrRange(c)) => c.run(global),
        Some(Command::Descent(c)) => c.run(global),
        Some(Command::Filter(c)) => c.run(global),
        Some(Command::Iou(c)) => c.run(global),
        Some(Command::Fetch(c)) => c.run(global),
        Some(Command::Lab(c)) => c.run(global),
        Some(Command::Watch(c)) => c.run(global),
        Some(Command::Report(c)) => c.run(global),
        Some(Command::Bench(c)) => c.run(global),
    }
}

/// A list of numbers that begins with a minus, such as the box `-1,-1,1,1`, would be taken for an option: a
/// space in front, which parsing a number ignores, makes it a value.
fn guard_minus(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(s)
            if s.starts_with('-')
                && s.contains(',')
                && s[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.') =>
        {
            format!(" {s}").into()
        }
        _ => arg,
    }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches_from(std::env::args_os().map(guard_minus));
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    cli.global.given = Given::of(&matches);
    match std::panic::catch_unwind(|| run(cli)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(e)) => {
            eprintln!("gradus: {e}");
            ExitCode::from(e.exit_code())
        }
        Err(_) => {
            eprintln!(
                "gradus: this is a defect of the program, not of your input; please report the lines above"
            );
            ExitCode::FAILURE
        }
    }
}

/// A file that is not there yet, unless it may be overwritten.
fn new_file(path: std::path::PathBuf, force: bool) -> Result<std::path::PathBuf> {
    if path.exists() && !force {
        return Err(Error::input("exists already").in_file(path).remedy("name another file, or --force"));
    }
    Ok(path)
}

/// Draws charts into a folder, each as a PNG file of its name: the files' paths.
fn draw<'a>(
    out: &Path,
    force: bool,
    charts: impl IntoIterator<Item = (&'a str, Chart)>,
) -> Result<Vec<String>> {
    files::create_folder(out)?;
    let one = |(name, chart): (&str, Chart)| {
        let file = new_file(out.join(format!("{name}.png")), force)?;
        chart.image().save_png(&file)?;
        Ok(file.display().to_string())
    };
    charts.into_iter().map(one).collect()
}

/// How commands that read a data set take its faults.
#[derive(Args, Clone, Copy, Default)]
struct Faults {
    /// Refuse a data set that has any fault, however small; each image is decoded for it
    #[arg(long)]
    strict: bool,
    /// Leave out images that cannot be read, and say which
    #[arg(long, conflicts_with = "strict")]
    skip_bad: bool,
}

impl Faults {
    fn reading(self) -> Reading {
        Reading { strict: self.strict, skip_bad: self.skip_bad }
    }
}

/// What is made of each picture, and whether all could be read. Pictures have nothing to do with each other:
/// one that `read` refuses does not keep the others from their results, which are printed before the command
/// fails. With `skip_bad` it does not fail, and names what was left out. Both closures are given a picture's
/// place in the list. Error: `work` failed, which is no picture's fault, or there is no result.
fn each_picture<P, T>(
    paths: &[PathBuf],
    skip_bad: bool,
    mut read: impl FnMut(usize) -> Result<P>,
    mut work: impl FnMut(usize, P) -> Result<T>,
) -> Result<(Vec<T>, Result<()>)> {
    let reading = Reading { skip_bad, ..Reading::default() };
    let (mut done, mut faults) = (Vec::new(), description::Faults::default());
    for k in 0..paths.len() {
        match read(k) {
            Ok(picture) => done.push(work(k, picture)?),
            Err(e @ Error::Input(_)) if paths.len() > 1 => {
                faults.add(description::Faults::UNREADABLE, reading.of_bad_image(), e);
            }
            Err(e) => return Err(e),
        }
    }
    if done.is_empty() {
        faults.judge(Reading { strict: true, ..reading })?;
    }
    let verdict = faults.judge(reading);
    if verdict.is_ok() {
        faults.iter().for_each(|fault| eprintln!("warning: {fault}"));
    }
    Ok((done, verdict))
}

/// Parses a count that must be at least 1.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("at least 1 is needed".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("a whole number is needed, such as 25".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_behind_the_reading_is_no_pictures_fault() {
        let paths: Vec<PathBuf> = ["a", "b", "c"].map(PathBuf::from).to_vec();
        let bad = |k: usize| if k == 1 { Err(Error::input("is no image").in_file("b")) } else { Ok(k) };
        let (done, verdict) = each_picture(&paths, true, bad, |k, _| Ok(k)).unwrap();
        assert!(done == [0, 2] && verdict.is_ok());
        assert!(each_picture(&paths, false, bad, |k, _| Ok(k)).unwrap().1.is_err());
        let unwritable = |k, _| if k == 2 { Err(Error::input("cannot be written")) } else { Ok(k) };
        let error = each_picture(&paths, true, bad, unwritable).unwrap_err();
        assert_eq!(error.to_string(), "cannot be written");
    }
}
