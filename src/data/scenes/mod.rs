//! Synthetic street scenes with walkers, drawn from nothing but a seed, with exact masks and boxes.
//!
//! People of different sizes, clothes and poses walk between cars, trees, lamps and other upright things that
//! may hide a part of them. A scene is a function of (seed, index, size). A box is the smallest around a
//! walker's visible pixels, whole pixels included, so that it is as wide as the mask.

mod canvas;
mod street;
mod walker;

use gradus_core::random::Rng;

use self::canvas::Canvas;
use self::street::{Street, THINGS, Thing, f};
use self::walker::Walker;
use super::detection::{DetectionDataset, Object, Sample};
use super::images::Images;
use crate::error::Result;
use crate::image::Image;
use crate::metrics::coco::Category;
use crate::metrics::rle::Rle;

/// A walker of whom less is to be seen, as a part of what lies in the image, is left out of the scene.
const LEAST_VISIBLE: f64 = 0.35;
/// A walker with a side of fewer pixels is left out of the scene.
const LEAST_SIDE: f64 = 3.0;

/// A data set of synthetic street scenes. Label it as synthetic wherever it is shown.
#[derive(Clone, Debug)]
pub struct Scenes {
    seed: u64,
    len: usize,
    width: usize,
    height: usize,
    classes: Vec<Category>,
}

impl Scenes {
    /// `len` scenes of `width` x `height` pixels. Panics below 32 pixels a side.
    #[track_caller]
    pub fn new(seed: u64, len: usize, width: usize, height: usize) -> Self {
        assert!(width.min(height) >= 32, "Scenes: {width} x {height} pixels; at least 32 a side are needed");
        Scenes { seed, len, width, height, classes: vec![Category { id: 1, name: "person".into() }] }
    }

    /// Draws scene i, whatever the length of the data set.
    pub fn draw(&self, i: usize) -> Sample {
        let rng = Rng::seed(self.seed).stream("scenes").at(i as u64);
        let mut scene = Scene::random(&rng, self.width as f32, self.height as f32);
        loop {
            let (canvas, painted) = scene.paint(&rng, self.width, self.height);
            let masks = Rle::of_labels(self.height, self.width, &canvas.owners).expect("scenes are small");
            let visible =
                |k: usize| masks.iter().find(|(owner, _)| *owner as usize == k + 1).map(|(_, mask)| mask);
            let seen = |k: usize| {
                let [_, _, w, h] = visible(k)?.bounding_box();
                let enough = visible(k)?.area() as f64 >= LEAST_VISIBLE * painted[k] as f64;
                (enough && w.min(h) >= LEAST_SIDE).then_some(())
            };
            let hidden: Vec<usize> = (0..painted.len()).filter(|&k| seen(k).is_none()).collect();
            if hidden.is_empty() {
                let image = develop(&canvas, &mut rng.stream("grain"));
                let objects = masks.into_iter().map(|(_, mask)| person(mask)).collect();
                return Sample { image, image_id: i as i64, objects };
            }
            scene.remove_walkers(&hidden);
        }
    }
}

/// A walker as an object, whose box is the smallest around the mask.
fn person(mask: Rle) -> Object {
    let [x, y, w, h] = mask.bounding_box();
    let bbox = [x, y, x + w, y + h].map(|v| v as f32);
    Object { bbox, label: 1, area: mask.area() as f64, crowd: false, mask: Some(mask) }
}

impl Images for Scenes {
    fn kind(&self) -> String {
        format!("drawn street scenes of {} x {} pixels", self.width, self.height)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn name(&self, i: usize) -> String {
        format!("synthetic scene {i:05}")
    }

    fn checksum(&self) -> Result<String> {
        Ok(format!("scenes:{}:{}:{}x{}", self.seed, self.len, self.width, self.height))
    }
}

impl DetectionDataset for Scenes {
    fn classes(&self) -> &[Category] {
        &self.classes
    }

    fn load(&self, i: usize) -> Result<Sample> {
        Ok(self.draw(i))
    }
}

/// What stands on the ground, by its foot's row.
enum Figure {
    Walker(Walker),
    Thing { thing: Thing, at: [f32; 2], size: f32, seed: u64 },
}

impl Figure {
    fn foot(&self) -> f32 {
        match self {
            Figure::Walker(w) => w.foot,
            Figure::Thing { at, .. } => at[1],
        }
    }
}

struct Scene {
    street: Street,
    /// From the back to the front.
    figures: Vec<Figure>,
}

impl Scene {
    fn random(rng: &Rng, w: f32, h: f32) -> Self {
        let mut r = rng.stream("layout");
        let street = Street::random(&mut r, w, h);
        // The camera is a little higher than a person, so that heads are near the horizon.
        let per_row = f(&mut r, 0.75, 1.1);
        let foot_of = |size: f32| street.horizon + size / per_row;
        let mut figures = Vec::new();
        for _ in 0..[1, 2, 2, 3, 3, 4, 5][r.below(7)] {
            // Small ones are more frequent than large ones.
            let root = f(&mut r, 0.22_f32.sqrt(), 0.72_f32.sqrt());
            let size = h * root * root;
            let x = f(&mut r, 0.03, 0.97) * w;
            let tall = size * f(&mut r, 0.9, 1.08);
            figures.push(Figure::Walker(Walker::random(&mut r, x, foot_of(size), tall)));
            if r.chance(0.3) {
                // A companion beside.
                let beside = x + size * f(&mut r, 0.2, 0.4);
                let foot = foot_of(size) + f(&mut r, -0.03, 0.03) * size;
                let smaller = tall * f(&mut r, 0.75, 1.1);
                figures.push(Figure::Walker(Walker::random(&mut r, beside, foot, smaller)));
            }
        }
        let mut thing = |r: &mut Rng, thing, size: f32, at: [f32; 2]| {
            figures.push(Figure::Thing { thing, at, size, seed: r.u64() });
        };
        for _ in 0..r.below(5) {
            let kind = THINGS[r.below(THINGS.len())];
            let size = h * f(&mut r, 0.15, 0.6);
            let x = f(&mut r, 0.0, w);
            thing(&mut r, kind, size, [x, foot_of(size)]);
        }
        for _ in 0..[0, 0, 1, 1, 2][r.below(5)] {
            let at = |r: &mut Rng, [far, near]: [f32; 2]| far + (near - far) * f(r, 0.3, 0.9);
            let foot = match street.road {
                Some(road) => at(&mut r, road),
                None => at(&mut r, [street.horizon + 0.08 * h, street.horizon + 0.3 * h]),
            };
            let x = f(&mut r, -0.1, 1.1) * w;
            thing(&mut r, Thing::Car, (foot - street.horizon) * per_row, [x, foot]);
        }
        figures.sort_by(|a, b| a.foot().total_cmp(&b.foot()));
        Scene { street, figures }
    }

    /// The picture, and for each walker the number of pixels painted before others came in front.
    fn paint(&self, rng: &Rng, width: usize, height: usize) -> (Canvas, Vec<usize>) {
        let mut canvas = Canvas::new(width, height);
        self.street.paint(&mut rng.stream("street"), &mut canvas);
        let mut painted = Vec::new();
        for figure in &self.figures {
            match figure {
                Figure::Walker(walker) => {
                    canvas.owner = painted.len() as u16 + 1;
                    walker.paint(&mut canvas);
                    painted.push(canvas.owners.iter().filter(|&&o| o == canvas.owner).count());
                    canvas.owner = 0;
                }
                Figure::Thing { thing, at, size, seed } => {
                    thing.paint(&mut Rng::seed(*seed), &mut canvas, *at, *size);
                }
            }
        }
        (canvas, painted)
    }

    /// Takes the walkers with these numbers, counted from the back, out of the scene.
    fn remove_walkers(&mut self, numbers: &[usize]) {
        let mut number = 0;
        self.figures.retain(|figure| {
            let walker = matches!(figure, Figure::Walker(_));
            let keep = !(walker && numbers.contains(&number));
            number += usize::from(walker);
            keep
        });
    }
}

/// The photograph: exposure, a tint, and grain.
fn develop(canvas: &Canvas, rng: &mut Rng) -> Image {
    let exposure = rng.range(0.75, 1.15) as f32;
    let tint = [0, 1, 2].map(|_| exposure * rng.range(0.95, 1.05) as f32);
    let grain = rng.range(0.005, 0.03) as f32;
    let mut samples = Vec::with_capacity(canvas.pixels.len() * 3);
    for pixel in &canvas.pixels {
        let bits = rng.u64();
        for (c, (value, tint)) in pixel.iter().zip(tint).enumerate() {
            // The sum of two uniform numbers, less their mean: a triangle from -1 to 1.
            let byte = |k: usize| (bits >> (8 * (2 * c + k)) & 255) as f32 / 255.0;
            let noise = grain * (byte(0) + byte(1) - 1.0);
            samples.push(((value * tint + noise).clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
        }
    }
    Image::from_u8(canvas.width, canvas.height, 3, samples)
}

#[cfg(test)]
mod tests;
