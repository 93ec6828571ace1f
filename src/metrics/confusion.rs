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
    /// Whether the last class is none: where no object is, or none was found.
    #[serde(skip)]
    background: bool,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: &[String]) -> Self {
        Confusion {
            classes: classes.to_vec(),
            counts: vec![vec![0; classes.len()]; classes.len()],
            background: false,
        }
    }

    /// The same of objects in images, which may be missed, or found where there is none: behind the classes
    /// stands `background`.
    pub fn of_objects(classes: &[String]) -> Self {
        Confusion { background: true, ..Self::new(&[classes, &["background".into()]].concat()) }
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

    fn is_background(&self, i: usize) -> bool {
        self.background && i + 1 == self.classes.len()
    }

    /// The fraction of class i's images or objects that were recognised (its recall); `None` where it has
    /// none, and of the background.
    pub fn recall(&self, i: usize) -> Option<f64> {
        let total: u64 = self.counts[i].iter().sum();
        (total > 0 && !self.is_background(i)).then(|| self.counts[i][i] as f64 / total as f64)
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
        let (known, [what, done]) = match self.background {
            true => (&self.classes[..self.classes.len() - 1], ["objects", "found"]),
            false => (&self.classes[..], ["images", "recognised"]),
        };
        let width = known.iter().map(|c| c.chars().count()).max().unwrap_or(0);
        for (i, class) in known.iter().enumerate() {
            match self.recall(i) {
                Some(r) => writeln!(f, "  {class:width$}  {:5.1} % {done}", 100.0 * r)?,
                None => writeln!(f, "  {class:width$}  no {what}")?,
            }
        }
        for (i, j, n) in self.worst(3) {
            let (truth, taken) = (&self.classes[i], &self.classes[j]);
            let times = if n == 1 { "once".into() } else { format!("{n} times") };
            match (self.is_background(i), self.is_background(j)) {
                (true, _) => writeln!(f, "  most often wrong: {taken} found where there is none, {times}")?,
                (_, true) => writeln!(f, "  most often wrong: {truth} missed, {times}")?,
                _ => writeln!(f, "  most often confused: {truth} taken for {taken}, {times}")?,
            }
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
