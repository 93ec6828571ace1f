//! Charts as images: lines and points over axes; grids of charts; confusion matrices.
//!
//! A [`Chart`] is data and words; [`Chart::image`] and [`Chart::svg`] draw it. Everything is the same on every
//! machine: the fonts are embedded, and nothing depends on a display. No chart speaks by color alone: lines
//! have markers or dashes, and their names stand where they end.

mod axis;
mod confusion;
mod layout;
mod series;
mod surface;
mod svg;

pub use axis::Scale;
pub use confusion::confusion;
pub use series::{Series, Style};

use crate::image::{Canvas, Color, Image};
use axis::Axis;
use svg::Svg;

/// Width and height of a chart in pixels, unless asked otherwise.
pub const SIZE: (usize, usize) = (560, 400);

/// Series over two axes.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x: Axis,
    y: Axis,
    series: Vec<Series>,
    marks: Vec<(f64, String)>,
    notes: Vec<((f64, f64), String)>,
    /// The same unit on both axes.
    square: bool,
    /// No room beyond the points.
    tight: bool,
    /// Width and height in pixels.
    size: (usize, usize),
}

impl Chart {
    /// An empty chart. Axis labels name the quantity and, in parentheses, its unit.
    pub fn new(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Chart {
            title: title.into(),
            x: Axis::new(x.into()),
            y: Axis::new(y.into()),
            series: Vec::new(),
            marks: Vec::new(),
            notes: Vec::new(),
            square: false,
            tight: false,
            size: SIZE,
        }
    }

    /// With another series.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// With another scale of the horizontal axis.
    #[must_use]
    pub fn x_scale(mut self, scale: Scale) -> Self {
        self.x.scale = scale;
        self
    }

    /// With another scale of the vertical axis.
    #[must_use]
    pub fn y_scale(mut self, scale: Scale) -> Self {
        self.y.scale = scale;
        self
    }

    /// The horizontal axis shows at least this range.
    #[must_use]
    pub fn x_range(mut self, from: f64, to: f64) -> Self {
        self.x.include(from);
        self.x.include(to);
        self
    }

    /// The vertical axis shows at least this range.
    #[must_use]
    pub fn y_range(mut self, from: f64, to: f64) -> Self {
        self.y.include(from);
        self.y.include(to);
        self
    }

    /// With a vertical line at x, and its meaning.
    #[must_use]
    pub fn mark(mut self, x: f64, meaning: impl Into<String>) -> Self {
        self.marks.push((x, meaning.into()));
        self
    }

    /// With words upon a point, on a pale ground.
    #[must_use]
    pub fn note(mut self, point: (f64, f64), words: impl Into<String>) -> Self {
        self.notes.push((point, words.into()));
        self
    }

    /// With the same unit on both axes: circles stay circles.
    #[must_use]
    pub fn square(mut self) -> Self {
        self.square = true;
        self
    }

    /// With axes that end where the points do: for curves that are cut there.
    #[must_use]
    pub fn tight(mut self) -> Self {
        self.tight = true;
        self
    }

    /// In another size than the usual one, in pixels (at least 160 x 120).
    #[must_use]
    pub fn sized(mut self, width: usize, height: usize) -> Self {
        self.size = (width.max(160), height.max(120));
        self
    }

    /// The chart as pixels.
    pub fn image(&self) -> Image {
        let mut canvas = Canvas::new(self.size.0, self.size.1, Color::WHITE);
        self.draw(&mut canvas, [0.0, 0.0, self.size.0 as f32, self.size.1 as f32]);
        canvas.into_image()
    }

    /// The chart as the text of an SVG file.
    pub fn svg(&self) -> String {
        let mut svg = Svg::new(self.size.0, self.size.1, &self.title);
        self.draw(&mut svg, [0.0, 0.0, self.size.0 as f32, self.size.1 as f32]);
        svg.finish()
    }
}

/// Charts side by side in `columns`, each in the usual size.
pub fn grid(charts: &[Chart], columns: usize) -> Image {
    let columns = columns.clamp(1, charts.len().max(1));
    let rows = charts.len().div_ceil(columns).max(1);
    let mut canvas = Canvas::new(columns * SIZE.0, rows * SIZE.1, Color::WHITE);
    for (i, chart) in charts.iter().enumerate() {
        let (x, y) = ((i % columns * SIZE.0) as f32, (i / columns * SIZE.1) as f32);
        chart.draw(&mut canvas, [x, y, x + SIZE.0 as f32, y + SIZE.1 as f32]);
    }
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::palette;

    fn ink(image: &Image, color: Color) -> usize {
        image.as_u8().chunks(3).filter(|p| **p == color.0[..3]).count()
    }

    #[test]
    fn a_line_is_drawn_where_its_points_are() {
        let chart = Chart::new("t", "x", "y").with(Series::line("", vec![(0.0, 0.0), (10.0, 5.0)]));
        let image = chart.image();
        assert_eq!((image.width(), image.height()), SIZE);
        assert!(ink(&image, palette(0)) > 500);
    }

    #[test]
    fn the_legend_leaves_a_mark_free() {
        // A falling curve and a mark at its end: the upper right corner holds no point, but the mark.
        let points: Vec<_> = (0..25).map(|i| (f64::from(i), 1.0 / f64::from(i + 1))).collect();
        let plain = Chart::new("", "x", "y").with(Series::new("a rather long name", points, Style::Dots));
        let column = |chart: &Chart| {
            let image = chart.image();
            let at = (0..image.width()).max_by_key(|&i| {
                (50..340).filter(|&j| image.as_u8()[3 * (j * image.width() + i)] < 150).count()
            });
            (50..340).filter(|&j| image.as_u8()[3 * (j * image.width() + at.unwrap()) + 1] < 150).count()
        };
        assert!(column(&plain.mark(23.0, "least: epoch 23")) > 280);
    }

    #[test]
    fn an_area_is_tinted_down_to_the_bottom() {
        let points = vec![(0.0, 0.0), (10.0, 10.0)];
        let image = Chart::new("", "x", "y").with(Series::new("", points, Style::Area)).image();
        let at = |x: usize, y: usize| &image.as_u8()[3 * (y * image.width() + x)..][..3];
        assert_ne!(at(480, 320), [255; 3]);
        assert_eq!(at(100, 80), [255; 3]);
    }

    #[test]
    fn words_stand_upon_their_point() {
        let dots = Series::new("", vec![(0.0, 0.0), (10.0, 10.0)], Style::Dots);
        let chart = Chart::new("", "x", "y").with(dots);
        let (plain, noted) = (chart.image(), chart.clone().note((5.0, 5.0), "truck").image());
        let changed = |y: usize| {
            let row = |image: &Image| image.as_u8()[3 * y * image.width()..][..3 * image.width()].to_vec();
            row(&plain) != row(&noted)
        };
        let rows: Vec<usize> = (0..plain.height()).filter(|&y| changed(y)).collect();
        let (top, bottom) = (rows[0], rows[rows.len() - 1]);
        assert!((150..250).contains(&top) && bottom - top < 30, "{top} {bottom}");
        assert!(chart.clone().note((5.0, 5.0), "<b>").svg().contains("&lt;b&gt;"));
        // Three upon one point stand below each other.
        let three = ["a", "b", "c"].iter().fold(chart, |chart, words| chart.note((5.0, 5.0), *words));
        let svg = three.svg();
        let heights: Vec<f32> = ["a", "b", "c"]
            .iter()
            .map(|words| {
                let element = svg.split("<text").find(|e| e.contains(&format!(">{words}</text>"))).unwrap();
                element.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] > 15.0), "{heights:?}");
    }

    #[test]
    fn odd_data_is_harmless() {
        let nan = f64::NAN;
        for points in [
            vec![],
            vec![(1.0, 2.0)],
            vec![(nan, 1.0), (1.0, nan), (2.0, f64::INFINITY)],
            vec![(1.0, 1e308), (2.0, -1e308)],
        ] {
            for style in Style::ALL {
                for scale in [Scale::Linear, Scale::Log, Scale::Percent] {
                    let s = Series::new("a", points.clone(), style);
                    Chart::new("", "", "")
                        .with(s)
                        .x_scale(scale)
                        .y_scale(scale)
                        .mark(0.0, "zero")
                        .note((f64::NAN, 1.0), "nowhere")
                        .sized(1, 1)
                        .image();
                }
            }
        }
        grid(&[], 3);
    }
}
