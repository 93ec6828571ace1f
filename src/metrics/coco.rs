//! COCO's detection metrics: average precision and average recall, for boxes and for masks.
//!
//! Within an image and a category, detections in descending order of score each take the best object not yet
//! taken whose IoU reaches a threshold. Over all images, again in descending order, true positives tp and
//! false positives fp accumulate: recall tp / n, precision tp / (tp + fp), where n counts the objects.
//! Precision is made non-increasing from the right; *average precision* (AP) is its mean at the recalls 0,
//! 0.01, ..., 1 (0 where a recall is never reached), and *average recall* (AR) the last recall. Both are then
//! averaged over the IoU thresholds 0.50, 0.55, ..., 0.95 and over the categories that have objects.
//!
//! What is neither right nor wrong: crowd regions and objects outside an area range are *ignored*; a
//! detection that can take only an ignored object is ignored too, as is an unmatched one whose own area is
//! outside the range. A crowd region can be taken any number of times, with IoU = intersection over the
//! detection's area.
//!
//! Boxes are judged of all objects, masks of those that have one: an object without a mask is none there, and
//! what is found on it is wrong. (`pycocotools.coco.annToRLE` raises an exception at an annotation without
//! polygons, so it is given the file without these where masks are judged.)
//!
//! Source of the definitions: Lin et al., *Microsoft COCO*, 2014, and `pycocotools.cocoeval`, whose 12
//! numbers these are: sorts are stable, a value without objects is −1, and an object of id 0, matched, counts
//! as unmatched.

mod confidence;
mod confusion;
mod matching;
mod objects;

use matching::{Matched, match_image};
use objects::ignored;
use std::collections::HashSet;
use std::fmt;

use crate::error::{Error, Result};

pub use confidence::AtConfidence;
pub use confusion::confused;
pub use objects::{
    AREAS, Category, Detection, GroundTruth, Kind, MAX_DETECTIONS, NAMES, RECALLS, THRESHOLDS, Truth,
    recalls, thresholds,
};

/// The result for one category.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryResult {
    /// The category.
    pub category: Category,
    /// Its objects in each of [`AREAS`], the ignored not counted.
    pub objects: [usize; 4],
    /// `precision[area][threshold][recall]`, at most 100 detections.
    precision: Vec<[[f64; RECALLS]; THRESHOLDS]>,
    /// `recall[max_detections][area][threshold]`.
    recall: [[[f64; THRESHOLDS]; 4]; 3],
    /// Of each detection that counts at IoU 0.5 and of all areas: its score, and whether it takes an object.
    outcomes: Vec<(f64, bool)>,
}

/// The result: the 12 numbers and what they are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// AP, AP50, AP75, AP small, medium, large, AR1, AR10, AR100, AR small, medium, large; −1 where
    /// undefined.
    pub stats: [f64; 12],
    /// One for each category, by ascending id.
    pub categories: Vec<CategoryResult>,
}

/// Compares detections with the ground truth.
///
/// Detections of categories that the ground truth lacks do not count. Errors: a detection of an image that is
/// not in the ground truth, numbers that are not finite, and for [`Kind::Mask`] a detection without a mask or
/// masks of different sizes.
pub fn evaluate(truth: &GroundTruth, detections: &[Detection], kind: Kind) -> Result<Evaluation> {
    let mut images = truth.images.clone();
    images.sort_unstable();
    images.dedup();
    let mut categories: Vec<&Category> = truth.categories.iter().collect();
    categories.sort_by_key(|c| c.id);
    categories.dedup_by_key(|c| c.id);
    check(truth, detections, kind, &images)?;
    let judged = |t: &Truth| kind == Kind::Box || t.mask.is_some();
    let truths = group(&truth.truths, &images, &categories, |t| judged(t).then_some((t.category, t.image)));
    let detections = group(detections, &images, &categories, |d| Some((d.category, d.image)));
    let evaluated = |(k, &category): (usize, &&Category)| {
        let truths = of_key(&truths, |m| m.category, k);
        evaluate_category(category, truths, of_key(&detections, |m| m.category, k), kind)
    };
    let categories = categories.iter().enumerate().map(evaluated).collect::<Result<Vec<_>>>()?;
    let stats = stats(&categories);
    Ok(Evaluation { stats, categories })
}

fn check(truth: &GroundTruth, detections: &[Detection], kind: Kind, images: &[i64]) -> Result<()> {
    let finite = |b: &[f64; 4], area: f64| b.iter().all(|v| v.is_finite()) && area.is_finite();
    let categories: HashSet<i64> = truth.categories.iter().map(|c| c.id).collect();
    for t in &truth.truths {
        let counts = categories.contains(&t.category) && images.binary_search(&t.image).is_ok();
        if counts && !finite(&t.bbox, t.area) {
            let what = format!("annotation {} of image {}: box {:?}, area {}", t.id, t.image, t.bbox, t.area);
            return Err(Error::input(what));
        }
    }
    for (i, d) in detections.iter().enumerate() {
        let problem = if images.binary_search(&d.image).is_err() {
            "is of an image that is not evaluated".to_string()
        } else if !finite(&d.bbox, d.area) || !d.score.is_finite() {
            format!("has box {:?}, area {}, score {}", d.bbox, d.area, d.score)
        } else if kind == Kind::Mask && d.mask.is_none() {
            "has no mask".to_string()
        } else {
            continue;
        };
        return Err(Error::input(format!("detection {i}, of image {}, {problem}", d.image)));
    }
    Ok(())
}

/// An item with its place in the lists of categories and images.
struct Member<'a, T> {
    category: usize,
    image: usize,
    item: &'a T,
}

/// The items of listed categories and images, by category, image and their own order; those without a key are
/// left out.
fn group<'a, T>(
    items: &'a [T],
    images: &[i64],
    categories: &[&Category],
    key: impl Fn(&T) -> Option<(i64, i64)>,
) -> Vec<Member<'a, T>> {
    let place = |item: &'a T| {
        let (category, image) = key(item)?;
        let category = categories.binary_search_by_key(&category, |c| c.id).ok()?;
        Some(Member { category, image: images.binary_search(&image).ok()?, item })
    };
    let mut members: Vec<_> = items.iter().filter_map(place).collect();
    members.sort_by_key(|m| (m.category, m.image));
    members
}

/// The members, sorted by a key, whose key is k.
fn of_key<'s, 'a, T>(
    members: &'s [Member<'a, T>],
    key: impl Fn(&Member<'a, T>) -> usize,
    k: usize,
) -> &'s [Member<'a, T>] {
    let start = members.partition_point(|m| key(m) < k);
    let end = members.partition_point(|m| key(m) <= k);
    &members[start..end]
}

fn evaluate_category(
    category: &Category,
    truths: &[Member<Truth>],
    detections: &[Member<Detection>],
    kind: Kind,
) -> Result<CategoryResult> {
    let mut objects = [0; 4];
    for t in truths {
        for (n, range) in objects.iter_mut().zip(AREAS) {
            *n += usize::from(!ignored(t.item, range));
        }
    }
    let mut matched = Vec::with_capacity(detections.len());
    for detections in detections.chunk_by(|a, b| a.image == b.image) {
        let truths: Vec<&Truth> =
            of_key(truths, |m| m.image, detections[0].image).iter().map(|m| m.item).collect();
        let mut detections: Vec<&Detection> = detections.iter().map(|m| m.item).collect();
        detections.sort_by(|a, b| descending(a.score, b.score));
        detections.truncate(MAX_DETECTIONS[2]);
        match_image(&truths, &detections, kind, &mut matched)?;
    }
    matched.sort_by(|a, b| descending(a.score, b.score));
    let mut precision = vec![[[0.0; RECALLS]; THRESHOLDS]; 4];
    let mut recall = [[[0.0; THRESHOLDS]; 4]; 3];
    for area in (0..4).filter(|&a| objects[a] > 0) {
        for t in 0..THRESHOLDS {
            let outcomes = |max: usize| {
                let counted = move |m: &&Matched| m.rank < max && m.ignored[area] >> t & 1 == 0;
                matched.iter().filter(counted).map(move |m| m.taken[area] >> t & 1 == 1)
            };
            precision[area][t] = precision_at_recalls(outcomes(MAX_DETECTIONS[2]), objects[area]);
            for (recall, max) in recall.iter_mut().zip(MAX_DETECTIONS) {
                recall[area][t] = outcomes(max).filter(|&hit| hit).count() as f64 / objects[area] as f64;
            }
        }
    }
    let counts = matched.iter().filter(|m| m.ignored[0] & 1 == 0);
    let outcomes = counts.map(|m| (m.score, m.taken[0] & 1 == 1)).collect();
    Ok(CategoryResult { category: category.clone(), objects, precision, recall, outcomes })
}

fn descending(a: f64, b: f64) -> std::cmp::Ordering {
    b.partial_cmp(&a).expect("scores are checked to be finite")
}

/// Precision, made non-increasing from the right, at each recall; 0 where that is not reached.
fn precision_at_recalls(outcomes: impl Iterator<Item = bool>, objects: usize) -> [f64; RECALLS] {
    let (mut hits, mut misses) = (0.0, 0.0);
    let (mut recall, mut precision) = (Vec::new(), Vec::new());
    for hit in outcomes {
        *(if hit { &mut hits } else { &mut misses }) += 1.0;
        recall.push(hits / objects as f64);
        precision.push(hits / (misses + hits + f64::EPSILON));
    }
    for i in (1..precision.len()).rev() {
        precision[i - 1] = precision[i - 1].max(precision[i]);
    }
    let mut i = 0;
    recalls().map(|r| {
        i += recall[i..].iter().take_while(|&&reached| reached < r).count();
        precision.get(i).copied().unwrap_or(0.0)
    })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0);
    for v in values {
        sum += v;
        n += 1;
    }
    if n == 0 { -1.0 } else { sum / f64::from(n) }
}

/// The 12 numbers over some categories.
fn stats(categories: &[CategoryResult]) -> [f64; 12] {
    let with = |area: usize| categories.iter().filter(move |c| c.objects[area] > 0);
    let ap = |area: usize, t: std::ops::Range<usize>| {
        mean(with(area).flat_map(|c| c.precision[area][t.clone()].iter().flatten().copied()))
    };
    let ar = |max: usize, area: usize| mean(with(area).flat_map(|c| c.recall[max][area]));
    [
        ap(0, 0..10),
        ap(0, 0..1),
        ap(0, 5..6),
        ap(1, 0..10),
        ap(2, 0..10),
        ap(3, 0..10),
        ar(0, 0),
        ar(1, 0),
        ar(2, 0),
        ar(2, 1),
        ar(2, 2),
        ar(2, 3),
    ]
}

impl CategoryResult {
    /// The 12 numbers of this category alone.
    pub fn stats(&self) -> [f64; 12] {
        stats(std::slice::from_ref(self))
    }

    /// Precision at the 101 recalls and threshold t of [`thresholds`]; none without objects. All areas, at
    /// most 100 detections.
    pub fn precision(&self, t: usize) -> Option<&[f64; RECALLS]> {
        (self.objects[0] > 0).then(|| &self.precision[0][t])
    }

    /// Of each detection that counts at IoU 0.5, the surest first: its score, and whether it takes an object.
    pub fn outcomes(&self) -> &[(f64, bool)] {
        &self.outcomes
    }
}

impl Evaluation {
    /// The mean over the categories of the precision at the 101 recalls and threshold t of [`thresholds`]:
    /// the precision-recall curve. None where no category has objects.
    pub fn precision(&self, t: usize) -> Option<[f64; RECALLS]> {
        let curves: Vec<_> = self.categories.iter().filter_map(|c| c.precision(t)).collect();
        let at = |r: usize| curves.iter().map(|c| c[r]).sum::<f64>() / curves.len() as f64;
        (!curves.is_empty()).then(|| std::array::from_fn(at))
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in NAMES.iter().zip(self.stats) {
            if value < 0.0 {
                writeln!(f, "{name:<10}     –")?;
            } else {
                writeln!(f, "{name:<10} {value:.3}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
