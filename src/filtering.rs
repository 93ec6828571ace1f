//! Hand-designed filters on pictures: colours filtered, alpha and depth kept, signed results made visible.

use crate::image::{Align, Canvas, Color, Image, Samples};
use gradus_core::Tensor;
use gradus_models::filters::{Border, Filter, Kind};

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

/// Filters the colours of a picture; alpha stays as it is. Results of gain 1 are rounded and clipped to the samples'
/// range, others are scaled as [`Shown`] says.
pub fn filter(filter: &Filter, image: &Image, border: Border, shown: Shown) -> Filtered {
    let (w, h, channels) = (image.width(), image.height(), image.channels());
    let colours = channels - usize::from(image.has_alpha());
    let full = if image.depth() == 16 { 65_535.0 } else { 255.0 };
    let sample = |i: usize| match image.samples() {
        Samples::U8(v) => f32::from(v[i]),
        Samples::U16(v) => f32::from(v[i]),
    };
    let x = Tensor::from_fn([1, h, w, colours], |i| sample(i / colours * channels + i % colours));
    let y = filter.apply(&x, border);
    let range = y.data().iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), &v| {
        (lo.min(f64::from(v)), hi.max(f64::from(v)))
    });
    let largest = range.0.abs().max(range.1.abs()).max(f64::MIN_POSITIVE);
    let signed = filter.gain() == Some(0.0);
    let visible = |v: f32| {
        let v = f64::from(v);
        let v = match (signed, shown, filter.kind) {
            (true, Shown::Signed, _) => full / 2.0 * (1.0 + v / largest),
            (true, Shown::Absolute, _) => full * v.abs() / largest,
            (false, _, Kind::Magnitude { .. }) => full * v / largest,
            _ => v,
        };
        v.round().clamp(0.0, full)
    };
    let value = |i: usize| {
        let (pixel, channel) = (i / channels, i % channels);
        if channel < colours { visible(y.data()[pixel * colours + channel]) } else { f64::from(sample(i)) }
    };
    let n = w * h * channels;
    let image = if image.depth() == 16 {
        Image::from_u16(w, h, channels, (0..n).map(|i| value(i) as u16).collect())
    } else {
        Image::from_u8(w, h, channels, (0..n).map(|i| value(i) as u8).collect())
    };
    Filtered { image, min: range.0, max: range.1 }
}

/// |H| over both frequencies as a picture: the middle is frequency 0, an edge half a cycle a pixel; black is 0, white the
/// largest value, which the caption names. `None` for the median, which is not linear.
pub fn response_picture(filter: &Filter) -> Option<Image> {
    const SIDE: usize = 257;
    let (left, top) = (46, 44);
    let magnitude = |x: usize, y: usize| {
        let at = |i: usize| std::f64::consts::PI * (i as f64 - 128.0) / 128.0;
        filter.response(at(x), at(y)).map(|(re, im)| re.hypot(im))
    };
    let values: Vec<f64> =
        (0..SIDE * SIDE).map(|i| magnitude(i % SIDE, i / SIDE)).collect::<Option<Vec<f64>>>()?;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let shade = |v: &f64| (255.0 * v / largest.max(f64::MIN_POSITIVE)).round() as u8;
    let plane = Image::from_u8(SIDE, SIDE, 1, values.iter().map(shade).collect()).to_rgb8();
    let mut canvas = Canvas::new(left + SIDE + 20, top + SIDE + 64, Color::WHITE);
    canvas.image(left, top, &plane);
    let title = format!("{}: |H|, white is {largest:.2}", filter.name);
    canvas.text(&title, (12.0, 26.0), 15.0, Color::INK, Align::Left);
    let (l, t, s) = (left as f32, top as f32, SIDE as f32);
    canvas.frame([l - 0.5, t - 0.5, l + s + 0.5, t + s + 0.5], 1.0, Color::INK);
    for (k, tick) in ["-π", "0", "π"].into_iter().enumerate() {
        let along = k as f32 * (s - 1.0) / 2.0;
        canvas.text(tick, (l + along, t + s + 18.0), 12.0, Color::INK, Align::Center);
        canvas.text(tick, (l - 6.0, t + along + 4.0), 12.0, Color::INK, Align::Right);
    }
    canvas.text(
        "horizontal frequency (radians a pixel)",
        (l + s / 2.0, t + s + 40.0),
        12.0,
        Color::INK,
        Align::Center,
    );
    canvas.text_upwards(
        "vertical frequency (radians a pixel)",
        (16.0, t + s / 2.0),
        12.0,
        Color::INK,
        Align::Center,
    );
    Some(canvas.into_image())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_models::filters::find;

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
    fn responses_are_drawn_where_there_are_any() {
        assert!(response_picture(find("median").unwrap()).is_none());
        let picture = response_picture(find("binomial").unwrap()).unwrap();
        // White in the middle, black at the edge.
        assert_eq!(picture.pixel(46 + 128, 44 + 128), [255; 3]);
        assert_eq!(picture.pixel(46, 44), [0; 3]);
    }
}
