//! Aligned memory that returns to a pool when dropped, so that a training step allocates nothing after the second.
//!
//! Memory is always initialised: fresh memory is zero, memory from the pool holds what its last owner left. A buffer's
//! capacity is its length rounded up to a size class (four to an octave: at most a fifth is wasted); where no block of its class
//! is free, one of up to twice the capacity serves.

use crate::Element;
use crate::parallel::{self, GRAIN};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Alignment in bytes: a cache line, and a vector of AVX-512.
const ALIGN: usize = 64;

/// A free block serves a request that fills at least one part in so many of it.
const PARTS: usize = 2;

/// A huge page, in bytes.
const HUGE: usize = 2 << 20;

/// Asks the system to back whole huge pages of fresh memory with such: their first touch costs one fault and not 512, and
/// they fill one place of the address translation's cache and not 512. A wish: nothing depends on it.
fn prefer_huge_pages(ptr: *mut u8, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if bytes >= HUGE {
        unsafe extern "C" {
            fn madvise(
                addr: *mut std::ffi::c_void,
                length: usize,
                advice: std::ffi::c_int,
            ) -> std::ffi::c_int;
        }
        const MADV_HUGEPAGE: std::ffi::c_int = 14;
        // SAFETY: the range was just allocated, and begins at a page; the advice changes no contents.
        unsafe { madvise(ptr.cast(), bytes, MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (ptr, bytes);
}

/// The capacity, in elements, for a length: the next of 4, 5, 6, 7 times a power of two, at least 16.
fn size_class(len: usize) -> usize {
    if len <= 16 {
        return 16;
    }
    let step = (len.next_power_of_two() / 8).max(1);
    len.div_ceil(step) * step
}

struct Memory<E> {
    ptr: NonNull<E>,
    capacity: usize,
}

// SAFETY: it owns its memory, as a Vec does.
unsafe impl<E: Send> Send for Memory<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Memory<E> {}

impl<E: Element> Memory<E> {
    fn layout(capacity: usize) -> Layout {
        let bytes = capacity.checked_mul(size_of::<E>()).expect("tensor larger than the address space");
        let align = if bytes >= HUGE { HUGE } else { ALIGN };
        Layout::from_size_align(bytes, align).expect("tensor larger than the address space")
    }

    fn new(capacity: usize) -> Self {
        let layout = Self::layout(capacity);
        // SAFETY: the layout's size is not 0 (capacity is at least 16).
        let ptr = unsafe { alloc(layout) };
        let ptr = NonNull::new(ptr).unwrap_or_else(|| handle_alloc_error(layout));
        prefer_huge_pages(ptr.as_ptr(), layout.size());
        // SAFETY: just allocated with this size; zero bytes are a valid f32 or f64.
        unsafe { ptr.as_ptr().write_bytes(0, layout.size()) };
        let ptr = ptr.cast::<E>();
        Memory { ptr, capacity }
    }

    fn free(self) {
        // SAFETY: allocated in `new` with the same layout; `self` is consumed.
        unsafe { dealloc(self.ptr.as_ptr().cast(), Self::layout(self.capacity)) }
    }
}

/// Counts of a pool's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Buffers asked of the system since the start.
    pub allocations: usize,
    /// Bytes held now, in use or waiting.
    pub bytes: usize,
    /// Bytes in use now.
    pub in_use: usize,
    /// The most bytes in use at any time.
    pub peak: usize,
}

/// Free buffers by capacity.
pub struct Pool<E> {
    free: Mutex<BTreeMap<usize, Vec<Memory<E>>>>,
    allocations: AtomicUsize,
    bytes: AtomicUsize,
    in_use: AtomicUsize,
    peak: AtomicUsize,
}

impl<E: Element> Default for Pool<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Element> Pool<E> {
    /// An empty pool.
    pub const fn new() -> Self {
        Pool {
            free: Mutex::new(BTreeMap::new()),
            allocations: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            in_use: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Vec<Memory<E>>>> {
        // The map is whole at every unlock, also after a panic elsewhere.
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take(&self, capacity: usize) -> Memory<E> {
        let memory = self.reuse(capacity).unwrap_or_else(|| {
            self.allocations.fetch_add(1, Relaxed);
            self.bytes.fetch_add(capacity * size_of::<E>(), Relaxed);
            Memory::new(capacity)
        });
        let size = memory.capacity * size_of::<E>();
        let used = self.in_use.fetch_add(size, Relaxed) + size;
        self.peak.fetch_max(used, Relaxed);
        memory
    }

    /// The smallest free block that is large enough, and not so large that most of it would lie idle.
    fn reuse(&self, capacity: usize) -> Option<Memory<E>> {
        let mut free = self.lock();
        let (&fitting, blocks) = free.range_mut(capacity..=capacity.saturating_mul(PARTS)).next()?;
        let memory = blocks.pop();
        if blocks.is_empty() {
            free.remove(&fitting);
        }
        memory
    }

    fn put(&self, memory: Memory<E>) {
        self.in_use.fetch_sub(memory.capacity * size_of::<E>(), Relaxed);
        self.lock().entry(memory.capacity).or_default().push(memory);
    }

    /// Gives all free memory back to the system.
    pub fn trim(&self) {
        for memory in std::mem::take(&mut *self.lock()).into_values().flatten() {
            self.bytes.fetch_sub(memory.capacity * size_of::<E>(), Relaxed);
            memory.free();
        }
    }

    /// The counts.
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            allocations: self.allocations.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            in_use: self.in_use.load(Relaxed),
            peak: self.peak.load(Relaxed),
        }
    }
}

/// A block of elements, aligned to 64 bytes; a slice in all else.
pub struct Buffer<E: Element = f32> {
    memory: Memory<E>,
    len: usize,
}

impl<E: Element> Buffer<E> {
    /// `len` elements of unspecified (but initialised) value: for what is written before it is read.
    pub fn stale(len: usize) -> Self {
        Buffer { memory: E::pool().take(size_class(len)), len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut b = Self::stale(len);
        b.fill(E::ZERO);
        b
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
        // SAFETY: len <= capacity, all initialised.
        unsafe { std::slice::from_raw_parts(self.memory.ptr.as_ptr(), self.len) }
    }
}

impl<E: Element> DerefMut for Buffer<E> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [E] {
        // SAFETY: len <= capacity, all initialised; &mut self is unique.
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
        let memory = Memory { ptr: self.memory.ptr, capacity: self.memory.capacity };
        E::pool().put(memory);
    }
}

/// An integer that [`Packed`] holds.
pub trait Word: Copy + Send + Sync + 'static + private::Sealed {}
impl Word for u8 {}
impl Word for u32 {}

mod private {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u32 {}
}

/// Integers in pooled memory: what backward keeps of an argmax. A slice in all else.
pub struct Packed<T: Word> {
    memory: Buffer<f32>,
    len: usize,
    word: std::marker::PhantomData<T>,
}

impl<T: Word> Packed<T> {
    /// `len` integers of unspecified (but initialised) value.
    pub fn stale(len: usize) -> Self {
        let memory = Buffer::stale((len * size_of::<T>()).div_ceil(size_of::<f32>()));
        Packed { memory, len, word: std::marker::PhantomData }
    }
}

impl<T: Word> Deref for Packed<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the memory is aligned to 64 bytes, initialised and holds len words; any bits are a word.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

impl<T: Word> DerefMut for Packed<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, any bits are an f32, and &mut self is unique.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_at_most_a_quarter() {
        for len in 1..100_000 {
            let c = size_class(len);
            assert!(c >= len && (len < 16 || c * 4 <= len * 5 + 4), "{len} {c}");
            assert_eq!(size_class(c), c);
        }
    }

    #[test]
    fn a_free_block_serves_what_fills_half_of_it() {
        let pool = Pool::<f32>::new();
        let [large, small] = [1024, 512].map(|n| pool.take(n));
        let place = large.ptr;
        pool.put(large);
        let counts = |pool: &Pool<f32>| (pool.stats().allocations, pool.stats().in_use / size_of::<f32>());
        assert_eq!(counts(&pool), (2, 512));
        // Less than half: a block of its own.
        let tiny = pool.take(448);
        assert_eq!(counts(&pool), (3, 512 + 448));
        let half = pool.take(512);
        assert_eq!((half.ptr, half.capacity), (place, 1024));
        assert_eq!(counts(&pool), (3, 512 + 448 + 1024));
        [small, tiny, half].into_iter().for_each(|m| pool.put(m));
        assert_eq!(counts(&pool), (3, 0));
        // Of several that are large enough, the smallest.
        let fitting = pool.take(448);
        assert_eq!(fitting.capacity, 448);
        pool.put(fitting);
        pool.trim();
        assert_eq!(pool.stats().bytes, 0);
    }

    #[test]
    fn buffers_are_aligned_and_return() {
        // A length no other test uses.
        let n = 12_345_679;
        let a = Buffer::<f64>::zeros(n);
        let p = a.as_ptr() as usize;
        assert_eq!(p % ALIGN, 0);
        drop(a);
        assert_eq!(Buffer::<f64>::stale(n - 1).as_ptr() as usize, p);
    }
}
