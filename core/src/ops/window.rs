//! A window that slides along an axis: what convolution and pooling share.
//!
//! Tap r of output p lies at the place p·stride + r·dilation of the axis between its padding. All of it may be as large as a
//! number can be: sizes are found in twice as many bits, and what is larger than any tensor is refused.

use crate::shape::MOST;

/// Room for what n taps see. Large windows a step apart see far more than there are pixels: panics, naming the op, where there
/// is no memory for them.
#[track_caller]
pub(crate) fn room<T>(op: &str, n: usize) -> Vec<T> {
    let mut list = Vec::new();
    assert!(list.try_reserve_exact(n).is_ok(), "{op}: no memory for {n} taps of all windows");
    list
}

/// One axis' window.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub taps: usize,
    pub stride: usize,
    /// On each side.
    pub padding: usize,
    pub dilation: usize,
}

impl Window {
    /// What it covers, dilation·(taps - 1) + 1, if that is no more than a tensor has elements.
    pub fn reach(self) -> Option<usize> {
        let reach = self.dilation as u128 * (self.taps as u128).saturating_sub(1) + 1;
        usize::try_from(reach).ok().filter(|&n| n <= MOST)
    }

    /// The axis with its padding, if that is no more than a tensor has elements.
    pub fn padded(self, size: usize) -> Option<usize> {
        self.padding.checked_mul(2)?.checked_add(size).filter(|&n| n <= MOST)
    }

    /// Its places on an axis of `size`, ⌊slack / stride⌋ + 1 with slack = size + 2 padding - reach. With `ceil` they are
    /// ⌈slack / stride⌉ + 1 (a window may then exceed the axis by less than a stride), but for a last one that would start in
    /// the padding behind. An error says what is wrong.
    pub fn places(self, size: usize, ceil: bool) -> Result<usize, &'static str> {
        if self.taps == 0 || self.stride == 0 || self.dilation == 0 {
            return Err("a kernel, stride or dilation of 0");
        }
        let padded = self.padded(size).ok_or("more padding than memory has addresses")?;
        const LARGER: &str = "the kernel is larger than the padded input";
        let slack = padded as isize - self.reach().ok_or(LARGER)? as isize;
        // A longer step leads out as well, and this one is a number with a sign.
        let stride = self.stride.min(2 * MOST) as isize;
        let steps = if ceil { -(-slack).div_euclid(stride) } else { slack.div_euclid(stride) };
        let last = usize::try_from(steps).map_err(|_| LARGER)?;
        let starts_behind = ceil && last > 0 && last * self.stride >= size + self.padding;
        Ok(if starts_behind { last } else { last + 1 })
    }
}
