//! After its second step training asks the system for no more tensor memory. Alone in its file: the pool that
//! counts is the process's. On one thread, so that the count is exact: on several, how many kernels hold
//! scratch at one moment is a matter of timing.

use gradus_core::optim::{Adam, Optimizer};
use gradus_core::{Element, Rng, Tape, init};
use gradus_models::AlexNet;

#[test]
fn a_training_step_allocates_no_tensor_buffer_after_the_second() {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let counts = one.install(allocations_by_step);
    assert!(counts[0] > 30, "the pool counts: {counts:?}");
    assert!(
        counts[2..].iter().all(|&n| n == counts[1]),
        "buffers asked of the system, step by step: {counts:?}"
    );
}

fn allocations_by_step() -> Vec<usize> {
    let mut rng = Rng::seed(1);
    let mut net = AlexNet::<f32>::cifar(10, &mut rng);
    let mut adam = Optimizer::new(Adam::new(1e-3));
    let labels: Vec<usize> = (0..32).map(|_| rng.below(10)).collect();
    let mut counts = Vec::new();
    for _ in 0..6 {
        let images = init::normal::<f32>([32, 32, 32, 3], 0.0, 1.0, &mut rng);
        let mut g = Tape::train(&mut rng);
        let logits = net.forward(&mut g, images.into());
        let loss = g.cross_entropy(logits, &labels);
        adam.step(&mut net, &g.backward(&loss)).unwrap();
        counts.push(f32::arena().stats().allocations);
    }
    counts
}
