//! `gradus iou`: how much two boxes overlap, the gradient, and where there is none.

use super::Global;
use crate::error::{Error, Result};
use crate::files;
use crate::plot::{Chart, Series, Style};
use clap::Args;
use gradus_models::detection::boxes::{BBox, Metric, Relation, check, kinks, relation};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

const COORDINATES: [&str; 4] = ["x1", "y1", "x2", "y2"];

/// Intersection over union of two boxes, its gradient, its kinks
///
/// A box is x1,y1,x2,y2 with x1 <= x2 and y1 <= y2. IoU lies in [0, 1]. It has kinks where edges meet, and a plateau: for
/// boxes that are apart value and gradient are exactly 0, so that a loss made of it says nothing about where to go. GIoU,
/// DIoU and CIoU do.
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
    #[arg(long, default_value = "iou", value_parser = metric)]
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

fn metric(text: &str) -> Result<Metric, String> {
    let found = Metric::ALL.into_iter().find(|m| m.name() == text);
    found.ok_or_else(|| "choose iou, giou, diou or ciou".to_string())
}

#[derive(Serialize)]
struct Gradient {
    a: BBox<f64>,
    b: BBox<f64>,
}

#[derive(Serialize)]
struct KinkReport {
    coordinate: &'static str,
    meets: &'static str,
    jump: f64,
}

#[derive(Serialize)]
struct IouReport {
    metric: &'static str,
    value: f64,
    gradient: Gradient,
    kinks: Vec<KinkReport>,
    plateau: bool,
    #[serde(skip)]
    relation: Relation,
}

impl fmt::Display for IouReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} = {}", self.metric, self.value)?;
        writeln!(f, "  gradient: a {:?}, b {:?}", self.gradient.a, self.gradient.b)?;
        let said = match self.relation {
            Relation::Overlapping => "the boxes overlap",
            Relation::TouchingEdge => "the boxes touch along an edge: here the plateau begins, with a kink",
            Relation::TouchingCorner => "the boxes share no area, and the gradient of IoU is 0",
            Relation::Disjoint => "the boxes are apart: IoU is 0 all around, its gradient exactly 0",
        };
        writeln!(f, "  {said}")?;
        for k in &self.kinks {
            writeln!(
                f,
                "  kink of IoU: {} of a meets {} of b; the one-sided derivatives differ by {}",
                k.coordinate, k.meets, k.jump
            )?;
        }
        if self.plateau {
            writeln!(f, "  a plateau: no step of descent moves these boxes")?;
        }
        Ok(())
    }
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
            return global.print(&Field { pictures: draw(out, self.force)? });
        }
        if self.out.is_some() {
            return Err(Error::input("-o is where the pictures of --field go, and two boxes draw none")
                .remedy("leave out -o, or draw a moving box: gradus iou --field -o DIR"));
        }
        let [a, b] = &self.boxes[..] else {
            return Err(Error::input("two boxes are needed").remedy("such as: gradus iou 0,0,4,2 1,1,5,3"));
        };
        let (a, b) = (parse(a)?, parse(b)?);
        let (value, da, db) = self.metric.gradient(&a, &b);
        let kink = |k: gradus_models::detection::boxes::Kink<f64>| KinkReport {
            coordinate: COORDINATES[k.coordinate],
            meets: COORDINATES[k.meets],
            jump: k.jump,
        };
        let relation = relation(&a, &b);
        let kinks: Vec<KinkReport> = if self.metric == Metric::Iou {
            kinks(&a, &b).into_iter().map(kink).collect()
        } else {
            Vec::new()
        };
        let flat = da.iter().chain(&db).all(|d| *d == 0.0);
        let plateau = flat && kinks.is_empty() && relation == Relation::Disjoint;
        global.print(&IouReport {
            metric: self.metric.name(),
            value,
            gradient: Gradient { a: da, b: db },
            kinks,
            plateau,
            relation,
        })
    }
}

/// Value and derivative of each metric as the box [t, 0.5, t + 1, 1.5] moves past [0, 0, 1, 1].
pub fn charts() -> [Chart; 2] {
    let fixed = [0.0, 0.0, 1.0, 1.0];
    let mut value =
        Chart::new("A unit box moves past another (half a box lower)", "offset (box widths)", "value");
    let mut slope = Chart::new(
        "The derivative: IoU's is 0 wherever the boxes are apart",
        "offset (box widths)",
        "d value / d offset",
    );
    for metric in Metric::ALL {
        let at = |i: i32| {
            // Between the kinks, not on them.
            let t = (f64::from(i) + 0.5) / 100.0;
            let (v, da, _) = metric.gradient(&[t, 0.5, t + 1.0, 1.5], &fixed);
            (t, v, da[0] + da[2])
        };
        let samples: Vec<_> = (-300..300).map(at).collect();
        let name = metric.name().to_uppercase().replace("IOU", "IoU");
        // Boxes of one shape: CIoU is DIoU, and lies upon it.
        let style = if metric == Metric::Ciou { Style::Dashed } else { Style::Line };
        value = value.with(Series::new(&name, samples.iter().map(|s| (s.0, s.1)).collect(), style));
        slope = slope.with(Series::new(&name, samples.iter().map(|s| (s.0, s.2)).collect(), style));
    }
    [value, slope]
}

fn draw(out: &Path, force: bool) -> Result<Vec<String>> {
    files::create_folder(out)?;
    let mut pictures = Vec::new();
    for (name, chart) in ["iou-value.png", "iou-gradient.png"].into_iter().zip(charts()) {
        let file = super::new_file(out.join(name), force)?;
        chart.image().save_png(&file)?;
        pictures.push(file.display().to_string());
    }
    Ok(pictures)
}
