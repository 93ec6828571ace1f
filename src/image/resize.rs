//! Resizing as Pillow does it, and with it torchvision on images.
//!
//! An output pixel is the weighted mean of the input pixels under a triangle (the bilinear kernel) around its
//! center; when shrinking by s, the triangle is s times as wide, which is the antialiasing. The filter is
//! separable: rows first, then columns, each rounded to 8 bits. Weights are fixed-point numbers of 22 bits,
//! so that the result is Pillow's to the bit (Pillow's `Resample.c` is the reference for these conventions).

use super::raster::Image;
use gradus_core::memory;

/// How a pixel is found between those of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel, as it is.
    Nearest,
    /// A triangle, wider when shrinking (antialiased).
    Bilinear,
}

const BITS: u32 = 22;

impl Image {
    /// Scaled to the given size; 8 bits a sample. Channels are independent of each other (alpha too).
    /// Panics where a side is 0 or the image has 16 bits.
    #[track_caller]
    pub fn resize(&self, width: usize, height: usize, filter: Filter) -> Self {
        assert!(width > 0 && height > 0, "Image::resize: to {width}x{height}");
        if (width, height) == (self.width(), self.height()) {
            return self.clone();
        }
        match filter {
            Filter::Nearest => {
                let nearest =
                    |i: usize, from: usize, to: usize| ((i as f64 + 0.5) * from as f64 / to as f64) as usize;
                self.gather(width, height, |u, v| {
                    (nearest(u, self.width(), width), nearest(v, self.height(), height))
                })
            }
            Filter::Bilinear => {
                let c = self.channels();
                let rows = shrink_rows(self.as_u8(), self.width(), width, c);
                let out = mix_rows(&rows, self.height(), height, width * c);
                Self::from_u8(width, height, c, out)
            }
        }
    }

    /// Scaled so that the shorter side is `side`; the longer is rounded down (torchvision's `Resize(side)`).
    #[track_caller]
    pub fn resize_shorter(&self, side: usize) -> Self {
        let (short, long) = (self.width().min(self.height()), self.width().max(self.height()));
        let longer = (side as f64 * long as f64 / short as f64) as usize;
        let (w, h) = if self.width() <= self.height() { (side, longer) } else { (longer, side) };
        self.resize(w, h, Filter::Bilinear)
    }

    /// The middle `side` x `side` pixels (torchvision's `CenterCrop`: halves round to even). Panics where the
    /// image is smaller.
    #[track_caller]
    pub fn center_crop(&self, side: usize) -> Self {
        assert!(
            side <= self.width().min(self.height()),
            "Image::center_crop: {side} of {}x{}",
            self.width(),
            self.height()
        );
        let middle = |length: usize| ((length - side) as f64 / 2.0).round_ties_even() as usize;
        self.crop(middle(self.width()), middle(self.height()), side, side)
    }
}

/// The filter's coefficients: for each output position the first input position, and the weights from there
/// on.
struct Coefficients {
    starts: Vec<usize>,
    counts: Vec<usize>,
    weights: Vec<i32>,
    stride: usize,
}

impl Coefficients {
    fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let stride = 2 * support.ceil() as usize + 1;
        let mut coefficients =
            Coefficients { starts: vec![0; to], counts: vec![0; to], weights: vec![0; to * stride], stride };
        for i in 0..to {
            let center = (i as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let triangle = |x: usize| (1.0 - ((x as f64 - center + 0.5) / support).abs()).max(0.0);
            let total: f64 = (start..end).map(triangle).sum();
            for (k, x) in (start..end).enumerate() {
                coefficients.weights[i * stride + k] =
                    (triangle(x) / total * f64::from(1 << BITS) + 0.5) as i32;
            }
            (coefficients.starts[i], coefficients.counts[i]) = (start, end - start);
        }
        coefficients
    }

    fn at(&self, i: usize) -> (usize, &[i32]) {
        (self.starts[i], &self.weights[i * self.stride..][..self.counts[i]])
    }
}

fn round(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Each row of `from` pixels becomes one of `to` pixels.
fn shrink_rows(data: &[u8], from: usize, to: usize, channels: usize) -> Vec<u8> {
    if from == to {
        return data.to_vec();
    }
    let coefficients = Coefficients::new(from, to);
    let mut out = memory::room("the pixels", data.len() / from * to);
    for row in data.chunks_exact(from * channels) {
        for i in 0..to {
            let (start, weights) = coefficients.at(i);
            let mut sums = [1 << (BITS - 1); 4];
            for (pixel, &w) in row[start * channels..].chunks_exact(channels).zip(weights) {
                for (sum, &v) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(v) * w;
                }
            }
            out.extend(sums[..channels].iter().map(|&s| round(s)));
        }
    }
    out
}

/// `from` rows of `length` samples become `to` rows.
fn mix_rows(data: &[u8], from: usize, to: usize, length: usize) -> Vec<u8> {
    if from == to {
        return data.to_vec();
    }
    let coefficients = Coefficients::new(from, to);
    let mut out = memory::room("the pixels", to * length);
    let mut sums = vec![0; length];
    for i in 0..to {
        let (start, weights) = coefficients.at(i);
        sums.fill(1 << (BITS - 1));
        for (row, &w) in data[start * length..].chunks_exact(length).zip(weights) {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += i32::from(v) * w;
            }
        }
        out.extend(sums.iter().map(|&s| round(s)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_stays_constant() {
        let image = Image::filled(37, 21, [255, 128, 1]);
        for (w, h) in [(5, 7), (100, 3), (37, 40), (1, 1)] {
            assert_eq!(image.resize(w, h, Filter::Bilinear), Image::filled(w, h, [255, 128, 1]));
        }
    }

    #[test]
    fn halving_weighs_1_3_3_1() {
        // Shrinking by 2, the triangle has half-width 2: weights 1/8, 3/8, 3/8, 1/8; at the edge 3/7, 3/7,
        // 1/7.
        let image = Image::from_u8(8, 1, 1, vec![0, 0, 80, 160, 240, 0, 70, 140]);
        let half = image.resize(4, 1, Filter::Bilinear);
        // 80/7 = 11.4; (0 + 240 + 480 + 240) / 8 = 120; (160 + 720 + 0 + 70) / 8 = 118.75; 630 / 7 = 90.
        assert_eq!(half.as_u8(), [11, 120, 119, 90]);
    }

    #[test]
    fn nearest_repeats_pixels() {
        let image = Image::from_u8(2, 1, 1, vec![3, 9]);
        assert_eq!(image.resize(4, 1, Filter::Nearest).as_u8(), [3, 3, 9, 9]);
    }

    #[test]
    fn the_shorter_side_and_the_middle() {
        let image = Image::filled(300, 451, [1, 2, 3]).resize_shorter(256);
        assert_eq!((image.width(), image.height()), (256, 384)); // 384.85 rounded down
        assert_eq!(image.center_crop(224).width(), 224);
        // Odd differences: 3 / 2 = 1.5 rounds to 2, 1 / 2 = 0.5 to 0.
        let row = Image::from_u8(7, 4, 1, (0..28).collect());
        assert_eq!(row.center_crop(4).pixel(0, 0), [2]);
        assert_eq!(Image::from_u8(2, 1, 1, vec![5, 6]).center_crop(1).pixel(0, 0), [5]);
    }
}
