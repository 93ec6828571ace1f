//! A window that slides along an axis: the one idea that convolution and pooling share.
//!
//! Tap r of output p lies at the place p·stride + r·dilation of the axis between its padding, that is at the
//! input p·stride + offset(r), offset(r) = r·dilation − padding before. Read forward, an output asks which
//! inputs its taps see; read backward, an input asks which outputs see it. Backward falls apart by residues
//! of the stride: inputs of one residue are seen by the same taps, each from an output that moves on with
//! them.
//!
//! All of it may be as large as a number can be: sizes are found in twice as many bits, and what is larger
//! than any tensor is refused. Offsets are those of windows whose sizes were found.

use crate::shape::MOST;
use std::ops::Range;

/// One axis, and the window on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Places of the axis.
    pub input: usize,
    pub taps: usize,
    pub stride: usize,
    /// Before the first place, and behind the last.
    pub padding: [usize; 2],
    pub dilation: usize,
}

impl Window {
    /// The window along axis a, vertical 0 or horizontal 1, of pairs [vertical, horizontal], with equal
    /// padding before and behind. Convolution and pooling make theirs here, and nowhere else.
    pub fn along(
        a: usize,
        input: [usize; 2],
        taps: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
    ) -> Window {
        let (input, taps, stride, dilation) = (input[a], taps[a], stride[a], dilation[a]);
        Window { input, taps, stride, padding: [padding[a]; 2], dilation }
    }

    /// What it covers, dilation·(taps - 1) + 1, if that is no more than a tensor has elements.
    pub fn reach(&self) -> Option<usize> {
        let reach = self.dilation as u128 * (self.taps as u128).saturating_sub(1) + 1;
        usize::try_from(reach).ok().filter(|&n| n <= MOST)
    }

    /// The axis with its padding, if that is no more than a tensor has elements.
    pub fn padded(&self) -> Option<usize> {
        let [before, behind] = self.padding;
        before.checked_add(behind)?.checked_add(self.input).filter(|&n| n <= MOST)
    }

    /// The number of outputs, ⌊slack / stride⌋ + 1 with slack = padded - reach. With `ceil` they are ⌈slack /
    /// stride⌉ + 1 (a window may then exceed the axis by less than a stride), but for a last one that would
    /// start in the padding behind. An error says what is wrong.
    pub fn outputs(&self, ceil: bool) -> Result<usize, &'static str> {
        if self.taps == 0 || self.stride == 0 || self.dilation == 0 {
            return Err("a kernel, stride or dilation of 0");
        }
        let padded = self.padded().ok_or("more padding than memory has addresses")?;
        const LARGER: &str = "the kernel is larger than the padded input";
        let slack = padded as isize - self.reach().ok_or(LARGER)? as isize;
        // A longer step leads out as well, and this one is a number with a sign.
        let stride = self.stride.min(2 * MOST) as isize;
        let steps = if ceil { -(-slack).div_euclid(stride) } else { slack.div_euclid(stride) };
        let last = usize::try_from(steps).map_err(|_| LARGER)?;
        let starts_behind = ceil && last > 0 && last * self.stride >= self.input + self.padding[0];
        Ok(if starts_behind { last } else { last + 1 })
    }

    /// The input whose windows have so many outputs and reach up to its end, and `more` places: the inverse
    /// of [`Window::outputs`]. `None` where nothing is left; what is too much for a number is the largest.
    pub fn covering(&self, outputs: usize, more: usize) -> Option<usize> {
        let wide = |n: usize| n as u128;
        let steps = wide(outputs.max(1) - 1) * wide(self.stride);
        let reach = wide(self.dilation) * wide(self.taps.max(1) - 1) + 1;
        let padding = wide(self.padding[0]) + wide(self.padding[1]);
        let input = (steps + reach + wide(more)).checked_sub(padding).filter(|&n| n > 0)?;
        Some(usize::try_from(input).unwrap_or(usize::MAX))
    }

    /// The input that a tap of output 0 sees, padding counted as negative.
    pub fn offset(&self, tap: usize) -> isize {
        (tap * self.dilation) as isize - self.padding[0] as isize
    }

    /// The input that a tap of output p sees, unless it is padding.
    #[inline(always)]
    pub fn source(&self, p: usize, tap: usize) -> Option<usize> {
        let at = p * self.stride + tap * self.dilation;
        at.checked_sub(self.padding[0]).filter(|&i| i < self.input)
    }

    /// The taps of output p that see an input, not padding.
    fn seeing(&self, p: usize) -> Range<usize> {
        let (padding, at) = (self.padding[0], p * self.stride);
        let first = padding.saturating_sub(at).div_ceil(self.dilation);
        first..(self.input + padding).saturating_sub(at).div_ceil(self.dilation).min(self.taps)
    }

    /// The inputs that output p sees, by taps in order: (input, tap).
    pub fn inputs(&self, p: usize) -> impl ExactSizeIterator<Item = (usize, usize)> + use<> {
        let (dilation, padding, at) = (self.dilation, self.padding[0], p * self.stride);
        self.seeing(p).map(move |r| (at + r * dilation - padding, r))
    }

    /// How many taps of output p see the axis or its padding: all of them, but where `ceil` let a last window
    /// exceed both.
    pub fn places(&self, p: usize) -> usize {
        let end = self.input + self.padding[0] + self.padding[1];
        (end - p * self.stride).div_ceil(self.dilation).min(self.taps)
    }

    /// The outputs, of so many, that see input i, by taps in order: (output, tap).
    pub fn readers(&self, i: usize, outputs: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (stride, dilation, at) = (self.stride, self.dilation, i + self.padding[0]);
        let first = at.saturating_sub((self.taps - 1) * dilation).div_ceil(stride);
        (first..outputs.min(at / stride + 1)).rev().filter_map(move |p| {
            let t = at - p * stride;
            t.is_multiple_of(dilation).then_some((p, t / dilation))
        })
    }

    /// The taps that see the inputs residue, residue + stride, .., in order, and from which output the first
    /// of these is seen: (tap, output), which may lie before output 0.
    pub fn residue(&self, residue: usize) -> impl DoubleEndedIterator<Item = (usize, isize)> + use<> {
        let (stride, dilation) = (self.stride as isize, self.dilation);
        let at = (residue + self.padding[0]) as isize;
        (0..self.taps)
            .map(move |tap| (tap, at - (tap * dilation) as isize))
            .filter_map(move |(tap, at)| (at.rem_euclid(stride) == 0).then_some((tap, at.div_euclid(stride))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Each question has the answer that the definition gives, tap by tap.
        #[test]
        fn every_question_has_the_definitions_answer(
            (input, taps, stride, padding, dilation) in
                (1..12usize, 1..5usize, 1..5usize, [0..4usize, 0..4usize], 1..4usize)
        ) {
            let w = Window { input, taps, stride, padding, dilation };
            let Ok(outputs) = w.outputs(false) else {
                prop_assert!(input + padding[0] + padding[1] < dilation * (taps - 1) + 1);
                return Ok(());
            };
            let padded = input + padding[0] + padding[1];
            let fits = |p: usize| p * stride + dilation * (taps - 1) < padded;
            prop_assert!(fits(outputs - 1) && !fits(outputs));
            // (output, input, tap)
            let mut all = Vec::new();
            for (p, r) in (0..outputs).flat_map(|p| (0..taps).map(move |r| (p, r))) {
                let at = (p * stride + r * dilation).checked_sub(padding[0]).filter(|&i| i < input);
                prop_assert_eq!(w.source(p, r), at);
                prop_assert_eq!(w.offset(r) + (p * stride) as isize, (p * stride + r * dilation) as isize - padding[0] as isize);
                all.extend(at.map(|i| (p, i, r)));
            }
            let forward = |p: usize| w.inputs(p).map(move |(i, r)| (p, i, r));
            prop_assert_eq!(&all, &(0..outputs).flat_map(forward).collect::<Vec<_>>());
            let backward = |i: usize| w.readers(i, outputs).map(move |(p, r)| (p, i, r));
            let mut seen: Vec<_> = (0..input).flat_map(backward).collect();
            seen.sort_unstable();
            all.sort_unstable();
            prop_assert_eq!(&all, &seen);
            for p in 0..w.outputs(true).unwrap_or(0) {
                let places = (0..taps).filter(|r| p * stride + r * dilation < padded).count();
                prop_assert_eq!(w.places(p), places);
            }
            let mut seen = Vec::new();
            for (residue, (r, first)) in (0..stride).flat_map(|q| w.residue(q).map(move |tap| (q, tap))) {
                for (n, i) in (residue..input).step_by(stride).enumerate() {
                    let p = first + n as isize;
                    seen.extend((0..outputs as isize).contains(&p).then_some((p as usize, i, r)));
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(&all, &seen);
            // The least input with so many outputs, and then as many as a stride less one more.
            for more in 0..stride {
                if let Some(input) = w.covering(outputs, more) {
                    prop_assert_eq!(Window { input, ..w }.outputs(false), Ok(outputs));
                }
            }
        }
    }
}
