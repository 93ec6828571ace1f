//! Every algorithm that applies, each pass, on the shapes of the project's networks. Names as in the peers'
//! scripts: `cargo bench --bench conv -- r50_l1_3x3/winograd/Forward`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gradus::bench::conv::{Shape, shapes};
use gradus_core::buffer::Buffer;
use gradus_core::ops::conv::{Algorithm, Pass, backward_data, backward_weight, forward};
use gradus_core::{Epilogue, Rng, init};
use std::time::Duration;

fn convolutions(c: &mut Criterion) {
    let mut rng = Rng::seed(0);
    for Shape { name, spec } in shapes() {
        let mut group = c.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(500));
        group.throughput(Throughput::Elements(spec.flops() as u64));
        let mut draw = |len: usize| init::normal::<f32>([len], 0.0, 1.0, &mut rng);
        let (x, w, dy) = (draw(spec.x_len()), draw(spec.w_len()), draw(spec.y_len()));
        let (x, w, dy) = (x.data(), w.data(), dy.data());
        for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&spec)) {
            for pass in Pass::ALL {
                let len = match pass {
                    Pass::Forward => spec.y_len(),
                    Pass::BackwardData => spec.x_len(),
                    Pass::BackwardWeight => spec.w_len(),
                };
                let mut out = Buffer::stale(len);
                group.bench_function(format!("{}/{pass:?}", algorithm.name()), |b| {
                    b.iter(|| match pass {
                        Pass::Forward => forward(algorithm, &spec, x, w, &Epilogue::default(), &mut out),
                        Pass::BackwardData => backward_data(algorithm, &spec, dy, w, &mut out),
                        Pass::BackwardWeight => backward_weight(algorithm, &spec, x, dy, &mut out),
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
