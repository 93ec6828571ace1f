//! Each rule against its formula, one number at a time; states that are saved, and states that do not fit.

use super::block::BLOCK;
use super::*;
use crate::param::{Layout, Module, Param, Visitor};
use crate::tape::{Gradients, Tape};
use crate::{element::Element, tensor::Tensor};
use crate::{epilogue::Activation, random::Rng};
use std::collections::BTreeMap;

/// After Kingma and Ba's Algorithm 1 and Sutskever's equations, one number at a time in f64.
fn reference(rule: Rule, p: &mut f64, g: f64, state: &mut [f64; 3], t: i32) {
    match rule {
        Rule::Sgd(r) => {
            let g = g + r.weight_decay * *p;
            let take = if t == 1 { 1.0 } else { 1.0 - r.dampening };
            state[0] = r.momentum * state[0] + take * g;
            *p -= r.lr * if r.nesterov { g + r.momentum * state[0] } else { state[0] };
        }
        Rule::Adam(r) => {
            let mut g = g;
            if r.decoupled {
                *p -= r.lr * r.weight_decay * *p
            } else {
                g += r.weight_decay * *p
            }
            let (b1, b2) = r.betas;
            state[0] = b1 * state[0] + (1.0 - b1) * g;
            state[1] = b2 * state[1] + (1.0 - b2) * g * g;
            state[2] = state[2].max(state[1]);
            let v = if r.amsgrad { state[2] } else { state[1] };
            let (m, v) = (state[0] / (1.0 - b1.powi(t)), v / (1.0 - b2.powi(t)));
            *p -= r.lr * m / (v.sqrt() + r.eps);
        }
    }
}

fn rules() -> [Rule; 9] {
    let sgd = Sgd::new(0.05);
    [
        sgd.into(),
        Sgd { momentum: 0.9, ..sgd }.into(),
        Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: true, ..sgd }.into(),
        Sgd { weight_decay: 0.1, ..sgd }.into(),
        Sgd { momentum: 0.8, dampening: 0.3, ..sgd }.into(),
        Adam::new(0.01).into(),
        Adam { amsgrad: true, betas: (0.8, 0.9), ..Adam::new(0.01) }.into(),
        Adam { weight_decay: 0.1, ..Adam::new(0.01) }.into(),
        Adam { weight_decay: 0.1, ..Adam::decoupled(0.01) }.into(),
    ]
}

fn follows_the_reference<E: Element>(n: usize) {
    for rule in rules() {
        let mut rng = Rng::seed(n as u64);
        let mut p: Vec<E> = (0..n).map(|_| E::from_f64(rng.normal())).collect();
        let mut want: Vec<f64> = p.iter().map(|v| v.to_f64()).collect();
        let mut wanted = vec![[0.0; 3]; n];
        let mut state = State::default();
        for t in 1..=5 {
            let g: Vec<E> = (0..n).map(|_| E::from_f64(rng.normal())).collect();
            rule.step(&mut p, &g, &mut state);
            for i in 0..n {
                reference(rule, &mut want[i], g[i].to_f64(), &mut wanted[i], t);
            }
        }
        // About 15 roundings a step of values below 5; the update itself is below 0.2 of them.
        let bound = 5.0 * 15.0 * 5.0 * E::UNIT_ROUNDOFF;
        for (p, w) in p.iter().zip(&want) {
            assert!((p.to_f64() - w).abs() < bound, "{rule:?}: {p} {w}");
        }
        assert_eq!(state.step, 5);
    }
}

#[test]
fn every_rule_follows_its_formula() {
    for n in [1, 7, 16, 33] {
        follows_the_reference::<f32>(n);
        follows_the_reference::<f64>(n);
    }
    follows_the_reference::<f32>(BLOCK + 5);
}

#[test]
fn adams_first_step_is_the_learning_rate_along_the_sign() {
    let mut p = [0.0f64; 3];
    Rule::from(Adam::new(0.01)).step(&mut p, &[4.0, -0.5, 0.0], &mut State::default());
    for (p, w) in p.iter().zip([-0.01, 0.01, 0.0]) {
        assert!((p - w).abs() < 1e-9, "{p} {w}");
    }
}

#[test]
fn a_quadratic_is_solved() {
    // f(x) = x'Ax/2 with A = diag(1, 10): the gradient is Ax.
    for rule in [Sgd { momentum: 0.5, ..Sgd::new(0.1) }.into(), Rule::from(Adam::new(0.05))] {
        let (mut x, mut state) = ([1.0f64, -1.0], State::default());
        for _ in 0..500 {
            let g = [x[0], 10.0 * x[1]];
            rule.step(&mut x, &g, &mut state);
        }
        assert!(x.iter().all(|v| v.abs() < 1e-3), "{rule:?} {x:?}");
    }
}

struct Net {
    a: Param,
    b: Param,
}

impl Module for Net {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        v.param("a", &mut self.a);
        v.param("b", &mut self.b);
    }
}

fn net() -> Net {
    let p = |n: usize| Param::new(Tensor::from_fn([n], |i| 1.0 + i as f32), Layout::Plain);
    Net { a: p(5), b: p(3) }
}

/// One step in which only `a` (or both) have a gradient, all `g`.
fn step(net: &mut Net, optimizer: &mut Optimizer, g: f32, both: bool) {
    let mut tape = Tape::eval();
    let a = tape.param(&net.a);
    let b = tape.param(&net.b);
    let mut seeds = vec![(a.node, Tensor::full([5], g))];
    if both {
        seeds.push((b.node, Tensor::full([3], g)));
    }
    optimizer.step(net, &tape.backward_from(seeds)).unwrap();
}

#[test]
fn without_a_gradient_nothing_changes() {
    let (mut net, mut adam) = (net(), Optimizer::new(Adam::new(0.1)));
    step(&mut net, &mut adam, 1.0, false);
    assert_ne!(net.a.value.data()[0], 1.0);
    assert_eq!(net.b.value.data(), [1.0, 2.0, 3.0]);
    step(&mut net, &mut adam, 1.0, true);
    assert_eq!((adam.state()["a"].step, adam.state()["b"].step), (2, 1));
}

#[test]
fn a_saved_state_goes_on_with_the_same_bits() {
    for rule in rules() {
        let run = |interrupt: bool| {
            let (mut net, mut o) = (net(), Optimizer::new(rule));
            for t in 0..6 {
                if interrupt && t == 3 {
                    let saved = o.state().clone();
                    o = Optimizer::new(rule);
                    o.load_state(&mut net, saved).unwrap();
                }
                step(&mut net, &mut o, 0.3 + t as f32, t % 2 == 0);
            }
            (net.a.value, net.b.value)
        };
        assert!(run(true) == run(false));
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut o = Optimizer::<f32>::new(Adam::new(0.1));
    let mut refused = |name: &str, buffers: Vec<Tensor>| {
        let state = BTreeMap::from([(name.to_string(), State { step: 1, buffers })]);
        o.load_state(&mut net(), state).unwrap_err().to_string()
    };
    assert!(refused("c", vec![]).contains("c is no parameter"));
    assert!(refused("a", vec![Tensor::zeros([5])]).contains("a has 1 tensors"));
    assert!(
        refused("a", vec![Tensor::zeros([5]), Tensor::zeros([4])]).contains("a.exp_avg_sq has the shape [4]")
    );
}

#[test]
fn rate_and_momentum_are_read_and_set() {
    for mut rule in [Rule::from(Sgd::new(0.1)), Adam::new(0.1).into()] {
        assert_eq!(rule.lr(), 0.1);
        rule.set_lr(0.2);
        rule.set_momentum(0.7);
        let momentum = match rule {
            Rule::Sgd(r) => r.momentum,
            Rule::Adam(r) => r.betas.0,
        };
        assert_eq!((rule.lr(), momentum), (0.2, 0.7));
    }
    let mut o = Optimizer::<f32>::new(Sgd::new(0.1));
    assert_eq!(o.lr(), 0.1);
    o.set_lr(0.3);
    assert_eq!((o.lr(), o.rule.lr()), (0.3, 0.3));
}

#[test]
fn defaults_are_pytorchs() {
    let adam = Adam::new(1e-3);
    assert_eq!((adam.lr, adam.betas, adam.eps), (1e-3, (0.9, 0.999), 1e-8));
    assert_eq!((adam.weight_decay, adam.decoupled, adam.amsgrad), (0.0, false, false));
    assert_eq!(Adam::decoupled(1e-3), Adam { weight_decay: 0.01, decoupled: true, ..adam });
    let sgd = Sgd::new(0.1);
    assert_eq!((sgd.lr, sgd.momentum, sgd.weight_decay, sgd.nesterov), (0.1, 0.0, 0.0, false));
}

/// What a closure's panic says.
fn said(f: impl FnOnce()) -> String {
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("a panic");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// Gradients of ones for some parameters.
fn ones(params: &[&Param]) -> Gradients {
    let mut tape = Tape::eval();
    let seeds: Vec<_> =
        params.iter().map(|p| (tape.param(p).node, Tensor::full(*p.value.shape(), 1.0))).collect();
    tape.backward_from(seeds)
}

/// Looks at what it wraps while it is visited: once more than the visitor, and by value.
struct Looks {
    net: Net,
    visits: usize,
    seen: Vec<(Vec<usize>, Tensor)>,
    panics: bool,
}

impl Module for Looks {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        self.visits += 1;
        v.param("a", &mut self.net.a);
        // Its own copies: stepping may not write into them.
        self.seen = [&self.net.a, &self.net.b].map(|p| (p.value.shape().to_vec(), p.value.clone())).into();
        assert!(!self.panics, "user code");
        if self.net.b.value.len() == 3 {
            v.param("b", &mut self.net.b);
        }
    }
}

#[test]
fn a_wrapper_that_looks_at_shapes_and_values_keeps_them() {
    let (mut plain, mut one) = (net(), Optimizer::new(Adam::new(0.1)));
    let mut wrapped = Looks { net: net(), visits: 0, seen: Vec::new(), panics: false };
    let mut other = Optimizer::new(Adam::new(0.1));
    for t in 1..=3 {
        let gradients = ones(&[&plain.a, &plain.b]);
        one.step(&mut plain, &gradients).unwrap();
        let gradients = ones(&[&wrapped.net.a, &wrapped.net.b]);
        other.step(&mut wrapped, &gradients).unwrap();
        assert_eq!(wrapped.visits, t, "a step is one visit");
        assert_eq!((&wrapped.seen[0].0[..], &wrapped.seen[1].0[..]), (&[5][..], &[3][..]));
        assert!(wrapped.net.a.value == plain.a.value && wrapped.net.b.value == plain.b.value);
    }
    assert_eq!(one.state(), other.state());
}

#[test]
fn a_panic_of_user_code_destroys_nothing() {
    let mut wrapped = Looks { net: net(), visits: 0, seen: Vec::new(), panics: true };
    let mut adam = Optimizer::new(Adam::new(0.1));
    let gradients = ones(&[&wrapped.net.a, &wrapped.net.b]);
    let stepping = std::panic::AssertUnwindSafe(|| adam.step(&mut wrapped, &gradients));
    assert!(std::panic::catch_unwind(stepping).is_err());
    assert_eq!((wrapped.net.a.value.len(), wrapped.net.b.value.data()), (5, &[1.0, 2.0, 3.0][..]));
    assert!(wrapped.net.a.value.is_finite());
    wrapped.panics = false;
    adam.step(&mut wrapped, &gradients).unwrap();
    assert_eq!((adam.state()["a"].step, adam.state()["b"].step), (2, 1));
}

/// y = relu(x w) w with one w, [2, 2], under two names.
struct Tied {
    w: Param<f64>,
}

impl Module<f64> for Tied {
    fn visit(&mut self, v: &mut Visitor<'_, f64>) {
        v.param("encoder.weight", &mut self.w);
        v.param("decoder.weight", &mut self.w);
    }
}

#[test]
fn tied_weights_are_stepped_once_and_counted_once() {
    // PyTorch's [[1, -2], [0.5, 3]], transposed here.
    let w = Tensor::from_slice([2, 2], &[1.0, 0.5, -2.0, 3.0]);
    let mut net = Tied { w: Param::new(w, Layout::Linear) };
    let mut adam = Optimizer::new(Adam::new(0.1));
    for _ in 0..2 {
        let mut g = Tape::eval();
        let w = g.param(&net.w);
        let x = Tensor::from_slice([1, 2], &[1.0, 2.0]);
        let hidden = g.linear(x.into(), &w, None, Activation::Relu);
        let y = g.linear(hidden, &w, None, Activation::None);
        let squares = g.mul(y.clone(), y);
        let loss = g.sum(squares, &[], false);
        adam.step(&mut net, &g.backward(&loss)).unwrap();
    }
    // torch.optim.Adam over the same network's parameters().
    let want = [1.0, 0.3005226050912536, -1.8006421269511967, 2.8005293854132565];
    for (got, want) in net.w.value.data().iter().zip(want) {
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
    assert_eq!((net.num_params(), adam.state().len(), adam.state()["encoder.weight"].step), (4, 1, 2));
    let saved = adam.state().clone();
    Optimizer::new(Adam::new(0.1)).load_state(&mut net, saved).unwrap();
}

/// Two parameters of one name.
struct Twice(Net);

impl Module for Twice {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        v.param("layer.weight", &mut self.0.a);
        v.param("layer.weight", &mut self.0.b);
    }
}

#[test]
fn two_parameters_of_one_name_are_refused() {
    let mut twice = Twice(net());
    let gradients = ones(&[&twice.0.a, &twice.0.b]);
    let message = "visit: two tensors are called layer.weight";
    assert_eq!(said(|| drop(Optimizer::new(Adam::new(0.1)).step(&mut twice, &gradients))), message);
    assert_eq!(said(|| _ = twice.num_params()), message);
}

#[test]
fn a_gradient_that_is_not_finite_is_named_before_anything_is_written() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (mut net, mut adam) = (net(), Optimizer::new(Adam::new(0.1)));
        let mut tape = Tape::eval();
        let seeds = [
            (tape.param(&net.b).node, Tensor::from_slice([3], &[1.0, bad, 1.0])),
            (tape.param(&net.a).node, Tensor::full([5], 1.0)),
        ];
        let refused = adam.step(&mut net, &tape.backward_from(seeds)).unwrap_err();
        assert_eq!(refused.to_string(), "the gradient of b holds NaN or infinity");
        assert!(net.a.value == self::net().a.value && net.b.value == self::net().b.value);
        assert!(adam.state().is_empty());
    }
}
