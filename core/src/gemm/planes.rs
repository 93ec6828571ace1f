//! Products of f32 on the tile unit, which multiplies bf16 alone.
//!
//! Every f32 is a sum of three numbers of bf16 (8 significant bits each): x = x₁ + x₂ + x₃, x₁ nearest to x, x₂ nearest to
//! x - x₁, x₃ the rest, so that |x₂| <= 2⁻⁸|x| and |x₃| <= 2⁻¹⁶|x|. Products of bf16 are exact in f32. Of the nine in a·b six are
//! summed, a₁b₁ + (a₁b₂ + a₂b₁) + (a₁b₃ + a₂b₂ + a₃b₁); what is left out is below 2⁻²³|a b| (Henry, Tang, Heinecke, "Leveraging
//! the bfloat16 artificial intelligence datatype for higher-precision computations", 2019).
//!
//! With u = 2⁻²⁴ a sum of k products is within γ_n Σ|a||b|, n = min(k, 16) + 7⌈k/32⌉ + 4, of the true one. A chunk of 32 steps is six
//! tile products: each makes chains of at most 16 fused multiply-adds, adds two of them (1), and adds that to the sum (6 a
//! chunk); what is left out is below 2u. The six planes' products are at most 1.016 |a b| together, which the seventh a chunk
//! and the last 1 cover. From 35 steps on that is less than γ_k, the bound of k multiply-adds one after the other; shallower
//! products are left to vectors (`suited`). Numbers beyond 3.39·10³⁸, infinities and NaN give NaN; below 10⁻³³ the small planes are
//! subnormal and count as 0.
//!
//! In mixed precision one product of bf16 makes a number: on tiles, or by dot products on vectors (`dot`), which read the same chunks.
//!
//! Depth is cut into chunks of 32. In a chunk element t < 16 of a row stands beside element t + 16, in one word: so that
//! both operands are made by shifts and masks alone. Chunks are counted from the beginning of the whole depth, whoever packs
//! and wherever its block begins: which steps share a chunk makes the bits.

use super::Matrix;
use super::drive::Sweep;
use super::precision::Precision;
use super::tile::{MAX_MR, MAX_PACKED, Panel, Strip, Target, finish};
use crate::Element;
use crate::buffer::Buffer;
use crate::simd::amx::{self, Product, TILE, Tiles};
use crate::simd::avx512::Avx512;
use crate::simd::{Isa, Simd, dot, prefetch};
use std::any::TypeId;
use std::arch::x86_64::*;

/// Steps of depth that one instruction takes.
pub(super) const CHUNK: usize = 32;
/// Rows that are multiplied together.
pub(super) const ROWS: usize = 32;
/// Vectors of columns that are multiplied together.
pub(super) const VECTORS: usize = 2;

/// The summands of a number in products of E on this instruction set, in mixed precision the first alone; 0 where the
/// products are not made here.
pub(super) fn of<E: Element>(isa: Isa) -> usize {
    match (Precision::get(), isa) {
        _ if TypeId::of::<E>() != TypeId::of::<f32>() => 0,
        (Precision::F32, Isa::Amx) => 3,
        (Precision::Bf16, Isa::Amx | Isa::Avx512Bf16) => 1,
        _ => 0,
    }
}

/// The f32 that a packed panel takes for `depth` rows of so many vectors.
pub(super) const fn panel_len(planes: usize, depth: usize, vectors: usize) -> usize {
    depth.div_ceil(CHUNK) * vectors * planes * (TILE / 4)
}

/// The high halves of words.
const HIGH: i32 = 0xffff_0000_u32 as i32;

/// The planes of 16 numbers, each in the high half of its word. Of NaN the first plane is NaN, whatever its lower bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn split<const P: usize>(x: __m512) -> [__m512i; P] {
    let nearest = |x: __m512i| {
        _mm512_and_si512(_mm512_add_epi32(x, _mm512_set1_epi32(0x8000)), _mm512_set1_epi32(HIGH))
    };
    let mut planes = [_mm512_setzero_si512(); P];
    let mut rest = x;
    for plane in &mut planes {
        *plane = nearest(_mm512_castps_si512(rest));
        rest = _mm512_sub_ps(rest, _mm512_castsi512_ps(*plane));
    }
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
    planes[0] = _mm512_mask_mov_epi32(planes[0], nan, _mm512_set1_epi32(f32::NAN.to_bits() as i32));
    planes
}

/// Numbers t and t + 16 in word t, plane by plane, `plane` words of 16 bits apart.
///
/// # Safety
/// 64 bytes are writable at `to` and in each plane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn store_pairs<const P: usize>(low: __m512, high: __m512, to: *mut u16, plane: usize) {
    let (low, high) = (split::<P>(low), split::<P>(high));
    for p in 0..P {
        // (low >> 16) | (high & HIGH)
        let pair = _mm512_ternarylogic_epi32::<0xf8>(
            _mm512_srli_epi32::<16>(low[p]),
            high[p],
            _mm512_set1_epi32(HIGH),
        );
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.add(p * plane).cast(), pair) };
    }
}

/// As [`store_pairs`], of the numbers t (or t + 16, if `upper`) alone, and of those in the mask alone.
///
/// # Safety
/// As there; other threads may write other halves of the same words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn store_some<const P: usize>(x: __m512, mask: __mmask16, upper: bool, to: *mut u16, plane: usize) {
    // Bit t to bit 2t.
    let mut m = u32::from(mask);
    for (shift, keep) in [(8, 0x00ff_00ff), (4, 0x0f0f_0f0f), (2, 0x3333_3333), (1, 0x5555_5555)] {
        m = (m | m << shift) & keep;
    }
    for (p, x) in split::<P>(x).into_iter().enumerate() {
        let (x, m) = if upper { (x, m << 1) } else { (_mm512_srli_epi32::<16>(x), m) };
        // SAFETY: the caller's.
        unsafe { _mm512_mask_storeu_epi16(to.add(p * plane).cast(), m, x) };
    }
}

/// A mask of lanes from .. from + n.
fn lanes(from: usize, n: usize) -> __mmask16 {
    (((1u32 << n) - 1) << from) as __mmask16
}

/// Packs a block as rows `at .. at + rows` of a panel of so many vectors. The rest of its last vector is 0.
///
/// # Safety
/// The panel holds the rows, and no other call writes them. The machine has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn pack_right_of<const P: usize>(src: &Matrix<'_, f32>, at: usize, vectors: usize, panel: *mut f32) {
    // SAFETY: the caller's.
    let s = unsafe { Avx512::assume() };
    let plane = vectors * TILE / 2;
    let end = at + src.rows;
    let mut copy = [0f32; CHUNK * 16];
    for chunk in at / CHUNK..end.div_ceil(CHUNK) {
        let (from, to) =
            (at.max(chunk * CHUNK) - chunk * CHUNK, end.min((chunk + 1) * CHUNK) - chunk * CHUNK);
        let row = chunk * CHUNK + from - at;
        for v in 0..vectors {
            let n = src.cols.saturating_sub(16 * v).min(16);
            // SAFETY: rows row .. row + to - from and n columns from 16 v on lie in the block.
            unsafe {
                let dst = panel.cast::<u16>().add(chunk * P * plane + v * TILE / 2);
                let (mut block, mut ld) = (src.data.as_ptr().wrapping_add(row * src.ld + 16 * v), src.ld);
                if src.transposed {
                    let base = src.data.as_ptr().wrapping_add(16 * v * src.ld + row);
                    transpose_into(s, base, src.ld, to - from, n, &mut copy);
                    (block, ld) = (copy.as_ptr(), 16);
                }
                let mask = lanes(0, n);
                if to - from == CHUNK {
                    for t in 0..16 {
                        let (low, high) = (block.wrapping_add(t * ld), block.wrapping_add((t + 16) * ld));
                        if !src.transposed {
                            prefetch(low.wrapping_add(CHUNK * ld));
                            prefetch(high.wrapping_add(CHUNK * ld));
                        }
                        let low = _mm512_maskz_loadu_ps(mask, low);
                        let high = _mm512_maskz_loadu_ps(mask, high);
                        store_pairs::<P>(low, high, dst.add(t * 32), plane);
                    }
                } else {
                    for t in from..to {
                        let x = _mm512_maskz_loadu_ps(mask, block.wrapping_add((t - from) * ld));
                        store_some::<P>(x, 0xffff, t >= 16, dst.add(t % 16 * 32), plane);
                    }
                }
            }
        }
    }
}

/// As [`pack_right_of`], of so many planes.
///
/// # Safety
/// As there.
pub(super) unsafe fn pack_right(
    planes: usize,
    src: &Matrix<'_, f32>,
    at: usize,
    vectors: usize,
    panel: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        match planes {
            1 => pack_right_of::<1>(src, at, vectors, panel),
            _ => pack_right_of::<3>(src, at, vectors, panel),
        }
    }
}

/// copy[t·16 + j] = src[j·ld + t] for t < rows <= 32, j < cols <= 16.
///
/// # Safety
/// They are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn transpose_into(
    s: Avx512,
    src: *const f32,
    ld: usize,
    rows: usize,
    cols: usize,
    copy: &mut [f32; CHUNK * 16],
) {
    for t in (0..rows).step_by(16) {
        // SAFETY: the caller's; the copy has 32 rows of 16.
        unsafe {
            if cols == 16 && t + 16 <= rows {
                s.transpose(src.add(t), ld, copy.as_mut_ptr().add(t * 16), 16);
            } else {
                for t in t..rows.min(t + 16) {
                    for j in 0..cols {
                        copy[t * 16 + j] = *src.add(j * ld + t);
                    }
                }
            }
        }
    }
}

/// Clears what no row of B fills of a panel's last chunk.
///
/// # Safety
/// The panel holds `depth` rows of so many vectors.
pub(super) unsafe fn clear_last(planes: usize, panel: *mut f32, depth: usize, vectors: usize) {
    if !depth.is_multiple_of(CHUNK) {
        let (before, all) =
            (panel_len(planes, depth / CHUNK * CHUNK, vectors), panel_len(planes, depth, vectors));
        // SAFETY: the caller's.
        unsafe { panel.add(before).write_bytes(0, all - before) };
    }
}

/// 32 rows of the left operand over a block of depth: [chunk][plane][2][16 rows][32].
struct Left<const P: usize> {
    words: *mut u16,
}

impl<const P: usize> Left<P> {
    /// The u16 of a chunk, and of a plane.
    const CHUNK: usize = P * Self::PLANE;
    const PLANE: usize = TILE;

    /// Where a row begins in a chunk.
    #[inline(always)]
    fn row(&self, chunk: usize, row: usize) -> *mut u16 {
        self.words.wrapping_add(chunk * Self::CHUNK + row * 32)
    }

    /// Writes elements k .. k + len of a row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn put_run(&self, row: usize, k: usize, src: *const f32, len: usize) {
        let mut t = 0;
        while t < len {
            let (chunk, at) = ((k + t) / CHUNK, (k + t) % CHUNK);
            let to = self.row(chunk, row);
            // SAFETY: the caller's: the run is readable, the chunk is there.
            unsafe {
                if at == 0 && len - t >= CHUNK {
                    let (low, high) = (_mm512_loadu_ps(src.add(t)), _mm512_loadu_ps(src.add(t + 16)));
                    store_pairs::<P>(low, high, to, Self::PLANE);
                    t += CHUNK;
                } else {
                    let lane = at % 16;
                    let n = (16 - lane).min(len - t);
                    let mask = lanes(lane, n);
                    let x = _mm512_maskz_loadu_ps(mask, src.wrapping_add(t).wrapping_sub(lane));
                    store_some::<P>(x, mask, at >= 16, to, Self::PLANE);
                    t += n;
                }
            }
        }
    }

    /// Writes elements k .. k + len of rows row .. row + 16, from src[t·16 + i].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn put_columns(&self, s: Avx512, row: usize, k: usize, src: *const f32, len: usize) {
        let mut rows = [0f32; 16 * CHUNK];
        let mut t = 0;
        while t < len {
            let (chunk, at) = ((k + t) / CHUNK, (k + t) % CHUNK);
            // SAFETY: the caller's: the columns are readable, the chunk is there.
            unsafe {
                if at == 0 && len - t >= CHUNK {
                    for half in 0..2 {
                        s.transpose(
                            src.add((t + 16 * half) * 16),
                            16,
                            rows.as_mut_ptr().add(16 * half),
                            CHUNK,
                        );
                    }
                    for i in 0..16 {
                        let low = _mm512_loadu_ps(rows.as_ptr().add(i * CHUNK));
                        let high = _mm512_loadu_ps(rows.as_ptr().add(i * CHUNK + 16));
                        store_pairs::<P>(low, high, self.row(chunk, row + i), Self::PLANE);
                    }
                    t += CHUNK;
                } else {
                    let lane = at % 16;
                    let n = (16 - lane).min(len - t);
                    let mut steps = [0f32; 16 * 16];
                    src.add(t * 16).copy_to_nonoverlapping(steps.as_mut_ptr().add(lane * 16), n * 16);
                    s.transpose(steps.as_ptr(), 16, rows.as_mut_ptr(), CHUNK);
                    for i in 0..16 {
                        let x = _mm512_loadu_ps(rows.as_ptr().add(i * CHUNK));
                        store_some::<P>(x, lanes(lane, n), at >= 16, self.row(chunk, row + i), Self::PLANE);
                    }
                    t += n;
                }
            }
        }
    }

    /// Clears some rows of all chunks.
    unsafe fn clear(&self, rows: std::ops::Range<usize>, chunks: usize) {
        for chunk in 0..chunks {
            for plane in 0..P {
                let to = self.row(chunk, rows.start).wrapping_add(plane * Self::PLANE);
                // SAFETY: the caller's: rows and chunks are there.
                unsafe { to.write_bytes(0, rows.len() * 32) };
            }
        }
    }
}

/// Writes strips of `mr` rows each, and lists the chunks that any of them fills.
///
/// # Safety
/// The strips are readable; the left operand holds `chunks` chunks, of which the strips fill steps `shift ..
/// shift + depth`, and no others.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
#[allow(clippy::too_many_arguments)]
unsafe fn fill<const P: usize>(
    left: &Left<P>,
    strips: &[Strip<f32>],
    packed: bool,
    mr: usize,
    shift: usize,
    depth: usize,
    chunks: usize,
    live: &mut Vec<u32>,
) {
    live.clear();
    let mut all = false;
    let mut seen = vec![false; chunks];
    // SAFETY: the caller's.
    unsafe {
        let s = Avx512::assume();
        for (j, strip) in strips.iter().enumerate() {
            if strip.segments.iter().map(|s| s.len).sum::<usize>() == depth {
                all = true;
            } else {
                left.clear(j * mr..(j + 1) * mr, chunks);
            }
            for (q, segment) in strip.segments.iter().enumerate() {
                let k = shift + segment.k;
                if packed {
                    left.put_columns(s, j * mr, k, strip.addresses[q], segment.len);
                } else {
                    for i in 0..mr {
                        // The next row, until the processor sees that it is a run.
                        for line in (0..segment.len.min(128)).step_by(16) {
                            let next = strip.addresses[q * mr + (i + 1) % mr];
                            prefetch(next.wrapping_add(line));
                        }
                        left.put_run(j * mr + i, k, strip.addresses[q * mr + i], segment.len);
                    }
                }
                seen[k / CHUNK..(k + segment.len).div_ceil(CHUNK)].fill(true);
            }
        }
    }
    live.extend((0..chunks as u32).filter(|&c| all || seen[c as usize]));
}

/// Finishes at most MAX_MR rows of one or two vectors, whose sums lie in memory, rows `ld` apart.
///
/// # Safety
/// The sums are readable; the panel and the target are as for [`finish`].
#[inline(always)]
unsafe fn finish_stored<S: Simd<E>, E: Element>(
    s: S,
    sums: *const E,
    ld: usize,
    b: &Panel<E>,
    c: &Target<'_, E>,
) {
    // SAFETY: the caller's.
    unsafe {
        match b.vectors {
            1 => finish::<S, E, MAX_MR, 1>(s, stored(s, sums, ld), b, c),
            _ => finish::<S, E, MAX_MR, 2>(s, stored(s, sums, ld), b, c),
        }
    }
}

#[inline(always)]
unsafe fn stored<S: Simd<E>, E: Element, const NV: usize>(
    s: S,
    sums: *const E,
    ld: usize,
) -> [[S::V; NV]; MAX_MR] {
    let mut acc = [[s.zero(); NV]; MAX_MR];
    for i in 0..MAX_MR {
        for v in 0..NV {
            // SAFETY: the caller's.
            acc[i][v] = unsafe { s.load(sums.add(i * ld + v * S::LANES)) };
        }
    }
    acc
}

#[repr(C, align(64))]
struct Sums([f32; ROWS * 32]);

impl<E: Element> Sweep<'_, E> {
    /// Rows by panels, over one block of the depth.
    ///
    /// # Safety
    /// As for a sweep; E is f32, and the machine has what `of` says.
    #[inline(always)]
    pub(super) unsafe fn run_on_tiles<S: Simd<E>>(self, s: S) {
        // SAFETY: the caller's.
        unsafe {
            match self.b.planes() {
                1 => self.on_tiles::<S, 1>(s),
                _ => self.on_tiles::<S, 3>(s),
            }
        }
    }

    #[inline(always)]
    unsafe fn on_tiles<S: Simd<E>, const P: usize>(self, s: S) {
        let packed = self.a.packed();
        let mr = if packed { MAX_PACKED } else { MAX_MR };
        let mut strips: [Strip<E>; ROWS / MAX_MR] = std::array::from_fn(|_| Strip::new());
        let panels = self.panels();
        let depth = self.block.depth();
        let (first_chunk, shift) = (self.k / CHUNK, self.k % CHUNK);
        let chunks = (shift + depth).div_ceil(CHUNK);
        let mut buffer = Buffer::<f32>::stale(chunks.max(1) * Left::<P>::CHUNK / 2);
        let left = Left::<P> { words: buffer.as_mut_ptr().cast() };
        let (mut live, mut sums) = (Vec::with_capacity(chunks), Sums([0.0; ROWS * 32]));
        // SAFETY: the caller's; the buffer holds its chunks; sweeps that run together write distinct rows or columns.
        unsafe {
            // Steps before and behind the block's, in its first and last chunk, are never written again.
            if chunks > 0 {
                left.clear(0..ROWS, 1);
                Left::<P> { words: left.row(chunks - 1, 0) }.clear(0..ROWS, 1);
            }
            let tiles = (self.b.isa() == Isa::Amx).then(|| Tiles::configure());
            for first in self.rows.clone().step_by(ROWS) {
                let count = ROWS.min(self.rows.end - first);
                let strips = &mut strips[..count.div_ceil(mr)];
                strips.iter_mut().for_each(Strip::clear);
                let target = |g: usize| {
                    Target::new(&self.out, first + g * MAX_MR, MAX_MR.min(count.saturating_sub(g * MAX_MR)))
                };
                let targets: [_; ROWS / MAX_MR] = std::array::from_fn(target);
                if depth > 0 {
                    self.a.strips(self.b.isa(), first, count, mr, self.block, strips);
                }
                let strips = &*(std::ptr::from_ref(strips) as *const [Strip<f32>]);
                fill(&left, strips, packed, mr, shift, depth, chunks, &mut live);
                for panel in &panels {
                    let right = panel.ptr.wrapping_add(panel_len(P, first_chunk * CHUNK, panel.vectors));
                    for target in &targets {
                        for row in &target.results[..target.height] {
                            prefetch(row.wrapping_add(panel.col));
                            prefetch(row.wrapping_add(panel.col + panel.cols - 1));
                        }
                    }
                    let job = Product {
                        left: left.words.cast(),
                        right: right.cast(),
                        chunks: &live,
                        out: sums.0.as_mut_ptr(),
                    };
                    match tiles {
                        Some(_) => amx::multiply(job, P, count.div_ceil(16), panel.vectors),
                        None => dot::multiply(job, count, panel.vectors),
                    }
                    for (g, target) in targets.iter().enumerate().take(count.div_ceil(MAX_MR)) {
                        let sums = sums.0.as_ptr().add(g * MAX_MR * 32).cast::<E>();
                        finish_stored(s, sums, 32, panel, target);
                    }
                }
            }
        }
    }
}
