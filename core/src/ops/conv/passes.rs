//! The three passes by any algorithm: operands are checked, profiled and handed to it.

use super::choose::Algorithm;
use super::spec::{ConvSpec, Pass};
use super::{depthwise, direct, im2col, phases, winograd};
use crate::element::{Element, Over};
use crate::epilogue::Epilogue;
use crate::profile;

/// What a profile is told of a kernel: its multiply-adds by the definition, whatever the algorithm saves of
/// them, and the bytes of each tensor once.
fn kernel<E: Element>(algorithm: Algorithm, spec: &ConvSpec, pass: Pass) -> profile::Span {
    profile::span(algorithm.name(), pass.name()).work(|| {
        let elements = spec.x_len() + spec.w_len() + spec.y_len();
        (spec.flops(), (elements * size_of::<E>()) as f64)
    })
}

/// What the kernels rely on: the spec's numbers fit, the algorithm serves it, and the operands have its
/// lengths.
#[track_caller]
fn check(algorithm: Algorithm, spec: &ConvSpec, x: usize, w: usize, y: usize) {
    spec.check();
    assert!(algorithm.applies(spec), "conv2d: {} does not serve {spec:?}", algorithm.name());
    let want = (spec.x_len(), spec.w_len(), spec.y_len());
    assert_eq!((x, w, y), want, "conv2d: elements of x, w and y, or of their gradients, for {spec:?}");
}

/// y = act(scale · (x ∗ w) + bias + residual). Panics when the operands' lengths do not fit the spec, or the
/// algorithm does not serve it; so do the gradients.
#[track_caller]
pub fn forward<E: Element>(
    algorithm: Algorithm,
    spec: &ConvSpec,
    x: &[E],
    w: &[E],
    epilogue: &Epilogue<'_, E>,
    y: &mut [E],
) {
    check(algorithm, spec, x.len(), w.len(), y.len());
    epilogue.check("conv2d", spec.c_out, y.len());
    if y.is_empty() {
        return;
    }
    // Where there is nothing to sum up, the epilogue of 0 is the result, and im2col makes it for any spec.
    let algorithm = if x.is_empty() || w.is_empty() { Algorithm::Im2col } else { algorithm };
    Work { algorithm, spec, operands: Operands::Forward { x, w, epilogue, y } }.run();
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x.
#[track_caller]
pub fn backward_data<E: Element>(algorithm: Algorithm, spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    check(algorithm, spec, dx.len(), w.len(), dy.len());
    if dy.is_empty() || w.is_empty() || dx.is_empty() {
        return dx.fill(E::ZERO);
    }
    Work { algorithm, spec, operands: Operands::BackwardData { dy, w, dx } }.run();
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w.
#[track_caller]
pub fn backward_weight<E: Element>(algorithm: Algorithm, spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    check(algorithm, spec, x.len(), dw.len(), dy.len());
    if x.is_empty() || dy.is_empty() || dw.is_empty() {
        return dw.fill(E::ZERO);
    }
    Work { algorithm, spec, operands: Operands::BackwardWeight { x, dy, dw } }.run();
}

/// A pass by an algorithm, of what was checked; no operand is empty, but x and w may be in im2col's forward.
struct Work<'a, E> {
    algorithm: Algorithm,
    spec: &'a ConvSpec,
    operands: Operands<'a, E>,
}

/// What a pass reads and writes.
enum Operands<'a, E> {
    Forward { x: &'a [E], w: &'a [E], epilogue: &'a Epilogue<'a, E>, y: &'a mut [E] },
    BackwardData { dy: &'a [E], w: &'a [E], dx: &'a mut [E] },
    BackwardWeight { x: &'a [E], dy: &'a [E], dw: &'a mut [E] },
}

impl<'a> Over for Work<'a, f32> {
    type Of<E: Element> = Work<'a, E>;
}

impl<E: Element> Work<'_, E> {
    /// Does it, by code that is compiled in this crate.
    fn run(self) {
        let pass = match self.operands {
            Operands::Forward { .. } => Pass::Forward,
            Operands::BackwardData { .. } => Pass::BackwardData,
            Operands::BackwardWeight { .. } => Pass::BackwardWeight,
        };
        let _span = kernel::<E>(self.algorithm, self.spec, pass);
        E::own::<Work<'_, f32>, _>(self, run_f32, run_f64);
    }
}

fn run_f32(work: Work<'_, f32>) {
    run(work);
}

fn run_f64(work: Work<'_, f64>) {
    run(work);
}

fn run<E: Element>(Work { algorithm, spec, operands }: Work<'_, E>) {
    // Winograd's maps are given operands that are rounded already, where the precision says so. Products in
    // columns round what they pack, and the other algorithms compute with operands as they are.
    let read = |operand| spec.precision.operand(operand);
    match operands {
        Operands::Forward { x, w, epilogue, y } => match algorithm {
            Algorithm::Im2col => im2col::forward(spec, x, w, epilogue, y),
            Algorithm::Depthwise => depthwise::forward(spec, x, w, epilogue, y),
            Algorithm::Direct => direct::forward(spec, x, w, epilogue, y),
            Algorithm::Winograd4 => winograd::forward(4, spec, &read(x), &read(w), epilogue, y),
            Algorithm::Winograd2 => winograd::forward(2, spec, &read(x), &read(w), epilogue, y),
            Algorithm::Phases => phases::forward(spec, &read(x), &read(w), epilogue, y),
        },
        Operands::BackwardData { dy, w, dx } => match algorithm {
            Algorithm::Im2col => im2col::backward_data(spec, dy, w, dx),
            Algorithm::Depthwise => depthwise::backward_data(spec, dy, w, dx),
            Algorithm::Direct => direct::backward_data(spec, dy, w, dx),
            Algorithm::Winograd4 => winograd::backward_data(4, spec, &read(dy), &read(w), dx),
            Algorithm::Winograd2 => winograd::backward_data(2, spec, &read(dy), &read(w), dx),
            Algorithm::Phases => phases::backward_data(spec, &read(dy), &read(w), dx),
        },
        Operands::BackwardWeight { x, dy, dw } => match algorithm {
            Algorithm::Im2col => im2col::backward_weight(spec, x, dy, dw),
            Algorithm::Depthwise => depthwise::backward_weight(spec, x, dy, dw),
            Algorithm::Direct => direct::backward_weight(spec, x, dy, dw),
            Algorithm::Winograd4 => winograd::backward_weight(4, spec, &read(x), &read(dy), dw),
            Algorithm::Winograd2 => winograd::backward_weight(2, spec, &read(x), &read(dy), dw),
            Algorithm::Phases => phases::backward_weight(spec, &read(x), &read(dy), dw),
        },
    }
}
