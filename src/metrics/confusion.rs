//! The confusion matrix: how often class i was taken for class j.

use gradus_core::Tensor;
use serde::Serialize;
use std::fmt;

/// The most probable class of each row; the first of equals.
pub fn predictions(logits: &Tensor) -> impl Iterator<Item = usize> {
    let [_, classes] = logits.dims("predictions");
    logits.data().chunks(classes).map(|row| {
        let best = row.iter().enumerate().reduce(|best, v| if v.1 > best.1 { v } else { best });
        best.map_or(0, |(i, _)| i)
    })
}

/// Counts of (true class, predicted class).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    classes: Vec<String>,
    /// Rows are true classes.
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: &[String]) -> Self {
        Confusion { classes: classes.to_vec(), counts: vec![vec![0; classes.len()]; classes.len()] }
    }

    /// An image of class `truth` was taken for `predicted`.
    #[track_caller]
    pub fn add(&mut self, truth: usize, predicted: usize) {
        self.counts[truth][predicted] += 1;
    }

    /// The classes' names.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Rows are true classes, columns predicted ones.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// The fraction of class i's images that were recognised (its recall); `None` where it has none.
    pub fn recall(&self, i: usize) -> Option<f64> {
        let total: u64 = self.counts[i].iter().sum();
        (total > 0).then(|| self.counts[i][i] as f64 / total as f64)
    }

    /// The pairs most often confused: (true class, predicted class, count), the most frequent first.
    pub fn worst(&self, n: usize) -> Vec<(usize, usize, u64)> {
        let mut pairs: Vec<_> = (0..self.classes.len())
            .flat_map(|i| (0..self.classes.len()).map(move |j| (i, j)))
            .filter(|(i, j)| i != j && self.counts[*i][*j] > 0)
            .map(|(i, j)| (i, j, self.counts[i][j]))
            .collect();
        pairs.sort_by_key(|&(i, j, n)| (std::cmp::Reverse(n), i, j));
        pairs.truncate(n);
        pairs
    }
}

impl fmt::Display for Confusion {
    /// Recall by class, and the worst pairs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.classes.iter().map(|c| c.chars().count()).max().unwrap_or(0);
        for (i, class) in self.classes.iter().enumerate() {
            match self.recall(i) {
                Some(r) => writeln!(f, "  {class:width$}  {:5.1} % recognised", 100.0 * r)?,
                None => writeln!(f, "  {class:width$}  no images",)?,
            }
        }
        for (i, j, n) in self.worst(3) {
            let (truth, taken) = (&self.classes[i], &self.classes[j]);
            writeln!(f, "  most often confused: {truth} taken for {taken}, {n} times")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_recall_and_worst() {
        let mut c = Confusion::new(&["a".into(), "b".into(), "c".into()]);
        for (t, p) in [(0, 0), (0, 1), (0, 1), (1, 1), (1, 0)] {
            c.add(t, p);
        }
        assert_eq!(c.recall(0), Some(1.0 / 3.0));
        assert_eq!(c.recall(2), None);
        assert_eq!(c.worst(5), [(0, 1, 2), (1, 0, 1)]);
        assert!(c.to_string().contains("a taken for b, 2 times"));
    }
}
