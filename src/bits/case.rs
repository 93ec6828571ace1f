//! A case: one computation and the digests of what it gives.

use super::digest::{self, Digest, Digester};
use super::draw::{self, Input};
use crate::error::Result;
use gradus_core::{Rng, Tape, Tensor, Var};

/// What a case of an op computes, from its inputs to its result.
pub type Op = fn(&mut Tape, &[Var]) -> Var;

/// The digest of each part of a result, by the part's name.
pub(super) type Parts = Vec<(&'static str, Digest)>;

/// One computation, under a name that is a group's and its own: `softmax/along-rows`.
pub struct Case {
    name: String,
    work: Work,
}

enum Work {
    /// An op on a tape, forward and backward.
    Op { inputs: Vec<Input>, op: Op },
    /// Anything else.
    Other(Box<dyn Fn() -> Result<Parts> + Send + Sync>),
}

/// A case of an op on a tape.
pub(super) fn op(name: &str, inputs: &[Input], op: Op) -> Case {
    Case { name: name.into(), work: Work::Op { inputs: inputs.to_vec(), op } }
}

/// A case whose parts are told by a closure.
pub(super) fn parts(name: impl Into<String>, make: impl Fn() -> Parts + Send + Sync + 'static) -> Case {
    fallible(name, move || Ok(make()))
}

/// The same, where the machine may be at fault: a file cannot be written.
pub(super) fn fallible(
    name: impl Into<String>,
    make: impl Fn() -> Result<Parts> + Send + Sync + 'static,
) -> Case {
    Case { name: name.into(), work: Work::Other(Box::new(make)) }
}

/// A case of a single part: what the closure writes.
pub(super) fn whole(name: impl Into<String>, write: impl Fn(&mut Digester) + Send + Sync + 'static) -> Case {
    parts(name, move || vec![("all", digest::of(&write))])
}

impl Case {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Computes it: a digest for each part of the result, under the case's name and the part's.
    ///
    /// # Errors
    /// A temporary file cannot be written or read.
    pub fn digests(&self) -> Result<Vec<(String, Digest)>> {
        let parts = match &self.work {
            Work::Op { inputs, op } => self.on_a_tape(inputs, *op),
            Work::Other(make) => make()?,
        };
        Ok(parts.into_iter().map(|(part, digest)| (format!("{}/{part}", self.name), digest)).collect())
    }

    /// The same inputs given to something else, of which the digests should tell it: how the tests plant what
    /// is wrong. None where the case is not one of an op.
    pub fn computed_by(&self, twin: Op) -> Option<Case> {
        let Work::Op { inputs, .. } = &self.work else { return None };
        Some(op(&self.name, inputs, twin))
    }

    fn on_a_tape(&self, inputs: &[Input], op: Op) -> Parts {
        let mut rng = draw::stream(&self.name);
        let values: Vec<Tensor> = inputs.iter().map(|input| input.draw(&mut rng)).collect();
        forward_and_backward(values, &mut rng, op)
    }
}

/// The value of an op, and the gradients of its inputs, from a gradient of the result that is drawn.
pub(super) fn forward_and_backward(
    inputs: Vec<Tensor>,
    rng: &mut Rng,
    op: impl FnOnce(&mut Tape, &[Var]) -> Var,
) -> Parts {
    let mut tape = Tape::train(&mut rng.stream("tape"));
    let inputs: Vec<Var> = inputs.into_iter().map(|x| tape.input(x)).collect();
    let y = op(&mut tape, &inputs);
    let forward = digest::of(|d| d.tensor(&y.value));
    let seed = draw::tensor(y.shape(), rng);
    let gradients = tape.backward_from([(y.node, seed)]);
    let backward = digest::of(|d| {
        for x in &inputs {
            match gradients.of(x) {
                Some(g) => d.tensor(g),
                None => d.text("no gradient"),
            }
        }
    });
    vec![("forward", forward), ("backward", backward)]
}
