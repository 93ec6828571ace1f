//! Reports on numbers: NaN, means over nothing, windows and regions at the edge of what they are for.

use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::ops::roi_align::{Roi, RoiAlign};
use gradus_core::ops::{ClassLoss, PoolSpec, Reduction};
use gradus_core::{Activation, Element, Tape, Tensor, Var};

fn numbers<E: Element>(shape: &[usize]) -> Tensor<E> {
    Tensor::from_fn(shape, |i| E::from_f64((i * 7919 % 13) as f64 / 8.0 - 0.7))
}

/// A NaN in the weights of a convolution and of a linear layer, behind which ReLU or ReLU6 is fused.
fn fused_relus_of_nan<E: Element>() {
    for activation in [Activation::Relu, Activation::Relu6] {
        let mut w = numbers::<E>(&[3, 3, 16, 16]);
        w.data_mut()[4 * 256 + 5] = E::from_f64(f64::NAN);
        let x = || Var::from(numbers::<E>(&[2, 8, 8, 16]));
        let y = Tape::infer().conv2d(x(), &w.into(), None, Conv::new(1, 1), Fused::from(activation)).value;
        assert!(y.data().iter().enumerate().all(|(i, v)| v.to_f64().is_nan() == (i % 16 == 5)));
        let mut w = numbers::<E>(&[16, 40]);
        w.data_mut()[7] = E::from_f64(f64::NAN);
        let y = Tape::infer().linear(x(), &w.into(), None, activation).value;
        assert!(y.data().iter().enumerate().all(|(i, v)| v.to_f64().is_nan() == (i % 40 == 7)));
    }
}

// pytorch/pytorch 7999
#[test]
fn relu_of_nan_is_nan_where_it_is_fused() {
    fused_relus_of_nan::<f32>();
    fused_relus_of_nan::<f64>();
}

// pytorch/pytorch 116349
#[test]
fn a_loss_with_every_label_ignored_has_gradient_0() {
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
        let mut g = Tape::eval();
        let x = g.input(numbers::<f32>(&[4, 10]));
        let how = ClassLoss { reduction, ..ClassLoss::default() };
        let loss = g.cross_entropy_with(x.clone(), &[-100; 4], &how);
        // PyTorch's values.
        let mean = reduction == Reduction::Mean;
        assert!(loss.value.data().iter().all(|v| if mean { v.is_nan() } else { *v == 0.0 }));
        let seed = Tensor::full(*loss.shape(), 1.0);
        assert_eq!(*g.backward_from([(loss.node, seed)]).of(&x).unwrap(), Tensor::zeros([4, 10]));
    }
}

// pytorch/vision 9273
#[test]
fn regions_without_end_are_0() {
    let map = numbers::<f32>(&[1, 4, 4, 3]);
    let inf = f32::INFINITY;
    for bounds in
        [[0.0, 0.0, inf, inf], [-inf, -inf, inf, inf], [0.0, f32::NAN, 2.0, 2.0], [-1e30, 0.0, 1e30, 2.0]]
    {
        for sampling in [0, 2] {
            let mut g = Tape::eval();
            let x = g.input(map.clone());
            let roi = Roi { level: 0, image: 0, bounds };
            let align = RoiAlign { output: [7, 7], sampling, aligned: true };
            let y = g.roi_align(std::slice::from_ref(&x), &[1.0], &[roi], align);
            assert_eq!(y.value, Tensor::zeros([1, 7, 7, 3]), "{bounds:?}");
            let seed = Tensor::full([1, 7, 7, 3], 1.0);
            assert_eq!(*g.backward_from([(y.node, seed)]).of(&x).unwrap(), Tensor::zeros([1, 4, 4, 3]));
        }
    }
}

// torch.nn.MaxPool2d(3, stride=2, ceil_mode=True) of 2 x 2 pixels
#[test]
fn a_window_larger_than_the_image_sees_all_of_it() {
    let x = Tensor::from_slice([1, 2, 2, 1], &[0.0, 1.0, 2.0, 3.0f32]);
    let spec = PoolSpec { ceil_mode: true, ..PoolSpec::square(3, 2) };
    let mut g = Tape::eval();
    let v = g.input(x);
    let (y, indices) = g.max_pool2d_with_indices(v.clone(), spec);
    assert_eq!((y.value.data(), y.shape()[..].to_vec(), indices), (&[3.0][..], vec![1; 4], vec![3]));
    let seed = Tensor::full([1; 4], 1.0);
    assert_eq!(g.backward_from([(y.node, seed)]).of(&v).unwrap().data(), [0.0, 0.0, 0.0, 1.0]);
}
