//! The overlap of two boxes, told and drawn: value and gradient, kinks by name, whether descent can move the
//! boxes, and charts of every metric as one box moves past another.

use super::kinks::{Relation, kinks, relation};
use crate::numbers::{number, numbers};
use crate::plot::{Chart, Series, Style};
use gradus_models::detection::boxes::{BBox, Metric, area, overlap};
use gradus_models::scalar::Dual;
use serde::Serialize;
use std::fmt;

const COORDINATES: [&str; 4] = ["x1", "y1", "x2", "y2"];

/// A gradient with respect to two boxes.
#[derive(Clone, Debug, Serialize)]
pub struct Gradient {
    /// To the first.
    pub a: BBox<f64>,
    /// To the second.
    pub b: BBox<f64>,
}

/// A [`Kink`](super::kinks::Kink) whose coordinates have names.
#[derive(Clone, Debug, Serialize)]
pub struct NamedKink {
    /// Of the first box.
    pub coordinate: &'static str,
    /// The coordinate of the second that it meets.
    pub meets: &'static str,
    /// By how much the one-sided derivatives differ.
    pub jump: f64,
}

/// What there is to say about a metric of two boxes.
#[derive(Clone, Debug, Serialize)]
pub struct IouReport {
    /// The metric's name.
    pub metric: &'static str,
    /// Its value.
    pub value: f64,
    /// Its gradient.
    pub gradient: Gradient,
    /// The kinks, told of IoU alone.
    pub kinks: Vec<NamedKink>,
    /// Whether no step of descent moves the boxes.
    pub plateau: bool,
    /// How the boxes lie to each other.
    #[serde(skip)]
    pub relation: Relation,
    /// IoU as a fraction of whole numbers, of boxes with small whole coordinates.
    #[serde(skip)]
    pub fraction: Option<[u64; 2]>,
}

/// Intersection over union in lowest terms, if all coordinates are whole and so small that nothing is
/// rounded.
fn fraction(a: &BBox<f64>, b: &BBox<f64>) -> Option<[u64; 2]> {
    let whole = |v: &f64| v.fract() == 0.0 && v.abs() < 1e5;
    if !a.iter().chain(b).all(whole) {
        return None;
    }
    let [w, h] = overlap(a, b);
    let shared = w * h;
    let [i, u] = [shared, area(a) + area(b) - shared].map(|v| v as u64);
    let (mut greatest, mut rest) = (u, i);
    while rest > 0 {
        (greatest, rest) = (rest, greatest % rest);
    }
    (i > 0 && u / greatest > 1).then(|| [i / greatest, u / greatest])
}

/// The kinks of IoU, by the coordinates' names.
pub fn named_kinks(a: &BBox<f64>, b: &BBox<f64>) -> Vec<NamedKink> {
    let name = |i: usize| COORDINATES[i];
    let kinks = kinks(a, b).into_iter();
    kinks.map(|k| NamedKink { coordinate: name(k.coordinate), meets: name(k.meets), jump: k.jump }).collect()
}

/// How GIoU grows if box a moves as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Push {
    /// The derivatives as the box moves to the right, and down.
    pub by: [f64; 2],
    /// What they mean, or why both are 0.
    pub says: &'static str,
}

/// How GIoU grows if box a moves as a whole: a step along its gradient moves the box there. Along an axis where
/// one box reaches beyond the other at both ends, a small move changes neither the overlap nor the box around
/// both; along any other GIoU changes.
pub fn push(a: &BBox<f64>, b: &BBox<f64>) -> Push {
    // One variable moves both coordinates of an axis: what cancels does so exactly.
    let moving: BBox<Dual<f64, 2>> = std::array::from_fn(|i| Dual::variable(a[i], i % 2));
    let by = Metric::Giou.of(&moving, &b.map(|v| Dual { value: v, d: [0.0; 2] })).d;
    let meet = (0..4).any(|i| a[i] == b[i] || a[i] == b[(i + 2) % 4]);
    let says = if a == b {
        "The boxes are the same: GIoU is 1, and cannot grow."
    } else if by == [0.0; 2] {
        "Along both axes one box lies within the other: a small move of box a changes neither the overlap nor the \
         box around both, and GIoU does not say where to go."
    } else if meet {
        "Edges meet, where GIoU can have a kink: the slope is the mean of both sides' where like edges meet, and \
         that of the overlapping side where unlike ones touch."
    } else {
        "The arrow points where GIoU grows fastest if box a moves as a whole."
    };
    Push { by, says }
}

/// The metric of two boxes, its gradient, and where it has none.
pub fn judge(metric: Metric, a: &BBox<f64>, b: &BBox<f64>) -> IouReport {
    let (value, da, db) = metric.gradient(a, b);
    let relation = relation(a, b);
    let kinks = if metric == Metric::Iou { named_kinks(a, b) } else { Vec::new() };
    let flat = da.iter().chain(&db).all(|d| *d == 0.0);
    let plateau = flat && kinks.is_empty() && relation == Relation::Disjoint;
    let fraction = if metric == Metric::Iou { fraction(a, b) } else { None };
    let gradient = Gradient { a: da, b: db };
    IouReport { metric: metric.name(), value, gradient, kinks, plateau, relation, fraction }
}

impl fmt::Display for IouReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exactly = self.fraction.map(|[i, u]| format!("{i}/{u} = ")).unwrap_or_default();
        writeln!(f, "{} = {exactly}{}", self.metric, number(self.value))?;
        let column = |text: &str| format!("{text:>13}");
        writeln!(f, "  gradient by {}", COORDINATES.map(column).concat())?;
        let [a, b] = [self.gradient.a, self.gradient.b];
        let all = numbers([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]).map(|v| column(&v));
        writeln!(f, "    of a      {}\n    of b      {}", all[..4].concat(), all[4..].concat())?;
        let said = match self.relation {
            Relation::Overlapping => "the boxes overlap",
            Relation::TouchingEdge => "the boxes touch along an edge: here the plateau begins, with a kink",
            Relation::TouchingCorner => "the boxes share no area, and the gradient of IoU is 0",
            Relation::Disjoint => "the boxes are apart: IoU is 0 all around, its gradient exactly 0",
        };
        writeln!(f, "  {said}")?;
        for NamedKink { coordinate, meets, jump } in &self.kinks {
            write!(f, "  kink of IoU: {coordinate} of a meets {meets} of b; ")?;
            writeln!(f, "the one-sided derivatives differ by {}", number(*jump))?;
        }
        if self.metric != Metric::Iou.name() {
            writeln!(f, "  (where a metric has kinks is told of iou alone)")?;
        }
        if self.value.is_nan() {
            writeln!(f, "  CIoU compares the boxes' shapes, and one of these is a point, which has none")?;
        }
        if self.plateau {
            writeln!(f, "  a plateau: no step of descent moves these boxes")?;
        }
        Ok(())
    }
}

/// Value and derivative of each metric as the box [t, 0.5, t + 1, 1.5] moves past [0, 0, 1, 1], and the
/// charts' names.
pub fn charts() -> [(&'static str, Chart); 2] {
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
        // Where edges meet, at -1, 0 and 1, the derivative jumps: a gap, not a steep line.
        let kinked = |k: usize| [-100, 0, 100].contains(&(k as i32 - 300));
        let gap = |k: usize, t: f64| kinked(k).then_some((t, f64::NAN));
        let pieces =
            samples.iter().enumerate().flat_map(|(k, s)| gap(k, s.0).into_iter().chain([(s.0, s.2)]));
        slope = slope.with(Series::new(&name, pieces.collect(), style));
    }
    [("iou-value", value), ("iou-gradient", slope)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_goes_where_giou_grows() {
        let b = [3.0, 3.0, 6.0, 7.0];
        for a in [[0.1, 0.2, 2.0, 1.7], [2.3, 3.1, 4.0, 4.9], [5.0, 1.0, 9.0, 5.0], [3.5, 1.0, 5.5, 2.0]] {
            let Push { by, says } = push(&a, &b);
            let at = |x: f64, y: f64| Metric::Giou.of(&[a[0] + x, a[1] + y, a[2] + x, a[3] + y], &b);
            for (i, numeric) in
                [at(1e-6, 0.0) - at(-1e-6, 0.0), at(0.0, 1e-6) - at(0.0, -1e-6)].iter().enumerate()
            {
                assert!((numeric / 2e-6 - by[i]).abs() < 1e-8, "{a:?}: {by:?}");
            }
            assert!(says.contains("fastest") && at(1e-3 * by[0], 1e-3 * by[1]) > at(0.0, 0.0), "{a:?}");
        }
    }

    #[test]
    fn nothing_pushes_a_box_within_another() {
        let b = [0.1, 0.2, 7.3, 9.1];
        let nothing = |a, why: &str| {
            let Push { by, says } = push(&a, &b);
            assert!(by == [0.0; 2] && says.contains(why), "{a:?}: {by:?} {says}");
            assert_eq!(push(&b, &a).by, [0.0; 2]);
        };
        for a in [[0.3, 0.7, 1.9, 2.3], [-0.1, 0.1, 7.7, 9.3], [-1.3, 3.1, 8.9, 4.7]] {
            nothing(a, "within the other");
        }
        nothing(b, "the same");
        // It sticks out at one end; and where edges meet, a move to one side changes something.
        assert!(push(&[0.3, 0.7, 1.9, 9.2], &b).by[1] < 0.0);
        let met = push(&[0.1, 0.7, 1.9, 2.3], &b);
        assert!(met.by[0] > 0.0 && met.by[1] == 0.0 && met.says.contains("kink"), "{met:?}");
    }
}
