//! An op of your own, without touching the library: softplus(x) = ln(1 + eˣ), whose derivative is 1 / (1 + e⁻ˣ) = 1 - e⁻ʸ.
//! `cargo run --example add_an_op`; docs/adding-an-op.md shows how an op comes into the library.

use gradus_core::{Rng, Tape, Tensor, Var};

/// ln(1 + eˣ), of any shape.
fn softplus(g: &mut Tape<f64>, x: Var<f64>) -> Var<f64> {
    let Var { value, node } = x;
    // max(x, 0) + ln(1 + e^-|x|) does not overflow.
    let y = value.map(|v| v.max(0.0) + (-v.abs()).exp().ln_1p());
    let kept = y.clone();
    g.record("softplus", y, &[node], move |dy, slots| {
        slots.add(node, || Tensor::from_fn(*dy.shape(), |i| dy.data()[i] * (1.0 - (-kept.data()[i]).exp())));
    })
}

/// The op's gradient beside central differences: the greatest distance.
fn distance_to_differences(x: &Tensor<f64>) -> f64 {
    let loss =
        |x: &Tensor<f64>| softplus(&mut Tape::infer(), x.clone().into()).value.data().iter().sum::<f64>();
    let mut g = Tape::eval();
    let input = g.input(x.clone());
    let y = softplus(&mut g, input.clone());
    let sum = g.sum(y, &[0], false);
    let gradients = g.backward(&sum);
    let gradient = gradients.of(&input).expect("the loss depends on the input");
    let h = 1e-5;
    let difference = |i: usize| {
        let moved = |by: f64| Tensor::from_fn(*x.shape(), |k| x.data()[k] + if k == i { by } else { 0.0 });
        (loss(&moved(h)) - loss(&moved(-h))) / (2.0 * h)
    };
    (0..x.len()).map(|i| (gradient.data()[i] - difference(i)).abs()).fold(0.0, f64::max)
}

fn main() {
    let mut rng = Rng::seed(1);
    let x = Tensor::from_fn([40], |_| 4.0 * rng.normal());
    println!("the gradient is within {:.1e} of central differences", distance_to_differences(&x));
}

#[test]
fn the_gradient_is_the_derivative() {
    let mut rng = Rng::seed(1);
    assert!(distance_to_differences(&Tensor::from_fn([40], |_| 4.0 * rng.normal())) < 1e-9);
}
