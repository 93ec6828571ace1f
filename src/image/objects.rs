//! Objects drawn into their picture: tinted masks, boxes, and labels that stay readable.

use super::draw::{Align, Canvas, Color, fit_text, palette, text_width};
use super::raster::Image;

/// An object as it is drawn over its picture.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// `[x1, y1, x2, y2]` in pixels.
    pub bbox: [f32; 4],
    /// What stands at it, such as "pedestrian 0.97".
    pub label: String,
    /// Its pixels, row by row, as large as the picture: not 0 where it is.
    pub mask: Option<Vec<u8>>,
    /// Its class, which has a colour of its own; none where all are of one class, and neighbours in the list
    /// have different colours.
    pub class: Option<usize>,
}

/// Opacity of masks.
const TINT: u8 = 110;

/// The picture with its objects, the surest first: the surest are drawn last, and labels avoid those of surer
/// objects. Line and letter sizes follow the picture's.
#[track_caller]
pub fn draw_objects(image: &Image, objects: &[Overlay]) -> Image {
    let mut canvas = Canvas::over(image);
    let (w, h) = (image.width(), image.height());
    let size = (w.max(h) as f32 / 50.0).clamp(11.0, 40.0);
    let line = (size / 6.0).max(2.0);
    let color = |i: usize| palette(objects[i].class.unwrap_or(i));
    for (i, o) in objects.iter().enumerate().rev() {
        if let Some(mask) = &o.mask {
            assert_eq!(mask.len(), w * h, "draw_objects: a mask for {w} x {h} pixels");
            let bits: Vec<u8> = mask.iter().map(|&m| if m == 0 { 0 } else { 255 }).collect();
            canvas.tint(0, 0, w, &bits, color(i).alpha(TINT));
        }
    }
    for (i, o) in objects.iter().enumerate().rev() {
        canvas.frame(o.bbox, line + 1.5, Color::WHITE.alpha(120));
        canvas.frame(o.bbox, line, color(i));
    }
    let mut plates: Vec<[f32; 4]> = Vec::new();
    for (i, o) in objects.iter().enumerate().filter(|(_, o)| !o.label.is_empty()) {
        let plate = place(o, size, [w as f32, h as f32], &plates);
        canvas.label(&o.label, (plate[0], plate[1]), size, color(i));
        plates.push(plate);
    }
    canvas.into_image()
}

/// Where an object's label goes, as a rectangle: above its box, inside at the top, below, or inside, row by row from
/// the bottom, at its left or its right; the first of them that covers no other label and lies in the picture, or
/// else the one that covers least.
fn place(o: &Overlay, size: f32, [w, h]: [f32; 2], taken: &[[f32; 4]]) -> [f32; 4] {
    let (wide, tall) = (text_width(&o.label, size) + 0.6 * size, 1.35 * size);
    let [x1, y1, x2, y2] = o.bbox;
    let (y1, y2) = (y1.clamp(0.0, h), y2.clamp(0.0, h));
    let [left, right] = [x1, x2 - wide].map(|x| x.min(w - wide).max(0.0));
    let inside = (1..).map(|k| y2 - tall * k as f32).take_while(|y| *y > y1);
    let heights = [y1 - tall, y1, y2].into_iter().chain(inside);
    let plates = heights.flat_map(|y| [left, right].map(|x| [x, y, x + wide, y + tall]));
    let shared = |a: &[f32; 4], b: &[f32; 4]| {
        (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0)
    };
    let covers = |p: &[f32; 4]| taken.iter().map(|t| shared(p, t)).sum::<f32>();
    let within = plates.filter(|p| p[1] >= 0.0 && p[3] <= h);
    let best = within.min_by(|a, b| covers(a).total_cmp(&covers(b)));
    let [px1, py1, px2, py2] = best.unwrap_or([left, y1 - tall, left + wide, y1]);
    // As far into the picture as the canvas itself moves a label that leaves it.
    let up = py1 - py1.min(h - tall).max(0.0);
    [px1, py1 - up, px2, py2 - up]
}

/// Pictures in rows of `columns`, unscaled, each in the middle of its cell with a caption below (cut to fit) and a title above them
/// all.
pub fn picture_rows(title: &str, items: &[(Image, String)], columns: usize) -> Image {
    let (size, gap, head) = (15.0, 10, if title.is_empty() { 0 } else { 30 });
    let caption = (1.7 * size) as usize;
    let cell = items.iter().map(|(i, _)| i.width()).max().unwrap_or(1);
    let rows = items.chunks(columns.max(1));
    let tall =
        |row: &[(Image, String)]| row.iter().map(|(i, _)| i.height()).max().unwrap_or(0) + caption + gap;
    let wide = columns.clamp(1, items.len().max(1)) * (cell + gap) + gap;
    let high = head + gap + rows.clone().map(tall).sum::<usize>();
    let mut canvas = Canvas::new(wide, high, Color::WHITE);
    canvas.text(title, (gap as f32, 25.0), 16.0, Color::INK, Align::Left);
    let mut y = head + gap;
    for row in rows {
        let below = (y + tall(row) - gap) as f32 - 0.5 * size;
        for (k, (image, text)) in row.iter().enumerate() {
            let x = gap + k * (cell + gap);
            canvas.image(x + (cell - image.width()) / 2, y, image);
            let text = fit_text(text, size, cell as f32);
            canvas.text(&text, ((x + cell / 2) as f32, below), size, Color::INK, Align::Center);
        }
        y += tall(row);
    }
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bbox: [f32; 4], mask: Option<Vec<u8>>) -> Overlay {
        Overlay { bbox, label: "person 0.98".into(), mask, class: None }
    }

    #[test]
    fn masks_tint_boxes_frame_and_colours_differ() {
        let (w, h) = (200, 160);
        let mut mask = vec![0; w * h];
        mask[80 * w + 40] = 1;
        let objects =
            [object([20.0, 40.0, 60.0, 120.0], Some(mask)), object([120.0, 60.0, 180.0, 150.0], None)];
        let drawn = draw_objects(&Image::filled(w, h, [255; 3]), &objects);
        let Color([r, g, b, _]) = palette(0);
        let mix = |c: u8| ((255 * (255 - u32::from(TINT)) + u32::from(c) * u32::from(TINT)) / 255) as u8;
        for (got, want) in drawn.pixel(40, 80).iter().zip([r, g, b].map(mix)) {
            assert!(got.abs_diff(want) <= 1, "{:?}", drawn.pixel(40, 80));
        }
        assert_eq!(drawn.pixel(42, 80), [255; 3]);
        let Color([r, g, b, _]) = palette(1);
        assert_eq!(drawn.pixel(120, 100), [r, g, b]);
        // Of one class, of which others are in other pictures.
        let same = objects.map(|o| Overlay { class: Some(2), mask: None, ..o });
        let drawn = draw_objects(&Image::filled(w, h, [255; 3]), &same);
        assert_eq!(drawn.pixel(120, 100), drawn.pixel(20, 100));
    }

    #[test]
    fn labels_lie_inside_and_apart() {
        // Two walkers close together, one whose head touches the top, one who fills the picture.
        let boxes = [
            [50.0, 60.0, 90.0, 150.0],
            [55.0, 58.0, 95.0, 150.0],
            [10.0, 0.0, 40.0, 100.0],
            [0.0, 0.0, 300.0, 200.0],
        ];
        let mut plates = Vec::new();
        for o in boxes.map(|b| object(b, None)) {
            let plate = place(&o, 12.0, [300.0, 200.0], &plates);
            for t in &plates {
                let t: &[f32; 4] = t;
                assert!(plate[2] <= t[0] || t[2] <= plate[0] || plate[3] <= t[1] || t[3] <= plate[1]);
            }
            assert!(
                plate[0] >= 0.0 && plate[1] >= 0.0 && plate[2] <= 300.0 && plate[3] <= 200.0,
                "{plate:?}"
            );
            plates.push(plate);
        }
    }

    /// Eleven boxes of five people who stand close together, as a detector found them in a photograph.
    #[test]
    fn labels_of_a_crowd_lie_apart() {
        let boxes = [
            [436.0, 0.0, 559.0, 331.0],
            [127.0, 27.0, 243.0, 324.0],
            [51.0, 25.0, 165.0, 333.0],
            [7.0, 18.0, 283.0, 319.0],
            [355.0, 0.0, 658.0, 337.0],
            [764.0, 1.0, 867.0, 308.0],
            [486.0, 3.0, 615.0, 323.0],
            [37.0, 124.0, 258.0, 286.0],
            [382.0, 133.0, 615.0, 294.0],
            [16.0, 8.0, 123.0, 340.0],
            [375.0, 0.0, 505.0, 339.0],
        ];
        let mut plates: Vec<[f32; 4]> = Vec::new();
        for bbox in boxes.map(|b: [f32; 4]| b.map(|v| v * 720.0 / 868.0)) {
            let plate = place(&object(bbox, None), 14.4, [720.0, 305.0], &plates);
            let apart =
                |t: &[f32; 4]| plate[2] <= t[0] || t[2] <= plate[0] || plate[3] <= t[1] || t[3] <= plate[1];
            assert!(plates.iter().all(apart), "{plate:?} among {plates:?}");
            plates.push(plate);
        }
    }

    #[test]
    fn rows_are_as_tall_as_their_tallest_picture() {
        let item = |w, h, red| (Image::filled(w, h, [red, 0, 0]), "x".to_string());
        let rows = picture_rows("", &[item(40, 20, 10), item(30, 60, 20), item(40, 10, 30)], 2);
        assert_eq!((rows.width(), rows.height()), (110, 10 + 60 + 10 + 2 * (25 + 10)));
        assert_eq!((rows.pixel(10, 10), rows.pixel(65, 69)), (&[10, 0, 0][..], &[20, 0, 0][..]));
        assert_eq!(rows.pixel(10, 10 + 60 + 35), [30, 0, 0]);
    }

    #[test]
    fn tiny_pictures_and_boxes_outside_are_harmless() {
        let far = object([-50.0, -40.0, 900.0, 1000.0], Some(vec![1]));
        assert_eq!(draw_objects(&Image::filled(1, 1, [9; 3]), &[far]).width(), 1);
        assert_eq!(draw_objects(&Image::filled(3, 2, [9; 3]), &[]), Image::filled(3, 2, [9; 3]));
    }
}
