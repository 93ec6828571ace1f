//! Claim B3, over the matcher, the sampler and the anchors that detectors use (`gradus_models::detection`).

use gradus_core::{Rng, Tensor};
use gradus_models::detection::anchors::AnchorGenerator;
use gradus_models::detection::boxes::{BBox, iou};
use gradus_models::detection::matcher::{Match, Matcher};
use gradus_models::detection::sampler::{Sampler, Samples};
use gradus_proofs::generators::{floats, grid_box};
use gradus_proofs::property::{ensure, holds, refuted};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Objects and boxes on a small grid, so that ties and IoUs that equal a threshold occur.
#[derive(Clone, Debug)]
struct Scene {
    objects: Vec<BBox<f32>>,
    boxes: Vec<BBox<f32>>,
    matcher: Matcher,
}

fn scene() -> impl Strategy<Value = Scene> {
    let list = |n| prop::collection::vec(grid_box(6).prop_map(|b| floats(&b)), n);
    let thresholds = prop_oneof![Just((0.7, 0.3)), Just((0.5, 0.5)), Just((0.5, 0.25)), Just((0.75, 0.0))];
    (list(0..5), list(0..20), thresholds, any::<bool>()).prop_map(|(objects, boxes, (high, low), allow)| {
        Scene { objects, boxes, matcher: Matcher { high, low, allow_low_quality: allow } }
    })
}

impl Scene {
    fn quality(&self, i: usize, j: usize) -> f32 {
        iou(&self.objects[i], &self.boxes[j])
    }

    fn matches(&self) -> Vec<Match> {
        self.matcher.boxes(&self.objects, &self.boxes)
    }

    /// The first object of greatest IoU with box j.
    fn best(&self, j: usize) -> Option<usize> {
        let better = |a: usize, b: usize| if self.quality(b, j) > self.quality(a, j) { b } else { a };
        (0..self.objects.len()).reduce(better)
    }

    /// Whether some object overlaps no box more than box j.
    fn is_some_objects_best(&self, j: usize) -> bool {
        let most = |i: usize| (0..self.boxes.len()).map(|j| self.quality(i, j)).fold(0.0, f32::max);
        (0..self.objects.len()).any(|i| self.quality(i, j) == most(i))
    }

    /// The definition, with what a low-quality match answers for.
    fn defined(&self, j: usize) -> Match {
        let Some(best) = self.best(j) else { return Match::Background };
        let q = self.quality(best, j);
        if q >= self.matcher.high as f32 || self.matcher.allow_low_quality && self.is_some_objects_best(j) {
            Match::Object(best)
        } else if q < self.matcher.low as f32 {
            Match::Background
        } else {
            Match::Between
        }
    }
}

fn equal(s: &Scene, defined: impl Fn(usize) -> Match) -> TestCaseResult {
    let (got, want) = (s.matches(), (0..s.boxes.len()).map(defined).collect::<Vec<_>>());
    ensure(got == want, || format!("{got:?}, {want:?}"))
}

#[test]
fn b3_matches_are_the_definitions() {
    holds(scene(), |s| equal(&s, |j| s.defined(j)));
}

#[test]
fn b3_every_object_has_a_box_where_low_quality_is_allowed() {
    holds(scene(), |mut s| {
        s.matcher.allow_low_quality = true;
        let matches = s.matches();
        for i in 0..s.objects.len() {
            let most = (0..s.boxes.len()).map(|j| s.quality(i, j)).fold(0.0, f32::max);
            let own = |j: usize| s.quality(i, j) == most && matches!(matches[j], Match::Object(_));
            ensure(s.boxes.is_empty() || (0..s.boxes.len()).any(own), || format!("object {i}: {matches:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn b3_a_matrix_is_matched_as_its_boxes_are() {
    holds(scene(), |s| {
        let (n, m) = (s.objects.len(), s.boxes.len());
        let q = Tensor::from_fn([n, m], |k| s.quality(k / m, k % m));
        ensure(s.matcher.matrix(&q) == s.matches(), || format!("{q:?}"))
    });
}

#[test]
fn b3_control_the_last_of_equals() {
    refuted(scene(), |s| {
        equal(&s, |j| match s.defined(j) {
            Match::Object(best) => {
                let q = s.quality(best, j);
                let last = (0..s.objects.len()).rfind(|&i| s.quality(i, j) == q);
                last.map_or(Match::Background, Match::Object)
            }
            other => other,
        })
    });
}

#[test]
fn b3_control_a_threshold_that_excludes_itself() {
    refuted(scene(), |mut s| {
        s.matcher.allow_low_quality = false;
        equal(&s, |j| match s.defined(j) {
            Match::Object(i) if s.quality(i, j) == s.matcher.high as f32 => Match::Between,
            other => other,
        })
    });
}

/// Places of positives and negatives, a sampler and a seed.
fn drawing() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Sampler, u64)> {
    let fraction = prop_oneof![Just(0.25), Just(0.5), Just(0.0), Just(1.0)];
    (0..40usize, 0..40usize, 0..40usize, fraction, any::<u64>()).prop_map(|(p, n, batch_size, f, seed)| {
        let positive = (0..p).map(|i| 2 * i).collect();
        let negative = (0..n).map(|i| 2 * i + 1).collect();
        (positive, negative, Sampler { batch_size, positive_fraction: f }, seed)
    })
}

fn draw(p: &[usize], n: &[usize], sampler: Sampler, seed: u64) -> Samples {
    sampler.sample(p.to_vec(), n.to_vec(), &mut Rng::seed(seed))
}

#[test]
fn b3_samples_fill_the_batch_from_both_sides() {
    holds(drawing(), |(p, n, sampler, seed)| {
        let s = draw(&p, &n, sampler, seed);
        let most = (sampler.batch_size as f64 * sampler.positive_fraction).floor() as usize;
        let positives = p.len().min(most);
        let negatives = n.len().min(sampler.batch_size - positives);
        ensure([s.positive.len(), s.negative.len()] == [positives, negatives], || format!("{s:?}"))?;
        let drawn_from =
            |s: &[usize], all: &[usize]| s.is_sorted_by(|a, b| a < b) && s.iter().all(|i| all.contains(i));
        ensure(drawn_from(&s.positive, &p) && drawn_from(&s.negative, &n), || format!("{s:?}"))?;
        ensure(draw(&p, &n, sampler, seed) == s, || "another result of the same stream".into())
    });
}

#[test]
fn b3_control_negatives_keep_to_their_share() {
    // "Negatives take no more than B (1 - φ)": they take what positives leave.
    refuted(drawing(), |(p, n, sampler, seed)| {
        let s = draw(&p, &n, sampler, seed);
        let share = sampler.batch_size as f64 * (1.0 - sampler.positive_fraction);
        ensure(s.negative.len() as f64 <= share.ceil(), || format!("{s:?}"))
    });
}

/// Sizes, ratios, a padded image, and a grid for it.
type Grid = (Vec<usize>, Vec<f64>, [usize; 2], [usize; 2]);

fn grid() -> impl Strategy<Value = Grid> {
    let ratio = prop_oneof![Just(0.5), Just(1.0), Just(2.0), 0.1f64..10.0];
    let (sizes, ratios) = (prop::collection::vec(1..600usize, 1..4), prop::collection::vec(ratio, 1..4));
    (sizes, ratios, [1..6usize, 1..6usize], [1..40usize, 1..40usize], [0..3usize, 0..3usize]).prop_map(
        |(sizes, ratios, grid, stride, rest)| {
            let image = [0, 1].map(|k| grid[k] * stride[k] + rest[k].min(grid[k] - 1));
            (sizes, ratios, image, grid)
        },
    )
}

/// Whether anchor number `at` is that of cell (i, j), of that ratio and size.
fn is_anchor(b: &BBox<f32>, at: [usize; 2], stride: [usize; 2], ratio: f64, size: usize) -> bool {
    let [x, y] = [at[1] * stride[1], at[0] * stride[0]].map(|v| v as f32);
    let centred = b[0] + b[2] == 2.0 * x && b[1] + b[3] == 2.0 * y;
    let half = [f64::from(b[2] - x), f64::from(b[3] - y)];
    let ideal = [size as f64 / ratio.sqrt() / 2.0, size as f64 * ratio.sqrt() / 2.0];
    // Rounded to whole pixels; before that, four roundings in f32.
    let near = |k: usize| {
        half[k].fract() == 0.0 && (half[k] - ideal[k]).abs() <= 0.5 + ideal[k] * 4.0 * 2f64.powi(-24)
    };
    centred && near(0) && near(1)
}

/// All anchors, with the size the faster (`true`) or the slower index of a cell's.
fn anchors_are(grid: &Grid, stride: [usize; 2], size_minor: bool) -> TestCaseResult {
    let (sizes, ratios, image, [h, w]) = grid;
    let anchors =
        AnchorGenerator::<f32>::new(std::slice::from_ref(sizes), ratios).generate(*image, &[[*h, *w]]);
    let cell = sizes.len() * ratios.len();
    ensure(anchors.boxes.len() == h * w * cell, || format!("{} anchors", anchors.boxes.len()))?;
    for (k, b) in anchors.boxes.iter().enumerate() {
        let (at, a) = ([k / cell / w, k / cell % w], k % cell);
        let (r, s) = if size_minor {
            (a / sizes.len(), a % sizes.len())
        } else {
            (a % ratios.len(), a / ratios.len())
        };
        ensure(is_anchor(b, at, stride, ratios[r], sizes[s]), || format!("anchor {k}: {b:?}"))?;
    }
    Ok(())
}

#[test]
fn b3_anchors_lie_on_the_grid_in_order() {
    holds(grid(), |g| anchors_are(&g, [0, 1].map(|k| g.2[k] / g.3[k]), true));
}

#[test]
fn b3_control_strides_rounded_up() {
    refuted(grid(), |g| anchors_are(&g, [0, 1].map(|k| g.2[k].div_ceil(g.3[k])), true));
}

#[test]
fn b3_control_ratios_within_sizes() {
    refuted(grid(), |g| anchors_are(&g, [0, 1].map(|k| g.2[k] / g.3[k]), false));
}
