//! Pictures of how fast the kernels are, drawn from measurements of this machine:
//! `cargo run --release --example performance -- DIR` (two minutes; nothing else should run).
//!
//! * `gemm.png`: a matrix product's share of the peak of fused multiply-adds, over its size.
//! * `roofline.png`: each convolution's rate over its operations for each byte of its three tensors, below the two roofs: the
//!   peak, and the memory's bandwidth. Winograd's saved multiplications count as done.
//! * `scaling.png`: time over the number of images and over the number of pixels, from 1 to 16 times, with lines of slope 1.
//!
//! It also prints how many times as fast two threads are as one.

use gradus::bench::conv::{self, shapes};
use gradus::bench::median;
use gradus::plot::{Chart, Scale, Series, Style, grid};
use gradus_core::gemm::Precision;
use gradus_core::gemm::peak::peak_gflops;
use gradus_core::gemm::{Matrix, gemm};
use gradus_core::optim::{Adam, Optimizer};
use gradus_core::{Epilogue, Rng, Tape, Tensor, init, parallel};
use gradus_models::AlexNet;
use gradus_models::resnet::{Depth, ResNet};
use std::path::Path;

/// The median rate of an m x k by k x n product, in GFLOP/s.
fn product(m: usize, n: usize, k: usize) -> f64 {
    let mut rng = Rng::seed(1);
    let mut draw = |len| init::normal::<f32>([len], 0.0, 1.0, &mut rng);
    let (a, b, mut c) = (draw(m * k), draw(k * n), Tensor::<f32>::zeros([m * n]));
    let flops = 2.0 * (m * n * k) as f64;
    // Runs of some milliseconds: one of a tenth of one would show how quickly a thread happened to wake.
    let repeats = (1e9 / flops).ceil().max(1.0) as usize;
    let seconds = median(2, 9, || {
        for _ in 0..repeats {
            let (a, b) = (Matrix::new(a.data(), m, k), Matrix::new(b.data(), k, n));
            gemm(a, b, c.data_mut(), &Epilogue::default());
        }
    });
    flops * repeats as f64 / seconds / 1e9
}

fn gemm_picture() -> Chart {
    const SIZES: [usize; 15] = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];
    let title = format!("Matrix products of f32, {} threads", parallel::threads());
    let mut chart =
        Chart::new(title, "size s", "share of the peak of fused multiply-adds (%)").x_scale(Scale::Log);
    type Shape = fn(usize) -> (usize, usize, usize);
    let kinds: [(&str, Shape); 4] = [
        ("s x s x s", |s| (s, s, s)),
        ("odd: (s + 1) x (s + 3) x (s + 5)", |s| (s + 1, s + 3, s + 5)),
        ("64 rows: 64 x s x s", |s| (64, s, s)),
        ("a depth of 64: s x s x 64", |s| (s, s, 64)),
    ];
    for (name, shape) in kinds {
        let point = |&s: &usize| {
            let (m, n, k) = shape(s);
            let before = peak_gflops(3);
            let rate = product(m, n, k);
            (s as f64, 200.0 * rate / (before + peak_gflops(3)))
        };
        chart = chart.with(Series::line(name, SIZES.iter().map(point).collect()));
    }
    chart
}

/// The memory's bandwidth in 10^9 bytes a second: y += x over 256 MiB each, two reads and a write.
fn bandwidth() -> f64 {
    let n = 64 << 20;
    let (x, mut y) = (vec![1f32; n], vec![0f32; n]);
    let seconds = median(1, 5, || {
        parallel::chunks(&mut y, 1 << 20, |i, y| {
            y.iter_mut().zip(&x[i << 20..]).for_each(|(y, x)| *y += x);
        });
    });
    12.0 * n as f64 / seconds / 1e9
}

fn roofline() -> Chart {
    let (peak, memory) = (peak_gflops(20), bandwidth());
    println!("peak {peak:.0} GFLOP/s, memory {memory:.1} GB/s");
    let title = format!("Convolutions of the networks, {} threads", parallel::threads());
    let roof = |x: f64| (x, (x * memory).min(peak));
    let knee = peak / memory;
    let mut chart = Chart::new(title, "operations for each byte of x, w and y", "GFLOP/s")
        .x_scale(Scale::Log)
        .y_scale(Scale::Log)
        .with(Series::line(
            format!("roofs: {memory:.0} GB/s, {peak:.0} GFLOP/s of multiply-adds"),
            vec![roof(0.5), roof(knee), roof(700.0)],
        ));
    let timings = conv::run(7, Precision::F32, |_| ());
    let intensity = |name: &str| {
        let spec = shapes().find(|s| s.name == name).expect("a timed shape").spec;
        spec.flops() / (4 * (spec.x_len() + spec.w_len() + spec.y_len())) as f64
    };
    for (algorithm, name) in [
        ("depthwise", "by channel"),
        ("direct", "direct (first layers)"),
        ("im2col", "im2col"),
        ("winograd", "Winograd (counts the products it saves)"),
    ] {
        let of = timings.0.iter().filter(|t| t.algorithm.starts_with(algorithm));
        let points = of.map(|t| (intensity(t.shape), t.gflops)).collect();
        chart = chart.with(Series::new(name, points, Style::Dots));
    }
    chart
}

/// Milliseconds of a training step of the CIFAR-10 AlexNet.
fn alexnet_step(batch: usize) -> f64 {
    let mut rng = Rng::seed(0);
    let mut net = AlexNet::cifar(10, &mut rng);
    let mut adam = Optimizer::new(Adam::new(1e-3));
    let images = init::normal::<f32>([batch, 32, 32, 3], 0.0, 1.0, &mut rng);
    let labels: Vec<usize> = (0..batch).map(|_| rng.below(10)).collect();
    1e3 * median(2, 5, || {
        let mut g = Tape::train(&mut rng);
        let logits = net.forward(&mut g, images.clone().into());
        let loss = g.cross_entropy(logits, &labels);
        adam.step(&mut net, &g.backward(&loss)).unwrap();
    })
}

/// Milliseconds of its forward pass.
fn alexnet_inference(batch: usize) -> f64 {
    let mut rng = Rng::seed(0);
    let net = AlexNet::<f32>::cifar(10, &mut rng);
    let images = init::normal::<f32>([batch, 32, 32, 3], 0.0, 1.0, &mut rng);
    1e3 * median(2, 5, || {
        net.forward(&mut Tape::infer(), images.clone().into());
    })
}

/// Milliseconds of a ResNet-18's forward pass on one image of side x side pixels.
fn resnet(side: usize) -> f64 {
    let net = ResNet::<f32>::new(Depth::R18, 10, &mut Rng::seed(0));
    let image = init::normal::<f32>([1, side, side, 3], 0.0, 1.0, &mut Rng::seed(1));
    1e3 * median(2, 5, || {
        net.forward(&mut Tape::infer(), image.clone().into());
    })
}

/// Measured points, and the line of slope 1 through the last.
fn growth(chart: Chart, name: &str, points: Vec<(f64, f64)>) -> Chart {
    let (x, y) = points[points.len() - 1];
    let straight = vec![(points[0].0, y * points[0].0 / x), (x, y)];
    chart.with(Series::line(name, points)).with(Series::new("", straight, Style::Faint))
}

fn scaling() -> Vec<Chart> {
    let log =
        |x: &str, title: &str| Chart::new(title, x, "time (ms)").x_scale(Scale::Log).y_scale(Scale::Log);
    let batches = [32, 64, 128, 256, 512];
    let over = |f: fn(usize) -> f64| batches.iter().map(|&b| (b as f64, f(b))).collect();
    let mut images = log("images in a batch", "AlexNet for CIFAR-10 (pale: proportional)");
    images = growth(images, "training step", over(alexnet_step));
    images = growth(images, "inference", over(alexnet_inference));
    let sides = [200, 283, 400, 566, 800];
    let points = sides.iter().map(|&s| ((s * s) as f64 / 1e3, resnet(s))).collect();
    let pixels = growth(
        log("pixels of the image (thousands)", "ResNet-18, one image (pale: proportional)"),
        "inference",
        points,
    );
    vec![images, pixels]
}

/// How many times as fast two threads are as one.
fn threads() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
    let (one, two) = (pool(1), pool(2));
    let ratio = |name: &str, f: &(dyn Fn() -> f64 + Sync)| {
        let mut ratios: Vec<f64> = (0..3).map(|_| one.install(f) / two.install(f)).collect();
        ratios.sort_by(f64::total_cmp);
        println!("{name}: two threads {:.2} times as fast as one", ratios[1]);
    };
    ratio("AlexNet, training step of 256 images", &|| alexnet_step(256));
    ratio("AlexNet, inference of 256 images", &|| alexnet_inference(256));
    ratio("ResNet-18, one image of 800 x 800", &|| resnet(800));
    ratio("product of 2048 x 2048 x 2048", &|| 1.0 / product(2048, 2048, 2048));
}

fn main() {
    let out = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let out = Path::new(&out);
    std::fs::create_dir_all(out).expect("the folder can be made");
    threads();
    // On one of the pool's threads, as the command: a caller from outside is one thread more than there are processors.
    let pictures = rayon::scope(|_| {
        [
            ("gemm.png", gemm_picture().image()),
            ("roofline.png", roofline().image()),
            ("scaling.png", grid(&scaling(), 2)),
        ]
    });
    for (name, image) in pictures {
        image.save_png(out.join(name)).expect("the picture can be written");
        println!("{}", out.join(name).display());
    }
}
