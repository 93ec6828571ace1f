//! Optimisers: how a gradient changes a parameter.
//!
//! With g the gradient of the parameter p, λ the weight decay, η the learning rate and t = 1, 2, .. the step:
//!
//! * SGD (Polyak 1964; Nesterov 1983; in the form of Sutskever et al., ICML 2013):
//!   g ← g + λp, v ← μv + g, p ← p − ηv, or p ← p − η(g + μv) with Nesterov's momentum; without momentum p ← p − ηg.
//! * Adam (Kingma and Ba, ICLR 2015): g ← g + λp, m ← m + (1 − β₁)(g − m), v ← β₂v + (1 − β₂)g²,
//!   p ← p − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).
//! * AdamW (Loshchilov and Hutter, ICLR 2019): p ← (1 − ηλ)p in the place of g ← g + λp.
//!
//! These are PyTorch's formulas (`torch.optim`), with scalars in double precision. A [`Rule`] is the
//! formula, and works on bare slices too; an [`Optimizer`] is a rule with the state of every parameter of a network.
//! Each number of a parameter, its gradient and its state is read once and written once a step.

use crate::simd::{Kernel, Simd};
use crate::{Element, Gradients, Module, Shape, Tensor, parallel};
use std::collections::BTreeMap;
use std::fmt;

/// Stochastic gradient descent. `Sgd { momentum: 0.9, ..Sgd::new(0.1) }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The learning rate η.
    pub lr: f64,
    /// The momentum μ.
    pub momentum: f64,
    /// The weight decay λ, added to the gradient.
    pub weight_decay: f64,
    /// How much of the gradient the velocity leaves out after the first step: v ← μv + (1 − dampening) g. 0 is usual.
    pub dampening: f64,
    /// Whether to look ahead along the velocity.
    pub nesterov: bool,
}

impl Sgd {
    /// Without momentum and weight decay.
    pub fn new(lr: f64) -> Self {
        Sgd { lr, momentum: 0.0, weight_decay: 0.0, dampening: 0.0, nesterov: false }
    }
}

/// Adam and AdamW. `Adam { weight_decay: 1e-4, ..Adam::new(1e-3) }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// The learning rate η.
    pub lr: f64,
    /// (β₁, β₂): how much of the gradient's mean and mean square is kept a step.
    pub betas: (f64, f64),
    /// ε, added to the root of the mean square.
    pub eps: f64,
    /// The weight decay λ.
    pub weight_decay: f64,
    /// AdamW: the weight decay shrinks the parameter; otherwise it is added to the gradient.
    pub decoupled: bool,
    /// AMSGrad (Reddi et al., ICLR 2018): the greatest v so far is used in the place of v.
    pub amsgrad: bool,
}

impl Adam {
    /// Adam with PyTorch's defaults: betas 0.9 and 0.999, ε = 1e-8, no weight decay.
    pub fn new(lr: f64) -> Self {
        Adam { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false, amsgrad: false }
    }

    /// AdamW with PyTorch's defaults: as [`Adam::new`], with a decoupled weight decay of 0.01.
    pub fn decoupled(lr: f64) -> Self {
        Adam { weight_decay: 0.01, decoupled: true, ..Adam::new(lr) }
    }
}

/// An optimiser's formula and settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam or AdamW.
    Adam(Adam),
}

impl From<Sgd> for Rule {
    fn from(r: Sgd) -> Self {
        Rule::Sgd(r)
    }
}

impl From<Adam> for Rule {
    fn from(r: Adam) -> Self {
        Rule::Adam(r)
    }
}

impl Rule {
    /// The learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Rule::Sgd(r) => r.lr,
            Rule::Adam(r) => r.lr,
        }
    }

    /// Changes the learning rate.
    pub fn set_lr(&mut self, lr: f64) {
        match self {
            Rule::Sgd(r) => r.lr = lr,
            Rule::Adam(r) => r.lr = lr,
        }
    }

    /// Changes the momentum: μ of SGD, β₁ of Adam, as PyTorch's one-cycle schedule does.
    pub fn set_momentum(&mut self, momentum: f64) {
        match self {
            Rule::Sgd(r) => r.momentum = momentum,
            Rule::Adam(r) => r.betas.0 = momentum,
        }
    }

    /// PyTorch's names of the tensors kept for each parameter.
    pub fn state_names(&self) -> &'static [&'static str] {
        match self {
            Rule::Sgd(r) if r.momentum == 0.0 => &[],
            Rule::Sgd(_) => &["momentum_buffer"],
            Rule::Adam(r) if r.amsgrad => &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
            Rule::Adam(_) => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// One step of one parameter: p is its values, g its gradient, of equal length. `state` starts as
    /// `State::default()` and belongs to the parameter. Panics when lengths differ.
    #[track_caller]
    pub fn step<E: Element>(&self, p: &mut [E], g: &[E], state: &mut State<E>) {
        let mut blocks = Vec::new();
        self.prepare(&Shape::new(&[p.len()]), state);
        self.blocks(p, g, state, &mut blocks);
        sweep(&mut blocks);
    }

    /// Counts the step; makes the buffers that are not there yet.
    fn prepare<E: Element>(&self, shape: &Shape, state: &mut State<E>) {
        state.step += 1;
        let names = self.state_names();
        state.buffers.resize_with(names.len(), || Tensor::zeros(*shape));
    }

    /// Cuts a parameter into blocks, by its length alone.
    #[track_caller]
    fn blocks<'a, E: Element>(
        &self,
        p: &'a mut [E],
        g: &'a [E],
        state: &'a mut State<E>,
        out: &mut Vec<Block<'a, E>>,
    ) {
        let n = p.len();
        assert_eq!(g.len(), n, "optimizer: {n} values and {} gradients", g.len());
        let formula = self.at_step(state.step);
        let mut pieces = state.buffers.iter_mut().map(|b| {
            assert_eq!(b.len(), n, "optimizer: {n} values and a state of {}", b.len());
            b.data_mut().chunks_mut(BLOCK)
        });
        let mut pieces = [pieces.next(), pieces.next(), pieces.next()];
        for (p, g) in p.chunks_mut(BLOCK).zip(g.chunks(BLOCK)) {
            let state = pieces.each_mut().map(|of| of.as_mut().and_then(Iterator::next).unwrap_or_default());
            out.push(Block { p, g, state, formula });
        }
    }

    /// The formula with this step's constants.
    fn at_step<E: Element>(&self, step: u64) -> Formula<E> {
        let e = E::from_f64;
        match *self {
            Rule::Sgd(r) => Formula::Sgd {
                lr: e(r.lr),
                momentum: (r.momentum != 0.0).then_some(e(r.momentum)),
                // The velocity begins as the first gradient.
                take: e(if step == 1 { 1.0 } else { 1.0 - r.dampening }),
                decay: e(r.weight_decay),
                nesterov: r.nesterov,
            },
            Rule::Adam(r) => {
                let (beta1, beta2) = r.betas;
                let t = step as f64;
                let (shrink, decay) =
                    if r.decoupled { (r.lr * r.weight_decay, 0.0) } else { (0.0, r.weight_decay) };
                Formula::Adam {
                    decay: e(decay),
                    keep: e(1.0 - shrink),
                    first: e(1.0 - beta1),
                    second: [e(beta2), e(1.0 - beta2)],
                    rate: e(r.lr / (1.0 - beta1.powf(t))),
                    root: e((1.0 - beta2.powf(t)).sqrt()),
                    eps: e(r.eps),
                    amsgrad: r.amsgrad,
                }
            }
        }
    }
}

/// What an optimiser keeps of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct State<E: Element = f32> {
    /// Steps taken.
    pub step: u64,
    /// The tensors that [`Rule::state_names`] names, in the parameter's shape; none before the first step.
    pub buffers: Vec<Tensor<E>>,
}

impl<E: Element> Default for State<E> {
    fn default() -> Self {
        State { step: 0, buffers: Vec::new() }
    }
}

/// A rule, and the state of every parameter it has stepped.
///
/// A parameter's state is found by its name, so that it can be saved with [`Optimizer::state`] and restored with
/// [`Optimizer::load_state`]: a training that goes on from there has the same bits as one never interrupted.
#[derive(Clone, Debug)]
pub struct Optimizer<E: Element = f32> {
    /// The formula and its settings; change them between steps as you like.
    pub rule: Rule,
    state: BTreeMap<String, State<E>>,
}

/// A parameter on its way through a step.
struct Job<E: Element> {
    name: String,
    value: Tensor<E>,
    gradient: Tensor<E>,
    state: State<E>,
}

impl<E: Element> Optimizer<E> {
    /// `Optimizer::new(Adam::new(1e-3))`
    pub fn new(rule: impl Into<Rule>) -> Self {
        Optimizer { rule: rule.into(), state: BTreeMap::new() }
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        self.rule.lr()
    }

    /// Changes the learning rate.
    pub fn set_lr(&mut self, lr: f64) {
        self.rule.set_lr(lr);
    }

    /// Changes every parameter that has a gradient; the others, and their states, stay as they are.
    /// All are cut into blocks that threads take from one list.
    pub fn step(&mut self, net: &mut impl Module<E>, gradients: &Gradients<E>) {
        // The values leave the network, so that one list of blocks can borrow them all, and return afterwards.
        let mut jobs = Vec::new();
        net.for_each_param(|name, p| {
            let Some(gradient) = gradients.param(p) else { return };
            assert_eq!(gradient.shape(), p.value.shape(), "optimizer: gradient of {name}");
            let mut state = self.state.remove(name).unwrap_or_default();
            self.rule.prepare(p.value.shape(), &mut state);
            let value = std::mem::replace(&mut p.value, Tensor::scalar(E::ZERO));
            jobs.push(Job { name: name.to_string(), value, gradient: gradient.clone(), state });
        });
        let mut blocks = Vec::new();
        for job in &mut jobs {
            self.rule.blocks(job.value.data_mut(), job.gradient.data(), &mut job.state, &mut blocks);
        }
        sweep(&mut blocks);
        let mut jobs = jobs.into_iter();
        net.for_each_param(|name, p| {
            if gradients.param(p).is_some() {
                let job = jobs.next().expect("a module visits the same parameters each time");
                p.value = job.value;
                self.state.insert(job.name, job.state);
                debug_assert!(self.state.contains_key(name));
            }
        });
    }

    /// The state of each parameter by its name.
    pub fn state(&self) -> &BTreeMap<String, State<E>> {
        &self.state
    }

    /// Goes on from a saved state, for the parameters of `net`.
    ///
    /// # Errors
    /// A name is no parameter of `net`, or a tensor is missing or of another shape than its parameter; the
    /// optimiser is then as before.
    pub fn load_state(
        &mut self,
        net: &mut impl Module<E>,
        state: BTreeMap<String, State<E>>,
    ) -> Result<(), StateError> {
        let mut shapes = BTreeMap::new();
        net.for_each_param(|name, p| {
            shapes.insert(name.to_string(), *p.value.shape());
        });
        let names = self.rule.state_names();
        for (name, saved) in &state {
            let Some(shape) = shapes.get(name) else {
                return Err(StateError(format!("{name} is no parameter of this network")));
            };
            if saved.buffers.len() != names.len() {
                let have = saved.buffers.len();
                return Err(StateError(format!("{name} has {have} tensors where {names:?} are needed")));
            }
            if let Some((b, what)) = saved.buffers.iter().zip(names).find(|(b, _)| b.shape() != shape) {
                let got = b.shape();
                return Err(StateError(format!(
                    "{name}.{what} has the shape {got:?}, the parameter {shape:?}"
                )));
            }
        }
        self.state = state;
        Ok(())
    }
}

/// Why a saved optimiser state does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(String);

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the saved optimizer state does not fit: {}", self.0)
    }
}

impl std::error::Error for StateError {}

/// Elements of a block: its four arrays stay in a core's second-level cache.
const BLOCK: usize = 32 * 1024;

/// A part of one parameter, its gradient and its state (empty where the rule keeps less).
struct Block<'a, E> {
    p: &'a mut [E],
    g: &'a [E],
    state: [&'a mut [E]; 3],
    formula: Formula<E>,
}

/// A rule's constants of one step.
#[derive(Clone, Copy)]
enum Formula<E> {
    Sgd { lr: E, momentum: Option<E>, take: E, decay: E, nesterov: bool },
    Adam { decay: E, keep: E, first: E, second: [E; 2], rate: E, root: E, eps: E, amsgrad: bool },
}

fn sweep<E: Element>(blocks: &mut [Block<'_, E>]) {
    parallel::chunks(blocks, 1, |_, block| E::dispatch(Update(&mut block[0])));
}

struct Update<'a, 'b, E>(&'a mut Block<'b, E>);

impl<E: Element> Kernel<E> for Update<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let Block { p, g, state: [a, b, most], formula } = self.0;
        for i in (0..p.len()).step_by(S::LANES) {
            let (x, d) = (get(s, p, i), get(s, g, i));
            match *formula {
                Formula::Sgd { lr, momentum, take, decay, nesterov } => {
                    let mut d = s.fma(s.splat(decay), x, d);
                    if let Some(mu) = momentum {
                        let v = s.fma(s.splat(mu), get(s, a, i), s.mul(s.splat(take), d));
                        put(s, a, i, v);
                        d = if nesterov { s.fma(s.splat(mu), v, d) } else { v };
                    }
                    put(s, p, i, s.fma(s.splat(-lr), d, x));
                }
                Formula::Adam { decay, keep, first, second, rate, root, eps, amsgrad } => {
                    let d = s.fma(s.splat(decay), x, d);
                    let (m, v) = (get(s, a, i), get(s, b, i));
                    let m = s.fma(s.splat(first), s.sub(d, m), m);
                    let v = s.fma(s.splat(second[0]), v, s.mul(s.splat(second[1]), s.mul(d, d)));
                    put(s, a, i, m);
                    put(s, b, i, v);
                    let v = if amsgrad { s.max(v, get(s, most, i)) } else { v };
                    if amsgrad {
                        put(s, most, i, v);
                    }
                    let size = s.add(s.div(s.sqrt(v), s.splat(root)), s.splat(eps));
                    put(s, p, i, s.fma(s.splat(-rate), s.div(m, size), s.mul(s.splat(keep), x)));
                }
            }
        }
    }
}

/// The vector at i, short at the end.
#[inline(always)]
fn get<E: Element, S: Simd<E>>(s: S, from: &[E], i: usize) -> S::V {
    let from = &from[i..];
    if from.len() >= S::LANES { s.read(from) } else { s.read_tail(from) }
}

#[inline(always)]
fn put<E: Element, S: Simd<E>>(s: S, to: &mut [E], i: usize, v: S::V) {
    let to = &mut to[i..];
    if to.len() >= S::LANES { s.write(to, v) } else { s.write_tail(to, v) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, Param, Rng, Tape, Visitor};

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
        optimizer.step(net, &tape.backward_from(seeds));
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
            refused("a", vec![Tensor::zeros([5]), Tensor::zeros([4])])
                .contains("a.exp_avg_sq has the shape [4]")
        );
    }
}
