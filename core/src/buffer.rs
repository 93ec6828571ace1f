//! Aligned memory that returns to its arena when dropped, so that a training step allocates nothing after the
//! second.
//!
//! Memory is always initialised: fresh memory is zero, memory from the arena holds what its last owner left.

use crate::arena::Memory;
pub use crate::arena::{Arena, ArenaStats};
use crate::element::Element;
use crate::memory::OutOfMemory;
use crate::parallel::{self, GRAIN};
use std::ops::{Deref, DerefMut};

/// A block of elements, aligned to 64 bytes; a slice in all else.
pub struct Buffer<E: Element = f32> {
    memory: Memory<E>,
    len: usize,
}

impl<E: Element> Buffer<E> {
    /// `len` elements of unspecified (but initialised) value: for what is written before it is read. Panics
    /// where there is no memory for them.
    #[track_caller]
    pub fn stale(len: usize) -> Self {
        Self::try_stale(len).unwrap_or_else(|| {
            let what = format!("no memory for {len} numbers of {}", E::NAME);
            OutOfMemory::panic(what, len as f64 * size_of::<E>() as f64)
        })
    }

    /// As [`Buffer::stale`], or `None` where there is no memory for them.
    pub fn try_stale(len: usize) -> Option<Self> {
        Some(Buffer { memory: E::arena().take(len)?, len })
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self::full(len, E::ZERO)
    }

    /// `len` times one value.
    #[track_caller]
    pub fn full(len: usize, value: E) -> Self {
        Self::stale(len).filled(value)
    }

    /// One value everywhere.
    pub(crate) fn filled(mut self, value: E) -> Self {
        // Inside of shared work the other threads have pieces of their own.
        if parallel::is_worker() {
            self.fill(value);
        } else {
            parallel::chunks(&mut self, GRAIN, |_, to| to.fill(value));
        }
        self
    }

    /// A copy of a slice.
    pub fn copy_of(data: &[E]) -> Self {
        let mut b = Self::stale(data.len());
        parallel::chunks(&mut b, GRAIN, |i, to| to.copy_from_slice(&data[i * GRAIN..][..to.len()]));
        b
    }
}

impl<E: Element> Deref for Buffer<E> {
    type Target = [E];
    #[inline(always)]
    fn deref(&self) -> &[E] {
        // SAFETY: the memory was taken for len elements, is initialised, and belongs to this buffer alone
        // until it is dropped.
        unsafe { std::slice::from_raw_parts(self.memory.ptr.as_ptr(), self.len) }
    }
}

impl<E: Element> DerefMut for Buffer<E> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [E] {
        // SAFETY: as in `deref`; &mut self is the only reference to it.
        unsafe { std::slice::from_raw_parts_mut(self.memory.ptr.as_ptr(), self.len) }
    }
}

impl<E: Element> Clone for Buffer<E> {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl<E: Element> Drop for Buffer<E> {
    fn drop(&mut self) {
        E::arena().put(&self.memory);
    }
}

/// to += from, as far as the shorter goes.
#[inline]
pub(crate) fn add_to<E: Element>(to: &mut [E], from: &[E]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
}

/// An integer that [`Indices`] holds.
pub trait Word: Copy + Send + Sync + 'static + private::Sealed {}
impl Word for u8 {}
impl Word for u32 {}

mod private {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u32 {}
}

/// Integers in an arena's memory: what backward keeps of an argmax. A slice in all else.
pub struct Indices<T: Word> {
    memory: Buffer<f32>,
    len: usize,
    word: std::marker::PhantomData<T>,
}

impl<T: Word> Indices<T> {
    /// `len` integers of unspecified (but initialised) value.
    pub fn stale(len: usize) -> Self {
        let memory = Buffer::stale((len * size_of::<T>()).div_ceil(size_of::<f32>()));
        Indices { memory, len, word: std::marker::PhantomData }
    }
}

impl<T: Word> Deref for Indices<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `stale` took memory for len words, it is initialised and aligned to 64 bytes, and any bits
        // are a word, since T is u8 or u32 ([`Word`] is sealed).
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

impl<T: Word> DerefMut for Indices<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; &mut self is the only reference to it, and whatever is written is an f32
        // again.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned() {
        // More than a huge page, which an interpreter would be at for minutes.
        let many = if cfg!(miri) { 40_000 } else { 1_234_567 };
        for n in [1, 15, 16, 17, 12_345, many] {
            let [a, b] = [Buffer::<f64>::zeros(n), Buffer::stale(n)];
            assert!(a.iter().all(|&x| x == 0.0) && a.len() == n && b.len() == n);
            assert!(Buffer::full(n, 1.5).iter().all(|&x| x == 1.5));
            assert!([a, b].iter().all(|x| x.as_ptr().addr().is_multiple_of(64)));
        }
    }
}
