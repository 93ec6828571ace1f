//! What a tape holds on to: an op what its gradients look at, and behind batch norm a convolution nothing of
//! its own.

use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::{Activation, Element, Gradients, Rng, Tape, Tensor, Var, init};

const LAYERS: usize = 6;
const SHAPE: [usize; 4] = [2, 32, 32, 16];

/// Layers of 3x3, batch norm and ReLU6; `between` stands before each convolution. The bytes in use after
/// forward, and the gradients of the input and of all weights.
fn run(between: impl Fn(&mut Tape, Var) -> Var) -> (usize, Vec<Tensor>) {
    let mut rng = Rng::seed(7);
    let mut draw = |shape: [usize; 4]| init::normal::<f32>(shape, 0.0, 0.3, &mut rng);
    let (x, weight, seed) =
        (draw(SHAPE), (0..LAYERS).map(|_| draw([3, 3, 16, 16])).collect::<Vec<_>>(), draw(SHAPE));
    let before = f32::arena().stats().in_use;
    let mut t = Tape::train(&mut Rng::seed(1));
    let mut inputs = vec![t.input(x)];
    let mut y = inputs[0].clone();
    for w in weight {
        let w = t.input(w);
        inputs.push(w.clone());
        let x = between(&mut t, y);
        let x = t.conv2d(x, &w, None, Conv::new(1, 1), Fused::default());
        let [gamma, beta] = [1.0, 0.5].map(|v| Var::from(Tensor::full([16], v)));
        y = t.batch_norm_train(x, gamma, beta, 1e-5, Activation::Relu6).0;
    }
    let node = y.node;
    drop(y);
    let held = f32::arena().stats().in_use - before;
    let gradients: Gradients = t.backward_from([(node, seed)]);
    (held, inputs.iter().map(|v| gradients.of(v).expect("a gradient").clone()).collect())
}

/// One after the other: what is in use is counted for the whole process.
#[test]
fn no_more_is_kept_than_gradients_look_at() {
    batch_norms_result_is_made_again_and_not_kept();
    two_operands_are_kept_where_a_gradient_looks_at_them();
}

fn batch_norms_result_is_made_again_and_not_kept() {
    let (held, gradients) = run(|_, y| y);
    // y + 0 can't be made again: each layer keeps it, for the same gradients to the last bit.
    let (held_apart, gradients_apart) = run(|t, y| t.add_scalar(y, 0.0));
    assert_eq!(gradients, gradients_apart);
    let layer = SHAPE.iter().product::<usize>() * size_of::<f32>();
    // Besides batch norm's inputs: the first layer's input, the weights, small vectors.
    assert!(held < (LAYERS + 2) * layer, "{held}, a layer has {layer}");
    assert!(held_apart > 2 * (LAYERS - 1) * layer, "{held_apart}, a layer has {layer}");
}

/// The tensors of the operands' size that a tape holds after an op of two operands, of which one or both are
/// inputs.
fn held_by(op: impl Fn(&mut Tape, Var, Var) -> Var, inputs: [bool; 2]) -> usize {
    let elements: usize = SHAPE.iter().product();
    let before = f32::arena().stats().in_use;
    let mut t = Tape::eval();
    let [a, b] = inputs.map(|live| {
        let x = Tensor::from_fn(SHAPE, |i| 1.0 + i as f32);
        if live { t.input(x) } else { Var::from(x) }
    });
    let y = op(&mut t, a, b).node;
    assert!(y.is_some());
    (f32::arena().stats().in_use - before) / (elements * size_of::<f32>())
}

/// Ops, and what they hold where the first operand is an input, the second, or both.
fn two_operands_are_kept_where_a_gradient_looks_at_them() {
    type Op = fn(&mut Tape, Var, Var) -> Var;
    let table: [(&str, Op, [usize; 3]); 7] = [
        ("add", |t, a, b| t.add(a, b), [0, 0, 0]),
        ("sub", |t, a, b| t.sub(a, b), [0, 0, 0]),
        ("mul", |t, a, b| t.mul(a, b), [1, 1, 2]),
        ("div", |t, a, b| t.div(a, b), [1, 2, 2]),
        ("maximum", |t, a, b| t.maximum(a, b), [2, 2, 2]),
        ("log of the first", |t, a, b| t.log(if a.node.is_some() { a } else { b }), [1, 1, 1]),
        ("neg of the first", |t, a, b| t.neg(if a.node.is_some() { a } else { b }), [0, 0, 0]),
    ];
    for (name, op, kept) in table {
        let found = [[true, false], [false, true], [true, true]].map(|inputs| held_by(op, inputs));
        assert_eq!(found, kept, "{name}");
    }
}
