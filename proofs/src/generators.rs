//! What the properties are about, drawn at random: steps and curvatures, images, boxes.

use crate::rational::Rational;
use gradus_core::Tensor;
use gradus_models::detection::boxes::BBox;
use proptest::prelude::*;

/// A number k / 2^bits with |k| <= limit: sums and products of a few of these are exact in floats.
pub fn dyadic(limit: i32, bits: u32) -> impl Strategy<Value = f64> {
    (-limit..=limit).prop_map(move |k| f64::from(k) / f64::from(1u32 << bits))
}

/// A positive one, k in 1..=limit.
pub fn positive_dyadic(limit: i32, bits: u32) -> impl Strategy<Value = f64> {
    (1..=limit).prop_map(move |k| f64::from(k) / f64::from(1u32 << bits))
}

/// An image [1, H, W, C] of 8-bit values, H and W of `sides`: any values, black and white, or nearly flat.
pub fn bytes_image(sides: std::ops::Range<usize>, channels: usize) -> impl Strategy<Value = Tensor> {
    (sides.clone(), sides, 0..3u8, 0..=255u8).prop_flat_map(move |(h, w, kind, flat)| {
        let level = match kind {
            0 => (0..=255u8).boxed(),
            1 => prop_oneof![Just(0u8), Just(255u8)].boxed(),
            _ => prop_oneof![9 => Just(flat), 1 => Just(flat.saturating_sub(1))].boxed(),
        };
        prop::collection::vec(level, h * w * channels)
            .prop_map(move |v| Tensor::from_fn([1, h, w, channels], |i| f32::from(v[i])))
    })
}

/// A box with corners on the grid 0..=size, of positive area: ties and touches are frequent.
pub fn grid_box(size: i64) -> impl Strategy<Value = BBox<i64>> {
    let side = move || (0..size).prop_flat_map(move |low| (Just(low), low + 1..=size));
    (side(), side()).prop_map(|((x1, x2), (y1, y2))| [x1, y1, x2, y2])
}

/// A box of floats: sizes and places over many orders of magnitude, far from overflow, corners often shared
/// with other boxes.
pub fn float_box() -> impl Strategy<Value = BBox<f32>> {
    let place = prop_oneof![
        4 => -1e3f32..1e3,
        1 => (-8i8..8).prop_map(f32::from),
        1 => (-30i32..30, 1f32..2.0).prop_map(|(e, m)| m * 2f32.powi(e)),
        1 => (1f32..2.0).prop_map(|m| 16_777_216.0 * m),
    ];
    let size = prop_oneof![
        4 => 0f32..1e3,
        1 => (0u8..8).prop_map(f32::from),
        1 => (-60i32..30, 1f32..2.0).prop_map(|(e, m)| m * 2f32.powi(e)),
    ];
    (place.clone(), place, size.clone(), size).prop_map(|(x, y, w, h)| [x, y, x + w, y + h])
}

/// Two boxes that lie in all ways to each other: apart, overlapping, nested, equal, sharing corners, an ulp
/// apart.
pub fn float_boxes() -> impl Strategy<Value = (BBox<f32>, BBox<f32>)> {
    let shift = prop_oneof![Just(0f32), -1f32..1.0, (-30i32..0).prop_map(|e| 2f32.powi(e))];
    (float_box(), float_box(), prop::array::uniform4(shift), 0..4u8).prop_map(
        |(a, b, shift, kind)| match kind {
            0 => (a, b),
            1 => (a, a),
            // A box near a: each corner moved by a part of the side's length.
            2 => {
                let size = [a[2] - a[0], a[3] - a[1]];
                (a, ordered(std::array::from_fn(|i| a[i] + shift[i] * size[i % 2])))
            }
            // Some corners taken over.
            _ => (a, ordered(std::array::from_fn(|i| if shift[i] == 0.0 { a[i] } else { b[i] }))),
        },
    )
}

/// The same box with its corners in order.
pub fn ordered(b: BBox<f32>) -> BBox<f32> {
    [b[0].min(b[2]), b[1].min(b[3]), b[0].max(b[2]), b[1].max(b[3])]
}

/// A box as exact fractions.
pub fn exact(b: &BBox<i64>) -> BBox<Rational> {
    b.map(Rational::from)
}

/// A box of integers as floats.
pub fn floats(b: &BBox<i64>) -> BBox<f32> {
    b.map(|v| v as f32)
}
