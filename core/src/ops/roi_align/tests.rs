//! RoIAlign against its definition, its adjoint and torchvision.

use super::*;
use crate::{init, random::Rng};

const ALIGN: RoiAlign = RoiAlign { output: [2, 3], sampling: 2, aligned: false };

/// The definition, sample by sample.
fn naive(x: &Tensor<f64>, roi: &Roi<f64>, scale: f64, align: RoiAlign) -> Vec<f64> {
    let [_, h, w, c] = x.dims("naive");
    let offset = if align.aligned { 0.5 } else { 0.0 };
    let b = roi.bounds.map(|v| v * scale - offset);
    let least = if align.aligned { f64::NEG_INFINITY } else { 1.0 };
    let (rh, rw) = ((b[3] - b[1]).max(least), (b[2] - b[0]).max(least));
    let [down, across] = align.output;
    let (bh, bw) = (rh / down as f64, rw / across as f64);
    let samples = |bin: f64| if align.sampling > 0 { align.sampling } else { bin.ceil().max(0.0) as usize };
    let (sh, sw) = (samples(bh), samples(bw));
    let mut out = vec![0.0; down * across * c];
    for (o, out) in out.iter_mut().enumerate() {
        let (p, q, ch) = (o / c / across, o / c % across, o % c);
        for s in 0..sh * sw {
            let y = b[1] + p as f64 * bh + ((s / sw) as f64 + 0.5) * bh / sh as f64;
            let z = b[0] + q as f64 * bw + ((s % sw) as f64 + 0.5) * bw / sw as f64;
            if y < -1.0 || y > h as f64 || z < -1.0 || z > w as f64 {
                continue;
            }
            let at =
                |i: usize, j: usize| x.data()[((roi.image * h + i.min(h - 1)) * w + j.min(w - 1)) * c + ch];
            let (y, z) = (y.clamp(0.0, h as f64 - 1.0), z.clamp(0.0, w as f64 - 1.0));
            let (i, j) = (y as usize, z as usize);
            let (a, d) = (y - i as f64, z - j as f64);
            *out += (1.0 - a) * ((1.0 - d) * at(i, j) + d * at(i, j + 1))
                + a * ((1.0 - d) * at(i + 1, j) + d * at(i + 1, j + 1));
        }
        *out /= (sh * sw).max(1) as f64;
    }
    out
}

/// Regions of two maps against the definition, and ⟨dy, A x⟩ = ⟨Aᵀ dy, x⟩, summed over both maps.
fn check(shapes: [[usize; 4]; 2], align: RoiAlign, rng: &mut Rng) {
    let maps: Vec<Tensor<f64>> = shapes.map(|s| init::normal(s, 0.0, 1.0, rng)).into();
    let scales = [0.25, 0.125];
    let rois: Vec<Roi<f64>> = (0..9)
        .map(|k| {
            let (x, y) = (rng.range(-12.0, 40.0), rng.range(-12.0, 32.0));
            let bounds = [x, y, x + rng.range(0.1, 40.0), y + rng.range(0.1, 40.0)];
            Roi { level: k % 2, image: k / 2 % 2, bounds }
        })
        .collect();
    let mut g = Tape::eval();
    let inputs: Vec<_> = maps.iter().map(|m| g.input(m.clone())).collect();
    let y = g.roi_align(&inputs, &scales, &rois, align);
    let each = y.value.len() / rois.len();
    for (roi, got) in rois.iter().zip(y.value.data().chunks(each)) {
        let want = naive(&maps[roi.level], roi, scales[roi.level], align);
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-12), "{roi:?} {align:?}");
    }
    let dy: Tensor<f64> = init::normal(*y.shape(), 0.0, 1.0, rng);
    let dot =
        |a: &Tensor<f64>, b: &Tensor<f64>| -> f64 { a.data().iter().zip(b.data()).map(|(x, y)| x * y).sum() };
    let forward = dot(&dy, &y.value);
    let gradients = g.backward_from([(y.node, dy)]);
    let back: f64 = inputs.iter().zip(&maps).map(|(v, m)| dot(gradients.of(v).unwrap(), m)).sum();
    assert!((forward - back).abs() < 1e-10, "{forward} {back}");
}

#[test]
fn equals_the_definition_and_its_adjoint() {
    let mut rng = Rng::seed(4);
    for align in [
        ALIGN,
        RoiAlign { aligned: true, ..ALIGN },
        RoiAlign { sampling: 0, ..ALIGN },
        RoiAlign { sampling: 0, aligned: true, output: [1, 1] },
    ] {
        for c in [1, 3, 8, 37] {
            check([[2, 9, 11, c], [2, 5, 6, c]], align, &mut rng);
        }
        // Bands of two rows and of one.
        check([[2, 9, BAND / 18, 9], [2, 5, BAND / 18, 9]], align, &mut rng);
        check([[2, 3, BAND, 2], [2, 4, BAND, 2]], align, &mut rng);
    }
}

/// Bands are cut by the threads, the order of additions is not.
#[cfg(feature = "rayon")]
#[test]
fn the_number_of_threads_changes_no_bit() {
    let mut rng = Rng::seed(5);
    let map: Tensor<f32> = init::normal([2, 40, 30, 19], 0.0, 1.0, &mut rng);
    // Regions that overlap: most pixels get several sums.
    let rois: Vec<Roi<f32>> = (0..60)
        .map(|k| {
            let (x, y) = (rng.range(0.0, 60.0) as f32, rng.range(0.0, 90.0) as f32);
            Roi { level: 0, image: k % 2, bounds: [x, y, x + 50.0, y + 60.0] }
        })
        .collect();
    let dy: Tensor<f32> = init::normal([60, 2, 3, 19], 0.0, 1.0, &mut rng);
    let gradient = |threads: usize| {
        parallel::on(threads, || {
            let mut g = Tape::eval();
            let x = g.input(map.clone());
            let y = g.roi_align(std::slice::from_ref(&x), &[0.25], &rois, ALIGN);
            g.backward_from([(y.node, dy.clone())]).of(&x).unwrap().clone()
        })
    };
    let one = gradient(1);
    assert!(one.data().iter().filter(|v| **v != 0.0).count() > one.len() / 4);
    assert!([2, 3, 16].into_iter().all(|threads| gradient(threads) == one));
}

/// Values of torchvision 0.29 in f64; of what is not finite, and without `sampling`, it has 0 as well.
#[test]
fn large_regions_cost_no_more_than_the_map_and_infinite_ones_are_0() {
    const INF: f64 = f64::INFINITY;
    let x = Tensor::from_fn([1, 4, 4, 1], |i| i as f64 + 1.0);
    let of = |bounds: [f64; 4], sampling: usize, aligned: bool| {
        let mut g = Tape::eval();
        let x = g.input(x.clone());
        let roi = Roi { level: 0, image: 0, bounds };
        let align = RoiAlign { output: [2, 2], sampling, aligned };
        let y = g.roi_align(std::slice::from_ref(&x), &[1.0], &[roi], align);
        let dx = g.backward_from([(y.node, Tensor::full(*y.shape(), 1.0))]).of(&x).unwrap().clone();
        (y.value.data().to_vec(), dx.data().to_vec())
    };
    let (y, dx) = of([-1e6, 0.0, 1e6, 3.0], 0, true);
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(y.iter().zip([2.25e-6, 2.025e-5, 8e-6, 4.9e-5]).all(|(&a, b)| close(a, b)), "{y:?}");
    assert!(close(dx.iter().sum(), 1.2e-5) && close(dx[0], 1.375e-6));
    for bounds in [
        [f64::NAN, 0.0, 3.0, 3.0],
        [0.0, 0.0, f64::NAN, 3.0],
        [0.0, 0.0, INF, 3.0],
        [0.0, -INF, 3.0, 3.0],
        [-INF, -INF, INF, INF],
        [INF, 0.0, INF, 3.0],
        [-1e30, 0.0, 1e30, 3.0],
        [0.0, 0.0, 1e10, 3.0],
        [0.0, 0.0, f64::MAX, f64::MAX],
    ] {
        for (sampling, aligned) in [(0, false), (0, true), (2, false), (2, true)] {
            let (y, dx) = of(bounds, sampling, aligned);
            assert!(y.iter().chain(&dx).all(|&v| v == 0.0), "{bounds:?} {sampling} {aligned}: {y:?}");
        }
    }
    // A map without pixels.
    let x = Var::from(Tensor::<f64>::zeros([1, 0, 4, 1]));
    let roi = Roi { level: 0, image: 0, bounds: [0.0, -0.5, 1.0, 0.5] };
    assert_eq!(Tape::infer().roi_align(&[x], &[1.0], &[roi], ALIGN).value.data(), [0.0; 6]);
}

#[test]
fn no_regions_or_bins_give_an_empty_result_and_no_gradient() {
    let region = Roi { level: 0, image: 0, bounds: [0.0, 0.0, 3.0, 3.0] };
    for (rois, output) in [(&[][..], [2, 3]), (&[region], [0, 3]), (&[region], [2, 0])] {
        let mut g = Tape::<f32>::eval();
        let x = g.input(Tensor::full([1, 4, 4, 2], 1.0));
        let y = g.roi_align(std::slice::from_ref(&x), &[1.0], rois, RoiAlign { output, ..ALIGN });
        assert_eq!(y.shape()[..], [rois.len(), output[0], output[1], 2]);
        let zero = g.backward_from([(y.node, Tensor::zeros(*y.shape()))]);
        assert!(zero.of(&x).unwrap().data().iter().all(|v| *v == 0.0));
    }
}
