//! `gradus iou`: how much two boxes overlap, the gradient, and where there is none.

use super::options::Global;
use super::output::draw;
use crate::error::{Error, Result};
use crate::lessons::iou::{charts, judge};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gradus_models::detection::boxes::{BBox, Metric, check};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Intersection over union of two boxes, its gradient, its kinks
///
/// A box is x1,y1,x2,y2 with x1 <= x2 and y1 <= y2. IoU lies in [0, 1]. It has kinks where edges meet, and a
/// plateau: for boxes that are apart value and gradient are exactly 0, so that a loss made of it says nothing
/// about where to go. GIoU, DIoU and CIoU do.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus iou 0,0,4,2 1,1,5,3
  gradus iou 0,0,1,1 5,5,6,6 --metric giou      apart: IoU's gradient is 0, GIoU's is not
  gradus iou -1,-1,1,1 0,0,2,2
  gradus iou --field -o pictures                value and gradient as a box moves")]
pub struct Iou {
    /// The two boxes
    #[arg(value_name = "BOX", num_args = 0..=2)]
    boxes: Vec<String>,
    /// iou, giou, diou or ciou
    #[arg(long, default_value = "iou", value_parser = PossibleValuesParser::new(Metric::ALL.map(Metric::name)).map(metric), hide_possible_values = true)]
    metric: Metric,
    /// Draw values and gradients as one box moves past another
    #[arg(long, requires = "out", conflicts_with = "boxes")]
    field: bool,
    /// Where the pictures go
    #[arg(short = 'o', long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite pictures
    #[arg(long)]
    force: bool,
}

/// The metric of one of the names.
fn metric(name: String) -> Metric {
    Metric::ALL.into_iter().find(|m| m.name() == name).unwrap_or(Metric::ALL[0])
}

#[derive(Serialize)]
struct Field {
    pictures: Vec<String>,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pictures.iter().try_for_each(|p| writeln!(f, "picture: {p}"))
    }
}

/// With greater coordinates or smaller sides, areas or their squares would leave the range of floating point.
const GREATEST: f64 = 1e75;

fn parse(text: &str) -> Result<BBox<f64>> {
    let wrong = || {
        Error::input(format!("`{text}` is not a box"))
            .remedy("write x1,y1,x2,y2 without spaces, such as 0,0,4,2")
    };
    let numbers: Vec<f64> =
        text.split(',').map(|t| t.trim().parse()).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let b: BBox<f64> = numbers.try_into().map_err(|_| wrong())?;
    check(&b).map_err(Error::input)?;
    let thin = |side: f64| side > 0.0 && side < 1.0 / GREATEST;
    if b.iter().any(|v| v.abs() > GREATEST) || thin(b[2] - b[0]) || thin(b[3] - b[1]) {
        return Err(Error::input(format!("box {text}: its area is beyond the range of the numbers"))
            .remedy("scale both boxes alike, IoU does not change"));
    }
    Ok(b)
}

impl Iou {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        if let (true, Some(out)) = (self.field, &self.out) {
            return global.print(&Field { pictures: draw(out, self.force, charts())? });
        }
        if self.out.is_some() {
            return Err(Error::input("-o is where the pictures of --field go, and two boxes draw none")
                .remedy("leave out -o, or draw a moving box: gradus iou --field -o DIR"));
        }
        let [a, b] = &self.boxes[..] else {
            return Err(Error::input("two boxes are needed").remedy("such as: gradus iou 0,0,4,2 1,1,5,3"));
        };
        let (a, b) = (parse(a)?, parse(b)?);
        global.print(&judge(self.metric, &a, &b))
    }
}
