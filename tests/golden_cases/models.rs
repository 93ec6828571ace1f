//! Whole networks, with parameters by formula.

use super::run::Run;
use super::{Op, formula, optim};
use gradus_core::ops::ClassLoss;
use gradus_core::{Element, Optimizer, Rng, Tape, Var};
use gradus_models::alexnet::AlexNet;

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![Op::new("model.cifar_alexnet", cifar_alexnet, 256.0), Op::new("model.alexnet", alexnet, 128.0)]
}

fn classes<E: Element>(run: &Run<E>, default: i64) -> usize {
    usize::try_from(run.case.integer_or("num_classes", default)).expect("a number of classes")
}

fn alexnet<E: Element>(run: &mut Run<E>) {
    let mut net = AlexNet::<E>::imagenet(classes(run, 1000), &mut Rng::seed(0));
    formula::fill(&mut net, &run.case.attrs);
    let x = run.images("x");
    // The features of 224x224 images are 6x6 already: the average that follows changes nothing.
    let g = &mut Tape::infer();
    let maps = net.features(g, x.clone());
    let features = g.flatten_chw(maps).value;
    let n = features.shape()[0];
    for name in ["features", "avgpool"] {
        run.sampled(name, &[n, 256, 6, 6], &features);
    }
    let logits = net.forward(&mut Tape::infer(), x);
    run.output_plain("logits", &logits);
}

fn cifar_alexnet<E: Element>(run: &mut Run<E>) {
    let case = run.case;
    let mut net = AlexNet::<E>::cifar(classes(run, 10), &mut Rng::seed(0));
    formula::fill(&mut net, &case.attrs);
    let (x, labels) = (run.images("x"), case.integers("labels"));
    let g = &mut Tape::infer();
    let maps = net.features(g, x.clone());
    let features = g.flatten_chw(maps).value;
    run.sampled("features", &[labels.len(), 256, 2, 2], &features);

    // Gradients without dropout: evaluation mode.
    let how = ClassLoss { label_smoothing: case.number_or("label_smoothing", 0.0), ..ClassLoss::default() };
    let pass = |net: &AlexNet<E>, g: &mut Tape<E>| -> [Var<E>; 2] {
        let logits = net.forward(g, x.clone());
        let loss = g.cross_entropy_with(logits.clone(), &labels, &how);
        [logits, loss]
    };
    let mut g = Tape::eval();
    let [logits, loss] = pass(&net, &mut g);
    run.output_plain("logits", &logits.detach());
    run.output_plain("loss", &loss.detach());
    let gradients = g.backward(&loss);
    run.parameter_gradients(&mut net, &gradients);

    let steps = case.integer_or("train_steps", 0);
    if steps == 0 {
        return;
    }
    let mut optimizer = Optimizer::new(optim::rule(case.attr("optimizer").expect("an optimizer")));
    let mut losses = Vec::new();
    for _ in 0..steps {
        let mut g = Tape::eval();
        let [_, loss] = pass(&net, &mut g);
        losses.push(loss.value.item().to_f64());
        let gradients = g.backward(&loss);
        optimizer.step(&mut net, &gradients).unwrap();
    }
    let [logits, loss] = pass(&net, &mut Tape::infer());
    losses.push(loss.value.item().to_f64());
    run.numbers("train_losses", &[losses.len()], losses);
    run.output_plain("train_final_logits", &logits);
}
