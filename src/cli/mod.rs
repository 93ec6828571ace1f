//! The command line: one file a subcommand.
//!
//! Results go to standard output (with `--json` exactly one JSON value), progress and messages to standard
//! error. Exit codes: 0 done, 2 bad input or usage, 1 a failure that is not the user's, 130 interrupted with
//! the state saved.

mod bench;
mod bits;
mod check;
mod compare;
mod descent;
mod detect;
mod detections;
mod evaluate;
mod fetch;
mod filter;
mod iou;
mod lab;
mod lr_range;
mod manual;
mod options;
mod output;
mod predict;
mod report;
mod tour;
mod tour_detectors;
mod train;

use crate::error::{Error, Result, within_memory};
use crate::profile;
use crate::say::{self, Level};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use gradus_core::OutOfMemory;
use options::{Given, Global};
use std::ffi::OsString;
use std::process::ExitCode;

/// Train, run and understand convolutional networks on a CPU.
///
/// Without a command: the tour (`gradus tour`), on data that the program draws itself; it takes some minutes
/// and ends with a page to look at, gradus-tour/index.html.
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

Environment: GRADUS_ISA=amx|avx512bf16|avx512|avx2|neon|portable forces an instruction set (f32 has the same bits on each, bf16
has not), GRADUS_CONV=im2col|winograd|winograd2|phases|direct|depthwise a convolution algorithm (each has its own)."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands, each by its name and the arguments whose `run` does the work: a row makes one known.
macro_rules! commands {
    ($($(#[$attribute:meta])* $name:ident($arguments:ty),)*) => {
        #[derive(Subcommand)]
        enum Command {
            $($(#[$attribute])* $name($arguments),)*
        }

        impl Command {
            fn run(&self, global: &Global) -> Result<()> {
                match self {
                    $(Command::$name(arguments) => arguments.run(global),)*
                }
            }
        }
    };
}

commands! {
    Tour(tour::Tour),
    Check(check::Check),
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Predict(predict::Predict),
    Detect(detect::Detect),
    Compare(compare::Compare),
    LrRange(lr_range::LrRange),
    Descent(descent::Descent),
    Filter(filter::FilterArgs),
    Iou(iou::Iou),
    Bits(bits::Bits),
    Fetch(fetch::Fetch),
    Lab(lab::Lab),
    Watch(lab::Watch),
    Report(report::Report),
    #[command(subcommand)]
    Bench(bench::Bench),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// Of each thread, in bytes: a main thread's.
const STACK: usize = 8 << 20;

fn run(cli: Cli) -> Result<()> {
    gradus_core::simd::Isa::from_env().map_err(Error::input)?;
    gradus_core::ops::conv::Algorithm::from_env().map_err(Error::input)?;
    // 0: as many as there are processors.
    rayon::ThreadPoolBuilder::new()
        .num_threads(cli.global.threads.map_or(0, Into::into))
        .stack_size(STACK)
        .build_global()
        .map_err(|e| Error::failure(format!("threads: {e}")))?;
    // A benchmark keeps nothing that a signal could cost.
    if !matches!(cli.command, Some(Command::Bench(_))) {
        crate::interrupt::listen();
    }
    let (isa, threads) = (gradus_core::simd::isa().name(), gradus_core::parallel::threads());
    detail!("gradus {} on {threads} threads ({isa})", env!("CARGO_PKG_VERSION"));
    // On one of the pool's threads, which so need not be woken, nor hand over, where it shares out work.
    let here = !matches!(&cli.command, Some(Command::Bench(bench)) if bench.starts_others());
    let work = || cli.command.unwrap_or(Command::Tour(tour::Tour::default())).run(&cli.global);
    rayon::scope(|_| match cli.global.profile.as_ref().filter(|_| here) {
        Some(trace) => profile::around(trace, work),
        None => work(),
    })
}

/// Commands to which some of the common options say nothing, and these.
const SAYS_NOTHING: [(&[&str], &[&str]); 6] = [
    (&["predict", "detect", "compare"], &["seed"]),
    (&["bits"], &["precision", "profile"]),
    (&["filter"], &["seed", "precision", "profile"]),
    (&["check"], &["precision", "profile"]),
    (&["descent", "iou", "fetch"], &["seed", "precision", "threads", "profile"]),
    (&["lab", "watch", "completions", "man"], &["json", "seed", "precision", "threads", "profile"]),
];

/// The command line; a command's help does not tell of options that say nothing to it.
fn command_line() -> clap::Command {
    let mut all = Cli::command();
    all.build();
    let pairs =
        SAYS_NOTHING.iter().flat_map(|(names, options)| names.iter().map(move |name| (name, options)));
    pairs.fold(all, |all, (name, options)| {
        all.mut_subcommand(name, |command| {
            command.mut_args(|option| {
                let hidden = options.contains(&option.get_id().as_str());
                if hidden { option.hide(true) } else { option }
            })
        })
    })
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

/// Where memory is short, a panic is on its way to whoever can say what for; to print it, with a trace that
/// takes memory of its own, is for the panics that are defects.
fn tell_of_defects_alone() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<OutOfMemory>() {
            tell(panic);
        }
    }));
}

/// Error: an option was given that says nothing to the command.
fn must_mean_something(command: &mut clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((name, own)) = matches.subcommand() else { return Ok(()) };
    let of_name = SAYS_NOTHING.iter().filter(|(names, _)| names.contains(&name));
    let given = |option: &&&str| own.value_source(option) == Some(ValueSource::CommandLine);
    match of_name.flat_map(|(_, options)| *options).find(given) {
        Some(option) => {
            let what = format!("'gradus {name}' has no use for '--{option}': leave it out");
            Err(command.error(ErrorKind::UnknownArgument, what))
        }
        None => Ok(()),
    }
}

/// Error: help or the version, which were asked for, or what cannot be understood.
fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = command_line();
    let matches = command.try_get_matches_from_mut(arguments)?;
    must_mean_something(&mut command, &matches)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.global.given = Given::of(&matches);
    Ok(cli)
}

/// A mistake in the arguments: what it is, and clap's tip or else the help that tells more.
fn mistake(e: &clap::Error) -> Error {
    let text = e.render().to_string();
    let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let what = parts.next().unwrap_or_default();
    let (mut tip, mut command) = (None, "gradus".to_string());
    for part in parts {
        if let Some(own) = part.strip_prefix("tip: ") {
            tip = Some(own.to_string());
        } else if let Some(usage) = part.strip_prefix("Usage: ") {
            let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
            command = usage.split(' ').take_while(is_name).collect::<Vec<_>>().join(" ");
        }
    }
    let remedy = tip.unwrap_or_else(|| format!("see {command} --help"));
    Error::input(what.trim_start_matches("error: ")).remedy(remedy)
}

/// Prints what clap has to say, a mistake as JSON too where that was asked for.
fn not_parsed(e: &clap::Error, json: bool) -> ExitCode {
    if json && e.use_stderr() {
        output::print_error(&mistake(e));
    }
    // Where nobody listens there is nothing more to do.
    let _ = e.print();
    if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().map(guard_minus).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(e) => return not_parsed(&e, json),
    };
    say::say_at(match (cli.global.quiet, cli.global.verbose) {
        (true, _) => Level::Quiet,
        (_, true) => Level::Verbose,
        _ => Level::Usual,
    });
    tell_of_defects_alone();
    let e = match std::panic::catch_unwind(|| within_memory(|| run(cli))) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(e)) => e,
        Err(_) => Error::failure("this is a defect of the program, not of your input")
            .remedy("please report the lines above"),
    };
    say::line(&format!("gradus: {e}"));
    if json {
        output::print_error(&e);
    }
    ExitCode::from(e.exit_code())
}
