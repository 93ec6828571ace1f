//! The ops on the tape, convolution and its transpose, against their definition and their derivative.

use super::tests::random;
use super::*;
use crate::tape::{Gradients, Tape, Var};
use crate::{epilogue::Activation, random::Rng, tensor::Tensor};

/// The op's inputs as flat vectors, and the loss ⟨seed, y⟩.
struct OpCase {
    geometry: Conv,
    transpose: Option<[usize; 2]>,
    x: Tensor<f64>,
    w: Tensor<f64>,
    b: Tensor<f64>,
    affine: Option<Affine<f64>>,
    residual: bool,
    activation: Activation,
}

impl OpCase {
    fn inputs(&self) -> Vec<Tensor<f64>> {
        let mut inputs = vec![self.x.clone(), self.w.clone(), self.b.clone()];
        if self.residual {
            let y =
                self.run(&mut Tape::infer(), &inputs.clone().into_iter().map(Var::from).collect::<Vec<_>>());
            inputs.push(Tensor::from_slice(*y.shape(), &random(y.value.len(), &mut Rng::seed(7))));
        }
        inputs
    }

    fn run(&self, tape: &mut Tape<f64>, v: &[Var<f64>]) -> Var<f64> {
        let fused =
            Fused { affine: self.affine.clone(), residual: v.get(3).cloned(), activation: self.activation };
        match self.transpose {
            None => tape.conv2d(v[0].clone(), &v[1], Some(&v[2]), self.geometry, fused),
            Some(op) => tape.conv_transpose2d(v[0].clone(), &v[1], Some(&v[2]), self.geometry, op, fused),
        }
    }

    /// Central differences of ⟨seed, y⟩ at step 1e-5 against backward, each element of each input.
    fn check(&self) {
        let inputs = self.inputs();
        let mut tape = Tape::eval();
        let vars: Vec<_> = inputs.iter().map(|t| tape.input(t.clone())).collect();
        let y = self.run(&mut tape, &vars);
        let seed = Tensor::from_slice(*y.shape(), &random::<f64>(y.value.len(), &mut Rng::seed(8)));
        let loss = |inputs: &[Tensor<f64>]| {
            let vars: Vec<_> = inputs.iter().cloned().map(Var::from).collect();
            let y = self.run(&mut Tape::infer(), &vars).value;
            y.data().iter().zip(seed.data()).map(|(a, b)| a * b).sum::<f64>()
        };
        let gradients: Gradients<f64> = tape.backward_from([(y.node, seed.clone())]);
        for (which, var) in vars.iter().enumerate() {
            let got = gradients.of(var).expect("a gradient");
            assert_eq!(got.shape(), var.shape());
            for i in 0..got.len() {
                let at = |h: f64| {
                    let mut moved = inputs.clone();
                    moved[which].data_mut()[i] += h;
                    loss(&moved)
                };
                let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                let got = got.data()[i];
                assert!((got - want).abs() < 1e-7, "input {which} [{i}]: {got} for {want}");
            }
        }
    }
}

fn tensor(shape: impl Into<crate::shape::Shape>, seed: u64) -> Tensor<f64> {
    let shape = shape.into();
    Tensor::from_slice(shape, &random(shape.numel(), &mut Rng::seed(seed)))
}

#[test]
fn gradients_by_central_differences() {
    let affine = Affine { scale: tensor([6], 1), shift: tensor([6], 2) };
    for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
        for (affine, residual) in [(None, false), (Some(affine.clone()), true)] {
            let geometry = Conv { stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 2 };
            let (x, w, b) =
                (tensor([2, 4, 5, 4], 3), tensor([3, 2, 2, 6], 4), tensor([6], 5).map(|b| 8.0 * b));
            OpCase { geometry, transpose: None, x, w, b, affine: affine.clone(), residual, activation }
                .check();

            let geometry = Conv { stride: [2, 3], padding: [1, 0], dilation: [1, 2], groups: 2 };
            let (x, w, b) =
                (tensor([2, 3, 2, 4], 3), tensor([3, 2, 4, 3], 4), tensor([6], 5).map(|b| 8.0 * b));
            OpCase { geometry, transpose: Some([1, 0]), x, w, b, affine, residual, activation }.check();
        }
    }
}

/// y(i s + k d - p) takes x(i) w(k): the definition, for output paddings below and above the stride.
#[test]
fn a_transposed_convolution_scatters() {
    for (stride, dilation, more) in [(1, 3, 2), (2, 5, 4), (2, 5, 3), (3, 2, 2), (2, 1, 0)] {
        let geometry = Conv { stride: [stride, 1], padding: [1, 0], dilation: [dilation, 1], groups: 1 };
        let (x, w) = (tensor([1, 4, 1, 2], 1), tensor([3, 1, 2, 2], 2));
        let high = 3 * stride + 2 * dilation + more + 1 - 2;
        let mut want = vec![0.0; high * 2];
        for (i, k, c, o) in (0..48)
            .map(|n| (n % 4, n / 4 % 3, n / 12 % 2, n / 24))
            .filter(|(i, k, ..)| i * stride + k * dilation > 0)
        {
            let row = i * stride + k * dilation - 1;
            if row < high {
                want[2 * row + o] += x.data()[2 * i + c] * w.data()[4 * k + 2 * c + o];
            }
        }
        let y = Tape::infer()
            .conv_transpose2d(x.into(), &w.into(), None, geometry, [more, 0], Fused::default())
            .value;
        assert_eq!(y.shape(), &crate::shape::Shape::new(&[1, high, 1, 2]));
        assert!(
            y.data().iter().zip(&want).all(|(y, w)| (y - w).abs() < 1e-12),
            "{geometry:?}: {y:?}, {want:?}"
        );
    }
}

#[test]
#[should_panic(expected = "conv_transpose2d: output_padding [3, 0], stride [2, 1], dilation [3, 1]")]
fn output_padding_of_the_dilation_is_refused() {
    let geometry = Conv { stride: [2, 1], dilation: [3, 1], ..Conv::default() };
    let (x, w) = (tensor([1, 4, 1, 2], 1), tensor([3, 1, 2, 2], 2));
    Tape::infer().conv_transpose2d(x.into(), &w.into(), None, geometry, [3, 0], Fused::default());
}
