//! The engine of pairs: products of bf16 by tiles (AMX), or by dot products on vectors (AVX512-BF16).
//!
//! A product of two numbers of bf16 is exact in f32. Tiles make of a chunk of 32 steps two chains of at most
//! 16 fused multiply-adds, add them (1), and add that to the sum (1 a chunk): with u = 2⁻²⁴ a sum of k
//! products is within γ_n Σ|a||b|, n = min(k, 16) + 2⌈k/32⌉, of the sum of the rounded products, and n <= k
//! from 18 steps on. Dot products make one chain of at most 32⌈k/32⌉ multiply-adds, of which those beyond k
//! add 0: within γ_k. Subnormal numbers count as 0.

pub(super) mod pack;

use super::kernel::{MAX_MR, MAX_PACKED, Panel, RowStrip, Target, finish};
use super::plan::{CHUNK, PAIR_ROWS, PairUnit};
use super::sweep::Sweep;
use crate::simd::amx::{self, ConfiguredTiles};
use crate::simd::avx512::Avx512;
use crate::simd::{Simd, dot, prefetch};
use pack::{PairedRows, panel_len};

/// The sums of 32 rows and 32 columns.
#[repr(C, align(64))]
struct Sums([f32; PAIR_ROWS * 32]);

/// Multiplies rows by panels.
///
/// # Safety
/// The rows and the panels' columns lie in C and in the epilogue's parts, and nobody else writes them
/// meanwhile. Panels are of a right operand that lives. The processor has AVX-512 and the unit.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn sweep(unit: PairUnit, sweep: Sweep<'_, f32>) {
    let &Sweep { plan, a, block, panels, k, .. } = &sweep;
    let mr = if a.packed() { MAX_PACKED } else { MAX_MR };
    let mut strips: [RowStrip<f32>; PAIR_ROWS / MAX_MR] = std::array::from_fn(|_| RowStrip::new());
    let depth = block.depth();
    let (first_chunk, shift) = (k / CHUNK, k % CHUNK);
    let chunks = (shift + depth).div_ceil(CHUNK);
    let (mut left, mut live) = (PairedRows::new(chunks), Vec::with_capacity(chunks));
    let mut sums = Sums([0.0; PAIR_ROWS * 32]);
    // SAFETY: the processor has the instructions, and this function alone configures tiles. Strips have the
    // block's steps for `mr` rows each, at most 32 together; `left` has the block's chunks, as each panel has
    // from the first of them on; the sums are 32 rows of 32; rows and columns of the targets are those of the
    // contract.
    unsafe {
        let s = Avx512::assume();
        let _tiles = (unit == PairUnit::Tiles).then(|| ConfiguredTiles::configure());
        for first in sweep.rows.clone().step_by(PAIR_ROWS) {
            let count = PAIR_ROWS.min(sweep.rows.end - first);
            let strips = &mut strips[..count.div_ceil(mr)];
            strips.iter_mut().for_each(RowStrip::clear);
            let target =
                |g: usize| sweep.out.target(first + g * MAX_MR, MAX_MR.min(count.saturating_sub(g * MAX_MR)));
            let targets: [_; PAIR_ROWS / MAX_MR] = std::array::from_fn(target);
            if depth > 0 {
                a.strips(plan.isa, first, count, mr, block, strips);
            }
            left.fill(strips, (a.packed(), mr), (shift, depth), &mut live);
            for panel in panels {
                fetch(&targets, panel);
                let right = panel.ptr.wrapping_add(panel_len(first_chunk * CHUNK, panel.vectors));
                let job = amx::Job {
                    left: left.as_ptr(),
                    right: right.cast(),
                    chunks: &live,
                    out: sums.0.as_mut_ptr(),
                };
                match unit {
                    PairUnit::Tiles => amx::tile_product(job, count.div_ceil(16), panel.vectors),
                    PairUnit::Dots => dot::dot_product(job, count, panel.vectors),
                }
                for (g, target) in targets.iter().enumerate().take(count.div_ceil(MAX_MR)) {
                    finish_stored(s, sums.0.as_ptr().add(g * MAX_MR * 32), panel, target);
                }
            }
        }
    }
}

/// Asks for the places of a panel's results.
fn fetch(targets: &[Target<'_, f32>], panel: &Panel<f32>) {
    for row in targets.iter().flat_map(|target| &target.results[..target.height]) {
        prefetch(row.wrapping_add(panel.col));
        prefetch(row.wrapping_add(panel.col + panel.cols - 1));
    }
}

/// Finishes at most MAX_MR rows of one or two vectors, whose sums lie in memory, rows of 32.
///
/// # Safety
/// MAX_MR·32 sums are readable; the panel and the target are as for [`finish`].
#[inline(always)]
unsafe fn finish_stored(s: Avx512, sums: *const f32, b: &Panel<f32>, c: &Target<'_, f32>) {
    // SAFETY: the panel has one vector or two, and `stored` reads those of MAX_MR rows of 32.
    unsafe {
        match b.vectors {
            1 => finish::<_, _, MAX_MR, 1>(s, stored(s, sums), b, c),
            _ => finish::<_, _, MAX_MR, 2>(s, stored(s, sums), b, c),
        }
    }
}

/// The first NV vectors of MAX_MR rows of 32 sums.
///
/// # Safety
/// NV is 1 or 2, and MAX_MR·32 sums are readable.
#[inline(always)]
unsafe fn stored<const NV: usize>(s: Avx512, sums: *const f32) -> [[<Avx512 as Simd<f32>>::V; NV]; MAX_MR] {
    let mut acc = [[s.zero(); NV]; MAX_MR];
    for i in 0..MAX_MR {
        for v in 0..NV {
            // SAFETY: i < MAX_MR and v < NV <= 2: the vector lies in row i of 32 sums.
            acc[i][v] = unsafe { s.load(sums.add(i * 32 + v * 16)) };
        }
    }
    acc
}
