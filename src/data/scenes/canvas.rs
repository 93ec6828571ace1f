//! Shapes by their signed distance: smooth outlines, and for each pixel whose it is.
//!
//! A shape is known by d(p), its distance from a point, negative inside. A pixel whose middle has distance d
//! is covered by about 1/2 − d, clamped to 0..1, and belongs to the shape where d ≤ 0: so masks are exact
//! while outlines are smooth.

/// A point or a vector: x to the right, y down, in pixels.
pub(super) type Point = [f32; 2];
/// Red, green, blue, from 0 to 1.
pub(super) type Color = [f32; 3];

pub(super) enum Shape {
    /// A thick line, thicker at one end.
    Limb {
        from: Point,
        to: Point,
        radii: [f32; 2],
    },
    Ellipse {
        center: Point,
        radii: [f32; 2],
    },
    /// With rounded corners that reach so far beyond the polygon.
    Polygon {
        corners: Vec<Point>,
        round: f32,
    },
}

impl Shape {
    pub(super) fn limb(from: Point, to: Point, start: f32, end: f32) -> Self {
        Shape::Limb { from, to, radii: [start, end] }
    }

    pub(super) fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> Self {
        Shape::Ellipse { center: [x, y], radii: [rx.max(0.1), ry.max(0.1)] }
    }

    pub(super) fn rectangle([x0, y0, x1, y1]: [f32; 4]) -> Self {
        Self::polygon([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], 0.0)
    }

    pub(super) fn polygon(corners: impl Into<Vec<Point>>, round: f32) -> Self {
        Shape::Polygon { corners: corners.into(), round }
    }

    /// The signed distance; near the outline of an ellipse to first order.
    fn distance(&self, p: Point) -> f32 {
        match self {
            Shape::Limb { from, to, radii } => {
                let t = along(*from, *to, p);
                length(sub(p, mix(*from, *to, t))) - (radii[0] + t * (radii[1] - radii[0]))
            }
            Shape::Ellipse { center, radii: [rx, ry] } => {
                let [x, y] = sub(p, *center);
                let k = length([x / rx, y / ry]);
                let slope = length([x / (rx * rx), y / (ry * ry)]);
                if slope == 0.0 { -rx.min(*ry) } else { k * (k - 1.0) / slope }
            }
            Shape::Polygon { corners, round } => {
                let mut nearest = f32::INFINITY; // squared
                let mut inside = false;
                let mut b = corners[corners.len() - 1];
                for &a in corners {
                    let [x, y] = sub(p, mix(a, b, along(a, b, p)));
                    nearest = nearest.min(x * x + y * y);
                    let crosses = (a[1] > p[1]) != (b[1] > p[1]);
                    inside ^= crosses && p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
                    b = a;
                }
                (if inside { -nearest.sqrt() } else { nearest.sqrt() }) - round
            }
        }
    }

    /// Rows, first and last, outside of which nothing is covered.
    fn rows(&self) -> [f32; 2] {
        let around = |points: &[Point], margin: f32| {
            let [low, high] =
                points.iter().fold([f32::MAX, f32::MIN], |[l, h], p| [l.min(p[1]), h.max(p[1])]);
            [low - margin, high + margin]
        };
        match self {
            Shape::Limb { from, to, radii } => around(&[*from, *to], radii[0].max(radii[1]) + 1.0),
            Shape::Ellipse { center, radii } => around(&[*center], radii[1] + 1.0),
            Shape::Polygon { corners, round } => around(corners, round + 1.0),
        }
    }

    /// In the row of that middle, columns outside of which nothing is covered.
    fn span(&self, row: f32) -> [f32; 2] {
        let mut span = [f32::MAX, f32::MIN];
        // What is covered lies within `margin` of the inside, and the inside between its edges.
        let mut edge = |a: Point, b: Point, margin: f32| {
            let (low, high) = if a[1] <= b[1] { (a, b) } else { (b, a) };
            if high[1] < row - margin || low[1] > row + margin {
                return;
            }
            for y in [row - margin, row + margin] {
                let t = (y - low[1]) / (high[1] - low[1]);
                let x = if t.is_nan() { low[0] } else { mix(low, high, t.clamp(0.0, 1.0))[0] };
                span = [span[0].min(x - margin), span[1].max(x + margin)];
            }
            if low[1] == high[1] {
                span = [span[0].min(high[0] - margin), span[1].max(high[0] + margin)];
            }
        };
        match self {
            Shape::Limb { from, to, radii } => edge(*from, *to, radii[0].max(radii[1]) + 1.0),
            Shape::Ellipse { center: [x, _], radii: [rx, _] } => span = [x - rx - 1.0, x + rx + 1.0],
            Shape::Polygon { corners, round } => {
                let mut b = corners[corners.len() - 1];
                for &a in corners {
                    edge(a, b, round + 1.0);
                    b = a;
                }
            }
        }
        span
    }
}

fn sub(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

fn length(v: Point) -> f32 {
    (v[0] * v[0] + v[1] * v[1]).sqrt()
}

fn mix(a: Point, b: Point, t: f32) -> Point {
    [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
}

/// Where on the way from a to b, 0 to 1, is the point nearest to p?
fn along(a: Point, b: Point, p: Point) -> f32 {
    let (ab, ap) = (sub(b, a), sub(p, a));
    let square = ab[0] * ab[0] + ab[1] * ab[1];
    if square == 0.0 { 0.0 } else { ((ap[0] * ab[0] + ap[1] * ab[1]) / square).clamp(0.0, 1.0) }
}

/// A picture, and for each pixel the object it belongs to.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<Color>,
    /// 0 is no object.
    pub(super) owners: Vec<u16>,
    /// Whose the pixels painted from now on are.
    pub(super) owner: u16,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let n = width * height;
        Canvas { width, height, pixels: vec![[0.0; 3]; n], owners: vec![0; n], owner: 0 }
    }

    /// Paints a shape, opaque; its pixels get the current owner.
    pub(super) fn paint(&mut self, shape: &Shape, color: Color) {
        let owner = self.owner;
        self.blend(shape, color, 1.0, |o| *o = owner);
    }

    /// Paints a shape half transparent: a shadow, a reflection. No pixel changes its owner.
    pub(super) fn tint(&mut self, shape: &Shape, color: Color, opacity: f32) {
        self.blend(shape, color, opacity, |_| ());
    }

    fn blend(&mut self, shape: &Shape, color: Color, opacity: f32, own: impl Fn(&mut u16)) {
        let clip = |v: f32, limit: usize| (v.max(0.0) as usize).min(limit);
        let [y0, y1] = shape.rows();
        for y in clip(y0, self.height)..clip(y1 + 1.0, self.height) {
            let [x0, x1] = shape.span(y as f32 + 0.5);
            for x in clip(x0, self.width)..clip(x1 + 1.0, self.width) {
                let distance = shape.distance([x as f32 + 0.5, y as f32 + 0.5]);
                if distance >= 0.5 {
                    continue;
                }
                let at = y * self.width + x;
                let cover = (0.5 - distance).min(1.0) * opacity;
                for (old, new) in self.pixels[at].iter_mut().zip(color) {
                    *old += cover * (new - *old);
                }
                if distance <= 0.0 {
                    own(&mut self.owners[at]);
                }
            }
        }
    }

    /// Sets the color of each pixel of some rows.
    pub(super) fn fill(&mut self, rows: std::ops::Range<usize>, color: impl Fn(usize, usize) -> Color) {
        for y in rows.start..rows.end.min(self.height) {
            for x in 0..self.width {
                self.pixels[y * self.width + x] = color(x, y);
            }
        }
    }
}

/// A color, lighter or darker.
pub(super) fn shade(color: Color, factor: f32) -> Color {
    color.map(|c| (c * factor).clamp(0.0, 1.0))
}

/// Between two colors.
pub(super) fn blend(a: Color, b: Color, t: f32) -> Color {
    [0, 1, 2].map(|i| a[i] + t * (b[i] - a[i]))
}
