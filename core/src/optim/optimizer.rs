//! A rule with the state of every parameter of a network.

use super::rule::{Rule, State};
use crate::{element::Element, finite::NotFinite, param::Module, profile, tape::Gradients};
use std::collections::BTreeMap;
use std::fmt;

/// A rule, and the state of every parameter it has stepped.
///
/// A parameter's state is found by its name, so that it can be saved with [`Optimizer::state`] and restored
/// with [`Optimizer::load_state`]: a training that goes on from there has the same bits as one never
/// interrupted.
#[derive(Clone, Debug)]
pub struct Optimizer<E: Element = f32> {
    /// The formula and its settings; change them between steps as you like.
    pub rule: Rule,
    state: BTreeMap<String, State<E>>,
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

    /// Changes every parameter that has a gradient; the others, and their states, stay as they are. A
    /// parameter of several names is stepped once, under the first. Values stay in the network all the while,
    /// which is visited once.
    ///
    /// # Errors
    /// A gradient holds NaN or infinity: the first in the network's order is named. Nothing is changed.
    pub fn step(&mut self, net: &mut impl Module<E>, gradients: &Gradients<E>) -> Result<(), NotFinite> {
        let _span = profile::span("optimizer", "step");
        if !gradients.is_finite() {
            return Err(gradients.not_finite(net));
        }
        net.for_each_param(|name, p| {
            let Some(gradient) = gradients.param(p) else { return };
            assert_eq!(gradient.shape(), p.value.shape(), "optimizer: gradient of {name}");
            if !self.state.contains_key(name) {
                self.state.insert(name.to_string(), State::default());
            }
            let state = self.state.get_mut(name).expect("it is there now");
            let shape = *p.value.shape();
            self.rule.step_shaped(&shape, p.value.data_mut(), gradient.data(), state);
        });
        Ok(())
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
