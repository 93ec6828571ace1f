//! Sums, means and maxima over axes; softmax; batch norm.

use super::case::{Case, op};
use super::draw::{positive, signed, wide};
use gradus_core::{Activation, Tensor};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = reductions();
    cases.extend(softmax());
    cases.extend(norms());
    cases
}

fn reductions() -> Vec<Case> {
    let maps = [signed(&[3, 13, 17, 37])];
    let long = [signed(&[10_007])];
    vec![
        op("sums/all-of-10007", &long, |t, x| t.sum(x[0].clone(), &[], false)),
        op("sums/rows", &maps, |t, x| t.sum(x[0].clone(), &[0, 1, 2], false)),
        op("sums/channels", &maps, |t, x| t.sum(x[0].clone(), &[3], true)),
        op("sums/middle", &maps, |t, x| t.sum(x[0].clone(), &[1, 2], false)),
        op("sums/mean", &maps, |t, x| t.mean(x[0].clone(), &[1, 2], false)),
        op("sums/mean-of-all", &maps, |t, x| t.mean(x[0].clone(), &[], false)),
        op("sums/max", &maps, |t, x| t.max(x[0].clone(), &[-1], false)),
        op("sums/max-of-rows", &maps, |t, x| t.max(x[0].clone(), &[0, 1], true)),
    ]
}

fn softmax() -> Vec<Case> {
    let rows = [wide(&[29, 83])];
    let middle = [wide(&[4, 37, 21])];
    vec![
        op("softmax/along-rows", &rows, |t, x| t.softmax(x[0].clone(), -1)),
        op("softmax/across-rows", &middle, |t, x| t.softmax(x[0].clone(), 1)),
        op("softmax/log-along-rows", &rows, |t, x| t.log_softmax(x[0].clone(), -1)),
        op("softmax/log-across-rows", &middle, |t, x| t.log_softmax(x[0].clone(), 0)),
    ]
}

fn norms() -> Vec<Case> {
    let inputs = |c| [signed(&[3, 11, 13, c]), positive(&[c]), signed(&[c])];
    vec![
        op("norms/batch-of-21-channels", &inputs(21), |t, x| {
            let [x, gamma, beta] = [0, 1, 2].map(|i| x[i].clone());
            t.batch_norm_train(x, gamma, beta, 1e-5, Activation::Relu).0
        }),
        op("norms/batch-of-64-channels", &inputs(64), |t, x| {
            let [x, gamma, beta] = [0, 1, 2].map(|i| x[i].clone());
            t.batch_norm_train(x, gamma, beta, 1e-5, Activation::None).0
        }),
        op("norms/batch-statistics", &inputs(21), |t, x| {
            let [x, gamma, beta] = [0, 1, 2].map(|i| x[i].clone());
            let (y, stats) = t.batch_norm_train(x, gamma, beta, 1e-5, Activation::Relu6);
            let (mut mean, mut var) = (Tensor::zeros([21]), Tensor::full([21], 1.0));
            stats.update(&mut mean, &mut var, 0.1);
            let y = t.add(y, mean.into());
            t.mul(y, var.into())
        }),
        op("norms/given-statistics", &inputs(21), |t, x| {
            let mean = x[2].value.clone().map(|v| 0.5 * v);
            let var = x[1].value.clone();
            let [x, gamma, beta] = [0, 1, 2].map(|i| x[i].clone());
            t.batch_norm_eval(x, gamma, beta, &mean, &var, 1e-5, Activation::Relu)
        }),
        op("norms/affine", &inputs(37), |t, x| {
            t.affine(x[0].clone(), x[1].clone(), x[2].clone(), Activation::Relu6)
        }),
    ]
}
