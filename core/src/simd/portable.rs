//! Vectors as arrays, on any machine and for any element: loops of fixed length that LLVM vectorises.
//!
//! Each lane's arithmetic is IEEE 754's, and so are its bits: those of every other instruction set.

use super::vector::Simd;

/// The token of the portable path: always at hand.
#[derive(Clone, Copy)]
pub struct Portable;

const LANES: usize = 8;

#[inline(always)]
fn map<E: Copy>(a: [E; LANES], b: [E; LANES], f: impl Fn(E, E) -> E) -> [E; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

macro_rules! portable {
    ($t:ident) => {
        impl Simd<$t> for Portable {
            type V = [$t; LANES];
            type M = [bool; LANES];
            const LANES: usize = LANES;
            const REGISTERS: usize = 8;

            #[inline(always)]
            fn splat(self, x: $t) -> Self::V {
                [x; LANES]
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $t) -> Self::V {
                // SAFETY: `p .. p + LANES` is readable by the contract; no alignment is asked for.
                unsafe { p.cast::<[$t; LANES]>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t, v: Self::V) {
                // SAFETY: `p .. p + LANES` is writable by the contract; no alignment is asked for.
                unsafe { p.cast::<[$t; LANES]>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn load_n(self, p: *const $t, n: usize) -> Self::V {
                let mut v = [0.0; LANES];
                // SAFETY: `p .. p + n` is readable by the contract, and v has LANES >= n.min(LANES) elements.
                unsafe { std::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), n.min(LANES)) }
                v
            }
            #[inline(always)]
            unsafe fn store_n(self, p: *mut $t, v: Self::V, n: usize) {
                // SAFETY: `p .. p + n` is writable by the contract, and v has LANES >= n.min(LANES) elements.
                unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), p, n.min(LANES)) }
            }
            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                map(a, b, |x, y| x + y)
            }
            #[inline(always)]
            fn sub(self, a: Self::V, b: Self::V) -> Self::V {
                map(a, b, |x, y| x - y)
            }
            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                map(a, b, |x, y| x * y)
            }
            #[inline(always)]
            fn div(self, a: Self::V, b: Self::V) -> Self::V {
                map(a, b, |x, y| x / y)
            }
            #[inline(always)]
            fn fma(self, a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
                // No closure: it would be compiled without FMA, and call the C library, wherever it is not
                // inlined.
                for i in 0..LANES {
                    c[i] = a[i].mul_add(b[i], c[i]);
                }
                c
            }
            #[inline(always)]
            fn max(self, a: Self::V, b: Self::V) -> Self::V {
                map(a, b, |x, y| if x > y { x } else { y })
            }
            #[inline(always)]
            fn min(self, a: Self::V, b: Self::V) -> Self::V {
                map(a, b, |x, y| if x < y { x } else { y })
            }
            #[inline(always)]
            fn sqrt(self, a: Self::V) -> Self::V {
                a.map($t::sqrt)
            }
            #[inline(always)]
            fn gt(self, a: Self::V, b: Self::V) -> Self::M {
                std::array::from_fn(|i| a[i] > b[i])
            }
            #[inline(always)]
            fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| if m[i] { a[i] } else { b[i] })
            }
        }
    };
}

portable!(f32);
portable!(f64);
