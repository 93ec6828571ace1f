//! Convolutions: every algorithm that serves a geometry, all three passes; and the op with what is fused to
//! it.

use super::case::{Case, op, parts};
use super::digest;
use super::draw::{self, positive, signed};
use gradus_core::ops::conv::{
    Affine, Algorithm, Conv, ConvSpec, Fused, backward_data, backward_weight, forward,
};
use gradus_core::{Activation, Epilogue, Tensor};

/// Geometries by name, such that each algorithm serves several.
fn specs() -> Vec<(&'static str, ConvSpec)> {
    let square = ConvSpec::square;
    vec![
        ("1x1", square([2, 9, 11, 35], 21, 1, 1, 0)),
        ("1x1-strided", square([2, 9, 12, 16], 40, 1, 2, 0)),
        ("3x3", square([2, 13, 18, 19], 37, 3, 1, 1)),
        ("3x3-many-channels", square([1, 16, 16, 64], 48, 3, 1, 1)),
        ("3x3-valid", square([1, 14, 9, 24], 17, 3, 1, 0)),
        ("3x3-strided", square([2, 15, 17, 18], 33, 3, 2, 1)),
        ("3x3-dilated", ConvSpec { dilation: [2; 2], ..square([1, 17, 15, 20], 18, 3, 1, 2) }),
        ("3x3-grouped", ConvSpec { groups: 3, ..square([2, 10, 11, 27], 36, 3, 1, 1) }),
        ("3x3-by-channel", ConvSpec { groups: 43, ..square([2, 13, 12, 43], 43, 3, 1, 1) }),
        ("3x3-by-channel-strided", ConvSpec { groups: 32, ..square([2, 15, 13, 32], 32, 3, 2, 1) }),
        ("5x5", square([1, 17, 14, 16], 20, 5, 1, 2)),
        ("3x3-of-colors-strided", square([2, 19, 21, 3], 32, 3, 2, 1)),
        ("7x7-of-colors-strided", square([2, 37, 35, 3], 64, 7, 2, 3)),
        ("11x11-of-colors-strided", square([1, 63, 67, 3], 64, 11, 4, 2)),
        (
            "1x7-uneven",
            ConvSpec {
                kernel: [1, 7],
                padding: [0, 3],
                stride: [2, 1],
                ..square([2, 9, 16, 8], 12, 1, 1, 0)
            },
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let by_algorithm = specs().into_iter().flat_map(|(name, spec)| {
        let serving = Algorithm::ALL.into_iter().filter(move |a| a.applies(&spec));
        serving.map(move |algorithm| passes(format!("convolutions/{name}"), spec, algorithm))
    });
    by_algorithm.chain(on_the_tape()).collect()
}

/// The three passes of an algorithm, forward with an epilogue of all parts, of an input that all algorithms
/// share.
pub(super) fn passes(input: String, spec: ConvSpec, algorithm: Algorithm) -> Case {
    parts(format!("{input}/{}", algorithm.name()), move || {
        let mut rng = draw::stream(&input);
        let (x, w) = (draw::tensor(&[spec.x_len()], &mut rng), draw::tensor(&[spec.w_len()], &mut rng));
        let (dy, residual) =
            (draw::tensor(&[spec.y_len()], &mut rng), draw::tensor(&[spec.y_len()], &mut rng));
        let (scale, bias) = (draw::tensor(&[spec.c_out], &mut rng), draw::tensor(&[spec.c_out], &mut rng));
        let epilogue = Epilogue {
            scale: Some(scale.data()),
            bias: Some(bias.data()),
            residual: Some(residual.data()),
            activation: Activation::Relu,
        };
        let mut results = [dy.len(), x.len(), w.len()].map(|n| Tensor::stale([n]));
        let [y, dx, dw] = results.each_mut().map(Tensor::data_mut);
        forward(algorithm, &spec, x.data(), w.data(), &epilogue, y);
        backward_data(algorithm, &spec, dy.data(), w.data(), dx);
        backward_weight(algorithm, &spec, x.data(), dy.data(), dw);
        let names = ["forward", "backward-data", "backward-weight"];
        names.into_iter().zip(&results).map(|(name, t)| (name, digest::of(|d| d.tensor(t)))).collect()
    })
}

/// With what is fused, and the algorithm that is chosen.
fn on_the_tape() -> Vec<Case> {
    let plain = [signed(&[2, 12, 13, 19]), signed(&[3, 3, 19, 35]), signed(&[35])];
    let frozen = [&plain[..], &[positive(&[35]), signed(&[2, 12, 13, 35])]].concat();
    let transposed = [signed(&[2, 7, 9, 24]), signed(&[2, 2, 24, 18]), signed(&[18])];
    let uneven = [signed(&[1, 6, 5, 8]), signed(&[3, 3, 8, 6]), signed(&[12])];
    vec![
        op("convolutions/op", &plain, |t, x| {
            t.conv2d(x[0].clone(), &x[1], Some(&x[2]), Conv::new(1, 1), Fused::from(Activation::Relu))
        }),
        op("convolutions/op-frozen-norm-and-residual", &frozen, |t, x| {
            let affine = Some(Affine { scale: x[3].value.clone(), shift: x[2].value.clone() });
            let fused = Fused { affine, residual: Some(x[4].clone()), activation: Activation::Relu6 };
            t.conv2d(x[0].clone(), &x[1], None, Conv::new(1, 1), fused)
        }),
        op("convolutions/op-transposed", &transposed, |t, x| {
            let fused = Fused::from(Activation::Relu);
            t.conv_transpose2d(x[0].clone(), &x[1], Some(&x[2]), Conv::new(2, 0), [0, 0], fused)
        }),
        op("convolutions/op-transposed-grouped", &uneven, |t, x| {
            let geometry = Conv::new(2, 1).groups(2);
            t.conv_transpose2d(x[0].clone(), &x[1], Some(&x[2]), geometry, [1, 1], Fused::default())
        }),
    ]
}
