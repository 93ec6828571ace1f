//! A detector's judgement in pictures: how precision and recall go together, one over the other and both over
//! the confidence from which detections count, and which class was found in place of which.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files;
use crate::image::Image;
use crate::metrics::coco::{AtConfidence, CategoryResult, Evaluation, recalls};
use crate::metrics::confusion::Confusion;
use crate::plot::{self, Chart, Series};
use crate::run::ScoreCounts;

use super::classifier::CONFUSION;
use super::detection::{Judgement, SURE, shown};

/// Precision over recall.
pub const PRECISION_RECALL: &str = "PR_curve.png";
/// Precision, recall and F1 over confidence.
pub const CONFIDENCE: &str = "F1_curve.png";
/// A confusion matrix's counts.
pub const CONFUSION_JSON: &str = "confusion_matrix.json";

/// All that [`leave`] writes.
pub const FILES: [&str; 4] = [PRECISION_RECALL, CONFIDENCE, CONFUSION, CONFUSION_JSON];

/// Leaves the pictures in a folder, and the counts of the confusion matrix as JSON.
///
/// # Errors
/// A file cannot be written.
pub fn leave(judged: &Judgement, folder: &Path) -> Result<()> {
    of_each(judged, precision_recall).save_png(folder.join(PRECISION_RECALL))?;
    of_each(judged, confidence).save_png(folder.join(CONFIDENCE))?;
    let title = format!("boxes from score {SURE}, IoU 0.50");
    plot::confusion(&title, &judged.confusion).save_png(folder.join(CONFUSION))?;
    leave_matrix(&judged.confusion, folder)
}

/// Leaves a confusion matrix in a folder as JSON.
///
/// # Errors
/// The file cannot be written.
pub fn leave_matrix(confusion: &Confusion, folder: &Path) -> Result<()> {
    let text = serde_json::to_string(confusion).map_err(|e| Error::failure(format!("JSON: {e}")))?;
    files::write_atomic(folder.join(CONFUSION_JSON), text.as_bytes())
}

/// Counts at the least scores 0, 0.01, ..., 1, for TensorBoard.
pub fn counts(judged: &Judgement) -> Vec<ScoreCounts> {
    let all = [("box", Some(&judged.boxes)), ("mask", judged.masks.as_ref())];
    let of = |tag: &str, e: &Evaluation| {
        let outcomes = || e.categories.iter().flat_map(CategoryResult::outcomes);
        let from = |least: f64, wanted: bool| {
            outcomes().filter(|(score, hit)| *score >= least && *hit == wanted).count() as u64
        };
        let found = recalls().map(|least| [from(least, true), from(least, false)]).to_vec();
        let objects = e.categories.iter().map(|c| c.objects[0] as u64).sum();
        ScoreCounts { tag: tag.into(), found, objects }
    };
    all.into_iter().filter_map(|(tag, e)| Some(of(tag, e?))).collect()
}

/// A chart of boxes and, where there are masks, one of masks.
fn of_each(judged: &Judgement, chart: impl Fn(&str, &Evaluation) -> Chart) -> Image {
    let all = [("boxes", Some(&judged.boxes)), ("masks", judged.masks.as_ref())];
    let charts: Vec<Chart> = all.into_iter().filter_map(|(what, e)| Some(chart(what, e?))).collect();
    plot::grid(&charts, 2)
}

/// At IoU 0.5, 0.75 and 0.9.
fn precision_recall(what: &str, e: &Evaluation) -> Chart {
    let [ap, ap50, ap75] = [0, 1, 2].map(|k| shown(e.stats[k]));
    let title = format!("{what}: AP {ap}, AP50 {ap50}, AP75 {ap75}");
    let mut chart = Chart::new(title, "recall", "precision").x_range(0.0, 1.0).y_range(0.0, 1.0);
    for (t, iou) in [(0, "IoU 0.50"), (5, "IoU 0.75"), (8, "IoU 0.90")] {
        if let Some(precision) = e.precision(t) {
            chart = chart.with(Series::line(iou, recalls().into_iter().zip(precision).collect()));
        }
    }
    chart
}

/// At IoU 0.5, with the confidence of the greatest F1.
fn confidence(what: &str, e: &Evaluation) -> Chart {
    let (rows, best) = (e.over_confidence(), e.best_confidence());
    let title = match best {
        Some(best) => format!("{what}: F1 {:.2} at a confidence of {:.2}", best.f1, best.score),
        None => format!("{what}: none were found"),
    };
    let chart = Chart::new(title, "confidence", "share (IoU 0.50)").x_range(0.0, 1.0).y_range(0.0, 1.0);
    let chart = best.iter().fold(chart, |chart, best| chart.mark(best.score, "greatest F1"));
    // The names stand at the right, where the confidence is greatest.
    let curve = |of: fn(&AtConfidence) -> f64| rows.iter().rev().map(|row| (row.score, of(row))).collect();
    chart
        .with(Series::line("precision", curve(|row| row.precision)))
        .with(Series::line("recall", curve(|row| row.recall)))
        .with(Series::line("F1", curve(|row| row.f1)))
}
