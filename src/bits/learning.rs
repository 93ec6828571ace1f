//! Random numbers, first weights, schedules and optimisers.

use super::case::{Case, whole};
use super::digest::Digester;
use super::draw;
use gradus_core::init::{self, Fan};
use gradus_core::optim::State;
use gradus_core::{Adam, Layout, OneCycle, Param, Rng, Rule, Sgd, Tape, Tensor};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        whole("random/uniform", |d| {
            let mut rng = Rng::seed(1).stream("a").at(7);
            (0..1000).for_each(|_| d.bytes(&rng.u64().to_le_bytes()));
            d.doubles(&[rng.f64(), rng.range(-5.0, 5.0), f64::from(rng.f32())]);
        }),
        whole("random/normal", |d| {
            let mut rng = Rng::seed(2);
            d.doubles(&(0..20_000).map(|_| rng.normal()).collect::<Vec<_>>());
        }),
        whole("random/permutation", |d| {
            Rng::seed(3).permutation(1001).into_iter().for_each(|i| d.number(i));
        }),
        whole("weights/kaiming-normal", |d| {
            let mut rng = Rng::seed(4);
            d.tensor(&init::kaiming_normal([3, 3, 37, 64], Fan::In, init::RELU, &mut rng));
            d.tensor(&init::kaiming_normal([1, 1, 65, 33], Fan::Out, init::RELU, &mut rng));
        }),
        whole("weights/xavier", |d| {
            let mut rng = Rng::seed(5);
            d.tensor(&init::xavier_normal([301, 77], 1.0, &mut rng));
            d.tensor(&init::xavier_uniform([301, 77], init::RELU, &mut rng));
        }),
        whole("schedules/one-cycle", |d| {
            let cycle = OneCycle::new(1e-3, 300);
            d.doubles(&(0..300).map(|t| cycle.lr(t)).collect::<Vec<_>>());
            d.doubles(&(0..300).filter_map(|t| cycle.momentum(t)).collect::<Vec<_>>());
        }),
        whole("optimisers/clipped-norm", clipped_norm),
    ];
    cases.extend(rules().into_iter().map(|(name, rule)| steps(name, rule)));
    cases
}

fn rules() -> [(&'static str, Rule); 7] {
    let momentum = Sgd { momentum: 0.9, weight_decay: 1e-3, ..Sgd::new(0.05) };
    [
        ("sgd", Sgd::new(0.1).into()),
        ("momentum", momentum.into()),
        ("nesterov", Sgd { nesterov: true, ..momentum }.into()),
        ("dampened", Sgd { dampening: 0.5, ..momentum }.into()),
        ("adam", Adam { weight_decay: 1e-4, ..Adam::new(1e-3) }.into()),
        ("adamw", Adam::decoupled(3e-4).into()),
        ("amsgrad", Adam { amsgrad: true, ..Adam::new(1e-2) }.into()),
    ]
}

/// Twelve steps of a parameter: its values and what is kept of it.
fn steps(name: &str, rule: Rule) -> Case {
    let name = format!("optimisers/{name}");
    whole(name.clone(), move |d| {
        let mut rng = draw::stream(&name);
        let (mut p, mut state) = (draw::tensor(&[1003], &mut rng), State::default());
        for _ in 0..12 {
            let g = draw::tensor(&[1003], &mut rng);
            rule.step(p.data_mut(), g.data(), &mut state);
        }
        d.tensor(&p);
        state.buffers.iter().for_each(|b| d.tensor(b));
    })
}

/// A gradient of more elements than are summed in one go.
fn clipped_norm(d: &mut Digester) {
    let mut rng = draw::stream("optimisers/clipped-norm");
    let p = Param::new(Tensor::zeros([40_009]), Layout::Plain);
    let mut tape = Tape::eval();
    let node = tape.param(&p).node;
    let mut gradients = tape.backward_from([(node, draw::tensor(&[40_009], &mut rng))]);
    d.doubles(&[gradients.clip_norm(1.5)]);
    if let Some(g) = gradients.param(&p) {
        d.tensor(g);
    }
}
