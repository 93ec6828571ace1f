//! Convolutions.

use super::Op;
use super::run::{CONV, CONV_TRANSPOSE, Run};
use gradus_core::Element;
use gradus_core::ops::conv::{Affine, Conv, Fused};

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![Op::new("conv2d", conv2d, 64.0), Op::new("conv_transpose2d", conv_transpose2d, 64.0)]
}

pub fn geometry<E: Element>(run: &Run<E>) -> Conv {
    Conv {
        stride: run.case.pair_or("stride", [1, 1]),
        padding: run.case.pair_or("padding", [0, 0]),
        dilation: run.case.pair_or("dilation", [1, 1]),
        groups: usize::try_from(run.case.integer_or("groups", 1)).expect("a number of groups"),
    }
}

/// What the case has behind its product: an affine map of each channel, a residual, an activation.
pub fn fused<E: Element>(run: &mut Run<E>) -> Fused<E> {
    let affine =
        run.has("scale").then(|| Affine { scale: run.constant("scale"), shift: run.constant("shift") });
    let residual = run.has("residual").then(|| run.images("residual"));
    Fused { affine, residual, activation: run.case.activation() }
}

fn conv2d<E: Element>(run: &mut Run<E>) {
    let geometry = geometry(run);
    let (x, w, b) = (run.images("x"), run.input("weight", CONV), run.optional("bias"));
    let fused = fused(run);
    let y = run.tape.conv2d(x, &w, b.as_ref(), geometry, fused);
    run.output_images("y", &y);
}

fn conv_transpose2d<E: Element>(run: &mut Run<E>) {
    let geometry = geometry(run);
    let more = run.case.pair_or("output_padding", [0, 0]);
    let (x, w, b) = (run.images("x"), run.input("weight", CONV_TRANSPOSE), run.optional("bias"));
    let fused = fused(run);
    let y = run.tape.conv_transpose2d(x, &w, b.as_ref(), geometry, more, fused);
    run.output_images("y", &y);
}
