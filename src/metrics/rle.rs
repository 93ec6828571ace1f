//! Masks as run lengths, in COCO's conventions.
//!
//! A mask of h rows and w columns is read column by column: pixel (x, y) stands at position x·h + y. Its
//! *counts* are the lengths of the runs of equal pixels, outside first: `[6, 1, 40, 4]` is 6 outside, 1
//! inside, 40 outside, 4 inside. Three forms occur in files: the counts themselves; a *compressed string*, in
//! which count i is written as its difference to count i−2 (from the fourth on) in groups of five bits, low
//! first, each stored as one character from `'0'` on, whose sixth bit says that more groups follow and whose
//! fifth is the sign in the last; and polygons.
//!
//! A polygon becomes a mask by COCO's rule: its corners are rounded to a grid five times finer than the
//! pixels, its edges are drawn there as digital lines, and where such a line crosses the middle of a pixel
//! column the inside begins or ends. Here only the crossings are computed, a handful an edge, and never the
//! fine boundary.
//!
//! Source of the conventions: COCO's mask API (Lin et al., *Microsoft COCO*, 2014; `pycocotools.mask`).

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// The largest mask, in pixels: a bound on what hostile files can ask for.
pub const MAX_PIXELS: u64 = 1 << 29;

/// The finer grid's cells along a pixel.
const FINE: i64 = 5;
/// Polygon coordinates stay below this, in pixels.
const MAX_COORDINATE: f64 = 1e7;
/// The crossings of an object's polygons with columns: a bound on memory and time, for which a few bytes of a
/// file can ask.
const MAX_CROSSINGS: usize = 1 << 22;

/// A binary mask of `height` x `width` pixels as run lengths.
///
/// Runs are never empty, but for the first (outside) one, so that equal masks are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rle {
    height: u32,
    width: u32,
    counts: Vec<u32>,
}

impl Rle {
    /// The mask without a pixel inside. Errors: more than [`MAX_PIXELS`].
    pub fn empty(height: u64, width: u64) -> Result<Self> {
        Self::from_toggles(height, width, std::iter::empty())
    }

    /// From counts, outside first. Errors: a negative count, or counts that do not add up to `height *
    /// width`.
    pub fn from_counts(height: u64, width: u64, counts: &[i64]) -> Result<Self> {
        let pixels = pixels(height, width)?;
        let mut end = 0_u64;
        let mut toggles = Vec::with_capacity(counts.len());
        for &count in counts {
            let count =
                u64::try_from(count).map_err(|_| Error::input(format!("a mask run of {count} pixels")))?;
            end = end.checked_add(count).filter(|&e| e <= pixels).ok_or_else(|| {
                Error::input(format!("mask runs beyond the image's {pixels} pixels ({width} x {height})"))
            })?;
            toggles.push(end);
        }
        if end != pixels {
            let what = format!("mask runs cover {end} of the image's {pixels} pixels ({width} x {height})");
            return Err(Error::input(what));
        }
        Self::from_toggles(height, width, toggles)
    }

    /// From COCO's compressed string. Errors: foreign characters, an unfinished number, and those of
    /// [`Rle::from_counts`].
    pub fn from_compressed(height: u64, width: u64, text: &str) -> Result<Self> {
        let mut counts: Vec<i64> = Vec::new();
        let mut bytes = text.bytes();
        while let Some(first) = bytes.next() {
            let (mut value, mut shift, mut byte) = (0_i64, 0, first);
            loop {
                if !(b'0'..b'0' + 64).contains(&byte) {
                    return Err(Error::input(format!("byte {byte} in a compressed mask")));
                }
                let group = i64::from(byte - b'0');
                value |= (group & 31) << shift;
                shift += 5;
                if group & 32 == 0 {
                    if group & 16 != 0 {
                        value -= 1 << shift;
                    }
                    break;
                }
                byte = bytes
                    .next()
                    .ok_or_else(|| Error::input("a compressed mask that ends inside a number"))?;
                if shift > 40 {
                    return Err(Error::input("a number of more than 45 bits in a compressed mask"));
                }
            }
            let n = counts.len();
            if n > 2 {
                value += counts[n - 2];
            }
            if value < 0 || value > MAX_PIXELS as i64 {
                return Err(Error::input(format!("a mask run of {value} pixels")));
            }
            counts.push(value);
        }
        Self::from_counts(height, width, &counts)
    }

    /// The pixels of a row-major bitmap that are not 0. Errors: more than [`MAX_PIXELS`]. Panics where
    /// `bitmap` does not have `height * width` entries.
    #[track_caller]
    pub fn from_bitmap(height: usize, width: usize, bitmap: &[u8]) -> Result<Self> {
        Self::from_window(height, width, [0, 0], width, bitmap)
    }

    /// A mask of `height` x `width` pixels that is empty outside of a window, whose row-major bitmap of rows
    /// of `window_width` is given together with the window's upper left corner `[x, y]`. Panics where the
    /// window leaves the image.
    #[track_caller]
    pub fn from_window(
        height: usize,
        width: usize,
        [x0, y0]: [usize; 2],
        window_width: usize,
        bitmap: &[u8],
    ) -> Result<Self> {
        let rows = bitmap.len().checked_div(window_width).unwrap_or(0);
        assert!(
            rows * window_width == bitmap.len() && x0 + window_width <= width && y0 + rows <= height,
            "Rle::from_window: {} entries in rows of {window_width} at ({x0}, {y0}) of {width} x {height}",
            bitmap.len()
        );
        let mut toggles = Vec::new();
        for x in 0..window_width {
            let start = ((x0 + x) * height + y0) as u64;
            let mut inside = false;
            for y in 0..rows {
                if (bitmap[y * window_width + x] != 0) != inside {
                    inside = !inside;
                    toggles.push(start + y as u64);
                }
            }
            if inside {
                toggles.push(start + rows as u64);
            }
        }
        Self::from_toggles(height as u64, width as u64, toggles)
    }

    /// The masks of a row-major map of labels, one for each label but 0, by ascending label. Errors: more
    /// than [`MAX_PIXELS`]. Panics where `labels` does not have `height * width` entries.
    #[track_caller]
    pub fn of_labels(height: usize, width: usize, labels: &[u16]) -> Result<Vec<(u16, Self)>> {
        assert_eq!(labels.len(), height * width, "Rle::of_labels: entries for {width} x {height}");
        let mut toggles = BTreeMap::<u16, Vec<u64>>::new();
        let mut last = 0;
        for (x, y) in (0..width).flat_map(|x| (0..height).map(move |y| (x, y))) {
            let label = labels[y * width + x];
            if label != last {
                for of in [last, label].into_iter().filter(|&l| l > 0) {
                    toggles.entry(of).or_default().push((x * height + y) as u64);
                }
                last = label;
            }
        }
        let mask = |(label, toggles)| Ok((label, Self::from_toggles(height as u64, width as u64, toggles)?));
        toggles.into_iter().map(mask).collect()
    }

    /// The inside of a polygon `[x0, y0, x1, y1, ...]` in pixels, by the rule in this file's head. Fewer than
    /// three corners enclose nothing, and an odd last number counts for nothing, as in pycocotools. Errors:
    /// coordinates that are not finite or beyond 1e7, or a polygon that crosses columns more than 2^22 times.
    pub fn from_polygon(height: u64, width: u64, polygon: &[f64]) -> Result<Self> {
        Self::within(height, width, polygon, &mut { MAX_CROSSINGS })
    }

    /// As [`Rle::from_polygon`], where so many crossings are `left`.
    fn within(height: u64, width: u64, polygon: &[f64], left: &mut usize) -> Result<Self> {
        check_polygon(polygon)?;
        pixels(height, width)?;
        // Rounded as C's cast does, towards zero after adding a half: the convention for coordinates below 0,
        // too.
        let fine = |v: f64| (FINE as f64 * v + 0.5) as i64;
        let corners: Vec<[i64; 2]> = polygon.chunks_exact(2).map(|c| [fine(c[0]), fine(c[1])]).collect();
        let mut toggles = Vec::new();
        for (i, &from) in corners.iter().enumerate() {
            let to = corners[(i + 1) % corners.len()];
            crossings(from, to, width as i64, |x, y| {
                // The first row whose middle lies on the crossing or below it.
                let row = (y - FINE / 2 + FINE - 1).div_euclid(FINE).clamp(0, height as i64);
                toggles.push((x * height as i64 + row) as u64);
            });
            if toggles.len() > *left {
                return Err(Error::input(format!("polygons that cross columns over {MAX_CROSSINGS} times")));
            }
        }
        *left -= toggles.len();
        toggles.sort_unstable();
        Self::from_toggles(height, width, toggles)
    }

    /// The union of an object's polygons. Errors: those of [`Rle::from_polygon`], of all together.
    pub fn from_polygons(height: u64, width: u64, polygons: &[Vec<f64>]) -> Result<Self> {
        let left = &mut { MAX_CROSSINGS };
        let masks = polygons.iter().map(|polygon| Self::within(height, width, polygon, left));
        Self::union_of(height, width, &masks.collect::<Result<Vec<_>>>()?)
    }

    /// The pixels inside any of some masks of one size, in one pass over all of their ends.
    fn union_of(height: u64, width: u64, masks: &[Self]) -> Result<Self> {
        // Where one begins (1) or ends (-1).
        let mut ends: Vec<(u32, i32)> = Vec::with_capacity(masks.iter().map(|m| m.counts.len()).sum());
        for mask in masks {
            let mut at = 0;
            ends.extend(mask.counts.iter().zip([1, -1].into_iter().cycle()).map(|(run, turn)| {
                at += run;
                (at, turn)
            }));
        }
        ends.sort_unstable();
        let mut depth = 0;
        let toggles = ends.into_iter().filter_map(|(at, turn)| {
            let before = depth;
            depth += turn;
            ((before > 0) != (depth > 0)).then_some(u64::from(at))
        });
        Self::from_toggles(height, width, toggles)
    }

    /// The rectangle `[x, y, w, h]`, drawn as a polygon of four corners.
    pub fn from_box(height: u64, width: u64, [x, y, w, h]: [f64; 4]) -> Result<Self> {
        Self::from_polygon(height, width, &[x, y, x, y + h, x + w, y + h, x + w, y])
    }

    /// From positions, ascending, at which inside and outside change. Equal ones cancel in pairs, the end
    /// counts for nothing.
    fn from_toggles(height: u64, width: u64, toggles: impl IntoIterator<Item = u64>) -> Result<Self> {
        let pixels = pixels(height, width)?;
        let mut ends: Vec<u32> = Vec::new(); // ends of runs: ascending, strictly so after the first
        for toggle in toggles.into_iter().filter(|&t| t < pixels) {
            let toggle = toggle as u32;
            if ends.last() == Some(&toggle) {
                ends.pop();
            } else {
                ends.push(toggle);
            }
        }
        if pixels > 0 {
            ends.push(pixels as u32);
        }
        let mut start = 0;
        for end in &mut ends {
            start = std::mem::replace(end, *end - start);
        }
        ends.shrink_to_fit();
        Ok(Rle { height: height as u32, width: width as u32, counts: ends })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height as usize
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width as usize
    }

    /// The run lengths, outside first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// COCO's compressed string.
    pub fn compressed(&self) -> String {
        let mut text = String::with_capacity(self.counts.len() * 2);
        for (i, &count) in self.counts.iter().enumerate() {
            let mut value = i64::from(count) - if i > 2 { i64::from(self.counts[i - 2]) } else { 0 };
            loop {
                let group = (value & 31) as u8;
                value >>= 5;
                let more = value != if group & 16 != 0 { -1 } else { 0 };
                text.push(char::from(b'0' + group + if more { 32 } else { 0 }));
                if !more {
                    break;
                }
            }
        }
        text
    }

    /// The row-major bitmap: 1 inside, 0 outside; `height * width` bytes.
    pub fn bitmap(&self) -> Vec<u8> {
        let (h, w) = (self.height(), self.width());
        let mut bitmap = vec![0; h * w];
        for (start, end) in self.runs() {
            for p in start..end {
                bitmap[p % h * w + p / h] = 1;
            }
        }
        bitmap
    }

    /// The runs inside, as ranges of positions.
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut end = 0;
        self.counts.chunks(2).filter_map(move |pair| {
            let start = end + pair[0] as usize;
            end = start + *pair.get(1)? as usize;
            Some((start, end))
        })
    }

    /// Pixels inside.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&c| u64::from(c)).sum()
    }

    /// The smallest box `[x, y, width, height]` around the pixels inside, in pixels; all 0 where there is
    /// none.
    pub fn bounding_box(&self) -> [f64; 4] {
        let h = self.height();
        let [mut x0, mut y0, mut x1, mut y1] = [usize::MAX, usize::MAX, 0, 0];
        for (start, end) in self.runs() {
            let last = end - 1;
            x0 = x0.min(start / h);
            x1 = x1.max(last / h + 1);
            // A run that goes on into the next column touches the last row, and the first.
            let wraps = start / h != last / h;
            y0 = y0.min(if wraps { 0 } else { start % h });
            y1 = y1.max(if wraps { h } else { last % h + 1 });
        }
        if x1 == 0 { [0.0; 4] } else { [x0, y0, x1 - x0, y1 - y0].map(|v| v as f64) }
    }

    /// Pixels inside either. Panics where the sizes differ.
    #[track_caller]
    pub fn union(&self, other: &Self) -> Self {
        self.must_be_like(other);
        Self::union_of(self.height.into(), self.width.into(), &[self.clone(), other.clone()])
            .expect("a union is as large as its parts")
    }

    /// The number of pixels inside both. Panics where the sizes differ.
    #[track_caller]
    pub fn intersection_area(&self, other: &Self) -> u64 {
        let mut area = 0;
        self.walk(other, |start, end, a, b| area += if a && b { end - start } else { 0 });
        area
    }

    /// Intersection over union; 0 where the intersection is empty. With a crowd region as `other`, over this
    /// mask's own area: a crowd may hold many objects. Panics where the sizes differ.
    #[track_caller]
    pub fn iou(&self, other: &Self, crowd: bool) -> f64 {
        let both = self.intersection_area(other);
        let over = if crowd { self.area() } else { self.area() + other.area() - both };
        if both == 0 { 0.0 } else { both as f64 / over as f64 }
    }

    #[track_caller]
    fn must_be_like(&self, other: &Self) {
        let [own, others] = [self, other].map(|mask| (mask.height, mask.width));
        assert_eq!(own, others, "Rle: masks of different height and width");
    }

    /// Calls `visit(start, end, inside_self, inside_other)` for each stretch of positions in which neither
    /// changes.
    #[track_caller]
    fn walk(&self, other: &Self, mut visit: impl FnMut(u64, u64, bool, bool)) {
        self.must_be_like(other);
        let (Some(&first), Some(&other_first)) = (self.counts.first(), other.counts.first()) else { return };
        // Where the current runs end, and their numbers: those of odd ones are inside.
        let (mut start, mut a, mut b) = (0, u64::from(first), u64::from(other_first));
        let (mut i, mut j) = (0, 0);
        loop {
            let end = a.min(b);
            if start < end {
                visit(start, end, i % 2 == 1, j % 2 == 1);
            }
            start = end;
            if a == end {
                i += 1;
                let Some(&run) = self.counts.get(i) else { return };
                a += u64::from(run);
            }
            if b == end {
                j += 1;
                let Some(&run) = other.counts.get(j) else { return };
                b += u64::from(run);
            }
        }
    }
}

/// `height * width`, at most [`MAX_PIXELS`].
fn pixels(height: u64, width: u64) -> Result<u64> {
    height
        .checked_mul(width)
        .filter(|&n| n <= MAX_PIXELS && height.max(width) <= MAX_PIXELS)
        .ok_or_else(|| Error::input(format!("a mask of {width} x {height} pixels is too large")))
}

/// Are the coordinates of a polygon ones that can be drawn? Errors: one is not finite, or beyond 1e7.
pub fn check_polygon(polygon: &[f64]) -> Result<()> {
    match polygon.iter().find(|v| v.is_nan() || v.abs() > MAX_COORDINATE) {
        Some(v) => Err(Error::input(format!("a polygon coordinate of {v}"))),
        None => Ok(()),
    }
}

/// Where the digital line between two points of the fine grid crosses the middle of a pixel column x in
/// 0..width, that is, steps between the fine columns 5x + 2 and 5x + 3: calls `visit(x, y)`, with y the upper
/// fine row of that step.
///
/// The line goes one by one along its longer axis, upwards, and rounds the other coordinate, start +
/// slope·t + 1/2, to an integer; both in f64, as the convention has it.
fn crossings(from: [i64; 2], to: [i64; 2], width: i64, mut visit: impl FnMut(i64, i64)) {
    let [dx, dy] = [(to[0] - from[0]).abs(), (to[1] - from[1]).abs()];
    let middle = FINE / 2;
    // Columns whose fine columns 5x + 2 and 5x + 3 both lie within the edge's.
    let [left, right] = [from[0].min(to[0]), from[0].max(to[0])];
    let first = (left - middle + FINE - 1).div_euclid(FINE).max(0);
    let last = (right - middle - 1).div_euclid(FINE).min(width - 1);
    let along_x = dx >= dy;
    let major = usize::from(!along_x);
    let ([xs, ys], [xe, ye]) = if from[major] > to[major] { (to, from) } else { (from, to) };
    if along_x {
        let slope = (ye - ys) as f64 / dx as f64;
        let row = |t: i64| (ys as f64 + slope * t as f64 + 0.5) as i64;
        for x in first..=last {
            let t = FINE * x + middle - xs;
            visit(x, row(t).min(row(t + 1)));
        }
    } else {
        let slope = (xe - xs) as f64 / dy as f64;
        let column = |t: i64| (xs as f64 + slope * t as f64 + 0.5) as i64;
        for x in first..=last {
            // The first step after which the line is on the other side; rounding keeps the order, so
            // bisection finds it.
            let crossed = |t: i64| (column(t) > FINE * x + middle) == (xe > xs);
            let (mut before, mut after) = (0, dy);
            while after - before > 1 {
                let t = before + (after - before) / 2;
                *(if crossed(t) { &mut after } else { &mut before }) = t;
            }
            visit(x, ys + before);
        }
    }
}

#[cfg(test)]
mod tests;
