//! X2: a training that is saved, dropped and resumed has the same bits as one that was not.
//!
//! The network has all that keeps a state: parameters, batch norm's running statistics, dropout's randomness;
//! the optimiser its moments; the data an order that is drawn anew each epoch. The state goes through a
//! checkpoint file.

use crate::property::{refutes, settings as cases};
use gradus_core::nn::{BatchNorm2d, Conv2d, Linear};
use gradus_core::ops::conv::Conv;
use gradus_core::optim::State;
use gradus_core::{Activation, Adam, Layout, Module, Optimizer, Rng, Rule, Sgd, Tape, Tensor, Visitor};
use gradus_models::checkpoint::{self, Metadata, StateDict, from_raw, load_exact, state_dict, to_raw};
use proptest::prelude::*;
use std::collections::BTreeMap;

struct Net {
    conv: Conv2d,
    norm: BatchNorm2d,
    head: Linear,
}

impl Module for Net {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        v.child("conv", &mut self.conv);
        v.child("norm", &mut self.norm);
        v.child("head", &mut self.head);
    }
}

/// Images of the data set, 4 x 4 of 2 channels.
const IMAGES: usize = 6;
const BATCH: usize = 2;
const LEN: usize = 4 * 4 * 2;

impl Net {
    fn new(rng: &mut Rng) -> Net {
        let mut draw = |shape: &[usize]| Tensor::from_fn(shape, |_| rng.range(-0.5, 0.5) as f32);
        Net {
            conv: Conv2d::new(draw(&[3, 3, 2, 4]), Conv::new(1, 1), true),
            norm: BatchNorm2d::new(4),
            head: Linear::new(draw(&[64, 3]), true),
        }
    }
}

/// Everything that a step reads and changes.
struct Training {
    net: Net,
    optimizer: Optimizer,
    rng: Rng,
    order: Vec<usize>,
    position: usize,
}

/// What a planted wrong training leaves out of its state.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Forgets {
    Nothing,
    Moments,
    Generator,
    Position,
    Statistics,
}

impl Training {
    fn new(rule: Rule, seed: u64) -> Training {
        let mut rng = Rng::seed(seed);
        let net = Net::new(&mut rng);
        Training { net, optimizer: Optimizer::new(rule), rng, order: Vec::new(), position: 0 }
    }

    /// One step on the next batch.
    fn step(&mut self, data: &Tensor) {
        if self.position == 0 {
            self.order = self.rng.permutation(IMAGES);
        }
        let batch = &self.order[self.position..self.position + BATCH];
        let pixel = |i: usize| data.data()[batch[i / LEN] * LEN + i % LEN];
        let images = Tensor::from_fn([BATCH, 4, 4, 2], pixel);
        let labels: Vec<i64> = batch.iter().map(|&i| (i % 3) as i64).collect();
        self.position = (self.position + BATCH) % IMAGES;

        let mut g = Tape::train(&mut self.rng);
        let x = self.net.conv.forward(&mut g, images.into(), Activation::None);
        let x = self.net.norm.forward(&mut g, x, Activation::Relu);
        let x = g.dropout(x, 0.3);
        let x = g.reshape(x, &[BATCH as isize, 64]);
        let logits = self.net.head.forward(&mut g, x, Activation::None);
        let loss = g.cross_entropy(logits, &labels);
        self.optimizer.step(&mut self.net, &g.backward(&loss)).unwrap();
    }

    /// Through a file, into a training that knows nothing but the settings.
    fn resumed(mut self, forgets: Forgets) -> Training {
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile().expect("a temporary file");
        self.save(file.path());
        let mut new = Training::new(self.optimizer.rule, 0);
        new.load(file.path(), forgets);
        new
    }

    fn save(&mut self, path: &std::path::Path) {
        let mut tensors = state_dict(&mut self.net);
        let mut steps = BTreeMap::new();
        for (name, state) in self.optimizer.state() {
            steps.insert(name.clone(), state.step);
            for (k, t) in state.buffers.iter().enumerate() {
                tensors.insert(format!("optimizer.{k}.{name}"), to_raw(t, Layout::Plain));
            }
        }
        let position = serde_json::json!([self.rng.state(), self.order, self.position, steps]);
        let metadata = Metadata::from([("position".to_string(), position.to_string())]);
        checkpoint::save(path, &tensors, &metadata).expect("the checkpoint is written");
    }

    fn load(&mut self, path: &std::path::Path, forgets: Forgets) {
        let loaded = checkpoint::load(path).expect("the checkpoint is read");
        let (moments, model): (StateDict, StateDict) =
            loaded.tensors.into_iter().partition(|(name, _)| name.starts_with("optimizer."));
        let fresh = state_dict(&mut self.net);
        let keep = |name: &str| forgets != Forgets::Statistics || !name.contains("running");
        let model =
            model.into_iter().map(|(n, t)| if keep(&n) { (n, t) } else { (n.clone(), fresh[&n].clone()) });
        load_exact(&mut self.net, &model.collect(), path).expect("the network's own tensors");
        let position = &loaded.metadata["position"];
        let (rng, order, position, steps): ([u64; 2], Vec<usize>, usize, BTreeMap<String, u64>) =
            serde_json::from_str(position).expect("the position as it was written");
        let mut states = BTreeMap::new();
        self.net.for_each_param(|name, p| {
            let Some(&step) = steps.get(name) else { return };
            let buffer = |k: usize| moments.get(&format!("optimizer.{k}.{name}"));
            let raw = (0..).map_while(buffer);
            let buffers = raw.filter_map(|t| from_raw(t, p.value.shape(), Layout::Plain)).collect();
            states.insert(name.to_string(), State { step, buffers });
        });
        if forgets != Forgets::Moments {
            self.optimizer.load_state(&mut self.net, states).expect("the optimiser's own state");
        }
        if forgets != Forgets::Generator {
            self.rng = Rng::from_state(rng);
        }
        self.order = order;
        self.position = if forgets == Forgets::Position { 0 } else { position };
    }

    fn bits(&mut self) -> Vec<u32> {
        let mut bits = Vec::new();
        self.net.for_each(|_, slot| {
            let t = match slot {
                gradus_core::Slot::Param(p) => &p.value,
                gradus_core::Slot::Buffer(t) => &*t,
            };
            bits.extend(t.data().iter().map(|v| v.to_bits()));
        });
        bits
    }
}

fn rules() -> impl Strategy<Value = Rule> {
    let momentum = Sgd { momentum: 0.9, weight_decay: 1e-3, ..Sgd::new(0.05) };
    let rules: [Rule; 5] = [
        Sgd::new(0.1).into(),
        momentum.into(),
        Sgd { nesterov: true, ..momentum }.into(),
        Adam::new(0.01).into(),
        Adam::decoupled(0.01).into(),
    ];
    prop::sample::select(rules.to_vec())
}

/// Ten steps at once, and with an interruption after some of them.
fn same_bits(forgets: Forgets) -> impl Fn((Rule, u64, usize)) -> Result<(), TestCaseError> {
    move |(rule, seed, stop)| {
        let mut rng = Rng::seed(!seed);
        let data = Tensor::from_fn([IMAGES, 4, 4, 2], |_| rng.range(-1.0, 1.0) as f32);
        let mut unbroken = Training::new(rule, seed);
        let mut broken = Training::new(rule, seed);
        for t in 0..10 {
            if t == stop {
                broken = broken.resumed(forgets);
            }
            unbroken.step(&data);
            broken.step(&data);
        }
        prop_assert!(unbroken.bits() == broken.bits(), "{rule:?} stopped at {stop}");
        Ok(())
    }
}

fn interrupted() -> impl Strategy<Value = (Rule, u64, usize)> {
    (rules(), any::<u64>(), 0..10usize)
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn x2_resumed_is_as_if_never_stopped(case in interrupted()) {
        same_bits(Forgets::Nothing)(case)?;
    }
}

#[test]
fn x2_control_a_training_that_forgets_is_refuted() {
    for what in [Forgets::Moments, Forgets::Generator, Forgets::Position, Forgets::Statistics] {
        assert!(refutes(48, interrupted(), same_bits(what)), "{what:?}");
    }
}
