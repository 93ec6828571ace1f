//! Which inputs a position reads along one axis, and where the border cuts taps off.
//!
//! Between the borders every position has all taps, so that an axis falls into stretches of equal taps: a few
//! positions at each end, one by one, and all others in one. Inside of a stretch nobody asks for the border
//! again.

use super::super::spec::ConvSpec;
use std::ops::Range;

/// A tap, and the input it reads for position 0 of the output.
#[derive(Clone, Copy)]
pub(super) struct AxisTap {
    pub index: usize,
    pub offset: isize,
}

/// Positions that have the same taps.
pub(super) struct Stretch {
    pub positions: Range<usize>,
    pub taps: Vec<AxisTap>,
}

/// One axis of a gather, for one residue: out[i·step + residue] = Σ_taps in[i·stride + offset], i < len.
pub(super) struct Axis {
    pub step: usize,
    pub residue: usize,
    pub stride: usize,
    pub len: usize,
    pub limit: usize,
    pub taps: Vec<AxisTap>,
}

impl Axis {
    /// Forward: one residue.
    pub fn forward(spec: &ConvSpec, a: usize) -> Axis {
        let window = spec.window(a);
        let taps = (0..spec.kernel[a]).map(|index| AxisTap { index, offset: window.offset(index) }).collect();
        let (len, limit) = (spec.out_hw()[a], [spec.h, spec.w][a]);
        Axis { step: 1, residue: 0, stride: spec.stride[a], len, limit, taps }
    }

    /// The gradient of the input: one for each residue.
    pub fn backward(spec: &ConvSpec, a: usize) -> Vec<Axis> {
        let (step, extent, limit) = (spec.stride[a], [spec.h, spec.w][a], spec.out_hw()[a]);
        let residue = |residue: usize| {
            let taps =
                spec.window(a).residue(residue).map(|(index, offset)| AxisTap { index, offset }).collect();
            Axis { step, residue, stride: 1, len: (extent - residue).div_ceil(step), limit, taps }
        };
        (0..step.min(extent)).map(residue).collect()
    }

    /// Where tap t reads at position i, unless outside.
    pub fn source(&self, i: usize, t: &AxisTap) -> Option<usize> {
        let at = (i * self.stride) as isize + t.offset;
        (0..self.limit as isize).contains(&at).then_some(at as usize)
    }

    /// The axis cut where the set of taps that read inside changes: positions at the border one by one, and
    /// the interior.
    pub fn stretches(&self) -> Vec<Stretch> {
        let interior = self.interior();
        let middle = (!interior.is_empty()).then(|| interior.clone());
        let single = |i: usize| i..i + 1;
        let (left, right) = ((0..interior.start).map(single), (interior.end..self.len).map(single));
        let taps = |i: usize| self.taps.iter().filter(|t| self.source(i, t).is_some()).copied().collect();
        left.chain(middle)
            .chain(right)
            .map(|positions| Stretch { taps: taps(positions.start), positions })
            .collect()
    }

    /// The positions where every tap reads inside.
    pub fn interior(&self) -> Range<usize> {
        let inside = |i: &usize| self.taps.iter().all(|t| self.source(*i, t).is_some());
        let start = (0..self.len).find(inside).unwrap_or(self.len);
        let end = (start..self.len).find(|i| !inside(i)).unwrap_or(self.len);
        start..end
    }
}

/// A tap of a line: the input pixel that position 0 reads, and the weights' row.
#[derive(Clone, Copy)]
pub(super) struct LineTap {
    pub at: isize,
    pub weight: usize,
}

/// The taps of a stretch of the line at vertical position i: every vertical tap by every horizontal one.
pub(super) fn line_taps(
    spec: &ConvSpec,
    rows: &Axis,
    i: usize,
    columns: &Axis,
    stretch: &Stretch,
    taps: &mut Vec<LineTap>,
) {
    taps.clear();
    for r in &rows.taps {
        if let Some(row) = rows.source(i, r) {
            taps.extend(stretch.taps.iter().map(|t| LineTap {
                at: (row * columns.limit) as isize + t.offset,
                weight: r.index * spec.kernel[1] + t.index,
            }));
        }
    }
}
