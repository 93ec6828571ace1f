//! How a detector's precision and recall go together: one over the other, and both over the confidence from
//! which detections count.

use crate::image::Image;
use crate::metrics::coco::{AtConfidence, CategoryResult, Evaluation, recalls};
use crate::plot::{self, Chart, Series};
use crate::run::ScoreCounts;

use super::detection::{Judgement, shown};

/// Precision over recall.
pub const PRECISION_RECALL: &str = "PR_curve.png";
/// Precision, recall and F1 over confidence.
pub const CONFIDENCE: &str = "F1_curve.png";

/// The pictures and the names of their files.
pub fn all(judged: &Judgement) -> [(&'static str, Image); 2] {
    [(PRECISION_RECALL, of_each(judged, precision_recall)), (CONFIDENCE, of_each(judged, confidence))]
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
