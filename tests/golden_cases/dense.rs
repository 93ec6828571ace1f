//! Linear layers and products of matrices.

use super::Op;
use super::run::{LINEAR, Run};
use gradus_core::{Activation, Element};

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![Op::new("linear", linear, 64.0), Op::new("matmul", matmul, 64.0)]
}

fn linear<E: Element>(run: &mut Run<E>) {
    let (x, w, b) = (run.plain("x"), run.input("weight", LINEAR), run.optional("bias"));
    let y = run.tape.linear(x, &w, b.as_ref(), Activation::None);
    run.output_plain("y", &y);
}

fn matmul<E: Element>(run: &mut Run<E>) {
    let (a, b) = (run.plain("a"), run.plain("b"));
    let y = run.tape.matmul(a, b);
    run.output_plain("y", &y);
}
