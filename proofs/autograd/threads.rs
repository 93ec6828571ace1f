//! X1: results have the same bits on 1, 2, 3 and 16 threads, forward and backward.

use crate::property::{refutes, settings as cases};
use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::ops::{ClassLoss, PoolSpec};
use gradus_core::{Activation, Rng, Tape, Tensor, Var, parallel};
use proptest::prelude::*;
use proptest::sample::select;

/// The result of `f` in a pool of this many threads.
fn on<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads").install(f)
}

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let mut rng = Rng::seed(seed);
    Tensor::from_fn(shape, |_| rng.range(-1.0, 1.0) as f32)
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.data().iter().map(|v| v.to_bits()).collect()
}

type Op = fn(&mut Tape, &[Var]) -> Var;

/// Ops on x [n, h, w, c], w [3, 3, c, c] and v [c]: one for each kind of work that is split.
const OPS: [(&str, Op); 14] = [
    ("sum over rows", |t, x| t.sum(x[0].clone(), &[0, 1, 2], false)),
    ("sum of all", |t, x| t.sum(x[0].clone(), &[], false)),
    ("mean over channels", |t, x| t.mean(x[0].clone(), &[3], true)),
    ("broadcast product", |t, x| t.mul(x[0].clone(), x[2].clone())),
    ("softmax", |t, x| t.softmax(x[0].clone(), 1)),
    ("cross entropy", |t, x| {
        let labels = vec![0; x[0].value.len() / x[2].value.len()];
        let how =
            ClassLoss { label_smoothing: 0.1, class_weight: Some(x[2].value.data()), ..ClassLoss::default() };
        t.cross_entropy_with(x[0].clone(), &labels, &how)
    }),
    ("batch norm", |t, x| {
        t.batch_norm_train(x[0].clone(), x[2].clone(), x[2].clone(), 1e-5, Activation::Relu).0
    }),
    ("max pool", |t, x| t.max_pool2d(x[0].clone(), PoolSpec::square(3, 2).padded(1), Activation::Relu)),
    ("resize", |t, x| t.resize_bilinear(x[0].clone(), [31, 17])),
    ("select", |t, x| {
        let n = x[0].shape()[0];
        let rows: Vec<usize> = (0..3 * n).map(|i| i * 7 % n).collect();
        t.index_select(x[0].clone(), 0, &rows)
    }),
    ("permute", |t, x| t.flatten_chw(x[0].clone())),
    ("dropout", |t, x| t.dropout(x[0].clone(), 0.4)),
    ("convolution", |t, x| {
        t.conv2d(x[0].clone(), &x[1], Some(&x[2]), Conv::new(1, 1), Fused::from(Activation::Relu))
    }),
    ("RoIAlign", |t, x| {
        let roi = |i: usize| Roi { level: 0, image: 0, bounds: [0.5, 0.3 * i as f32, 9.0, 7.5] };
        let align = RoiAlign { output: [3, 3], sampling: 2, aligned: false };
        t.roi_align(&x[..1], &[1.0], &(0..9).map(roi).collect::<Vec<_>>(), align)
    }),
];

/// The bits of a result and of all gradients.
fn run(op: Op, image: [usize; 4], seed: u64) -> Vec<Vec<u32>> {
    let c = image[3];
    let mut t = Tape::train(&mut Rng::seed(seed));
    let x = [random(seed, &image), random(!seed, &[3, 3, c, c]), random(seed ^ 1, &[c]).map(|v| v + 2.0)]
        .map(|x| t.input(x));
    let y = op(&mut t, &x);
    let seed = random(seed ^ 2, y.shape());
    let value = y.value.clone();
    let g = t.backward_from([(y.node, seed)]);
    let gradients = x.iter().filter_map(|x| g.of(x)).map(bits);
    std::iter::once(bits(&value)).chain(gradients).collect()
}

proptest! {
    #![proptest_config(cases(42))]

    #[test]
    fn x1_same_bits_on_any_number_of_threads(
        op in select(&OPS[..]), n in 1usize..5, h in 10usize..40, w in 10usize..40, c in select(vec![1usize, 3, 8, 16, 40]), seed: u64,
    ) {
        let one = on(1, || run(op.1, [n, h, w, c], seed));
        for threads in [2, 3, 16] {
            prop_assert!(on(threads, || run(op.1, [n, h, w, c], seed)) == one, "{} on {threads} threads", op.0);
        }
    }
}

/// A sum with one part a thread.
fn sum_by_threads(x: &[f32]) -> u32 {
    let piece = x.len().div_ceil(parallel::threads());
    let parts = parallel::map(x.len().div_ceil(piece), |i| x[i * piece..].iter().take(piece).sum::<f32>());
    parts.into_iter().sum::<f32>().to_bits()
}

#[test]
fn x1_control_work_cut_by_the_number_of_threads_is_refuted() {
    assert!(refutes(16, (any::<u64>(), 100usize..1000), |(seed, n)| {
        let x = random(seed, &[n]);
        let sums: Vec<u32> = (1..4).map(|threads| on(threads, || sum_by_threads(x.data()))).collect();
        prop_assert!(sums[0] == sums[1] && sums[0] == sums[2]);
        Ok(())
    }));
}
