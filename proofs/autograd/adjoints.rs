//! A2: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ within 2 γ_n ⟨|A| |x|, |y|⟩ for linear ops, in both precisions, with Aᵀ what
//! backward computes.

use super::{MOVES, Tape64, convolution, fits, image, move_elements, regions, spatial};
use crate::adjoint::is_adjoint;
use crate::gradient::distinct;
use crate::property::{refutes, settings as cases};
use gradus_core::ops::PoolSpec;
use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::ops::roi_align::Roi;
use gradus_core::{Activation, Element, Tape, Tensor, Var};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a2_averages_and_resizing(which in 0..4, image in image(), wide in 1usize..40, size in (1usize..12, 1usize..12), k in 1usize..4, pad: bool, seed: u64) {
        a2_spatial::<f32>(which, [image[0], image[1], image[2], wide], [size.0, size.1], k, pad, seed)?;
        a2_spatial::<f64>(which, image, [size.0, size.1], k, pad, seed)?;
    }

    #[test]
    fn a2_convolution((image, geometry, kernel, out) in convolution(), wide in 1usize..9, seed: u64) {
        let wide_image = [image[0], image[1], image[2], wide * geometry.groups];
        a2_conv::<f32>(wide_image, geometry, kernel, wide * out, seed)?;
        a2_conv::<f64>(image, geometry, kernel, out, seed)?;
    }

    #[test]
    fn a2_linear(rows in 1usize..20, inputs in 1usize..80, outputs in 1usize..80, seed: u64) {
        a2_linear_in::<f32>(rows, inputs, outputs, seed)?;
        a2_linear_in::<f64>(rows, inputs, outputs, seed)?;
    }

    #[test]
    fn a2_roi_align(image in image(), wide in 1usize..40, sampling in 0usize..3, aligned: bool, seed: u64) {
        a2_roi::<f32>([image[0], image[1], image[2], wide], sampling, aligned, seed)?;
        a2_roi::<f64>(image, sampling, aligned, seed)?;
    }

    #[test]
    fn a2_moves_and_sums(which in 0..MOVES + 1, shape in prop::collection::vec(1usize..9, 3), seed: u64) {
        // No element is read more than 512 times; sums have at most 512 terms.
        let n = 512 + shape.iter().product::<usize>();
        let op32 = |t: &mut Tape<f32>, x| if which == MOVES { t.sum(x, &[(seed % 3) as isize], false) } else { move_elements(t, x, which, seed) };
        is_adjoint(seed, &shape, n, op32, op32)?;
        let op64 = |t: &mut Tape64, x| if which == MOVES { t.mean(x, &[(seed % 3) as isize], false) } else { move_elements(t, x, which, seed) };
        is_adjoint(seed, &shape, n + 1, op64, op64)?;
    }
}

/// Elements of an image: no sum here, forward, backward or inner product, has more terms.
fn area<const N: usize>(a: [usize; N]) -> usize {
    a.iter().product()
}

fn a2_spatial<E: Element>(
    which: i32,
    image: [usize; 4],
    size: [usize; 2],
    k: usize,
    pad: bool,
    seed: u64,
) -> Result<(), TestCaseError> {
    let spec = PoolSpec::square(k, k.div_ceil(2)).padded(k / 2);
    prop_assume!(which > 0 || fits(&spec, image));
    let op = |t: &mut Tape<E>, x| spatial(t, x, which, spec, size, pad);
    // Weights are products of two rounded numbers: four roundings a term beside those of the sums. All are
    // positive: |A| = A.
    let n = 4
        + area([image[1], image[2]]).max(area(size).max(area([image[1] + 3, image[2] + 3])))
        + inner_terms::<E>(area(image).max(image[0] * image[3] * area(size)));
    is_adjoint(seed, &image, n, op, op)
}

/// Terms of the inner products that count: they are rounded in double precision, which is nothing beside f32.
fn inner_terms<E: Element>(n: usize) -> usize {
    if E::NAME == "f64" { n } else { 1 }
}

fn a2_conv<E: Element>(
    image: [usize; 4],
    geometry: Conv,
    [kh, kw]: [usize; 2],
    out: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    let (group_in, c_out) = (image[3] / geometry.groups, out * geometry.groups);
    // Winograd's transforms lose more: its bound is a claim of its own.
    prop_assume!(group_in.min(out) < 16);
    let w: Tensor<E> = distinct(seed, &[&[kh, kw, group_in, c_out]], &[]).remove(0).cast();
    let conv = |w: Tensor<E>| {
        move |t: &mut Tape<E>, x| t.conv2d(x, &w.clone().into(), None, geometry, Fused::default())
    };
    let n = kh * kw * group_in.max(out)
        + inner_terms::<E>(area(image).max(image[0] * (image[1] + 4) * (image[2] + 4) * c_out));
    is_adjoint(seed, &image, n + 2, conv(w.clone()), conv(w.clone().map(E::abs)))?;
    // Linear in the weights as well: sums over pixels now.
    let x: Tensor<E> = distinct(!seed, &[&image], &[]).remove(0).cast();
    let conv = |x: Tensor<E>| {
        move |t: &mut Tape<E>, w| t.conv2d(x.clone().into(), &w, None, geometry, Fused::default())
    };
    let n = n.max(image[0] * (image[1] + 4) * (image[2] + 4));
    is_adjoint(seed, w.shape(), n + 2, conv(x.clone()), conv(x.map(E::abs)))
}

fn a2_linear_in<E: Element>(
    rows: usize,
    inputs: usize,
    outputs: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    let w: Tensor<E> = distinct(seed, &[&[inputs, outputs]], &[]).remove(0).cast();
    let op = |w: Tensor<E>| move |t: &mut Tape<E>, x| t.linear(x, &w.clone().into(), None, Activation::None);
    let n = inputs.max(outputs) + inner_terms::<E>(rows * inputs.max(outputs));
    is_adjoint(seed, &[rows, inputs], n, op(w.clone()), op(w.map(E::abs)))
}

fn a2_roi<E: Element>(
    image: [usize; 4],
    sampling: usize,
    aligned: bool,
    seed: u64,
) -> Result<(), TestCaseError> {
    let (maps, rois, align) = regions::<E>(image, sampling, aligned, seed);
    let other = maps[1].clone().map(E::abs);
    let op = |t: &mut Tape<E>, x| {
        // The other map's regions would be a constant: only those of the first.
        let rois: Vec<Roi<E>> = rois.iter().copied().filter(|r| r.level == 0).collect();
        t.roi_align(&[x, other.clone().into()], &[1.0, 0.5], &rois, align)
    };
    // A bin reads each pixel of a map once, after its weights were summed over samples; a pixel is read by
    // all bins of five regions.
    let n = 2 * area([image[1], image[2]]) + 6 * 5 + 16 + inner_terms::<E>(area(image).max(90 * image[3]));
    is_adjoint(seed, &image, n, op, op)
}

#[test]
fn a2_control_a_transpose_that_is_shifted_is_refuted() {
    // y_i = x_i + x_{i+1} (cyclic) with a "transpose" that gives g_i + g_{i+1} and not g_i + g_{i-1}.
    fn shifted<E: Element>(t: &mut Tape<E>, x: Var<E>, by: usize) -> Var<E> {
        let (n, node) = (x.value.len(), x.node);
        let add =
            move |v: &Tensor<E>, by: usize| Tensor::from_fn([n], |i| v.data()[i] + v.data()[(i + by) % n]);
        let y = add(&x.value, 1);
        t.record("planted", y, &[node], move |g, slots| slots.add(node, || add(&g, n - by)))
    }
    let claim = |by: usize| {
        move |seed: u64| {
            let op = |t: &mut Tape<f32>, x| shifted(t, x, by);
            is_adjoint(seed, &[9], 12, op, op)
        }
    };
    assert!(refutes(8, any::<u64>(), claim(8)));
    assert!(!refutes(8, any::<u64>(), claim(1)));
}
