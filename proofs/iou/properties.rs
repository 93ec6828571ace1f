//! Claims I1 to I9, over the metrics that users run (`gradus_models::detection::boxes`).
//!
//! The same source runs in floats, in dual numbers (gradients) and in exact fractions; what is claimed over the reals is
//! tested over fractions without a tolerance. u is the unit roundoff, 2⁻²⁴ for f32.

use gradus_core::optim::State;
use gradus_core::{Element, Rule, Sgd, Tape, Tensor};
use gradus_models::detection::boxes::{
    BBox, Metric, Relation, area, check, hull, iou, kinks, overlap, relation,
};
use gradus_proofs::generators::{exact, float_box, float_boxes, floats, grid_box};
use gradus_proofs::property::{ensure, holds, law, law_refuted, refuted, refuted_at, tried};
use gradus_proofs::rational::Rational;
use proptest::prelude::*;

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

/// The relative error is at most `units` u, to first order: sides u, areas and I 3u, A + B 4u of at most 2U, so U
/// 8u + 3u + u, and the quotient 12u + 3u + u = 16u. (1 + u)^16 is below 1 + γ₁₆; the fraction as f64 adds 2⁻⁵².
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

#[test]
fn i5_control_a_nan_shows_in_the_result() {
    // Comparisons swallow NaN: without the check at the boundary a box with one gets an ordinary IoU.
    refuted((float_box(), 0..4usize), |(a, i)| {
        let mut broken = a;
        broken[i] = f32::NAN;
        let y = iou(&broken, &a);
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

// I6

/// The derivative of IoU along one coordinate of a, from the side of h. Between ties IoU(t) = (i + p t) / (u + q t), whose
/// derivative at 0 is (IoU(h) - IoU(0)) / h times U(h) / U(0): exact. |h| = 1/2 meets no other tie on the grid.
fn one_sided(a: &Exact, b: &Exact, coordinate: usize, h: Rational) -> Rational {
    let mut moved = *a;
    moved[coordinate] = moved[coordinate] + h;
    (iou(&moved, b) - iou(a, b)) / h * (union(&moved, b) / union(a, b))
}

fn half() -> Rational {
    Rational::new(1, 2)
}

/// By how much the one-sided derivatives differ.
fn jump(a: &Exact, b: &Exact, coordinate: usize) -> Rational {
    (one_sided(a, b, coordinate, half()) - one_sided(a, b, coordinate, -half())).abs()
}

#[test]
fn i6_kinks_are_where_they_are_said_to_be_and_as_large() {
    holds(grid_boxes(4), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let listed = kinks(&a, &b);
        for coordinate in 0..4 {
            let said = listed.iter().find(|k| k.coordinate == coordinate);
            let jump = jump(&a, &b, coordinate);
            ensure(said.map_or(ZERO, |k| k.jump) == jump, || {
                format!("coordinate {coordinate}: {jump:?}, {said:?}")
            })?;
            ensure(said.is_none_or(|k| a[coordinate] == b[k.meets]), || format!("{said:?}"))?;
        }
        ensure(listed.len() <= 4, || format!("{listed:?}"))
    });
}

#[test]
fn i6_the_gradient_at_a_kink_lies_between_the_one_sided_derivatives() {
    holds(grid_boxes(4), |(a, b)| {
        let (_, gradient, _) = Metric::Iou.gradient(&a.map(|v| v as f64), &b.map(|v| v as f64));
        let (a, b) = (exact(&a), exact(&b));
        for (coordinate, g) in gradient.into_iter().enumerate() {
            let sides = [half(), -half()].map(|h| one_sided(&a, &b, coordinate, h).to_f64());
            let touch = kinks(&a, &b).iter().any(|k| k.coordinate == coordinate && k.meets != coordinate);
            let expected = match touch {
                // From the overlapping side: the other derivative is 0.
                true => sides[0] + sides[1],
                false => (sides[0] + sides[1]) / 2.0,
            };
            // p/u - (i/u)/u q of integers of at most 16: four roundings of terms of at most 4.
            ensure((g - expected).abs() <= 64.0 * f64::UNIT_ROUNDOFF, || {
                format!("{coordinate}: {g}, {sides:?}")
            })?;
        }
        Ok(())
    });
}

/// Pairs that satisfy a condition, whose edges are claimed to be kinks.
fn kink_wherever(
    condition: fn(&Exact, &Exact, usize) -> bool,
) -> impl Fn((BBox<i64>, BBox<i64>)) -> proptest::test_runner::TestCaseResult {
    move |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        for coordinate in 0..4 {
            let smooth = jump(&a, &b, coordinate) == ZERO;
            ensure(!(condition(&a, &b, coordinate) && smooth), || {
                format!("coordinate {coordinate} is smooth")
            })?;
        }
        Ok(())
    }
}

#[test]
fn i6_ties_of_overlapping_boxes_and_touching_edges() {
    holds(grid_boxes(3), kink_wherever(|a, b, i| relation(a, b) == Relation::Overlapping && a[i] == b[i]));
    holds(
        grid_boxes(3),
        kink_wherever(|a, b, i| relation(a, b) == Relation::TouchingEdge && a[i] == b[(i + 2) % 4]),
    );
}

#[test]
fn i6_control_every_tie_is_a_kink() {
    refuted(grid_boxes(3), kink_wherever(|a, b, i| relation(a, b) == Relation::Disjoint && a[i] == b[i]));
}

#[test]
fn i6_control_a_touch_at_a_corner_is_a_kink() {
    refuted(
        grid_boxes(3),
        kink_wherever(|a, b, i| relation(a, b) == Relation::TouchingCorner && a[i] == b[(i + 2) % 4]),
    );
}

#[test]
fn i6_control_another_jump() {
    refuted(grid_boxes(4), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let [_, h] = overlap(&a, &b);
        let tie = relation(&a, &b) == Relation::Overlapping && a[0] == b[0];
        let planted = h / union(&a, &b);
        ensure(!tie || jump(&a, &b, 0) == planted, || format!("{:?}, not {planted:?}", jump(&a, &b, 0)))
    });
}

// I7

/// Two boxes apart along x, anywhere along y (and the same with the axes exchanged).
fn apart() -> impl Strategy<Value = (BBox<f32>, BBox<f32>)> {
    let sizes = prop::array::uniform4(0.1f32..10.0);
    (sizes, 0.1f32..10.0, -20f32..20.0, any::<bool>()).prop_map(|([w, h, v, g], gap, y, flip)| {
        let (a, b) = ([0.0, 0.0, w, h], [w + gap, y, w + gap + v, y + g]);
        let turn = |b: BBox<f32>| if flip { [b[1], b[0], b[3], b[2]] } else { b };
        (turn(a), turn(b))
    })
}

/// The loss of two boxes, its gradients, and where ten steps of descent on it lead.
fn descend(metric: Metric, a: &BBox<f32>, b: &BBox<f32>) -> (f32, BBox<f32>, BBox<f32>) {
    let (rule, mut state, mut at) = (Rule::from(Sgd::new(0.5)), State::default(), *a);
    let mut first = None;
    for _ in 0..10 {
        let mut tape = Tape::eval();
        let [x, y] = [&at, b].map(|b| tape.input(Tensor::from_slice([1, 4], b)));
        let loss = metric.tape_loss(&mut tape, &x, &y);
        let value = loss.value.item();
        let gradients = tape.backward(&loss);
        let gradient = gradients.of(&x).expect("the loss depends on the first box").data();
        first.get_or_insert((value, gradient.try_into().expect("four coordinates")));
        rule.step(&mut at, gradient, &mut state);
    }
    let (value, gradient) = first.expect("ten steps");
    (value, gradient, at)
}

#[test]
fn i7_disjoint_boxes_have_no_gradient_and_descent_never_moves_them() {
    holds(apart(), |(a, b)| {
        let (value, ga, gb) = Metric::Iou.gradient(&a, &b);
        ensure(value == 0.0 && ga == [0.0; 4] && gb == [0.0; 4], || format!("{ga:?} {gb:?}"))?;
        let (loss, gradient, end) = descend(Metric::Iou, &a, &b);
        ensure(loss == 1.0 && gradient == [0.0; 4] && end == a, || {
            format!("{loss} {gradient:?}, to {end:?}")
        })?;
        ensure(relation(&a, &b) == Relation::Disjoint, || format!("{:?}", relation(&a, &b)))
    });
}

/// One box strictly inside another.
fn nested() -> impl Strategy<Value = (BBox<f32>, BBox<f32>)> {
    (prop::array::uniform4(0.1f32..10.0), 0.1f32..10.0, 0.1f32..10.0).prop_map(|(m, w, h)| {
        let inner = [m[0], m[1], m[0] + w, m[1] + h];
        (inner, [0.0, 0.0, inner[2] + m[2], inner[3] + m[3]])
    })
}

#[test]
fn i7_a_nested_box_may_move_without_a_change() {
    // ∂IoU/∂x1 + ∂IoU/∂x2 is 0 bit for bit: both are the same number, of opposite signs.
    holds(nested(), |(a, b)| {
        let (_, g, outer) = Metric::Iou.gradient(&a, &b);
        ensure(g[0] + g[2] == 0.0 && g[1] + g[3] == 0.0, || format!("{g:?}"))?;
        // It gains by growing, and the outer box by shrinking.
        ensure(g[0] < 0.0 && g[2] > 0.0 && outer[0] > 0.0 && outer[2] < 0.0, || format!("{g:?} {outer:?}"))
    });
}

#[test]
fn i7_control_overlapping_boxes_may_move_too() {
    refuted(grid_boxes(9), |(a, b)| {
        let (_, g, _) = Metric::Iou.gradient(&floats(&a), &floats(&b));
        ensure(g[0] + g[2] == 0.0 && g[1] + g[3] == 0.0, || format!("{g:?}"))
    });
}

#[test]
fn i7_control_descent_always_moves_boxes() {
    refuted(apart(), |(a, b)| ensure(descend(Metric::Iou, &a, &b).2 != a, || "stays".to_string()));
}

// I8

#[test]
fn i8_away_from_ties_iou_is_differentiable() {
    // Corners on the even numbers for one box, on the odd for the other: no ties. Both one-sided derivatives are the same
    // fraction, and the gradient's.
    holds(grid_boxes(6), |(a, b)| {
        let (a, b) = (a.map(|v| 2 * v), b.map(|v| 2 * v + 1));
        let (_, gradient, _) = Metric::Iou.gradient(&a.map(|v| v as f64), &b.map(|v| v as f64));
        let (a, b) = (exact(&a), exact(&b));
        ensure(kinks(&a, &b).is_empty(), || format!("{:?}", kinks(&a, &b)))?;
        for (i, g) in gradient.into_iter().enumerate() {
            let (left, right) = (one_sided(&a, &b, i, -half()), one_sided(&a, &b, i, half()));
            // Four roundings of terms p/u and iq/u² of at most 12/4 and 12.
            let close = (g - left.to_f64()).abs() <= 64.0 * f64::UNIT_ROUNDOFF;
            ensure(left == right && close, || format!("{i}: {left:?} {right:?} {g}"))?;
        }
        Ok(())
    });
}

#[test]
fn i8_ties_are_rare() {
    // Of boxes drawn from a continuum none meets another: kinks have measure zero.
    let corner = || prop::array::uniform4(0.0f64..1.0);
    holds((corner(), corner()), |(a, b)| {
        let ordered = |b: BBox<f64>| [b[0].min(b[2]), b[1].min(b[3]), b[0].max(b[2]), b[1].max(b[3])];
        let found = kinks(&ordered(a), &ordered(b));
        ensure(found.is_empty(), || format!("{found:?}"))
    });
}

#[test]
fn i8_control_differentiable_everywhere() {
    refuted(grid_boxes(4), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let smooth = (0..4).all(|i| one_sided(&a, &b, i, half()) == one_sided(&a, &b, i, -half()));
        ensure(smooth, || format!("{:?}", kinks(&a, &b)))
    });
}

#[test]
fn i8_control_a_signal_wherever_boxes_differ() {
    refuted(float_boxes(), |(a, b)| {
        let (_, g, _) = Metric::Iou.gradient(&a, &b);
        ensure(a == b || g.iter().any(|&v| v != 0.0), || "no gradient".to_string())
    });
}

// I9

#[test]
fn i9_giou_and_diou_are_above_minus_one_and_at_most_iou() {
    holds(prop_oneof![grid_boxes(4), grid_boxes(30), grid_boxes(200)], |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let [iou, giou, diou] = [Metric::Iou, Metric::Giou, Metric::Diou].map(|m| m.of(&a, &b));
        ensure(-ONE < giou && giou <= iou, || format!("GIoU {giou:?}, IoU {iou:?}"))?;
        ensure((giou == iou) == (union(&a, &b) == area(&hull(&a, &b))), || {
            format!("GIoU {giou:?}, IoU {iou:?}")
        })?;
        ensure(-ONE < diou && diou <= iou, || format!("DIoU {diou:?}, IoU {iou:?}"))
    });
}

#[test]
fn i9_ciou_is_above_minus_three_halves_and_at_most_diou() {
    // IoU - ρ²/c² - αv: the last difference takes off what is not negative. Strict below -1.5 over the reals; a limit that
    // floats may round to.
    holds(float_boxes(), |(a, b)| {
        if area(&a) == 0.0 || area(&b) == 0.0 {
            return Ok(());
        }
        let [diou, ciou] = [Metric::Diou, Metric::Ciou].map(|m| m.of(&a, &b));
        ensure((-1.5..=diou).contains(&ciou), || format!("CIoU {ciou}, DIoU {diou}"))?;
        let many = batched(Metric::Ciou, &a, &b);
        ensure(many.to_bits() == ciou.to_bits(), || format!("batched {many}, {ciou}"))
    });
}

#[test]
fn i9_disjoint_boxes_have_a_gradient_of_giou_and_come_closer() {
    holds(apart(), |(a, b)| {
        let (before, g, _) = Metric::Giou.gradient(&a, &b);
        ensure(g.iter().any(|&v| v != 0.0), || format!("{g:?}"))?;
        let (loss, gradient, end) = descend(Metric::Giou, &a, &b);
        let after = Metric::Giou.of(&end, &b);
        ensure(gradient != [0.0; 4] && end != a, || format!("loss {loss}, {gradient:?}"))?;
        // Steps of half a gradient of at most 4 / side may overshoot tiny boxes; a small one never does.
        let small: BBox<f32> = std::array::from_fn(|i| a[i] + 1e-3 * g[i]);
        let closer = Metric::Giou.of(&small, &b);
        ensure(closer >= before - 8.0 * f32::EPSILON, || format!("{before}, {closer}, {after}"))
    });
}

#[test]
fn i9_the_losses_of_a_tiny_box_with_itself() {
    // torchvision adds ε = 1e-7 to the union: the loss is 1 - A/(A + ε) = ε/(A + ε), one half where A = ε. Six roundings,
    // of numbers of at most 1.
    holds((-5f64..1.0, -5f64..1.0), |(log_w, log_h)| {
        let (w, h) = (10f64.powf(log_w), 10f64.powf(log_h));
        let a = [0.0, 0.0, w, h];
        let expected = 1e-7 / (w * h + 1e-7);
        for metric in [Metric::Iou, Metric::Giou, Metric::Diou] {
            let loss = metric.loss(&a, &a);
            ensure((loss - expected).abs() <= 6.0 * f64::UNIT_ROUNDOFF, || {
                format!("{metric:?} {loss} {expected}")
            })?;
        }
        Ok(())
    });
}

/// Corner and sides, as quickcheck draws them.
type SmallBox = (i8, i8, u8, u8);

#[test]
fn i9_every_metric_is_symmetric() {
    law(|(a, b): (SmallBox, SmallBox)| {
        let of = |(x, y, w, h): (i8, i8, u8, u8)| {
            [x.into(), y.into(), f32::from(x) + f32::from(w) + 1.0, f32::from(y) + f32::from(h) + 1.0]
        };
        let (a, b) = (of(a), of(b));
        Metric::ALL.iter().all(|m| m.of(&a, &b) == m.of(&b, &a) && m.of(&a, &a) == 1.0)
    });
}

#[test]
fn i9_control_giou_is_never_below_zero() {
    law_refuted(|(x, y): (u8, u8)| {
        let b = [f32::from(x), f32::from(y), f32::from(x) + 1.0, f32::from(y) + 1.0];
        Metric::Giou.of(&[0.0, 0.0, 1.0, 1.0], &b) >= 0.0
    });
}

#[test]
fn i9_control_giou_is_at_least_iou() {
    refuted(grid_boxes(9), |(a, b)| {
        let (a, b) = (exact(&a), exact(&b));
        let [iou, giou] = [Metric::Iou, Metric::Giou].map(|m| m.of(&a, &b));
        ensure(giou >= iou, || format!("GIoU {giou:?}, IoU {iou:?}"))
    });
}

#[test]
fn i9_control_a_box_has_no_loss_with_itself() {
    refuted(-5f64..1.0, |log| {
        let loss = Metric::Iou.loss(
            &[0.0, 0.0, 10f64.powf(log), 10f64.powf(log)],
            &[0.0, 0.0, 10f64.powf(log), 10f64.powf(log)],
        );
        ensure(loss < 1e-6, || format!("loss {loss}"))
    });
    let tiny = [0.0, 0.0, 1e-4, 1e-3];
    refuted_at(("the loss of this box with itself", tiny, Metric::Iou.loss(&tiny, &tiny)));
}
