//! Which boxes are trained on: a share of positives, the rest negatives, chosen at random (Ren et al.,
//! *Faster R-CNN*, 2015, section 3.1.3; torchvision's `BalancedPositiveNegativeSampler`).
//!
//! Of B places at most ⌊B φ⌋ go to positives; negatives take what is left. Which ones is a function of the
//! random stream alone.

use gradus_core::Rng;

/// How many, and how they are shared out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// B, the boxes of an image.
    pub batch_size: usize,
    /// φ, the greatest share of positives.
    pub positive_fraction: f64,
}

/// Places of the chosen boxes, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Those that answer for an object.
    pub positive: Vec<usize>,
    /// Those that show background.
    pub negative: Vec<usize>,
}

impl Samples {
    /// How many.
    pub fn len(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both, in ascending order.
    pub fn all(&self) -> Vec<usize> {
        let mut all = [&self.positive[..], &self.negative].concat();
        all.sort_unstable();
        all
    }
}

impl Sampler {
    /// Chooses among the places of positives and of negatives.
    pub fn sample(&self, positive: Vec<usize>, negative: Vec<usize>, rng: &mut Rng) -> Samples {
        let most = (self.batch_size as f64 * self.positive_fraction) as usize;
        let positive = choose(positive, most, rng);
        let negative = choose(negative, self.batch_size - positive.len().min(self.batch_size), rng);
        Samples { positive, negative }
    }
}

/// At most k of the items, each set of k equally likely, in ascending order: the first k steps of Fisher and
/// Yates' shuffle.
fn choose(mut items: Vec<usize>, k: usize, rng: &mut Rng) -> Vec<usize> {
    if k < items.len() {
        for i in 0..k {
            let j = i + rng.below(items.len() - i);
            items.swap(i, j);
        }
        items.truncate(k);
    }
    items.sort_unstable();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let sampler = Sampler { batch_size: 8, positive_fraction: 0.25 };
        let of = |p: usize, n: usize| {
            let s = sampler.sample((0..p).collect(), (100..100 + n).collect(), &mut Rng::seed(3));
            (s.positive.len(), s.negative.len())
        };
        assert_eq!(of(5, 50), (2, 6));
        assert_eq!(of(1, 50), (1, 7));
        assert_eq!(of(5, 3), (2, 3));
        assert_eq!(of(0, 0), (0, 0));
    }

    #[test]
    fn every_item_is_as_likely() {
        let (mut rng, mut counts) = (Rng::seed(1), [0u32; 10]);
        let n = 20_000;
        for _ in 0..n {
            let chosen = choose((0..10).collect(), 3, &mut rng);
            assert!(chosen.is_sorted() && chosen.len() == 3);
            chosen.iter().for_each(|&i| counts[i] += 1);
        }
        // Binomial with p = 0.3: six standard errors are 6 √(n p (1 - p)) = 389.
        assert!(counts.iter().all(|&c| (f64::from(c) - 0.3 * f64::from(n)).abs() < 389.0), "{counts:?}");
    }

    #[test]
    fn all_may_be_taken() {
        let sampler = Sampler { batch_size: usize::MAX, positive_fraction: 0.5 };
        let s = sampler.sample(vec![1, 4], vec![0, 2, 3], &mut Rng::seed(0));
        assert_eq!((s.all(), s.len()), (vec![0, 1, 2, 3, 4], 5));
    }
}
