//! Softmax and losses.

use super::Op;
use super::run::{Run, channels_last};
use gradus_core::ops::{BceWeights, ClassLoss, Reduction};
use gradus_core::{Element, Tape, Var};

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        // Its gradient y (g - <y, g>) cancels where y is near 0 or 1.
        Op::new("softmax", |r| along(r, Tape::softmax), 32.0).relative_to_upstream(),
        Op::new("log_softmax", |r| along(r, Tape::log_softmax), 32.0),
        Op::new("cross_entropy", cross_entropy, 32.0),
        Op::new("nll_loss", nll_loss, 32.0),
        Op::new("binary_cross_entropy_with_logits", bce_with_logits, 32.0),
        Op::new("smooth_l1", smooth_l1, 32.0),
        Op::new("mse", mse, 32.0),
    ]
}

fn along<E: Element>(run: &mut Run<E>, f: fn(&mut Tape<E>, Var<E>, isize) -> Var<E>) {
    let axis = run.case.integer("dim") as isize;
    let x = run.plain("x");
    let y = f(&mut run.tape, x, axis);
    run.output_plain("y", &y);
}

fn reduction<E: Element>(run: &Run<E>) -> Reduction {
    match run.case.text_or("reduction", "mean") {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        other => panic!("reduction {other}"),
    }
}

/// Logits or log-probabilities [N, C, ...] as [N, ..., C], labels, class weights, and the way of the loss.
fn classes<E: Element>(
    run: &mut Run<E>,
    f: impl FnOnce(&mut Tape<E>, Var<E>, &[i64], &ClassLoss<'_, E>) -> Var<E>,
) {
    let x = run.input("x", &channels_last(run.shape("x").len()));
    let labels = run.case.integers("target");
    let weight = run.has("class_weight").then(|| run.constant("class_weight"));
    let how = ClassLoss {
        class_weight: weight.as_ref().map(|w| w.data()),
        ignore_index: run.case.integer_or("ignore_index", -100),
        label_smoothing: run.case.number_or("label_smoothing", 0.0),
        reduction: reduction(run),
    };
    let y = f(&mut run.tape, x, &labels, &how);
    run.output_plain("y", &y);
}

fn cross_entropy<E: Element>(run: &mut Run<E>) {
    classes(run, |tape, x, labels, how| tape.cross_entropy_with(x, labels, how));
}

fn nll_loss<E: Element>(run: &mut Run<E>) {
    classes(run, |tape, x, labels, how| tape.nll_loss(x, labels, how));
}

fn bce_with_logits<E: Element>(run: &mut Run<E>) {
    let how = reduction(run);
    let given = |name| run.has(name).then(|| run.constant(name));
    let (weight, pos_weight) = (given("weight"), given("pos_weight"));
    let weights = BceWeights { weight: weight.as_ref(), pos_weight: pos_weight.as_ref() };
    let (x, target) = (run.plain("x"), run.plain("target"));
    let y = run.tape.bce_with_logits(x, target, weights, how);
    run.output_plain("y", &y);
}

fn smooth_l1<E: Element>(run: &mut Run<E>) {
    let (how, beta) = (reduction(run), run.case.number_or("beta", 1.0));
    let (x, target) = (run.plain("x"), run.plain("target"));
    let y = run.tape.smooth_l1(x, target, beta, how);
    run.output_plain("y", &y);
}

fn mse<E: Element>(run: &mut Run<E>) {
    let how = reduction(run);
    let (x, target) = (run.plain("x"), run.plain("target"));
    let y = run.tape.mse(x, target, how);
    run.output_plain("y", &y);
}
