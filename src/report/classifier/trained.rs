//! What question 4 is answered from, and how much is computed for it.

use crate::data::Splits;
use crate::engine::lr_range;
use crate::shell::Typed;
use std::path::Path;

/// How much is computed for the page.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Images whose outputs are projected to their principal components.
    pub projected: usize,
    /// Images that t-SNE lays out.
    pub laid_out: usize,
    /// Of t-SNE.
    pub iterations: usize,
    /// Noise images searched for each imagined class.
    pub searched: usize,
    /// Steps of ascent for each imagined class.
    pub ascended: usize,
    /// Of the range test.
    pub range: lr_range::Settings,
}

impl Depth {
    /// What the notebooks do: all training images, 5,000 of them laid out; or a few seconds' worth.
    pub fn of(quick: bool) -> Self {
        let either = |full, short| if quick { short } else { full };
        let range = lr_range::Settings::default();
        Depth {
            projected: either(45_000, 1_500),
            laid_out: either(5_000, 600),
            iterations: either(1000, 400),
            searched: either(20_000, 500),
            ascended: either(200, 60),
            range: lr_range::Settings {
                steps: either(range.steps, 60),
                batch: either(range.batch, 64),
                ..range
            },
        }
    }
}

/// A finished run and what it was trained on.
pub struct Trained<'a> {
    /// Its folder.
    pub run: &'a Path,
    /// Its data.
    pub splits: &'a Splits,
    /// How `--data` names it.
    pub source: &'a str,
    /// Whether the data's own pictures are left out, where they may not be passed on.
    pub plain: bool,
    /// Whether it takes a few seconds: see [`Depth::of`].
    pub quick: bool,
    /// Of the page's analyses.
    pub seed: u64,
}

impl Trained<'_> {
    /// What makes the figures that no other command makes alone.
    pub(super) fn command(&self) -> [Typed; 1] {
        [Typed::from("gradus report")
            .option("--alexnet", [self.run.display()])
            .option("--cifar", [self.source])
            .flag("--quick", self.quick)
            .flag("--plain", self.plain)
            .option("--seed", [self.seed])
            .option("-o", ["report"])]
    }
}
