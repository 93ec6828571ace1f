//! Vectors of E, and the choice of the instruction set at run time.
//!
//! A kernel is a struct with one generic method: `run<S: Simd<E>>(self, s: S)`. [`Element::dispatch`] calls
//! it with the best token `S` of this machine inside a function compiled for that instruction set; because
//! `run` and every method of a token are `#[inline(always)]`, the whole kernel is compiled for it. A token
//! can only be had there, so that its methods are safe to call. Closures are compiled without the instruction
//! set: a kernel uses none, works on slices, and runs on one thread; threads are outside.
//!
//! [`Element::dispatch`]: crate::Element::dispatch

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod dispatch;
#[cfg(target_arch = "x86_64")]
pub(crate) mod dot;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod neon;
mod portable;
#[cfg(test)]
mod tests;
mod vector;

pub use dispatch::{Isa, isa};
pub(crate) use dispatch::{dispatch_f32_on, dispatch_f64_on};
pub use portable::Portable;
pub use vector::{Kernel, Simd};
pub(crate) use vector::{prefetch, prefetch_far};
