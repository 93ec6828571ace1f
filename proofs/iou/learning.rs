//! Claims I6 to I9: IoU as something to learn by. Kinks, plateaus, and what mends them.

use super::{Exact, ONE, ZERO, batched, grid_boxes, union};
use gradus::lessons::kinks::{Relation, kinks, relation};
use gradus_core::optim::State;
use gradus_core::{Element, Rule, Sgd, Tape, Tensor};
use gradus_models::detection::boxes::{BBox, Metric, area, hull, iou, overlap};
use gradus_proofs::generators::{exact, float_boxes, floats};
use gradus_proofs::property::{ensure, holds, law, law_refuted, refuted, refuted_at};
use gradus_proofs::rational::Rational;
use proptest::prelude::*;

// I6

/// The derivative of IoU along one coordinate of a, from the side of h. Between ties IoU(t) = (i + p t) /
/// (u + q t), whose derivative at 0 is (IoU(h) - IoU(0)) / h times U(h) / U(0): exact. |h| = 1/2 meets no
/// other tie on the grid.
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
    // Corners on the even numbers for one box, on the odd for the other: no ties. Both one-sided derivatives
    // are the same fraction, and the gradient's.
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
    // IoU - ρ²/c² - αv: the last difference takes off what is not negative. Strict below -1.5 over the reals;
    // a limit that floats may round to.
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
    // torchvision adds ε = 1e-7 to the union: the loss is 1 - A/(A + ε) = ε/(A + ε), one half where A = ε.
    // Six roundings, of numbers of at most 1.
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
