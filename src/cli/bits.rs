//! `gradus bits`: does this machine compute the recorded bits?

use super::options::{Global, at_least_one};
use crate::bits::{self, Case, Digests, RECORDED};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::numbers::counted;
use crate::progress::Progress;
use clap::Args;
use gradus_core::{parallel, simd};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Whether this machine computes the recorded bits
///
/// In f32 gradus computes the same bits on every processor: sums are ordered by shapes alone, and each step
/// of them is rounded as IEEE 754 says. This makes every op, forward and backward, and steps of every kind of
/// network again, and compares digests of the results with those that the program brings along; it takes
/// about a minute. It ends with 0 where all of them agree, and with 1 where one does not. Then the program
/// has a defect, or the machine: please report what --json prints.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus bits                                  are the results here the recorded ones?
  gradus bits --json > here.json               the digests, to be sent or compared
  GRADUS_ISA=avx2 gradus bits --threads 1      with another instruction set, on one thread
  gradus bits --drawn 300 --seed 7 --json      of random cases, for another machine to repeat")]
pub struct Bits {
    /// Print the digests as tests/bits/recorded.txt has them, to renew it; nothing is compared
    #[arg(long, conflicts_with = "drawn")]
    list: bool,
    /// Digests of N cases that --seed draws, in the place of the recorded ones; nothing is compared
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    drawn: Option<usize>,
}

/// What was computed, and whether it is what is recorded.
#[derive(Serialize)]
struct Report {
    /// None where nothing is recorded.
    equal: Option<bool>,
    isa: &'static str,
    threads: usize,
    /// Names whose digests are not the recorded ones, or are recorded and were not made.
    differ: BTreeSet<String>,
    digests: Digests,
}

impl Report {
    fn new(digests: Digests, recorded: Option<&Digests>) -> Self {
        let differ = recorded.map_or_else(BTreeSet::new, |recorded| {
            let names = digests.keys().chain(recorded.keys());
            names.filter(|name| digests.get(*name) != recorded.get(*name)).cloned().collect()
        });
        let equal = recorded.map(|_| differ.is_empty());
        Report { equal, isa: simd::isa().name(), threads: parallel::threads(), differ, digests }
    }
}

/// What a name begins with: `softmax` of `softmax/along-rows/forward`.
fn group(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "instruction set {}, {}", self.isa, counted(self.threads, "thread", "threads"))?;
        let Some(equal) = self.equal else {
            return self.digests.iter().try_for_each(|(name, digest)| writeln!(f, "{digest} {name}"));
        };
        let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for name in self.digests.keys().chain(&self.differ).collect::<BTreeSet<_>>() {
            let (same, all) = groups.entry(group(name)).or_default();
            *all += 1;
            *same += usize::from(!self.differ.contains(name));
        }
        for (group, (same, all)) in groups {
            writeln!(f, "  {group:13} {same:4} of {all} digests as recorded")?;
        }
        self.differ.iter().try_for_each(|name| writeln!(f, "  differs: {name}"))?;
        writeln!(f, "{}", if equal { SAME } else { OTHER })
    }
}

const SAME: &str = "This machine computes the recorded bits: what gradus trains here in f32 it trains to \
                    the same weights on every machine of which this command says the same.";
const OTHER: &str = "This machine computes other bits than the recorded ones: a training in f32 may end \
                     with other weights here than elsewhere.";

impl Bits {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        refuse_other_sums()?;
        if let Some(n) = self.drawn {
            let cases = (0..n).map(|k| bits::drawn(global.seed, k)).collect();
            return global.print(&Report::new(digests(cases)?, None));
        }
        let digests = digests(bits::cases())?;
        if self.list {
            return global.print(&bits::text(&digests));
        }
        let report = Report::new(digests, Some(&bits::parse(RECORDED)));
        global.print(&report)?;
        match report.differ.len() {
            0 => Ok(()),
            n => {
                let of = report.digests.len();
                let what = format!("{n} of {of} digests are not the recorded ones");
                Err(Error::failure(what).remedy("please report what `gradus bits --json` prints"))
            }
        }
    }
}

/// What is recorded is of the algorithms that gradus chooses (and of f32: the command has no other precision).
fn refuse_other_sums() -> Result<()> {
    if std::env::var_os("GRADUS_CONV").is_some() {
        return Err(Error::input("GRADUS_CONV chooses other sums than the recorded ones").remedy("unset it"));
    }
    Ok(())
}

/// The digests of these cases, with progress.
fn digests(cases: Vec<Case>) -> Result<Digests> {
    let mut progress = Progress::new("bits", "cases", cases.len() as u64, 0);
    let mut digests = Digests::new();
    for case in cases {
        interrupt::check("nothing was changed")?;
        digests.extend(case.digests()?);
        progress.advance(1, || case.name().to_string());
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Digests {
        pairs.iter().map(|(n, d)| (n.to_string(), d.to_string())).collect()
    }

    #[test]
    fn what_differs_is_named() {
        let recorded = of(&[("a/x", "1"), ("a/y", "2"), ("b/z", "3")]);
        let same = Report::new(recorded.clone(), Some(&recorded));
        assert_eq!(same.equal, Some(true));
        assert!(same.to_string().contains("a                2 of 2 digests as recorded"), "{same}");
        let report = Report::new(of(&[("a/x", "1"), ("a/y", "9"), ("c/new", "4")]), Some(&recorded));
        assert_eq!(report.equal, Some(false));
        assert_eq!(report.differ.iter().collect::<Vec<_>>(), ["a/y", "b/z", "c/new"]);
        let said = report.to_string();
        assert!(said.contains("differs: a/y") && said.contains("other bits than the recorded"), "{said}");
        assert_eq!(Report::new(recorded, None).equal, None);
    }
}
