//! 3x3 filters designed by hand, and why they work.
//!
//! A filter correlates the image x with nine weights: y(i, j) = (1/d) Σ w(k, l) x(i + k, j + l), for k and l
//! from -1 to 1. The weights are integers and d one divisor: on 8-bit images every sum is exact in f32, and
//! one rounding remains. What a filter does to a wave of frequency (ωx, ωy) is its response
//! H(ωx, ωy) = (1/d) Σ w(k, l) e^{i(l ωx + k ωy)}: H(0, 0), the sum of the weights, is the gain of flat areas
//! (1 for blur and sharpening, 0 for edges); white noise of variance s² leaves with s² Σ (w/d)².

use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::{Element, Tape, Tensor, elementary};
use std::ops::Range;

/// Rows top to bottom, each left to right.
pub type Kernel3 = [[i32; 3]; 3];

/// How a filter makes its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Correlation with the weights over the divisor.
    Linear {
        /// The nine weights.
        weights: Kernel3,
        /// What the sum is divided by.
        divisor: i32,
    },
    /// The length of the gradient: √(gx² + gy²), gx and gy by correlation.
    Magnitude {
        /// The derivative along x.
        x: Kernel3,
        /// The derivative along y.
        y: Kernel3,
    },
    /// The middle of the nine values; not linear.
    Median,
}

/// A named filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The name that the command line takes.
    pub name: &'static str,
    /// What it computes.
    pub kind: Kind,
    /// What it is for, and why its weights do that.
    pub why: &'static str,
}

const SOBEL_X: Kernel3 = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]];
const PREWITT_X: Kernel3 = [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]];
const SCHARR_X: Kernel3 = [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]];

const fn transpose(w: Kernel3) -> Kernel3 {
    [[w[0][0], w[1][0], w[2][0]], [w[0][1], w[1][1], w[2][1]], [w[0][2], w[1][2], w[2][2]]]
}

/// Divided by the sum of its weights where that is not 0, so that flat areas keep their value.
const fn linear(name: &'static str, weights: Kernel3, why: &'static str) -> Filter {
    let (mut sum, mut rest) = (0, weights.as_flattened());
    while let [first, others @ ..] = rest {
        sum += *first;
        rest = others;
    }
    let divisor = if sum == 0 { 1 } else { sum };
    Filter { name, kind: Kind::Linear { weights, divisor }, why }
}

/// Every filter.
pub const FILTERS: [Filter; 16] = [
    linear(
        "sobel-x",
        SOBEL_X,
        "Vertical edges. A central difference across, [-1 0 1], which is zero on flat areas, after a blur along the edge, \
         [1 2 1], which averages noise away. A ramp of slope 1 gives 8, a step of height h gives 4h; stripes that \
         alternate each pixel give 0.",
    ),
    linear("sobel-y", transpose(SOBEL_X), "Horizontal edges: sobel-x with rows and columns exchanged."),
    Filter {
        name: "sobel",
        kind: Kind::Magnitude { x: SOBEL_X, y: transpose(SOBEL_X) },
        why: "Edges of every direction: the length of the gradient whose components sobel-x and sobel-y estimate.",
    },
    linear(
        "prewitt-x",
        PREWITT_X,
        "Vertical edges: a central difference across, averaged over three rows with equal weights; less blur along the \
         edge than Sobel at the centre, more ripple at high frequencies.",
    ),
    linear("prewitt-y", transpose(PREWITT_X), "Horizontal edges: prewitt-x with rows and columns exchanged."),
    linear(
        "scharr-x",
        SCHARR_X,
        "Vertical edges: Sobel's idea with the weights 3 10 3 along the edge, which make the estimated direction most \
         nearly the same for edges of every angle.",
    ),
    linear("scharr-y", transpose(SCHARR_X), "Horizontal edges: scharr-x with rows and columns exchanged."),
    linear(
        "laplacian",
        [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
        "Edges and spots of every direction at once: the sum of both second differences. Zero on flat areas and on \
         ramps, 4 on x² + y²; an edge is where it changes its sign. It multiplies the variance of noise by 20.",
    ),
    linear(
        "box",
        [[1, 1, 1]; 3],
        "Blur and noise reduction: the mean of nine. Of all 3x3 filters with gain 1 it leaves least of white noise, a \
         ninth of its variance. Its response is negative for the finest stripes: it inverts their contrast.",
    ),
    linear(
        "binomial",
        [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
        "Blur and noise reduction without the box's flaw: [1 2 1]/4 across and down, the smallest Gaussian. Its response \
         cos²(ωx/2) cos²(ωy/2) falls steadily to 0 and is never negative; noise keeps 9/64 of its variance.",
    ),
    linear(
        "sharpen",
        [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
        "Sharpening: the image minus its Laplacian. Flat areas keep their value (the weights sum to 1), and on both sides \
         of an edge the difference is exaggerated.",
    ),
    linear(
        "sharpen-horizontal",
        [[0, 0, 0], [-1, 3, -1], [0, 0, 0]],
        "Horizontal sharpening: each pixel three times, minus its left and right neighbours. The response 3 - 2 cos ωx \
         grows from 1 to 5 with the horizontal frequency; what varies only vertically passes unchanged, so that \
         horizontal edges stay as they are and vertical ones gain overshoot.",
    ),
    linear(
        "sharpen-vertical",
        [[0, -1, 0], [0, 3, 0], [0, -1, 0]],
        "Vertical sharpening: sharpen-horizontal with rows and columns exchanged.",
    ),
    linear(
        "unsharp",
        [[-1, -2, -1], [-2, 28, -2], [-1, -2, -1]],
        "Unsharp masking: the image plus its difference from the binomial blur, 2x - blur(x). Gain 1, smoother in \
         direction than sharpen.",
    ),
    Filter {
        name: "median",
        kind: Kind::Median,
        why: "Noise reduction for salt and pepper: up to four wrong values of nine never become the middle one, where a \
              mean would smear each of them over nine pixels; straight edges stay sharp. It is not linear.",
    },
    linear(
        "identity",
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        "Changes nothing: the weight of the pixel itself is 1.",
    ),
];

/// The filter of that name.
pub fn find(name: &str) -> Option<&'static Filter> {
    FILTERS.iter().find(|f| f.name == name)
}

/// What stands beyond the image's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Border {
    /// The image mirrored at its outermost pixels: c b | a b c | b a. A side of one pixel is replicated.
    Reflect,
    /// The outermost pixel, again and again: a a | a b c | c c.
    Replicate,
    /// Zeros.
    Zero,
    /// The other side: b c | a b c | a b.
    Wrap,
}

impl Border {
    /// Which of n pixels stands at position i in -1..=n; `None` for zeros.
    pub fn source(self, i: isize, n: usize) -> Option<usize> {
        let last = n as isize - 1;
        let j = match self {
            _ if (0..=last).contains(&i) => i,
            Border::Reflect => if i < 0 { -i } else { 2 * last - i }.clamp(0, last),
            Border::Replicate => i.clamp(0, last),
            Border::Wrap => i.rem_euclid(n as isize),
            Border::Zero => return None,
        };
        Some(j as usize)
    }

    /// An image [1, H, W, C] with one pixel more on each side.
    #[track_caller]
    pub fn pad<E: Element>(self, image: &Tensor<E>) -> Tensor<E> {
        let [n, h, w, c] = image.dims("pad");
        assert!(n == 1 && h > 0 && w > 0, "pad: one image that is not empty, got {:?}", image.shape());
        self.pad_rows(0..h, [h, w, c], |pixel, at| pixel.copy_from_slice(&image.data()[at * c..][..c]))
    }

    /// Some rows of an image of height, width and channels, with one pixel more on each side; `fill` writes
    /// the pixel of a place in the image.
    pub(super) fn pad_rows<E: Element>(
        self,
        rows: Range<usize>,
        [h, w, c]: [usize; 3],
        fill: impl Fn(&mut [E], usize),
    ) -> Tensor<E> {
        let mut out = Tensor::zeros([1, rows.len() + 2, w + 2, c]);
        for (k, row) in out.data_mut().chunks_mut((w + 2) * c).enumerate() {
            let Some(y) = self.source((rows.start + k) as isize - 1, h) else { continue };
            for (x, pixel) in row.chunks_mut(c).enumerate() {
                if let Some(x) = self.source(x as isize - 1, w) {
                    fill(pixel, y * w + x);
                }
            }
        }
        out
    }
}

/// Σ w(k, l) x(i + k, j + l) for each channel by itself, without a border: [1, H, W, C] gives
/// [1, H - 2, W - 2, C]. Of 8-bit values every partial sum is an integer below 2^24: the result is exact in
/// f32, by each algorithm.
#[track_caller]
pub fn correlate<E: Element>(image: &Tensor<E>, weights: Kernel3) -> Tensor<E> {
    let [.., c] = image.dims::<4>("correlate");
    let taps = Tensor::from_fn([3, 3, 1, c], |i| E::from_f64(weights[i / c / 3][i / c % 3].into()));
    let depthwise = Conv::default().groups(c);
    Tape::infer().conv2d(image.clone().into(), &taps.into(), None, depthwise, Fused::default()).value
}

/// The median of each 3x3 window and channel, without a border: [1, H, W, C] gives [1, H - 2, W - 2, C].
/// Values must not be NaN.
#[track_caller]
pub fn median<E: Element>(image: &Tensor<E>) -> Tensor<E> {
    let [n, h, w, c] = image.dims("median");
    assert!(n == 1 && h > 2 && w > 2, "median: one image of at least 3 x 3, got {:?}", image.shape());
    let x = image.data();
    Tensor::from_fn([1, h - 2, w - 2, c], |i| {
        let (row, column, channel) = (i / c / (w - 2), i / c % (w - 2), i % c);
        let mut nine: [E; 9] = std::array::from_fn(|k| x[((row + k / 3) * w + column + k % 3) * c + channel]);
        nine.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        nine[4]
    })
}

impl Filter {
    /// The filtered image, of the same shape [1, H, W, C].
    #[track_caller]
    pub fn apply<E: Element>(&self, image: &Tensor<E>, border: Border) -> Tensor<E> {
        self.apply_valid(&border.pad(image))
    }

    /// Where all nine pixels lie inside the image: [1, H, W, C] gives [1, H - 2, W - 2, C]. The integer sum
    /// comes first and one division after it, so that a flat area keeps its value to the bit (claim F1) and a
    /// mean never leaves the range of its nine pixels (claim F7).
    #[track_caller]
    pub fn apply_valid<E: Element>(&self, image: &Tensor<E>) -> Tensor<E> {
        match self.kind {
            Kind::Linear { weights, divisor } => {
                let divisor = E::from_f64(divisor.into());
                correlate(image, weights).map(|sum| sum / divisor)
            }
            Kind::Magnitude { x, y } => {
                let (mut gx, gy) = (correlate(image, x), correlate(image, y));
                gx.data_mut().iter_mut().zip(gy.data()).for_each(|(x, &y)| *x = (*x * *x + y * y).sqrt());
                gx
            }
            Kind::Median => median(image),
        }
    }

    /// H(ωx, ωy) as (real, imaginary) parts; for a magnitude filter (|Hx|² + |Hy|²)^½; `None` for the median,
    /// which has none.
    pub fn response(&self, wx: f64, wy: f64) -> Option<(f64, f64)> {
        let sum = |weights: Kernel3, divisor: i32| {
            let mut h = (0.0, 0.0);
            for (k, row) in (-1..).zip(weights) {
                for (l, weight) in (-1..).zip(row) {
                    let phase = f64::from(l) * wx + f64::from(k) * wy;
                    let share = f64::from(weight) / f64::from(divisor);
                    h = (h.0 + share * elementary::cos(phase), h.1 + share * elementary::sin(phase));
                }
            }
            h
        };
        match self.kind {
            Kind::Linear { weights, divisor } => Some(sum(weights, divisor)),
            Kind::Magnitude { x, y } => {
                let (x, y) = (sum(x, 1), sum(y, 1));
                Some(((x.0 * x.0 + x.1 * x.1 + y.0 * y.0 + y.1 * y.1).sqrt(), 0.0))
            }
            Kind::Median => None,
        }
    }

    fn linear(&self) -> Option<([f64; 9], f64)> {
        let Kind::Linear { weights, divisor } = self.kind else { return None };
        Some((std::array::from_fn(|i| weights[i / 3][i % 3].into()), divisor.into()))
    }

    /// The sum of the weights over the divisor: the gain of flat areas. `None` where there is no such number.
    pub fn gain(&self) -> Option<f64> {
        self.linear().map(|(weights, divisor)| weights.iter().sum::<f64>() / divisor)
    }

    /// Σ (w/d)²: by how much the variance of white noise is multiplied.
    pub fn noise_gain(&self) -> Option<f64> {
        let squares = |weights: [f64; 9]| weights.iter().map(|w| w * w).sum::<f64>();
        self.linear().map(|(weights, divisor)| squares(weights) / (divisor * divisor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_explained() {
        for (i, f) in FILTERS.iter().enumerate() {
            assert!(FILTERS[..i].iter().all(|g| g.name != f.name) && f.why.len() > 40, "{}", f.name);
            assert_eq!(find(f.name), Some(f));
        }
    }

    #[test]
    fn known_gains() {
        let gains = |name| find(name).map(|f| (f.gain(), f.noise_gain())).unwrap();
        assert_eq!(gains("box"), (Some(1.0), Some(1.0 / 9.0)));
        assert_eq!(gains("binomial"), (Some(1.0), Some(9.0 / 64.0)));
        assert_eq!(gains("sobel-x"), (Some(0.0), Some(12.0)));
        assert_eq!(gains("laplacian"), (Some(0.0), Some(20.0)));
        assert_eq!(gains("sharpen-horizontal"), (Some(1.0), Some(11.0)));
        assert_eq!(gains("unsharp").0, Some(1.0));
    }

    #[test]
    fn borders() {
        let row = Tensor::from_slice([1, 1, 3, 1], &[1.0f32, 2.0, 3.0]);
        let middle = |b: Border| b.pad(&row).data()[5..10].to_vec();
        assert_eq!(middle(Border::Reflect), [2.0, 1.0, 2.0, 3.0, 2.0]);
        assert_eq!(middle(Border::Replicate), [1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(middle(Border::Zero), [0.0, 1.0, 2.0, 3.0, 0.0]);
        assert_eq!(middle(Border::Wrap), [3.0, 1.0, 2.0, 3.0, 1.0]);
        assert_eq!(Border::Reflect.pad(&row).data()[..5], [2.0, 1.0, 2.0, 3.0, 2.0]);
        assert_eq!(Border::Zero.pad(&row).data()[..5], [0.0; 5]);
    }

    #[test]
    fn median_of_nine() {
        let t = Tensor::from_slice([1, 3, 3, 1], &[9.0f32, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0]);
        assert_eq!(median(&t).data(), [5.0]);
    }

    #[test]
    fn each_channel_is_filtered_by_itself() {
        // Channel 0 is a ramp of slope 1, channel 1 the square of the row, of 4 rows and 5 columns.
        let image = Tensor::from_fn([1, 4, 5, 2], |i| {
            let (row, column) = ((i / 10) as f32, (i / 2 % 5) as f32);
            if i % 2 == 0 { column } else { row * row }
        });
        let at = |name: &str| find(name).unwrap().apply_valid(&image);
        assert_eq!(at("sobel-x").data(), [8.0, 0.0].repeat(6));
        assert_eq!(at("laplacian").data(), [0.0, 2.0].repeat(6));
        assert_eq!(at("sobel").data()[..2], [8.0, 16.0]);
        assert_eq!(at("identity").data()[..4], [1.0, 1.0, 2.0, 1.0]);
        for filter in &FILTERS {
            assert_eq!(filter.apply(&image, Border::Reflect).shape(), image.shape(), "{}", filter.name);
        }
    }
}
