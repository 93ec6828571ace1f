//! `gradus compare`: two detectors side by side.

use super::options::{Global, fraction};
use super::output::draw;
use crate::comparison::{Question, compare};
use crate::engine::files::Weights;
use crate::error::{Error, Result};
use crate::files;
use crate::report::{Page, detectors};
use crate::serve;
use clap::Args;
use gradus_core::gemm::Precision;
use std::path::PathBuf;

/// Compare two trained detectors: accuracy, losses, speed, size, and what both find in the same pictures
#[derive(Args)]
#[command(after_help = "Example:
  gradus compare runs/resnet runs/mobilenet --data data/PennFudanPed --image crossing.jpg street.jpg -o compared

DIR then holds index.html, comparison.json, losses.png, ap.png and a picture of each photo, both detectors side by side
at the same scale.")]
pub struct Compare {
    /// The first run's folder
    run_a: PathBuf,
    /// The second's
    run_b: PathBuf,
    /// The data that both were trained on
    #[arg(long, value_name = "SRC")]
    data: String,
    /// Pictures to show to both
    #[arg(long, value_name = "PHOTO", num_args = 1..)]
    image: Vec<PathBuf>,
    /// The folder for page, pictures and JSON
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// The least score that is shown, from 0 to 1
    #[arg(long, default_value_t = 0.5, value_parser = fraction)]
    score: f32,
    /// The weights after the last epoch (last), or those of the greatest test AP (best)
    #[arg(long, value_enum, default_value_t = Weights::Last, hide_possible_values = true)]
    weights: Weights,
    /// Draw on plain gray: pictures of photos that may not be passed on
    #[arg(long)]
    plain: bool,
    /// Replace what is in DIR
    #[arg(long)]
    force: bool,
    /// Open the page in the browser when it is done
    #[arg(long)]
    open: bool,
}

impl Compare {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let index = self.out.join("index.html");
        if !self.force && files::exists(&index)? {
            return Err(Error::input("holds a comparison already")
                .in_file(&self.out)
                .remedy("name another folder, or --force"));
        }
        let question = self.question(global.precision);
        let comparison = compare(&question)?;
        draw(&self.out, true, comparison.charts())?;
        for (name, picture) in &comparison.pictures {
            picture.save_png(self.out.join(format!("{name}.png")))?;
        }
        let json =
            serde_json::to_string_pretty(&comparison).map_err(|e| Error::failure(format!("JSON: {e}")))?;
        files::write_atomic(self.out.join("comparison.json"), (json + "\n").as_bytes())?;
        let mut page = Page::new("Two detectors compared");
        detectors::compared(&mut page, &comparison)?;
        detectors::photographs(&mut page, &comparison)?;
        page.command([question.command(&self.out)]);
        files::write_atomic(&index, page.html().as_bytes())?;
        say!("look at {}", index.display());
        global.print(&comparison)?;
        if self.open {
            serve::show(&index);
        }
        Ok(())
    }

    fn question(&self, precision: Precision) -> Question {
        Question {
            weights: self.weights,
            score: self.score,
            plain: self.plain,
            precision,
            ..Question::new([self.run_a.clone(), self.run_b.clone()], &self.data, self.image.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        compare: Compare,
    }

    #[test]
    fn the_command_of_a_page_has_every_option_that_makes_it_otherwise() {
        for text in [
            "gradus compare a b --data d --score 0.5 --weights last -o o",
            "gradus compare a b --data d --image p.jpg q.jpg --score 0.25 --weights best --plain -o o",
        ] {
            let compare = Cli::parse_from(text.split(' ').skip(1)).compare;
            assert_eq!(compare.question(Precision::F32).command(&compare.out).to_string(), text);
        }
    }
}
