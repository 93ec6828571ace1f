//! Reverse-mode differentiation: a list of closures run backwards.
//!
//! For y = f(x), backward turns ∂L/∂y into ∂L/∂x = (∂f/∂x)ᵀ ∂L/∂y. An op computes its value, and if any parent is
//! live (leads to a parameter or an input whose gradient is wanted) records one closure that captures only what
//! backward needs. `Tape::backward` runs the closures from the last to the first and drops each after use, so that
//! buffers return to the pool as early as can be. The tape owns no values: a `Var` moves into an op, and an op whose
//! input's buffer has no other owner may work in place. A value that is cheap to make from what its own node keeps, as
//! batch norm's from its input, need not be kept for the ops that read it: they make it again, to the same bits.

use crate::nn::{Param, ParamId};
use crate::{Element, Rng, Shape, Tensor, profile};
use std::collections::HashMap;
use std::sync::Arc;

/// A node's place on its tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

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
type Backward<E> = Box<dyn FnOnce(Tensor<E>, &mut Slots<E>) + Send>;

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
    backward: Option<Backward<E>>,
}

/// Gradients on their way: one slot a node. The first to arrive is moved in, later ones are added.
pub struct Slots<E: Element> {
    slots: Vec<Option<Tensor<E>>>,
}

impl<E: Element> Slots<E> {
    /// Adds a gradient to a node's; nothing happens for `None`. `gradient` is only called where it is wanted.
    pub fn add(&mut self, node: Option<NodeId>, gradient: impl FnOnce() -> Tensor<E>) {
        let Some(NodeId(i)) = node else { return };
        match &mut self.slots[i] {
            Some(sum) => sum.add_assign(&gradient()),
            empty => *empty = Some(gradient()),
        }
    }

    /// Whether the node's gradient is wanted.
    pub fn wants(&self, node: Option<NodeId>) -> bool {
        node.is_some()
    }
}

/// Records ops, carries the mode and the randomness of one pass.
pub struct Tape<E: Element = f32> {
    nodes: Vec<Node<E>>,
    params: HashMap<ParamId, NodeId>,
    again: HashMap<NodeId, Again<E>>,
    recording: bool,
    training: bool,
    rng: Option<Rng>,
}

impl<E: Element> Tape<E> {
    fn with(recording: bool, training: bool, rng: Option<Rng>) -> Self {
        let (nodes, params, again) = (Vec::new(), HashMap::new(), HashMap::new());
        Tape { nodes, params, again, recording, training, rng }
    }

    /// Training: records, batch norm uses the batch's statistics, dropout draws from a stream split off `rng`.
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

    fn push(&mut self, name: &'static str, backward: Option<Backward<E>>) -> NodeId {
        self.nodes.push(Node { name, backward });
        NodeId(self.nodes.len() - 1)
    }

    /// A parameter as a variable: live if it is trainable and the tape records. One node for each parameter and tape.
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

    /// Whether an op on these parents has to be recorded.
    pub fn records(&self, parents: &[Option<NodeId>]) -> bool {
        self.recording && parents.iter().any(Option::is_some)
    }

    /// The result of an op. `backward` takes ∂L/∂value and adds to the parents' slots; it is kept only if
    /// [`Tape::records`] these parents, so capture what is costly only then.
    pub fn record(
        &mut self,
        name: &'static str,
        value: Tensor<E>,
        parents: &[Option<NodeId>],
        backward: impl FnOnce(Tensor<E>, &mut Slots<E>) + Send + 'static,
    ) -> Var<E> {
        let node = self.records(parents).then(|| self.push(name, Some(Box::new(backward))));
        Var { value, node }
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
        let mut slots = Slots { slots: self.nodes.iter().map(|_| None).collect() };
        for (node, seed) in seeds {
            slots.add(node, || seed);
        }
        let mut leaves = HashMap::new();
        for (i, node) in self.nodes.into_iter().enumerate().rev() {
            let Some(gradient) = slots.slots[i].take() else { continue };
            match node.backward {
                Some(backward) => {
                    let _span = profile::span(node.name, "backward");
                    backward(gradient, &mut slots);
                }
                None => {
                    leaves.insert(NodeId(i), gradient);
                }
            }
        }
        Gradients { leaves, params: self.params }
    }
}

/// Gradients of parameters and inputs.
pub struct Gradients<E: Element = f32> {
    leaves: HashMap<NodeId, Tensor<E>>,
    params: HashMap<ParamId, NodeId>,
}

impl<E: Element> Gradients<E> {
    /// A parameter's gradient, if the loss depends on it.
    pub fn param(&self, p: &Param<E>) -> Option<&Tensor<E>> {
        self.leaves.get(self.params.get(&p.id())?)
    }

    /// The gradient of an input, or of a parameter's variable.
    pub fn of(&self, v: &Var<E>) -> Option<&Tensor<E>> {
        self.leaves.get(&v.node?)
    }
}
