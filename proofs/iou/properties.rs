//! Claims I1 to I9, over the metrics that users run (`gradus_models::detection::boxes`).
//!
//! The same source runs in floats, in dual numbers (gradients) and in exact fractions; what is claimed over
//! the reals is tested over fractions without a tolerance. u is the unit roundoff, 2⁻²⁴ for f32. I6 to I9 are
//! in `learning.rs`.

use gradus::lessons::kinks::{Relation, relation};
use gradus_core::{Element, Tensor};
use gradus_models::detection::boxes::{BBox, Metric, area, check, hull, iou, overlap};
use gradus_proofs::generators::{exact, float_box, float_boxes, floats, grid_box};
use gradus_proofs::property::{ensure, holds, refuted, tried};
use gradus_proofs::rational::Rational;
use proptest::prelude::*;

mod learning;

const ZERO: Rational = Rational::ZERO;
const ONE: Rational = Rational::ONE;

type Exact = BBox<Rational>;

fn grid_boxes(size: i64) -> impl Strategy<Value = (BBox<i64>, BBox<i64>)> {
    (grid_box(size), grid_box(size))
}

fn intersection(a: &Exact, b: &Exact) -> Rational {
    let [w, h] = overlap(a, b);
    w * h
}

fn union(a: &Exact, b: &Exact) -> Rational {
    area(a) + area(b) - intersection(a, b)
}

/// The batched form on two boxes.
fn batched<E: Element>(metric: Metric, a: &BBox<E>, b: &BBox<E>) -> E {
    metric.matrix(&Tensor::from_slice([1, 4], a), &Tensor::from_slice([1, 4], b)).item()
}

// I1

#[test]
fn i1_iou_is_between_zero_and_one_with_no_tolerance() {
    // Rounding is monotone: fl(I) <= fl(A), fl(B); fl(A + B) >= 2 fl(I); the difference is >= fl(I).
    holds(float_boxes(), |(a, b)| {
        let (one, many) = (iou(&a, &b), batched(Metric::Iou, &a, &b));
        ensure((0.0..=1.0).contains(&one) && one.to_bits() == many.to_bits(), || format!("{one} {many}"))?;
        let (a, b) = (a.map(f64::from), b.map(|v| f64::from(v) * 1.1));
        let wide = iou(&a, &b);
        ensure((0.0..=1.0).contains(&wide), || format!("{wide} in f64"))
    });
}

#[test]
fn i1_the_intersection_is_within_both_and_the_union_around_both() {
    holds(grid_boxes(9), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let (i, u) = (intersection(&a, &b), union(&a, &b));
        let inside = ZERO <= i && i <= area(&a) && i <= area(&b);
        let outside = u >= area(&a) && u >= area(&b) && u <= area(&hull(&a, &b));
        ensure(inside && outside, || format!("I = {i:?}, U = {u:?}"))
    });
}

/// IoU with a fused multiply-add in the union.
fn fused(a: &BBox<f32>, b: &BBox<f32>) -> f32 {
    let [w, h] = overlap(a, b);
    (w * h) / (-w).mul_add(h, area(a) + area(b))
}

#[test]
fn i1_control_a_fused_multiply_add_stays_below_one() {
    // Areas just above a power of two, where the spacing of floats below is half of that above.
    let whole = (1i64 << 23..1 << 24).prop_map(|w| [0.0, 0.0, w as f32, ((1i64 << 47) / w + 1) as f32]);
    refuted(whole, |a| ensure(fused(&a, &a) <= 1.0, || format!("{}", fused(&a, &a))));
    let a = [0.0, 0.0, 8_388_609.0, 16_777_215.0];
    assert_eq!((fused(&a, &a), iou(&a, &a)), (1.000_000_1, 1.0));
}

#[test]
fn i1_control_without_the_clamp() {
    refuted(grid_boxes(9), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let side = |k: usize| a[k + 2].min(b[k + 2]) - a[k].max(b[k]);
        let i = side(0) * side(1);
        let iou = i / (area(&a) + area(&b) - i);
        ensure(ZERO <= iou && iou <= ONE, || format!("{iou:?}"))
    });
}

// I2

/// Two boxes of f32 whose sums and products fit in exact fractions: numbers k / 2^e, |k| < 2^24, e <= 6.
fn fine_boxes() -> impl Strategy<Value = (BBox<f32>, BBox<f32>)> {
    let number =
        || (-(1 << 24) + 1..1 << 24, 0..=6u8).prop_map(|(k, e): (i32, u8)| k as f32 / f32::from(1u8 << e));
    let near = || (-(1 << 12)..1 << 12).prop_map(|k: i32| k as f32 / 64.0);
    let side = move || prop_oneof![(number(), number()), (near(), near())];
    let any_box = move || {
        (side(), side()).prop_map(|((x1, x2), (y1, y2))| [x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2)])
    };
    (any_box(), any_box()).prop_filter("positive areas", |(a, b)| area(a) > 0.0 && area(b) > 0.0)
}

/// The relative error is at most `units` u, to first order: sides u, areas and I 3u, A + B 4u of at most 2U,
/// so U 8u + 3u + u, and the quotient 12u + 3u + u = 16u. (1 + u)^16 is below 1 + γ₁₆; the fraction as f64
/// adds 2⁻⁵².
fn accurate(units: f64) -> impl Fn((BBox<f32>, BBox<f32>)) -> proptest::test_runner::TestCaseResult {
    move |(a, b)| {
        let fraction = |b: &BBox<f32>| b.map(|v| Rational::exactly(v.into()));
        let (y, exact) = (f64::from(iou(&a, &b)), iou(&fraction(&a), &fraction(&b)).to_f64());
        let nu = units * f32::UNIT_ROUNDOFF;
        let bound = exact * (nu / (1.0 - nu) + f64::EPSILON);
        ensure((y - exact).abs() <= bound, || {
            format!("{y}, exactly {exact}: {:e}", (y - exact).abs() / exact)
        })
    }
}

#[test]
fn i2_the_relative_error_is_at_most_sixteen_u() {
    holds(fine_boxes(), accurate(16.0));
}

#[test]
fn i2_control_correctly_rounded() {
    refuted(fine_boxes(), accurate(1.0));
}

// I3

#[test]
fn i3_with_itself_one_symmetric_and_scaled_exactly() {
    holds((float_boxes(), -20..20i32), |((a, b), k)| {
        let itself = if area(&a) > 0.0 { 1.0 } else { 0.0 };
        ensure(iou(&a, &a) == itself, || format!("with itself {}", iou(&a, &a)))?;
        ensure(iou(&a, &b).to_bits() == iou(&b, &a).to_bits(), || {
            format!("{} {}", iou(&a, &b), iou(&b, &a))
        })?;
        // Away from underflow, powers of two change exponents alone.
        let normal = |b: &BBox<f32>| (0..2).all(|i| b[i + 2] - b[i] == 0.0 || b[i + 2] - b[i] > 1e-9);
        let [w, h] = overlap(&a, &b);
        if normal(&a) && normal(&b) && [w, h].iter().all(|&s| s == 0.0 || s > 1e-9) {
            let scaled = |b: &BBox<f32>| b.map(|v| v * 2f32.powi(k));
            let y = iou(&scaled(&a), &scaled(&b));
            ensure(y.to_bits() == iou(&a, &b).to_bits(), || format!("{y} scaled, {}", iou(&a, &b)))?;
        }
        Ok(())
    });
}

#[test]
fn i3_integers_up_to_2048_are_correctly_rounded() {
    holds(grid_boxes(1 << 11), |(a, b)| {
        let (i, u) = (intersection(&exact(&a), &exact(&b)), union(&exact(&a), &exact(&b)));
        let expected = i.to_f64() as f32 / u.to_f64() as f32;
        let y = iou(&floats(&a), &floats(&b));
        ensure(y == expected && batched(Metric::Iou, &floats(&a), &floats(&b)) == y, || {
            format!("{y} {expected}")
        })
    });
}

#[test]
fn i3_every_pair_of_boxes_on_the_grid_by_counting_cells() {
    // A box as the set of its unit cells, one bit each: the definition of question 3.
    let intervals: Vec<(u32, u32)> = (0..7).flat_map(|l| (l + 1..=7).map(move |r| (l, r))).collect();
    let all: Vec<[u32; 4]> =
        intervals.iter().flat_map(|x| intervals.iter().map(move |y| [x.0, y.0, x.1, y.1])).collect();
    let cells = |b: &[u32; 4]| -> u64 {
        (b[0]..b[2]).flat_map(|x| (b[1]..b[3]).map(move |y| 1u64 << (7 * y + x))).sum()
    };
    let sets: Vec<u64> = all.iter().map(cells).collect();
    let t = Tensor::<f32>::from_fn([all.len(), 4], |i| all[i / 4][i % 4] as f32);
    let matrix = Metric::Iou.matrix(&t, &t);
    for (k, &y) in matrix.data().iter().enumerate() {
        let (a, b) = (sets[k / all.len()], sets[k % all.len()]);
        let expected = (a & b).count_ones() as f32 / (a | b).count_ones() as f32;
        assert!(y == expected, "{:?} {:?}: {y}, counted {expected}", all[k / all.len()], all[k % all.len()]);
    }
    tried(matrix.len() as u64);
}

#[test]
fn i3_control_scaled_by_three() {
    refuted(float_boxes(), |(a, b)| {
        let y = iou(&a.map(|v| v * 3.0), &b.map(|v| v * 3.0));
        ensure(y == iou(&a, &b), || format!("{y}, {}", iou(&a, &b)))
    });
}

#[test]
fn i3_control_shifted_by_one() {
    refuted(float_boxes(), |(a, b)| {
        let y = iou(&a.map(|v| v + 1.0), &b.map(|v| v + 1.0));
        ensure(y == iou(&a, &b), || format!("{y}, {}", iou(&a, &b)))
    });
}

// I4

#[test]
fn i4_one_iff_equal_and_zero_iff_nothing_is_shared() {
    holds(grid_boxes(3), |(a, b)| {
        let y = iou(&exact(&a), &exact(&b));
        ensure((y == ONE) == (a == b), || format!("{y:?}"))?;
        let shared = a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
        ensure((y == ZERO) != shared, || format!("{y:?}"))?;
        let seen = relation(&exact(&a), &exact(&b));
        ensure((seen == Relation::Overlapping) == shared, || format!("{seen:?}"))
    });
}

#[test]
fn i4_nested_boxes_and_the_ratio_of_areas() {
    holds(grid_boxes(9), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let (y, (small, large)) = (iou(&a, &b), (area(&a).min(area(&b)), area(&a).max(area(&b))));
        ensure(y <= small / large, || format!("{y:?} > {:?}", small / large))?;
        // The hull of both contains a: the two are nested.
        ensure(iou(&a, &hull(&a, &b)) == area(&a) / area(&hull(&a, &b)), || "nested".to_string())
    });
}

fn triangle(
    distance: fn(Rational) -> Rational,
) -> impl Fn([BBox<i64>; 3]) -> proptest::test_runner::TestCaseResult {
    move |boxes| {
        let [a, b, c] = boxes.map(|b| exact(&b));
        let d = |a: &Exact, b: &Exact| distance(iou(a, b));
        ensure(d(&a, &c) <= d(&a, &b) + d(&b, &c), || {
            format!("{:?} {:?} {:?}", d(&a, &c), d(&a, &b), d(&b, &c))
        })
    }
}

#[test]
fn i4_one_minus_iou_satisfies_the_triangle_inequality() {
    holds(prop::array::uniform3(prop_oneof![grid_box(3), grid_box(30)]), triangle(|iou| ONE - iou));
}

#[test]
fn i4_control_the_squared_distance_does_too() {
    refuted(prop::array::uniform3(grid_box(9)), triangle(|iou| (ONE - iou) * (ONE - iou)));
}

#[test]
fn i4_control_one_iff_equal_in_floats() {
    refuted((float_box(), 0..4usize), |(a, i)| {
        let mut b = a;
        b[i] = if i < 2 { b[i].next_down() } else { b[i].next_up() };
        ensure(area(&a) == 0.0 || iou(&a, &b) != 1.0, || format!("{a:?} and {b:?}"))
    });
}

#[test]
fn i4_control_the_smaller_ratio() {
    refuted(grid_boxes(9), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let bound = area(&a) / (area(&a) + area(&b));
        ensure(iou(&a, &b) <= bound, || format!("{:?} > {bound:?}", iou(&a, &b)))
    });
}

// I5

#[test]
fn i5_without_area_the_convention_is_zero_and_no_limit_exists() {
    holds((-1e3f32..1e3, -1e3f32..1e3, 0f32..10.0, 1..10i32), |(x, y, length, k)| {
        let point = [x, y, x, y];
        let segment = [x, y, x + length, y];
        for (a, b) in [(point, point), (segment, segment), (point, segment)] {
            ensure(iou(&a, &b) == 0.0 && Metric::Giou.of(&a, &b) <= 0.0, || format!("{}", iou(&a, &b)))?;
            let (value, ga, gb) = Metric::Iou.gradient(&a, &b);
            ensure(value == 0.0 && ga.iter().chain(&gb).all(|v| v.is_finite()), || format!("{ga:?} {gb:?}"))?;
        }
        // As close as one likes to (point, point) there are pairs of IoU 1 and pairs of IoU 0.
        let size = 2f32.powi(-k);
        let near = [x, y, x + size, y + size];
        let beside = [x + size, y, x + 2.0 * size, y + size];
        ensure(iou(&near, &near) == 1.0 && iou(&near, &beside) == 0.0, || format!("{near:?}"))
    });
}

#[test]
fn i5_what_is_no_box_is_refused() {
    let odd = prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), -9f32..9.0];
    holds(prop::array::uniform4(odd), |b| {
        let right = b.iter().all(|v| v.is_finite()) && b[0] <= b[2] && b[1] <= b[3];
        ensure(check(&b).is_ok() == right, || format!("{:?}", check(&b)))
    });
}

/// A box with one coordinate that is NaN, and the one it was made of.
fn broken((a, i): (BBox<f32>, usize)) -> (BBox<f32>, BBox<f32>) {
    let mut broken = a;
    broken[i] = f32::NAN;
    (broken, a)
}

#[test]
fn i5_a_nan_shows_in_the_result() {
    holds((float_box(), 0..4usize), |drawn| {
        let (broken, a) = broken(drawn);
        let y = iou(&broken, &a);
        ensure(y.is_nan(), || format!("{broken:?}: {y}"))
    });
}

#[test]
fn i5_control_a_comparison_hides_a_nan() {
    // I / U where U is above 0, and 0 elsewhere: so is a union that is NaN.
    refuted((float_box(), 0..4usize), |drawn| {
        let (broken, a) = broken(drawn);
        let [w, h] = overlap(&broken, &a);
        let union = area(&broken) + area(&a) - w * h;
        let y = if union > 0.0 { w * h / union } else { 0.0 };
        ensure(y.is_nan(), || format!("{broken:?}: {y}"))
    });
}

#[test]
fn i5_control_a_limit_exists() {
    refuted((1..20i32, 1..20i32), |(k, shift)| {
        let (size, shift) = (2f32.powi(-k), 2f32.powi(-k) * shift as f32 / 4.0);
        let y = iou(&[0.0, 0.0, size, size], &[shift, 0.0, shift + size, size]);
        ensure(y == 0.0, || format!("IoU {y} of boxes of size {size}"))
    });
}
