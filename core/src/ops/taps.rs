//! What each output along an axis reads: a sparse matrix by rows.
//!
//! Pooling, resizing and RoIAlign are lists of taps. Row o holds the inputs that output o reads, in the order
//! in which they are added up, and with each what the op knows of it: a weight, or the number of the tap. All
//! rows lie one after the other in one list, since a list for each output would be one allocation for each.

use crate::memory::room;

/// For each output along an axis the inputs it reads, and what belongs to each of them.
#[derive(Debug)]
pub(crate) struct Taps<T> {
    inputs: usize,
    /// The taps of output o are those from starts[o] to starts[o + 1].
    starts: Vec<usize>,
    taps: Vec<(usize, T)>,
}

impl<T: Copy> Taps<T> {
    /// Those of an axis of so many inputs, without outputs yet.
    pub fn none(inputs: usize) -> Self {
        Taps { inputs, starts: vec![0], taps: Vec::new() }
    }

    /// `row(o)` lists (input, what belongs to it) for output o. Large windows a step apart read far more than
    /// there are pixels: panics, naming the op, where there is no memory for all taps.
    #[track_caller]
    pub fn new<R: IntoIterator<Item = (usize, T), IntoIter: ExactSizeIterator>>(
        op: &str,
        inputs: usize,
        outputs: usize,
        row: impl Fn(usize) -> R,
    ) -> Self {
        let all = (0..outputs).map(|o| row(o).into_iter().len()).sum();
        let mut taps = Taps { inputs, starts: room(op, outputs + 1), taps: room(op, all) };
        taps.starts.push(0);
        (0..outputs).for_each(|o| taps.push(row(o)));
        taps
    }

    /// Appends the next output's taps.
    pub fn push(&mut self, row: impl IntoIterator<Item = (usize, T)>) {
        let first = self.taps.len();
        self.taps.extend(row);
        self.starts.push(self.taps.len());
        debug_assert!(self.taps[first..].iter().all(|&(i, _)| i < self.inputs));
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.starts.len() - 1
    }

    /// The taps of output o.
    #[inline(always)]
    pub fn row(&self, o: usize) -> &[(usize, T)] {
        &self.taps[self.starts[o]..self.starts[o + 1]]
    }

    /// The inputs that any output reads, one for each tap.
    pub fn read(&self) -> impl Iterator<Item = usize> {
        self.taps.iter().map(|tap| tap.0)
    }

    /// For each input the outputs that read it.
    pub fn transpose(&self) -> Self {
        let mut columns = vec![Vec::new(); self.inputs];
        for o in 0..self.outputs() {
            self.row(o).iter().for_each(|&(i, what)| columns[i].push((o, what)));
        }
        let mut taps = Taps::none(self.outputs());
        columns.into_iter().for_each(|column| taps.push(column));
        taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_is_the_identity() {
        let t = Taps::new("", 5, 3, |o| (o..o + 3).map(move |i| (i, i + o)));
        let tt = t.transpose().transpose();
        assert_eq!((t.inputs, t.starts, t.taps), (tt.inputs, tt.starts, tt.taps));
    }
}
