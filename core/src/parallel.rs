//! Work that is spread over threads.
//!
//! The bits of a result may not depend on how many threads made it. Sums are therefore cut by the shape of
//! the work alone; which thread makes which part is free. Without the feature `rayon` the calling thread does
//! the same pieces one after the other.
//!
//! rayon's own iterators let a caller from outside of its pool sleep while others work. Here the caller takes
//! part: it forms a team with helpers from the pool and begins at once, while the helpers wake each other in
//! a tree. Each member first does a share of neighbouring pieces, because who made the neighbours of what it
//! made before finds them in its cache, and then takes pieces of the others' shares until none is left. A
//! helper that wakes late costs no more than the work it did not do. Whoever has to wait for its team may
//! help another one meanwhile. A thread from outside of the pool, such as the one that loads images ahead, is
//! a member of its own team beside the threads that were asked for.

use std::cell::Cell;
use std::ops::Range;

/// Below this many elements of light work, threads cost more than they give. Not tuned: reading and
/// writing so many takes a few microseconds, and waking a thread that sleeps took 28 where that was measured.
pub const GRAIN: usize = 16 * 1024;

thread_local! {
    /// Whether this thread is at a piece of shared work.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// The number of threads that work is spread over.
pub fn threads() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}

/// Whether the calling thread is at a piece of shared work. What it shares out in turn may find no helper,
/// since all of them are at pieces of their own.
pub fn is_worker() -> bool {
    AT_WORK.get()
}

/// Marks the thread as being at a piece of shared work, until it is dropped.
struct AtWork {
    before: bool,
}

impl AtWork {
    fn new() -> Self {
        AtWork { before: AT_WORK.replace(true) }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.before);
    }
}

/// Calls `f(i)` for each i in 0..n, in any order, on all threads.
pub fn for_each(n: usize, f: impl Fn(usize) + Send + Sync) {
    #[cfg(feature = "rayon")]
    if n > 1 && threads() > 1 {
        return team::share(n, &f);
    }
    let _at_work = (n > 1).then(AtWork::new);
    (0..n).for_each(f);
}

#[cfg(feature = "rayon")]
mod team {
    use super::AtWork;
    use crate::cut;
    use std::hint::spin_loop;
    use std::ops::Range;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// How often the caller looks whether its helpers are done before it goes to sleep: tens of microseconds,
    /// about what waking up takes (28 were measured). The number itself was not tuned.
    const LOOKS: usize = 1000;
    /// In how many turns a member takes its share, where the pieces are many. Measured: 16 are as good.
    const TURNS: usize = 64;

    struct Team<'a> {
        f: &'a (dyn Fn(usize) + Sync),
        /// The consecutive pieces that each member does first.
        shares: Vec<Share>,
        /// How many helpers have begun and are not done.
        busy: AtomicUsize,
    }

    /// The pieces of a member. Members count in their shares all the time, so that each has cache lines of
    /// its own, two because processors fetch them in pairs.
    #[repr(align(128))]
    struct Share {
        /// The first piece that nobody took.
        next: AtomicUsize,
        end: usize,
        /// How many pieces are taken at once.
        turn: usize,
    }

    /// Calls `f` for each of 0..pieces, more than one, on the calling thread and others.
    pub fn share(pieces: usize, f: &(dyn Fn(usize) + Sync)) {
        let members = super::threads().min(pieces);
        let share = |m: usize| {
            let Range { start, end } = cut::share(m, members, pieces);
            Share { next: AtomicUsize::new(start), end, turn: ((end - start) / TURNS).max(1) }
        };
        let team = Team { f, shares: (0..members).map(share).collect(), busy: AtomicUsize::new(0) };
        rayon::in_place_scope(|scope| {
            team.call(scope, 1..members);
            team.work(0);
            // Whoever sleeps must be woken, which takes its time, so that it pays to look for a while first.
            // Inside of other shared work it does not: those who could help may all be busy there.
            if !super::is_worker() {
                let done = |_: &usize| team.busy.load(Relaxed) == 0;
                (0..LOOKS).inspect(|_| spin_loop()).find(done);
            }
        });
    }

    impl Team<'_> {
        /// Wakes these helpers: the first, who wakes the others in two halves before it begins to work.
        fn call<'s>(&'s self, scope: &rayon::Scope<'s>, members: Range<usize>) {
            if members.is_empty() {
                return;
            }
            scope.spawn(move |scope| {
                let (me, others) = (members.start, members.start + 1..members.end);
                if self.shares.iter().all(Share::is_empty) {
                    return;
                }
                self.busy.fetch_add(1, Relaxed);
                let middle = others.start + others.len() / 2;
                self.call(scope, others.start..middle);
                self.call(scope, middle..others.end);
                self.work(me);
                self.busy.fetch_sub(1, Relaxed);
            });
        }

        /// Does pieces until there are none: those of the member's own share, then those that the next
        /// members left.
        fn work(&self, me: usize) {
            let _at_work = AtWork::new();
            let (before, own) = self.shares.split_at(me);
            own.iter().chain(before).for_each(|share| share.work(self.f));
        }
    }

    impl Share {
        fn is_empty(&self) -> bool {
            self.next.load(Relaxed) >= self.end
        }

        fn work(&self, f: &dyn Fn(usize)) {
            while !self.is_empty() {
                let first = self.next.fetch_add(self.turn, Relaxed);
                (first..self.end.min(first + self.turn)).for_each(f);
            }
        }
    }
}

/// Calls `f(range)` for consecutive ranges of at most `piece` that cover 0..n.
pub fn ranges(n: usize, piece: usize, f: impl Fn(Range<usize>) + Send + Sync) {
    let piece = piece.max(1);
    for_each(n.div_ceil(piece), |i| f(i * piece..n.min((i + 1) * piece)));
}

/// Calls `f(i, chunk)` for the consecutive chunks of `piece` elements (the last may be shorter).
pub fn chunks<T: Send>(data: &mut [T], piece: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let (len, piece) = (data.len(), piece.max(1));
    let data = Shared::new(data);
    for_each(len.div_ceil(piece), |i| {
        // SAFETY: the ranges of different i do not overlap, and `for_each` calls each i once.
        f(i, unsafe { data.slice(i * piece..len.min((i + 1) * piece)) })
    });
}

/// `f(i)` for each i in 0..n, in order of i.
pub fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    let mut results: Vec<Option<T>> = (0..n).map(|_| None).collect();
    chunks(&mut results, 1, |i, result| result[0] = Some(f(i)));
    results.into_iter().flatten().collect()
}

/// A slice that several threads write to, each at places of its own.
#[derive(Clone, Copy)]
pub struct Shared<'a, T> {
    ptr: *mut T,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, which may go to another thread where T may. Elements are reached
// through it by `slice`, `part` and the raw pointer alone, and whoever uses these answers for it that no two
// threads meet.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above: a shared reference gives no more than a copy does.
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
        // SAFETY: the range lies in the slice by the assertion, and by the contract no other reference to any
        // of its elements is alive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.end - range.start) }
    }

    /// A part of it, for shared writing as well. Panics if the range is outside.
    ///
    /// # Safety
    /// Whoever reads or writes through this part, and whoever does through the whole or another part
    /// that overlaps it, keep to different elements.
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

/// Calls `f` on so many threads.
#[cfg(all(test, feature = "rayon"))]
pub(crate) fn on<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

#[cfg(all(test, feature = "rayon"))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn counts(n: usize) -> Vec<usize> {
        let counts: Vec<_> = (0..n).map(|_| AtomicUsize::new(0)).collect();
        for_each(n, |i| {
            counts[i].fetch_add(1, SeqCst);
        });
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    /// So many pieces, but fewer where they are interpreted.
    fn pieces(n: usize) -> usize {
        if cfg!(miri) { n.min(12) } else { n }
    }

    #[test]
    fn each_piece_is_done_once() {
        let affordable = |n: &usize| pieces(*n) == *n;
        for n in [0, 1, 2, 3, 5, 17, 64, 1000, 4099].into_iter().filter(affordable) {
            // From outside of the pool, too.
            assert_eq!(counts(n), vec![1; n]);
            for threads in [1, 2, 3, 16].into_iter().filter(affordable) {
                assert_eq!(on(threads, || counts(n)), vec![1; n], "{n} pieces, {threads} threads");
            }
        }
    }

    #[test]
    fn results_stand_in_order_and_chunks_cover() {
        for threads in [1, 2, 5] {
            on(threads, || {
                assert_eq!(
                    map(pieces(1001), |i| i * i),
                    (0..pieces(1001)).map(|i| i * i).collect::<Vec<_>>()
                );
                let mut data = vec![0; 103];
                chunks(&mut data, 10, |i, c| c.iter_mut().enumerate().for_each(|(j, x)| *x = 10 * i + j));
                assert_eq!(data, (0..103).collect::<Vec<_>>());
                let seen = Shared::new(&mut data);
                // SAFETY: ranges are apart.
                ranges(103, 7, |r| unsafe { seen.slice(r.clone()) }.iter_mut().for_each(|x| *x += r.len()));
                assert_eq!(data.iter().sum::<usize>(), 103 * 102 / 2 + 98 * 7 + 5 * 5);
            });
        }
    }

    #[test]
    fn shared_work_may_share_its_own() {
        let (outer, inner) = (pieces(20), pieces(50));
        let sums = |_| map(inner, |i| map(i, |j| j).iter().sum::<usize>());
        let want: Vec<usize> = (0..inner).map(|i| i * i.saturating_sub(1) / 2).collect();
        for threads in [1, 2, 3] {
            assert_eq!(on(threads, || map(outer, sums)), vec![want.clone(); outer]);
        }
    }

    #[test]
    fn a_panic_reaches_whoever_shared_the_work_out_and_the_threads_go_on() {
        for threads in [1, 2, 4] {
            on(threads, || {
                let bad = catch_unwind(AssertUnwindSafe(|| for_each(100, |i| assert_ne!(i, 61))));
                assert!(bad.is_err() && !is_worker());
                assert_eq!(counts(100), [1; 100]);
            });
        }
    }

    #[test]
    fn threads_know_whether_they_are_at_shared_work() {
        for threads in [1, 2, 4] {
            on(threads, || {
                assert!(!is_worker());
                for_each(40, |_| assert!(is_worker()));
                // One piece is not shared.
                for_each(1, |_| assert!(!is_worker()));
                assert!(!is_worker());
            });
        }
    }
}
