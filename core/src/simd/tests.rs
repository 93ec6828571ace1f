//! Every instruction set computes each lane alike, to the last bit, and a multiply-add is rounded once.

use super::{Isa, Kernel, Simd};
use crate::Rng;
use crate::element::Element;
use std::hint::black_box;

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// 2ⁿ
fn two(n: i32) -> f64 {
    assert!((-1074..1024).contains(&n));
    f64::from_bits(if n < -1022 { 1 << (n + 1074) } else { ((n + 1023) as u64) << 52 })
}

/// Multiply-adds a b + c that tell who rounds twice: in a precision of p bits, whose least number is 2^least
/// and whose greatest power of two is 2^most. 2ᵖ + 1 is the product of the factors.
fn telling(p: i32, factors: [f64; 2], least: i32, most: i32) -> Vec<[f64; 4]> {
    let half = if p % 2 == 0 { two(-p / 2) } else { two(-(p + 1) / 2) };
    let [a, b] = [factors[0], factors[1] * two(-p)];
    let ulp = two(1 - p);
    vec![
        // The square of 1 + h loses its h² to a rounding.
        [1.0 + half, 1.0 + half, -(1.0 + 2.0 * half), half * half],
        // 1 + ulp/2 lies half-way between two numbers, and any third one decides, however small.
        [a, b, two(-100), 1.0 + ulp],
        [a, b, -two(-100), 1.0],
        [a, b, 0.0, 1.0],
        [-a, b, -two(-100), -1.0 - ulp],
        // Three quarters of the least number, less one: a quarter is lost, its sign is not.
        [1.5 * two(least / 2 - 1), two(least - least / 2), -two(least), -0.0],
        // A product that is too great, of a sum that is not.
        [two(most), 2.0, -two(most), two(most)],
        // What cancels is +0, and -0 comes of two of them.
        [3.0, 3.0, -9.0, 0.0],
        [-1.0, 0.0, -0.0, -0.0],
        [-1.0, 0.0, 0.0, 0.0],
        [f64::INFINITY, 0.0, 1.0, f64::NAN],
        [f64::INFINITY, 1.0, f64::NEG_INFINITY, f64::NAN],
    ]
}

fn telling_f32() -> Vec<[f64; 4]> {
    telling(24, [24929.0, 673.0], -149, 127)
}

fn telling_f64() -> Vec<[f64; 4]> {
    telling(53, [321.0, 28_059_810_762_433.0], -1074, 1023)
}

/// The same number, zeros' signs told apart; any NaN is one.
fn same<E: Element>(a: E, b: E) -> bool {
    a.to_f64().to_bits() == b.to_f64().to_bits() || (a.to_f64().is_nan() && b.to_f64().is_nan())
}

/// The first case that a multiply-add fails.
fn failed<E: Element>(cases: &[[f64; 4]], fma: impl Fn(E, E, E) -> E) -> Option<[f64; 4]> {
    cases.iter().copied().find(|case| {
        let [a, b, c, want] = case.map(E::from_f64);
        [a, b, c, want]
            .iter()
            .zip(case)
            .for_each(|(e, x)| assert!(same(e.to_f64(), *x), "{x} is no element"));
        !same(fma(black_box(a), black_box(b), black_box(c)), want)
    })
}

/// Without the instruction this is the C library's.
#[test]
fn the_standard_librarys_multiply_add_rounds_once() {
    assert_eq!(failed(&telling_f32(), f32::mul_add), None);
    assert_eq!(failed(&telling_f64(), f64::mul_add), None);
    // Twice, and in another precision between: what a processor, or a C library, without one might do.
    assert!(failed(&telling_f32(), |a: f32, b, c| a * b + c).is_some());
    assert!(failed(&telling_f64(), |a: f64, b, c| a * b + c).is_some());
    let in_f64 = |a: f32, b: f32, c: f32| (f64::from(a) * f64::from(b) + f64::from(c)) as f32;
    assert!(failed(&telling_f32(), in_f64).is_some());
}

/// a b + c in f32 by way of f64. The product is exact there, and its sum with c is rounded to odd: to the
/// neighbour with an odd last bit, unless it is exact. As f64 has more than 2·24 + 2 bits, rounding that to
/// f32 rounds a b + c (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
fn rounded_once(a: f32, b: f32, c: f32) -> f32 {
    let (p, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = p + c;
    let c_of_sum = sum - p;
    let error = (p - (sum - c_of_sum)) + (c - c_of_sum);
    if error == 0.0 || !error.is_finite() || sum.to_bits() & 1 == 1 {
        return sum as f32;
    }
    let away = (error > 0.0) == (sum > 0.0);
    f64::from_bits(if away { sum.to_bits() + 1 } else { sum.to_bits() - 1 }) as f32
}

/// What each method makes of three columns of numbers, lane by lane.
struct Lanes<'a, E>(&'a [[E; 3]]);

/// The methods of [`Lanes`], by name.
const METHODS: [&str; 9] = ["add", "sub", "mul", "div", "fma", "max", "min", "sqrt", "select a > b"];

fn by_definition<E: Element>([a, b, c]: [E; 3], fma: impl Fn(E, E, E) -> E) -> [E; 9] {
    let (max, min) = (if a > b { a } else { b }, if a < b { a } else { b });
    [a + b, a - b, a * b, a / b, fma(a, b, c), max, min, a.sqrt(), if a > b { b } else { c }]
}

impl<E: Element> Kernel<E> for Lanes<'_, E> {
    type Output = Vec<[E; 9]>;

    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) -> Vec<[E; 9]> {
        let mut out = Vec::new();
        for rows in self.0.chunks(S::LANES) {
            let mut columns = [[E::ZERO; 16]; 3];
            for (i, row) in rows.iter().enumerate() {
                (0..3).for_each(|k| columns[k][i] = row[k]);
            }
            let (a, b, c) = (s.read(&columns[0]), s.read(&columns[1]), s.read(&columns[2]));
            let mut written = [[E::ZERO; 16]; 9];
            s.write(&mut written[0], s.add(a, b));
            s.write(&mut written[1], s.sub(a, b));
            s.write(&mut written[2], s.mul(a, b));
            s.write(&mut written[3], s.div(a, b));
            s.write(&mut written[4], s.fma(a, b, c));
            s.write(&mut written[5], s.max(a, b));
            s.write(&mut written[6], s.min(a, b));
            s.write(&mut written[7], s.sqrt(a));
            s.write(&mut written[8], s.select(s.gt(a, b), b, c));
            out.extend((0..rows.len()).map(|i| written.each_ref().map(|row| row[i])));
        }
        out
    }
}

/// Numbers of every size, and those that tell.
fn numbers<E: Element>(cases: &[[f64; 4]], draw: impl Fn(u64) -> E) -> Vec<[E; 3]> {
    let mut rng = Rng::seed(17);
    let special = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(E::from_f64);
    let mut all: Vec<[E; 3]> = cases.iter().map(|&[a, b, c, _]| [a, b, c].map(E::from_f64)).collect();
    for a in special {
        all.extend(special.map(|b| [a, b, E::ONE]));
    }
    all.extend((0..20_000).map(|_| std::array::from_fn(|_| draw(rng.u64()))));
    // Sums in which the product and the third number cancel but for their last bits.
    let near = |[a, b, _]: [E; 3]| [a, b, -(a * b)];
    let cancelling: Vec<_> = all.iter().copied().map(near).collect();
    all.extend(cancelling);
    all
}

fn agree<E: Element>(numbers: &[[E; 3]], fma: impl Fn(E, E, E) -> E) {
    for isa in available() {
        let got = E::dispatch_on(isa, Lanes(numbers));
        assert_eq!(got.len(), numbers.len());
        for (x, got) in numbers.iter().zip(got) {
            let want = by_definition(*x, &fma);
            for k in 0..METHODS.len() {
                assert!(same(got[k], want[k]), "{isa} {} of {x:?}: {}, not {}", METHODS[k], got[k], want[k]);
            }
        }
    }
}

#[test]
fn every_instruction_set_computes_a_lane_alike() {
    agree(&numbers(&telling_f32(), |bits| f32::from_bits(bits as u32)), rounded_once);
    agree(&numbers(&telling_f64(), f64::from_bits), f64::mul_add);
}

/// A multiply-add of each instruction set, in its first lane.
struct Fma<E>([E; 3]);
impl<E: Element> Kernel<E> for Fma<E> {
    type Output = E;
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) -> E {
        let [a, b, c] = self.0;
        let mut out = [E::ZERO; 16];
        s.write(&mut out, s.fma(s.splat(a), s.splat(b), s.splat(c)));
        out[0]
    }
}

#[test]
fn every_instruction_set_rounds_a_multiply_add_once() {
    for isa in available() {
        assert_eq!(failed(&telling_f32(), |a, b, c| f32::dispatch_on(isa, Fma([a, b, c]))), None, "{isa}");
        assert_eq!(failed(&telling_f64(), |a, b, c| f64::dispatch_on(isa, Fma([a, b, c]))), None, "{isa}");
    }
}

/// Reads the first n of 16 numbers and writes the first m lanes of what it read between others.
struct Tail<'a, E>(&'a [E; 16], usize, usize);
impl<E: Element> Kernel<E> for Tail<'_, E> {
    type Output = (usize, [E; 16]);
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) -> (usize, [E; 16]) {
        let Tail(from, n, m) = self;
        let mut out = [E::from_f64(-1.0); 16];
        let v = s.read_tail(&from[..n.min(S::LANES)]);
        s.write_tail(&mut out[..m.min(S::LANES)], v);
        (S::LANES, out)
    }
}

#[test]
fn tails_touch_what_they_should() {
    fn holds<E: Element>() {
        let from: [E; 16] = std::array::from_fn(|i| E::from_usize(i + 1));
        for (isa, n, m) in available().flat_map(|isa| (0..17 * 17).map(move |k| (isa, k / 17, k % 17))) {
            let (lanes, out) = E::dispatch_on(isa, Tail(&from, n, m));
            let (n, m) = (n.min(lanes), m.min(lanes));
            for (i, &got) in out.iter().enumerate() {
                let want = if i >= m {
                    -1.0
                } else if i < n {
                    (i + 1) as f64
                } else {
                    0.0
                };
                assert_eq!(got.to_f64(), want, "{isa}: {n} read, {m} written, lane {i}");
            }
        }
    }
    holds::<f32>();
    holds::<f64>();
}

/// The sum of 64 numbers.
struct SumOf<'a, E>(&'a [E; 64]);
impl<E: Element> Kernel<E> for SumOf<'_, E> {
    type Output = E;
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) -> E {
        let (mut vectors, count) = ([s.zero(); 16], 64 / S::LANES);
        for (v, x) in vectors.iter_mut().zip(self.0.chunks(S::LANES)) {
            *v = s.read(x);
        }
        s.sum::<64>(&vectors[..count])
    }
}

#[test]
fn a_sum_has_one_order_whatever_the_lanes() {
    let mut rng = Rng::seed(2);
    let x: [f32; 64] = std::array::from_fn(|_| rng.range(-1.0, 1.0) as f32);
    let halves = |mut x: Vec<f32>| {
        while x.len() > 1 {
            x = (0..x.len() / 2).map(|i| x[i] + x[i + x.len() / 2]).collect();
        }
        x[0].to_bits()
    };
    let want = halves(x.to_vec());
    for isa in available() {
        assert_eq!(f32::dispatch_on(isa, SumOf(&x)).to_bits(), want, "{isa}");
    }
    // Vectors added to each other first, and then the lanes of the one that is left: the width makes the
    // bits.
    let of_width = |lanes: usize| {
        let add = |sum: Vec<f32>, v: &[f32]| sum.iter().zip(v).map(|(a, b)| a + b).collect();
        halves(x.chunks(lanes).fold(vec![0.0; lanes], add))
    };
    assert!(of_width(8) != of_width(16) && of_width(4) != of_width(8));
}
