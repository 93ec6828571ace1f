//! A YOLO label file: an object a line, in parts of the image.
//!
//! `class x y w h` is a box around the centre (x, y); `class x1 y1 x2 y2 x3 y3 ...` is a polygon, whose box
//! are its bounds and whose area is Σ (xᵢ yᵢ₊₁ − xᵢ₊₁ yᵢ) / 2. Both grow to pixels by the image's columns and
//! rows.

/// An object as its line has it, in parts of the image.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// Which class it is of, from 0.
    pub class: usize,
    /// Box or polygon.
    pub shape: Shape,
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Centre and sides.
    Box([f64; 4]),
    /// x1, y1, x2, y2, ...
    Polygon(Vec<f64>),
}

/// An object in pixels.
pub struct Placed {
    /// `[x, y, width, height]`.
    pub bbox: [f64; 4],
    /// In square pixels.
    pub area: f64,
    /// Its outline.
    pub polygon: Option<Vec<f64>>,
}

/// Reads a line that holds something. None: it is no object.
pub fn line(text: &str, number: usize) -> Option<Line> {
    let values: Vec<f64> = text.split_whitespace().map(|v| v.parse().ok()).collect::<Option<_>>()?;
    let (&class, shape) = values.split_first()?;
    let whole = class.fract() == 0.0 && (0.0..1e9).contains(&class);
    if !whole || !shape.iter().all(|v| v.is_finite() && v.abs() < 1e9) {
        return None;
    }
    let shape = match shape {
        &[x, y, w, h] => Shape::Box([x, y, w, h]),
        corners if corners.len() >= 6 && corners.len() % 2 == 0 => Shape::Polygon(corners.to_vec()),
        _ => return None,
    };
    Some(Line { number, class: class as usize, shape })
}

impl Line {
    /// In an image of so many columns and rows.
    pub fn placed(&self, [columns, rows]: [f64; 2]) -> Placed {
        match &self.shape {
            Shape::Box([x, y, w, h]) => {
                let (w, h) = (w * columns, h * rows);
                let bbox = [x * columns - w / 2.0, y * rows - h / 2.0, w, h];
                Placed { bbox, area: w * h, polygon: None }
            }
            Shape::Polygon(corners) => {
                let corners = corners.as_chunks::<2>().0.iter().map(|[x, y]| [x * columns, y * rows]);
                let corners: Vec<[f64; 2]> = corners.collect();
                let bounds = |k: usize| {
                    let own = || corners.iter().map(|c| c[k]);
                    let least = own().fold(f64::INFINITY, f64::min);
                    [least, own().fold(f64::NEG_INFINITY, f64::max) - least]
                };
                let ([x, w], [y, h]) = (bounds(0), bounds(1));
                let next = corners.iter().cycle().skip(1);
                let twice: f64 = corners.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
                let polygon = Some(corners.as_flattened().to_vec());
                Placed { bbox: [x, y, w, h], area: twice.abs() / 2.0, polygon }
            }
        }
    }

    /// Whether it can only be meant in pixels.
    pub fn in_pixels(&self) -> bool {
        let values: &[f64] = match &self.shape {
            Shape::Box(values) => values,
            Shape::Polygon(values) => values,
        };
        values.iter().any(|&v| v > 1.5)
    }

    /// Whether it reaches beyond its image around a centre, and lies inside of it between two corners.
    pub fn is_corners(&self) -> bool {
        const SLACK: f64 = 0.01;
        let Shape::Box([x, y, w, h]) = self.shape else { return false };
        let beyond =
            |centre: f64, side: f64| centre - side / 2.0 < -SLACK || centre + side / 2.0 > 1.0 + SLACK;
        let between = |a: f64, b: f64| a >= 0.0 && b > a && b <= 1.0;
        (beyond(x, w) || beyond(y, h)) && between(x, w) && between(y, h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_boxes_or_polygons() {
        let boxed = line(" 3 0.5 0.25\t0.5 0.125", 7).unwrap();
        assert_eq!((boxed.number, boxed.class), (7, 3));
        let placed = boxed.placed([40.0, 32.0]);
        assert_eq!((placed.bbox, placed.area), ([10.0, 6.0, 20.0, 4.0], 80.0));
        // A triangle has half of its box, whichever way around.
        for text in ["0 0.25 0.25 0.75 0.25 0.25 0.75", "0 0.25 0.75 0.75 0.25 0.25 0.25"] {
            let placed = line(text, 1).unwrap().placed([40.0, 32.0]);
            assert_eq!((placed.bbox, placed.area), ([10.0, 8.0, 20.0, 16.0], 160.0));
            assert_eq!(placed.polygon.unwrap().len(), 6);
        }
        assert_eq!(line("2.0 0 0 1 1", 1).unwrap().class, 2);
        for text in [
            "0",
            "0 .5 .5 .5",
            "0 .5 .5 .5 .5 .9",
            "-1 0 0 1 1",
            "0.5 0 0 1 1",
            "a 0 0 1 1",
            "0 nan 0 1 1",
            "0 inf 0 1 1",
            "0 1e99 0 1 1",
            "0 0 0 1 1 0 0 1",
        ] {
            assert_eq!(line(text, 1), None, "{text}");
        }
    }

    #[test]
    fn other_units_are_seen() {
        let is = |text: &str| line(text, 1).map(|l| (l.in_pixels(), l.is_corners())).unwrap();
        assert_eq!(is("0 0.5 0.5 1 1"), (false, false));
        assert_eq!(is("0 0.1 0.5 0.4 0.5"), (false, false));
        assert_eq!(is("0 320 240 100 50"), (true, false));
        assert_eq!(is("0 0.6 0.7 0.9 0.95"), (false, true));
    }
}
