//! Where a chart's parts stand: axes, lines, marks and names.

use super::Chart;
use super::axis::Axis;
use super::series::{Series, Style};
use super::surface::Surface;
use crate::image::{Align, Color, text_width};

const TITLE: f32 = 15.0;
const LABEL: f32 = 13.0;
const TICK: f32 = 12.0;
/// From one name to the one below it.
const ROW: f32 = 17.0;

impl Chart {
    pub(super) fn draw(&self, canvas: &mut impl Surface, [x1, y1, x2, y2]: [f32; 4]) {
        let (mut x, mut y) = (self.x.clone(), self.y.clone());
        for &(px, py) in self.series.iter().flat_map(|s| &s.points) {
            x.include(px);
            y.include(py);
        }
        for (at, _) in &self.marks {
            x.include(*at);
        }
        if !self.tight {
            y.pad(0.05);
        }
        if !self.tight && self.series.iter().any(|s| s.style == Style::Dots) {
            x.pad(0.04);
        }
        let y_ticks = y.ticks(((y2 - y1) / 60.0) as usize);
        let widest = y_ticks.iter().map(|t| text_width(&t.label, TICK)).fold(0.0, f32::max);
        // Names of lines stand where these end, others in the freest corner, many beside the plot.
        let at_ends = self.named().all(|(_, s)| s.style.has_end());
        let any = self.named().next().is_some();
        let beside = if any && at_ends || self.named().count() > 5 { self.legend_width() + 4.0 } else { 0.0 };
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
            s.draw(canvas, &x, &y, i);
        }
        canvas.line((left, bottom), (right, bottom), 1.0, Color::MUTED);
        canvas.line((left, top), (left, bottom), 1.0, Color::MUTED);
        self.draw_marks(canvas, [left, top, right, bottom], &x, &y);
        self.write_notes(canvas, &x, &y);
        let plot = [left, top, right, bottom];
        match (beside > 0.0, at_ends) {
            (true, true) => self.names_at_ends(canvas, plot, &y),
            (true, false) => self.legend_at(canvas, (right + 10.0, top)),
            _ => self.legend(canvas, plot, &x, &y),
        }
    }

    /// Words upon their points, each below those before where it would cover them.
    fn write_notes(&self, canvas: &mut impl Surface, x: &Axis, y: &Axis) {
        let mut written: Vec<[f32; 4]> = Vec::new();
        for ((px, py), words) in &self.notes {
            let (at, mut up, half) = (x.at(*px), y.at(*py), text_width(words, LABEL) / 2.0 + 3.0);
            if !at.is_finite() || !up.is_finite() {
                continue;
            }
            let plate = |up: f32| [at - half, up - 0.7 * LABEL, at + half, up + 0.7 * LABEL];
            let covers = |a: [f32; 4], b: &[f32; 4]| a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
            while written.iter().any(|other| covers(plate(up), other)) {
                up += 0.5 * LABEL;
            }
            written.push(plate(up));
            canvas.rect(plate(up), Color::WHITE.alpha(190));
            canvas.text(words, (at, up + 0.35 * LABEL), LABEL, Color::INK, Align::Center);
        }
    }

    /// Where each mark's line stands, and the box of its meaning, written where the curves are not: at the bottom or
    /// the top, on that side of the line where there is more room, or else on the other.
    fn placed_marks(&self, [left, top, right, bottom]: [f32; 4], x: &Axis, y: &Axis) -> Vec<(f32, [f32; 4])> {
        let spots: Vec<_> = self.series.iter().flat_map(|s| s.spots(|p| (x.at(p.0), y.at(p.1)))).collect();
        let place = |(at, meaning): &(f64, String)| {
            let (at, wide) = (x.at(*at), text_width(meaning, TICK));
            let (before, behind) = (at - 5.0 - wide, at + 5.0);
            let sides = if at > (left + right) / 2.0 { [before, behind] } else { [behind, before] };
            let words = sides.into_iter().flat_map(|from| {
                [bottom - 8.0, top + 16.0].map(|base| [from, base - TICK, from + wide, base])
            });
            let hidden = |[x1, y1, x2, y2]: &[f32; 4]| {
                let near = |(px, py): &&(f32, f32)| {
                    (x1 - 4.0..x2 + 4.0).contains(px) && (y1 - 6.0..y2 + 6.0).contains(py)
                };
                spots.iter().filter(near).count()
            };
            let inside = words.filter(|[x1, _, x2, _]| *x1 >= left && *x2 <= right);
            let best = inside.min_by_key(hidden);
            (at, best.unwrap_or([sides[0], bottom - 8.0 - TICK, sides[0] + wide, bottom - 8.0]))
        };
        self.marks.iter().map(place).collect()
    }

    /// Vertical lines with their meanings.
    fn draw_marks(&self, canvas: &mut impl Surface, plot: [f32; 4], x: &Axis, y: &Axis) {
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
    fn legend(&self, canvas: &mut impl Surface, plot: [f32; 4], x: &Axis, y: &Axis) {
        if self.named().next().is_none() {
            return;
        }
        let [left, top, right, bottom] = plot;
        let (wide, high) = (self.legend_width(), self.named().count() as f32 * ROW + 8.0);
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

    fn legend_at(&self, canvas: &mut impl Surface, (cx, cy): (f32, f32)) {
        for (row, (i, s)) in self.named().enumerate() {
            self.name(canvas, i, s, (cx + 6.0, cy + 13.0 + row as f32 * ROW));
        }
    }

    /// A piece of the series and its name, whose middle is at the height of `at`.
    fn name(&self, canvas: &mut impl Surface, i: usize, s: &Series, at: (f32, f32)) {
        s.sample(canvas, at, 16.0, i);
        canvas.text(&s.name, (at.0 + 22.0, at.1 + 4.5), TICK, Color::INK, Align::Left);
    }

    /// Names beside the plot, each as high as its line ends, or as near to that as leaves all of them room.
    fn names_at_ends(&self, canvas: &mut impl Surface, [_, top, right, bottom]: [f32; 4], y: &Axis) {
        let end = |s: &Series| {
            let ends = s.points.iter().rev().map(|p| y.at(p.1)).find(|at| at.is_finite());
            ends.unwrap_or(bottom)
        };
        let mut names: Vec<_> = self.named().map(|(i, s)| (end(s), i, s)).collect();
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let heights = apart(&names.iter().map(|n| n.0).collect::<Vec<_>>(), top, bottom);
        for ((_, i, s), height) in names.into_iter().zip(heights) {
            self.name(canvas, i, s, (right + 8.0, height));
        }
    }
}

/// Heights in rising order, moved so that neighbours are a row apart and all of them lie between two others,
/// as far as there is room.
fn apart(heights: &[f32], top: f32, bottom: f32) -> Vec<f32> {
    let row = ROW.min((bottom - top) / heights.len().max(1) as f32);
    let mut placed: Vec<f32> = Vec::new();
    for &height in heights {
        let least = placed.last().map_or(top, |last| last + row);
        placed.push(height.max(least));
    }
    let mut most = bottom;
    for height in placed.iter_mut().rev() {
        *height = height.min(most);
        most = *height - row;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::{ROW, apart};

    #[test]
    fn names_keep_apart_and_inside() {
        assert_eq!(apart(&[10.0, 100.0], 0.0, 200.0), [10.0, 100.0]);
        assert_eq!(apart(&[50.0, 51.0], 0.0, 200.0), [50.0, 50.0 + ROW]);
        assert_eq!(apart(&[200.0, 200.0, 200.0], 0.0, 200.0), [200.0 - 2.0 * ROW, 200.0 - ROW, 200.0]);
        let crowded = apart(&[5.0; 40], 0.0, 200.0);
        assert!(crowded.windows(2).all(|w| w[1] - w[0] > 4.9) && crowded[39] <= 200.0);
    }
}
