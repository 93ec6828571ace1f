//! Precision, recall and their harmonic mean F1 over the confidence from which detections count: what a least
//! score costs and gains.
//!
//! Of the detections with a score of at least s, at IoU 0.5 and of all areas, tp take an object and fp take
//! none; n objects count. Precision is tp / (tp + fp), recall tp / n, F1 = 2 tp / (tp + fp + n). All
//! categories are counted together, so that a common one weighs more.

use super::{CategoryResult, Evaluation};
use serde::Serialize;

/// What holds from a confidence on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtConfidence {
    /// The least score that counts.
    pub score: f64,
    /// The share of right ones among the detections.
    pub precision: f64,
    /// The share of found ones among the objects.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

impl Evaluation {
    /// A row for each score of a detection, the greatest first. None without objects.
    pub fn over_confidence(&self) -> Vec<AtConfidence> {
        let objects: usize = self.categories.iter().map(|c| c.objects[0]).sum();
        if objects == 0 {
            return Vec::new();
        }
        let mut outcomes: Vec<(f64, bool)> =
            self.categories.iter().flat_map(CategoryResult::outcomes).copied().collect();
        outcomes.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut hits, mut all) = (0, 0);
        let mut rows = Vec::new();
        for same in outcomes.chunk_by(|a, b| a.0 == b.0) {
            all += same.len();
            hits += same.iter().filter(|(_, hit)| *hit).count();
            let (tp, count, n) = (hits as f64, all as f64, objects as f64);
            rows.push(AtConfidence {
                score: same[0].0,
                precision: tp / count,
                recall: tp / n,
                f1: 2.0 * tp / (count + n),
            });
        }
        rows
    }

    /// Where F1 is greatest, and of equals the greatest score.
    pub fn best_confidence(&self) -> Option<AtConfidence> {
        self.over_confidence().into_iter().reduce(|best, row| if row.f1 > best.f1 { row } else { best })
    }
}
