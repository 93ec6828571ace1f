//! bf16 in pairs: how both operands lie in memory.
//!
//! Depth is cut into chunks of 32 steps. In a chunk, element t < 16 of a row stands beside element t + 16, in
//! one word: so that both operands are made by shifts and masks alone. Chunks are counted from the beginning
//! of the whole depth, whoever packs and wherever its block begins: which steps share a chunk makes the bits.
//!
//! A panel of the right operand is [chunk][vector][16 words of t][16 columns], its last chunk filled up with
//! zeros; 32 rows of the left one are [chunk][row][16 words of t].

use crate::buffer::Buffer;
use crate::gemm::kernel::RowStrip;
use crate::gemm::matrix::Matrix;
use crate::gemm::plan::{CHUNK, PAIR_ROWS, PanelWidths};
use crate::parallel::Shared;
use crate::simd::amx::TILE;
use crate::simd::avx512::Avx512;
use crate::simd::{Simd, prefetch};
use std::arch::x86_64::*;
use std::ops::Range;

/// The words that a packed panel takes for `depth` rows of so many vectors.
pub(in crate::gemm) const fn panel_len(depth: usize, vectors: usize) -> usize {
    depth.div_ceil(CHUNK) * vectors * (TILE / 4)
}

/// The high halves of words.
const HIGH: i32 = 0xffff_0000_u32 as i32;

/// 16 numbers rounded to bf16, each in the high half of its word: to nearest, the greater in size of two. NaN
/// stays NaN, whatever its lower bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rounded(x: __m512) -> __m512i {
    let bits = _mm512_castps_si512(x);
    let nearest =
        _mm512_and_si512(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)), _mm512_set1_epi32(HIGH));
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
    _mm512_mask_mov_epi32(nearest, nan, _mm512_set1_epi32(f32::NAN.to_bits() as i32))
}

/// Numbers t and t + 16 in word t.
///
/// # Safety
/// 64 bytes are writable at `to`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn store_pairs(low: __m512, high: __m512, to: *mut u16) {
    // (low >> 16) | (high & HIGH)
    let pair = _mm512_ternarylogic_epi32::<0xf8>(
        _mm512_srli_epi32::<16>(rounded(low)),
        rounded(high),
        _mm512_set1_epi32(HIGH),
    );
    // SAFETY: 64 bytes are writable at `to`.
    unsafe { _mm512_storeu_si512(to.cast(), pair) };
}

/// As [`store_pairs`], of the numbers t (or t + 16, if `upper`) alone, and of those in the mask alone.
///
/// # Safety
/// 64 bytes are writable at `to`; other threads may write other halves of the same words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn store_some(x: __m512, mask: __mmask16, upper: bool, to: *mut u16) {
    // Bit t to bit 2t.
    let mut m = u32::from(mask);
    for (shift, keep) in [(8, 0x00ff_00ff), (4, 0x0f0f_0f0f), (2, 0x3333_3333), (1, 0x5555_5555)] {
        m = (m | m << shift) & keep;
    }
    let x = rounded(x);
    let (x, m) = if upper { (x, m << 1) } else { (_mm512_srli_epi32::<16>(x), m) };
    // SAFETY: the 32 halves of words at `to` are writable; those that are masked out are left alone.
    unsafe { _mm512_mask_storeu_epi16(to.cast(), m, x) };
}

/// A mask of lanes from .. from + n.
fn lanes(from: usize, n: usize) -> __mmask16 {
    (((1u32 << n) - 1) << from) as __mmask16
}

/// Panels for `depth` rows, of which the rest of the last chunk is 0 and all else is to be packed.
pub(in crate::gemm) fn empty(widths: PanelWidths, depth: usize) -> Buffer<f32> {
    let mut buffer = Buffer::stale(panel_len(depth, widths.start(widths.count)));
    if !depth.is_multiple_of(CHUNK) {
        for p in 0..widths.count {
            let (before, vectors) = (panel_len(depth, widths.start(p)), widths.extent(p).2);
            let panel = &mut buffer[before..before + panel_len(depth, vectors)];
            panel[panel_len(depth / CHUNK * CHUNK, vectors)..].fill(0.0);
        }
    }
    buffer
}

/// Packs some rows of a part that lies below `above` rows of the right operand, into every panel.
///
/// # Safety
/// The panels are those of [`empty`] for these widths and this depth; no other call writes rows above + rows
/// meanwhile. The processor has AVX-512.
pub(in crate::gemm) unsafe fn pack_rows(
    part: &Matrix<'_, f32>,
    widths: PanelWidths,
    rows: Range<usize>,
    depth: usize,
    above: usize,
    panels: Shared<'_, f32>,
) {
    assert!(rows.end <= part.rows && above + part.rows <= depth && widths.cols == part.cols);
    let mut row = rows.start;
    while row < rows.end {
        // A chunk over all panels, so that the source is read as it lies; or all rows, where those are its
        // columns.
        let chunk = CHUNK - (above + row) % CHUNK;
        let len = (rows.end - row).min(if part.transposed { rows.len() } else { chunk });
        for p in 0..widths.count {
            let (col, cols, vectors) = widths.extent(p);
            let src = part.block(row, len, col, cols);
            // SAFETY: panel p begins so many words behind the first, and holds rows up to `depth`, to which
            // above + rows.end reaches at most by the assertion; these rows are this call's.
            unsafe {
                let panel = panels.as_mut_ptr().add(panel_len(depth, widths.start(p)));
                pack_block(&src, above + row, vectors, panel.cast());
            }
        }
        row += len;
    }
}

/// Packs a block as rows `at .. at + rows` of a panel of so many vectors. The rest of its last vector is 0.
///
/// # Safety
/// The panel holds the rows, and no other call writes them. The machine has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn pack_block(src: &Matrix<'_, f32>, at: usize, vectors: usize, panel: *mut u16) {
    // SAFETY: the processor has AVX-512 by the contract.
    let s = unsafe { Avx512::assume() };
    let end = at + src.rows;
    let mut copy = [0f32; CHUNK * 16];
    for chunk in at / CHUNK..end.div_ceil(CHUNK) {
        let (from, to) =
            (at.max(chunk * CHUNK) - chunk * CHUNK, end.min((chunk + 1) * CHUNK) - chunk * CHUNK);
        let row = chunk * CHUNK + from - at;
        for v in 0..vectors {
            let n = src.cols.saturating_sub(16 * v).min(16);
            // SAFETY: rows row .. row + to - from and the n columns from 16 v on lie in the block, and other
            // lanes are masked out. Of the chunk's vector v, 16 rows of 64 bytes, rows t < 16 are written;
            // the panel has it, since chunk·CHUNK < at + rows.
            unsafe {
                let dst = panel.add((chunk * vectors + v) * TILE / 2);
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
                        store_pairs(low, high, dst.add(t * 32));
                    }
                } else {
                    for t in from..to {
                        let x = _mm512_maskz_loadu_ps(mask, block.wrapping_add((t - from) * ld));
                        store_some(x, 0xffff, t >= 16, dst.add(t % 16 * 32));
                    }
                }
            }
        }
    }
}

/// copy[t·16 + j] = src[j·ld + t] for t < rows <= 32, j < cols <= 16.
///
/// # Safety
/// These elements of src are readable, rows is at most 32 and cols at most 16.
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
        // SAFETY: elements j·ld + t with j < cols and t < rows are read; a whole block of 16 x 16 only where
        // there is one. The copy has 32 rows of 16.
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

/// 32 rows of the left operand over a block of depth.
pub(super) struct PairedRows {
    words: Buffer<f32>,
    chunks: usize,
}

impl PairedRows {
    /// Room for so many chunks. What no strip fills of the first and the last one, before and behind the
    /// block's steps, is 0.
    pub fn new(chunks: usize) -> Self {
        let mut rows = PairedRows { words: Buffer::stale(chunks * 2 * TILE / 4), chunks };
        if chunks > 0 {
            rows.clear(0..PAIR_ROWS, 0..1);
            rows.clear(0..PAIR_ROWS, chunks - 1..chunks);
        }
        rows
    }

    /// The first chunk.
    pub fn as_ptr(&self) -> *const u8 {
        self.words.as_ptr().cast()
    }

    /// Where a row begins in a chunk.
    #[inline(always)]
    fn row(&mut self, chunk: usize, row: usize) -> *mut u16 {
        self.words.as_mut_ptr().cast::<u16>().wrapping_add(chunk * TILE + row * 32)
    }

    fn clear(&mut self, rows: Range<usize>, chunks: Range<usize>) {
        for chunk in chunks {
            // 16 words a row.
            let at = chunk * 2 * TILE / 4;
            self.words[at + rows.start * 16..at + rows.end * 16].fill(0.0);
        }
    }

    /// Writes strips of `mr` rows each, whose steps begin at step `shift` of the first chunk, and lists the
    /// chunks that any of them fills.
    ///
    /// # Safety
    /// The strips' addresses hold the steps of their segments for `mr` rows each, `strips.len()·mr`
    /// is at most 32, and no segment reaches beyond step `depth`, nor shift + depth beyond the chunks there
    /// is room for; packed strips have 16 rows. The processor has AVX-512.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    pub unsafe fn fill(
        &mut self,
        strips: &[RowStrip<f32>],
        (packed, mr): (bool, usize),
        (shift, depth): (usize, usize),
        live: &mut Vec<u32>,
    ) {
        live.clear();
        let (mut all, mut seen) = (false, vec![false; self.chunks]);
        // SAFETY: row j·mr + i is below 32, step k + segment.len at most shift + depth; both are in the
        // operand, and the address of row i, or of all 16, holds the segment's steps.
        unsafe {
            let s = Avx512::assume();
            for (j, strip) in strips.iter().enumerate() {
                if strip.segments.iter().map(|s| s.len).sum::<usize>() == depth {
                    all = true;
                } else {
                    self.clear(j * mr..(j + 1) * mr, 0..self.chunks);
                }
                for (q, segment) in strip.segments.iter().enumerate() {
                    let k = shift + segment.k;
                    if packed {
                        self.put_columns(s, j * mr, k, strip.addresses[q], segment.len);
                    } else {
                        for i in 0..mr {
                            // The next row, until the processor sees that it is a run.
                            for line in (0..segment.len.min(128)).step_by(16) {
                                let next = strip.addresses[q * mr + (i + 1) % mr];
                                prefetch(next.wrapping_add(line));
                            }
                            self.put_run(j * mr + i, k, strip.addresses[q * mr + i], segment.len);
                        }
                    }
                    seen[k / CHUNK..(k + segment.len).div_ceil(CHUNK)].fill(true);
                }
            }
        }
        live.extend((0..self.chunks as u32).filter(|&c| all || seen[c as usize]));
    }

    /// Writes elements k .. k + len of a row.
    ///
    /// # Safety
    /// `src .. src + len` is readable, k + len <= chunks·CHUNK and row < 32. The processor has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn put_run(&mut self, row: usize, k: usize, src: *const f32, len: usize) {
        let mut t = 0;
        while t < len {
            let (chunk, at) = ((k + t) / CHUNK, (k + t) % CHUNK);
            let to = self.row(chunk, row);
            // SAFETY: elements t .. t + CHUNK <= len of the run are read, or those of lanes lane .. lane + n,
            // which are t .. t + n; row `row` of the chunk of step k + t has 64 bytes.
            unsafe {
                if at == 0 && len - t >= CHUNK {
                    let (low, high) = (_mm512_loadu_ps(src.add(t)), _mm512_loadu_ps(src.add(t + 16)));
                    store_pairs(low, high, to);
                    t += CHUNK;
                } else {
                    let lane = at % 16;
                    let n = (16 - lane).min(len - t);
                    let mask = lanes(lane, n);
                    let x = _mm512_maskz_loadu_ps(mask, src.wrapping_add(t).wrapping_sub(lane));
                    store_some(x, mask, at >= 16, to);
                    t += n;
                }
            }
        }
    }

    /// Writes elements k .. k + len of rows row .. row + 16, from src[t·16 + i].
    ///
    /// # Safety
    /// `src .. src + 16·len` is readable, k + len <= chunks·CHUNK and row + 16 <= 32. The processor
    /// has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn put_columns(&mut self, s: Avx512, row: usize, k: usize, src: *const f32, len: usize) {
        let mut rows = [0f32; 16 * CHUNK];
        let mut t = 0;
        while t < len {
            let (chunk, at) = ((k + t) / CHUNK, (k + t) % CHUNK);
            // SAFETY: steps t .. t + CHUNK <= len, or t .. t + n, of 16 elements each are read; `rows` has 16
            // rows of CHUNK, `steps` 16 of 16, of which lane + n <= 16 are filled; rows row + i of the chunk
            // of step k + t have 64 bytes each.
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
                        store_pairs(low, high, self.row(chunk, row + i));
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
                        store_some(x, lanes(lane, n), at >= 16, self.row(chunk, row + i));
                    }
                    t += n;
                }
            }
        }
    }
}
