//! Which detection takes which object, in an image and a category.

use super::objects::{AREAS, Detection, Kind, Truth, ignored, outside, thresholds};
use crate::error::{Error, Result};

/// A detection after matching; bit t of the sets speaks of threshold t.
pub(super) struct Matched {
    pub score: f64,
    /// Its place among the detections of its image and category.
    pub rank: usize,
    /// In each area range: took an object, ignored or not.
    pub taken: [u16; 4],
    /// In each area range: does not count.
    pub ignored: [u16; 4],
}

/// Matches the detections (sorted, at most 100) of one image and category, for all area ranges and
/// thresholds.
pub(super) fn match_image(
    truths: &[&Truth],
    detections: &[&Detection],
    kind: Kind,
    out: &mut Vec<Matched>,
) -> Result<()> {
    let ious = ious(truths, detections, kind)?;
    let start = out.len();
    out.extend(detections.iter().enumerate().map(|(rank, d)| Matched {
        score: d.score,
        rank,
        taken: [0; 4],
        ignored: [0; 4],
    }));
    let thresholds = thresholds();
    for (area, range) in AREAS.into_iter().enumerate() {
        let ignored: Vec<bool> = truths.iter().map(|t| ignored(t, range)).collect();
        let mut order: Vec<usize> = (0..truths.len()).collect();
        order.sort_by_key(|&g| ignored[g]); // those that count first
        for (t, threshold) in thresholds.into_iter().enumerate() {
            let mut taken = vec![false; truths.len()];
            for (i, (d, matched)) in detections.iter().zip(&mut out[start..]).enumerate() {
                let ious = &ious[i * truths.len()..][..truths.len()];
                let best = best_match(truths, &order, &ignored, &taken, ious, threshold);
                if let Some(g) = best {
                    taken[g] = true;
                }
                let hit = best.is_some_and(|g| truths[g].id != 0);
                let skip = best.is_some_and(|g| ignored[g]) || (!hit && outside(d.area, range));
                matched.taken[area] |= u16::from(hit) << t;
                matched.ignored[area] |= u16::from(skip) << t;
            }
        }
    }
    Ok(())
}

/// The object a detection takes: the best (of equals the last) not yet taken that counts, else the best
/// ignored one. `order` lists the objects that count first.
fn best_match(
    truths: &[&Truth],
    order: &[usize],
    ignored: &[bool],
    taken: &[bool],
    ious: &[f64],
    threshold: f64,
) -> Option<usize> {
    let mut best: Option<usize> = None;
    let mut iou = threshold.min(1.0 - 1e-10);
    for &g in order {
        if ignored[g] && best.is_some_and(|b| !ignored[b]) {
            break;
        }
        if (!taken[g] || truths[g].crowd) && ious[g] >= iou {
            iou = ious[g];
            best = Some(g);
        }
    }
    best
}

/// The IoU of each detection (row) with each object (column).
fn ious(truths: &[&Truth], detections: &[&Detection], kind: Kind) -> Result<Vec<f64>> {
    if kind == Kind::Box {
        let rows = detections.iter().flat_map(|d| truths.iter().map(|t| box_iou(d.bbox, t.bbox, t.crowd)));
        return Ok(rows.collect());
    }
    let truths: Vec<_> =
        truths.iter().filter_map(|t| Some((t, t.mask.as_ref()?, t.mask.as_ref()?.bounding_box()))).collect();
    let mut ious = Vec::with_capacity(truths.len() * detections.len());
    for (d, mask) in detections.iter().filter_map(|d| Some((d, d.mask.as_ref()?))) {
        let bbox = mask.bounding_box();
        for (t, other, other_box) in &truths {
            if (mask.height(), mask.width()) != (other.height(), other.width()) {
                let [own, others] = [mask, other].map(|m| format!("{} x {}", m.width(), m.height()));
                let (image, id) = (d.image, t.id);
                let what = format!("a detected mask of {own} pixels, where annotation {id} has {others}");
                return Err(Error::input(format!("image {image}: {what}")));
            }
            let apart = box_iou(bbox, *other_box, false) == 0.0;
            ious.push(if apart { 0.0 } else { mask.iou(other, t.crowd) });
        }
    }
    Ok(ious)
}

/// IoU of boxes `[x, y, width, height]`; with a crowd region as b over a's own area. 0 where they do not
/// overlap.
pub(super) fn box_iou(a: [f64; 4], b: [f64; 4], crowd: bool) -> f64 {
    let overlap = |i: usize| (a[i] + a[i + 2]).min(b[i] + b[i + 2]) - a[i].max(b[i]);
    let (w, h) = (overlap(0), overlap(1));
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let (both, area) = (w * h, a[2] * a[3]);
    both / if crowd { area } else { area + b[2] * b[3] - both }
}
