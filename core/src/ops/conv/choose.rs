//! Which algorithm computes a convolution, and why.
//!
//! Each computes all three passes of the convolutions that it serves; im2col serves every one. The rules of
//! [`choose`] ask which multiplies least, and whether there are channels to fill its vectors and tiles to pay
//! for its transforms.

use super::spec::{ConvSpec, Pass};
use super::{depthwise, direct, phases, winograd};
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

    /// What `GRADUS_CONV` asks for, where it asks.
    ///
    /// # Errors
    /// It names no algorithm.
    pub fn from_env() -> Result<Option<Algorithm>, String> {
        let Ok(name) = std::env::var("GRADUS_CONV") else { return Ok(None) };
        let found = Algorithm::ALL.into_iter().find(|a| a.name() == name);
        let names = || Algorithm::ALL.map(Algorithm::name).join(", ");
        found.map(Some).ok_or_else(|| format!("GRADUS_CONV={name}: not one of {}", names()))
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
pub(super) fn tiling(spec: &ConvSpec) -> Algorithm {
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

/// What `GRADUS_CONV` asks for, read once. Panics with [`Algorithm::from_env`]'s error.
pub(super) fn asked() -> Option<Algorithm> {
    static ASKED: OnceLock<Option<Algorithm>> = OnceLock::new();
    *ASKED.get_or_init(|| Algorithm::from_env().unwrap_or_else(|what| panic!("{what}")))
}
