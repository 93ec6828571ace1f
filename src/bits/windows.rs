//! Pooling, resizing and RoIAlign.

use super::case::{Case, op};
use super::draw::signed;
use gradus_core::Activation;
use gradus_core::ops::PoolSpec;
use gradus_core::ops::roi_align::{Roi, RoiAlign};

pub(super) fn cases() -> Vec<Case> {
    let maps = [signed(&[2, 15, 18, 19])];
    let mut cases = vec![
        op("windows/max-pool-2", &maps, |t, x| {
            t.max_pool2d(x[0].clone(), PoolSpec::square(2, 2), Activation::Relu)
        }),
        op("windows/max-pool-3-padded", &maps, |t, x| {
            let spec = PoolSpec { ceil_mode: true, ..PoolSpec::square(3, 2).padded(1) };
            t.max_pool2d(x[0].clone(), spec, Activation::None)
        }),
        op("windows/max-pool-dilated", &maps, |t, x| {
            let spec = PoolSpec { dilation: [2, 1], ..PoolSpec::square(3, 1) };
            t.max_pool2d_with_indices(x[0].clone(), spec).0
        }),
        op("windows/avg-pool", &maps, |t, x| {
            t.avg_pool2d(x[0].clone(), PoolSpec::square(3, 2).padded(1), true)
        }),
        op("windows/avg-pool-without-padding", &maps, |t, x| {
            let spec = PoolSpec { ceil_mode: true, ..PoolSpec::square(4, 3).padded(2) };
            t.avg_pool2d(x[0].clone(), spec, false)
        }),
        op("windows/adaptive-avg-pool", &maps, |t, x| t.adaptive_avg_pool2d(x[0].clone(), [6, 7])),
        op("windows/resize-bilinear-up", &maps, |t, x| t.resize_bilinear(x[0].clone(), [31, 29])),
        op("windows/resize-bilinear-down", &maps, |t, x| t.resize_bilinear(x[0].clone(), [7, 11])),
        op("windows/resize-nearest", &maps, |t, x| t.resize_nearest(x[0].clone(), [23, 36])),
    ];
    let levels = [signed(&[2, 24, 20, 37]), signed(&[2, 12, 10, 37])];
    cases.extend([
        op("windows/roi-align", &levels, |t, x| {
            let align = RoiAlign { output: [7, 7], sampling: 2, aligned: false };
            t.roi_align(x, &[0.25, 0.125], &regions(), align)
        }),
        op("windows/roi-align-adaptive", &levels, |t, x| {
            let align = RoiAlign { output: [3, 5], sampling: 0, aligned: true };
            t.roi_align(x, &[0.25, 0.125], &regions(), align)
        }),
    ]);
    cases
}

/// Regions of images of 96 x 80 pixels, some of which reach out of them.
fn regions() -> Vec<Roi<f32>> {
    let region = |i: usize| {
        let (x, y) = ((i * 13 % 70) as f32 - 4.25, (i * 29 % 80) as f32 - 3.5);
        let (w, h) = (5.125 + (i * 7 % 40) as f32, 3.75 + (i * 17 % 50) as f32);
        Roi { level: i % 2, image: i / 2 % 2, bounds: [x, y, x + w, y + h] }
    };
    (0..24).map(region).collect()
}
