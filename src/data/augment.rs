//! From an 8-bit image to what a network reads: random changes while training, then normalised floats, NHWC.
//!
//! Small pictures (CIFAR-10's recipe): turned about the center by up to 5 degrees (nearest pixel, black
//! outside), mirrored with probability 1/2, cut to the same size at a random place after padding by 2 black
//! pixels. The three are one map of coordinates, so that an output pixel reads one input pixel. Photographs
//! (ImageNet's recipe): a random cut of 8 to 100 % of the area and aspect ratio 3/4 to 4/3, scaled to the
//! side, mirrored; for evaluation the shorter side is scaled and the middle is cut out. The definitions are
//! torchvision's (`RandomRotation`, `RandomHorizontalFlip`, `RandomCrop`, `RandomResizedCrop`, `Resize`,
//! `CenterCrop` on images).

use gradus_core::{Rng, elementary};

use crate::error::{Error, Result};
use crate::image::{Filter, Image};

/// (v / 255 - mean) / std, for each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalise {
    /// Subtracted, of values in 0..1.
    pub mean: [f32; 3],
    /// Divided by.
    pub std: [f32; 3],
}

impl Normalise {
    /// CIFAR-10's training images.
    pub const CIFAR10: Self = Normalise {
        mean: [0.491_399_7, 0.482_158_4, 0.446_530_9],
        std: [0.247_032_23, 0.243_485_13, 0.261_587_84],
    };
    /// ImageNet's training images.
    pub const IMAGENET: Self = Normalise { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// The normalised value of an 8-bit one.
    pub fn apply(&self, value: u8, channel: usize) -> f32 {
        (f32::from(value) / 255.0 - self.mean[channel]) / self.std[channel]
    }

    /// The 8-bit value of a normalised one, rounded and clamped: to show what a network saw.
    pub fn invert(&self, value: f32, channel: usize) -> u8 {
        ((value * self.std[channel] + self.mean[channel]) * 255.0 + 0.5) as u8
    }

    /// The picture of normalised floats (height, width, 3).
    #[track_caller]
    pub fn picture(&self, width: usize, height: usize, values: &[f32]) -> Image {
        let samples = values.iter().enumerate().map(|(i, &v)| self.invert(v, i % 3)).collect();
        Image::from_u8(width, height, 3, samples)
    }
}

/// How images are brought to one size, and changed while training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Augmentation {
    /// CIFAR-10's: images are `side` pixels wide and high (others are scaled to it and cut first).
    Small {
        /// Width and height in pixels.
        side: usize,
        /// The largest angle, in degrees.
        degrees: f64,
        /// Padding before the random cut, in pixels.
        padding: usize,
    },
    /// ImageNet's: cut and scaled to `side`; for evaluation by way of `resize`, the shorter side.
    Large {
        /// Width and height in pixels.
        side: usize,
        /// The shorter side before the middle is cut out.
        resize: usize,
    },
}

/// An augmentation and a normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// How images are brought to one size, and changed while training.
    pub augmentation: Augmentation,
    /// The last step.
    pub normalise: Normalise,
}

impl Transform {
    /// 32 x 32, 5 degrees, padding 2, CIFAR-10's mean and standard deviation.
    pub const CIFAR: Self = Transform {
        augmentation: Augmentation::Small { side: 32, degrees: 5.0, padding: 2 },
        normalise: Normalise::CIFAR10,
    };
    /// 224 x 224 (256 before the middle is cut out), ImageNet's mean and standard deviation.
    pub const IMAGENET: Self = Transform {
        augmentation: Augmentation::Large { side: 224, resize: 256 },
        normalise: Normalise::IMAGENET,
    };

    /// Width and height of what it gives.
    pub fn side(&self) -> usize {
        match self.augmentation {
            Augmentation::Small { side, .. } | Augmentation::Large { side, .. } => side,
        }
    }

    /// The number of floats of an image: height x width x 3.
    pub fn floats(&self) -> usize {
        3 * self.side() * self.side()
    }

    /// An image as it is evaluated: no randomness. `out` has [`Transform::floats`] places.
    pub fn evaluate(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        let image = match self.augmentation {
            Augmentation::Small { side, .. } => sized(image, side)?,
            Augmentation::Large { side, resize } => {
                proportioned(image)?.resize_shorter(resize).center_crop(side)
            }
        };
        self.write(&image, out, |x, y| Some((x, y)));
        Ok(())
    }

    /// An image as it is trained on; `rng` is this image's and epoch's own stream.
    pub fn train(&self, image: &Image, rng: &mut Rng, out: &mut [f32]) -> Result<()> {
        match self.augmentation {
            Augmentation::Small { side, degrees, padding } => {
                let image = sized(image, side)?;
                let turn = Rotation::new(rng.range(-degrees, degrees), side);
                let mirror = rng.chance(0.5);
                let (dx, dy) = (rng.below(2 * padding + 1), rng.below(2 * padding + 1));
                self.write(&image, out, |x, y| {
                    let (x, y) = ((x + dx).checked_sub(padding)?, (y + dy).checked_sub(padding)?);
                    if x >= side || y >= side {
                        return None;
                    }
                    turn.source(if mirror { side - 1 - x } else { x }, y)
                });
            }
            Augmentation::Large { side, .. } => {
                let [x, y, w, h] = random_cut(image.width(), image.height(), rng);
                let image = image.crop(x, y, w, h).resize(side, side, Filter::Bilinear);
                let mirror = rng.chance(0.5);
                self.write(&image, out, |x, y| Some((if mirror { side - 1 - x } else { x }, y)));
            }
        }
        Ok(())
    }

    /// Writes the normalised pixel `source(x, y)` of the image to each place, black where there is none.
    fn write(&self, image: &Image, out: &mut [f32], source: impl Fn(usize, usize) -> Option<(usize, usize)>) {
        let side = self.side();
        assert_eq!(out.len(), self.floats(), "Transform: floats for {side}x{side}x3");
        assert_eq!(image.channels(), 3, "Transform: channels");
        let pixels = image.as_u8();
        for (i, to) in out.chunks_exact_mut(3).enumerate() {
            let from = source(i % side, i / side).map(|(x, y)| &pixels[(y * image.width() + x) * 3..][..3]);
            for (c, (to, &v)) in to.iter_mut().zip(from.unwrap_or(&[0; 3])).enumerate() {
                *to = self.normalise.apply(v, c);
            }
        }
    }
}

/// The image in `side` x `side` pixels.
fn sized(image: &Image, side: usize) -> Result<Image> {
    if (image.width(), image.height()) == (side, side) {
        return Ok(image.clone());
    }
    Ok(proportioned(image)?.resize_shorter(side).center_crop(side))
}

/// Refuses strips: scaling their shorter side up would take a thousand times their memory.
pub(super) fn proportioned(image: &Image) -> Result<&Image> {
    let (w, h) = (image.width(), image.height());
    if w.max(h) > 100 * w.min(h) {
        let what = format!("is {w} x {h} pixels; a side of more than 100 times the other is not read");
        return Err(Error::input(what).remedy("cut it first"));
    }
    Ok(image)
}

/// A turn about the center, counterclockwise: where an output pixel is read. As in Pillow, coordinates are
/// fixed-point numbers of 16 fractional bits, so that the same pixels are chosen.
struct Rotation {
    side: i64,
    row_x: [i64; 3],
    row_y: [i64; 3],
}

impl Rotation {
    fn new(degrees: f64, side: usize) -> Self {
        let angle = -degrees.to_radians();
        let (sin, cos) = (elementary::sin(angle), elementary::cos(angle));
        let center = side as f64 / 2.0;
        let fixed = |v: f64| (v * 65_536.0 + 0.5).floor() as i64;
        // The source of pixel (x, y)'s center, relative to the picture's center, is R (x + 1/2, y + 1/2).
        let row = |a: f64, b: f64| [a, b, (a + b) * 0.5 + center - (a + b) * center].map(fixed);
        Rotation { side: side as i64, row_x: row(cos, sin), row_y: row(-sin, cos) }
    }

    fn source(&self, x: usize, y: usize) -> Option<(usize, usize)> {
        let at = |row: &[i64; 3]| {
            let v = (row[0] * x as i64 + row[1] * y as i64 + row[2]) >> 16;
            (0..self.side).contains(&v).then_some(v as usize)
        };
        Some((at(&self.row_x)?, at(&self.row_y)?))
    }
}

/// Left, top, width and height of a cut of 8 to 100 % of the area with aspect ratio 3/4 to 4/3; after ten
/// tries that leave the image, the largest central cut of such a ratio.
fn random_cut(width: usize, height: usize, rng: &mut Rng) -> [usize; 4] {
    let (least, most) = (3.0 / 4.0, 4.0 / 3.0_f64);
    let area = (width * height) as f64;
    for _ in 0..10 {
        let target = area * rng.range(0.08, 1.0);
        let ratio = elementary::exp(rng.range(elementary::ln(least), elementary::ln(most)));
        let w = (target * ratio).sqrt().round_ties_even() as usize;
        let h = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            return [rng.below(width - w + 1), rng.below(height - h + 1), w, h];
        }
    }
    let ratio = width as f64 / height as f64;
    let (w, h) = if ratio < least {
        (width, ((width as f64 / least).round_ties_even() as usize).min(height))
    } else if ratio > most {
        (((height as f64 * most).round_ties_even() as usize).min(width), height)
    } else {
        (width, height)
    };
    [(width - w) / 2, (height - h) / 2, w, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red says the column, green the row, blue 255 that it is no padding.
    fn numbered(side: usize) -> Image {
        let samples =
            (0..side * side).flat_map(|i| [(i % side) as u8 + 1, (i / side) as u8 + 1, 255]).collect();
        Image::from_u8(side, side, 3, samples)
    }

    #[test]
    fn evaluation_only_normalises() {
        let mut out = vec![0.0; Transform::CIFAR.floats()];
        Transform::CIFAR.evaluate(&numbered(32), &mut out).unwrap();
        let n = Normalise::CIFAR10;
        assert_eq!(out[3 * (32 * 4 + 9)], (10.0 / 255.0 - n.mean[0]) / n.std[0]);
        assert_eq!(n.picture(32, 32, &out), numbered(32));
    }

    #[test]
    fn no_rotation_is_the_identity_and_a_quarter_turns_left() {
        let still = Rotation::new(0.0, 32);
        assert!((0..32).all(|y| (0..32).all(|x| still.source(x, y) == Some((x, y)))));
        // Counterclockwise: what was at the right edge is at the top.
        assert_eq!(Rotation::new(90.0, 32).source(5, 0), Some((31, 5)));
    }

    #[test]
    fn turns_choose_pillows_pixels() {
        // CRC-32 of Pillow's `Image.fromarray(numbered).rotate(degrees)`.
        for (degrees, sum) in [(3.7, 0xc260_5a98), (-4.9, 0x917c_8345), (0.6, 0x6133_9919)] {
            let (image, turn) = (numbered(32), Rotation::new(degrees, 32));
            let mut crc = flate2::Crc::new();
            for i in 0..32 * 32 {
                let from = turn.source(i % 32, i / 32);
                crc.update(from.map_or(&[0, 0, 0], |(x, y)| image.pixel(x, y)));
            }
            assert_eq!(crc.sum(), sum, "{degrees}");
        }
    }

    #[test]
    fn training_is_a_function_of_the_stream_and_within_bounds() {
        let t = Transform::CIFAR;
        let (mut a, mut b) = (vec![0.0; t.floats()], vec![0.0; t.floats()]);
        let (mut mirrored, mut padded) = (0, 0);
        for i in 0..400 {
            let stream = Rng::seed(9).at(i);
            t.train(&numbered(32), &mut stream.clone(), &mut a).unwrap();
            t.train(&numbered(32), &mut stream.clone(), &mut b).unwrap();
            assert_eq!(a, b);
            let shown = t.normalise.picture(32, 32, &a);
            mirrored += usize::from(shown.pixel(10, 16)[0] > shown.pixel(22, 16)[0]);
            padded += usize::from(shown.pixel(16, 0)[2] == 0);
            // 5 degrees move a pixel 16 from the center by 1.4, the cut by 2 at most; rounding adds one.
            assert!(shown.pixel(16, 16)[1].abs_diff(17) <= 4, "{:?}", shown.pixel(16, 16));
        }
        // Binomial(400, 1/2): six standard deviations are 60. The top row is padding for two of five offsets.
        assert!((140..=260).contains(&mirrored), "{mirrored}");
        assert!((100..=220).contains(&padded), "{padded}");
    }

    #[test]
    fn cuts_stay_inside_and_keep_their_proportions() {
        let mut rng = Rng::seed(4);
        for (w, h) in [(500, 375), (30, 900), (900, 30), (1, 1)] {
            for _ in 0..200 {
                let [x, y, cw, ch] = random_cut(w, h, &mut rng);
                assert!(cw > 0 && ch > 0 && x + cw <= w && y + ch <= h, "{x} {y} {cw} {ch} of {w}x{h}");
                let ratio = cw as f64 / ch as f64;
                assert!((0.7..1.4).contains(&ratio), "{ratio}");
            }
        }
    }

    #[test]
    fn photographs_of_any_size_fit() {
        let t = Transform::IMAGENET;
        let mut out = vec![0.0; t.floats()];
        for (w, h) in [(300, 200), (20, 40), (224, 224)] {
            t.evaluate(&Image::filled(w, h, [10, 20, 30]), &mut out).unwrap();
            assert_eq!(t.normalise.picture(224, 224, &out), Image::filled(224, 224, [10, 20, 30]));
            t.train(&Image::filled(w, h, [10, 20, 30]), &mut Rng::seed(1), &mut out).unwrap();
            assert_eq!(t.normalise.picture(224, 224, &out), Image::filled(224, 224, [10, 20, 30]));
        }
        assert!(t.evaluate(&Image::filled(10_000, 2, [0; 3]), &mut out).is_err());
    }
}
