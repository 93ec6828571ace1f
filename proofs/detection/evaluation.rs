//! Claim B4, over the evaluation that `gradus evaluate` prints (`gradus::metrics::coco`).

use gradus::metrics::coco::{
    Category, CategoryResult, Detection, Evaluation, GroundTruth, Kind, NAMES, Truth, evaluate,
};
use gradus_proofs::property::{ensure, holds, refuted};
use proptest::prelude::*;

type Bounds = [f64; 4];

/// An object or a detection before it has an id.
#[derive(Clone, Debug)]
struct Item {
    image: i64,
    category: i64,
    bounds: Bounds,
    score: f64,
    crowd: bool,
}

/// Up to three categories in five images; detections lie near objects or anywhere. Scores are distinct
/// multiples of 2^-10.
#[derive(Clone, Debug)]
struct Scene {
    objects: Vec<Item>,
    detections: Vec<Item>,
}

fn item() -> impl Strategy<Value = Item> {
    let bounds = (0.0..400.0, 0.0..300.0, 5.0..150.0, 5.0..150.0).prop_map(|(x, y, w, h)| [x, y, w, h]);
    (1..=5i64, 1..=3i64, bounds, prop::bool::weighted(0.1))
        .prop_map(|(image, category, bounds, crowd)| Item { image, category, bounds, score: 0.0, crowd })
}

fn scene() -> impl Strategy<Value = Scene> {
    let near = (any::<prop::sample::Index>(), prop::array::uniform4(-3.0..3.0f64));
    let lists = (
        prop::collection::vec(item(), 0..20),
        prop::collection::vec(item(), 0..10),
        prop::collection::vec(near, 0..20),
    );
    let scores = Just((0..30).collect::<Vec<i32>>()).prop_shuffle();
    (lists, scores).prop_map(|((objects, mut detections, near), scores)| {
        for (which, moved) in near.into_iter().filter(|_| !objects.is_empty()) {
            let mut d: Item = which.get(&objects).clone();
            d.bounds.iter_mut().zip(moved).for_each(|(v, by)| *v += by);
            detections.push(d);
        }
        detections.iter_mut().zip(&scores).for_each(|(d, &s)| d.score = f64::from(s + 1) / 1024.0);
        Scene { objects, detections }
    })
}

impl Scene {
    fn evaluate(&self) -> Evaluation {
        let truth = |(k, o): (usize, &Item)| Truth {
            id: k as i64 + 1,
            image: o.image,
            category: o.category,
            bbox: o.bounds,
            area: o.bounds[2] * o.bounds[3],
            crowd: o.crowd,
            mask: None,
        };
        let truth = GroundTruth {
            images: (1..=5).collect(),
            categories: (1..=3).map(|id| Category { id, name: id.to_string() }).collect(),
            truths: self.objects.iter().enumerate().map(truth).collect(),
        };
        let found = |d: &Item| Detection::of_box(d.image, d.category, d.score, d.bounds);
        let detections: Vec<Detection> = self.detections.iter().map(found).collect();
        evaluate(&truth, &detections, Kind::Box).expect("finite numbers")
    }

    /// What is found of it, whatever the scores are: the numbers of all and of each category, and which
    /// detections take an object.
    fn judged(&self) -> ([f64; 12], Vec<([f64; 12], Vec<bool>)>) {
        let all = self.evaluate();
        let hits = |c: &CategoryResult| c.outcomes().iter().map(|outcome| outcome.1).collect();
        (all.stats, all.categories.iter().map(|c| (c.stats(), hits(c))).collect())
    }

    /// With each object that is no crowd detected exactly.
    fn perfect(&self) -> Scene {
        let objects = self.objects.iter().filter(|o| !o.crowd);
        let detections = (1..).zip(objects).map(|(k, o)| Item { score: 1.0 / f64::from(k), ..o.clone() });
        Scene { detections: detections.collect(), ..self.clone() }
    }

    fn scored(&self, f: impl Fn(f64) -> f64) -> Scene {
        let mut s = self.clone();
        s.detections.iter_mut().for_each(|d| d.score = f(d.score));
        s
    }
}

#[test]
fn b4_the_numbers_lie_between_0_and_1() {
    holds(scene(), |s| {
        let stats = s.evaluate().stats;
        ensure(stats.iter().all(|v| *v == -1.0 || (0.0..=1.0).contains(v)), || format!("{stats:?}"))
    });
}

/// The theorem's bound: precision k / (k + 2^-52), and means of 101 and of at most 30 values.
#[test]
fn b4_perfect_detections_have_ap_1() {
    holds(scene(), |s| {
        for (name, v) in NAMES.iter().zip(s.perfect().evaluate().stats) {
            // AR1 counts one detection an image and category alone.
            let right = v == -1.0 || *name == "AR1" || (v - 1.0).abs() <= 1e-12;
            ensure(right, || format!("{name}: {v}"))?;
        }
        Ok(())
    });
}

#[test]
fn b4_a_monotone_change_of_scores_changes_nothing() {
    holds(scene(), |s| {
        let before = s.judged();
        let monotone: [fn(f64) -> f64; 4] = [|s| 2.0 * s, |s| 8.0 * s - 5.0, f64::exp, f64::sqrt];
        // Distinct multiples of 2^-10 in (0, 1) stay distinct under these.
        ensure(monotone.iter().all(|f| s.scored(f).judged() == before), || format!("{before:?}"))
    });
}

#[test]
fn b4_control_detections_near_enough_to_see_are_perfect() {
    refuted(scene(), |s| {
        let mut moved = s.perfect();
        moved.detections.iter_mut().for_each(|d| d.bounds[0] += 2.0);
        let ap = moved.evaluate().stats[0];
        ensure(ap == -1.0 || (ap - 1.0).abs() <= 1e-12, || format!("{ap}"))
    });
}

#[test]
fn b4_control_more_than_a_hundred_objects() {
    // n objects of one category in one image, each found.
    refuted(95..105usize, |n| {
        let bounds = |k: usize| [(k % 11) as f64 * 50.0, (k / 11) as f64 * 50.0, 40.0, 40.0];
        let object = |k| Item { image: 1, category: 1, bounds: bounds(k), score: 0.0, crowd: false };
        let s = Scene { objects: (0..n).map(object).collect(), detections: Vec::new() }.perfect();
        let ap = s.evaluate().stats[0];
        ensure((ap - 1.0).abs() <= 1e-12, || format!("{n} objects: {ap}"))
    });
}

#[test]
fn b4_control_any_change_of_scores() {
    refuted(scene(), |s| {
        let turned = s.scored(|s| (s - 16.0 / 1024.0).abs()).judged();
        ensure(turned == s.judged(), || format!("{turned:?}"))
    });
}
