//! Linear layers and products of matrices.

use super::Op;
use super::run::{LINEAR, Run};
use gradus_core::Element;

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![Op::new("linear", linear, 64.0), Op::new("matmul", matmul, 64.0)]
}

fn linear<E: Element>(run: &mut Run<E>) {
    let (x, w, b) = (run.plain("x"), run.input("weight", LINEAR), run.optional("bias"));
    let y = run.tape.linear(x, &w, b.as_ref(), run.case.activation());
    run.output_plain("y", &y);
}

pub fn matmul<E: Element>(run: &mut Run<E>) {
    let (a, b) = (run.plain("a"), run.plain("b"));
    // A single axis is a row on the left and a column on the right, and is not in the result.
    let (row, column) = (a.shape().len() == 1, b.shape().len() == 1);
    let a = if row { run.tape.reshape(a, &[1, -1]) } else { a };
    let b = if column { run.tape.reshape(b, &[-1, 1]) } else { b };
    let mut y = run.tape.matmul(a, b);
    if row || column {
        let dims: Vec<isize> = y.shape().iter().map(|&d| d as isize).collect();
        let (leading, [m, n]) = dims.split_last_chunk().expect("two axes");
        let kept = [(!row).then_some(*m), (!column).then_some(*n)];
        y = run.tape.reshape(y, &[leading, &kept.into_iter().flatten().collect::<Vec<_>>()].concat());
    }
    run.output_plain("y", &y);
}
