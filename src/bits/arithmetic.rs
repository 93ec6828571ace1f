//! Arithmetic of two tensors, with shapes that are equal and that broadcast.

use super::case::{Case, op};
use super::draw::{positive, signed};

pub(super) fn cases() -> Vec<Case> {
    let equal = [signed(&[5, 67]), positive(&[5, 67])];
    let rows = [signed(&[3, 1, 45]), positive(&[7, 1])];
    let channels = [signed(&[9, 11, 19]), positive(&[19])];
    let ties = [signed(&[300]), signed(&[300])];
    vec![
        op("arithmetic/add", &equal, |t, x| t.add(x[0].clone(), x[1].clone())),
        op("arithmetic/add-rows", &rows, |t, x| t.add(x[0].clone(), x[1].clone())),
        op("arithmetic/sub", &equal, |t, x| t.sub(x[0].clone(), x[1].clone())),
        op("arithmetic/sub-channels", &channels, |t, x| t.sub(x[0].clone(), x[1].clone())),
        op("arithmetic/mul", &equal, |t, x| t.mul(x[0].clone(), x[1].clone())),
        op("arithmetic/mul-rows", &rows, |t, x| t.mul(x[0].clone(), x[1].clone())),
        op("arithmetic/mul-channels", &channels, |t, x| t.mul(x[0].clone(), x[1].clone())),
        op("arithmetic/div", &equal, |t, x| t.div(x[0].clone(), x[1].clone())),
        op("arithmetic/div-rows", &rows, |t, x| t.div(x[0].clone(), x[1].clone())),
        op("arithmetic/maximum", &equal, |t, x| t.maximum(x[0].clone(), x[1].clone())),
        op("arithmetic/minimum-channels", &channels, |t, x| t.minimum(x[0].clone(), x[1].clone())),
        op("arithmetic/maximum-with-ties", &ties, |t, x| {
            let [a, b] = [0, 1].map(|i| t.clamp(x[i].clone(), -0.25, 0.25));
            t.maximum(a, b)
        }),
    ]
}
