//! X1 for whole training steps: the same bits on 1, 2 and 3 threads.

use gradus_core::optim::{Adam, Optimizer};
use gradus_core::{Rng, Tape, init};
use gradus_models::AlexNet;
use gradus_models::checkpoint::state_dict;

fn three_steps() -> Vec<u8> {
    let mut rng = Rng::seed(7);
    let mut net = AlexNet::<f32>::cifar(10, &mut rng);
    let mut adam = Optimizer::new(Adam::new(1e-3));
    for _ in 0..3 {
        let images = init::normal::<f32>([24, 32, 32, 3], 0.0, 1.0, &mut rng);
        let labels: Vec<usize> = (0..24).map(|_| rng.below(10)).collect();
        let mut g = Tape::train(&mut rng);
        let logits = net.forward(&mut g, images.into());
        let loss = g.cross_entropy(logits, &labels);
        adam.step(&mut net, &g.backward(&loss)).unwrap();
    }
    state_dict(&mut net).values().flat_map(|t| t.bytes().to_vec()).collect()
}

#[test]
fn x1_training_has_the_same_bits_on_any_number_of_threads() {
    let on = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(three_steps);
    let one = on(1);
    // A comparison of megabytes as a whole: assert_eq would print them.
    assert!(on(2) == one, "2 threads");
    assert!(on(3) == one, "3 threads");
}
