//! Exercises of the lab. Each is a task, a hint, and a check that decides from the mathematics alone whether
//! what stands on the page solves it.
//!
//! * Boxes. IoU has a kink wherever edges touch over a length, and none where corners touch: there the shared
//!   area is the product of two lengths that both begin at 0. IoU stays the same under every small move of a
//!   box iff along each axis the one reaches beyond the other at both ends, for then the overlap keeps its
//!   width and height.
//! * Descent. A weight of curvature c changes its sign with each step iff ηc > 1, and goes to 0 iff
//!   0 < ηc < 2, with momentum μ iff 0 < ηc < 2 (1 + μ).
//! * Filters. Stripes (-1)^j down the columns j meet the alternating sum of the three columns' sums. A picture
//!   that varies only from left to right meets these sums alone, one that varies only from top to bottom the
//!   sums of the rows.

use super::descent::{Method, fate};
use super::filters::{Filter, Kernel3, Kind};
use super::kinks::{Relation, kinks, relation};
use super::quadratic::{Quadratic, Verdict};
use gradus_core::Sgd;
use gradus_models::detection::boxes::{BBox, Metric, area};
use serde::Serialize;

/// A task about what a `Q` describes.
pub struct Exercise<Q> {
    /// What it is called, in one word.
    pub name: &'static str,
    /// What is to be found.
    pub task: &'static str,
    /// What helps to find it.
    pub hint: &'static str,
    check: fn(&Q) -> bool,
}

/// An exercise, and whether it is solved.
#[derive(Clone, Debug, Serialize)]
pub struct Marked {
    /// The exercise's name.
    pub name: &'static str,
    /// What is to be found.
    pub task: &'static str,
    /// What helps to find it.
    pub hint: &'static str,
    /// Whether the answer is right.
    pub solved: bool,
}

/// Marks an answer to each of the exercises.
pub fn mark<Q>(exercises: &[Exercise<Q>], answer: &Q) -> Vec<Marked> {
    let marked =
        |e: &Exercise<Q>| Marked { name: e.name, task: e.task, hint: e.hint, solved: (e.check)(answer) };
    exercises.iter().map(marked).collect()
}

/// The boxes a and b.
pub type Pair = [BBox<f64>; 2];

/// About two boxes. A box without area solves none of them.
pub const BOXES: [Exercise<Pair>; 3] = [
    Exercise {
        name: "corner",
        task: "Make the two boxes touch where IoU has no kink.",
        hint: "Where edges touch over a length s, the one-sided derivatives of IoU differ by s / (A + B), for the \
               areas A and B. How can boxes touch over a length of 0?",
        check: |[a, b]| have_areas(a, b) && relation(a, b) == Relation::TouchingCorner,
    },
    Exercise {
        name: "plateau",
        task: "Find two boxes where the gradient of IoU is 0 and that of GIoU is not.",
        hint: "IoU knows only the area that is shared. GIoU also knows the smallest box around both, and that one \
               tells how far apart they are.",
        check: |[a, b]| {
            let flat = |metric: Metric| metric.gradient(a, b).1 == [0.0; 4];
            have_areas(a, b) && kinks(a, b).is_empty() && flat(Metric::Iou) && !flat(Metric::Giou)
        },
    },
    Exercise {
        name: "glide",
        task: "Let the boxes overlap so that no small move of box a as a whole changes IoU.",
        hint: "After the move the overlap must be as wide and as high as before. Which box must reach beyond the \
               other along x, and which along y? It need not be the same one.",
        check: |[a, b]| {
            (0..2).all(|axis| reaches_beyond(a, b, axis) || reaches_beyond(b, a, axis)) && have_areas(a, b)
        },
    },
];

fn have_areas(a: &BBox<f64>, b: &BBox<f64>) -> bool {
    area(a) > 0.0 && area(b) > 0.0
}

/// Whether `outer` begins before `inner` along an axis and ends after it.
fn reaches_beyond(outer: &BBox<f64>, inner: &BBox<f64>, axis: usize) -> bool {
    outer[axis] < inner[axis] && inner[axis + 2] < outer[axis + 2]
}

/// A descent on a quadratic of two weights.
pub struct Descent {
    /// The loss.
    pub bowl: Quadratic,
    /// How to descend.
    pub method: Method,
    /// The learning rate.
    pub lr: f64,
    /// Where it begins.
    pub start: [f64; 2],
}

/// About gradient descent and momentum.
pub const DESCENT: [Exercise<Descent>; 3] = [
    Exercise {
        name: "zigzag",
        task: "Find curvatures and a rate at which w1 changes its sign with each step of gradient descent, and the \
               descent still converges.",
        hint: "A step multiplies w1 by 1 - rate * a, which must lie between -1 and 0. At the same rate the factor of \
               w2 must lie between -1 and 1.",
        check: |d| {
            let c = d.bowl.curvatures[0];
            // A rate that rounds to 1 / a is 1 / a, and takes w1 to 0 at once.
            let changes = c > 0.0 && d.lr > 1.0 / c && d.start[0] != 0.0;
            d.method == Method::Gd && changes && d.fates(Sgd::new(d.lr)) == [Verdict::Converges; 2]
        },
    },
    Exercise {
        name: "one-way",
        task: "Find a rate at which gradient descent diverges along one weight while the other goes to 0.",
        hint: "Each weight has a limit of its own: 2 / a and 2 / b. What becomes of a rate between the two?",
        check: |d| {
            let mut fates = d.fates(Sgd::new(d.lr));
            fates.sort();
            d.method == Method::Gd && fates == [Verdict::Converges, Verdict::Diverges]
        },
    },
    Exercise {
        name: "momentum",
        task: "Find a rate at which momentum 0.9 converges, though gradient descent diverges at the same rate.",
        hint: "Gradient descent converges below 2 / max(a, b). Momentum m moves this limit to 2 (1 + m) / max(a, b).",
        check: |d| {
            let momentum = Sgd { momentum: Method::MOMENTUM, ..Sgd::new(d.lr) };
            let [with, without] = [momentum, Sgd::new(d.lr)].map(|sgd| d.fates(sgd));
            let converges = with == [Verdict::Converges; 2];
            d.method == Method::Momentum && converges && without.contains(&Verdict::Diverges)
        },
    },
];

impl Descent {
    /// What becomes of each weight by itself.
    fn fates(&self, sgd: Sgd) -> [Verdict; 2] {
        let alone = |i: usize| fate(&Quadratic::new([self.bowl.curvatures[i]]), &sgd, &self.start[i..=i]).0;
        [alone(0), alone(1)]
    }
}

/// About 3x3 filters. One that is not linear solves none of them.
pub const FILTERS: [Exercise<Filter>; 3] = [
    Exercise {
        name: "stripes",
        task: "Make a filter that keeps flat areas as they are and removes vertical stripes of two pixels' period.",
        hint: "Such stripes are 1 and -1 from column to column: the weights of the middle column must sum to as much \
               as those of both others. And all weights must sum to the divisor.",
        check: |f| {
            sums(f).is_some_and(|s| s.columns[1] == s.columns[0] + s.columns[2] && s.total() == s.divisor)
        },
    },
    Exercise {
        name: "edges",
        task: "Make a filter that gives 0 on flat areas and on vertical edges, and answers to horizontal edges.",
        hint: "A picture that varies only from left to right meets the sums of the three columns: each must be 0. \
               One that varies only from top to bottom meets the sums of the rows.",
        check: |f| sums(f).is_some_and(|s| s.columns == [0; 3] && s.rows != [0; 3]),
    },
    Exercise {
        name: "shift",
        task: "Move the picture by one pixel to the left and change nothing else.",
        hint: "Each pixel is to become what its right neighbour was. Which of the nine weights stands for that one?",
        check: |f| {
            let Kind::Linear { weights: w, divisor } = f.kind else { return false };
            divisor != 0 && w == [[0; 3], [0, 0, divisor], [0; 3]]
        },
    },
];

/// The sums of a filter's weights.
struct Sums {
    rows: [i64; 3],
    columns: [i64; 3],
    divisor: i64,
}

impl Sums {
    fn total(&self) -> i64 {
        self.rows.iter().sum()
    }
}

fn sums(f: &Filter) -> Option<Sums> {
    let Kind::Linear { weights, divisor } = f.kind else { return None };
    let sum = |at: fn(&Kernel3, usize, usize) -> i32, i| (0..3).map(|k| i64::from(at(&weights, i, k))).sum();
    let rows = [0, 1, 2].map(|i| sum(|w, i, k| w[i][k], i));
    let columns = [0, 1, 2].map(|i| sum(|w, i, k| w[k][i], i));
    (divisor != 0).then_some(Sums { rows, columns, divisor: divisor.into() })
}

#[cfg(test)]
mod tests {
    use super::super::filters::find;
    use super::*;
    use gradus_core::Tensor;
    use gradus_core::optim::State;
    use gradus_models::detection::boxes::iou;

    /// Whether the exercise of that name is solved.
    fn solved<Q>(exercises: &[Exercise<Q>], name: &str, answer: &Q) -> bool {
        mark(exercises, answer).iter().find(|m| m.name == name).unwrap().solved
    }

    /// Each exercise is solved by the first answer, and by none of the others.
    fn solved_by_the_first<Q>(exercises: &[Exercise<Q>], answers: &[(&str, &[Q])]) {
        let names: Vec<&str> = exercises.iter().map(|e| e.name).collect();
        assert_eq!(names, answers.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, answers) in answers {
            assert!(answers.len() > 1, "{name} has a near miss");
            for (i, answer) in answers.iter().enumerate() {
                assert_eq!(solved(exercises, name, answer), i == 0, "{name}: answer {i}");
            }
        }
    }

    #[test]
    fn boxes_that_solve_and_that_nearly_do() {
        let unit = [0.0, 0.0, 1.0, 1.0];
        let corner = [
            [unit, [1.0, 1.0, 2.0, 2.0]],
            [unit, [1.0, 1.0 - 0.125, 2.0, 2.0]],
            [unit, [1.0f64.next_up(), 1.0, 2.0, 2.0]],
            [unit, [1.0, 1.0, 1.0, 2.0]],
        ];
        let plateau = [
            [unit, [1.5, 0.0, 2.0, 1.0]],
            [unit, [1.0, 0.0, 2.0, 1.0]],
            [unit, unit],
            [unit, [0.5, 0.5, 1.5, 1.5]],
            [unit, [2.0, 2.0, 2.0, 3.0]],
        ];
        let glide = [
            [unit, [-1.0, -1.0, 2.0, 2.0]],
            [unit, [0.0, -1.0, 2.0, 2.0]],
            [unit, [0.5, 0.25, 0.5, 0.75]],
            [unit, [0.25, 1.25, 0.75, 2.0]],
        ];
        solved_by_the_first(&BOXES, &[("corner", &corner), ("plateau", &plateau), ("glide", &glide)]);
        let cross = [[-1.0, 0.0, 2.0, 1.0], [0.0, -1.0, 1.0, 2.0]];
        assert!(solved(&BOXES, "glide", &cross), "a cross glides too");
        assert!(solved(&BOXES, "plateau", &corner[0]), "IoU is flat where corners touch");
    }

    /// Boxes on a grid of halves: what is said of them is what small moves, exact in floats, do.
    #[test]
    fn marks_of_boxes_are_what_moves_do() {
        const MOVE: f64 = 1.0 / 64.0;
        let intervals: Vec<[f64; 2]> =
            (0..6).flat_map(|i| (i + 1..6).map(move |k| [f64::from(i) / 2.0, f64::from(k) / 2.0])).collect();
        let a = [1.0, 0.5, 2.0, 1.5];
        let mut counted = [0; 3];
        for [x1, x2] in &intervals {
            for [y1, y2] in &intervals {
                let b = [*x1, *y1, *x2, *y2];
                let at = |d: [f64; 4]| iou(&[a[0] + d[0], a[1] + d[1], a[2] + d[2], a[3] + d[3]], &b);
                let single = |i: usize, by: f64| at(std::array::from_fn(|k| if k == i { by } else { 0.0 }));
                let still = at([0.0; 4]);
                let unmoved = (-1..=1).all(|x| {
                    (-1..=1).all(|y| {
                        let [x, y] = [x, y].map(|d| f64::from(d) * MOVE);
                        at([x, y, x, y]) == still
                    })
                });
                let flat = (0..4).all(|i| [-MOVE, MOVE].iter().all(|by| single(i, *by) == still));
                // Corners touch where a box that grows to one side shares nothing, and to both sides does.
                let grows = (-1..=1).any(|x| {
                    (-1..=1).any(|y| {
                        let [x, y] = [x, y].map(|d| f64::from(d) * MOVE);
                        at([x, y, x, y]) > 0.0
                    })
                });
                let expected = [still == 0.0 && flat && grows, flat, still > 0.0 && unmoved];
                for (i, e) in BOXES.iter().enumerate() {
                    assert_eq!((e.check)(&[a, b]), expected[i], "{}: {a:?} {b:?}", e.name);
                    counted[i] += usize::from(expected[i]);
                }
            }
        }
        assert!(counted.iter().all(|n| *n > 0), "{counted:?}");
    }

    #[test]
    fn descents_that_solve_and_that_nearly_do() {
        let descent = |a: f64, b: f64, method, lr, start: [f64; 2]| Descent {
            bowl: Quadratic::new([a, b]),
            method,
            lr,
            start,
        };
        let gd = |a, b, lr| descent(a, b, Method::Gd, lr, [1.2, 1.0]);
        let heavy = |a, b, lr| descent(a, b, Method::Momentum, lr, [1.2, 1.0]);
        let zigzag = [
            gd(8.0, 1.0, 0.2),
            gd(8.0, 1.0, 0.125),
            gd(5.0, 1.0, 0.2),
            gd(8.0, 1.0, 0.25),
            gd(8.0, -1.0, 0.2),
            descent(8.0, 1.0, Method::Gd, 0.2, [0.0, 1.0]),
            heavy(8.0, 1.0, 0.2),
        ];
        let one_way = [
            gd(1.0, 8.0, 0.3),
            gd(1.0, 8.0, 0.25),
            gd(1.0, 8.0, 2.1),
            gd(8.0, 3.0, 2.0 / 3.0),
            heavy(1.0, 8.0, 0.5),
        ];
        let momentum = [
            heavy(1.0, 8.0, 0.3),
            heavy(1.0, 8.0, 0.25),
            heavy(1.0, 8.0, 0.48),
            gd(1.0, 8.0, 0.3),
            descent(1.0, 8.0, Method::Nesterov, 0.3, [1.2, 1.0]),
        ];
        let answers: [(&str, &[Descent]); 3] =
            [("zigzag", &zigzag), ("one-way", &one_way), ("momentum", &momentum)];
        solved_by_the_first(&DESCENT, &answers);
        // Whichever way the limit 2 / c is rounded, it is the limit: nothing grows there.
        for tenth in 1..400 {
            let c = f64::from(tenth) / 10.0;
            assert!(!solved(&DESCENT, "one-way", &gd(c / 2.0, c, 2.0 / c)), "{c}");
            assert!(!solved(&DESCENT, "zigzag", &gd(c, c / 2.0, 1.0 / c)), "{c}");
        }
    }

    /// What is said of a descent is what its steps do.
    #[test]
    fn marks_of_descents_are_what_steps_do() {
        let mut counted = [0; 3];
        for k in 0..180 {
            let (a, b) = ([0.5, 3.0, 8.0][k % 3], [-0.5, 1.0, 4.0][k / 3 % 3]);
            let lr = 0.031 + 0.05 * (k / 9) as f64;
            for method in [Method::Gd, Method::Momentum] {
                let d = Descent { bowl: Quadratic::new([a, b]), method, lr, start: [1.2, 1.0] };
                let walk = |method: Method| {
                    let (mut w, mut state, rule) = (d.start, State::default(), method.rule(lr));
                    let steps = (0..=1200).map(|_| {
                        let here = w;
                        rule.step(&mut w, &[a * here[0], b * here[1]], &mut state);
                        here
                    });
                    steps.collect::<Vec<_>>()
                };
                let (path, plain) = (walk(method), walk(Method::Gd));
                let small = |path: &[[f64; 2]], i: usize| path[1200][i].abs() < 1e-3;
                let large = |path: &[[f64; 2]], i: usize| path[1200][i].is_nan() || path[1200][i].abs() > 1e3;
                let changes = path[..20].windows(2).all(|w| w[0][0] * w[1][0] < 0.0);
                let both = small(&path, 0) && small(&path, 1);
                let one = (0..2).any(|i| small(&path, i) && large(&path, 1 - i));
                let expected = [
                    method == Method::Gd && changes && both,
                    method == Method::Gd && one,
                    method == Method::Momentum && both && (0..2).any(|i| large(&plain, i)),
                ];
                for (i, e) in DESCENT.iter().enumerate() {
                    assert_eq!((e.check)(&d), expected[i], "{}: {a} {b} {lr} {method:?}", e.name);
                    counted[i] += usize::from(expected[i]);
                }
            }
        }
        assert!(counted.iter().all(|n| *n > 0), "{counted:?}");
    }

    fn own(weights: Kernel3, divisor: i32) -> Filter {
        Filter { name: "", kind: Kind::Linear { weights, divisor }, why: "" }
    }

    #[test]
    fn filters_that_solve_and_that_nearly_do() {
        let named = |name| *find(name).unwrap();
        let stripes = [
            own([[0; 3], [1, 2, 1], [0; 3]], 4),
            own([[0; 3], [1, 2, 1], [0; 3]], 3),
            own([[0; 3], [1, 1, 1], [0; 3]], 3),
            own([[0, 1, 0], [0, 2, 0], [0, 1, 0]], 4),
            own([[0; 3]; 3], 1),
            named("median"),
        ];
        let edges = [
            named("sobel-y"),
            named("sobel-x"),
            named("laplacian"),
            own([[-1, -2, -1], [0; 3], [1, 2, 2]], 1),
            own([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], 1),
            named("sobel"),
        ];
        let shift = [
            own([[0; 3], [0, 0, 7], [0; 3]], 7),
            own([[0; 3], [1, 0, 0], [0; 3]], 1),
            own([[0; 3], [0, 0, 2], [0; 3]], 1),
            own([[0; 3], [0, 1, 1], [0; 3]], 1),
            named("median"),
        ];
        solved_by_the_first(&FILTERS, &[("stripes", &stripes), ("edges", &edges), ("shift", &shift)]);
        assert!(solved(&FILTERS, "stripes", &named("binomial")), "blurred along both axes");
        let large = i32::MAX;
        assert!(!solved(&FILTERS, "stripes", &own([[large; 3]; 3], large)), "no sum overflows");
    }

    /// What is said of a filter is what it does to pictures.
    #[test]
    fn marks_of_filters_are_what_they_do() {
        let picture =
            |value: &dyn Fn(usize, usize) -> f64| Tensor::from_fn([1, 5, 6, 1], |i| value(i / 6, i % 6));
        let noise = picture(&|y, x| ((y * 31 + x * 17) % 23) as f64);
        let (flat, stripes) = (picture(&|_, _| 5.0), picture(&|_, x| if x % 2 == 0 { 3.0 } else { -3.0 }));
        let (across, down) = (picture(&|_, x| (x * x * x) as f64), picture(&|y, _| (y * y * y) as f64));
        let rows = [[0, 0, 0], [1, 2, 1], [-1, -2, -1], [0, 1, 0], [0, 0, 1], [-1, 0, 1], [1, 1, 1]];
        let mut counted = [0; 3];
        for k in 0..7 * 7 * 7 {
            let weights = [rows[k / 49], rows[k / 7 % 7], rows[k % 7]];
            for divisor in [1, 4, 8] {
                let f = own(weights, divisor);
                let gives =
                    |image: &Tensor<f64>, value: f64| f.apply_valid(image).data().iter().all(|v| *v == value);
                let moved = f.apply_valid(&noise);
                let shifts = (0..12).all(|i| moved.data()[i] == noise.data()[(i / 4 + 1) * 6 + i % 4 + 2]);
                let expected = [
                    gives(&flat, 5.0) && gives(&stripes, 0.0),
                    gives(&flat, 0.0) && gives(&across, 0.0) && !gives(&down, 0.0),
                    shifts,
                ];
                for (i, e) in FILTERS.iter().enumerate() {
                    assert_eq!((e.check)(&f), expected[i], "{}: {weights:?} / {divisor}", e.name);
                    counted[i] += usize::from(expected[i]);
                }
            }
        }
        assert!(counted.iter().all(|n| *n > 0), "{counted:?}");
    }
}
