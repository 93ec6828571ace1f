//! What is drawn between the axes: points of one color, joined or not.

use super::axis::Axis;
use super::surface::Surface;
use crate::image::{Color, palette};

/// How much an area covers what lies below it, of 255.
const TINT: u8 = 40;
/// Points of a line that have markers; more would hide it.
const MARKED: usize = 40;

/// How the points of a series are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Joined by a line; single points are dots.
    Line,
    /// Joined by a broken line: what lies upon another one.
    Dashed,
    /// Held about each point: what jumps in between.
    Steps,
    /// Joined by a thin, pale line: what lies behind another one.
    Faint,
    /// The area below, down to the bottom of the plot, tinted.
    Area,
    /// A marker each.
    Dots,
}

impl Style {
    /// All styles.
    pub const ALL: [Style; 6] =
        [Style::Line, Style::Dashed, Style::Steps, Style::Faint, Style::Area, Style::Dots];

    /// Whether it goes from left to right, so that its name may stand where it ends.
    pub(super) fn has_end(self) -> bool {
        matches!(self, Style::Line | Style::Dashed | Style::Steps)
    }
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

impl Series {
    /// The color of the `i`-th series of a chart.
    pub(super) fn own_color(&self, i: usize) -> Color {
        self.color.unwrap_or(palette(i))
    }

    /// Where its ink is: its points, and some of the way between neighbours where it is a line.
    pub(super) fn spots(&self, place: impl Fn(&(f64, f64)) -> (f32, f32)) -> Vec<(f32, f32)> {
        let points: Vec<_> = self.points.iter().map(place).collect();
        if self.style == Style::Dots || points.len() > MARKED {
            return points;
        }
        let between = |w: &[(f32, f32)]| {
            let (a, b) = (w[0], w[1]);
            [0.25, 0.5, 0.75].map(|t| (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)))
        };
        let between: Vec<_> = points.windows(2).flat_map(between).collect();
        [points, between].concat()
    }

    /// Draws the `i`-th series of a chart.
    pub(super) fn draw(&self, canvas: &mut impl Surface, x: &Axis, y: &Axis, i: usize) {
        let color = self.own_color(i);
        let placed: Vec<(f32, f32)> = self.points.iter().map(|&(px, py)| (x.at(px), y.at(py))).collect();
        let finite: Vec<_> = placed.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
        match self.style {
            Style::Line => {
                canvas.polyline(&placed, 2.0, color);
                if placed.len() <= MARKED {
                    canvas.markers(i, &finite, 3.2, color);
                }
            }
            Style::Dashed => canvas.dashes(&placed, 2.0, color),
            Style::Steps => {
                canvas.polyline(&stairs(&placed), 2.0, color);
                // A single point has no width.
                if let [only] = finite[..] {
                    canvas.markers(i, &[only], 3.2, color);
                }
            }
            Style::Faint => canvas.polyline(&placed, 1.2, color.alpha(110)),
            Style::Area => {
                if let (Some(&first), Some(&last)) = (finite.first(), finite.last()) {
                    let below = [(last.0, y.bottom()), (first.0, y.bottom())];
                    canvas.polygon(&[&finite[..], &below].concat(), color.alpha(TINT));
                }
            }
            Style::Dots => {
                let radius = if placed.len() > 400 { 2.2 } else { 3.4 };
                canvas.markers(i, &finite, radius, color.alpha(200));
            }
        }
    }

    /// A piece of it, `wide` pixels from `at` on, as the legend shows it.
    pub(super) fn sample(&self, canvas: &mut impl Surface, at: (f32, f32), wide: f32, i: usize) {
        let (color, (x, y)) = (self.own_color(i), at);
        let (ends, middle) = ([at, (x + wide, y)], [(x + wide / 2.0, y)]);
        match self.style {
            Style::Line => {
                canvas.polyline(&ends, 2.2, color);
                if self.points.len() <= MARKED {
                    canvas.markers(i, &middle, 3.4, color);
                }
            }
            Style::Steps => canvas.polyline(&ends, 2.2, color),
            Style::Dashed => canvas.dashes(&ends, 2.2, color),
            Style::Area => canvas.rect([x, y - 5.0, x + wide, y + 5.0], color.alpha(TINT)),
            Style::Faint => canvas.polyline(&ends, 1.4, color.alpha(110)),
            Style::Dots => canvas.markers(i, &middle, 4.0, color),
        }
    }
}

/// From each point's height to the next one's half-way between them.
fn stairs(points: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut line = Vec::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        let half = |other: Option<&(f32, f32)>| other.map_or(x, |o| (x + o.0) / 2.0);
        line.push((half(i.checked_sub(1).and_then(|i| points.get(i))), y));
        line.push((half(points.get(i + 1)), y));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::stairs;

    #[test]
    fn stairs_jump_between_points() {
        let line = stairs(&[(0.0, 1.0), (2.0, 1.0), (4.0, 3.0)]);
        assert_eq!(line, [(0.0, 1.0), (1.0, 1.0), (1.0, 1.0), (3.0, 1.0), (3.0, 3.0), (4.0, 3.0)]);
        assert_eq!(stairs(&[(5.0, 1.0)]), [(5.0, 1.0); 2]);
    }
}
