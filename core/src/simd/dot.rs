//! Dot products of pairs of bf16 on vectors (AVX512-BF16): the product of tiles (`amx`), for processors
//! without a tile unit.
//!
//! `vdpbf16ps c, a, b` adds to c_j first a_2j+1 b_2j+1 and then a_2j b_2j, each by a fused multiply-add;
//! rounding is to nearest, subnormal numbers count as 0 (Intel, "Architecture instruction set extensions
//! programming reference", ch. 2). A sum over k steps is thus a chain of at most 32⌈k/32⌉ fused
//! multiply-adds, of which those beyond k add 0: within γ_k Σ|a||b|.

use super::amx::{Job, TILE};
use std::arch::x86_64::*;

/// Rows whose sums stay in registers together: with two vectors each 16 chains, more than the latency asks
/// for.
const GROUP: usize = 8;

/// out = left · right over the chunks, for `rows` rows (the last group of 8 filled up) and `vectors` vectors
/// of 16 columns. What lies beyond them in `out` is left as it was.
///
/// # Safety
/// The processor has AVX512-BF16. There are at most 32 rows, and one vector or two. For each number
/// q of `chunks` the 2·TILE bytes of `left` from q·2·TILE on are readable, and the vectors·TILE bytes of
/// `right` from q·vectors·TILE on. `out` has 32·32 numbers, which nobody else reads or writes meanwhile.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) unsafe fn dot_product(job: Job<'_>, rows: usize, vectors: usize) {
    debug_assert!(rows <= 32 && (1..=2).contains(&vectors));
    for first in (0..rows).step_by(GROUP) {
        // SAFETY: first < rows <= 32 is a multiple of GROUP, and V is `vectors`; the rest is this function's
        // own contract.
        unsafe {
            match vectors {
                1 => group::<1>(job, first),
                _ => group::<2>(job, first),
            }
        }
    }
}

/// Rows `first .. first + GROUP`.
///
/// # Safety
/// As for [`dot_product`] of V vectors; `first` is a multiple of GROUP below 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn group<const V: usize>(job: Job<'_>, first: usize) {
    let mut sums = [[_mm512_setzero_ps(); V]; GROUP];
    for &chunk in job.chunks {
        // SAFETY: `left` is read at rows first + i < 32 of the chunk's 32 rows of 16 pairs, 64 bytes each,
        // and `right` at t < 16 of the 16 rows of each of the chunk's V tiles.
        unsafe {
            let left = job.left.add(chunk as usize * 2 * TILE + first * 64).cast::<i32>();
            let right = job.right.add(chunk as usize * V * TILE);
            for t in 0..16 {
                let mut b = [_mm512_setzero_ps(); V];
                for v in 0..V {
                    b[v] = _mm512_loadu_ps(right.add(v * TILE + t * 64).cast());
                }
                for i in 0..GROUP {
                    let pair = pairs(_mm512_castsi512_ps(_mm512_set1_epi32(*left.add(i * 16 + t))));
                    for v in 0..V {
                        sums[i][v] = _mm512_dpbf16_ps(sums[i][v], pair, pairs(b[v]));
                    }
                }
            }
        }
    }
    for (i, row) in sums.iter().enumerate() {
        for (v, &sum) in row.iter().enumerate() {
            // SAFETY: row first + i < 32 of `out` has 32 numbers, and v < V <= 2 vectors of 16 are within.
            unsafe { _mm512_storeu_ps(job.out.add((first + i) * 32 + v * 16), sum) };
        }
    }
}

/// The same bits, as pairs of bf16.
#[inline(always)]
fn pairs(x: __m512) -> __m512bh {
    // SAFETY: both types are 64 bytes, and any bits are a value of either.
    unsafe { std::mem::transmute(x) }
}
