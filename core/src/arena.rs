//! Memory that is asked of the system in large chunks and handed out in ranges.
//!
//! A training step asks for the same buffers again and again, from some bytes to hundreds of megabytes. Kept
//! in classes of size, each would lie idle until its own size is asked for again: a step of Faster R-CNN held
//! 2365 MiB so, of which 1697 were ever in use at once. Here a request takes the smallest free range that
//! holds it, the first of several equal ones, and leaves the rest of it free; a range that comes back is
//! joined to its free neighbours (best fit with coalescing: Knuth, "The art of computer programming" 1, 2.5).
//! Memory that became free in many pieces can then serve the next large request, whatever was asked for
//! before. Small requests have chunks of their own, because some of them live long and some shortly, and they
//! would cut the large ranges to pieces.
//!
//! Memory is always initialised: fresh memory is zero, and memory that was returned holds what its last owner
//! left there. The part of a chunk that nobody has asked for yet is untouched, and costs no page.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::memory::{self, OutOfMemory};

/// Alignment and unit of all ranges, in bytes: a cache line, and a vector of AVX-512.
const LINE: usize = 64;
/// A huge page, in bytes.
const HUGE: usize = 2 << 20;
/// Requests below this size, in bytes, are small. Never tuned, nor were the sizes of chunks: 128 MiB, and 4
/// MiB for small requests. Miri interprets each element that a test writes, so that there less is large.
const SMALL: usize = if cfg!(miri) { 4 << 10 } else { 256 << 10 };

/// Asks the system to back fresh memory with huge pages. The first touch of one costs one fault where pages
/// of 4 KiB cost 512, and it takes one place in the processor's cache of translated addresses, not 512. The
/// system may decline, and nothing depends on its answer.
fn prefer_huge_pages(ptr: *mut u8, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        unsafe extern "C" {
            fn madvise(
                addr: *mut std::ffi::c_void,
                length: usize,
                advice: std::ffi::c_int,
            ) -> std::ffi::c_int;
        }
        const MADV_HUGEPAGE: std::ffi::c_int = 14;
        // SAFETY: `bytes` bytes from `ptr` on were just allocated, `ptr` is a multiple of a page, and the
        // advice changes no contents.
        unsafe { madvise(ptr.cast(), bytes, MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (ptr, bytes);
}

/// A block of the system's memory.
struct Chunk {
    block: NonNull<u8>,
    layout: Layout,
    /// Where its first whole huge page begins.
    start: NonNull<u8>,
    size: usize,
    /// Bytes from the start on that were ever handed out.
    touched: usize,
}

// SAFETY: it owns its block of memory as a Vec does, and nothing about a block belongs to a thread.
unsafe impl Send for Chunk {}

impl Chunk {
    /// `size` bytes of zeros, or `None` where the system has none.
    fn new(size: usize) -> Option<Chunk> {
        // Zeros come untouched from the system only where it is not asked for an alignment, so that the chunk
        // is aligned by hand.
        let layout = Layout::from_size_align(size.checked_add(HUGE)?, 16).ok()?;
        // SAFETY: the layout's size is HUGE at least, and so not 0.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: `align_offset(HUGE)` is less than HUGE, and the block has HUGE + size bytes.
        let start = unsafe { block.add(block.align_offset(HUGE)) };
        prefer_huge_pages(start.as_ptr(), size);
        Some(Chunk { block, layout, start, size, touched: 0 })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the block was allocated in `new`, with this layout, and is freed here alone.
        unsafe { dealloc(self.block.as_ptr(), self.layout) }
    }
}

/// Where a range begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    chunk: usize,
    offset: usize,
}

/// Some chunks, and what is free of them.
struct Ranges {
    /// The least size of a chunk, in bytes.
    least: usize,
    chunks: Vec<Chunk>,
    /// The free ranges, of which no two are neighbours: how many bytes there are at each place, and the same
    /// ordered by size.
    by_place: BTreeMap<Place, usize>,
    by_size: BTreeSet<(usize, Place)>,
    allocations: usize,
}

impl Ranges {
    const fn new(least: usize) -> Self {
        Ranges {
            least,
            chunks: Vec::new(),
            by_place: BTreeMap::new(),
            by_size: BTreeSet::new(),
            allocations: 0,
        }
    }

    fn add(&mut self, place: Place, size: usize) {
        self.by_place.insert(place, size);
        self.by_size.insert((size, place));
    }

    fn remove(&mut self, place: Place, size: usize) {
        self.by_place.remove(&place);
        self.by_size.remove(&(size, place));
    }

    /// A range of this size, or `None` where none is free and the system has no memory.
    fn take(&mut self, size: usize) -> Option<(Place, NonNull<u8>)> {
        let least = (size, Place { chunk: 0, offset: 0 });
        let found = self.by_size.range(least..).next().copied();
        let (free, place) = found.or_else(|| self.grow(size))?;
        self.remove(place, free);
        if free > size {
            self.add(Place { offset: place.offset + size, ..place }, free - size);
        }
        let chunk = &mut self.chunks[place.chunk];
        if place.offset + size > chunk.touched {
            chunk.touched = place.offset + size;
            self.allocations += 1;
        }
        // SAFETY: a free range lies in its chunk: place.offset + size <= chunk.size.
        Some((place, unsafe { chunk.start.add(place.offset) }))
    }

    /// A new chunk, all of it free: its size and place.
    fn grow(&mut self, size: usize) -> Option<(usize, Place)> {
        let whole = size.checked_next_multiple_of(HUGE)?;
        let chunk = Chunk::new(whole.max(self.least)).or_else(|| Chunk::new(whole))?;
        let found = (chunk.size, Place { chunk: self.chunks.len(), offset: 0 });
        self.chunks.push(chunk);
        self.add(found.1, found.0);
        Some(found)
    }

    /// Takes a range back, and joins it to its free neighbours.
    fn put(&mut self, mut place: Place, mut size: usize) {
        let before = self.by_place.range(..place).next_back().map(|(&p, &n)| (p, n));
        if let Some((p, n)) = before.filter(|&(p, n)| p.chunk == place.chunk && p.offset + n == place.offset)
        {
            self.remove(p, n);
            (place, size) = (p, size + n);
        }
        let after = Place { offset: place.offset + size, ..place };
        if let Some(&n) = self.by_place.get(&after) {
            self.remove(after, n);
            size += n;
        }
        self.add(place, size);
    }

    fn touched(&self) -> usize {
        self.chunks.iter().map(|c| c.touched).sum()
    }
}

/// Counts of an arena's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaStats {
    /// How many requests since the start needed fresh memory.
    pub allocations: usize,
    /// Bytes that were ever handed out, whether they are in use now or free again.
    pub bytes: usize,
    /// Bytes in use now.
    pub in_use: usize,
    /// The most bytes in use at any time.
    pub peak: usize,
}

#[derive(Clone, Copy)]
struct Use {
    now: usize,
    peak: usize,
    /// The most since [`Arena::peak_of`] began.
    lately: usize,
    /// More than so many bytes are refused.
    limit: usize,
}

/// Memory for elements, and what is free of it.
pub struct Arena<E> {
    small: Mutex<Ranges>,
    large: Mutex<Ranges>,
    used: Mutex<Use>,
    element: PhantomData<fn(E)>,
}

impl<E> Default for Arena<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// A lock whose holder panicked is taken all the same: nothing in here panics while its tables are half
/// written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E> Arena<E> {
    /// An empty arena.
    pub const fn new() -> Self {
        Arena {
            small: Mutex::new(Ranges::new(2 * HUGE)),
            large: Mutex::new(Ranges::new(if cfg!(miri) { 2 * HUGE } else { 64 * HUGE })),
            used: Mutex::new(Use { now: 0, peak: 0, lately: 0, limit: usize::MAX }),
            element: PhantomData,
        }
    }

    fn ranges(&self, size: usize) -> MutexGuard<'_, Ranges> {
        lock(if size < SMALL { &self.small } else { &self.large })
    }

    /// Memory for `len` elements, or `None` where the system has none, or more is in use than may be.
    pub(crate) fn take(&self, len: usize) -> Option<Memory<E>> {
        let size = len.max(1).checked_mul(size_of::<E>()).and_then(|n| n.checked_next_multiple_of(LINE))?;
        let (place, ptr) = self.ranges(size).take(size)?;
        let memory = Memory { ptr: ptr.cast(), size, place };
        let mut used = lock(&self.used);
        used.now += size;
        if used.now > used.limit {
            drop(used);
            self.put(&memory);
            return None;
        }
        used.peak = used.peak.max(used.now);
        used.lately = used.lately.max(used.now);
        Some(memory)
    }

    /// Takes memory of this arena back, which its owner does not use from here on.
    pub(crate) fn put(&self, &Memory { size, place, .. }: &Memory<E>) {
        lock(&self.used).now -= size;
        self.ranges(size).put(place, size);
    }

    /// The counts.
    pub fn stats(&self) -> ArenaStats {
        let (allocations, bytes) = [&self.small, &self.large]
            .map(|a| {
                let a = lock(a);
                (a.allocations, a.touched())
            })
            .into_iter()
            .fold((0, 0), |sum, a| (sum.0 + a.0, sum.1 + a.1));
        let Use { now, peak, .. } = *lock(&self.used);
        ArenaStats { allocations, bytes, in_use: now, peak }
    }

    /// What some work returns, and the most bytes that were in use meanwhile beyond those that were before: its
    /// own, where nothing else is at work. Error: it asked for more than `limit` of them, or the system had no
    /// more; then the work ended there. Panics where the work does.
    pub fn peak_of<R>(&self, limit: usize, work: impl FnOnce() -> R) -> Result<(R, usize), OutOfMemory> {
        let (before, outer) = {
            let mut used = lock(&self.used);
            used.lately = used.now;
            let limit = used.now.saturating_add(limit);
            (used.now, std::mem::replace(&mut used.limit, limit))
        };
        let result = panic::catch_unwind(AssertUnwindSafe(|| memory::caught(work)));
        let mut used = lock(&self.used);
        used.limit = outer;
        let most = used.lately - before;
        drop(used);
        result.unwrap_or_else(|panic| panic::resume_unwind(panic)).map(|result| (result, most))
    }
}

/// A range of an arena's memory: initialised, aligned to 64 bytes.
pub(crate) struct Memory<E> {
    pub ptr: NonNull<E>,
    size: usize,
    place: Place,
}

// SAFETY: it owns its range of elements as a Vec does: no other `Memory` has any of them.
unsafe impl<E: Send> Send for Memory<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Memory<E> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    /// Elements of a large request, in f32.
    const LARGE: usize = SMALL / size_of::<f32>();

    fn take(arena: &Arena<f32>, len: usize) -> Memory<f32> {
        arena.take(len).expect("memory")
    }

    fn slice(m: &mut Memory<f32>) -> &mut [f32] {
        // SAFETY: the range belongs to `m`.
        unsafe { std::slice::from_raw_parts_mut(m.ptr.as_ptr(), m.size / size_of::<f32>()) }
    }

    #[test]
    fn the_smallest_free_range_that_holds_it_serves() {
        let arena = Arena::<f32>::new();
        let sizes = [4, 1, 2, 1, 3, 1].map(|n| n * LARGE);
        let held = sizes.map(|n| take(&arena, n));
        let [four, two, three] = [&held[0], &held[2], &held[4]];
        [four, two, three].into_iter().for_each(|m| arena.put(m));
        // Three in the range of three, for all that the range of four comes first; what is left of it then
        // serves.
        let again = [3, 1, 1, 3].map(|n| take(&arena, n * LARGE).ptr);
        // SAFETY: all in one chunk.
        let expected = unsafe { [three.ptr, two.ptr, two.ptr.add(LARGE), four.ptr] };
        assert_eq!(again, expected);
    }

    #[test]
    fn neighbours_are_joined_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let arena = Arena::<f32>::new();
            let parts = [LARGE, 2 * LARGE, 3 * LARGE].map(|n| take(&arena, n));
            let last = take(&arena, LARGE);
            order.into_iter().for_each(|i| arena.put(&parts[i]));
            let whole = take(&arena, 6 * LARGE);
            assert_eq!(whole.ptr, parts[0].ptr, "{order:?}");
            [whole, last].iter().for_each(|m| arena.put(m));
            // And all of it is one free chunk.
            assert_eq!(lock(&arena.large).by_place.len(), 1, "{order:?}");
            assert_eq!(arena.stats().in_use, 0);
        }
    }

    #[test]
    fn counts() {
        let arena = Arena::<f32>::new();
        let counts = |p: &Arena<f32>| {
            let ArenaStats { allocations, bytes, in_use, peak } = p.stats();
            (allocations, [bytes, in_use, peak].map(|n| n / size_of::<f32>()))
        };
        let a = take(&arena, 2 * LARGE);
        assert_eq!(counts(&arena), (1, [2 * LARGE; 3]));
        // A line is the least.
        let b = take(&arena, 1);
        assert_eq!(counts(&arena), (2, [2 * LARGE + 16; 3]));
        arena.put(&a);
        assert_eq!(counts(&arena), (2, [2 * LARGE + 16, 16, 2 * LARGE + 16]));
        // Not fresh; then partly so.
        let c = take(&arena, LARGE);
        assert_eq!(counts(&arena).0, 2);
        let d = take(&arena, 2 * LARGE);
        assert_eq!(counts(&arena), (3, [3 * LARGE + 16; 3]));
        [b, c].iter().for_each(|m| arena.put(m));
        // What work has beyond that which is held, however much was in use at once before.
        let (e, own) = arena
            .peak_of(usize::MAX, || {
                arena.put(&take(&arena, 16));
                take(&arena, 32)
            })
            .unwrap();
        assert_eq!((own, arena.peak_of(0, || ()).unwrap().1), (32 * size_of::<f32>(), 0));
        [d, e].iter().for_each(|m| arena.put(m));
        assert_eq!(counts(&arena).1, [3 * LARGE + 32, 0, 3 * LARGE + 16]);
    }

    #[test]
    fn work_that_needs_more_than_it_may_ends_there() {
        let arena = Arena::<f32>::new();
        let held = take(&arena, 16);
        let within = |limit: usize, len: usize| {
            arena.peak_of(limit * size_of::<f32>(), || {
                arena.put(&take(&arena, 16));
                arena.take(len).map(|memory| arena.put(&memory)).is_some()
            })
        };
        assert_eq!(within(32, 32), Ok((true, 32 * size_of::<f32>())));
        // A line more than may be, whatever was in use before.
        assert!(matches!(within(47, 48), Ok((false, _))));
        // Then there is no limit again, however the work ended.
        let full = || OutOfMemory::panic("work", 1.0);
        assert!(arena.peak_of(64, full).is_err_and(|e| e.to_string().contains("work")));
        assert!(panic::catch_unwind(AssertUnwindSafe(|| arena.peak_of(64, || panic!("other")))).is_err());
        arena.put(&take(&arena, LARGE));
        arena.put(&held);
        assert_eq!(arena.stats().in_use, 0);
    }

    #[test]
    fn memory_is_aligned_zero_when_fresh_and_never_shared() {
        let arena = Arena::<f32>::new();
        let mut rng = Rng::seed(5);
        let mut held: Vec<(Memory<f32>, f32)> = Vec::new();
        let steps = if cfg!(miri) { 40 } else { 4000 };
        for step in 1..=steps {
            if held.len() < 40 && rng.below(100) < 55 {
                let most = if rng.below(2) == 0 { 300 } else { 4 * LARGE };
                let mut memory = take(&arena, 1 + rng.below(most));
                assert!(memory.ptr.as_ptr().addr().is_multiple_of(LINE));
                let data = slice(&mut memory);
                // Zero, or a whole number that a former owner left.
                assert!(data.iter().all(|x| x.fract() == 0.0 && (0.0..step as f32).contains(x)));
                data.fill(step as f32);
                held.push((memory, step as f32));
            } else if !held.is_empty() {
                let (mut memory, stamp) = held.swap_remove(rng.below(held.len()));
                assert!(slice(&mut memory).iter().all(|&x| x == stamp), "someone else wrote to it");
                arena.put(&memory);
            }
        }
        held.iter().for_each(|(m, _)| arena.put(m));
        assert_eq!(arena.stats().in_use, 0);
    }

    #[test]
    fn what_the_system_has_not_is_refused_and_the_arena_goes_on() {
        let arena = Arena::<f64>::new();
        for len in [usize::MAX, usize::MAX / 8, isize::MAX as usize / 8, 1 << 47] {
            assert!(arena.take(len).is_none());
        }
        let memory = arena.take(LARGE).expect("memory");
        assert_eq!(arena.stats().in_use, LARGE * 8);
        arena.put(&memory);
    }
}
