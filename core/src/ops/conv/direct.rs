//! Convolution of few input channels: the first layer of a network.
//!
//! In NHWC a kernel's row of taps over few channels is one run of kw·c_in numbers in memory, and the runs of
//! neighbouring outputs begin stride·c_in numbers apart. So the input, once its lines are copied between
//! zeros, is the matrix of columns as it lies: its rows overlap, and nothing is gathered. With run(y, q) the
//! q-th run of line y:
//!
//! ```text
//! forward              y[p, q, :] = Σ_r run(p·stride + r·dilation, q) · w[r]
//! gradient of input    t = dy[p] · wᵀ, a product for each line p, whose rows are added where the runs lie
//! gradient of weights  dw[r][j, :] += Σ_q run(.., q)[j] · dy[p, q, :], a product for each line p
//! ```
//!
//! The sums of the weights' gradient are cut into parts by the shape alone.

// An index of a row or vector names the same place in two arrays, and a loop over it says so.
#![allow(clippy::needless_range_loop)]

use super::product::{
    Ahead, MAX_ROWS, RowStarts, SmallProduct, accumulate, of_tile_shape, tile_rows, tile_vectors,
};
use super::spec::ConvSpec;
use crate::buffer::{Buffer, add_to};
use crate::parallel;
use crate::simd::{Kernel, Simd};
use crate::{element::Element, epilogue::Epilogue};
use std::ops::Range;

/// Multiply-adds of one piece of work, about: as many as a product must have to be worth a second thread
/// (`cut`). Not measured by itself.
const PIECE: usize = 4 * 1024 * 1024;
/// Partial sums of the weights' gradient, at most: a kernel of few channels is small, and so are 32 of it.
/// They make the bits; speed was not measured over them.
const PARTS: usize = 32;

/// Steps and distances of taps, at most: lines are held with all that lies between. A bound of memory, far
/// above what networks have, not one of speed.
const APART: usize = 64;

/// Whether it serves this convolution.
pub(super) fn applies(spec: &ConvSpec) -> bool {
    spec.groups == 1
        && spec.dilation[1] == 1
        && spec.c_in <= 8
        && spec.stride[1] <= APART
        && spec.dilation[0] <= APART
}

/// Where the runs of a line of the output lie, in lines of the input between zeros.
struct TapRuns<'a> {
    spec: &'a ConvSpec,
    /// Elements of a run, and from one run to the next.
    len: usize,
    step: usize,
    /// Elements of a line with its zeros: enough for whole register tiles.
    line: usize,
    /// Outputs of a line.
    width: usize,
}

impl<'a> TapRuns<'a> {
    fn new(spec: &'a ConvSpec) -> Self {
        let width = spec.out_hw()[1];
        let (len, step) = (spec.kernel[1] * spec.c_in, spec.stride[1] * spec.c_in);
        let outputs = width.next_multiple_of(MAX_ROWS) + MAX_ROWS;
        let line = (outputs * step + len).max((spec.padding[1] + spec.w) * spec.c_in);
        TapRuns { spec, len, step, line, width }
    }

    /// The image and the input lines, one for each row of taps, that output line `at` of all images reads.
    #[inline(always)]
    fn source(&self, at: usize, tap: usize) -> Option<usize> {
        let spec = self.spec;
        let oh = spec.out_hw()[0];
        let (n, p) = (at / oh, at % oh);
        Some(n * spec.h + spec.window(0).source(p, tap)?)
    }
}

/// The input lines that a line of the output reads, each between zeros. Neighbouring lines of the output read
/// some of the same lines, and these are kept from one to the next.
struct HeldLines<'a, E: Element> {
    runs: &'a TapRuns<'a>,
    data: Buffer<E>,
    /// Which line each place holds: its image, and its number between the padding.
    owners: Vec<Option<(usize, usize)>>,
    /// Where the line of each row of taps begins.
    places: Vec<usize>,
}

impl<'a, E: Element> HeldLines<'a, E> {
    fn new(runs: &'a TapRuns<'a>) -> Self {
        let reach = runs.spec.dilation[0] * (runs.spec.kernel[0] - 1) + 1;
        HeldLines {
            runs,
            data: Buffer::zeros(reach * runs.line),
            owners: vec![None; reach],
            places: vec![0; runs.spec.kernel[0]],
        }
    }

    /// Loads what output line `at` reads.
    #[inline(always)]
    fn load(&mut self, x: &[E], at: usize) {
        let (runs, spec) = (self.runs, self.runs.spec);
        let (oh, whole) = (spec.out_hw()[0], spec.w * spec.c_in);
        for (tap, place) in self.places.iter_mut().enumerate() {
            let padded = (at / oh, at % oh * spec.stride[0] + tap * spec.dilation[0]);
            let slot = padded.1 % self.owners.len();
            *place = slot * runs.line;
            if self.owners[slot] == Some(padded) {
                continue;
            }
            self.owners[slot] = Some(padded);
            let line = &mut self.data[*place..][spec.padding[1] * spec.c_in..][..whole];
            match runs.source(at, tap) {
                Some(y) => line.copy_from_slice(&x[y * whole..][..whole]),
                None => line.fill(E::ZERO),
            }
        }
    }
}

/// A matrix in panels of whole vectors: row t of panel p at `(p·rows + t)·width`.
struct PackedMatrix<E: Element> {
    data: Buffer<E>,
    vectors: usize,
    panel_vectors: usize,
    /// Elements of a panel, and of its rows.
    panel: usize,
    width: usize,
}

struct Pack<F> {
    rows: usize,
    columns: usize,
    element: F,
}

impl<E: Element, F: Fn(usize, usize) -> E> Kernel<E> for Pack<F> {
    type Output = PackedMatrix<E>;
    fn run<S: Simd<E>>(self, _: S) -> PackedMatrix<E> {
        let panel_vectors = tile_vectors(S::REGISTERS, S::LANES, self.columns);
        let (width, vectors) = (panel_vectors * S::LANES, self.columns.div_ceil(S::LANES));
        let panel = self.rows * width;
        let mut data = Buffer::zeros(self.columns.div_ceil(width) * panel);
        for t in 0..self.rows {
            for o in 0..self.columns {
                data[o / width * panel + t * width + o % width] = (self.element)(t, o);
            }
        }
        PackedMatrix { data, vectors, panel_vectors, panel, width }
    }
}

/// y = act(scale · (x ∗ w) + bias + residual).
pub(super) fn forward<E: Element>(
    spec: &ConvSpec,
    x: &[E],
    w: &[E],
    epilogue: &Epilogue<'_, E>,
    y: &mut [E],
) {
    let runs = TapRuns::new(spec);
    let rows = spec.kernel[0] * runs.len;
    let w = E::dispatch(Pack { rows, columns: spec.c_out, element: |t, o| w[t * spec.c_out + o] });
    let line = runs.width * spec.c_out;
    let lines = (PIECE / (line * rows).max(1)).max(1);
    parallel::chunks(y, lines * line, |i, y| {
        let epilogue = epilogue.of_rows(i * lines * line, y.len());
        E::dispatch(LineOutputs { runs: &runs, first: i * lines, x, w: &w, epilogue, y });
    });
}

/// Consecutive lines of the output.
struct LineOutputs<'a, E: Element> {
    runs: &'a TapRuns<'a>,
    first: usize,
    x: &'a [E],
    w: &'a PackedMatrix<E>,
    epilogue: Epilogue<'a, E>,
    y: &'a mut [E],
}

impl<E: Element> Kernel<E> for LineOutputs<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(mut self, s: S) {
        let runs = self.runs;
        let mut held = HeldLines::new(runs);
        for at in 0..self.y.len() / (runs.width * runs.spec.c_out) {
            held.load(self.x, self.first + at);
            for panel in 0..self.w.vectors.div_ceil(self.w.panel_vectors) {
                let vectors = self.w.panel_vectors.min(self.w.vectors - panel * self.w.panel_vectors);
                of_tile_shape!(S, vectors, |R, V| self.line::<S, R, V>(s, &held, at, panel));
            }
        }
    }
}

impl<E: Element> LineOutputs<'_, E> {
    /// A line's outputs of a panel's channels, in tiles of R outputs.
    #[inline(always)]
    fn line<S: Simd<E>, const R: usize, const V: usize>(
        &mut self,
        s: S,
        held: &HeldLines<'_, E>,
        at: usize,
        panel: usize,
    ) {
        let (runs, w) = (self.runs, self.w);
        for q in (0..runs.width).step_by(R) {
            let mut acc = [[s.zero(); V]; R];
            for (r, &place) in held.places.iter().enumerate() {
                // SAFETY: q + i < width + MAX_ROWS, and `TapRuns::new` gave a line room for the runs of as
                // many outputs. The panel has kh·len rows of V vectors at least, of which these are `len`
                // from r·len on.
                unsafe {
                    let mut rows = [held.data.as_ptr().add(place); R];
                    for (i, p) in rows.iter_mut().enumerate() {
                        *p = p.add((q + i) * runs.step);
                    }
                    let b = w.data.as_ptr().add(panel * w.panel + r * runs.len * w.width);
                    acc = accumulate(s, acc, rows, 1, b, w.width, runs.len, Ahead { next: b, share: 0 });
                }
            }
            self.store(s, &acc, at, q, panel);
        }
    }

    /// Writes the outputs from q on of a panel's channels.
    #[inline(always)]
    fn store<S: Simd<E>, const R: usize, const V: usize>(
        &mut self,
        s: S,
        acc: &[[S::V; V]; R],
        at: usize,
        q: usize,
        panel: usize,
    ) {
        let (width, c_out) = (self.runs.width, self.runs.spec.c_out);
        for i in 0..R.min(width - q) {
            for v in 0..V {
                let c = panel * self.w.width + v * S::LANES;
                let (to, len) = ((at * width + q + i) * c_out + c, S::LANES.min(c_out - c));
                debug_assert!(to + len <= self.y.len());
                // SAFETY: q + i < width and c + len <= c_out: these are channels of an output of line `at` of
                // y, and so of the residual.
                unsafe { self.epilogue.store(s, acc[i][v], c, to, len, self.y.as_mut_ptr()) };
            }
        }
    }
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x.
pub(super) fn backward_data<E: Element>(spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    let runs = TapRuns::new(spec);
    let columns = spec.kernel[0] * runs.len;
    let w = E::dispatch(Pack { rows: spec.c_out, columns, element: |o, t| w[t * spec.c_out + o] });
    // A piece of work is a band of input lines of one image. Outputs that reach over its edge are computed on
    // both sides, so that no two pieces add to one line.
    let reach = spec.dilation[0] * (spec.kernel[0] - 1) + 1;
    let bands = (spec.h / (4 * reach)).clamp(1, 16usize.div_ceil(spec.n.max(1)));
    let band = spec.h.div_ceil(bands).max(1);
    let bands = spec.h.div_ceil(band);
    let dx = parallel::Shared::new(dx);
    parallel::for_each(spec.n * bands, |i| {
        let (n, from) = (i / bands, i % bands * band);
        E::dispatch(BandGradient { runs: &runs, n, lines: from..spec.h.min(from + band), dy, w: &w, dx });
    });
}

/// The gradient of some input lines of an image.
struct BandGradient<'a, E: Element> {
    runs: &'a TapRuns<'a>,
    n: usize,
    lines: Range<usize>,
    dy: &'a [E],
    w: &'a PackedMatrix<E>,
    dx: parallel::Shared<'a, E>,
}

impl<E: Element> Kernel<E> for BandGradient<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let (runs, spec, lines) = (self.runs, self.runs.spec, self.lines.clone());
        let (c_out, width, oh) = (spec.c_out, runs.width, spec.out_hw()[0]);
        let ld = self.w.vectors * S::LANES;
        // A line has a vector more than its runs, so that the last one can be added in whole vectors.
        let line = runs.line + S::LANES;
        let mut sums = Buffer::<E>::zeros(lines.len() * line);
        let mut row = Buffer::<E>::zeros((width + MAX_ROWS) * c_out);
        let mut t = Buffer::<E>::zeros((width + MAX_ROWS) * ld + S::LANES);
        let mut places = Vec::with_capacity(spec.kernel[0]);
        for p in 0..oh {
            let at = self.n * oh + p;
            places.clear();
            places.extend(self.places(at, line));
            if places.is_empty() {
                continue;
            }
            // The last tile of rows reads up to MAX_ROWS pixels beyond its line. Behind dy's last lines there
            // are none, and so these are copied to where there are.
            let dy = match self.dy[at * width * c_out..].get(..row.len()) {
                Some(dy) => dy,
                None => {
                    row[..width * c_out].copy_from_slice(&self.dy[at * width * c_out..][..width * c_out]);
                    &row
                }
            };
            // SAFETY: dy, or its copy, has width + MAX_ROWS rows of c_out numbers; w is packed in c_out rows
            // of whole panels; t, which is this thread's, has width + MAX_ROWS rows of ld numbers, all
            // vectors.
            unsafe {
                let product = SmallProduct {
                    a: dy.as_ptr(),
                    a_rows: RowStarts::Every(c_out),
                    step: 1,
                    b: self.w.data.as_ptr(),
                    panel: self.w.panel,
                    ld: self.w.width,
                    c: t.as_mut_ptr(),
                    c_row: ld,
                    rows: width,
                    depth: c_out,
                    next: dy.as_ptr().wrapping_add(width * c_out),
                    panel_vectors: self.w.panel_vectors,
                    vectors: self.w.vectors,
                    add: false,
                };
                product.run(s);
            }
            add_runs(s, runs, &t, ld, &places, &mut sums);
        }
        let whole = spec.w * spec.c_in;
        for (y, sums) in lines.zip(sums.chunks_exact(line)) {
            let at = (self.n * spec.h + y) * whole;
            // SAFETY: line y of image n is in the band of this piece and in no other.
            let to = unsafe { self.dx.slice(at..at + whole) };
            to.copy_from_slice(&sums[spec.padding[1] * spec.c_in..][..whole]);
        }
    }
}

impl<E: Element> BandGradient<'_, E> {
    /// Of output line `at`, the rows of taps that reach this band: where each begins in a row of run
    /// gradients, and where its line begins in sums of lines of `line` elements.
    #[inline(always)]
    fn places(&self, at: usize, line: usize) -> impl Iterator<Item = (usize, usize)> {
        let (runs, spec) = (self.runs, self.runs.spec);
        (0..spec.kernel[0]).filter_map(move |tap| {
            let y = runs.source(at, tap)? - self.n * spec.h;
            self.lines.contains(&y).then(|| (tap * runs.len, (y - self.lines.start) * line))
        })
    }
}

/// Adds the run gradients of a line of outputs, rows of `ld` elements, where the runs lie: for each of the
/// places (run, line) the `len` elements from `run` on of row q to those from `line + q·step` on.
#[inline(always)]
fn add_runs<S: Simd<E>, E: Element>(
    s: S,
    runs: &TapRuns<'_>,
    gradients: &[E],
    ld: usize,
    places: &[(usize, usize)],
    sums: &mut [E],
) {
    // A sum that is read while the store before it is still under way waits, and runs of neighbours overlap.
    // So every `apart`th run is added first, then their neighbours. The distance is the same for all
    // instruction sets, because it makes the order of the sums, and thereby the bits.
    let apart = runs.len.next_multiple_of(16).div_ceil(runs.step);
    for q in (0..apart).flat_map(|first| (first..runs.width).step_by(apart)) {
        for &(run, line) in places {
            let (from, to) = (&gradients[q * ld + run..], &mut sums[line + q * runs.step..]);
            assert!(from.len() >= runs.len && to.len() >= runs.len.next_multiple_of(S::LANES));
            for c in (0..runs.len).step_by(S::LANES) {
                let n = S::LANES.min(runs.len - c);
                // SAFETY: c < len, so that by the assertion a whole vector from c on is in `to`, and n
                // numbers from c on are in `from`.
                unsafe {
                    let (from, to) = (from.as_ptr().add(c), to.as_mut_ptr().add(c));
                    let sum = s.add(s.load(to), s.load_n(from, n));
                    s.store(to, sum);
                }
            }
        }
    }
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w.
pub(super) fn backward_weight<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    let runs = TapRuns::new(spec);
    let lines = spec.n * spec.out_hw()[0];
    let work = runs.width * spec.c_out * spec.kernel[0] * runs.len;
    let piece = lines.div_ceil(PARTS).max(PIECE / work.max(1)).max(1);
    let parts = parallel::map(lines.div_ceil(piece), |i| {
        E::dispatch(RunSums { runs: &runs, x, dy, lines: i * piece..lines.min((i + 1) * piece) })
    });
    dw.fill(E::ZERO);
    for (sums, ld) in &parts {
        for (to, from) in dw.chunks_exact_mut(spec.c_out).zip(sums.chunks_exact(*ld)) {
            add_to(to, from);
        }
    }
}

/// Σ run ⊗ dy over consecutive lines: rows of whole vectors, one for each tap and channel, and their length.
struct RunSums<'a, E> {
    runs: &'a TapRuns<'a>,
    x: &'a [E],
    dy: &'a [E],
    lines: Range<usize>,
}

impl<E: Element> Kernel<E> for RunSums<'_, E> {
    type Output = (Buffer<E>, usize);
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) -> (Buffer<E>, usize) {
        let (runs, c_out) = (self.runs, self.runs.spec.c_out);
        let (width, rows) = (runs.width, runs.spec.kernel[0] * runs.len);
        let ld = c_out.next_multiple_of(S::LANES);
        let panel_vectors = tile_vectors(S::REGISTERS, S::LANES, c_out);
        let mut places = vec![0; rows + MAX_ROWS];
        let mut sums = Buffer::<E>::zeros((rows + MAX_ROWS) * ld);
        let mut held = HeldLines::new(runs);
        let mut row = Buffer::<E>::zeros(width * ld);
        for at in self.lines {
            held.load(self.x, at);
            for (places, line) in places.chunks_exact_mut(runs.len).zip(&held.places) {
                for (j, place) in places.iter_mut().enumerate() {
                    *place = line + j;
                }
            }
            let dy = &self.dy[at * width * c_out..][..width * c_out];
            if ld != c_out {
                for (to, from) in row.chunks_exact_mut(ld).zip(dy.chunks_exact(c_out)) {
                    to[..c_out].copy_from_slice(from);
                }
            }
            // SAFETY: A's row (r, j) is element j of the runs of the r-th line that is held, which has room
            // for those of all outputs, `step` apart; the MAX_ROWS rows beyond begin at 0, the first line. B
            // is `width` rows of ld numbers, dy itself or its copy; the sums, this thread's own, have rows +
            // MAX_ROWS rows of ld.
            unsafe {
                let b = if ld == c_out { dy.as_ptr() } else { row.as_ptr() };
                let product = SmallProduct {
                    a: held.data.as_ptr(),
                    a_rows: RowStarts::At(&places),
                    step: runs.step,
                    b,
                    panel: panel_vectors * S::LANES,
                    ld,
                    c: sums.as_mut_ptr(),
                    c_row: ld,
                    rows,
                    depth: width,
                    next: b.wrapping_add(width * ld),
                    panel_vectors,
                    vectors: ld / S::LANES,
                    add: true,
                };
                product.run(s);
            }
        }
        (sums, ld)
    }
}
