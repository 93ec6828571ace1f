//! Ops of each element by itself. 1057 elements: no multiple of any vector's length.

use super::case::{Case, op};
use super::draw::{positive, signed, wide};

const SHAPE: [usize; 2] = [7, 151];

pub(super) fn cases() -> Vec<Case> {
    let (any, small, above) = (&[wide(&SHAPE)][..], &[signed(&SHAPE)][..], &[positive(&SHAPE)][..]);
    vec![
        op("pointwise/relu", any, |t, x| t.relu(x[0].clone())),
        op("pointwise/relu6", any, |t, x| t.relu6(x[0].clone())),
        op("pointwise/sigmoid", any, |t, x| t.sigmoid(x[0].clone())),
        op("pointwise/tanh", any, |t, x| t.tanh(x[0].clone())),
        op("pointwise/exp", any, |t, x| t.exp(x[0].clone())),
        op("pointwise/log", above, |t, x| t.log(x[0].clone())),
        op("pointwise/sqrt", above, |t, x| t.sqrt(x[0].clone())),
        op("pointwise/abs", any, |t, x| t.abs(x[0].clone())),
        op("pointwise/neg", small, |t, x| t.neg(x[0].clone())),
        op("pointwise/clamp", small, |t, x| t.clamp(x[0].clone(), -0.5, 0.25)),
        op("pointwise/add-scalar", small, |t, x| t.add_scalar(x[0].clone(), 0.1)),
        op("pointwise/mul-scalar", small, |t, x| t.mul_scalar(x[0].clone(), 0.1)),
        op("pointwise/dropout", small, |t, x| t.dropout(x[0].clone(), 0.4)),
        op("pointwise/dropout-with-mask", small, |t, x| {
            let mask: Vec<bool> = (0..x[0].value.len()).map(|i| i % 3 != 1).collect();
            t.dropout_with_mask(x[0].clone(), &mask, 0.3)
        }),
    ]
}
