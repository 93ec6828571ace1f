//! Moving elements: reshape, permute, join, select; dropout.

use super::Op;
use super::run::Run;
use gradus_core::{Element, Tape, Var};
use serde_json::Value;

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        Op::new("permute", permute, 4.0),
        Op::new("reshape", reshape, 4.0),
        Op::new("flatten", |r| flat(r, Tape::flatten), 4.0),
        Op::new("flatten_chw", flatten_chw, 4.0),
        Op::new("cat", cat, 4.0),
        Op::new("slice", slice, 4.0),
        Op::new("index_select", index_select, 16.0),
        Op::new("gather", gather, 16.0),
        Op::new("dropout", dropout, 4.0),
    ]
}

fn permute<E: Element>(run: &mut Run<E>) {
    let x = run.plain("x");
    let axes: Vec<usize> = run.case.list("dims").iter().map(|&d| x.shape().axis(d as isize)).collect();
    let y = run.tape.permute(x, &axes);
    run.output_plain("y", &y);
}

fn reshape<E: Element>(run: &mut Run<E>) {
    let x = run.plain("x");
    let to: Vec<isize> = run.case.list("shape").iter().map(|&d| d as isize).collect();
    let y = run.tape.reshape(x, &to);
    run.output_plain("y", &y);
}

fn flat<E: Element>(run: &mut Run<E>, f: fn(&mut Tape<E>, Var<E>) -> Var<E>) {
    let x = run.plain("x");
    let y = f(&mut run.tape, x);
    run.output_plain("y", &y);
}

fn flatten_chw<E: Element>(run: &mut Run<E>) {
    let x = run.images("x");
    let y = run.tape.flatten_chw(x);
    run.output_plain("y", &y);
}

/// All inputs, in the alphabetical order of their names, as the reference has them.
fn cat<E: Element>(run: &mut Run<E>) {
    let parts: Vec<Var<E>> = run.case.names("in.").into_iter().map(|name| run.plain(name)).collect();
    let y = run.tape.concat(parts, run.case.integer_or("dim", 0) as isize);
    run.output_plain("y", &y);
}

fn slice<E: Element>(run: &mut Run<E>) {
    let case = run.case;
    let dims = case.list("dims");
    // Where there is a number; null means to one end or the other.
    let given = |name: &str, i: usize| case.attr(name).and_then(|list| list.get(i)).and_then(Value::as_i64);
    let mut y = run.plain("x");
    for (i, &dim) in dims.iter().enumerate() {
        let (axis, step) = (dim as isize, given("steps", i).unwrap_or(1));
        let (start, end) = (given("starts", i), given("ends", i));
        y = if step > 0 {
            let end = end.map_or(isize::MAX, |e| e as isize);
            run.tape.slice(y, axis, start.unwrap_or(0) as isize, end, step as usize)
        } else {
            let extent = y.shape()[y.shape().axis(axis)] as i64;
            run.tape.index_select(y, axis, &backwards(extent, start, end, step))
        };
    }
    run.output_plain("y", &y);
}

/// Python's range of a slice with a negative step.
fn backwards(n: i64, start: Option<i64>, end: Option<i64>, step: i64) -> Vec<usize> {
    assert!(step < 0, "a step of 0");
    let place = |i: i64| (if i < 0 { i + n } else { i }).clamp(-1, n - 1);
    let (mut i, end) = (start.map_or(n - 1, place), end.map_or(-1, place));
    let mut indices = Vec::new();
    while i > end {
        indices.push(i as usize);
        i += step;
    }
    indices
}

fn index_select<E: Element>(run: &mut Run<E>) {
    let axis = run.case.integer("dim") as isize;
    let indices = from_the_front(run, axis);
    let x = run.plain("x");
    let y = run.tape.index_select(x, axis, &indices);
    run.output_plain("y", &y);
}

fn gather<E: Element>(run: &mut Run<E>) {
    let axis = run.case.integer("dim") as isize;
    let indices = from_the_front(run, axis);
    let (x, shape) = (run.plain("x"), run.shape("index"));
    let y = run.tape.gather(x, axis, &indices, shape);
    run.output_plain("y", &y);
}

/// The input `index`, of which negative ones count from the back.
fn from_the_front<E: Element>(run: &Run<E>, axis: isize) -> Vec<usize> {
    let shape = run.shape("x");
    let n = shape[if axis < 0 { shape.len() - axis.unsigned_abs() } else { axis as usize }] as i64;
    let place = |&i: &i64| usize::try_from(if i < 0 { i + n } else { i }).expect("an index in range");
    run.case.integers("index").iter().map(place).collect()
}

fn dropout<E: Element>(run: &mut Run<E>) {
    let mask: Vec<bool> = run.case.integers("mask").iter().map(|&m| m != 0).collect();
    let p = run.case.number("p");
    let x = run.plain("x");
    let y = run.tape.dropout_with_mask(x, &mask, p);
    run.output_plain("y", &y);
}
