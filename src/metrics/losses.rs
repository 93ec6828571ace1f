//! The images that a classifier is most wrong about: those of the greatest cross-entropy
//! ln Σ exp(z_j) − z_true of their logits z, which is −ln of the true class's probability.

use gradus_core::{Tensor, elementary};

use super::confusion::predictions;

/// An image and how it was judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Its place in the data set.
    pub index: usize,
    /// Its class.
    pub truth: usize,
    /// The most probable class.
    pub predicted: usize,
    /// The cross-entropy, in nats.
    pub loss: f64,
}

/// The greatest losses so far.
#[derive(Clone, Debug)]
pub struct TopLosses {
    most: usize,
    worst: Vec<Loss>,
}

impl TopLosses {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        TopLosses { most, worst: Vec::new() }
    }

    /// Looks at a batch: places in the data set, classes, and logits `[n, classes]`.
    pub fn add(&mut self, indices: &[usize], labels: &[usize], logits: &Tensor) {
        let [_, classes] = logits.dims("TopLosses::add");
        let rows = logits.data().chunks(classes).zip(predictions(logits));
        for ((&index, &truth), (row, predicted)) in indices.iter().zip(labels).zip(rows) {
            let z = |v: f32| f64::from(v) - f64::from(row[predicted]);
            let sum: f64 = row.iter().map(|&v| elementary::exp(z(v))).sum();
            self.worst.push(Loss { index, truth, predicted, loss: elementary::ln(sum) - z(row[truth]) });
        }
        self.worst.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.index.cmp(&b.index)));
        self.worst.truncate(self.most);
    }

    /// The greatest first; of equals the first in the data set.
    pub fn worst(&self) -> &[Loss] {
        &self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_come_first_whatever_the_batches() {
        // Probabilities of the truth 1/4, 3/4 and 1/2, so that the losses are ln 4, ln 4/3, ln 2.
        let [three, large] = [3.0_f64.ln() as f32, 1000.0];
        let rows = [[three, 0.0], [three, 0.0], [large, large]];
        let (labels, indices) = ([1, 0, 1], [7, 8, 9]);
        let mut top = TopLosses::new(2);
        for k in 0..3 {
            top.add(&indices[k..=k], &labels[k..=k], &Tensor::from_slice([1, 2], &rows[k]));
        }
        let found: Vec<_> = top.worst().iter().map(|l| (l.index, l.truth, l.predicted)).collect();
        assert_eq!(found, [(7, 1, 0), (9, 1, 0)]);
        for (loss, want) in top.worst().iter().zip([4.0_f64.ln(), 2.0_f64.ln()]) {
            assert!((loss.loss - want).abs() < 1e-6, "{} {want}", loss.loss);
        }
    }
}
