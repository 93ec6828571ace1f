//! Charts as SVG: sharp at any size, a few kilobytes, and text that can be read aloud and searched.
//!
//! The letters are the reader's, close to those that widths are reckoned with.

use super::surface::{Surface, corners};
use crate::image::{Align, Color};
use std::fmt::Write;

/// An SVG that is being written.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// Of so many pixels, called `title`.
    pub fn new(width: usize, height: usize, title: &str) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"Ubuntu,'Segoe UI',Roboto,'DejaVu Sans',sans-serif\">\
             <title>{}</title><path fill=\"#fff\" d=\"M0 0h{width}v{height}H0z\"/>",
            escaped(title)
        );
        Svg { text }
    }

    /// The file.
    pub fn finish(self) -> String {
        self.text + "</svg>\n"
    }

    fn element(&mut self, path: &str, attributes: &str) {
        if !path.is_empty() {
            self.put(format_args!("<path d=\"{path}\" {attributes}/>"));
        }
    }

    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        self.text.write_fmt(what).expect("a string takes all");
    }

    fn words(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align, turn: &str) {
        let anchor = match align {
            Align::Left => "",
            Align::Center => " text-anchor=\"middle\"",
            Align::Right => " text-anchor=\"end\"",
        };
        let (x, y, fill) = (short(at.0), short(at.1), paint("fill", color));
        let place = if turn.is_empty() {
            format!("x=\"{x}\" y=\"{y}\"")
        } else {
            format!("transform=\"translate({x} {y}) {turn}\"")
        };
        self.put(format_args!("<text {place} font-size=\"{size}\"{anchor} {fill}>{}</text>", escaped(text)));
    }
}

/// A tenth of a pixel is enough.
fn short(v: f32) -> String {
    let text = format!("{v:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.into() }
}

/// What would be markup, as text; controls, which XML has none of, are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')) {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

/// A color, as an attribute and its opacity.
fn paint(attribute: &str, Color([r, g, b, a]): Color) -> String {
    let opaque = format!("{attribute}=\"#{r:02x}{g:02x}{b:02x}\"");
    if a == 255 { opaque } else { format!("{opaque} {attribute}-opacity=\"{:.2}\"", f32::from(a) / 255.0) }
}

/// Through points, broken where a coordinate is not finite.
fn through(points: &[(f32, f32)]) -> String {
    let (mut path, mut pen_down) = (String::new(), false);
    for &(x, y) in points {
        let finite = x.is_finite() && y.is_finite();
        if finite {
            path += if pen_down { "L" } else { "M" };
            path += &format!("{} {}", short(x), short(y));
        }
        pen_down = finite;
    }
    path
}

impl Surface for Svg {
    fn polyline(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        let stroke = paint("stroke", color);
        let round = "stroke-linecap=\"round\" stroke-linejoin=\"round\"";
        self.element(&through(points), &format!("fill=\"none\" {stroke} stroke-width=\"{width}\" {round}"));
    }
    fn dashes(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        let (stroke, dash) = (paint("stroke", color), 3.0 * width);
        self.element(
            &through(points),
            &format!("fill=\"none\" {stroke} stroke-width=\"{width}\" stroke-dasharray=\"{dash}\""),
        );
    }
    fn polygon(&mut self, points: &[(f32, f32)], color: Color) {
        self.element(&through(points), &paint("fill", color));
    }
    fn markers(&mut self, shape: usize, points: &[(f32, f32)], radius: f32, color: Color) {
        let at = |(x, y): (f32, f32)| format!("M{} {}", short(x), short(y));
        match corners(shape) {
            // A line of no length with round ends.
            [] => {
                let path: String = points.iter().map(|&p| at(p) + "h0").collect();
                let (stroke, width) = (paint("stroke", color), 2.0 * radius);
                self.element(&path, &format!("{stroke} stroke-width=\"{width}\" stroke-linecap=\"round\""));
            }
            [first, rest @ ..] => {
                let mut outline = String::new();
                let mut last = first;
                for corner in rest {
                    let [dx, dy] = [corner.0 - last.0, corner.1 - last.1].map(|v| short(v * radius));
                    outline += &format!("l{dx} {dy}");
                    last = corner;
                }
                let begin = |p: &(f32, f32)| at((p.0 + radius * first.0, p.1 + radius * first.1));
                let path: String = points.iter().map(|p| begin(p) + &outline + "z").collect();
                self.element(&path, &paint("fill", color));
            }
        }
    }
    fn text(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align) {
        self.words(text, at, size, color, align, "");
    }
    fn text_upwards(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align) {
        self.words(text, at, size, color, align, "rotate(-90)");
    }
}

#[cfg(test)]
mod tests {
    use super::{Surface, Svg, escaped};
    use crate::image::Color;

    #[test]
    fn text_is_text_and_lines_break_where_nothing_is() {
        assert_eq!(escaped("a<b>&\"'\u{1b}\n"), "a&lt;b&gt;&amp;&quot;&#39;");
        let mut svg = Svg::new(10, 20, "<script>");
        svg.polyline(
            &[(0.0, 1.0), (2.0, 3.04), (f32::NAN, 0.0), (4.0, -0.01), (5.0, 6.0)],
            2.0,
            Color::BLACK,
        );
        svg.polyline(&[(f32::NAN, 0.0)], 1.0, Color::BLACK);
        svg.markers(3, &[(1.0, 2.0)], 2.0, Color::WHITE.alpha(51));
        let text = svg.finish();
        assert!(text.contains("d=\"M0 1L2 3M4 0L5 6\"") && text.contains("&lt;script&gt;"), "{text}");
        assert!(text.contains("fill-opacity=\"0.20\"") && text.matches("<path").count() == 3, "{text}");
    }
}
