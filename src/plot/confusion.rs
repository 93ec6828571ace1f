//! The confusion matrix: a row a true class, a column a predicted one, counts in the cells.

use crate::image::{Align, Canvas, Color, Image, fit_text, text_width};
use crate::metrics::confusion::Confusion;

/// Shades from white to a dark blue; `share` in 0..1. The root keeps small shares visible.
fn shade(share: f64) -> Color {
    let t = share.clamp(0.0, 1.0).sqrt();
    let mix = |to: f64| (255.0 + (to - 255.0) * t).round() as u8;
    Color::rgb(mix(24.0), mix(78.0), mix(160.0))
}

/// Room for the bar of shades and its numbers, in pixels.
const BAR: f32 = 92.0;

/// Draws the counts; a cell's shade is its share of its row. Classes beyond 40 leave no room for numbers and
/// names.
pub fn confusion(title: &str, confusion: &Confusion) -> Image {
    let (classes, counts) = (confusion.classes(), confusion.counts());
    let n = classes.len();
    let detailed = n <= 40;
    let cell = if detailed { 52.0 } else { (1200.0 / n as f32).clamp(2.0, 20.0) };
    let names: Vec<String> = classes.iter().map(|c| fit_text(c, 13.0, 150.0)).collect();
    let widest = if detailed { names.iter().map(|c| text_width(c, 13.0)).fold(0.0, f32::max) } else { 0.0 };
    let (left, top) = (widest + 46.0, 50.0);
    let side = cell * n as f32;
    // Long names of columns read upwards.
    let upwards = detailed && widest > cell - 4.0;
    let below = if upwards { widest + 34.0 } else { 48.0 };
    // The share of right answers stands in a column of its own, then what the shades mean.
    let beside = if detailed { 84.0 } else { 20.0 };
    let (width, height) =
        ((left + side + beside + BAR).max(text_width(title, 15.0) + 40.0), top + side + below);
    let mut canvas = Canvas::new(width as usize, height as usize, Color::WHITE);
    canvas.text(title, (left + side / 2.0, 28.0), 15.0, Color::INK, Align::Center);
    for (i, row) in counts.iter().enumerate() {
        let y = top + i as f32 * cell;
        cells(&mut canvas, row, [left, y], cell, detailed);
        if !detailed {
            continue;
        }
        let (middle, x) = (y + cell / 2.0 + 4.5, left + i as f32 * cell + cell / 2.0);
        canvas.text(&names[i], (left - 8.0, middle), 13.0, Color::INK, Align::Right);
        let recall = confusion.recall(i).map_or("–".into(), |recall| format!("{:.1} %", 100.0 * recall));
        canvas.text(&recall, (left + side + 10.0, middle), 13.0, Color::MUTED, Align::Left);
        if upwards {
            let at = (x + 4.5, top + side + 8.0);
            canvas.text_upwards(&names[i], at, 13.0, Color::INK, Align::Right);
        } else {
            canvas.text(&names[i], (x, top + side + 18.0), 13.0, Color::INK, Align::Center);
        }
    }
    lines(&mut canvas, [left, top], cell, n, detailed);
    if detailed {
        canvas.text("recall", (left + side + 10.0, top - 8.0), 13.0, Color::MUTED, Align::Left);
    }
    let bar = left + side + beside;
    canvas.shades([bar, top], side, shade, |share| format!("{:.0} %", 100.0 * share));
    let meaning = (bar + 76.0, top + side / 2.0);
    canvas.text_upwards("of the true class", meaning, 13.0, Color::MUTED, Align::Center);
    canvas.text("predicted class", (left + side / 2.0, height - 12.0), 13.0, Color::INK, Align::Center);
    canvas.text_upwards("true class", (22.0, top + side / 2.0), 13.0, Color::INK, Align::Center);
    canvas.into_image()
}

/// A row of cells from (left, y) on, shaded by their shares of it.
fn cells(canvas: &mut Canvas, row: &[u64], [left, y]: [f32; 2], cell: f32, detailed: bool) {
    let total = row.iter().sum::<u64>().max(1);
    for (j, &count) in row.iter().enumerate() {
        let x = left + j as f32 * cell;
        let color = shade(count as f64 / total as f64);
        canvas.rect([x, y, x + cell, y + cell], color);
        if detailed {
            let ink = if count == 0 { Color::GRID } else { color.contrast() };
            let size = if count > 99_999 { 11.0 } else { 13.0 };
            let middle = (x + cell / 2.0, y + cell / 2.0 + 4.5);
            canvas.text(&count.to_string(), middle, size, ink, Align::Center);
        }
    }
}

fn lines(canvas: &mut Canvas, [left, top]: [f32; 2], cell: f32, n: usize, detailed: bool) {
    let side = cell * n as f32;
    for i in 0..=n {
        if detailed || i == 0 || i == n {
            let at = i as f32 * cell;
            canvas.line((left + at, top), (left + at, top + side), 1.0, Color::GRID);
            canvas.line((left, top + at), (left + side, top + at), 1.0, Color::GRID);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_follow_the_share_of_the_row() {
        let classes = ["a".to_string(), "b".to_string()];
        let mut counts = Confusion::new(&classes);
        (0..10).for_each(|_| counts.add(0, 0));
        counts.add(1, 0);
        counts.add(1, 1);
        let image = confusion("", &counts);
        let left = (text_width("a", 13.0).max(text_width("b", 13.0)) + 46.0) as usize;
        let cell = |i: usize, j: usize| image.pixel(left + 52 * j + 5, 50 + 52 * i + 5).to_vec();
        assert_eq!(cell(0, 0), shade(1.0).0[..3]);
        assert_eq!(cell(0, 1), [255; 3]);
        assert_eq!(cell(1, 0), shade(0.5).0[..3]);
        // The bar of shades, at its upper quarter and its end.
        let bar = |y: usize| image.pixel(left + 2 * 52 + 84 + 7, y).to_vec();
        assert_eq!((bar(50 + 26), bar(50 + 2 * 52 + 2)), (shade(0.75).0[..3].to_vec(), vec![255; 3]));
    }

    #[test]
    fn many_classes_and_empty_rows_fit() {
        let classes: Vec<String> = (0..100).map(|i| format!("class {i}")).collect();
        assert!(confusion("hundred", &Confusion::new(&classes)).width() < 1400);
        confusion("none", &Confusion::new(&[]));
    }
}
