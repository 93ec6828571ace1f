//! Convolution: three passes, several algorithms, one choice.
//!
//! With P the product x ∗ w of [`spec`], the op is y = act(scale · (P + bias) + shift + residual). Let dy be
//! ∂L/∂y. Then dz = dy where the activation passes, and the residual's gradient is dz; dP = scale · dz, and
//! the bias' gradient is dP summed over all pixels. dP goes back through the transposed maps: dx = ∂⟨dP,
//! P⟩/∂x and dw = ∂⟨dP, P⟩/∂w.
//!
//! Each algorithm computes all three maps for the convolutions that it serves, and [`choose`] picks
//! one for each pass. Im2col serves every convolution.

mod depthwise;
mod direct;
mod im2col;
mod op;
#[cfg(test)]
mod op_tests;
pub mod phases;
mod product;
pub mod spec;
#[cfg(test)]
mod tests;
mod transpose;
pub mod winograd;

pub use super::fused::{Affine, Fused};
pub use op::Conv;
pub use spec::ConvSpec;

use crate::element::Over;
use crate::{Element, Epilogue, profile};
use std::sync::OnceLock;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A matrix product with the columns made while packing: any spec.
    Im2col,
    /// Each channel by itself: groups = c_in.
    Depthwise,
    /// Runs of the input as they lie: few input channels.
    Direct,
    /// In tiles of 4x4 outputs: 3x3, stride 1.
    Winograd4,
    /// In tiles of 2x2 outputs: 3x3 or 5x5, stride 1.
    Winograd2,
    /// A strided one as one of stride 1, in tiles of 4x4 outputs: kernels of two to three strides.
    Phases,
}

/// One of a convolution's three maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// (x, w) to y.
    Forward,
    /// (dy, w) to dx.
    BackwardData,
    /// (x, dy) to dw.
    BackwardWeight,
}

impl Pass {
    /// All three.
    pub const ALL: [Pass; 3] = [Pass::Forward, Pass::BackwardData, Pass::BackwardWeight];

    /// As profiles name it.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::BackwardData => "backward data",
            Pass::BackwardWeight => "backward weight",
        }
    }
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 6] = [
        Algorithm::Im2col,
        Algorithm::Depthwise,
        Algorithm::Direct,
        Algorithm::Winograd4,
        Algorithm::Winograd2,
        Algorithm::Phases,
    ];

    /// The name that `GRADUS_CONV` takes.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Im2col => "im2col",
            Algorithm::Depthwise => "depthwise",
            Algorithm::Direct => "direct",
            Algorithm::Winograd4 => "winograd",
            Algorithm::Winograd2 => "winograd2",
            Algorithm::Phases => "phases",
        }
    }

    /// Whether it can compute this convolution.
    pub fn applies(self, spec: &ConvSpec) -> bool {
        match self {
            Algorithm::Im2col => true,
            Algorithm::Depthwise => depthwise::applies(spec),
            Algorithm::Direct => direct::applies(spec),
            Algorithm::Winograd4 => winograd::applies(4, spec),
            Algorithm::Winograd2 => winograd::applies(2, spec),
            Algorithm::Phases => phases::applies(spec),
        }
    }
}

/// The algorithm that serves a pass of a convolution: by rules that were measured (benches/README.md), or the
/// one that `GRADUS_CONV` names, where it applies.
pub fn choose(spec: &ConvSpec, pass: Pass) -> Algorithm {
    if let Some(asked) = asked().filter(|a| a.applies(spec)) {
        return asked;
    }
    let sums_of_few = pass == Pass::BackwardWeight && has_few_pixels(spec);
    match spec {
        _ if spec.c_in <= 4 && !sums_of_few && phases::applies(spec) && phases_pay(spec) => Algorithm::Phases,
        _ if spec.c_in <= 4 && direct::applies(spec) => Algorithm::Direct,
        _ if depthwise::applies(spec) => Algorithm::Depthwise,
        _ if spec.precision.is_on_tiles() || sums_of_few => Algorithm::Im2col,
        _ if spec.c_in.min(spec.c_out) >= 16 => tiling(spec),
        _ => Algorithm::Im2col,
    }
}

/// Whether gradients of weights are sums of so few terms that some are exactly 0, as where a tap sees padding
/// or what a ReLU cut off. Winograd's transforms leave rounding noise there, and Adam, which divides a
/// gradient by its own size, would take it for a gradient. That was seen with sums of 64 and 256 terms (four
/// images of 4x4 and 8x8); the bound itself is a choice, not measured: AlexNet's batches of 32 on CIFAR-10
/// stay below it, ResNet's last stage in an image of 800 pixels (850 terms) does not.
fn has_few_pixels(spec: &ConvSpec) -> bool {
    let [oh, ow] = spec.out_hw();
    spec.n * oh * ow < 768
}

/// The one with fewest multiplications, among the tilings with tiles enough to pay for the map of the
/// weights. Measured: of r50_l4_3x3, 63 tiles of 4x4 outputs, the map of the weights is a third of the time;
/// 96 is a round number above, not the least that pays.
fn tiling(spec: &ConvSpec) -> Algorithm {
    const ENOUGH: usize = 96;
    // How many pairs of an output and a tap lie inside of the image, on one axis.
    let taps = |out: usize, p: usize| (spec.kernel[0] * out).saturating_sub(p * (p + 1));
    let [oh, ow] = spec.out_hw();
    let direct = spec.n * taps(oh, spec.padding[0]) * taps(ow, spec.padding[1]);
    [(4, Algorithm::Winograd4), (2, Algorithm::Winograd2)]
        .into_iter()
        .filter(|&(m, _)| winograd::applies(m, spec))
        .map(|(m, algorithm)| (winograd::products(m, spec), algorithm))
        .filter(|&((tiles, points), _)| tiles >= ENOUGH && tiles * points < direct)
        .min_by_key(|&((tiles, points), _)| tiles * points)
        .map_or(Algorithm::Im2col, |(_, algorithm)| algorithm)
}

/// Whether there are channels enough to fill vectors, and Winograd's tiles pay.
fn phases_pay(spec: &ConvSpec) -> bool {
    let inner = phases::unstrided(spec);
    inner.c_in.min(inner.c_out) >= 16 && tiling(&inner) == Algorithm::Winograd4
}

/// What `GRADUS_CONV` asks for, read once. Panics when it names no algorithm.
fn asked() -> Option<Algorithm> {
    static ASKED: OnceLock<Option<Algorithm>> = OnceLock::new();
    *ASKED.get_or_init(|| {
        let name = std::env::var("GRADUS_CONV").ok()?;
        let found = Algorithm::ALL.into_iter().find(|a| a.name() == name);
        let names = || Algorithm::ALL.map(Algorithm::name).join(", ");
        Some(found.unwrap_or_else(|| panic!("GRADUS_CONV={name}: not one of {}", names())))
    })
}

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
