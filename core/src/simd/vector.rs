//! What a kernel is, and what it may do with vectors.

use std::ops::AddAssign;

/// Asks for a line of memory to be brought into the first cache; any address will do.
#[inline(always)]
pub(crate) fn prefetch<E>(p: *const E) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction; it touches nothing and faults nowhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// As [`prefetch`], into the second cache.
#[inline(always)]
pub(crate) fn prefetch_far<E>(p: *const E) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as in `prefetch`.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// A computation that can be compiled for each instruction set. Mark `run` with `#[inline(always)]`.
pub trait Kernel<E> {
    /// What it returns.
    type Output;
    /// The computation.
    fn run<S: Simd<E>>(self, s: S) -> Self::Output;
}

/// A token that stands for an instruction set, and the vectors it works on.
///
/// A token exists only where its instructions do, so that its methods are safe. Those that take raw pointers
/// are not: each of them says which elements must be readable or writable.
pub trait Simd<E>: Copy + Send + Sync + 'static {
    /// A vector of `LANES` elements.
    type V: Copy;
    /// A truth value a lane.
    type M: Copy;
    /// The elements of a vector.
    const LANES: usize;
    /// The vectors that registers hold.
    const REGISTERS: usize;

    /// x in every lane.
    fn splat(self, x: E) -> Self::V;
    /// Reads `LANES` elements.
    ///
    /// # Safety
    /// `p .. p + LANES` is readable; no alignment is needed.
    unsafe fn load(self, p: *const E) -> Self::V;
    /// Writes `LANES` elements.
    ///
    /// # Safety
    /// `p .. p + LANES` is writable; no alignment is needed.
    unsafe fn store(self, p: *mut E, v: Self::V);
    /// As `store`, for results that are larger than the caches and so are not read from them: past the
    /// caches, where p is aligned, without reading the line first. [`Simd::fence`] must follow before another
    /// thread may read it.
    ///
    /// # Safety
    /// As `store`.
    #[inline(always)]
    unsafe fn stream(self, p: *mut E, v: Self::V) {
        // SAFETY: `p .. p + LANES` is writable by the contract, which is that of `store`.
        unsafe { self.store(p, v) }
    }
    /// Orders what was streamed before what follows.
    #[inline(always)]
    fn fence(self) {}
    /// Reads n <= LANES elements; the other lanes are 0, and their memory is not touched.
    ///
    /// # Safety
    /// n <= LANES, and `p .. p + n` is readable.
    unsafe fn load_n(self, p: *const E, n: usize) -> Self::V;
    /// Writes the first n <= LANES lanes; the memory behind them is not touched.
    ///
    /// # Safety
    /// n <= LANES, and `p .. p + n` is writable.
    unsafe fn store_n(self, p: *mut E, v: Self::V, n: usize);

    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a b + c, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The greater; b where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lesser; b where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The square root, correctly rounded.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// a > b, false for NaN.
    fn gt(self, a: Self::V, b: Self::V) -> Self::M;
    /// a where m, else b.
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// Writes the transpose of a LANES x LANES block: dst[i·dst_ld + j] = src[j·src_ld + i].
    ///
    /// # Safety
    /// Rows `src + j·src_ld .. + LANES` are readable, rows `dst + i·dst_ld .. + LANES` writable, for all i,
    /// j < LANES, and no row of the one overlaps a row of the other.
    #[inline(always)]
    unsafe fn transpose(self, src: *const E, src_ld: usize, dst: *mut E, dst_ld: usize) {
        for i in 0..Self::LANES {
            for j in 0..Self::LANES {
                // SAFETY: since i, j < LANES, both are elements of the rows that the contract names.
                unsafe { std::ptr::copy_nonoverlapping(src.add(j * src_ld + i), dst.add(i * dst_ld + j), 1) }
            }
        }
    }
    /// The sum of the lanes of N / LANES vectors: the second half of them is added to the first until one is
    /// left. With one N for every instruction set the bits are the same on all, whatever their LANES. Nothing
    /// else adds lanes to each other. Panics where there are more or fewer vectors.
    #[inline(always)]
    fn sum<const N: usize>(self, vectors: &[Self::V]) -> E
    where
        E: Copy + Default + AddAssign,
    {
        assert!(vectors.len() * Self::LANES == N && N.is_power_of_two());
        let mut sums = [E::default(); N];
        for (i, &v) in vectors.iter().enumerate() {
            self.write(&mut sums[i * Self::LANES..], v);
        }
        let mut half = N / 2;
        while half > 0 {
            let (first, second) = sums.split_at_mut(half);
            for i in 0..half {
                first[i] += second[i];
            }
            half /= 2;
        }
        sums[0]
    }

    /// 0 in every lane.
    #[inline(always)]
    fn zero(self) -> Self::V
    where
        E: Default,
    {
        self.splat(E::default())
    }

    /// The first LANES elements of a slice. Panics if it is shorter.
    #[inline(always)]
    fn read(self, s: &[E]) -> Self::V {
        assert!(s.len() >= Self::LANES);
        // SAFETY: by the assertion the slice holds LANES elements.
        unsafe { self.load(s.as_ptr()) }
    }

    /// Writes the first LANES elements of a slice. Panics if it is shorter.
    #[inline(always)]
    fn write(self, s: &mut [E], v: Self::V) {
        assert!(s.len() >= Self::LANES);
        // SAFETY: by the assertion the slice holds LANES elements.
        unsafe { self.store(s.as_mut_ptr(), v) }
    }

    /// A slice's first min(LANES, len) elements, else 0.
    #[inline(always)]
    fn read_tail(self, s: &[E]) -> Self::V {
        // SAFETY: n is no more than LANES, nor than the slice's length.
        unsafe { self.load_n(s.as_ptr(), s.len().min(Self::LANES)) }
    }

    /// Writes a slice's first min(LANES, len) elements.
    #[inline(always)]
    fn write_tail(self, s: &mut [E], v: Self::V) {
        // SAFETY: n is no more than LANES, nor than the slice's length.
        unsafe { self.store_n(s.as_mut_ptr(), v, s.len().min(Self::LANES)) }
    }
}

/// Methods of a token that are an instruction each, such as `add(a, b) = _mm256_add_ps;`.
#[cfg(target_arch = "x86_64")]
macro_rules! instructions {
    ($($method:ident($($x:ident),*) = $instruction:ident;)*) => { $(
        #[inline(always)]
        fn $method(self, $($x: Self::V),*) -> Self::V {
            // SAFETY: a token is had only where the processor has its instructions.
            unsafe { $instruction($($x),*) }
        }
    )* };
}
#[cfg(target_arch = "x86_64")]
pub(super) use instructions;
