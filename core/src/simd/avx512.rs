//! AVX-512 (F, BW, DQ, VL): 16 lanes of f32, tails by masks.

use super::vector::{Simd, instructions};
use std::arch::x86_64::*;

/// Proof that AVX-512 F, BW, DQ, VL may be used: `dispatch` makes one, once it has found them on this
/// processor.
#[derive(Clone, Copy)]
pub struct Avx512(pub(super) ());

impl Avx512 {
    /// The token, for kernels that were chosen by their instruction set and not by `dispatch`.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ and VL.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Avx512(())
    }
}

/// Ones for the first n lanes, n <= 16.
#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY of every block below: the token proves that the processor has the instructions. Those that take a
// pointer touch the elements that the method's contract names, `p .. p + 16` or `p .. p + n`, and no others:
// a lane that is masked out is neither read nor written.
impl Simd<f32> for Avx512 {
    type V = __m512;
    type M = __mmask16;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: __m512) {
        if p.addr().is_multiple_of(64) {
            unsafe { _mm512_stream_ps(p, v) }
        } else {
            unsafe { _mm512_storeu_ps(p, v) }
        }
    }
    #[inline(always)]
    fn fence(self) {
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    unsafe fn load_n(self, p: *const f32, n: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, v: __m512, n: usize) {
        unsafe { _mm512_mask_storeu_ps(p, mask(n), v) }
    }
    instructions! {
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        div(a, b) = _mm512_div_ps;
        fma(a, b, c) = _mm512_fmadd_ps;
        max(a, b) = _mm512_max_ps;
        min(a, b) = _mm512_min_ps;
        sqrt(a) = _mm512_sqrt_ps;
    }

    #[inline(always)]
    fn gt(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(m, b, a) }
    }
    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_ld: usize, dst: *mut f32, dst_ld: usize) {
        // Pairs of rows are interleaved first, then fours, then all sixteen.
        // SAFETY: rows j of the source and 4 q + c of the result, all below 16 = LANES, are those of the
        // contract.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (j, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(src.add(j * src_ld));
            }
            let mut pairs = rows;
            for j in (0..16).step_by(2) {
                pairs[j] = _mm512_unpacklo_ps(rows[j], rows[j + 1]);
                pairs[j + 1] = _mm512_unpackhi_ps(rows[j], rows[j + 1]);
            }
            // Quarter q of fours[4 g + c]: column 4 q + c of the rows 4 g .. 4 g + 4.
            let mut fours = rows;
            for g in (0..16).step_by(4) {
                for h in 0..2 {
                    let (a, b) = (_mm512_castps_pd(pairs[g + h]), _mm512_castps_pd(pairs[g + h + 2]));
                    fours[g + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    fours[g + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
            }
            for c in 0..4 {
                const EVEN: i32 = 0b10_00_10_00;
                const ODD: i32 = 0b11_01_11_01;
                let [a, b, d, e] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
                let (even, even_below) =
                    (_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(d, e));
                let (odd, odd_below) = (_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(d, e));
                for (q, column) in [
                    _mm512_shuffle_f32x4::<EVEN>(even, even_below),
                    _mm512_shuffle_f32x4::<EVEN>(odd, odd_below),
                    _mm512_shuffle_f32x4::<ODD>(even, even_below),
                    _mm512_shuffle_f32x4::<ODD>(odd, odd_below),
                ]
                .into_iter()
                .enumerate()
                {
                    _mm512_storeu_ps(dst.add((4 * q + c) * dst_ld), column);
                }
            }
        }
    }
}
