//! Which algorithm serves which convolution, with nothing asked for by `GRADUS_CONV` and f32 in full
//! precision.

use super::super::choose::{asked, tiling};
use super::*;

/// The choice of each pass.
fn chosen(spec: &ConvSpec) -> [Algorithm; 3] {
    Pass::ALL.map(|pass| choose(spec, pass))
}

fn nothing_is_asked() -> bool {
    asked().is_none()
}

#[test]
fn layers_of_known_networks() {
    use Algorithm::*;
    let square = ConvSpec::square;
    let layers = [
        ("depthwise", ConvSpec { groups: 32, ..square([1, 112, 112, 32], 32, 3, 1, 1) }, [Depthwise; 3]),
        ("depthwise of little", ConvSpec { groups: 4, ..square([1, 8, 8, 4], 4, 3, 1, 1) }, [Depthwise; 3]),
        ("pointwise", square([1, 56, 56, 64], 256, 1, 1, 0), [Im2col; 3]),
        ("3x3 of ResNet", square([1, 56, 56, 64], 64, 3, 1, 1), [Winograd4; 3]),
        ("its first of a stage", square([1, 56, 56, 64], 128, 3, 2, 1), [Im2col; 3]),
        ("in groups", ConvSpec { groups: 2, ..square([1, 56, 56, 64], 64, 3, 1, 1) }, [Im2col; 3]),
        ("few channels in", square([1, 56, 56, 15], 64, 3, 1, 1), [Im2col; 3]),
        ("few channels out", square([1, 56, 56, 64], 15, 3, 1, 1), [Im2col; 3]),
        ("few tiles", square([1, 14, 14, 64], 64, 3, 1, 1), [Im2col; 3]),
        ("few tiles of 4", square([4, 14, 14, 64], 64, 3, 1, 1), [Winograd2; 3]),
        ("few pixels", square([3, 15, 17, 64], 64, 3, 1, 1), [Winograd2, Winograd2, Im2col]),
        ("just enough", square([3, 16, 16, 64], 64, 3, 1, 1), [Winograd2; 3]),
        ("ResNet's stem", square([1, 224, 224, 3], 64, 7, 2, 3), [Direct; 3]),
        ("AlexNet's stem", square([1, 224, 224, 3], 64, 11, 4, 2), [Phases; 3]),
        ("the same of few pixels", square([25, 23, 23, 3], 64, 11, 4, 2), [Phases, Phases, Direct]),
        ("its output of few channels", square([1, 224, 224, 3], 15, 11, 4, 2), [Direct; 3]),
        (
            "a stem that is dilated",
            ConvSpec { dilation: [2; 2], ..square([1, 64, 64, 3], 64, 3, 1, 1) },
            [Im2col; 3],
        ),
        ("five channels", square([1, 224, 224, 5], 64, 7, 2, 3), [Im2col; 3]),
    ];
    for (name, spec, want) in layers {
        let want = want.map(|a| match a {
            _ if nothing_is_asked() => Some(a),
            Depthwise | Direct | Phases if asked().is_none() => Some(a),
            _ => None,
        });
        for (found, want) in chosen(&spec).into_iter().zip(want) {
            assert_eq!(found, want.unwrap_or(found), "{name}: {spec:?}");
        }
    }
}

/// 2 for each output and tap of its group's channels.
#[test]
fn operations_of_a_pass() {
    let spec = ConvSpec { kernel: [3, 5], groups: 2, ..ConvSpec::square([2, 7, 9, 6], 8, 3, 2, 1) };
    assert_eq!(spec.flops(), 2.0 * (2 * 4 * 4 * 8) as f64 * (3 * 5 * 3) as f64);
}

/// Profiles, figures and `GRADUS_CONV` go by these.
#[test]
fn names() {
    assert_eq!(Pass::ALL.map(Pass::name), ["forward", "backward data", "backward weight"]);
    let names = ["im2col", "depthwise", "direct", "winograd", "winograd2", "phases"];
    assert_eq!(Algorithm::ALL.map(Algorithm::name), names);
}

/// Winograd's tiling is the one with fewest products of numbers that are not padding, counted one by one
/// here.
#[test]
fn the_cheapest_tiling_is_chosen() {
    let axis = |out: usize, r: usize, size: usize, p: usize| {
        (0..out).flat_map(|i| (0..r).map(move |k| i + k)).filter(|&at| (p..size + p).contains(&at)).count()
    };
    for (n, h, w) in [1, 2, 7].into_iter().flat_map(|n| (5..60).map(move |h| (n, h, 2 * h + 1))) {
        for (r, p) in [(3, 0), (3, 1), (3, 2), (5, 0), (5, 2), (5, 4)] {
            let spec = ConvSpec::square([n, h, w, 16], 16, r, 1, p);
            let [oh, ow] = spec.out_hw();
            let direct = n * axis(oh, r, h, p) * axis(ow, r, w, p);
            let mut best = (direct, Algorithm::Im2col);
            for (m, algorithm) in [(4, Algorithm::Winograd4), (2, Algorithm::Winograd2)] {
                let tiles = n * oh.div_ceil(m) * ow.div_ceil(m);
                let products = tiles * (m + r - 1) * (m + r - 1);
                if (m, r) != (4, 5) && tiles >= 96 && products < best.0 {
                    best = (products, algorithm);
                }
            }
            assert_eq!(tiling(&spec), best.1, "{spec:?}");
        }
    }
}

/// Register tiles that leave no vector over, of three or four vectors, where one of them does.
#[test]
fn vectors_of_register_tiles() {
    let of = |registers: usize| (1..=16).map(move |v| product::tile_vectors(registers, 8, 8 * v - 3));
    assert!(of(32).eq([1, 2, 3, 4, 4, 3, 4, 4, 3, 4, 4, 4, 4, 4, 3, 4]));
    assert!(of(16).eq((1..=16).map(|v| v.min(2))));
    assert!(of(8).eq([1; 16]));
}
