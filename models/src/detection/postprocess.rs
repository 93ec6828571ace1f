//! From predictions to detections (torchvision's `postprocess_detections`, `paste_masks_in_image`).
//!
//! Each class but the background makes of each proposal a candidate of its own, with the softmax's
//! probability and the box that its code means, cut at the image's borders. Candidates above the score
//! threshold and not tiny are suppressed within their class; the best of all stay. At the end boxes return to
//! the pixels of the images as they were given.

use super::boxes::{self, BBox};
use super::coder::BoxCoder;
use super::nms::Survivors;
use super::target::Detections;
use super::transform::{resize_boxes, size_of};
use gradus_core::{Element, Tape, Tensor, profile};

/// Detections of a side less than this are dropped, in pixels.
const MIN_SIDE: f64 = 1e-2;

/// Which candidates become detections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keep {
    /// Those of more than this probability, ...
    pub score_thresh: f64,
    /// ... which overlap no better one of their class by more than this IoU, ...
    pub nms_thresh: f64,
    /// ... and of an image's so many.
    pub per_image: usize,
}

impl Keep {
    /// The detections of an image of that size in the batch, from its proposals [n, 4], their class logits
    /// [n, classes] and codes [n, 4 classes]. Boxes stay in the pixels of the batch.
    #[track_caller]
    pub fn detections<E: Element>(
        &self,
        proposals: &Tensor<E>,
        logits: Tensor<E>,
        codes: &Tensor<E>,
        size: [usize; 2],
    ) -> Detections<E> {
        let _span = profile::span("detections", "");
        let [_, classes] = logits.dims("detections");
        let probabilities = Tape::infer().softmax(logits.into(), -1).value;
        let codes: &[[E; 4]] = codes.data().as_chunks().0;
        let threshold = E::from_f64(self.score_thresh);
        let (mut found, mut scores, mut labels) = (Vec::<E>::new(), Vec::new(), Vec::new());
        for (i, proposal) in boxes::boxes(proposals).iter().enumerate() {
            for label in 1..classes {
                let score = probabilities.data()[i * classes + label];
                if score > threshold {
                    found.extend(BoxCoder::PROPOSALS.decode(&codes[i * classes + label], proposal));
                    scores.push(score);
                    labels.push(label);
                }
            }
        }
        let &Keep { nms_thresh, per_image: most, .. } = self;
        let survivors = Survivors { size, min_side: MIN_SIDE, nms_thresh, most };
        let (boxes, kept) = survivors.of(&found, &scores, &labels);
        let labels = kept.iter().map(|&i| labels[i]).collect();
        Detections { boxes, labels, scores: kept.iter().map(|&i| scores[i]).collect(), masks: None }
    }
}

/// The detections of a batch, in which the images have these sizes, with boxes in the images' own pixels.
#[track_caller]
pub fn onto_images<E: Element>(
    mut found: Vec<Detections<E>>,
    sizes: &[[usize; 2]],
    images: &[Tensor<E>],
) -> Vec<Detections<E>> {
    for ((d, image), &size) in found.iter_mut().zip(images).zip(sizes) {
        d.boxes = resize_boxes(&d.boxes, size, size_of(image));
    }
    found
}

/// A mask laid over a part of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Pasted<E> {
    /// The part's first column and row.
    pub x: usize,
    /// Its first row.
    pub y: usize,
    /// Its columns.
    pub width: usize,
    /// Its rows.
    pub height: usize,
    /// [height, width]: probabilities; outside of the part they are 0.
    pub values: Vec<E>,
}

/// A mask [side, side] of probabilities, resized bilinearly to its box in an image [height, width]. A frame
/// of one cell of zeros is put around it first, and the box is enlarged as much, so that the mask fades at
/// its edge; the enlarged box is cut to whole pixels. Only what lies in the image is computed.
pub fn paste_mask<E: Element>(mask: &[E], side: usize, b: &BBox<E>, image: [usize; 2]) -> Pasted<E> {
    assert_eq!(mask.len(), side * side, "paste_mask: a mask of {side} x {side}");
    let framed = side + 2;
    let frame = |i: usize, j: usize| {
        let inside = (1..=side).contains(&i) && (1..=side).contains(&j);
        if inside { mask[(i - 1) * side + j - 1] } else { E::ZERO }
    };
    let source = Tensor::<E>::from_fn([framed, framed], |k| frame(k / framed, k % framed));
    let [rows, columns] = [0, 1].map(|axis| {
        let (low, high) = (b[1 - axis], b[3 - axis]);
        Span::new(low, high, framed as f64 / side as f64, image[axis])
    });
    let (rows_at, columns_at) = (rows.taps::<E>(framed), columns.taps::<E>(framed));
    let mut values = Vec::with_capacity(rows_at.len() * columns_at.len());
    let mut row = vec![E::ZERO; framed];
    for &(i, above, below) in &rows_at {
        let (first, second) =
            (&source.data()[i * framed..], &source.data()[(i + 1).min(framed - 1) * framed..]);
        row.iter_mut().zip(first.iter().zip(second)).for_each(|(r, (&a, &b))| *r = above * a + below * b);
        values.extend(columns_at.iter().map(|&(j, l, r)| l * row[j] + r * row[(j + 1).min(framed - 1)]));
    }
    Pasted { x: columns.first, y: rows.first, width: columns_at.len(), height: rows_at.len(), values }
}

/// The pixels that an enlarged box covers along an axis: `first .. last` of them lie in the image.
struct Span {
    /// Of the enlarged box, which may begin outside.
    start: i64,
    /// Pixels from there.
    extent: usize,
    first: usize,
    last: usize,
}

impl Span {
    fn new<E: Element>(low: E, high: E, growth: f64, image: usize) -> Self {
        let half = E::from_f64(0.5);
        let reach = (high - low) * half * E::from_f64(growth);
        let centre = (high + low) * half;
        // Truncated toward 0, as torchvision does.
        let (start, end) = ((centre - reach).to_f64() as i64, (centre + reach).to_f64() as i64);
        let inside = |v: i64| v.clamp(0, image as i64) as usize;
        let extent = end.saturating_sub(start).saturating_add(1).max(1) as usize;
        let (first, last) = (inside(start), inside(end.saturating_add(1)));
        Span { start, extent, first, last: last.max(first) }
    }

    /// For each pixel in the image the source cell, and the weights of that cell and the next.
    fn taps<E: Element>(&self, cells: usize) -> Vec<(usize, E, E)> {
        let scale = cells as f64 / self.extent as f64;
        let tap = |pixel: usize| {
            let at = ((pixel as i64 - self.start) as f64 + 0.5) * scale - 0.5;
            let at = at.clamp(0.0, (cells - 1) as f64);
            let part = at - at.floor();
            (at as usize, E::from_f64(1.0 - part), E::from_f64(part))
        };
        (self.first..self.last).map(tap).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mask_fades_at_its_edge_and_is_cut_at_the_images() {
        let mask = [1.0f64; 28 * 28];
        let p = paste_mask(&mask, 28, &[-14.0, 6.0, 14.0, 34.0], [100, 30]);
        // Enlarged: x from -15 to 15, y from 5 to 35; 31 pixels, of which x = 0 .. 15 lie in the image.
        assert_eq!((p.x, p.y, p.width, p.height), (0, 5, 16, 31));
        let at = |y: usize, x: usize| p.values[y * 16 + x];
        assert_eq!(at(15, 3), 1.0);
        assert!(at(0, 3) < 0.1 && at(1, 3) > 0.4 && at(15, 15) < 0.1, "{:?}", p.values);
    }

    #[test]
    fn a_box_outside_of_the_image_or_without_area_is_pasted_nowhere_or_on_a_pixel() {
        let mask = [0.5f32; 4];
        let none = paste_mask(&mask, 2, &[50.0, 5.0, 60.0, 9.0], [20, 20]);
        assert!(none.values.is_empty() && none.width == 0);
        let one = paste_mask(&mask, 2, &[3.0, 4.0, 3.0, 4.0], [20, 20]);
        assert_eq!((one.x, one.y, one.width, one.height), (3, 4, 1, 1));
    }
}
