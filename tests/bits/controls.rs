//! What would break the promise is planted, and the recorded digests tell: a sum over the lanes of the vector
//! at hand, a multiply-add that is not fused, an exponential whose last bit is another's.
//!
//! Each control is given the inputs of a recorded case. Beside it stands the right computation, written
//! plainly, to show that it is the mistake that is told, and not another order.

use gradus::bits::{Digest, Op, RECORDED, cases, parse};
use gradus_core::simd::{Isa, Kernel, Simd};
use gradus_core::{Element, Tape, Tensor, Var};

/// The digest of a recorded case's value, where `twin` computes it.
fn computed_by(name: &str, twin: Op) -> Digest {
    let case = cases().into_iter().find(|case| case.name() == name).expect("a recorded case");
    let twin = case.computed_by(twin).expect("a case of an op");
    twin.digests().unwrap().into_iter().find(|(part, _)| part.ends_with("/forward")).unwrap().1
}

fn recorded(name: &str) -> Digest {
    parse(RECORDED).remove(&format!("{name}/forward")).expect("a recorded digest")
}

/// Sums in as many strands as a vector has lanes, which are then added.
struct LaneSum<'a>(&'a [f32]);

impl Kernel<f32> for LaneSum<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) -> f32 {
        let mut sum = s.zero();
        for part in self.0.chunks(S::LANES) {
            sum = s.add(sum, s.read_tail(part));
        }
        let mut lanes = [0.0; 16];
        s.write(&mut lanes, sum);
        lanes.iter().sum()
    }
}

#[test]
fn a_sum_over_the_lanes_at_hand_is_told() {
    fn sum(isa: Isa, x: &[Var]) -> Var {
        Tensor::scalar(f32::dispatch_on(isa, LaneSum(x[0].value.data()))).into()
    }
    let name = "sums/all-of-10007";
    let twins: [Op; Isa::ALL.len()] = [
        |_, x| sum(Isa::ALL[0], x),
        |_, x| sum(Isa::ALL[1], x),
        |_, x| sum(Isa::ALL[2], x),
        |_, x| sum(Isa::ALL[3], x),
        |_, x| sum(Isa::ALL[4], x),
        |_, x| sum(Isa::ALL[5], x),
    ];
    for (isa, twin) in Isa::ALL.into_iter().zip(twins).filter(|(isa, _)| isa.is_available()) {
        assert_ne!(computed_by(name, twin), recorded(name), "{isa}");
    }
    assert_eq!(computed_by(name, |t, x| t.sum(x[0].clone(), &[], false)), recorded(name));
}

/// A product of matrices, each result a chain over k in order.
fn product(x: &[Var], step: fn(f32, f32, f32) -> f32) -> Var {
    let ([m, k], [_, n]) = (x[0].value.dims("a"), x[1].value.dims("b"));
    let (a, b) = (x[0].value.data(), x[1].value.data());
    let chain = |i: usize| (0..k).fold(0.0, |sum, l| step(a[i / n * k + l], b[l * n + i % n], sum));
    Tensor::from_fn([m, n], chain).into()
}

#[test]
fn a_multiply_add_that_is_not_fused_is_told() {
    let name = "products/of-37-terms";
    assert_eq!(computed_by(name, |_, x| product(x, f32::mul_add)), recorded(name));
    assert_ne!(computed_by(name, |_, x| product(x, |a, b, c| a * b + c)), recorded(name));
}

#[test]
fn an_exponential_off_by_its_last_bit_is_told() {
    let name = "pointwise/exp";
    assert_eq!(computed_by(name, |t, x| t.exp(x[0].clone())), recorded(name));
    // Of one number among a thousand: as a C library's, which is right all but always.
    fn foreign(t: &mut Tape, x: &[Var]) -> Var {
        let y = t.exp(x[0].detach()).value;
        Tensor::from_fn(*y.shape(), |i| if i == 500 { y.data()[i].next_up() } else { y.data()[i] }).into()
    }
    assert_ne!(computed_by(name, foreign), recorded(name));
}
