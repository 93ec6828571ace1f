//! What the curves of precision and recall say in numbers: how far precision holds, which confidence serves F1 best,
//! and how many boxes that leaves.

use crate::metrics::coco::{AtConfidence, CategoryResult, Evaluation};
use crate::numbers::counted;
use serde::Serialize;

/// Precision of at least this much holds: nine boxes of ten are right.
pub const HOLDS: f64 = 0.9;

/// A detector's boxes over the confidence from which they count, at IoU 0.5.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curves {
    /// After which the weights are, counted from 1.
    pub epoch: usize,
    /// COCO's average precision.
    pub ap: f64,
    /// How many objects there are to find.
    pub objects: usize,
    /// The greatest recall at which the precision is [`HOLDS`] or more; 0 where it never is.
    pub holds: f64,
    /// Where F1 is greatest.
    pub best: Option<AtConfidence>,
    /// How many boxes are at least that sure.
    pub boxes: usize,
    /// Where every box counts.
    pub all: Option<AtConfidence>,
    /// How many these are.
    pub every: usize,
}

impl Curves {
    /// Of an evaluation of boxes.
    pub fn of(e: &Evaluation, epoch: usize) -> Self {
        let scores = || e.categories.iter().flat_map(CategoryResult::outcomes).map(|(score, _)| *score);
        let (rows, best) = (e.over_confidence(), e.best_confidence());
        let holds = rows.iter().filter(|row| row.precision >= HOLDS).map(|row| row.recall);
        Curves {
            epoch,
            ap: e.stats[0],
            objects: e.categories.iter().map(|c| c.objects[0]).sum(),
            holds: holds.fold(0.0, f64::max),
            best,
            boxes: best.map_or(0, |best| scores().filter(|score| *score >= best.score).count()),
            all: rows.last().copied(),
            every: scores().count(),
        }
    }

    /// What the curve of precision over recall shows.
    pub fn precision_recall(&self) -> String {
        let Some(all) = self.all else { return "Nothing was found, so that there is no curve.".into() };
        let bends = if self.holds > 0.0 {
            format!("At IoU 0.50 the precision is {HOLDS} or more up to a recall of {:.2}", self.holds)
        } else {
            format!("At IoU 0.50 the precision never is {HOLDS}")
        };
        format!(
            "{bends}; with every box, {} for {}, the recall is {:.2} and the precision {:.2}.",
            counted(self.every, "box", "boxes"),
            counted(self.objects, "object", "objects"),
            all.recall,
            all.precision
        )
    }

    /// What the curves over the confidence show.
    pub fn confidence(&self) -> String {
        let Some(best) = self.best else { return "Nothing was found, so that there is no curve.".into() };
        format!(
            "F1 is greatest, {:.2}, from a confidence of {:.2} on: {} of {}, for {}, with precision {:.2} and recall {:.2}.",
            best.f1,
            best.score,
            self.boxes,
            counted(self.every, "box", "boxes"),
            counted(self.objects, "object", "objects"),
            best.precision,
            best.recall
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::coco::{Category, Detection, GroundTruth, Kind, Truth, evaluate};

    /// Three objects; two boxes are right, then one is wrong, then one is right.
    fn curves(scores: &[(f64, f64)]) -> Curves {
        let b = |x: f64| [x, 0.0, 10.0, 10.0];
        let truth = |i: usize| Truth {
            image: 1,
            category: 1,
            bbox: b(20.0 * i as f64),
            area: 100.0,
            crowd: false,
            id: i as i64 + 1,
            mask: None,
        };
        let truth = GroundTruth {
            images: vec![1],
            categories: vec![Category { id: 1, name: "person".into() }],
            truths: (0..3).map(truth).collect(),
        };
        let found: Vec<_> = scores.iter().map(|&(score, x)| Detection::of_box(1, 1, score, b(x))).collect();
        Curves::of(&evaluate(&truth, &found, Kind::Box).unwrap(), 4)
    }

    #[test]
    fn words_follow_the_curves() {
        let c = curves(&[(0.9, 0.0), (0.8, 20.0), (0.7, 200.0), (0.6, 40.0)]);
        assert_eq!((c.epoch, c.objects, c.boxes, c.every), (4, 3, 4, 4));
        assert_eq!(
            c.precision_recall(),
            "At IoU 0.50 the precision is 0.9 or more up to a recall of 0.67; with every box, 4 boxes for 3 objects, the \
             recall is 1.00 and the precision 0.75."
        );
        assert_eq!(
            c.confidence(),
            "F1 is greatest, 0.86, from a confidence of 0.60 on: 4 of 4 boxes, for 3 objects, with precision 0.75 and \
             recall 1.00."
        );
        let c = curves(&[(0.9, 0.0), (0.8, 20.0), (0.7, 200.0), (0.6, 300.0)]);
        assert!(
            c.confidence().starts_with("F1 is greatest, 0.80, from a confidence of 0.80 on: 2 of 4 boxes")
        );
        let c = curves(&[(0.9, 200.0), (0.8, 20.0)]);
        assert!(c.precision_recall().starts_with("At IoU 0.50 the precision never is 0.9;"));
        assert!(curves(&[]).confidence().starts_with("Nothing was found"));
    }
}
