//! The numerics of gradus: tensors, reverse-mode autograd, SIMD kernels, optimisers.
//!
//! A [`Tensor`] is a shape and a buffer. A [`Tape`] records what happens to a [`Var`] and runs it backward. A
//! [`Module`] shows its [`Param`]s to whoever loads, saves or steps them; an [`Optimizer`] steps. [`Element`]
//! is f32, which runs, or f64, which proves, through the same source.
//!
//! # A small network learns
//!
//! ```
//! use gradus_core::nn::Linear;
//! use gradus_core::{Activation, Adam, Module, Optimizer, Rng, Tape, Tensor, Var, Visitor, init};
//!
//! struct Net {
//!     hidden: Linear,
//!     out: Linear,
//! }
//!
//! impl Module for Net {
//!     fn visit(&mut self, v: &mut Visitor<'_, f32>) {
//!         v.child("hidden", &mut self.hidden);
//!         v.child("out", &mut self.out);
//!     }
//! }
//!
//! impl Net {
//!     fn forward(&self, g: &mut Tape, x: Var) -> Var {
//!         let x = self.hidden.forward(g, x, Activation::Relu);
//!         self.out.forward(g, x, Activation::None)
//!     }
//! }
//!
//! // Which points lie where both coordinates have the same sign? No straight line tells.
//! let mut rng = Rng::seed(1);
//! let points = Tensor::from_fn([64, 2], |_| rng.normal() as f32);
//! let labels: Vec<usize> = points.data().chunks(2).map(|p| usize::from(p[0] * p[1] > 0.0)).collect();
//!
//! let mut layer = |i, o| Linear::new(init::xavier_normal([i, o], init::RELU, &mut rng), true);
//! let mut net = Net { hidden: layer(2, 16), out: layer(16, 2) };
//! let mut adam = Optimizer::new(Adam::new(0.02));
//! let mut losses = Vec::new();
//! for _ in 0..200 {
//!     let mut g = Tape::eval();
//!     let logits = net.forward(&mut g, points.clone().into());
//!     let loss = g.cross_entropy(logits, &labels);
//!     losses.push(loss.value.item());
//!     adam.step(&mut net, &g.backward(&loss))?;
//! }
//! assert!(losses[199] < 0.3 * losses[0], "{} {}", losses[0], losses[199]);
//! # Ok::<(), gradus_core::NotFinite>(())
//! ```
//!
//! # An op of your own
//!
//! An op computes its value and records how to go back: from the gradient of its result to that of its
//! argument.
//!
//! ```
//! use gradus_core::{Tape, Tensor, Var};
//!
//! fn cube(g: &mut Tape<f64>, x: Var<f64>) -> Var<f64> {
//!     let Var { value, node } = x;
//!     let x = value.clone();
//!     g.record("cube", value.map(|v| v * v * v), &[node], move |dy, slots| {
//!         slots.add(node, || Tensor::from_fn(*dy.shape(), |i| 3.0 * x.data()[i] * x.data()[i] * dy.data()[i]));
//!     })
//! }
//!
//! let mut g = Tape::eval();
//! let x = g.input(Tensor::from_slice([1], &[2.0]));
//! let y = cube(&mut g, x.clone());
//! assert_eq!(y.value.item(), 8.0);
//! assert_eq!(g.backward(&y).of(&x).unwrap().item(), 12.0);
//! ```
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod arena;
pub mod buffer;
mod cut;
mod element;
pub mod elementary;
mod epilogue;
mod finite;
pub mod gemm;
pub mod init;
pub mod memory;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod parallel;
mod param;
pub mod profile;
pub mod random;
pub mod schedule;
mod shape;
pub mod simd;
mod tape;
mod tensor;

pub use element::Element;
pub use epilogue::{Activation, Epilogue};
pub use finite::NotFinite;
pub use memory::OutOfMemory;
pub use optim::{Adam, Optimizer, Rule, Sgd};
pub use param::{Layout, Module, Param, ParamId, Slot, Visitor};
pub use random::Rng;
pub use schedule::{OneCycle, Schedule};
pub use shape::{MAX_RANK, Shape};
pub use tape::{Gradients, NodeId, Slots, Tape, Var};
pub use tensor::Tensor;
