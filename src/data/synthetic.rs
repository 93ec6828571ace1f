//! Synthetic shapes: ten classes of drawn 32 x 32 pictures, so that everything runs where no data is at hand.
//!
//! A shape is the set where a signed distance d(u, v) is negative, in coordinates turned, scaled and moved at
//! random; a pixel's coverage is clamp(1/2 - d), d in pixels, which antialiases the edge. Colors are random,
//! the shape's lighter than the ground's; below lies a smooth random texture, above it at times a stray bar,
//! and noise. Image i of a seed is a function of (seed, i) alone: nothing is stored.

use std::f32::consts::{PI, TAU};
use std::sync::Arc;

use gradus_core::{Rng, elementary};

use super::classification::{Dataset, Splits};
use super::images::Images;
use crate::error::Result;
use crate::image::Image;

const SIDE: usize = 32;
const CLASSES: [&str; 10] = [
    "disc",
    "ring",
    "square",
    "triangle",
    "cross",
    "star",
    "horizontal stripes",
    "vertical stripes",
    "checkerboard",
    "crescent",
];
/// Images for training, validation and test.
const SPLIT: [usize; 3] = [18_000, 2_000, 4_000];

/// The drawn data set.
pub struct SyntheticShapes {
    classes: Vec<String>,
    rng: Rng,
    seed: u64,
    len: usize,
}

impl SyntheticShapes {
    /// 24,000 images.
    pub fn new(seed: u64) -> Self {
        Self::with_len(seed, SPLIT.iter().sum())
    }

    /// As many images as asked for; a longer set begins with the shorter one.
    pub fn with_len(seed: u64, len: usize) -> Self {
        let classes = CLASSES.map(String::from).to_vec();
        SyntheticShapes { classes, rng: Rng::seed(seed).stream("synthetic shapes"), seed, len }
    }

    /// Three quarters for training, a twelfth for validation, a sixth for test.
    pub fn split(self) -> Splits {
        let parts = ["train", "val", "test"].map(|name| self.part(name).unwrap_or_default());
        Splits::new(Arc::new(self), parts)
    }
}

impl Images for SyntheticShapes {
    fn kind(&self) -> String {
        "drawn shapes".into()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn name(&self, i: usize) -> String {
        format!("{} image {i}", self.title())
    }

    fn checksum(&self) -> Result<String> {
        Ok(format!("synthetic-v2:{}:{}", self.seed, self.len))
    }

    fn part(&self, split: &str) -> Option<Vec<usize>> {
        let total: usize = SPLIT.iter().sum();
        let (train, val) = (self.len * SPLIT[0] / total, self.len * (SPLIT[0] + SPLIT[1]) / total);
        match split {
            "train" => Some((0..train).collect()),
            "val" => Some((train..val).collect()),
            "test" => Some((val..self.len).collect()),
            _ => None,
        }
    }
}

impl Dataset for SyntheticShapes {
    fn title(&self) -> &str {
        "Synthetic shapes"
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, i: usize) -> usize {
        // Each run of ten images holds each class once.
        self.rng.stream("labels").at((i / 10) as u64).permutation(10)[i % 10]
    }

    fn image(&self, i: usize) -> Result<Image> {
        Ok(draw(self.label(i), &mut self.rng.at(i as u64)))
    }
}

/// Where a shape lies: center and scale in pixels, cosine and sine of its angle.
struct Pose {
    center: [f32; 2],
    scale: f32,
    turn: [f32; 2],
}

impl Pose {
    fn random(class: usize, rng: &mut Rng) -> Self {
        let scale = uniform(rng, 9.5, 13.0);
        // Part of a large shape may leave the picture.
        let reach = 17.0 - scale;
        let center = [16.0 + uniform(rng, -reach, reach), 16.0 + uniform(rng, -reach, reach)];
        let angle = match class {
            // Stripes keep the direction that names them.
            6 | 7 => uniform(rng, -0.3, 0.3),
            _ => uniform(rng, -PI, PI),
        };
        Pose { center, scale, turn: [elementary::cos(angle), elementary::sin(angle)] }
    }

    /// A pixel's place in the shape's own coordinates, where the shape has about radius 1.
    fn local(&self, x: f32, y: f32) -> (f32, f32) {
        let (dx, dy) = ((x - self.center[0]) / self.scale, (y - self.center[1]) / self.scale);
        (dx * self.turn[0] + dy * self.turn[1], dy * self.turn[0] - dx * self.turn[1])
    }
}

fn uniform(rng: &mut Rng, lo: f32, hi: f32) -> f32 {
    lo + (hi - lo) * rng.f32()
}

fn box_distance(u: f32, v: f32, a: f32, b: f32) -> f32 {
    let (x, y) = (u.abs() - a, v.abs() - b);
    elementary::hypot(x.max(0.0), y.max(0.0)) + x.max(y).min(0.0)
}

/// Distance to the polygon whose vertices lie at `points` equal angles, with alternating radii (outer,
/// inner).
fn star_distance(u: f32, v: f32, points: f32, inner: f32) -> f32 {
    // Folded into half a sector, the polygon is one straight edge.
    let sector = PI / points;
    let angle = (elementary::atan2(v, u).rem_euclid(2.0 * sector) - sector).abs();
    let r = elementary::hypot(u, v);
    let (x, y) = (r * elementary::cos(sector - angle), r * elementary::sin(sector - angle));
    let (ex, ey) = (inner * elementary::cos(sector) - 1.0, inner * elementary::sin(sector));
    (ex * y - ey * (x - 1.0)) / -elementary::hypot(ex, ey)
}

/// The signed distance of a class's shape; `form` are three numbers in 0..1 that vary it.
fn distance(class: usize, u: f32, v: f32, form: [f32; 3]) -> f32 {
    let [a, b, c] = form;
    let stripes = |t: f32, period: f32, phase: f32| {
        let p = (t / period + phase).rem_euclid(1.0);
        ((p - 0.5).abs() - 0.25) * period
    };
    // Fields of stripes and checks are cut out of a frame of varied proportions.
    let frame = |u, v| box_distance(u, v, 0.8 + 0.25 * a, 0.8 + 0.25 * b);
    let period = 0.45 + 0.3 * b;
    match class {
        0 => elementary::hypot(u, v * (1.0 + 0.35 * a)) - 0.9,
        1 => (elementary::hypot(u, v * (1.0 + 0.3 * a)) - 0.75).abs() - (0.14 + 0.16 * b),
        2 => box_distance(u, v, 0.78, 0.78 - 0.2 * a),
        3 => star_distance(u, v, 3.0, 0.5) + 0.08 * a,
        4 => {
            let arm = 0.2 + 0.12 * a;
            box_distance(u, v, 1.0, arm).min(box_distance(u, v, arm, 1.0))
        }
        5 => star_distance(u, v, 5.0, 0.4 + 0.12 * a),
        6 => stripes(v, period, c).max(frame(u, v)),
        7 => stripes(u, period, c).max(frame(u, v)),
        8 => {
            let (s, t) = (stripes(u, 1.3 * period, c), stripes(v, 1.3 * period, a));
            // Negative where exactly one of the two is: the sign of a product.
            let checks = if (s < 0.0) == (t < 0.0) { s.abs().min(t.abs()) } else { -s.abs().min(t.abs()) };
            checks.max(frame(u, v))
        }
        _ => {
            let bite = elementary::hypot(u - 0.45 - 0.2 * a, v) - (0.72 + 0.1 * b);
            (elementary::hypot(u, v) - 0.95).max(-bite)
        }
    }
}

/// Two colors, the first one lighter: by at least 80 of 255 in the mean of the channels. (Where either may be
/// the lighter one no single pixel tells anything of the class, and in a short training a network hardly
/// begins to learn.)
fn colors(rng: &mut Rng) -> [[f32; 3]; 2] {
    loop {
        let mut color = || [uniform(rng, 20.0, 235.0), uniform(rng, 20.0, 235.0), uniform(rng, 20.0, 235.0)];
        let (a, b) = (color(), color());
        if (0..3).map(|i| a[i] - b[i]).sum::<f32>() > 240.0 {
            return [a, b];
        }
    }
}

/// A sum of three plane waves of random direction, length and phase, in -1..1.
fn texture(rng: &mut Rng) -> impl Fn(f32, f32) -> f32 + use<> {
    let waves: [[f32; 3]; 3] = std::array::from_fn(|_| {
        let (angle, length) = (uniform(rng, 0.0, TAU), uniform(rng, 5.0, 30.0));
        [TAU / length * elementary::cos(angle), TAU / length * elementary::sin(angle), uniform(rng, 0.0, TAU)]
    });
    move |x, y| waves.iter().map(|w| elementary::sin(w[0] * x + w[1] * y + w[2])).sum::<f32>() / 3.0
}

fn draw(class: usize, rng: &mut Rng) -> Image {
    let pose = Pose::random(class, rng);
    let form = [rng.f32(), rng.f32(), rng.f32()];
    let [front, back] = colors(rng);
    let (below, above) = (texture(rng), texture(rng));
    let depth = [uniform(rng, 2.0, 16.0), uniform(rng, 0.0, 10.0)];
    let bar = Bar::random(rng);
    let noise = uniform(rng, 1.0, 6.0);
    let mut samples = Vec::with_capacity(3 * SIDE * SIDE);
    for i in 0..SIDE * SIDE {
        let (x, y) = ((i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5);
        let (u, v) = pose.local(x, y);
        let cover = (0.5 - distance(class, u, v, form) * pose.scale).clamp(0.0, 1.0);
        let (low, high) = (depth[0] * below(x, y), depth[1] * above(x, y));
        let stray = bar.cover(x, y);
        for c in 0..3 {
            let shape = (back[c] + low) * (1.0 - cover) + (front[c] + high) * cover;
            let value = shape * (1.0 - stray) + bar.color[c] * stray;
            // The sum of two uniform numbers: a triangle, close enough to a normal distribution, and quick.
            let grain = (rng.f32() + rng.f32() - 1.0) * 2.4 * noise;
            samples.push((value + grain).clamp(0.0, 255.0) as u8);
        }
    }
    Image::from_u8(SIDE, SIDE, 3, samples)
}

/// A stray bar that says nothing of the class, and may hide a part of the shape, in every fifth picture.
struct Bar {
    normal: [f32; 2],
    offset: f32,
    half: f32,
    color: [f32; 3],
}

impl Bar {
    fn random(rng: &mut Rng) -> Self {
        let angle = uniform(rng, 0.0, PI);
        let width = uniform(rng, 1.0, 3.5);
        let present = rng.chance(0.2);
        let normal = [elementary::cos(angle), elementary::sin(angle)];
        let offset = 16.0 * (normal[0] + normal[1]) + uniform(rng, -13.0, 13.0);
        let color = [uniform(rng, 0.0, 255.0), uniform(rng, 0.0, 255.0), uniform(rng, 0.0, 255.0)];
        Bar { normal, offset, half: if present { width / 2.0 } else { -1.0 }, color }
    }

    fn cover(&self, x: f32, y: f32) -> f32 {
        let d = (self.normal[0] * x + self.normal[1] * y - self.offset).abs() - self.half;
        (0.5 - d).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_seed_and_index() {
        let (a, b) = (SyntheticShapes::new(1), SyntheticShapes::with_len(1, 50));
        assert_eq!(a.image(17).unwrap(), b.image(17).unwrap());
        assert_ne!(a.image(17).unwrap(), a.image(18).unwrap());
        assert_ne!(a.image(17).unwrap(), SyntheticShapes::new(2).image(17).unwrap());
    }

    #[test]
    fn classes_are_balanced_and_the_split_has_no_overlap() {
        let split = SyntheticShapes::with_len(3, 2_400).split();
        assert_eq!((split.train.len(), split.val.len(), split.test.len()), (1_800, 200, 400));
        for class in 0..10 {
            assert_eq!((0..1_800).filter(|&k| split.train.label(k) == class).count(), 180);
        }
        assert_eq!(split.test.indices()[0], 2_000);
    }

    #[test]
    fn distances_have_the_right_signs() {
        let inside = [0.5; 3];
        for class in [0, 2, 3, 4, 5] {
            assert!(distance(class, 0.0, 0.0, inside) < -0.1, "{}", CLASSES[class]);
            assert!(distance(class, 1.5, 1.5, inside) > 0.1, "{}", CLASSES[class]);
        }
        assert!(distance(1, 0.0, 0.0, inside) > 0.0 && distance(1, 0.75, 0.0, inside) < 0.0);
        assert!(distance(9, 0.6, 0.0, inside) > 0.0 && distance(9, -0.8, 0.0, inside) < 0.0);
        // A triangle's vertex and the middle of its opposite edge.
        assert!(
            star_distance(1.0, 0.0, 3.0, 0.5).abs() < 1e-5 && star_distance(-0.5, 0.0, 3.0, 0.5).abs() < 1e-5
        );
    }
}
