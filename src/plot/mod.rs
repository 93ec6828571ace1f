//! Charts as images: lines and points over axes; grids of charts; confusion matrices.
//!
//! A [`Chart`] is data and words; [`Chart::image`] draws it. Everything is the same on every machine: the
//! fonts are embedded, and nothing depends on a display.

mod axis;
mod confusion;

pub use axis::Scale;
pub use confusion::confusion;

use crate::image::{Align, Canvas, Color, Image, palette, text_width};
use axis::Axis;

/// Width and height of a chart in pixels, unless asked otherwise.
pub const SIZE: (usize, usize) = (560, 400);

const TITLE: f32 = 15.0;
const LABEL: f32 = 13.0;
const TICK: f32 = 12.0;
/// How much an area covers what lies below it, of 255.
const TINT: u8 = 40;

/// How the points of a series are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Joined by a line; single points are dots.
    Line,
    /// Joined by a broken line: what lies upon another one.
    Dashed,
    /// Joined by a thin, pale line: what lies behind another one.
    Faint,
    /// The area below, down to the bottom of the plot, tinted.
    Area,
    /// A dot each.
    Dots,
}

/// Points of one color, and their name in the legend (none where empty).
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// (x, y); where one is not finite, there is a gap.
    pub points: Vec<(f64, f64)>,
    /// Line, area, or dots.
    pub style: Style,
    /// By default the next of the palette.
    pub color: Option<Color>,
}

impl Series {
    /// A line.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self::new(name, points, Style::Line)
    }

    /// A series of any style.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>, style: Style) -> Self {
        Series { name: name.into(), points, style, color: None }
    }

    /// In this color.
    #[must_use]
    pub fn color(mut self, color: Color) -> Self {
        self.color = Some(color);
        self
    }
}

/// Series over two axes.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x: Axis,
    y: Axis,
    series: Vec<Series>,
    marks: Vec<(f64, String)>,
    /// The same unit on both axes.
    square: bool,
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
            square: false,
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

    /// With the same unit on both axes: circles stay circles.
    #[must_use]
    pub fn square(mut self) -> Self {
        self.square = true;
        self
    }

    /// The chart in the usual size.
    pub fn image(&self) -> Image {
        self.image_sized(SIZE.0, SIZE.1)
    }

    /// The chart in another size in pixels (at least 160 x 120).
    pub fn image_sized(&self, width: usize, height: usize) -> Image {
        let mut canvas = Canvas::new(width.max(160), height.max(120), Color::WHITE);
        self.draw(&mut canvas, [0.0, 0.0, width.max(160) as f32, height.max(120) as f32]);
        canvas.into_image()
    }

    fn draw(&self, canvas: &mut Canvas, [x1, y1, x2, y2]: [f32; 4]) {
        let (mut x, mut y) = (self.x.clone(), self.y.clone());
        for &(px, py) in self.series.iter().flat_map(|s| &s.points) {
            x.include(px);
            y.include(py);
        }
        for (at, _) in &self.marks {
            x.include(*at);
        }
        y.pad(0.05);
        if self.series.iter().any(|s| s.style == Style::Dots) {
            x.pad(0.04);
        }
        let y_ticks = y.ticks(((y2 - y1) / 60.0) as usize);
        let widest = y_ticks.iter().map(|t| text_width(&t.label, TICK)).fold(0.0, f32::max);
        // A long legend stands beside the plot, a short one in its freest corner.
        let beside = if self.named().count() > 5 { self.legend_width() + 4.0 } else { 0.0 };
        let (mut left, mut right) = (x1 + widest + 2.6 * LABEL, x2 - 22.0 - beside);
        let (mut top, mut bottom) = (y1 + 42.0, y2 - 50.0);
        if self.square {
            let unit = ((right - left) / x.span() as f32).min((bottom - top) / y.span() as f32);
            let (spare_x, spare_y) =
                (right - left - unit * x.span() as f32, bottom - top - unit * y.span() as f32);
            (left, right, top, bottom) =
                (left + spare_x / 2.0, right - spare_x / 2.0, top + spare_y / 2.0, bottom - spare_y / 2.0);
        }
        x.place(left, right);
        y.place(bottom, top);
        let (middle_x, middle_y) = ((left + right) / 2.0, (top + bottom) / 2.0);
        canvas.text(&self.title, ((x1 + x2) / 2.0, y1 + 26.0), TITLE, Color::INK, Align::Center);
        for tick in &y_ticks {
            let at = y.at(tick.value);
            canvas.line((left, at), (right, at), 1.0, Color::GRID);
            canvas.text(&tick.label, (left - 6.0, at + 0.35 * TICK), TICK, Color::MUTED, Align::Right);
        }
        for tick in x.ticks(((right - left) / 75.0) as usize) {
            let at = x.at(tick.value);
            canvas.line((at, top), (at, bottom), 1.0, Color::GRID);
            canvas.text(&tick.label, (at, bottom + 1.5 * TICK), TICK, Color::MUTED, Align::Center);
        }
        canvas.text(&self.x.label, (middle_x, bottom + 3.0 * TICK), LABEL, Color::INK, Align::Center);
        let beside_ticks = (left - widest - 1.2 * LABEL, middle_y);
        canvas.text_upwards(&self.y.label, beside_ticks, LABEL, Color::INK, Align::Center);
        for (i, s) in self.series.iter().enumerate() {
            s.draw(canvas, &x, &y, s.color.unwrap_or(palette(i)));
        }
        canvas.line((left, bottom), (right, bottom), 1.0, Color::MUTED);
        canvas.line((left, top), (left, bottom), 1.0, Color::MUTED);
        self.draw_marks(canvas, [left, top, right, bottom], &x, &y);
        match beside > 0.0 {
            true => self.legend_at(canvas, (right + 10.0, top)),
            false => self.legend(canvas, [left, top, right, bottom], &x, &y),
        }
    }

    /// Where each mark's line stands, and the box of its meaning, written where the curves are not.
    fn placed_marks(&self, [left, top, right, bottom]: [f32; 4], x: &Axis, y: &Axis) -> Vec<(f32, [f32; 4])> {
        let place = |(at, meaning): &(f64, String)| {
            let (at, wide) = (x.at(*at), text_width(meaning, TICK));
            let from = if at > (left + right) / 2.0 { at - 5.0 - wide } else { at + 5.0 };
            let points = self.series.iter().flat_map(|s| &s.points);
            let near = points.filter(|p| (from..from + wide).contains(&x.at(p.0)));
            let (low, all) =
                near.fold((0, 0), |(low, all), p| (low + usize::from(y.at(p.1) > bottom - 45.0), all + 1));
            let base = if 4 * low > all { top + 16.0 } else { bottom - 8.0 };
            (at, [from, base - TICK, from + wide, base])
        };
        self.marks.iter().map(place).collect()
    }

    /// Vertical lines with their meanings.
    fn draw_marks(&self, canvas: &mut Canvas, plot: [f32; 4], x: &Axis, y: &Axis) {
        for ((at, [from, _, _, base]), (_, meaning)) in
            self.placed_marks(plot, x, y).into_iter().zip(&self.marks)
        {
            canvas.line((at, plot[1]), (at, plot[3]), 1.5, Color::INK.alpha(150));
            canvas.text(meaning, (from, base), TICK, Color::INK, Align::Left);
        }
    }

    fn named(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.series.iter().enumerate().filter(|(_, s)| !s.name.is_empty())
    }

    fn legend_width(&self) -> f32 {
        self.named().map(|(_, s)| text_width(&s.name, TICK)).fold(0.0, f32::max) + 34.0
    }

    /// Names and colors, in the corner (or the middle, if need be) where they hide the least.
    fn legend(&self, canvas: &mut Canvas, plot: [f32; 4], x: &Axis, y: &Axis) {
        if self.named().next().is_none() {
            return;
        }
        let [left, top, right, bottom] = plot;
        let (wide, high) = (self.legend_width(), self.named().count() as f32 * 17.0 + 8.0);
        let (low, far) = (bottom - high - 6.0, right - wide - 6.0);
        // Below the words of a mark, where these stand at the top.
        let corners = [6.0, 26.0].map(|gap| [(far, top + gap), (left + 6.0, top + gap)]).concat();
        let middle = (left + far) / 2.0;
        let corners =
            [&corners[..], &[(far, low), (left + 6.0, low), (middle, top + 6.0), (middle, low)]].concat();
        // Lines count between their points, too.
        let place = |p: &(f64, f64)| (x.at(p.0), y.at(p.1));
        let points: Vec<(f32, f32)> = self.series.iter().flat_map(|s| s.spots(place)).collect();
        let marks = self.placed_marks(plot, x, y);
        let hidden = |&(cx, cy): &(f32, f32)| {
            let (across, down) = (cx - 8.0..cx + wide + 8.0, cy - 8.0..cy + high + 8.0);
            let covered = points.iter().filter(|p| across.contains(&p.0) && down.contains(&p.1)).count();
            let crossed = marks.iter().filter(|(at, [x1, y1, x2, y2])| {
                let words = across.start < *x2 && *x1 < across.end && down.start < *y2 && *y1 < down.end;
                across.contains(at) || words
            });
            covered + points.len() * crossed.count()
        };
        let Some(&(cx, cy)) = corners.iter().min_by_key(|c| hidden(c)) else { return };
        canvas.rect([cx, cy, cx + wide, cy + high], Color::WHITE.alpha(215));
        self.legend_at(canvas, (cx, cy));
    }

    fn legend_at(&self, canvas: &mut Canvas, (cx, cy): (f32, f32)) {
        for (row, (i, s)) in self.named().enumerate() {
            let (color, middle) = (s.color.unwrap_or(palette(i)), cy + 13.0 + row as f32 * 17.0);
            match s.style {
                Style::Line => canvas.line((cx + 6.0, middle), (cx + 22.0, middle), 2.2, color),
                Style::Dashed => canvas.dashes(&[(cx + 6.0, middle), (cx + 22.0, middle)], 2.2, color),
                Style::Area => {
                    canvas.rect([cx + 6.0, middle - 5.0, cx + 22.0, middle + 5.0], color.alpha(TINT))
                }
                Style::Faint => canvas.line((cx + 6.0, middle), (cx + 22.0, middle), 1.4, color.alpha(110)),
                Style::Dots => canvas.disc((cx + 14.0, middle), 4.0, color),
            }
            canvas.text(&s.name, (cx + 28.0, middle + 4.5), TICK, Color::INK, Align::Left);
        }
    }
}

impl Series {
    /// Where its ink is: its points, and some of the way between neighbours where it is a line.
    fn spots(&self, place: impl Fn(&(f64, f64)) -> (f32, f32)) -> Vec<(f32, f32)> {
        let points: Vec<_> = self.points.iter().map(place).collect();
        if self.style == Style::Dots || points.len() > 40 {
            return points;
        }
        let between = |w: &[(f32, f32)]| {
            let (a, b) = (w[0], w[1]);
            [0.25, 0.5, 0.75].map(|t| (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)))
        };
        let between: Vec<_> = points.windows(2).flat_map(between).collect();
        [points, between].concat()
    }

    fn draw(&self, canvas: &mut Canvas, x: &Axis, y: &Axis, color: Color) {
        let placed: Vec<(f32, f32)> = self.points.iter().map(|&(px, py)| (x.at(px), y.at(py))).collect();
        match self.style {
            Style::Line => {
                canvas.polyline(&placed, 2.0, color);
                if placed.len() <= 40 {
                    placed.iter().filter(|p| p.1.is_finite()).for_each(|&p| canvas.disc(p, 2.6, color));
                }
            }
            Style::Dashed => canvas.dashes(&placed, 2.0, color),
            Style::Faint => canvas.polyline(&placed, 1.2, color.alpha(110)),
            Style::Area => {
                let mut outline: Vec<_> =
                    placed.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
                if let (Some(&first), Some(&last)) = (outline.first(), outline.last()) {
                    outline.extend([(last.0, y.bottom()), (first.0, y.bottom())]);
                    canvas.polygon(&outline, color.alpha(TINT));
                }
            }
            Style::Dots => {
                let radius = if placed.len() > 1000 { 1.8 } else { 3.0 };
                let finite = placed.iter().filter(|p| p.0.is_finite() && p.1.is_finite());
                finite.for_each(|&p| canvas.disc(p, radius, color.alpha(200)));
            }
        }
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
        let plain = Chart::new("", "x", "y").with(Series::line("a rather long name", points));
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
    fn odd_data_is_harmless() {
        let nan = f64::NAN;
        for points in [
            vec![],
            vec![(1.0, 2.0)],
            vec![(nan, 1.0), (1.0, nan), (2.0, f64::INFINITY)],
            vec![(1.0, 1e308), (2.0, -1e308)],
        ] {
            for style in [Style::Line, Style::Dashed, Style::Faint, Style::Area, Style::Dots] {
                for scale in [Scale::Linear, Scale::Log, Scale::Percent] {
                    let s = Series::new("a", points.clone(), style);
                    Chart::new("", "", "")
                        .with(s)
                        .x_scale(scale)
                        .y_scale(scale)
                        .mark(0.0, "zero")
                        .image_sized(1, 1);
                }
            }
        }
        grid(&[], 3);
    }
}
