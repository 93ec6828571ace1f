//! An axis: its range, its place on the canvas, and ticks at round numbers (1, 2 or 5 times a power of ten).
// A picture may differ in a pixel from one C library to the next; no result is read from it.
#![allow(clippy::disallowed_methods)]

/// How numbers become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Evenly, with ticks at whole numbers alone: nothing lies between two epochs.
    Whole,
    /// Evenly; 0..1 is shown as 0..100 %.
    Percent,
    /// By the logarithm; only positive numbers have a place.
    Log,
}

/// A round number and how it is written.
pub(super) struct Tick {
    pub value: f64,
    pub label: String,
}

#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub label: String,
    pub scale: Scale,
    low: f64,
    high: f64,
    from: f32,
    to: f32,
}

impl Axis {
    pub fn new(label: String) -> Self {
        let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        Axis { label, scale: Scale::Linear, low, high, from: 0.0, to: 1.0 }
    }

    /// Numbers whose difference is no number either have no place.
    fn shows(&self, value: f64) -> bool {
        value.abs() < 1e300 && (self.scale != Scale::Log || value > 1e-300)
    }

    pub fn include(&mut self, value: f64) {
        if self.shows(value) {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        }
    }

    /// Widens the range by a fraction on both ends; a range of no width becomes one of some.
    pub fn pad(&mut self, fraction: f64) {
        self.settle();
        let (low, high) = (self.map(self.low), self.map(self.high));
        let margin = fraction * (high - low);
        // A quantity that is never negative keeps its zero as the end.
        let touches_zero = self.scale != Scale::Log && self.low >= 0.0 && low - margin < 0.0;
        self.low = if touches_zero { 0.0 } else { self.unmap(low - margin) };
        self.high = self.unmap(high + margin);
    }

    fn settle(&mut self) {
        if self.low > self.high {
            (self.low, self.high) = if self.scale == Scale::Log { (0.1, 1.0) } else { (0.0, 1.0) };
        } else if self.low == self.high {
            let v = self.low;
            (self.low, self.high) = match self.scale {
                Scale::Log => (v / 2.0, v * 2.0),
                _ if v == 0.0 => (-1.0, 1.0),
                _ => (v - v.abs() / 2.0, v + v.abs() / 2.0),
            };
        }
    }

    fn map(&self, value: f64) -> f64 {
        if self.scale == Scale::Log { value.log10() } else { value }
    }

    fn unmap(&self, place: f64) -> f64 {
        if self.scale == Scale::Log { 10f64.powf(place) } else { place }
    }

    /// The length of the range.
    pub fn span(&mut self) -> f64 {
        self.settle();
        self.map(self.high) - self.map(self.low)
    }

    /// Puts the range between two pixel coordinates.
    pub fn place(&mut self, from: f32, to: f32) {
        self.settle();
        (self.from, self.to) = (from, to);
    }

    /// The pixel coordinate of a number; NaN where it has none.
    pub fn at(&self, value: f64) -> f32 {
        if !self.shows(value) {
            return f32::NAN;
        }
        let (low, high) = (self.map(self.low), self.map(self.high));
        self.from + ((self.map(value) - low) / (high - low)) as f32 * (self.to - self.from)
    }

    /// The pixel coordinate of the range's low end.
    pub fn bottom(&self) -> f32 {
        self.from
    }

    /// About `count` round numbers in the range.
    pub fn ticks(&mut self, count: usize) -> Vec<Tick> {
        self.settle();
        let decades = self.map(self.high) - self.map(self.low);
        if self.scale == Scale::Log && decades >= 1.0 {
            return self.decades((decades / count.max(2) as f64).ceil() as i32);
        }
        let least = if self.scale == Scale::Whole { 1.0 } else { 0.0 };
        let step = round_step((self.high - self.low) / count.max(2) as f64).max(least);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        let tick = |i: i64| {
            let value = i as f64 * step;
            let label = match self.scale {
                Scale::Percent => format!("{} %", number(100.0 * value, 100.0 * step)),
                _ => number(value, step),
            };
            Tick { value, label }
        };
        (first..=last.min(first + 50)).map(tick).collect()
    }

    fn decades(&self, every: i32) -> Vec<Tick> {
        let (first, last) = (self.low.log10() - 1e-9, self.high.log10() + 1e-9);
        let powers = (first.ceil() as i32..=last.floor() as i32).filter(|p| p.rem_euclid(every) == 0);
        powers.map(|p| Tick { value: 10f64.powi(p), label: power(p) }).collect()
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|s| s * power >= least * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

/// A multiple of `step`, with the decimals that tell it from its neighbours.
fn number(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if value.abs() >= 1e6 || step < 1e-6 {
        return format!("{value:.1e}").replace(".0e", "e").replace('-', "−");
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let text = format!("{value:.decimals$}").replace('-', "−");
    if value.abs() >= 10_000.0 && decimals == 0 { grouped(&text) } else { text }
}

/// Digits in groups of three.
fn grouped(text: &str) -> String {
    let digits = text.trim_start_matches('−');
    let mut out = text[..text.len() - digits.len()].to_string();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A power of ten: plain between a thousandth and ten thousand.
fn power(p: i32) -> String {
    match p {
        0..=4 => grouped(&format!("{}", 10i32.pow(p as u32))),
        -3..=-1 => format!("{:.*}", -p as usize, 10f64.powi(p)),
        _ => format!("1e{p}").replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, scale: Scale, count: usize) -> Vec<String> {
        let mut axis = Axis { scale, ..Axis::new(String::new()) };
        axis.include(low);
        axis.include(high);
        axis.ticks(count).into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            labels(0.0, 1.0, Scale::Linear, 5),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(|s| s.replace("0.0", "0"))
        );
        assert_eq!(labels(-3.0, 4.0, Scale::Linear, 4), ["−2", "0", "2", "4"]);
        assert_eq!(labels(1.0, 3.0, Scale::Linear, 5), ["1.0", "1.5", "2.0", "2.5", "3.0"]);
        assert_eq!(labels(1.0, 3.0, Scale::Whole, 5), ["1", "2", "3"]);
        assert_eq!(labels(0.13, 0.62, Scale::Percent, 5), ["20 %", "30 %", "40 %", "50 %", "60 %"]);
        assert_eq!(labels(1e-7, 10.0, Scale::Log, 5), ["1e−6", "1e−4", "0.01", "1"]);
        assert_eq!(labels(0.0, 45_000.0, Scale::Linear, 4), ["0", "20,000", "40,000"]);
        assert_eq!(labels(2.0, 5.0, Scale::Log, 3), ["2", "3", "4", "5"]);
    }

    #[test]
    fn places_are_linear_in_the_scale() {
        let mut axis = Axis { scale: Scale::Log, ..Axis::new(String::new()) };
        axis.include(0.01);
        axis.include(100.0);
        axis.place(0.0, 400.0);
        assert!((axis.at(1.0) - 200.0).abs() < 1e-3 && axis.at(-1.0).is_nan());
    }
}
