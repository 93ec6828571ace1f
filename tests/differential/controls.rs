//! The comparison under test: implementations that are wrong on purpose, each of which the stored cases must
//! tell from the right one in both precisions, and expected values that are moved by two bounds.

use crate::cases::case::Case;
use crate::cases::conv::{fused, geometry};
use crate::cases::run::{CONV, Run};
use crate::compare::{Tolerance, agrees, agrees_or_spreads};
use crate::{check, container, stored};
use gradus_core::ops::{ClassLoss, Reduction};
use gradus_core::{Activation, Element, Tensor, Var};
use gradus_models::checkpoint::RawTensor;
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// A wrong way to compute an op.
struct Twin<E: Element> {
    name: &'static str,
    op: &'static str,
    run: fn(&mut Run<E>),
}

fn twins<E: Element>() -> Vec<Twin<E>> {
    let twin = |name, op, run| Twin { name, op, run };
    vec![
        twin("padding_is_a_row_off", "conv2d", padding_is_a_row_off),
        twin("epilogue_is_missing", "linear", epilogue_is_missing),
        twin("ceil_mode_is_ignored", "max_pool2d", ceil_mode_is_ignored),
        twin("axes_are_swapped", "permute", axes_are_swapped),
        twin("gradient_loses_a_term", "batch_norm2d", gradient_loses_a_term),
        twin("nan_is_swallowed", "max_pool2d", nan_is_swallowed),
        twin("padding_does_not_count", "avg_pool2d", padding_does_not_count),
        twin("ties_go_to_one_side", "maximum", ties_go_to_one_side),
        twin("mean_is_of_all_rows", "cross_entropy", mean_is_of_all_rows),
        twin("operand_is_rounded", "matmul", operand_is_rounded),
    ]
}

pub fn trials() -> Vec<Trial> {
    let twins = twins::<f64>().into_iter().zip(twins::<f32>());
    let mut trials: Vec<Trial> = twins
        .map(|(double, single)| {
            let name = format!("controls/{}", double.name);
            Trial::test(name, move || seen::<f64>(&double).and_then(|()| seen::<f32>(&single)))
        })
        .collect();
    trials.push(Trial::test("controls/every_number_counts/f64", every_number_counts::<f64>));
    trials.push(Trial::test("controls/every_number_counts/f32", every_number_counts::<f32>));
    trials.push(Trial::test("controls/comparison", || {
        comparison();
        Ok(())
    }));
    trials
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| container::read(&stored()).expect("the stored cases"))
}

/// Some case tells the twin from the right op.
fn seen<E: Element>(twin: &Twin<E>) -> Result<(), Failed> {
    let ops = crate::cases::table::<E>();
    let mut cases = cases().iter().filter(|c| c.op == twin.op && check::case::<E>(&ops, c).is_empty());
    match cases.any(|c| !check::by::<E>(c, twin.run).is_empty()) {
        true => Ok(()),
        false => Err(format!("{} of {} is not seen in {}", twin.name, twin.op, E::NAME).into()),
    }
}

/// The image's rows are moved down by one: what a border that begins a row too early sees.
fn padding_is_a_row_off<E: Element>(run: &mut Run<E>) {
    let geometry = geometry(run);
    let (x, w) = (run.images("x"), run.input("weight", CONV));
    let [n, h, width, c] = x.value.dims("x");
    let zeros = Tensor::zeros([n, 1, width, c]).into();
    let rest = run.tape.slice(x, 1, 0, h as isize - 1, 1);
    let moved = run.tape.concat(vec![zeros, rest], 1);
    let (bias, fused) = (run.optional("bias"), fused(run));
    let y = run.tape.conv2d(moved, &w, bias.as_ref(), geometry, fused);
    run.output_images("y", &y);
}

fn epilogue_is_missing<E: Element>(run: &mut Run<E>) {
    let (x, w, b) = (run.plain("x"), run.input("weight", &[1, 0]), run.optional("bias"));
    let y = run.tape.linear(x, &w, b.as_ref(), Activation::None);
    run.output_plain("y", &y);
}

fn ceil_mode_is_ignored<E: Element>(run: &mut Run<E>) {
    let spec = crate::cases::pool::spec(run);
    let spec = gradus_core::ops::PoolSpec { ceil_mode: false, ..spec };
    // Where that leaves no window at all, this twin is the right op.
    let fits =
        (0..2).all(|a| run.shape("x")[2 + a] + 2 * spec.padding[a] > spec.dilation[a] * (spec.kernel[a] - 1));
    if !fits {
        return crate::cases::pool::max_pool2d(run);
    }
    let x = run.images("x");
    let (_, places) = run.tape.max_pool2d_with_indices(x.detach(), spec);
    let y = run.tape.max_pool2d(x, spec, run.case.activation());
    run.output_images("y", &y);
    run.integer_images("indices", y.shape(), places.into_iter().map(|i| i as i64).collect());
}

fn axes_are_swapped<E: Element>(run: &mut Run<E>) {
    let x = run.plain("x");
    let axes: Vec<usize> = run.case.list("dims").iter().map(|&d| x.shape().axis(d as isize)).collect();
    let y = run.tape.permute(x, &crate::cases::run::inverse(&axes));
    run.output_plain("y", &y);
}

/// The batch's statistics as if x did not move them.
fn gradient_loses_a_term<E: Element>(run: &mut Run<E>) {
    let axes = crate::cases::run::channels_last(run.shape("x").len());
    let (eps, momentum) = (run.case.number("eps"), run.case.number("momentum"));
    let x = run.input("x", &axes);
    let (gamma, beta) = (run.plain("weight"), run.plain("bias"));
    let (mut mean, mut var) = (run.constant("running_mean"), run.constant("running_var"));
    let activation = run.case.activation();
    let y = if run.case.flag("training") {
        let (_, stats) =
            run.tape.batch_norm_train(x.detach(), gamma.detach(), beta.detach(), eps, activation);
        let rows = x.value.len() as f64 / gamma.value.len() as f64;
        let biased = stats.unbiased_var.clone().map(|v| v * E::from_f64((rows - 1.0) / rows));
        stats.update(&mut mean, &mut var, momentum);
        run.tape.batch_norm_eval(x, gamma, beta, &stats.mean, &biased, eps, activation)
    } else {
        run.tape.batch_norm_eval(x, gamma, beta, &mean, &var, eps, activation)
    };
    run.output("y", &y, &axes);
    run.output_plain("running_mean", &mean.into());
    run.output_plain("running_var", &var.into());
}

/// The greatest number of a window, whatever else is in it.
fn nan_is_swallowed<E: Element>(run: &mut Run<E>) {
    let spec = crate::cases::pool::spec(run);
    let x = run.images("x");
    let number = |v: E| if v.to_f64().is_nan() { E::NEG_INFINITY } else { v };
    let x = Var { value: x.value.map(number), node: x.node };
    let (_, places) = run.tape.max_pool2d_with_indices(x.detach(), spec);
    let y = run.tape.max_pool2d(x, spec, run.case.activation());
    run.output_images("y", &y);
    run.integer_images("indices", y.shape(), places.into_iter().map(|i| i as i64).collect());
}

fn padding_does_not_count<E: Element>(run: &mut Run<E>) {
    let spec = crate::cases::pool::spec(run);
    let x = run.images("x");
    let y = run.tape.avg_pool2d(x, spec, false);
    run.output_images("y", &y);
}

/// A tie's gradient is a's.
fn ties_go_to_one_side<E: Element>(run: &mut Run<E>) {
    let (a, b) = (run.plain("a"), run.plain("b"));
    let value = run.tape.maximum(a.detach(), b.detach()).value;
    // In the result's shape.
    let nothing: Var<E> = Tensor::full(*value.shape(), -E::ZERO).into();
    let [a, b] = [a, b].map(|v| run.tape.add(v, nothing.clone()));
    let y = run.tape.record("maximum", value, &[a.node, b.node], move |g, slots| {
        let (x, y) = (a.value.data(), b.value.data());
        let where_not = |lost: &dyn Fn(E, E) -> bool| {
            Tensor::from_fn(*g.shape(), |i| if lost(x[i], y[i]) { E::ZERO } else { g.data()[i] })
        };
        slots.add(a.node, || where_not(&|x, y| x < y));
        slots.add(b.node, || where_not(&|x, y| y < x || x == y));
    });
    run.output_plain("y", &y);
}

/// Ignored rows count in the mean's divisor.
fn mean_is_of_all_rows<E: Element>(run: &mut Run<E>) {
    let x = run.input("x", &crate::cases::run::channels_last(run.shape("x").len()));
    let labels = run.case.integers("target");
    let weight = run.has("class_weight").then(|| run.constant("class_weight"));
    let mean = run.case.text_or("reduction", "mean") == "mean";
    let how = ClassLoss {
        class_weight: weight.as_ref().map(|w| w.data()),
        ignore_index: run.case.integer_or("ignore_index", -100),
        label_smoothing: run.case.number_or("label_smoothing", 0.0),
        reduction: if run.case.text_or("reduction", "mean") == "none" {
            Reduction::None
        } else {
            Reduction::Sum
        },
    };
    let mut y = run.tape.cross_entropy_with(x, &labels, &how);
    if mean {
        y = run.tape.mul_scalar(y, 1.0 / labels.len() as f64);
    }
    run.output_plain("y", &y);
}

/// One operand loses half of its digits.
fn operand_is_rounded<E: Element>(run: &mut Run<E>) {
    let (a, b) = (run.plain("a"), run.plain("b"));
    let half = E::from_f64(1.0 + E::UNIT_ROUNDOFF.sqrt());
    let a = Var { value: a.value.map(|v| v * half), node: a.node };
    if a.shape().len() < 2 || b.shape().len() < 2 {
        return crate::cases::dense::matmul(run);
    }
    let y = run.tape.matmul(a, b);
    run.output_plain("y", &y);
}

/// The first finite number of every tensor that is expected, moved by two bounds, is found to be wrong,
/// whatever the op.
fn every_number_counts<E: Element>() -> Result<(), Failed> {
    let ops = crate::cases::table::<E>();
    let (mut counted, mut missed): (BTreeSet<&str>, Vec<String>) = (BTreeSet::new(), Vec::new());
    for case in cases() {
        let tolerance = Tolerance::of(case);
        for name in case.expected() {
            let raw = case.tensor(name);
            if raw.to_i64().is_some() {
                continue;
            }
            let (mut values, bounds, sizes) =
                (raw.to_f64(), tolerance.bounds::<E>(name), tolerance.sizes(name));
            // f32 may overflow where it does not hold a size.
            let counts = |&i: &usize| values[i].is_finite() && sizes[i] < f64::from(f32::MAX);
            let Some(at) = (0..values.len()).find(counts) else { continue };
            values[at] += 2.0 * bounds[at] + 4.0 * f64::EPSILON * values[at].abs() + f64::MIN_POSITIVE;
            let mut moved = copy(case);
            moved.tensors.insert(name.into(), RawTensor::from_f64(raw.shape(), &values));
            // Its own magnitude is the size of what has none: that of before.
            if !case.has(&format!("size.{name}")) {
                let sizes = RawTensor::from_f64(raw.shape(), &sizes);
                moved.tensors.insert(format!("size.{name}"), sizes);
            }
            counted.insert(&case.op);
            if check::case::<E>(&ops, &moved).is_empty() {
                missed.push(format!("{} {name}[{at}]", case.name));
            }
        }
    }
    if missed.is_empty() && counted.len() > 50 {
        Ok(())
    } else {
        Err(format!("{counted:?}: {missed:?}").into())
    }
}

fn copy(case: &Case) -> Case {
    Case {
        name: case.name.clone(),
        op: case.op.clone(),
        attrs: case.attrs.clone(),
        in_float32: false,
        tensors: case.tensors.clone(),
        folder: None,
    }
}

fn comparison() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    assert!(agrees::<f64>(0.0, -0.0, 0.0, 0.0) && agrees::<f64>(nan, nan, nan, nan));
    assert!(!agrees::<f64>(nan, 1.0, 1.0, 1.0) && !agrees::<f64>(1.0, nan, nan, nan));
    assert!(agrees::<f64>(inf, inf, inf, inf) && !agrees::<f64>(-inf, inf, inf, inf));
    assert!(!agrees::<f64>(inf, nan, inf, inf) && !agrees::<f64>(1e300, inf, inf, inf));
    assert!(agrees::<f64>(1.0, 1.5, 0.5, 1.0) && !agrees::<f64>(1.0, 1.6, 0.5, 1.0));
    // A size without end: exact.
    assert!(agrees::<f32>(0.0, 0.0, inf, inf) && !agrees::<f32>(1e-9, 0.0, inf, inf));
    // A partial sum that f32 does not hold, and one that it holds.
    assert!(agrees::<f32>(inf, 1.0, 1e33, 1e39) && agrees::<f32>(nan, 1.0, 1e33, 1e39));
    assert!(!agrees::<f32>(inf, 1.0, 1e30, 1e37) && !agrees::<f64>(inf, 1.0, 1e33, 1e39));
    assert!(agrees_or_spreads::<f32>(nan, 1.0, 0.0, 1.0) && !agrees_or_spreads::<f32>(1.0, nan, 0.0, 1.0));
    assert!(!agrees_or_spreads::<f32>(1.0, 2.0, 0.5, 1.0));
}
