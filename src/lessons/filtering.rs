//! Hand-designed filters on pictures: colours filtered, alpha and depth kept, signed results made visible.
//!
//! As floats, a picture and its derivatives take twenty times its memory. So it is filtered in bands of rows,
//! each with the row beyond either end; and twice: for the range of its values, by which some are scaled, and
//! for the pixels. A pixel is the same in whatever band it lies, since the sums are exact.

use super::filters::{Border, Filter, Kind};
use crate::error::Result;
use crate::image::{Align, Canvas, Color, Image, Limits, Samples, save_png_in_bands};
use crate::interrupt;
use gradus_core::{Tensor, elementary};
use std::ops::Range;
use std::path::Path;

/// So many samples make a band, or one row if it has more.
const BAND: usize = 1 << 20;

/// How a result that may be negative is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// 0 is mid-gray; scaled so that the largest value is white or black.
    Signed,
    /// 0 is black; scaled so that the largest value is white.
    Absolute,
}

/// A filtered picture and the range of the values before they were made visible.
pub struct Filtered {
    /// Of the size, channels and depth of the input.
    pub image: Image,
    /// The least value of a colour, in units of samples.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// Filters the colours of a picture; alpha stays as it is. Results of gain 1 are rounded and clipped to the
/// samples' range, others are scaled as [`Shown`] says.
pub fn filter(filter: &Filter, picture: &Image, border: Border, shown: Shown) -> Filtered {
    let mut work = Filtering::new(filter, picture, border, shown);
    work.cuts().for_each(|rows| work.see(rows));
    let image = work.image(picture.height(), work.cuts().flat_map(|rows| work.samples(rows)));
    Filtered { image, min: work.min, max: work.max }
}

/// The same, but written to a PNG file band by band: it takes little memory beside the picture's. The least
/// and the greatest value are returned.
pub fn filter_to(
    path: &Path,
    filter: &Filter,
    picture: &Image,
    border: Border,
    shown: Shown,
) -> Result<(f64, f64)> {
    const KEPT: &str = "the picture was not made";
    let mut work = Filtering::new(filter, picture, border, shown);
    for rows in work.cuts() {
        interrupt::check(KEPT)?;
        work.see(rows);
    }
    save_png_in_bands(path, picture.height(), work.bands())
        .or_else(|e| interrupt::check(KEPT).and(Err(e)))?;
    Ok((work.min, work.max))
}

/// A filter at work on a picture.
struct Filtering<'a> {
    filter: &'a Filter,
    picture: &'a Image,
    border: Border,
    shown: Shown,
    min: f64,
    max: f64,
}

impl<'a> Filtering<'a> {
    fn new(filter: &'a Filter, picture: &'a Image, border: Border, shown: Shown) -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Filtering { filter, picture, border, shown, min, max }
    }

    /// Takes the values of some rows into the range.
    fn see(&mut self, rows: Range<usize>) {
        for &v in self.values(rows).data() {
            (self.min, self.max) = (self.min.min(f64::from(v)), self.max.max(f64::from(v)));
        }
    }

    fn colours(&self) -> usize {
        self.picture.channels() - usize::from(self.picture.has_alpha())
    }

    /// The rows of each band.
    fn cuts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let height = self.picture.height();
        let rows = (BAND / (self.picture.width() * self.picture.channels())).max(1);
        (0..height).step_by(rows).map(move |first| first..height.min(first + rows))
    }

    /// The finished bands, from the top.
    fn bands(&self) -> impl Iterator<Item = Image> {
        self.cuts().map(|rows| self.image(rows.len(), self.samples(rows)))
    }

    fn sample(&self, i: usize) -> f32 {
        match self.picture.samples() {
            Samples::U8(v) => f32::from(v[i]),
            Samples::U16(v) => f32::from(v[i]),
        }
    }

    /// The filtered colours of some rows, [1, rows, width, colours].
    fn values(&self, rows: Range<usize>) -> Tensor {
        let (picture, channels) = (self.picture, self.picture.channels());
        let size = [picture.height(), picture.width(), self.colours()];
        let x = self.border.pad_rows(rows, size, |pixel, at| {
            pixel.iter_mut().enumerate().for_each(|(c, to)| *to = self.sample(at * channels + c));
        });
        self.filter.apply_valid(&x)
    }

    /// The samples of some rows of the result.
    fn samples(&self, rows: Range<usize>) -> impl Iterator<Item = f64> {
        let (w, channels, colours) = (self.picture.width(), self.picture.channels(), self.colours());
        let full = if self.picture.depth() == 16 { 65_535.0 } else { 255.0 };
        let largest = self.min.abs().max(self.max.abs()).max(f64::MIN_POSITIVE);
        let signed = self.filter.gain() == Some(0.0);
        let visible = move |v: f32| {
            let v = f64::from(v);
            let v = match (signed, self.shown, self.filter.kind) {
                (true, Shown::Signed, _) => full / 2.0 * (1.0 + v / largest),
                (true, Shown::Absolute, _) => full * v.abs() / largest,
                (false, _, Kind::Magnitude { .. }) => full * v / largest,
                _ => v,
            };
            v.round().clamp(0.0, full)
        };
        let (first, n) = (rows.start * w * channels, rows.len() * w * channels);
        let y = self.values(rows);
        (0..n).map(move |i| {
            let (pixel, channel) = (i / channels, i % channels);
            if channel < colours {
                visible(y.data()[pixel * colours + channel])
            } else {
                f64::from(self.sample(first + i))
            }
        })
    }

    /// Rows of samples in the picture's depth.
    fn image(&self, height: usize, samples: impl Iterator<Item = f64>) -> Image {
        let (w, channels) = (self.picture.width(), self.picture.channels());
        match self.picture.depth() {
            16 => Image::from_u16(w, height, channels, samples.map(|v| v as u16).collect()),
            _ => Image::from_u8(w, height, channels, samples.map(|v| v as u8).collect()),
        }
    }
}

/// |H| over both frequencies as a picture: the middle is frequency 0, an edge half a cycle a pixel; black is
/// 0, white the largest value, which the caption names. `None` for the median, which is not linear.
pub fn response_picture(filter: &Filter) -> Option<Image> {
    const SIDE: usize = 257;
    let (left, top) = (46, 44);
    let magnitude = |x: usize, y: usize| {
        let at = |i: usize| std::f64::consts::PI * (i as f64 - 128.0) / 128.0;
        filter.response(at(x), at(y)).map(|(re, im)| elementary::hypot(re, im))
    };
    let values: Vec<f64> =
        (0..SIDE * SIDE).map(|i| magnitude(i % SIDE, i / SIDE)).collect::<Option<Vec<f64>>>()?;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let shade = |v: &f64| (255.0 * v / largest.max(f64::MIN_POSITIVE)).round() as u8;
    let plane = Image::from_u8(SIDE, SIDE, 1, values.iter().map(shade).collect()).to_rgb8();
    let mut canvas = Canvas::new(left + SIDE + 84, top + SIDE + 64, Color::WHITE);
    canvas.image(left, top, &plane);
    canvas.text(&format!("{}: |H|", filter.name), (12.0, 26.0), 15.0, Color::INK, Align::Left);
    let (l, t, s) = (left as f32, top as f32, SIDE as f32);
    canvas.frame([l - 0.5, t - 0.5, l + s + 0.5, t + s + 0.5], 1.0, Color::INK);
    let gray = |share: f64| {
        let v = (255.0 * share).round() as u8;
        Color::rgb(v, v, v)
    };
    canvas.shades([l + s + 14.0, t], s, gray, |share| format!("{:.2}", share * largest));
    for (k, tick) in ["-π", "0", "π"].into_iter().enumerate() {
        let along = k as f32 * (s - 1.0) / 2.0;
        canvas.text(tick, (l + along, t + s + 18.0), 12.0, Color::INK, Align::Center);
        canvas.text(tick, (l - 6.0, t + along + 4.0), 12.0, Color::INK, Align::Right);
    }
    let [across, down] = ["horizontal", "vertical"].map(|axis| format!("{axis} frequency (radians a pixel)"));
    canvas.text(&across, (l + s / 2.0, t + s + 40.0), 12.0, Color::INK, Align::Center);
    canvas.text_upwards(&down, (16.0, t + s / 2.0), 12.0, Color::INK, Align::Center);
    Some(canvas.into_image())
}

/// A square of `side` pixels from the photograph that the program brings along.
pub fn photograph(side: usize) -> Result<Image> {
    let photo = Image::decode(include_bytes!("../../assets/camera.png"), &Limits::default())?;
    Ok(photo.crop(150, 40, side, side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lessons::filters::find;

    #[test]
    fn alpha_and_depth_are_kept_and_signs_are_visible() {
        // A step from 0 to 1000 in 16 bits, half transparent.
        let samples = (0..5 * 4).flat_map(|i| [if i % 5 < 2 { 0u16 } else { 1000 }, 777]).collect();
        let image = Image::from_u16(5, 4, 2, samples);
        let edges = filter(find("sobel-x").unwrap(), &image, Border::Replicate, Shown::Signed);
        assert_eq!((edges.min, edges.max), (0.0, 4000.0));
        let Samples::U16(v) = edges.image.samples() else { panic!("16 bits are kept") };
        assert!(v.chunks(2).all(|p| p[1] == 777));
        // 0 is mid-gray (65,535 / 2 rounded), the edge white.
        assert_eq!((v[0], v[2]), (32_768, 65_535));
        let blurred = filter(find("box").unwrap(), &image, Border::Replicate, Shown::Signed);
        let Samples::U16(v) = blurred.image.samples() else { panic!("16 bits are kept") };
        assert_eq!([v[0], v[2], v[4], v[6]], [0, 333, 667, 1000]);
    }

    #[test]
    fn bands_meet_without_a_seam() {
        // Wider than a band is long, so that each row is a band of its own.
        let (w, h) = (BAND / 3 + 1, 5);
        let mut rng = gradus_core::Rng::seed(3);
        let picture = Image::from_u8(w, h, 3, (0..w * h * 3).map(|_| rng.u64() as u8).collect());
        let x = Tensor::from_fn([1, h, w, 3], |i| f32::from(picture.as_u8()[i]));
        for border in [Border::Reflect, Border::Replicate, Border::Zero, Border::Wrap] {
            let box_ = find("box").unwrap();
            let whole = box_.apply(&x, border);
            let banded = filter(box_, &picture, border, Shown::Signed);
            let expected: Vec<u8> = whole.data().iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect();
            assert!(banded.image.as_u8() == expected, "{border:?}");
        }
    }

    #[test]
    fn responses_are_drawn_where_there_are_any() {
        assert!(response_picture(find("median").unwrap()).is_none());
        let picture = response_picture(find("binomial").unwrap()).unwrap();
        // White in the middle, black at the edge.
        assert_eq!(picture.pixel(46 + 128, 44 + 128), [255; 3]);
        assert_eq!(picture.pixel(46, 44), [0; 3]);
        // Beside it, the bar from white to black.
        assert!(picture.pixel(46 + 257 + 20, 45)[0] > 250 && picture.pixel(46 + 257 + 20, 44 + 254)[0] < 5);
    }
}
