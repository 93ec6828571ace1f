//! What charts are drawn on: pixels, or the elements of an SVG file.

use crate::image::{Align, Canvas, Color};

/// The shapes of markers. There are as many as have no common divisor with the number of colors, so that the
/// pairs of both repeat late.
pub(super) const SHAPES: usize = 5;

/// Corners of a marker of radius 1, x to the right and y down; those of a disc are none.
pub(super) fn corners(shape: usize) -> &'static [(f32, f32)] {
    match shape % SHAPES {
        0 => &[],
        1 => &[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        2 => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
        3 => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
        _ => &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
    }
}

/// Coordinates are in pixels, x to the right, y down.
pub(super) trait Surface {
    /// A line through points; it breaks where a coordinate is not finite.
    fn polyline(&mut self, points: &[(f32, f32)], width: f32, color: Color);
    /// A broken line through points.
    fn dashes(&mut self, points: &[(f32, f32)], width: f32, color: Color);
    /// A filled polygon.
    fn polygon(&mut self, points: &[(f32, f32)], color: Color);
    /// Markers of one of the [`SHAPES`].
    fn markers(&mut self, shape: usize, points: &[(f32, f32)], radius: f32, color: Color);
    /// Text of one line; `at` is on its baseline.
    fn text(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align);
    /// Text that reads upwards.
    fn text_upwards(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align);

    /// A line.
    fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, color: Color) {
        self.polyline(&[from, to], width, color);
    }

    /// A filled rectangle.
    fn rect(&mut self, [x1, y1, x2, y2]: [f32; 4], color: Color) {
        self.polygon(&[(x1, y1), (x2, y1), (x2, y2), (x1, y2)], color);
    }
}

impl Surface for Canvas {
    fn polyline(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        Canvas::polyline(self, points, width, color);
    }
    fn dashes(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        Canvas::dashes(self, points, width, color);
    }
    fn polygon(&mut self, points: &[(f32, f32)], color: Color) {
        Canvas::polygon(self, points, color);
    }
    fn markers(&mut self, shape: usize, points: &[(f32, f32)], radius: f32, color: Color) {
        for &(x, y) in points {
            match corners(shape) {
                [] => self.disc((x, y), radius, color),
                corners => {
                    let corners: Vec<_> =
                        corners.iter().map(|c| (x + radius * c.0, y + radius * c.1)).collect();
                    Canvas::polygon(self, &corners, color);
                }
            }
        }
    }
    fn text(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align) {
        Canvas::text(self, text, at, size, color, align);
    }
    fn text_upwards(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align) {
        Canvas::text_upwards(self, text, at, size, color, align);
    }
}
