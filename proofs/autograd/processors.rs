//! X3: results have the same bits on every instruction set, forward and backward.
//!
//! What the claim rests on is tested in this process: each operation of each token is the one that IEEE 754
//! rounds, in whole vectors and in their tails. What it says is tested in a process for each instruction set,
//! since a process has one: digests of cases that are drawn at random (`gradus::bits`) are compared. The
//! controls compute with so many lanes, without fusing, and with another exponential.

use crate::property::{few, holds, refuted, tried};
use gradus::bits::drawn;
use gradus_core::simd::{Isa, Kernel, Simd};
use gradus_core::{Element, Rng, Tape, Tensor};
use proptest::prelude::*;
use proptest::sample::select;
use std::process::Command;

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// Names the file that a process of another instruction set writes its digests to.
const DIGESTS: &str = "GRADUS_PROOFS_DIGESTS";

#[test]
fn x3_same_bits_on_every_instruction_set() {
    let cases = few(400).cases;
    if let Some(file) = std::env::var_os(DIGESTS) {
        let digests = (0..cases as usize).flat_map(|k| drawn(1, k).digests().expect("no file is written"));
        let lines: String = digests.map(|(name, digest)| format!("{digest} {name}\n")).collect();
        return std::fs::write(file, lines).expect("the digests are written");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, module) = module_path!().split_once("::").expect("a module of the test program");
    let test = format!("{module}::x3_same_bits_on_every_instruction_set");
    let digests = |isa: Isa| {
        let file = folder.path().join(isa.name());
        let mut run = Command::new(std::env::current_exe().expect("the test program's own path"));
        run.args(["--exact", &test]).env(DIGESTS, &file).env("GRADUS_ISA", isa.name());
        let output = run.env_remove("GRADUS_CONV").output().expect("the test program runs itself");
        assert!(output.status.success(), "{isa}: {}", String::from_utf8_lossy(&output.stdout));
        std::fs::read_to_string(file).expect("the digests of this instruction set")
    };
    let all: Vec<(Isa, String)> = available().map(|isa| (isa, digests(isa))).collect();
    let (first, expected) = &all[0];
    assert!(expected.lines().count() > cases as usize);
    for (isa, digests) in &all[1..] {
        let differ = digests.lines().zip(expected.lines()).find(|(a, b)| a != b);
        assert_eq!(differ, None, "{isa} and {first}");
    }
    tried(cases.into());
}

/// The operations of a token, by lanes.
const OPERATIONS: [&str; 9] = ["add", "sub", "mul", "div", "fma", "sqrt", "max", "min", "select"];

/// An operation of a, b and c, by vectors and what is left of them.
struct ByVectors<'a> {
    operation: usize,
    of: [&'a [f32]; 3],
    out: &'a mut [f32],
}

impl Kernel<f32> for ByVectors<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) {
        let ByVectors { operation, of: [a, b, c], out } = self;
        for i in (0..out.len()).step_by(S::LANES) {
            let [a, b, c] = [s.read_tail(&a[i..]), s.read_tail(&b[i..]), s.read_tail(&c[i..])];
            let v = match operation {
                0 => s.add(a, b),
                1 => s.sub(a, b),
                2 => s.mul(a, b),
                3 => s.div(a, b),
                4 => s.fma(a, b, c),
                5 => s.sqrt(a),
                6 => s.max(a, b),
                7 => s.min(a, b),
                _ => s.select(s.gt(a, b), a, c),
            };
            s.write_tail(&mut out[i..], v);
        }
    }
}

/// The same of three numbers, as IEEE 754 defines it.
fn by_definition(operation: usize, [a, b, c]: [f32; 3]) -> f32 {
    match operation {
        0 => a + b,
        1 => a - b,
        2 => a * b,
        3 => a / b,
        4 => a.mul_add(b, c),
        5 => a.sqrt(),
        6 => {
            if a > b {
                a
            } else {
                b
            }
        }
        7 => {
            if a < b {
                a
            } else {
                b
            }
        }
        _ => {
            if a > b {
                a
            } else {
                c
            }
        }
    }
}

/// Every NaN is one.
fn bits(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

/// Any bits, and numbers of like size, which cancel and tie.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        (-64i32..64).prop_map(|n| n as f32 / 8.0),
        -2.0f32..2.0
    ]
}

#[test]
fn x3_every_operation_is_the_one_that_ieee_754_rounds() {
    let numbers = proptest::collection::vec((number(), number(), number()), 1..70);
    holds((0..OPERATIONS.len(), numbers), |(operation, numbers)| {
        let column = |f: fn(&(f32, f32, f32)) -> f32| numbers.iter().map(f).collect::<Vec<f32>>();
        let of = [column(|n| n.0), column(|n| n.1), column(|n| n.2)];
        for isa in available() {
            let mut out = vec![0.0; numbers.len()];
            f32::dispatch_on(isa, ByVectors { operation, of: [&of[0], &of[1], &of[2]], out: &mut out });
            for (i, &(a, b, c)) in numbers.iter().enumerate() {
                let want = by_definition(operation, [a, b, c]);
                let name = OPERATIONS[operation];
                prop_assert_eq!(bits(out[i]), bits(want), "{} of {:?} on {}", name, (a, b, c), isa);
            }
        }
        Ok(())
    });
}

fn random(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = Rng::seed(seed);
    (0..n).map(|_| 2.0 * rng.f32() - 1.0).collect()
}

/// A sum in as many strands as a vector has lanes, which are then added.
fn lane_sum(x: &[f32], lanes: usize) -> f32 {
    let mut strands = vec![0.0; lanes];
    x.iter().enumerate().for_each(|(i, v)| strands[i % lanes] += v);
    strands.iter().sum()
}

#[test]
fn x3_control_a_sum_over_the_lanes_at_hand_is_refuted() {
    refuted(
        (any::<u64>(), 20usize..200, select(vec![4usize, 8]), select(vec![8usize, 16])),
        |(seed, n, a, b)| {
            let x = random(seed, n);
            prop_assert_eq!(lane_sum(&x, a).to_bits(), lane_sum(&x, b).to_bits());
            Ok(())
        },
    );
}

#[test]
fn x3_control_an_unfused_multiply_add_is_refuted() {
    refuted((-2.0f32..2.0, -2.0f32..2.0, -2.0f32..2.0), |(a, b, c)| {
        prop_assert_eq!((a * b + c).to_bits(), a.mul_add(b, c).to_bits());
        Ok(())
    });
}

/// An exponential that is as good as many a C library's: within two units in the last place.
fn foreign_exp(x: f32) -> f32 {
    let half: f32 = Tape::infer().exp(Tensor::scalar(0.5 * x).into()).value.item();
    half * half
}

#[test]
fn x3_control_a_foreign_exponential_is_refuted() {
    refuted(-8.0f32..8.0, |x| {
        let own: f32 = Tape::infer().exp(Tensor::scalar(x).into()).value.item();
        prop_assert_eq!(own.to_bits(), foreign_exp(x).to_bits());
        Ok(())
    });
}
