//! `gradus filter`: 3x3 filters designed by hand, on pictures.

use super::options::Global;
use super::output::{List, new_file};
use crate::error::{Error, Result};
use crate::files;
use crate::image::Image;
use crate::lessons::filtering::{Shown, filter_to, response_picture};
use crate::lessons::filters::{self, Border, FILTERS, Filter, Kind};
use crate::numbers::number;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Filter a picture with a 3x3 kernel designed by hand, and say why it works
#[derive(Args)]
#[command(
    after_help = "Filters: sobel-x sobel-y sobel prewitt-x prewitt-y scharr-x scharr-y laplacian box binomial
sharpen sharpen-horizontal sharpen-vertical unsharp median identity

Examples:
  gradus filter sobel-x photo.png -o edges.png
  gradus filter sharpen-horizontal photo.png -o sharp.png --response response.png
  gradus filter all photo.png -o filtered/

Filters whose weights sum to 0 have signed results: they are shown around mid-gray, scaled by their largest value;
with --absolute by their size. Alpha and the depth of 16 bits are kept."
)]
pub struct FilterArgs {
    /// A filter's name, or `all`
    #[arg(value_parser = PossibleValuesParser::new(FILTERS.map(|f| f.name).into_iter().chain([ALL])), hide_possible_values = true)]
    name: String,
    /// PNG, JPEG or WebP
    input: PathBuf,
    /// The result: a PNG file, or a folder for `all`
    #[arg(short = 'o', long, value_name = "OUT")]
    out: PathBuf,
    /// What stands beyond the picture's border: reflect, replicate, zero or wrap
    #[arg(long, value_enum, default_value = "reflect", hide_possible_values = true)]
    border: Border,
    /// Show the size of signed results instead of their sign
    #[arg(long)]
    absolute: bool,
    /// Draw the frequency response into this PNG file (`all` draws each filter's)
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(long)]
    force: bool,
}

/// In the place of a filter's name.
const ALL: &str = "all";

#[derive(Serialize)]
struct Filtered {
    filter: &'static str,
    /// The nine weights divided by the divisor; none for the median; both kernels of a magnitude.
    weights: serde_json::Value,
    /// Of the unclipped result, in units of the picture's samples.
    min: f64,
    max: f64,
    #[serde(skip)]
    out: PathBuf,
    #[serde(skip)]
    why: &'static str,
}

impl fmt::Display for Filtered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, max] = [self.min, self.max].map(number);
        writeln!(f, "{}: values {min} to {max}; {}", self.filter, self.out.display())?;
        writeln!(f, "  {}", self.why)
    }
}

fn weights(filter: &Filter) -> serde_json::Value {
    match filter.kind {
        Kind::Linear { weights, divisor } => {
            serde_json::json!(weights.map(|row| row.map(|w| f64::from(w) / f64::from(divisor))))
        }
        Kind::Magnitude { x, y } => serde_json::json!({ "x": x, "y": y }),
        Kind::Median => serde_json::Value::Null,
    }
}

impl FilterArgs {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        if self.name == ALL {
            let image = Image::open(&self.input)?;
            files::create_folder(&self.out)?;
            let mut all = Vec::new();
            for filter in &FILTERS {
                let [out, response] = ["", "-response"].map(|end| format!("{}{end}.png", filter.name));
                all.push(self.one(filter, &image, self.out.join(out), Some(self.out.join(response)))?);
            }
            return global.print(&List(all));
        }
        let filter = filters::find(&self.name)
            .ok_or_else(|| Error::input(format!("there is no filter `{}`", self.name)))?;
        if let (Kind::Median, Some(file)) = (filter.kind, &self.response) {
            return Err(Error::input(format!(
                "{}: the median is not linear and has no frequency response",
                file.display()
            ))
            .remedy("leave --response out"));
        }
        for file in std::iter::once(&self.out).chain(&self.response) {
            is_png(file)?;
        }
        let image = Image::open(&self.input)?;
        global.print(&self.one(filter, &image, self.out.clone(), self.response.clone())?)
    }

    fn one(
        &self,
        f: &'static Filter,
        image: &Image,
        out: PathBuf,
        response: Option<PathBuf>,
    ) -> Result<Filtered> {
        let out = new_file(out, self.force)?;
        let shown = if self.absolute { Shown::Absolute } else { Shown::Signed };
        let (min, max) = filter_to(&out, f, image, self.border, shown)?;
        // The median is not linear: it has no response, and `all` goes on without.
        if let (Some(path), Some(picture)) = (response, response_picture(f)) {
            picture.save_png(new_file(path, self.force)?)?;
        }
        Ok(Filtered { filter: f.name, weights: weights(f), min, max, out, why: f.why })
    }
}

/// Results are PNG: a name that says otherwise is a mistake.
fn is_png(file: &Path) -> Result<()> {
    let extension = file.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if ["jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff"].contains(&extension.as_str()) {
        return Err(Error::input(format!("{}: results are written as PNG", file.display()))
            .remedy("give it a name that ends in .png"));
    }
    Ok(())
}
