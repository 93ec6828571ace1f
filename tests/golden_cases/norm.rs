//! Batch norm, by the ops; the layers are tested with the networks.

use super::Op;
use super::run::{Run, channels_last};
use gradus_core::Element;
use gradus_core::nn::FrozenBatchNorm2d;

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        Op::new("batch_norm2d", batch_norm2d, 32.0),
        Op::new("frozen_batch_norm2d", frozen_batch_norm2d, 32.0),
    ]
}

fn batch_norm2d<E: Element>(run: &mut Run<E>) {
    let axes = channels_last(run.shape("x").len());
    let (eps, momentum) = (run.case.number_or("eps", 1e-5), run.case.number_or("momentum", 0.1));
    let x = run.input("x", &axes);
    let (gamma, beta) = (run.plain("weight"), run.plain("bias"));
    let (mut mean, mut var) = (run.constant("running_mean"), run.constant("running_var"));
    let y = if run.case.flag("training") {
        let (y, stats) = run.tape.batch_norm_train(x, gamma, beta, eps, run.case.activation());
        stats.update(&mut mean, &mut var, momentum);
        y
    } else {
        run.tape.batch_norm_eval(x, gamma, beta, &mean, &var, eps, run.case.activation())
    };
    run.output("y", &y, &axes);
    run.output_plain("running_mean", &mean.into());
    run.output_plain("running_var", &var.into());
}

fn frozen_batch_norm2d<E: Element>(run: &mut Run<E>) {
    let axes = channels_last(run.shape("x").len());
    let x = run.input("x", &axes);
    let layer = FrozenBatchNorm2d {
        weight: run.constant("weight"),
        bias: run.constant("bias"),
        running_mean: run.constant("running_mean"),
        running_var: run.constant("running_var"),
        eps: run.case.number_or("eps", 1e-5),
    };
    let y = layer.forward(&mut run.tape, x, run.case.activation());
    run.output("y", &y, &axes);
}
