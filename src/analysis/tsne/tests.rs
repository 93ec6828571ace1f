use super::*;
use gradus_core::Rng;
use gradus_core::simd::Isa;

/// `groups` clouds around far-apart centres, point i in cloud i % groups.
fn clouds<E: Element>(n: usize, d: usize, groups: usize) -> Tensor<E> {
    let mut rng = Rng::seed(3);
    let centres: Vec<f64> = (0..groups * d).map(|_| 10.0 * rng.normal()).collect();
    Tensor::from_fn([n, d], |i| E::from_f64(centres[i / d % groups * d + i % d] + rng.normal()))
}

/// KL = Σ p ln(p / q), with Z over all pairs.
fn divergence(p: &Affinities<f64>, y: &[Vec<f64>; 2]) -> f64 {
    let n = y[0].len();
    let k = |i: usize, j: usize| 1.0 / (1.0 + (y[0][i] - y[0][j]).powi(2) + (y[1][i] - y[1][j]).powi(2));
    let z: f64 =
        (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|(i, j)| i != j).map(|(i, j)| k(i, j)).sum();
    (0..n)
        .flat_map(|i| p.row(i).map(move |(j, v)| (i, j, v)))
        .filter(|p| p.2 > 0.0)
        .map(|(i, j, v)| v * (v * z / k(i, j)).ln())
        .sum()
}

/// The largest difference between a gradient and central differences, relative to the largest derivative.
fn deviation(p: &Affinities<f64>, y: &[Vec<f64>; 2], gradient: &[Vec<f64>; 2]) -> f64 {
    let (mut worst, mut largest) = (0f64, 0f64);
    for axis in 0..2 {
        for i in 0..y[0].len() {
            let at = |h: f64| {
                let mut moved = y.clone();
                moved[axis][i] += h;
                divergence(p, &moved)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            worst = worst.max((difference - gradient[axis][i]).abs());
            largest = largest.max(difference.abs());
        }
    }
    worst / largest
}

#[test]
fn the_gradient_is_the_derivative() {
    let p = Affinities::of(&clouds::<f64>(37, 5, 3), 5.0);
    let mut rng = Rng::seed(9);
    let y: [Vec<f64>; 2] = std::array::from_fn(|_| (0..37).map(|_| rng.normal()).collect());
    // Central differences with h = 1e-5: h² / 6 times third derivatives, and rounding of 1e-16 / h.
    let right = p.gradient(&y, 1.0);
    assert!(deviation(&p, &y, &right) < 1e-8, "{}", deviation(&p, &y, &right));
    // Controls: exaggerated attraction, half the factor, and a gradient without repulsion are all seen.
    let halved = right.each_ref().map(|g| g.iter().map(|v| 0.5 * v).collect());
    let pull_alone = {
        let strong = p.gradient(&y, 2.0);
        std::array::from_fn(|a| strong[a].iter().zip(&right[a]).map(|(s, r)| s - r).collect())
    };
    for planted in [p.gradient(&y, 1.01), halved, pull_alone] {
        assert!(deviation(&p, &y, &planted) > 1e-3);
    }
}

#[test]
fn affinities_are_symmetric_sum_to_one_and_have_the_perplexity() {
    let x = clouds::<f64>(60, 4, 2);
    let p = Affinities::of(&x, 8.0);
    let entry = |i: usize, j: usize| p.row(i).find(|e| e.0 == j).map_or(0.0, |e| e.1);
    let sum: f64 = p.values.iter().sum();
    assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    for i in 0..60 {
        assert_eq!(entry(i, i), 0.0);
        (0..60).for_each(|j| assert_eq!(entry(i, j), entry(j, i)));
    }
    for row in neighbours(&x, 24) {
        let squares: Vec<f64> = row.iter().map(|r| r.1).collect();
        assert!((entropy(&conditional(&squares, 8.0)).exp() - 8.0).abs() < 1e-8);
    }
    // Equal distances allow but one entropy: all neighbours count the same.
    assert_eq!(conditional(&[2.0; 4], 3.0), [0.25; 4]);
}

#[test]
fn the_nearest_are_found() {
    let x = clouds::<f64>(50, 3, 4);
    let row = |i: usize| &x.data()[3 * i..3 * i + 3];
    for (i, found) in neighbours(&x, 7).iter().enumerate() {
        let mut all: Vec<(f64, u32)> = (0..50)
            .filter(|&j| j != i)
            .map(|j| (row(i).iter().zip(row(j)).map(|(a, b)| (a - b).powi(2)).sum(), j as u32))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(
            found.iter().map(|f| f.0).collect::<Vec<_>>(),
            all[..7].iter().map(|a| a.1).collect::<Vec<_>>()
        );
    }
}

/// The share of points whose nearest neighbour in the plane is of the same group.
fn agreement(y: &Tensor<f32>, group: impl Fn(usize) -> usize) -> f64 {
    let n = y.len() / 2;
    let at = |i: usize| (y.data()[2 * i], y.data()[2 * i + 1]);
    let square = |i: usize, j: usize| (at(i).0 - at(j).0).powi(2) + (at(i).1 - at(j).1).powi(2);
    let nearest =
        |i: usize| (0..n).filter(|&j| j != i).min_by(|&j, &k| square(i, j).total_cmp(&square(i, k)));
    let same = (0..n).filter(|&i| nearest(i).is_some_and(|j| group(i) == group(j))).count();
    same as f64 / n as f64
}

#[test]
fn groups_stay_together_with_the_same_bits_on_any_number_of_threads() {
    let x = clouds::<f32>(210, 20, 5);
    let settings = Settings { iterations: 400, ..Settings::default() };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| embed(&x, &settings, |_| {}))
    };
    let y = run(1);
    assert!(y.data().iter().all(|v| v.is_finite()));
    assert_eq!(y.data(), run(3).data());
    assert!(agreement(&y, |i| i % 5) > 0.99, "{}", agreement(&y, |i| i % 5));
    // Control: of groups that mean nothing, a fifth agrees by chance.
    assert!(agreement(&y, |i| i / 5 % 5) < 0.5);
}

#[test]
fn few_points_and_equal_points_are_harmless() {
    for x in [Tensor::<f32>::full([4, 3], 1.0), clouds(4, 1, 2), clouds(5, 2, 1)] {
        let y = embed(&x, &Settings { iterations: 50, ..Settings::default() }, |_| {});
        assert!(y.data().iter().all(|v| v.is_finite()));
    }
}

#[test]
fn every_instruction_set_repels_alike() {
    let mut rng = Rng::seed(4);
    let y: [Vec<f32>; 2] = std::array::from_fn(|_| (0..117).map(|_| rng.normal() as f32).collect());
    let padded = padded(&y);
    let forces = |isa: Isa| {
        let kernel = Repulsion { x: &padded[0], y: &padded[1], at: [0.3, -0.1] };
        f32::dispatch_on(isa, kernel).map(f32::to_bits)
    };
    let available = || Isa::ALL.into_iter().filter(|isa| isa.is_available());
    assert!(available().all(|isa| forces(isa) == forces(Isa::Portable)));
}
