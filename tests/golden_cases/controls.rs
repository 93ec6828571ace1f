//! The harness under test: what is wrong must be seen.

use super::case::Case;
use super::run::{compare_floats, inverse, permute};
use super::{differences, formula};
use gradus_core::Element;
use gradus_models::checkpoint::RawTensor;
use libtest_mimic::Trial;
use serde_json::json;
use std::collections::BTreeSet;

pub fn trials() -> Vec<Trial> {
    let control = |name: &str, f: fn()| {
        Trial::test(format!("controls/{name}"), move || {
            f();
            Ok(())
        })
    };
    vec![
        control("a_wrong_output_is_seen", a_wrong_output_is_seen),
        control("an_unknown_op_is_an_error", an_unknown_op_is_an_error),
        control("comparison", comparison),
        control("permutations", permutations),
        control("both_precisions_know_the_same_ops", both_precisions_know_the_same_ops),
        control("parameter_formula", formula::worked_values),
    ]
}

/// p ← p − g/2 from p = 1 with g = 1, and then g = 0.5; the second value is the case's word.
fn case(op: &str, last: f64) -> Case {
    let floats = |shape: &[usize], v: &[f32]| RawTensor::from_f32(shape, v);
    Case {
        name: "control".into(),
        op: op.into(),
        attrs: json!({"optimizer": {"kind": "sgd", "lr": 0.5}}).as_object().cloned().unwrap_or_default(),
        in_float32: false,
        tensors: [
            ("in.p0".to_string(), floats(&[1], &[1.0])),
            ("in.grads".to_string(), floats(&[2, 1], &[1.0, 0.5])),
            ("out.params".to_string(), RawTensor::from_f64(&[2, 1], &[0.5, last])),
        ]
        .into(),
        folder: None,
    }
}

fn failures<E: Element>(case: &Case) -> usize {
    differences::<E>(case).expect("a known op").iter().filter_map(|d| d.failure()).count()
}

fn a_wrong_output_is_seen() {
    assert_eq!(failures::<f64>(&case("optim", 0.25)), 0);
    assert_eq!(failures::<f64>(&case("optim", 0.25 + 1e-12)), 1);
    assert_eq!(failures::<f32>(&case("optim", 0.25 + 1e-12)), 0);
    assert_eq!(failures::<f32>(&case("optim", 0.25 + 2e-6)), 1);
    let rounded = Case { in_float32: true, ..case("optim", 0.25 + 1e-7) };
    assert_eq!(failures::<f64>(&rounded), 0);
    let mut missing = case("optim", 0.25);
    missing.tensors.insert("out.other".into(), RawTensor::from_f64(&[], &[0.0]));
    missing.tensors.insert("grad.p0".into(), RawTensor::from_f64(&[1], &[0.0]));
    assert_eq!(failures::<f32>(&missing), 2);
    let mut reshaped = case("optim", 0.25);
    reshaped.tensors.insert("out.params".into(), RawTensor::from_f64(&[2], &[0.5, 0.25]));
    assert_eq!(failures::<f32>(&reshaped), 1);
}

fn an_unknown_op_is_an_error() {
    assert!(differences::<f32>(&case("optin", 0.25)).is_err());
}

fn comparison() {
    let fails =
        |got: &[f64], want: &[f64]| compare_floats("x", got, want, (1e-10, 1.0), 1e-6).failure().is_some();
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    assert!(!fails(&[1.0, nan, inf, -inf], &[1.0, nan, inf, -inf]));
    assert!(
        fails(&[nan], &[1.0]) && fails(&[1.0], &[nan]) && fails(&[inf], &[-inf]) && fails(&[1.0], &[inf])
    );
    assert!(fails(&[1.0], &[1.0, 1.0]));
    // Relative to the greatest; a zero by structure relative to the upstream gradient.
    assert!(!fails(&[1e3, 1e-4], &[1e3, 0.0]) && fails(&[1e3, 1e-2], &[1e3, 0.0]));
    assert!(!fails(&[1e-7], &[1e-17]) && fails(&[1e-5], &[0.0]));
}

fn permutations() {
    let axes = [0, 2, 3, 1];
    let data: Vec<usize> = (0..120).collect();
    let (shape, moved) = permute(&[2, 3, 4, 5], &data, &axes);
    assert_eq!(shape, [2, 4, 5, 3]);
    // [1, 2, 3, 2] of the new is [1, 2, 2, 3] of the old.
    assert_eq!(moved[((4 + 2) * 5 + 3) * 3 + 2], ((3 + 2) * 4 + 2) * 5 + 3);
    assert_eq!(permute(&shape, &moved, &inverse(&axes)), (vec![2, 3, 4, 5], data));
    assert_eq!(permute(&[], &[7], &[]), (vec![], vec![7]));
}

fn both_precisions_know_the_same_ops() {
    let names = |t: Vec<&'static str>| t.into_iter().collect::<BTreeSet<_>>();
    let single = names(super::table::<f32>().iter().map(|o| o.name).collect());
    assert_eq!(single, names(super::table::<f64>().iter().map(|o| o.name).collect()));
    assert_eq!(single.len(), super::table::<f32>().len(), "an op is named twice");
}
