//! Work spread over threads, cut by the shape of the work and never by the number of threads, so that results have
//! the same bits on any number of them. Without the feature `rayon` the same pieces run one after the other.

use std::ops::Range;

/// Below this many elements of light work, threads cost more than they give.
pub const GRAIN: usize = 16 * 1024;

/// The number of threads that work is spread over.
pub fn threads() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}

/// Whether the caller is one of the threads that work is spread over.
pub fn is_worker() -> bool {
    #[cfg(feature = "rayon")]
    return rayon::current_thread_index().is_some();
    #[cfg(not(feature = "rayon"))]
    false
}

/// Calls `f(i)` for each i in 0..n, in any order, on all threads.
pub fn for_each(n: usize, f: impl Fn(usize) + Send + Sync) {
    #[cfg(feature = "rayon")]
    if n > 1 {
        use rayon::prelude::*;
        (0..n).into_par_iter().for_each(f);
        return;
    }
    (0..n).for_each(f);
}

/// Calls `f(range)` for consecutive ranges of at most `piece` that cover 0..n.
pub fn ranges(n: usize, piece: usize, f: impl Fn(Range<usize>) + Send + Sync) {
    let piece = piece.max(1);
    for_each(n.div_ceil(piece), |i| f(i * piece..n.min((i + 1) * piece)));
}

/// Calls `f(i, chunk)` for the consecutive chunks of `piece` elements (the last may be shorter).
pub fn chunks<T: Send>(data: &mut [T], piece: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let piece = piece.max(1);
    #[cfg(feature = "rayon")]
    if data.len() > piece {
        use rayon::prelude::*;
        data.par_chunks_mut(piece).enumerate().for_each(|(i, c)| f(i, c));
        return;
    }
    data.chunks_mut(piece).enumerate().for_each(|(i, c)| f(i, c));
}

/// `f(i)` for each i in 0..n, in order of i.
pub fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    #[cfg(feature = "rayon")]
    if n > 1 {
        use rayon::prelude::*;
        return (0..n).into_par_iter().map(f).collect();
    }
    (0..n).map(f).collect()
}

/// A slice that threads write to at places that the caller keeps apart.
#[derive(Clone, Copy)]
pub struct Shared<'a, T> {
    ptr: *mut T,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`; `slice` hands its disjointness to the caller.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Borrows a slice for shared writing.
    pub fn new(data: &'a mut [T]) -> Self {
        Shared { ptr: data.as_mut_ptr(), len: data.len(), life: std::marker::PhantomData }
    }

    /// A part of it. Panics if the range is outside.
    ///
    /// # Safety
    /// No other part that overlaps this range is alive on any thread.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part outside of the slice");
        // SAFETY: in bounds by the assertion; the caller keeps parts apart.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.end - range.start) }
    }

    /// A part of it, for shared writing as well. Panics if the range is outside.
    ///
    /// # Safety
    /// Nothing outside of the part is written through it, and users of overlapping parts keep apart.
    pub unsafe fn part(&self, range: Range<usize>) -> Shared<'a, T> {
        assert!(range.start <= range.end && range.end <= self.len, "part outside of the slice");
        Shared { ptr: self.ptr.wrapping_add(range.start), len: range.end - range.start, life: self.life }
    }

    /// The first element's address, for kernels that compute their own bounds.
    #[inline(always)]
    pub fn as_mut_ptr(&self) -> *mut T {
        self.ptr
    }

    /// The number of elements.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
