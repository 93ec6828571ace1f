//! How work is cut into pieces: functions of numbers alone.
//!
//! The bits of a result may not depend on the number of threads. A cut therefore comes in two kinds. One says
//! *how* a number is made (where a sum is interrupted), and looks at shapes only; those stand beside the
//! kernels. The other says *who* makes it, and may look at the threads; those are here, where they can be
//! tested with numbers.

use std::ops::Range;

/// The pieces that are a member's at first: consecutive ones, as many as the others' or one more.
pub(crate) fn share(member: usize, members: usize, pieces: usize) -> Range<usize> {
    member * pieces / members..(member + 1) * pieces / members
}

/// Whether so many equal pieces keep all threads busy for four fifths of the time, the last round counted.
pub(crate) fn is_even(pieces: usize, threads: usize) -> bool {
    pieces * 5 >= pieces.next_multiple_of(threads) * 4
}

/// So many pieces without a last round of a few.
fn whole_rounds(pieces: usize, threads: usize) -> usize {
    if pieces > threads { pieces / threads * threads } else { pieces }
}

/// The i-th of `ranges` ranges of panels, which differ by at most one.
fn range(i: usize, ranges: usize, panels: usize) -> Range<usize> {
    let start = |i: usize| (i * panels).div_ceil(ranges);
    start(i)..start(i + 1)
}

/// What the busiest thread multiplies, panels by a `down`-th of the rows, if each has as many of the tasks,
/// as they come.
fn busiest(panels: usize, across: usize, down: usize, threads: usize) -> usize {
    let of_task = |i: usize| range(i % across, across, panels).len();
    let of_thread = |t: usize| share(t, threads, down * across).map(of_task).sum();
    (0..threads).map(of_thread).max().unwrap_or(0)
}

/// A product's extents, as far as its cut depends on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub rows: usize,
    pub depth: usize,
    pub cols: usize,
    /// What the columns are packed into.
    pub panels: usize,
    /// Rows of a tile.
    pub tile: usize,
}

impl Extents {
    /// 2^20 multiply-adds.
    fn millions(&self) -> usize {
        (self.rows * self.cols * self.depth) >> 20
    }

    /// One task below four million multiply-adds, which take less time than a thread to wake; else tasks of
    /// about a million, at most 64. Measured on two threads: 128^3, two million, took 96 us there and takes
    /// 21 on one.
    fn tasks(&self) -> usize {
        if self.millions() < 4 { 1 } else { self.millions().min(64) }
    }
}

/// A product's result, cut into tasks of rows by panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    rows: usize,
    panels: usize,
    /// Rows of a task.
    down: usize,
    /// Tasks beside one another.
    across: usize,
}

impl Cut {
    fn new(of: Extents, down: usize, across: usize) -> Cut {
        let down = of.rows.div_ceil(down).next_multiple_of(of.tile);
        Cut { rows: of.rows, panels: of.panels, down, across }
    }

    /// With a right operand that is packed beforehand. Tasks have at least 64 rows where there are so many,
    /// 256 by a large right operand, but there are as many as threads if 64 rows are left to each. Panels are
    /// shared out where this leaves tasks of more than four million multiply-adds, or less than four for a
    /// thread; 32 tasks in all. Where strips of the left operand are made (`copied`), each serves at least
    /// six panels, to pay for it: measured in bf16, 256 x 1024 x 4096 took 5.4 ms with two panels and 3.2 to
    /// 4.2 with six. The other numbers were not measured one by one.
    pub fn of_packed(of: Extents, threads: usize, copied: bool) -> Cut {
        let tasks = of.tasks();
        let least = if of.cols * of.depth > 1 << 18 { 256 } else { 64 };
        let down = tasks.min(of.rows.div_ceil(least));
        let most = if copied { (of.panels / 6).max(1) } else { of.panels };
        let wanted = (of.millions() / 4).max(4 * threads).min(tasks).min(32);
        let fewest = (wanted / down).clamp(1, most);
        let even = |&across: &usize| across == 1 || is_even(across * down, threads);
        let across = (fewest..=most.min(2 * fewest)).find(even).unwrap_or(fewest);
        let down = down.max((threads / across).min(of.rows / 64).min(tasks));
        Cut::new(of, if across == 1 { whole_rounds(down, threads) } else { down }, across)
    }

    /// With a right operand that each task packs for itself: tasks are few and long, so that it is packed few
    /// times.
    pub fn of_fresh(of: Extents, threads: usize) -> Cut {
        let tasks = of.tasks();
        // Powers of two: whole rounds for two threads, four or eight.
        let across = 1 << (of.panels / 5).clamp(1, tasks.min(16)).ilog2();
        let down = tasks.div_ceil(across).min(of.rows.div_ceil(1024).max(threads.min(4) / across));
        // Packing twice takes as long as some 16 rows: less than a thread may wait for another's last panel.
        // Measured: 700 x 512 x 2048 on two threads, 11 panels, took 3.20 ms in two tasks and takes 3.05 in
        // four.
        let (whole, half) =
            (of.rows.next_multiple_of(of.tile), of.rows.div_ceil(2).next_multiple_of(of.tile));
        let busiest = |down| busiest(of.panels, across, down, threads);
        let uneven = down == 1 && across >= threads && busiest(1) * whole > busiest(2) * (half + 8);
        Cut::new(of, if uneven { 2 } else { whole_rounds(down, threads) }, across)
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.rows.div_ceil(self.down) * self.across
    }

    /// The rows and the panels of a task.
    pub fn task(&self, i: usize) -> (Range<usize>, Range<usize>) {
        let from = i / self.across * self.down;
        (from..self.rows.min(from + self.down), range(i % self.across, self.across, self.panels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_pieces_waste_no_more_than_a_fifth() {
        let even = |threads, pieces| is_even(pieces, threads);
        assert!((1..50).all(|n| even(1, n)));
        assert!(even(2, 4) && even(2, 9) && !even(2, 1) && !even(2, 3));
        assert!(even(16, 16) && even(16, 13) && even(16, 26) && !even(16, 12) && !even(16, 18));
    }

    #[test]
    fn the_busiest_thread() {
        // 11 panels for two threads: 6 and 5, or 11 of half of the rows each.
        assert_eq!([busiest(11, 2, 1, 2), busiest(11, 2, 2, 2)], [6, 11]);
        // 7 and 7, 7 and 6.
        assert_eq!([busiest(27, 4, 1, 2), busiest(27, 4, 2, 2)], [14, 27]);
        assert_eq!([busiest(27, 4, 1, 4), busiest(27, 4, 2, 4)], [7, 14]);
        assert_eq!([busiest(27, 4, 1, 1), busiest(27, 4, 2, 1)], [27, 54]);
    }

    /// Tiles of four rows, panels of eight columns.
    fn extents(rows: usize, panels: usize, depth: usize) -> Extents {
        Extents { rows, depth, cols: 8 * panels, panels, tile: 4 }
    }

    /// Tasks of rows, and beside one another.
    fn shape(cut: Cut) -> (usize, usize) {
        (cut.rows.div_ceil(cut.down), cut.across)
    }

    #[test]
    fn packed_panels_are_shared_out() {
        let cut = |threads: usize, rows: usize, panels: usize, depth: usize| {
            shape(Cut::of_packed(extents(rows, panels, depth), threads, false))
        };
        // 2 million multiply-adds are one task.
        assert_eq!([1, 2, 16].map(|threads| cut(threads, 128, 32, 64)), [(1, 1); 3]);
        // 48 million: twelve tasks of four million, more where twelve are less than four for each of the
        // threads.
        assert_eq!([1, 2, 16].map(|threads| cut(threads, 256, 48, 512)), [(4, 3), (4, 3), (4, 8)]);
        // 1024 million: as many as are taken.
        assert_eq!(cut(2, 256, 256, 2048), (1, 32));
        // Five for four threads would leave three of them idle in the last round, seven leave one.
        assert_eq!([2, 4].map(|threads| cut(threads, 64, 40, 256)), [(1, 5), (1, 7)]);
    }

    #[test]
    fn tasks_that_pack_come_in_whole_rounds() {
        const DEPTH: usize = 8192;
        let cut = |threads: usize, rows: usize, panels: usize, depth: usize| {
            shape(Cut::of_fresh(extents(rows, panels, depth), threads))
        };
        // Small products are one task.
        assert_eq!([1, 2, 16].map(|threads| cut(threads, 20, 11, 64)), [(1, 1); 3]);
        // Three tasks of rows for three threads, or one, two for two.
        assert_eq!([1, 2, 3].map(|threads| cut(threads, 2800, 6, DEPTH)), [(3, 1), (2, 1), (3, 1)]);
        // 11 panels for two threads are cut by rows as well, 12 are not; few rows are not worth packing
        // twice.
        assert_eq!([11, 12].map(|panels| cut(2, 700, panels, DEPTH)), [(2, 2), (1, 2)]);
        assert_eq!(cut(2, 64, 11, DEPTH), (1, 2));
    }

    #[test]
    fn every_number_of_the_result_is_in_one_task() {
        for (rows, panels, depth) in
            [(1, 1, 1), (700, 11, 8192), (64, 40, 256), (2800, 6, 8192), (5, 256, 2048)]
        {
            for threads in [1, 2, 3, 4, 16] {
                let of = extents(rows, panels, depth);
                for cut in [Cut::of_packed(of, threads, true), Cut::of_fresh(of, threads)] {
                    let mut seen = vec![0; rows * panels];
                    for (rows, panels_of_task) in (0..cut.tasks()).map(|i| cut.task(i)) {
                        rows.for_each(|r| panels_of_task.clone().for_each(|p| seen[r * panels + p] += 1));
                    }
                    assert!(seen.iter().all(|&n| n == 1), "{of:?} on {threads} threads: {cut:?}");
                }
            }
        }
    }
}
