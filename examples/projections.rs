//! Principal components and t-SNE of drawn clusters, timed: `cargo run --release --example projections`.
//!
//! The sizes are those of AlexNet's features on CIFAR-10: 45,000 points of 1,024 dimensions, of which 5,000 are laid out.

use gradus::analysis::{Pca, tsne};
use gradus_core::{Rng, Tensor};
use std::time::Instant;

fn main() {
    let (n, d, groups) = (45_000, 1024, 10);
    let mut rng = Rng::seed(1);
    let centres: Vec<f32> = (0..groups * d).map(|_| rng.normal() as f32).collect();
    // As after ReLU: half of the features are 0.
    let x = Tensor::from_fn([n, d], |i| (centres[i / d % groups * d + i % d] + rng.normal() as f32).max(0.0));

    let start = Instant::now();
    let pca = Pca::fit(&x, 2);
    let seconds = start.elapsed().as_secs_f64();
    let share = (pca.variances[0] + pca.variances[1]) / pca.total;
    println!("PCA of {n} x {d}: {seconds:.2} s; two components hold {:.1} % of the variance", 100.0 * share);

    let few = Tensor::from_slice([5000, d], &x.data()[..5000 * d]);
    let start = Instant::now();
    let y = tsne::embed(&few, &tsne::Settings::default(), |_| {});
    let seconds = start.elapsed().as_secs_f64();
    println!("t-SNE of 5000 x {d}, 1,000 steps: {seconds:.2} s; the first point is at {:?}", &y.data()[..2]);
}
