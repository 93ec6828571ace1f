//! Drawing on images: lines, shapes, translucent fills, masks, text.
//!
//! A [`Canvas`] is an opaque picture in pixels, x to the right, y down; (0, 0) is the upper left corner of
//! the upper left pixel. Everything is antialiased, text too, whose glyphs are filled outlines.

use skrifa::outline::OutlinePen;
use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke,
    StrokeDash, Transform,
};

use super::font::Letter;
use super::raster::Image;
use super::resize::Filter;

/// Red, green, blue, and opacity (255 opaque).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(pub [u8; 4]);

impl Color {
    /// White.
    pub const WHITE: Color = Color::rgb(255, 255, 255);
    /// Black.
    pub const BLACK: Color = Color::rgb(0, 0, 0);
    /// The gray of text and axes.
    pub const INK: Color = Color::rgb(38, 42, 48);
    /// The gray of secondary text.
    pub const MUTED: Color = Color::rgb(110, 116, 124);
    /// The gray of grid lines.
    pub const GRID: Color = Color::rgb(226, 229, 233);

    /// An opaque color.
    pub const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Color([r, g, b, 255])
    }

    /// The same color with another opacity.
    #[must_use]
    pub const fn alpha(self, a: u8) -> Self {
        Color([self.0[0], self.0[1], self.0[2], a])
    }

    /// Black or white, whichever reads better on this color.
    pub fn contrast(self) -> Self {
        let [r, g, b, _] = self.0.map(f32::from);
        if 0.299 * r + 0.587 * g + 0.114 * b > 150.0 { Self::INK } else { Self::WHITE }
    }

    fn paint(self) -> Paint<'static> {
        let [r, g, b, a] = self.0;
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        paint.set_color_rgba8(r, g, b, a);
        paint
    }
}

/// The i-th of eight colors that are told apart by everybody, again from the first after the eighth: those of
/// M. Okabe and K. Ito, "Color Universal Design" (2008), the yellow, which is pale on white, near the end.
pub fn palette(i: usize) -> Color {
    const COLORS: [u32; 8] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x262a30, 0xf0e442];
    let c = COLORS[i % COLORS.len()];
    Color::rgb((c >> 16) as u8, (c >> 8) as u8, c as u8)
}

/// Which part of a text stands at the given point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Its beginning.
    Left,
    /// Its middle.
    Center,
    /// Its end.
    Right,
}

/// An opaque picture to draw on.
#[derive(Clone, Debug)]
pub struct Canvas {
    pixmap: Pixmap,
}

impl Canvas {
    /// A canvas of one color. Panics where a side is 0 or above 2^28 pixels.
    #[track_caller]
    pub fn new(width: usize, height: usize, color: Color) -> Self {
        let mut pixmap = Pixmap::new(width as u32, height as u32)
            .unwrap_or_else(|| panic!("Canvas::new: {width}x{height} pixels"));
        let [r, g, b, _] = color.0;
        pixmap.fill(tiny_skia::Color::from_rgba8(r, g, b, 255));
        Canvas { pixmap }
    }

    /// A canvas that shows the image (16 bits are cut to 8, alpha is dropped).
    #[track_caller]
    pub fn over(image: &Image) -> Self {
        let mut canvas = Canvas::new(image.width(), image.height(), Color::BLACK);
        canvas.image(0, 0, image);
        canvas
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.pixmap.width() as usize
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.pixmap.height() as usize
    }

    /// The picture, as 8-bit RGB.
    pub fn into_image(self) -> Image {
        let rgb = self.pixmap.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
        Image::from_u8(self.width(), self.height(), 3, rgb)
    }

    /// Puts an image with its upper left corner at (x, y); what leaves the canvas is cut off.
    pub fn image(&mut self, x: usize, y: usize, image: &Image) {
        let rgb = image.clone().to_rgb8();
        let (w, h) = (self.width(), self.height());
        let wide = image.width().min(w.saturating_sub(x));
        for v in 0..image.height().min(h.saturating_sub(y)) {
            let source = rgb.as_u8()[v * image.width() * 3..].chunks_exact(3);
            for (to, p) in self.pixmap.pixels_mut()[(y + v) * w + x..][..wide].iter_mut().zip(source) {
                *to = opaque(p[0], p[1], p[2]);
            }
        }
    }

    /// Mixes a color into the pixels where `mask` (of `mask.len() / width` rows, its upper left corner at (x,
    /// y)) is above 127; what leaves the canvas is cut off.
    pub fn tint(&mut self, x: usize, y: usize, width: usize, mask: &[u8], color: Color) {
        let (w, h) = (self.width(), self.height());
        let [r, g, b, a] = color.0;
        let mix = |old: u8, new: u8| {
            ((u32::from(old) * (255 - u32::from(a)) + u32::from(new) * u32::from(a) + 127) / 255) as u8
        };
        for (v, row) in mask.chunks_exact(width).enumerate().take(h.saturating_sub(y)) {
            for (u, _) in row.iter().enumerate().take(w.saturating_sub(x)).filter(|(_, m)| **m > 127) {
                let p = &mut self.pixmap.pixels_mut()[(y + v) * w + x + u];
                *p = opaque(mix(p.red(), r), mix(p.green(), g), mix(p.blue(), b));
            }
        }
    }

    /// A line.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, color: Color) {
        self.polyline(&[from, to], width, color);
    }

    /// A line through points; it breaks where a coordinate is not finite.
    pub fn polyline(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        let stroke =
            Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        self.stroke(Self::path(points), &stroke, color);
    }

    /// A broken line through points.
    pub fn dashes(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        let dash = StrokeDash::new(vec![3.0 * width, 3.0 * width], 0.0);
        self.stroke(Self::path(points), &Stroke { width, dash, ..Stroke::default() }, color);
    }

    /// Through points; it breaks where a coordinate is not finite.
    fn path(points: &[(f32, f32)]) -> Option<Path> {
        let mut path = PathBuilder::new();
        let mut pen_down = false;
        for &(x, y) in points {
            let finite = x.is_finite() && y.is_finite();
            match (finite, pen_down) {
                (true, true) => path.line_to(x, y),
                (true, false) => path.move_to(x, y),
                (false, _) => {}
            }
            pen_down = finite;
        }
        path.finish()
    }

    /// A filled polygon.
    pub fn polygon(&mut self, points: &[(f32, f32)], color: Color) {
        let mut path = PathBuilder::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        path.close();
        self.fill(path.finish(), color);
    }

    /// A filled rectangle with corners (x1, y1) and (x2, y2).
    pub fn rect(&mut self, [x1, y1, x2, y2]: [f32; 4], color: Color) {
        if let Some(rect) = Rect::from_ltrb(x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2)) {
            self.pixmap.fill_rect(rect, &color.paint(), Transform::identity(), None);
        }
    }

    /// A rectangle's outline, centered on its edges.
    pub fn frame(&mut self, [x1, y1, x2, y2]: [f32; 4], width: f32, color: Color) {
        if let Some(rect) = Rect::from_ltrb(x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2)) {
            let stroke = Stroke { width, line_join: LineJoin::Miter, ..Stroke::default() };
            self.stroke(Some(PathBuilder::from_rect(rect)), &stroke, color);
        }
    }

    /// A filled disc.
    pub fn disc(&mut self, (x, y): (f32, f32), radius: f32, color: Color) {
        self.fill(PathBuilder::from_circle(x, y, radius), color);
    }

    /// Text of one line; `at` is on its baseline, `size` the font's size in pixels.
    pub fn text(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align) {
        let placed = Transform::from_translate(at.0, at.1);
        self.glyphs(text, placed, size, color, align);
    }

    /// Text that reads upwards; `at` is on its baseline.
    pub fn text_upwards(&mut self, text: &str, at: (f32, f32), size: f32, color: Color, align: Align) {
        let placed = Transform::from_rotate(-90.0).post_translate(at.0, at.1);
        self.glyphs(text, placed, size, color, align);
    }

    /// A bar of shades from (x, top) down, 14 pixels wide, from the whole's to nothing's, with words at its
    /// quarters.
    pub fn shades(
        &mut self,
        [x, top]: [f32; 2],
        high: f32,
        shade: impl Fn(f64) -> Color,
        words: impl Fn(f64) -> String,
    ) {
        for row in 0..high as usize {
            let y = top + row as f32;
            self.rect([x, y, x + 14.0, y + 1.0], shade(1.0 - f64::from(row as f32 / high)));
        }
        for quarter in 0..=4u8 {
            let share = f32::from(quarter) / 4.0;
            let y = top + high * (1.0 - share);
            self.line((x + 14.0, y), (x + 18.0, y), 1.0, Color::MUTED);
            self.text(&words(share.into()), (x + 22.0, y + 4.0), 12.0, Color::MUTED, Align::Left);
        }
    }

    /// Text on a plate of color `plate`, whose upper left corner is at `at` (moved so that it stays inside).
    pub fn label(&mut self, text: &str, at: (f32, f32), size: f32, plate: Color) {
        let (w, h) = (text_width(text, size) + 0.6 * size, 1.35 * size);
        let x = at.0.min(self.width() as f32 - w).max(0.0);
        let y = at.1.min(self.height() as f32 - h).max(0.0);
        self.rect([x, y, x + w, y + h], plate);
        self.text(text, (x + 0.3 * size, y + size), size, plate.contrast(), Align::Left);
    }

    fn glyphs(&mut self, text: &str, placed: Transform, size: f32, color: Color, align: Align) {
        let start = match align {
            Align::Left => 0.0,
            Align::Center => -0.5 * text_width(text, size),
            Align::Right => -text_width(text, size),
        };
        let mut outline = PathBuilder::new();
        let mut x = start;
        for letter in text.chars().map(Letter::of) {
            letter.draw(size, &mut Shifted { outline: &mut outline, x });
            x += letter.advance() * size;
        }
        let path = outline.finish().and_then(|p| p.transform(placed.pre_scale(1.0, -1.0)));
        self.fill(path.clone(), color);
        // The font is a light one: a thin stroke gives it the weight that small sizes need.
        let bold = Stroke { width: 0.028 * size, line_join: LineJoin::Round, ..Stroke::default() };
        self.stroke(path, &bold, color);
    }

    fn fill(&mut self, path: Option<Path>, color: Color) {
        if let Some(path) = path {
            self.pixmap.fill_path(&path, &color.paint(), FillRule::Winding, Transform::identity(), None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, stroke: &Stroke, color: Color) {
        if let Some(path) = path {
            self.pixmap.stroke_path(&path, &color.paint(), stroke, Transform::identity(), None);
        }
    }
}

fn opaque(r: u8, g: u8, b: u8) -> PremultipliedColorU8 {
    PremultipliedColorU8::from_rgba(r, g, b, 255).expect("opaque colors are premultiplied")
}

/// A text's width in pixels.
pub fn text_width(text: &str, size: f32) -> f32 {
    text.chars().map(|c| Letter::of(c).advance() * size).sum()
}

/// The text, cut with an ellipsis where it is wider than `width` pixels.
pub fn fit_text(text: &str, size: f32, width: f32) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut cut = text.to_string();
    while cut.pop().is_some() && text_width(&cut, size) + text_width("…", size) > width {}
    cut + "…"
}

/// Outlines of glyphs, moved to the letter's place.
struct Shifted<'a> {
    outline: &'a mut PathBuilder,
    x: f32,
}

impl OutlinePen for Shifted<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.outline.move_to(self.x + x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.outline.line_to(self.x + x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.outline.quad_to(self.x + x1, y1, self.x + x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.outline.cubic_to(self.x + x1, y1, self.x + x2, y2, self.x + x, y);
    }
    fn close(&mut self) {
        self.outline.close();
    }
}

/// Pictures in a grid of `columns`, each scaled to fit a `cell` x `cell` square (small ones to whole
/// multiples, their pixels sharp), with a caption below (its lines cut to fit) and a title above (none where
/// empty).
pub fn caption_grid(title: &str, items: &[(Image, String)], columns: usize, cell: usize) -> Image {
    let size = (cell as f32 * 0.13).clamp(11.0, 15.0);
    let (gap, head) = (10, if title.is_empty() { 0 } else { 30 });
    let lines = items.iter().map(|(_, c)| c.lines().count()).max().unwrap_or(0);
    let caption = if lines == 0 { 0 } else { ((1.2 * lines as f32 + 0.4) * size) as usize };
    let columns = columns.clamp(1, items.len().max(1));
    let rows = items.len().div_ceil(columns);
    let (step_x, step_y) = (cell + gap, cell + caption + gap);
    let wide = (columns * step_x + gap).max(text_width(title, 16.0) as usize + 2 * gap);
    let mut canvas = Canvas::new(wide, head + rows * step_y + gap, Color::WHITE);
    canvas.text(title, (gap as f32, 25.0), 16.0, Color::INK, Align::Left);
    for (i, (image, text)) in items.iter().enumerate() {
        let (x, y) = (gap + i % columns * step_x, head + gap + i / columns * step_y);
        let fitted = fit(image, cell);
        canvas.image(x + (cell - fitted.width()) / 2, y + (cell - fitted.height()) / 2, &fitted);
        let (middle, below) = (x as f32 + cell as f32 / 2.0, (y + cell) as f32);
        for (k, line) in text.lines().enumerate() {
            let at = (middle, below + (1.15 + 1.2 * k as f32) * size);
            canvas.text(&fit_text(line, size, step_x as f32 - 4.0), at, size, Color::INK, Align::Center);
        }
    }
    canvas.into_image()
}

fn fit(image: &Image, cell: usize) -> Image {
    let (w, h) = (image.width(), image.height());
    let long = w.max(h);
    if long <= cell {
        return image.clone().to_rgb8().resize(w * (cell / long), h * (cell / long), Filter::Nearest);
    }
    let scaled = |side: usize| (side * cell / long).max(1);
    image.clone().to_rgb8().resize(scaled(w), scaled(h), Filter::Bilinear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_mix_and_outlines_stay_inside() {
        let mut canvas = Canvas::new(20, 10, Color::WHITE);
        canvas.rect([0.0, 0.0, 10.0, 10.0], Color::BLACK.alpha(128));
        canvas.tint(10, 0, 5, &[255; 50], Color::rgb(255, 0, 0).alpha(128));
        canvas.frame([-5.0, -5.0, 100.0, 100.0], 2.0, Color::BLACK);
        canvas.tint(18, 8, 5, &[255; 50], Color::BLACK);
        let image = canvas.into_image();
        assert!(image.pixel(5, 5).iter().all(|v| (126..=128).contains(v)), "{:?}", image.pixel(5, 5));
        assert_eq!(image.pixel(12, 5), [255, 127, 127]);
        assert_eq!(image.pixel(16, 5), [255; 3]);
        assert_eq!(image.pixel(19, 9), [0; 3]);
    }

    #[test]
    fn text_has_a_width_and_leaves_ink() {
        assert!(text_width("epochs", 14.0) > text_width("epoch", 14.0));
        let mut canvas = Canvas::new(80, 20, Color::WHITE);
        canvas.text("loss µ→", (2.0, 15.0), 14.0, Color::BLACK, Align::Left);
        let image = canvas.into_image();
        assert!(image.as_u8().iter().filter(|v| **v < 64).count() > 60);
        assert_eq!(fit_text("a long caption", 12.0, 40.0).chars().last(), Some('…'));
    }

    #[test]
    fn degenerate_shapes_are_harmless() {
        let mut canvas = Canvas::new(4, 4, Color::WHITE);
        canvas.line((1.0, 1.0), (1.0, 1.0), 1.0, Color::BLACK);
        canvas.polyline(&[(f32::NAN, 0.0), (1.0, f32::INFINITY)], 1.0, Color::BLACK);
        canvas.rect([f32::NAN; 4], Color::BLACK);
        canvas.polygon(&[], Color::BLACK);
        canvas.text("", (0.0, 0.0), 10.0, Color::BLACK, Align::Center);
        canvas.image(10, 10, &Image::filled(2, 2, [0; 3]));
    }

    #[test]
    fn a_grid_holds_all_its_pictures() {
        let items: Vec<_> =
            (0..5).map(|i| (Image::filled(32, 16, [i * 40, 0, 0]), format!("class {i}"))).collect();
        let grid = caption_grid("five", &items, 3, 64);
        assert_eq!(grid.width(), 3 * 74 + 10);
        assert_eq!(grid.pixel(10 + 74 + 32, 30 + 10 + 32), [40, 0, 0]);
        assert_eq!(caption_grid("", &[], 3, 64).width(), 64 + 20);
    }
}
