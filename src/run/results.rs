//! `results.csv` and `results.png`: a row an epoch, and the curves.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::image::{Image, palette};
use crate::plot::{Chart, Scale, Series, Style, grid};

pub(super) const CSV: &str = "results.csv";
pub(super) const PNG: &str = "results.png";
/// More than a table of a million epochs.
const TEXT: u64 = 128 << 20;

/// Whether it is COCO's -1: a precision or a recall of objects of which there are none.
fn undefined(quantity: &str, value: f64) -> bool {
    value == -1.0 && (quantity.starts_with("AP") || quantity.starts_with("AR"))
}

/// A detector's panels: title, axis, and the quantities in them with their names there.
const TOGETHER: [(&str, &str, &[(&str, &str)]); 6] = [
    (
        "Losses",
        "mean loss (nats)",
        &[
            ("loss", "all"),
            ("loss_objectness", "objectness"),
            ("loss_rpn_box_reg", "proposals"),
            ("loss_classifier", "classes"),
            ("loss_box_reg", "boxes"),
            ("loss_mask", "masks"),
        ],
    ),
    ("Average precision", "AP", &[("AP", "AP"), ("AP50", "AP50"), ("AP75", "AP75")]),
    (
        "Average precision by size",
        "AP",
        &[("AP_small", "small"), ("AP_medium", "medium"), ("AP_large", "large")],
    ),
    ("Average recall", "AR", &[("AR1", "1 a picture"), ("AR10", "10"), ("AR100", "100")]),
    ("Learning rate", "learning rate", &[("lr", "")]),
    ("Speed of training", "rate (images/s)", &[("images_per_second", "")]),
];

#[derive(Debug)]
pub(super) struct Results {
    path: PathBuf,
    names: Vec<String>,
    rows: Vec<(usize, Vec<f64>)>,
}

impl Results {
    /// The folder's table; an empty one where there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CSV);
        let mut table = Results { path, names: Vec::new(), rows: Vec::new() };
        if files::exists(&table.path)? {
            let bytes = files::read(&table.path, TEXT)?;
            table.parse(&String::from_utf8_lossy(&bytes))?;
        }
        Ok(table)
    }

    fn parse(&mut self, text: &str) -> Result<()> {
        let mut lines = text.lines();
        self.names = lines.next().unwrap_or_default().split(',').skip(1).map(String::from).collect();
        for (i, line) in lines.enumerate() {
            let row = line.split_once(',').and_then(|(epoch, values)| {
                let values: Option<Vec<f64>> = values.split(',').map(|v| v.parse().ok()).collect();
                Some((epoch.parse().ok()?, values.filter(|v| v.len() == self.names.len())?))
            });
            let damaged = || {
                Error::input(format!("is damaged in line {}", i + 2))
                    .in_file(&self.path)
                    .remedy("remove the line and those after it, or begin again with --force")
            };
            self.rows.push(row.ok_or_else(damaged)?);
        }
        Ok(())
    }

    /// The last epoch; 0 where there is none.
    pub fn last(&self) -> usize {
        self.rows.last().map_or(0, |r| r.0)
    }

    pub fn rewind(&mut self, epoch: usize) -> Result<()> {
        if self.last() <= epoch {
            return Ok(());
        }
        self.rows.retain(|r| r.0 <= epoch);
        self.write()
    }

    pub fn push(&mut self, epoch: usize, values: &[(&str, f64)]) -> Result<()> {
        if self.rows.is_empty() {
            self.names = values.iter().map(|v| v.0.to_string()).collect();
        }
        if !self.names.iter().eq(values.iter().map(|v| v.0)) {
            return Err(Error::failure("the quantities of an epoch differ from those of the one before")
                .in_file(&self.path));
        }
        self.rows.push((epoch, values.iter().map(|v| v.1).collect()));
        self.write()
    }

    fn write(&self) -> Result<()> {
        let mut text = format!("epoch,{}\n", self.names.join(","));
        for (epoch, values) in &self.rows {
            let values: Vec<String> = values.iter().map(f64::to_string).collect();
            text += &format!("{epoch},{}\n", values.join(","));
        }
        files::write_atomic(&self.path, text.as_bytes())
    }

    /// The curves to look at: a detector's many quantities in the panels of [`TOGETHER`], others by
    /// themselves, and beside them the losses of steps.
    pub fn image(&self, steps: Vec<(f64, f64)>) -> Image {
        let detector = self.names.iter().any(|name| name.ends_with("/AP"));
        let charts: Vec<Chart> = match detector {
            true => TOGETHER.iter().filter_map(|panel| self.together(panel)).collect(),
            false => {
                let of_steps = Chart::new("Loss of steps", "step", "loss (nats)").x_scale(Scale::Whole);
                let of_steps = (!steps.is_empty()).then(|| of_steps.with(Series::line("", steps)));
                self.charts().into_iter().map(|c| c.1).chain(of_steps).collect()
            }
        };
        grid(&charts, if charts.len() > 4 { 3 } else { 2 })
    }

    /// Several quantities in a panel, if there are any; those of masks are dashed.
    fn together(&self, (title, axis, quantities): &(&str, &str, &[(&str, &str)])) -> Option<Chart> {
        let mut chart = panel(quantities[0].0);
        if quantities.len() > 1 {
            chart = Chart::new(*title, "epoch", *axis).x_scale(Scale::Whole).y_range(0.0, 0.0);
        }
        let mut drawn = false;
        for (k, (quantity, says)) in quantities.iter().enumerate() {
            for (i, name) in self.names.iter().enumerate() {
                let (part, own) = name.split_once('/').unwrap_or(("", name));
                let defined = self.rows.iter().any(|row| !undefined(own, row.1[i]));
                if own == *quantity && defined {
                    let masks = part == "mask";
                    let says = if masks { format!("{says}, masks") } else { says.to_string() };
                    let style = if masks { Style::Dashed } else { style(quantity) };
                    chart = chart.with(Series::new(says, self.points(i), style).color(palette(k)));
                    drawn = true;
                }
            }
        }
        drawn.then_some(chart)
    }

    fn points(&self, column: usize) -> Vec<(f64, f64)> {
        let quantity = self.names[column].rsplit('/').next().unwrap_or_default();
        let value = |v: f64| if undefined(quantity, v) { f64::NAN } else { v };
        self.rows.iter().map(|(epoch, values)| (*epoch as f64, value(values[column]))).collect()
    }

    /// Each quantity and its curves: those of one name share a panel.
    pub fn charts(&self) -> Vec<(String, Chart)> {
        let columns: Vec<(&str, &str)> =
            self.names.iter().map(|n| n.split_once('/').unwrap_or(("", n))).collect();
        let mut quantities: Vec<&str> = Vec::new();
        for (i, (_, quantity)) in columns.iter().enumerate() {
            let nothing = !self.rows.is_empty() && self.rows.iter().all(|r| undefined(quantity, r.1[i]));
            if !quantities.contains(quantity) && !nothing {
                quantities.push(quantity);
            }
        }
        let chart = |quantity: &&str| {
            let parts = columns.iter().enumerate().filter(|(_, c)| c.1 == *quantity);
            let filled = parts.fold(panel(quantity), |chart, (i, (part, _))| self.add_curve(chart, i, part));
            (quantity.to_string(), filled)
        };
        quantities.iter().map(chart).collect()
    }

    fn add_curve(&self, chart: Chart, column: usize, part: &str) -> Chart {
        let name = match part {
            "train" => "training",
            "val" => "validation",
            other => other,
        };
        let quantity = self.names[column].rsplit('/').next().unwrap_or_default();
        let chart = chart.with(Series::new(name, self.points(column), style(quantity)));
        if self.names[column] == "val/loss" { self.mark_least(column, chart) } else { chart }
    }

    fn mark_least(&self, column: usize, chart: Chart) -> Chart {
        let finite = self.rows.iter().filter(|r| r.1[column].is_finite());
        match finite.min_by(|a, b| a.1[column].total_cmp(&b.1[column])) {
            Some((epoch, _)) if self.rows.len() > 1 => {
                chart.mark(*epoch as f64, format!("least: epoch {epoch}"))
            }
            _ => chart,
        }
    }
}

/// A rate stays for an epoch and jumps to the next one's.
fn style(quantity: &str) -> Style {
    if quantity == "lr" { Style::Steps } else { Style::Line }
}

/// The empty panel of a quantity, with its unit.
fn panel(quantity: &str) -> Chart {
    let words = quantity.replace('_', " ");
    let (title, unit, scale) = match quantity {
        "loss" => ("Loss", "mean loss (nats)", Scale::Linear),
        "accuracy" => ("Accuracy", "right answers (%)", Scale::Percent),
        "lr" => ("Learning rate", "learning rate", Scale::Linear),
        "seconds" => ("Time of an epoch", "time (s)", Scale::Linear),
        "images_per_second" => ("Speed of training", "rate (images/s)", Scale::Linear),
        _ => (words.as_str(), words.as_str(), Scale::Linear),
    };
    let chart = Chart::new(title, "epoch", unit).x_scale(Scale::Whole).y_scale(scale);
    // What fluctuates about a constant is shown from zero, so that it looks constant.
    if matches!(quantity, "lr" | "seconds" | "images_per_second") { chart.y_range(0.0, 0.0) } else { chart }
}
