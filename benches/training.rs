//! A training step of AlexNet (forward, backward, Adam), and its parts.

use criterion::{Criterion, criterion_group, criterion_main};
use gradus_core::optim::{Adam, Optimizer};
use gradus_core::{Rng, Tape, Tensor, init};
use gradus_models::AlexNet;

fn batch(n: usize, side: usize, rng: &mut Rng) -> (Tensor, Vec<usize>) {
    let labels = (0..n).map(|_| rng.below(10)).collect();
    (init::normal([n, side, side, 3], 0.0, 1.0, rng), labels)
}

fn cifar(c: &mut Criterion) {
    let mut rng = Rng::seed(0);
    let mut net = AlexNet::<f32>::cifar(10, &mut rng);
    let mut adam = Optimizer::new(Adam::new(1e-3));
    let (images, labels) = batch(256, 32, &mut rng);
    let mut group = c.benchmark_group("alexnet_cifar_256");
    group.sample_size(10);
    group.bench_function("step", |b| {
        b.iter(|| {
            let mut g = Tape::train(&mut rng);
            let logits = net.forward(&mut g, images.clone().into());
            let loss = g.cross_entropy(logits, &labels);
            adam.step(&mut net, &g.backward(&loss)).unwrap();
        });
    });
    group.bench_function("inference", |b| b.iter(|| net.forward(&mut Tape::infer(), images.clone().into())));
    group.finish();
}

criterion_group!(benches, cifar);
criterion_main!(benches);
