//! Anchors: the boxes that proposals start from (Ren et al., *Faster R-CNN*, 2015, section 3.1.1;
//! torchvision's `AnchorGenerator`).
//!
//! An anchor of size s and ratio r = h / w has w = s / √r and h = s √r. It is centred at 0, its half sides
//! are rounded (half to even), and it is repeated at each cell (i, j) of a level's grid, moved by (j, i)
//! times the stride, which is the padded image's size divided by the grid's, rounded down. Order: y, x,
//! ratio, size. Anchors are not clipped.

use super::boxes::BBox;
use gradus_core::{Element, Var};
use std::sync::{Arc, Mutex, PoisonError};

/// The anchors of all levels, one after the other.
#[derive(Debug)]
pub struct Anchors<E> {
    /// x1, y1, x2, y2 in the padded image's pixels.
    pub boxes: Vec<BBox<E>>,
    /// How many each level has.
    pub per_level: Vec<usize>,
}

impl<E> Anchors<E> {
    /// The level of an anchor, and its place there.
    #[track_caller]
    pub fn level_of(&self, place: usize) -> (usize, usize) {
        let mut at = place;
        for (level, &n) in self.per_level.iter().enumerate() {
            if at < n {
                return (level, at);
            }
            at -= n;
        }
        panic!("anchor {place} of {}", self.boxes.len())
    }
}

/// Makes anchors, and keeps those that it made last: images of one size follow each other.
#[derive(Debug)]
pub struct AnchorGenerator<E> {
    /// For each level the anchors of a cell, centred at 0.
    pub cells: Vec<Vec<BBox<E>>>,
    last: Mutex<Option<(Key, Arc<Anchors<E>>)>>,
}

/// What anchors depend on: the padded image's size and the grids'.
type Key = ([usize; 2], Vec<[usize; 2]>);

impl<E: Element> AnchorGenerator<E> {
    /// For each level its sizes in pixels; the ratios are all levels'.
    pub fn new(sizes: &[Vec<usize>], aspect_ratios: &[f64]) -> Self {
        let cells = sizes.iter().map(|sizes| cell(sizes, aspect_ratios)).collect();
        AnchorGenerator { cells, last: Mutex::new(None) }
    }

    /// The anchors of a cell, for each level.
    pub fn per_location(&self) -> Vec<usize> {
        self.cells.iter().map(Vec::len).collect()
    }

    /// The anchors of a padded image of that size [height, width] with these grids, one a level. Panics on
    /// another number of grids, or an empty one.
    #[track_caller]
    pub fn generate(&self, image: [usize; 2], grids: &[[usize; 2]]) -> Arc<Anchors<E>> {
        assert_eq!(grids.len(), self.cells.len(), "anchors: levels");
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((key, anchors)) if key.0 == image && key.1 == grids => anchors.clone(),
            _ => {
                let anchors = Arc::new(self.make(image, grids));
                *last = Some(((image, grids.to_vec()), anchors.clone()));
                anchors
            }
        }
    }

    /// [`AnchorGenerator::generate`] for the grids of these levels, [n, h, w, c].
    #[track_caller]
    pub fn over(&self, image: [usize; 2], levels: &[Var<E>]) -> Arc<Anchors<E>> {
        let grids: Vec<[usize; 2]> = levels.iter().map(|l| [l.shape()[1], l.shape()[2]]).collect();
        self.generate(image, &grids)
    }

    fn make(&self, image: [usize; 2], grids: &[[usize; 2]]) -> Anchors<E> {
        let mut boxes = Vec::new();
        let mut per_level = Vec::new();
        for (cell, &[h, w]) in self.cells.iter().zip(grids) {
            let [down, across] = [image[0] / h, image[1] / w];
            per_level.push(h * w * cell.len());
            boxes.reserve(h * w * cell.len());
            for i in 0..h {
                for j in 0..w {
                    let (x, y) = (E::from_usize(j * across), E::from_usize(i * down));
                    boxes.extend(cell.iter().map(|b| [b[0] + x, b[1] + y, b[2] + x, b[3] + y]));
                }
            }
        }
        Anchors { boxes, per_level }
    }
}

/// In f32 whatever E is, so that roundings agree with torchvision's.
fn cell<E: Element>(sizes: &[usize], aspect_ratios: &[f64]) -> Vec<BBox<E>> {
    let mut boxes = Vec::new();
    for &ratio in aspect_ratios {
        let tall = (ratio as f32).sqrt();
        let wide = 1.0 / tall;
        for &size in sizes {
            let half = |side: f32| E::from_f64((side * size as f32 / 2.0).round_ties_even().into());
            let (w, h) = (half(wide), half(tall));
            boxes.push([-w, -h, w, h]);
        }
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_rounded() {
        let g = AnchorGenerator::<f32>::new(&[vec![32]], &[0.5, 1.0, 2.0]);
        let halves: Vec<[f32; 2]> = g.cells[0].iter().map(|b| [b[2], b[3]]).collect();
        assert_eq!(halves, [[23.0, 11.0], [16.0, 16.0], [11.0, 23.0]]);
    }

    #[test]
    fn grids_and_order() {
        let g = AnchorGenerator::<f64>::new(&[vec![32, 64], vec![128]], &[1.0, 2.0]);
        assert_eq!(g.per_location(), [4, 2]);
        let a = g.generate([64, 96], &[[2, 3], [1, 1]]);
        assert_eq!((&a.per_level[..], a.boxes.len()), (&[24, 2][..], 26));
        // Cell (1, 2): moved by (64, 32); ratio 1 with both sizes, then ratio 2.
        assert_eq!(a.boxes[20..22], [[48.0, 16.0, 80.0, 48.0], [32.0, 0.0, 96.0, 64.0]]);
        assert_eq!(a.boxes[24], [-64.0, -64.0, 64.0, 64.0]);
        assert!(Arc::ptr_eq(&a, &g.generate([64, 96], &[[2, 3], [1, 1]])), "kept");
        assert_eq!(g.generate([64, 64], &[[2, 2], [1, 1]]).boxes.len(), 18);
    }
}
