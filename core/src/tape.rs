//! Reverse-mode differentiation: a list of closures run backwards.
//!
//! For y = f(x), backward turns ∂L/∂y into ∂L/∂x = (∂f/∂x)ᵀ ∂L/∂y. An op computes its value, and if any
//! parent is live (leads to a parameter or an input whose gradient is wanted) records one closure that
//! captures only what backward needs. `Tape::backward` runs the closures from the last to the first and drops
//! each after use, so that buffers return to the arena as early as can be. The tape owns no values: a `Var`
//! moves into an op, and an op whose input's buffer has no other owner may work in place. A value that is
//! cheap to make from what its own node keeps, as batch norm's from its input, need not be kept for the ops
//! that read it: they make it again, to the same bits.

use crate::finite::{NotFinite, Watch};
use crate::gemm::Precision;
use crate::param::{Param, ParamId};
use crate::{element::Element, profile, random::Rng, shape::Shape, tensor::Tensor};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A node: which tape it is on, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    tape: u64,
    index: usize,
}

/// Panics where one of these nodes is on another tape than `tape`: its gradient could not get there.
#[track_caller]
fn must_be_on(tape: u64, op: &str, nodes: &[Option<NodeId>]) {
    let own = nodes.iter().flatten().all(|node| node.tape == tape);
    assert!(own, "{op}: a variable belongs to another tape; detach it");
}

/// A value, and where its gradient goes: `None` means nowhere.
#[derive(Clone, Debug)]
pub struct Var<E: Element = f32> {
    /// The value.
    pub value: Tensor<E>,
    /// The node that receives its gradient.
    pub node: Option<NodeId>,
}

impl<E: Element> From<Tensor<E>> for Var<E> {
    fn from(value: Tensor<E>) -> Self {
        Var { value, node: None }
    }
}

impl<E: Element> Var<E> {
    /// The value's extents.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The same value, cut off from what made it: no gradient passes.
    pub fn detach(&self) -> Self {
        Var { value: self.value.clone(), node: None }
    }
}

/// What backward does for one node: takes ∂L/∂(its value), adds to its parents' gradients.
type BackwardFn<E> = Box<dyn FnOnce(Tensor<E>, &mut Slots<E>) + Send>;

/// Makes a node's value again.
type Again<E> = Arc<dyn Fn() -> Tensor<E> + Send + Sync>;

/// A value that backward will read.
pub(crate) enum Kept<E: Element> {
    Value(Tensor<E>),
    Again(Again<E>),
}

impl<E: Element> Kept<E> {
    /// The value.
    pub fn get(self) -> Tensor<E> {
        match self {
            Kept::Value(value) => value,
            Kept::Again(again) => again(),
        }
    }
}

struct Node<E: Element> {
    name: &'static str,
    backward: Option<BackwardFn<E>>,
}

/// A gradient, and whether it is known to be finite without looking.
struct Arrived<E: Element> {
    gradient: Tensor<E>,
    finite: bool,
}

/// Gradients on their way: one slot a node. The first to arrive is moved in, later ones are added.
pub struct Slots<E: Element> {
    tape: u64,
    slots: Vec<Option<Arrived<E>>>,
}

impl<E: Element> Slots<E> {
    /// Adds a gradient to a node's; nothing happens for `None`. `gradient` is only called where it is wanted.
    /// Panics where the node is another tape's.
    #[track_caller]
    pub fn add(&mut self, node: Option<NodeId>, gradient: impl FnOnce() -> Tensor<E>) {
        self.add_known(node, || (gradient(), false));
    }

    /// As [`Slots::add`], with whether the gradient is known to be finite: a proof that is cheaper than a
    /// look at it.
    #[track_caller]
    pub(crate) fn add_known(&mut self, node: Option<NodeId>, gradient: impl FnOnce() -> (Tensor<E>, bool)) {
        must_be_on(self.tape, "backward", &[node]);
        let Some(NodeId { index, .. }) = node else { return };
        let (gradient, finite) = gradient();
        match &mut self.slots[index] {
            // The sum of two that are finite need not be.
            Some(sum) => {
                sum.gradient.add_assign(&gradient);
                sum.finite = false;
            }
            empty => *empty = Some(Arrived { gradient, finite }),
        }
    }
}

/// Records ops, carries the mode and the randomness of one pass.
///
/// A variable belongs to the tape that made it: an op, or [`Tape::backward`], that is given another tape's
/// panics. [`Var::detach`] takes the value along without its gradient.
pub struct Tape<E: Element = f32> {
    id: u64,
    nodes: Vec<Node<E>>,
    params: HashMap<ParamId, NodeId>,
    again: HashMap<NodeId, Again<E>>,
    recording: bool,
    training: bool,
    rng: Option<Rng>,
    watch: Option<Watch>,
    precision: Precision,
}

impl<E: Element> Tape<E> {
    fn with(recording: bool, training: bool, rng: Option<Rng>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (nodes, params, again) = (Vec::new(), HashMap::new(), HashMap::new());
        let id = NEXT.fetch_add(1, Relaxed);
        Tape { id, nodes, params, again, recording, training, rng, watch: None, precision: Precision::F32 }
    }

    /// Training: records, batch norm uses the batch's statistics, dropout draws from a stream split off
    /// `rng`.
    pub fn train(rng: &mut Rng) -> Self {
        Self::with(true, true, Some(rng.split()))
    }

    /// Inference: records nothing, dropout and batch norm are in evaluation mode.
    pub fn infer() -> Self {
        Self::with(false, false, None)
    }

    /// Records, in evaluation mode: gradients of a fixed function.
    pub fn eval() -> Self {
        Self::with(true, false, None)
    }

    /// Whether batch norm and dropout behave as in training.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// The pass's random stream. Panics outside of training.
    #[track_caller]
    pub fn rng(&mut self) -> &mut Rng {
        self.rng.as_mut().expect("randomness is for Tape::train")
    }

    /// The number of recorded nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn push(&mut self, name: &'static str, backward: Option<BackwardFn<E>>) -> NodeId {
        self.nodes.push(Node { name, backward });
        NodeId { tape: self.id, index: self.nodes.len() - 1 }
    }

    /// A parameter as a variable: live if it is trainable and the tape records. One node for each parameter
    /// and tape.
    pub fn param(&mut self, p: &Param<E>) -> Var<E> {
        let node = (self.recording && p.trainable).then(|| match self.params.get(&p.id()) {
            Some(&node) => node,
            None => {
                let node = self.push("param", None);
                self.params.insert(p.id(), node);
                node
            }
        });
        Var { value: p.value.clone(), node }
    }

    /// An input whose gradient is wanted (read it with [`Gradients::of`]).
    pub fn input(&mut self, value: Tensor<E>) -> Var<E> {
        let node = self.recording.then(|| self.push("input", None));
        Var { value, node }
    }

    /// Whether an op on these parents has to be given to [`Tape::record`]. A tape that records nothing takes
    /// no live variable: it panics, since the gradient would be cut off in silence.
    #[track_caller]
    pub fn records(&self, parents: &[Option<NodeId>]) -> bool {
        if !self.recording {
            must_be_on(self.id, "a tape that records nothing", parents);
        }
        self.watch.is_some() || parents.iter().any(Option::is_some)
    }

    /// The result of an op. `backward` takes ∂L/∂value and adds to the parents' slots; it is kept only if
    /// [`Tape::records`] these parents, so capture what is costly only then. Panics where a parent is another
    /// tape's.
    #[track_caller]
    pub fn record(
        &mut self,
        name: &'static str,
        value: Tensor<E>,
        parents: &[Option<NodeId>],
        backward: impl FnOnce(Tensor<E>, &mut Slots<E>) + Send + 'static,
    ) -> Var<E> {
        must_be_on(self.id, name, parents);
        if let Some(watch) = &mut self.watch {
            watch.see(name, &value);
        }
        let live = parents.iter().any(Option::is_some);
        let node = live.then(|| self.push(name, Some(Box::new(backward))));
        Var { value, node }
    }

    /// The same tape, whose matrix products and convolutions read their operands in this precision, forward
    /// and backward.
    pub fn in_precision(self, precision: Precision) -> Self {
        Tape { precision, ..self }
    }

    /// What its products read.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same tape, looking at every op's result for [`Tape::not_finite`].
    pub fn watching(mut self) -> Self {
        self.watch = Some(Watch::default());
        self
    }

    /// The first result that held NaN or infinity, on a tape made by [`Tape::watching`].
    pub fn not_finite(&self) -> Option<NotFinite> {
        self.watch.as_ref()?.first.clone()
    }

    /// Says how to make a recorded variable's value again, from what its own backward keeps anyway.
    pub(crate) fn can_make_again(
        &mut self,
        y: &Var<E>,
        make: impl Fn() -> Tensor<E> + Send + Sync + 'static,
    ) {
        if let Some(node) = y.node {
            self.again.insert(node, Arc::new(make));
        }
    }

    /// What an op keeps to read its operand in backward: the value, unless it can be made again.
    pub(crate) fn keep(&self, x: Var<E>) -> Kept<E> {
        match x.node.and_then(|node| self.again.get(&node)) {
            Some(again) => Kept::Again(again.clone()),
            None => Kept::Value(x.value),
        }
    }

    /// Gradients of a scalar with respect to all parameters and inputs. Consumes the recording.
    #[track_caller]
    pub fn backward(self, loss: &Var<E>) -> Gradients<E> {
        assert_eq!(
            loss.value.len(),
            1,
            "backward: the loss has shape {:?}; give `backward_from` a seed",
            loss.shape()
        );
        let seed = Tensor::full(*loss.shape(), E::ONE);
        self.backward_from([(loss.node, seed)])
    }

    /// Gradients of Σ⟨seed, variable⟩.
    #[track_caller]
    pub fn backward_from(self, seeds: impl IntoIterator<Item = (Option<NodeId>, Tensor<E>)>) -> Gradients<E> {
        // Each op holds its own now.
        drop(self.again);
        let mut slots = Slots { tape: self.id, slots: self.nodes.iter().map(|_| None).collect() };
        for (node, seed) in seeds {
            slots.add(node, || seed);
        }
        let (mut leaves, mut finite) = (HashMap::new(), HashSet::new());
        for (index, node) in self.nodes.into_iter().enumerate().rev() {
            let Some(Arrived { gradient, finite: known }) = slots.slots[index].take() else { continue };
            match node.backward {
                Some(backward) => {
                    let _span = profile::span(node.name, "backward");
                    backward(gradient, &mut slots);
                }
                None => {
                    let node = NodeId { tape: self.id, index };
                    leaves.insert(node, gradient);
                    finite.extend(known.then_some(node));
                }
            }
        }
        Gradients { tape: self.id, leaves, finite, params: self.params }
    }
}

/// Gradients of parameters and inputs.
pub struct Gradients<E: Element = f32> {
    tape: u64,
    leaves: HashMap<NodeId, Tensor<E>>,
    /// Which are known to be finite.
    finite: HashSet<NodeId>,
    params: HashMap<ParamId, NodeId>,
}

impl<E: Element> Gradients<E> {
    /// A parameter's gradient, if the loss depends on it.
    pub fn param(&self, p: &Param<E>) -> Option<&Tensor<E>> {
        self.leaves.get(self.params.get(&p.id())?)
    }

    /// The gradient of an input, or of a parameter's variable. Panics where the variable is another tape's.
    #[track_caller]
    pub fn of(&self, v: &Var<E>) -> Option<&Tensor<E>> {
        must_be_on(self.tape, "Gradients::of", &[v.node]);
        self.leaves.get(&v.node?)
    }

    /// The parameters' gradients, in the order in which the tape met them.
    pub(crate) fn of_params(&self) -> Vec<&Tensor<E>> {
        let mut nodes: Vec<_> = self.params.values().filter(|node| self.leaves.contains_key(node)).collect();
        nodes.sort_unstable();
        nodes.into_iter().map(|node| &self.leaves[node]).collect()
    }

    /// Those of them that are not known to be finite.
    pub(crate) fn of_params_unknown(&self) -> Vec<&Tensor<E>> {
        let unknown = self.params.values().filter(|node| !self.finite.contains(node));
        unknown.filter_map(|node| self.leaves.get(node)).collect()
    }

    /// As [`Gradients::of_params`], for writing: nothing is known of them any more.
    pub(crate) fn of_params_mut(&mut self) -> Vec<&mut Tensor<E>> {
        self.finite.clear();
        let nodes: HashSet<_> = self.params.values().collect();
        let mut found: Vec<_> = self.leaves.iter_mut().filter(|(node, _)| nodes.contains(node)).collect();
        found.sort_unstable_by_key(|(node, _)| **node);
        found.into_iter().map(|(_, gradient)| gradient).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{epilogue::Activation, param::Layout};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// What the panic of `f` says.
    fn said(f: impl FnOnce()) -> String {
        let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a stranger is refused");
        payload.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    fn scalar(v: f64) -> Tensor<f64> {
        Tensor::from_slice([1, 1], &[v])
    }

    /// A live variable of another tape, at the same place as one of the tape that meets it.
    fn stranger() -> Var<f64> {
        Tape::eval().input(scalar(5.0))
    }

    #[test]
    fn an_op_refuses_another_tapes_variable() {
        type Op = fn(&mut Tape<f64>, Var<f64>, Var<f64>);
        let ops: [(&str, Op); 6] = [
            ("mul", |g, x, s| drop(g.mul(x, s))),
            ("linear", |g, x, s| drop(g.linear(x, &s, None, Activation::None))),
            ("linear", |g, x, s| drop(g.linear(s, &x, None, Activation::Relu))),
            ("relu", |g, _, s| drop(g.relu(s))),
            ("concat", |g, x, s| drop(g.concat(vec![x, s], 0))),
            ("cross_entropy", |g, _, s| drop(g.cross_entropy(s, &[0]))),
        ];
        for (name, op) in ops {
            let mut g = Tape::eval();
            let x = g.input(scalar(3.0));
            let said = said(|| op(&mut g, x, stranger()));
            assert_eq!(said, format!("{name}: a variable belongs to another tape; detach it"));
        }
        assert!(said(|| drop(Tape::infer().relu(stranger()))).contains("belongs to another tape"));
    }

    #[test]
    fn so_do_backward_and_the_gradients() {
        let mut g = Tape::eval();
        let x = g.input(scalar(3.0));
        assert!(said(|| drop(Tape::eval().backward(&x))).contains("belongs to another tape; detach it"));
        let gradients = g.backward(&x);
        assert!(said(|| _ = gradients.of(&stranger())).contains("belongs to another tape"));

        // An op of one's own that forgot to name its second parent.
        let (mut g, s) = (Tape::eval(), stranger());
        let x = g.input(scalar(3.0));
        let y = g.record("own", scalar(15.0), &[x.node], move |dy, slots| slots.add(s.node, || dy));
        assert!(said(|| drop(g.backward(&y))).contains("belongs to another tape"));
    }

    #[test]
    fn detached_it_is_a_constant() {
        let mut g = Tape::eval();
        let x = g.input(scalar(3.0));
        let y = g.mul(x.clone(), stranger().detach());
        assert_eq!((y.value.item(), g.backward(&y).of(&x).unwrap().item()), (15.0, 5.0));
    }

    #[test]
    fn what_is_known_to_be_finite_is_not_looked_at_and_sums_are_not_known() {
        let p = Param::new(scalar(2.0), Layout::Plain);
        let known = |times: usize, value: f64| {
            let mut g = Tape::eval();
            let node = g.param(&p).node;
            let y = g.record("own", scalar(1.0), &[node], move |_, slots| {
                (0..times).for_each(|_| slots.add_known(node, || (scalar(value), true)));
            });
            g.backward(&y)
        };
        let mut once = known(1, 1.0);
        assert!(once.of_params_unknown().is_empty() && once.is_finite());
        assert!(known(2, 1.0).is_finite() && !known(2, f64::MAX).is_finite());
        once.clip_norm(f64::NAN);
        assert!(!once.is_finite());
    }

    #[test]
    fn a_parameter_has_a_node_on_each_tape() {
        let p = Param::new(scalar(2.0), Layout::Plain);
        for _ in 0..2 {
            let mut g = Tape::eval();
            let (a, b) = (g.param(&p), g.param(&p));
            let y = g.mul(a, b);
            assert_eq!(g.backward(&y).param(&p).unwrap().item(), 4.0);
        }
    }

    #[test]
    fn what_is_frozen_or_not_recorded_has_no_node() {
        let mut p = Param::new(scalar(2.0), Layout::Plain);
        assert!(Tape::infer().param(&p).node.is_none());
        p.trainable = false;
        let mut g = Tape::eval();
        assert!(g.param(&p).node.is_none() && g.is_empty());
    }
}
