//! Functions of each element, arithmetic with broadcasting, reductions, dropout.

use super::Op;
use super::run::Run;
use gradus_core::{Element, Tape, Var};

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        Op::new("relu", |r| unary(r, Tape::relu), 4.0),
        Op::new("relu6", |r| unary(r, Tape::relu6), 4.0),
        Op::new("sigmoid", |r| unary(r, Tape::sigmoid), 16.0),
        Op::new("tanh", |r| unary(r, Tape::tanh), 16.0),
        Op::new("exp", |r| unary(r, Tape::exp), 16.0),
        Op::new("log", |r| unary(r, Tape::log), 16.0),
        Op::new("sqrt", |r| unary(r, Tape::sqrt), 16.0),
        Op::new("abs", |r| unary(r, Tape::abs), 4.0),
        Op::new("neg", |r| unary(r, Tape::neg), 4.0),
        Op::new("clamp", clamp, 4.0),
        Op::new("add", |r| binary(r, Tape::add), 32.0),
        Op::new("sub", |r| binary(r, Tape::sub), 32.0),
        Op::new("mul", |r| binary(r, Tape::mul), 32.0),
        Op::new("div", |r| binary(r, Tape::div), 32.0),
        Op::new("maximum", |r| binary(r, Tape::maximum), 16.0),
        Op::new("minimum", |r| binary(r, Tape::minimum), 16.0),
        Op::new("sum", |r| reduction(r, Tape::sum), 32.0),
        Op::new("mean", |r| reduction(r, Tape::mean), 32.0),
        Op::new("amax", |r| reduction(r, Tape::max), 4.0),
        Op::new("add_scalar", |r| with_scalar(r, Tape::add_scalar), 4.0),
        Op::new("mul_scalar", |r| with_scalar(r, Tape::mul_scalar), 4.0),
    ]
}

fn unary<E: Element>(run: &mut Run<E>, f: fn(&mut Tape<E>, Var<E>) -> Var<E>) {
    let x = run.plain("x");
    let y = f(&mut run.tape, x);
    run.output_plain("y", &y);
}

fn clamp<E: Element>(run: &mut Run<E>) {
    let bound = |name, default| run.case.number_or(name, default);
    let (lo, hi) = (bound("min", f64::NEG_INFINITY), bound("max", f64::INFINITY));
    let x = run.plain("x");
    let y = run.tape.clamp(x, lo, hi);
    run.output_plain("y", &y);
}

fn with_scalar<E: Element>(run: &mut Run<E>, f: fn(&mut Tape<E>, Var<E>, f64) -> Var<E>) {
    let x = run.plain("x");
    let y = f(&mut run.tape, x, run.case.number("c"));
    run.output_plain("y", &y);
}

fn binary<E: Element>(run: &mut Run<E>, f: fn(&mut Tape<E>, Var<E>, Var<E>) -> Var<E>) {
    let (a, b) = (run.plain("a"), run.plain("b"));
    let y = f(&mut run.tape, a, b);
    run.output_plain("y", &y);
}

fn reduction<E: Element>(run: &mut Run<E>, f: fn(&mut Tape<E>, Var<E>, &[isize], bool) -> Var<E>) {
    let x = run.plain("x");
    // Without axes, or with none of them, all are reduced.
    let dims = run.case.attr("dims").map(|_| run.case.list("dims")).unwrap_or_default();
    let axes = match &dims[..] {
        [] => (0..x.shape().len() as isize).collect::<Vec<_>>(),
        some => some.iter().map(|&d| d as isize).collect(),
    };
    let y = f(&mut run.tape, x, &axes, run.case.flag("keepdim"));
    run.output_plain("y", &y);
}
