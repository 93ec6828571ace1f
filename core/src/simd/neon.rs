//! NEON: 8 lanes of f32 in two registers, tails by small copies.
//!
//! A register holds 4 lanes, and there are 32 of them. Kernels see 16 vectors of 8 lanes, as on AVX2, because
//! they ask that a tile has no more rows than a vector has lanes; the instructions are those of 4 lanes.

use super::vector::Simd;
use std::arch::aarch64::*;

/// Stands for NEON, which every processor has that this module is compiled for; `dispatch` makes it.
#[derive(Clone, Copy)]
pub struct Neon(pub(super) ());

const LANES: usize = 8;

/// Methods of the token that are an instruction for each half, such as `add(a, b) = vaddq_f32;`.
macro_rules! halves {
    ($($method:ident($($x:ident),*) = $instruction:ident;)*) => { $(
        #[inline(always)]
        fn $method(self, $($x: Self::V),*) -> Self::V {
            // SAFETY: the module is compiled where NEON is.
            unsafe { [$instruction($($x[0]),*), $instruction($($x[1]),*)] }
        }
    )* };
}

// SAFETY of every block below: the module is compiled where NEON is. Those that take a pointer touch the
// elements that the method's contract names, `p .. p + 8` or `p .. p + n`, and no others.
#[allow(unused_unsafe)] // Since Rust 1.87 most of these are safe where NEON is.
impl Simd<f32> for Neon {
    type V = [float32x4_t; 2];
    type M = [uint32x4_t; 2];
    const LANES: usize = LANES;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        unsafe { [vdupq_n_f32(x); 2] }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        unsafe { [vld1q_f32(p), vld1q_f32(p.add(4))] }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        unsafe {
            vst1q_f32(p, v[0]);
            vst1q_f32(p.add(4), v[1]);
        }
    }
    #[inline(always)]
    unsafe fn load_n(self, p: *const f32, n: usize) -> Self::V {
        let mut v = [0.0; LANES];
        unsafe {
            std::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), n.min(LANES));
            self.load(v.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, v: Self::V, n: usize) {
        let mut lanes = [0.0; LANES];
        unsafe {
            self.store(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n.min(LANES));
        }
    }
    halves! {
        add(a, b) = vaddq_f32;
        sub(a, b) = vsubq_f32;
        mul(a, b) = vmulq_f32;
        div(a, b) = vdivq_f32;
        sqrt(a) = vsqrtq_f32;
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }
    /// By comparison: the instruction for it takes NaN from either side, and +0 for the greater zero.
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.gt(a, b), a, b)
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.gt(b, a), a, b)
    }
    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> Self::M {
        unsafe { [vcgtq_f32(a[0], b[0]), vcgtq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V {
        unsafe { [vbslq_f32(m[0], a[0], b[0]), vbslq_f32(m[1], a[1], b[1])] }
    }
}
