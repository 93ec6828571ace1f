//! Regions of an image from the pyramid level of their size (Lin et al., *Feature Pyramid Networks*, 2017,
//! equation 1; torchvision's `MultiScaleRoIAlign`).
//!
//! A level's scale is the power of two nearest to (its size) / (the image's size). A region of area s² is
//! read from level ⌊4 + log₂(s / 224) + 1e-6⌋, cut to the levels there are; level k has the scale 2^-k.

use super::boxes::{BBox, area, boxes};
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::{Element, Tape, Tensor, Var, elementary};

/// The side of a region that is read from level [`CANONICAL_LEVEL`].
pub const CANONICAL_SIDE: f64 = 224.0;
/// That level.
pub const CANONICAL_LEVEL: f64 = 4.0;

/// The logarithm to base 2.
fn octaves(x: f64) -> f64 {
    elementary::ln(x) / std::f64::consts::LN_2
}

/// The scales of feature maps, and which map a region is read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// Map pixels an image pixel.
    pub scales: Vec<f64>,
}

impl Levels {
    /// Of maps with these grids, for images of at most these sizes, without padding.
    pub fn new(grids: &[[usize; 2]], sizes: &[[usize; 2]]) -> Self {
        let tallest = sizes.iter().map(|s| s[0]).max().unwrap_or(1);
        let scale = |grid: &[usize; 2]| {
            let ratio = (grid[0] as f64 / tallest as f64) as f32;
            elementary::powi(2.0, octaves(f64::from(ratio)).round_ties_even() as i32)
        };
        Levels { scales: grids.iter().map(scale).collect() }
    }

    /// The map that a box is read from, counted from 0.
    pub fn of<E: Element>(&self, b: &BBox<E>) -> usize {
        let level = |scale: f64| -octaves(scale).round();
        let (first, last) = (level(self.scales[0]), level(self.scales[self.scales.len() - 1]));
        let size = area(b).sqrt() / E::from_f64(CANONICAL_SIDE);
        let octave = E::from_f64(octaves(size.to_f64()));
        let k = (E::from_f64(CANONICAL_LEVEL) + octave + E::from_f64(1e-6)).floor();
        (k.to_f64().clamp(first, last) - first) as usize
    }
}

/// What regions are read from.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a, E: Element> {
    /// [n, h, w, c], from fine to coarse.
    pub levels: &'a [Var<E>],
    /// Each image's [height, width] in the batch.
    pub sizes: &'a [[usize; 2]],
}

impl<E: Element> Maps<'_, E> {
    /// The features of regions: for each image its boxes [k, 4] give [Σ k, side, side, c], image after image.
    /// Boxes carry no gradient.
    #[track_caller]
    pub fn pool(&self, g: &mut Tape<E>, regions: &[Tensor<E>], side: usize) -> Var<E> {
        let grids: Vec<[usize; 2]> = self.levels.iter().map(|m| [m.shape()[1], m.shape()[2]]).collect();
        let levels = Levels::new(&grids, self.sizes);
        let align = RoiAlign { output: [side; 2], sampling: 2, aligned: false };
        let rois: Vec<Roi<E>> = (0..)
            .zip(regions)
            .flat_map(|(image, regions)| boxes(regions).iter().map(move |&bounds| (image, bounds)))
            .map(|(image, bounds)| Roi { level: levels.of(&bounds), image, bounds })
            .collect();
        g.roi_align(self.levels, &levels.scales, &rois, align)
    }
}

/// Rows of all images' regions, such as [`Maps::pool`] gives, apart again: for each image as many as it has
/// regions.
#[track_caller]
pub fn by_image<E: Element>(g: &mut Tape<E>, all: Var<E>, counts: &[usize]) -> Vec<Tensor<E>> {
    let mut first = 0;
    let own = counts.iter().map(|&n| {
        let start = first;
        first += n as isize;
        g.slice(all.clone(), 0, start, first, 1).value
    });
    own.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regions_level() {
        // Maps of strides 4, 8, 16, 32 of a padded image, scales found from the unpadded one.
        let levels = Levels::new(&[[200, 272], [100, 136], [50, 68], [25, 34]], &[[800, 1066], [750, 1000]]);
        assert_eq!(levels.scales, [0.25, 0.125, 0.0625, 0.03125]);
        let square = |side: f32| levels.of(&[10.0, 20.0, 10.0 + side, 20.0 + side]);
        assert_eq!(
            [1.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 1e4].map(square),
            [0, 0, 1, 1, 2, 2, 3, 3]
        );
        // No area: log 0.
        assert_eq!(square(0.0), 0);
        assert_eq!(Levels::new(&[[4, 5]], &[[100, 130]]).scales, [0.03125]);
    }
}
