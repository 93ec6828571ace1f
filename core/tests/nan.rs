//! A ReLU hides no NaN, and no -0: behind a product, on every path, in every algorithm, on every instruction
//! set.
//!
//! The places of NaN are PyTorch's (data/nan_positions.py). An algorithm that sums products term by term has
//! NaN where an output reads one, and nowhere else, but for taps on padding, 0 times NaN, which may count or
//! not. Winograd's tilings mix a tile's pixels and so have NaN at least there: that output i of a tile is the
//! sum over points k of A_ki U_k V_k is an identity, in which the product of tap r and pixel i + r has the
//! coefficient Σ_k A_ki G_kr B_k,i+r = 1, so that in one term at least all three are not 0; there V_k, or
//! U_k, is a sum with the NaN as a summand, and the output a sum with that.

use gradus_core::gemm::Precision;
use gradus_core::nn::BatchNorm2d;
use gradus_core::ops::PoolSpec;
use gradus_core::ops::conv::{self, Affine, Algorithm, Conv, ConvSpec, Fused};
use gradus_core::simd::Isa;
use gradus_core::{Activation, Element, Epilogue, Tape, Tensor, Var};

const RELUS: [Activation; 2] = [Activation::Relu, Activation::Relu6];

/// A line of the list.
struct Case {
    spec: ConvSpec,
    operand: usize,
    at: usize,
    reads: Vec<bool>,
    pytorch: Vec<bool>,
}

fn cases() -> Vec<Case> {
    let case = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| fields[i].parse::<usize>().expect("a number");
        let nhwc = [number(0), number(1), number(2), number(3)];
        let spec = ConvSpec {
            dilation: [number(8); 2],
            groups: number(9),
            ..ConvSpec::square(nhwc, number(4), number(5), number(6), number(7))
        };
        let set = |i: usize| fields[i].bytes().map(|b| b == b'1').collect();
        let operand = usize::from(fields[10] == "w");
        Case { spec, operand, at: number(11), reads: set(12), pytorch: set(13) }
    };
    include_str!("data/nan_positions.txt").lines().map(case).collect()
}

/// Small numbers of both signs.
fn numbers<E: Element>(n: usize) -> Vec<E> {
    (0..n).map(|i| E::from_f64((i * 7919 % 13) as f64 / 8.0 - 0.7)).collect()
}

/// All ones in its payload: a NaN that rounding to fewer bits could carry over into the sign.
fn nan<E: Element>() -> E {
    E::from_f64(f64::from(f32::from_bits(0x7fff_ffff)))
}

fn is_nan<E: Element>(v: &E) -> bool {
    v.to_f64().is_nan()
}

/// Where there is NaN; all else is a result of a ReLU, of which 0 has no sign.
fn places<E: Element>(y: &[E], what: &str) -> Vec<bool> {
    for v in y.iter().map(|v| v.to_f64()).filter(|v| !v.is_nan()) {
        assert!(v.is_sign_positive(), "{what}: {v}");
    }
    y.iter().map(is_nan).collect()
}

fn convolutions<E: Element>(precision: Precision) {
    for Case { spec, operand, at, reads, pytorch } in cases() {
        let spec = ConvSpec { precision, ..spec };
        let mut operands = [numbers::<E>(spec.x_len()), numbers::<E>(spec.w_len())];
        operands[operand][at] = nan();
        let (scale, bias, residual) = (numbers(spec.c_out), numbers(spec.c_out), numbers(spec.y_len()));
        let plain = Epilogue::default();
        let full = Epilogue { scale: Some(&scale), bias: Some(&bias), residual: Some(&residual), ..plain };
        for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&spec)) {
            for (activation, epilogue) in RELUS.into_iter().flat_map(|a| [(a, plain), (a, full)]) {
                let mut y = vec![E::ZERO; spec.y_len()];
                let [x, w] = &operands;
                conv::forward(algorithm, &spec, x, w, &Epilogue { activation, ..epilogue }, &mut y);
                let what = format!("{} {algorithm:?} {activation:?} {spec:?} {operand}", E::NAME);
                let tiled =
                    matches!(algorithm, Algorithm::Winograd4 | Algorithm::Winograd2 | Algorithm::Phases);
                for (i, got) in places(&y, &what).into_iter().enumerate() {
                    assert!((got || !reads[i]) && (tiled || !got || pytorch[i]), "{what} at {i}: {got}");
                }
            }
        }
    }
}

/// Every product 0 and every factor negative: what reaches the ReLU is -0.
fn zeros<E: Element>(precision: Precision) {
    for spec in cases().into_iter().step_by(2).map(|c| ConvSpec { precision, ..c.spec }) {
        let (x, w) = (vec![E::ZERO; spec.x_len()], numbers::<E>(spec.w_len()));
        let (scale, bias) = (vec![-E::ONE; spec.c_out], vec![-E::ZERO; spec.c_out]);
        for algorithm in Algorithm::ALL.into_iter().filter(|a| a.applies(&spec)) {
            for activation in RELUS {
                let mut y = vec![E::ONE; spec.y_len()];
                let epilogue =
                    Epilogue { scale: Some(&scale), bias: Some(&bias), activation, residual: None };
                conv::forward(algorithm, &spec, &x, &w, &epilogue, &mut y);
                places(&y, &format!("{} {algorithm:?} {activation:?} of -0, {spec:?}", E::NAME));
                assert!(y.iter().all(|v| *v == E::ZERO));
            }
        }
    }
}

/// Every other op that a ReLU is fused to, of [2, 3, 2, 19] with NaN at pixel 5, channel 7; and where its
/// result has NaN.
fn others<E: Element>(x: Var<E>, g: &mut Tape<E>, activation: Activation) -> [(Var<E>, Vec<bool>); 8] {
    const C: usize = 19;
    let vector = |v: f64| Var::from(Tensor::full([C], E::from_f64(v)));
    let at = |shape: &[usize], f: &dyn Fn(usize) -> bool| {
        (0..shape.iter().product()).map(f).collect::<Vec<bool>>()
    };
    let pixels = [2, 3, 2, C];
    let one = at(&pixels, &|i| i == 5 * C + 7);
    let weights = |shape: [usize; 4]| Var::from(Tensor::from_slice(shape, &numbers(shape.iter().product())));
    let transposed = g.conv_transpose2d(
        x.clone(),
        &weights([2, 2, C, 5]),
        Some(&Tensor::full([5], E::from_f64(0.1)).into()),
        Conv::new(2, 0),
        [0; 2],
        Fused::from(activation),
    );
    let w = Var::from(Tensor::from_slice([C, 40], &numbers(C * 40)));
    let linear = g.linear(x.clone(), &w, None, activation);
    let trained = g.batch_norm_train(x.clone(), vector(1.0), vector(0.5), 1e-5, activation).0;
    let running = [Tensor::zeros([C]), Tensor::full([C], E::ONE)];
    let evaluated =
        g.batch_norm_eval(x.clone(), vector(2.0), vector(0.5), &running[0], &running[1], 1e-5, activation);
    let frozen = g.affine(x.clone(), vector(-1.0), vector(0.5), activation);
    let layer = BatchNorm2d::new(C).forward(g, x.clone(), activation);
    let pooled = g.max_pool2d(x.clone(), PoolSpec::square(2, 1), activation);
    let alone = if activation == Activation::Relu { g.relu(x) } else { g.relu6(x) };
    [
        // Pixel (2, 1) of the first image goes to rows 4, 5 and columns 2, 3 of [6, 4].
        (transposed, at(&[2, 6, 4, 5], &|i| [18, 19, 22, 23].contains(&(i / 5)))),
        (linear, at(&[2, 3, 2, 40], &|i| i / 40 == 5)),
        (trained, at(&pixels, &|i| i % C == 7)),
        (evaluated, one.clone()),
        (frozen, one.clone()),
        (layer, one.clone()),
        (pooled, at(&[2, 2, 1, C], &|i| i == C + 7)),
        (alone, one),
    ]
}

fn other_ops<E: Element>(precision: Precision) {
    for activation in RELUS {
        let mut x = Tensor::from_slice([2, 3, 2, 19], &numbers::<E>(2 * 3 * 2 * 19));
        x.data_mut()[5 * 19 + 7] = nan();
        for which in 0..8 {
            let mut g = Tape::eval().in_precision(precision);
            let input = g.input(x.clone());
            let (y, want) = others(input.clone(), &mut g, activation).into_iter().nth(which).unwrap();
            let what = format!("{} {activation:?}, op {which}", E::NAME);
            assert_eq!(places(y.value.data(), &what), want, "{what}");
            // As through PyTorch's threshold: the gradient passes where the result is NaN.
            let seed = Tensor::full(*y.shape(), E::ONE);
            let dx = g.backward_from([(y.node, seed)]).of(&input).unwrap().data()[5 * 19 + 7];
            assert!(dx != E::ZERO, "{what}: {dx}");
        }
        // -0
        for which in [0, 1, 4, 6, 7] {
            let x = Var::from(Tensor::full([2, 3, 2, 19], -E::ZERO));
            let (y, _) = others(x, &mut Tape::infer().in_precision(precision), activation)
                .into_iter()
                .nth(which)
                .unwrap();
            places(y.value.data(), &format!("{} {activation:?} of -0, op {which}", E::NAME));
        }
        let x = Tensor::full([2, 1, 1, 19], -E::ZERO).into();
        let [scale, shift] = [E::ONE, -E::ZERO].map(|v| Var::from(Tensor::full([19], v)));
        let y = Tape::infer().affine(x, scale, shift, activation);
        places(y.value.data(), &format!("{} {activation:?} of -0, affine", E::NAME));
    }
}

/// The gradients of a convolution with ReLU where its results are NaN: dy passes, and that of the bias counts
/// them.
fn gradients<E: Element>(precision: Precision) {
    let (x, w) = ([2, 6, 6, 16], [3, 3, 16, 24]);
    let [mut x, w] = [x, w].map(|s| Tensor::from_slice(s, &numbers::<E>(s.iter().product())));
    x.data_mut()[1000] = nan();
    for activation in RELUS {
        let mut g = Tape::eval().in_precision(precision);
        let [x, w, b] = [x.clone(), w.clone(), Tensor::zeros([24])].map(|t| g.input(t));
        let affine = Affine { scale: Tensor::full([24], E::ONE), shift: Tensor::zeros([24]) };
        let fused = Fused { affine: Some(affine), ..Fused::from(activation) };
        let y = g.conv2d(x.clone(), &w, Some(&b), Conv::new(1, 1), fused);
        let cut = |v: f64| v <= 0.0 || activation == Activation::Relu6 && v >= 6.0;
        let passes =
            |o: usize| y.value.data().iter().skip(o).step_by(24).filter(|v| !cut(v.to_f64())).count();
        let want: Vec<E> = (0..24).map(|o| E::from_usize(passes(o))).collect();
        let grads = g.backward_from([(y.node, Tensor::full(*y.shape(), E::ONE))]);
        assert!(y.value.data().iter().any(is_nan));
        assert_eq!(grads.of(&b).unwrap().data(), want);
        assert!(grads.of(&x).unwrap().data().iter().all(|v| v.is_finite()));
        assert!(is_nan(&grads.of(&w).unwrap().data()[4 * 16 * 24 + 1000 % 16 * 24]));
    }
}

fn all<E: Element>() {
    for precision in Precision::ALL {
        convolutions::<E>(precision);
        zeros::<E>(precision);
        other_ops::<E>(precision);
        gradients::<E>(precision);
    }
}

#[test]
fn relu_hides_no_nan_and_no_sign_of_zero() {
    // Each instruction set in a process of its own.
    const AGAIN: &str = "GRADUS_NAN_AGAIN";
    if std::env::var_os(AGAIN).is_some() {
        return all::<f32>();
    }
    all::<f64>();
    let this = std::env::current_exe().expect("the test's own path");
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let run = std::process::Command::new(&this).env(AGAIN, "1").env("GRADUS_ISA", isa.name()).output();
        let run = run.expect("the test runs itself");
        assert!(run.status.success(), "{isa}: {}", String::from_utf8_lossy(&run.stdout));
    }
}
