//! Images into one batch, and targets with them (torchvision's `GeneralizedRCNNTransform`).
//!
//! An image in 0..1 is normalised, (x - mean) / std in each channel, and scaled by f = min(min_size / short
//! side, max_size / long side), bilinearly, to ⌊f h⌋ x ⌊f w⌋ (at least 1). Boxes are scaled by each axis' own
//! ratio of sizes, rounded to f32 as torchvision does; masks take the nearest pixel. Images are then padded
//! with zeros, right and below, to the greatest sizes, rounded up to a multiple of `size_divisible`.

use super::boxes::boxes;
use super::config::Config;
use super::target::{Masks, Target};
use gradus_core::{Element, Tape, Tensor, parallel, profile};

/// Images made ready.
#[derive(Clone, Debug)]
pub struct Batch<E: Element = f32> {
    /// [n, H, W, 3]
    pub images: Tensor<E>,
    /// Each image's own [height, width] in it.
    pub sizes: Vec<[usize; 2]>,
}

impl<E: Element> Batch<E> {
    /// H and W: the sizes with padding.
    pub fn padded(&self) -> [usize; 2] {
        [self.images.shape()[1], self.images.shape()[2]]
    }
}

/// How images are made ready.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// The shorter side, in pixels ...
    pub min_size: usize,
    /// ... or the longer one.
    pub max_size: usize,
    /// Of each channel.
    pub mean: [f64; 3],
    /// Of each channel.
    pub std: [f64; 3],
    /// In pixels.
    pub size_divisible: usize,
}

impl Transform {
    /// As the settings say.
    pub fn new(c: &Config) -> Self {
        Transform {
            min_size: c.min_size,
            max_size: c.max_size,
            mean: c.image_mean,
            std: c.image_std,
            size_divisible: c.size_divisible,
        }
    }

    /// The size that an image [height, width] is scaled to.
    pub fn scaled(&self, size: [usize; 2]) -> [usize; 2] {
        let [short, long] = [size[0].min(size[1]), size[0].max(size[1])].map(|n| n.max(1) as f64);
        let factor = (self.min_size as f64 / short).min(self.max_size as f64 / long);
        size.map(|n| ((n as f64 * factor).floor() as usize).max(1))
    }

    /// One batch of images [h, w, 3]. Panics when there are none, or one is of another shape or empty.
    #[track_caller]
    pub fn batch<E: Element>(&self, images: &[Tensor<E>]) -> Batch<E> {
        let _span = profile::span("transform", "");
        assert!(!images.is_empty(), "transform: no images");
        let sizes: Vec<[usize; 2]> = images.iter().map(|i| self.scaled(size_of(i))).collect();
        let padded = [0, 1].map(|axis| {
            let most = sizes.iter().map(|s| s[axis]).max().unwrap_or(1);
            most.next_multiple_of(self.size_divisible.max(1))
        });
        let each = padded[0] * padded[1] * 3;
        let mut batch = Tensor::zeros([images.len(), padded[0], padded[1], 3]);
        for (i, (image, &size)) in images.iter().zip(&sizes).enumerate() {
            let scaled = self.scale(image, size);
            let row = size[1] * 3;
            let to = batch.data_mut()[i * each..][..each].chunks_exact_mut(padded[1] * 3);
            to.zip(scaled.data().chunks_exact(row)).for_each(|(to, from)| to[..row].copy_from_slice(from));
        }
        Batch { images: batch, sizes }
    }

    /// One batch of images, and their targets in the pixels of it. Panics as [`Transform::batch`] does.
    #[track_caller]
    pub fn training<E: Element>(
        &self,
        images: &[Tensor<E>],
        targets: &[Target<E>],
    ) -> (Batch<E>, Vec<Target<E>>) {
        let targets = images.iter().zip(targets).map(|(image, t)| self.target(t, size_of(image)));
        (self.batch(images), targets.collect())
    }

    /// Normalised and resized.
    fn scale<E: Element>(&self, image: &Tensor<E>, size: [usize; 2]) -> Tensor<E> {
        let [h, w] = size_of(image);
        let (mean, std) = (self.mean.map(E::from_f64), self.std.map(E::from_f64));
        let mut x = Tensor::stale([1, h, w, 3]);
        let from = image.data();
        parallel::chunks(x.data_mut(), w * 3, |row, to| {
            let from = from[row * w * 3..][..w * 3].chunks_exact(3);
            for (to, from) in to.chunks_exact_mut(3).zip(from) {
                for c in 0..3 {
                    to[c] = (from[c] - mean[c]) / std[c];
                }
            }
        });
        Tape::infer().resize_bilinear(x.into(), size).value
    }

    /// A target in the pixels of the scaled image.
    pub fn target<E: Element>(&self, target: &Target<E>, from: [usize; 2]) -> Target<E> {
        let to = self.scaled(from);
        Target {
            boxes: resize_boxes(&target.boxes, from, to),
            labels: target.labels.clone(),
            masks: target.masks.as_ref().map(|m| resize_masks(m, to)),
        }
    }
}

/// An image's [height, width]. Panics unless it is [h, w, 3] and not empty.
#[track_caller]
pub(super) fn size_of<E: Element>(image: &Tensor<E>) -> [usize; 2] {
    let [h, w, c] = image.dims("an image");
    assert!(h > 0 && w > 0 && c == 3, "an image of shape {:?}: [h, w, 3] expected", image.shape());
    [h, w]
}

/// Boxes [n, 4] from an image of one size to one of another.
#[track_caller]
pub fn resize_boxes<E: Element>(t: &Tensor<E>, from: [usize; 2], to: [usize; 2]) -> Tensor<E> {
    let _ = boxes(t);
    let ratio = |axis: usize| E::from_f64((to[axis] as f32 / from[axis] as f32).into());
    let ratios = [ratio(1), ratio(0)];
    Tensor::from_fn(*t.shape(), |i| t.data()[i] * ratios[i % 2])
}

/// Each pixel the nearest one's, as in [`Tape::resize_nearest`].
pub fn resize_masks(m: &Masks, [height, width]: [usize; 2]) -> Masks {
    let nearest = |n: usize, o: usize| {
        let ratio = n as f32 / o as f32;
        move |i: usize| ((i as f32 * ratio) as usize).min(n.max(1) - 1)
    };
    let (row, column) = (nearest(m.height, height), nearest(m.width, width));
    let columns: Vec<usize> = (0..width).map(column).collect();
    let mut bits = vec![0; m.n * height * width];
    parallel::chunks(&mut bits, width.max(1), |i, to| {
        let from = &m.of(i / height)[row(i % height) * m.width..][..m.width];
        to.iter_mut().zip(&columns).for_each(|(to, &j)| *to = from[j]);
    });
    Masks { n: m.n, height, width, bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSFORM: Transform =
        Transform { min_size: 800, max_size: 1333, mean: [0.5; 3], std: [0.25; 3], size_divisible: 32 };

    #[test]
    fn sizes() {
        assert_eq!(TRANSFORM.scaled([480, 640]), [800, 1066]);
        assert_eq!(TRANSFORM.scaled([400, 1000]), [533, 1333]);
        assert_eq!(TRANSFORM.scaled([1, 1]), [800, 800]);
        assert_eq!(TRANSFORM.scaled([1, 20_000]), [1, 1333]);
    }

    #[test]
    fn images_are_normalised_and_padded() {
        let t = Transform { min_size: 2, max_size: 9, size_divisible: 4, ..TRANSFORM };
        let batch = t.batch(&[Tensor::<f32>::full([2, 3, 3], 1.0), Tensor::zeros([1, 1, 3])]);
        assert_eq!((&batch.sizes[..], batch.padded()), (&[[2, 3], [2, 2]][..], [4, 4]));
        for (i, v) in batch.images.data().iter().enumerate() {
            let (image, y, x) = (i / 48, i / 12 % 4, i / 3 % 4);
            let inside = y < batch.sizes[image][0] && x < batch.sizes[image][1];
            assert_eq!(*v, if !inside { 0.0 } else { [2.0, -2.0][image] });
        }
    }

    #[test]
    fn targets_follow() {
        let t = Transform { min_size: 4, max_size: 99, ..TRANSFORM };
        let masks = Masks { n: 1, height: 2, width: 3, bits: vec![0, 1, 0, 0, 0, 1] };
        let boxes = Tensor::from_slice([1, 4], &[1.0, 0.0, 3.0, 2.0f64]);
        let target = t.target(&Target { boxes, labels: vec![1], masks: Some(masks) }, [2, 3]);
        assert_eq!(target.boxes.data(), [2.0, 0.0, 6.0, 4.0]);
        let m = target.masks.unwrap();
        assert_eq!((m.height, m.width), (4, 6));
        assert_eq!(m.bits[..12], [0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]);
    }
}
