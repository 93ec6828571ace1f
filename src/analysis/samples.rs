//! Pictures before any network: as they are and normalised, under Sobel, and pooled.

use super::activations::normalised;
use crate::data::{Labelled, Transform};
use crate::error::Result;
use crate::image::{Image, caption_grid};
use crate::lessons::filtering::{Shown, filter};
use crate::lessons::filters::{Border, find};
use gradus_core::ops::PoolSpec;
use gradus_core::{Activation, Tape, Tensor};

/// The first n images with their classes, as they are and normalised (each spread over the full range).
pub fn raw_and_normalised(subset: &Labelled, transform: Transform, n: usize) -> Result<[Image; 2]> {
    let (mut raw, mut shown) = (Vec::new(), Vec::new());
    for item in subset.named().take(n) {
        let (image, name) = item?;
        shown.push((normalised(&image, &transform.normalise), name.clone()));
        raw.push((image, name));
    }
    Ok([raw, shown].map(|items| caption_grid("", &items, 8, 96)))
}

/// The first n images, and what sobel-x and sobel-y make of their grays: 0 is mid-gray.
pub fn sobel(subset: &Labelled, n: usize) -> Result<Image> {
    let mut items = Vec::new();
    for item in subset.named().take(n) {
        let item = item?;
        let gray = item.0.clone().to_gray8();
        items.push(item);
        for name in ["sobel-x", "sobel-y"] {
            let Some(f) = find(name) else { continue };
            items.push((filter(f, &gray, Border::Reflect, Shown::Signed).image, name.to_string()));
        }
    }
    Ok(caption_grid("", &items, 6, 96))
}

/// How windows are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// By their greatest value.
    Max,
    /// By their mean.
    Average,
}

/// A picture pooled over windows of `size` x `size` that lie side by side.
pub fn pooled(image: &Image, size: usize, pooling: Pooling) -> Image {
    let (w, h) = (image.width(), image.height());
    let x = Tensor::from_slice([1, h, w, 3], &image.clone().to_rgb8().to_f32());
    let (mut g, spec) = (Tape::infer(), PoolSpec::square(size, size));
    let y = match pooling {
        Pooling::Max => g.max_pool2d(x.into(), spec, Activation::None),
        Pooling::Average => g.avg_pool2d(x.into(), spec, true),
    };
    let [_, h, w, _] = y.value.dims("pooled");
    Image::from_f32(w, h, 3, y.value.data())
}

/// The first n images beside their maxima and means over windows of 2 and 3.
pub fn pooling(subset: &Labelled, n: usize) -> Result<Image> {
    let mut items = Vec::new();
    for item in subset.named().take(n) {
        let (image, name) = item?;
        items.push((image.clone(), name));
        for (kind, name) in [(Pooling::Max, "max"), (Pooling::Average, "mean")] {
            for size in [2, 3] {
                items.push((pooled(&image, size, kind), format!("{name} {size}x{size}")));
            }
        }
    }
    Ok(caption_grid("", &items, 5, 96))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SyntheticShapes;

    #[test]
    fn pooling_takes_the_greatest_or_the_mean() {
        let gray = |v: [u8; 6]| Image::from_u8(3, 2, 3, v.iter().flat_map(|v| [*v; 3]).collect());
        let image = gray([0, 40, 9, 20, 60, 9]);
        assert_eq!(pooled(&image, 2, Pooling::Max).as_u8(), [60; 3]);
        assert_eq!(pooled(&image, 2, Pooling::Average).as_u8(), [30; 3]);
    }

    #[test]
    fn grids_hold_what_they_promise() {
        let subset = SyntheticShapes::with_len(1, 24).split().train;
        let [raw, shown] = raw_and_normalised(&subset, Transform::CIFAR, 8).unwrap();
        assert_eq!((raw.width(), raw.height()), (shown.width(), shown.height()));
        assert_ne!(raw, shown);
        assert_eq!(sobel(&subset, 2).unwrap().width(), 6 * 106 + 10);
        assert!(pooling(&subset, 2).unwrap().height() > 2 * 96);
    }
}
