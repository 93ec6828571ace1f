//! What a plane of points shows of their classes: which lie nearest, which stands apart, and how often a point's nearest
//! neighbour is of its own class.

use gradus_core::Tensor;

/// Of the first points of a plane, the part whose nearest one among them has the same label.
pub(super) fn neighbours(plane: &Tensor, labels: &[usize]) -> f64 {
    const AT_MOST: usize = 2_000;
    let points = &plane.data().as_chunks::<2>().0[..labels.len().min(AT_MOST)];
    let far = |a: &[f32; 2], b: &[f32; 2]| (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]);
    let alike = |i: usize| {
        let others = (0..points.len()).filter(|&j| j != i);
        let nearest =
            others.min_by(|&j, &k| far(&points[i], &points[j]).total_cmp(&far(&points[i], &points[k])));
        nearest.is_some_and(|j| labels[i] == labels[j])
    };
    (0..points.len()).filter(|&i| alike(i)).count() as f64 / points.len().max(1) as f64
}

/// The middles of the classes that have points, with the root of the mean square distance from them.
fn middles(plane: &Tensor, labels: &[usize], classes: usize) -> Vec<(usize, [f64; 2], f64)> {
    let points = &plane.data().as_chunks::<2>().0[..labels.len()];
    let of = |class: usize| {
        let own =
            || points.iter().zip(labels).filter(move |(_, l)| **l == class).map(|(p, _)| p.map(f64::from));
        let n = own().count() as f64;
        let sum = own().fold([0.0; 2], |s, p| [s[0] + p[0], s[1] + p[1]]);
        let middle = sum.map(|s| s / n);
        let spread = own().map(|p| squared(p, middle)).sum::<f64>() / n;
        (n > 0.0).then(|| (class, middle, spread.sqrt()))
    };
    (0..classes).filter_map(of).collect()
}

fn squared(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1])
}

/// Which classes lie nearest to each other, which stands apart the most, and how far that is beside how far their own
/// points lie from their middle.
pub(super) fn seen(plane: &Tensor, labels: &[usize], classes: &[String]) -> String {
    let middles = middles(plane, labels, classes.len());
    let apart = |i: usize, j: usize| squared(middles[i].1, middles[j].1).sqrt();
    let others = |i: usize| (0..middles.len()).filter(move |&j| j != i);
    let nearest = |i: usize| {
        others(i).min_by(|&j, &k| apart(i, j).total_cmp(&apart(i, k))).map(|j| (i, j, apart(i, j)))
    };
    let pairs: Vec<_> = (0..middles.len()).filter_map(nearest).collect();
    let by_distance = |a: &&(usize, usize, f64), b: &&(usize, usize, f64)| a.2.total_cmp(&b.2);
    let (Some(&(a, b, near)), Some(&(far, to, most))) =
        (pairs.iter().min_by(by_distance), pairs.iter().max_by(by_distance))
    else {
        return "There is one class alone.".into();
    };
    let spread = middles.iter().map(|m| m.2).sum::<f64>() / middles.len() as f64;
    let name = |i: usize| &classes[middles[i].0];
    let told = |distance: f64| format!("{:.1}", distance / spread.max(f64::MIN_POSITIVE));
    format!(
        "Nearest to each other lie the middles of {} and {}, {} of a class's own spread apart; most by itself stands {}, {} \
         spreads from {}, which is the next.",
        name(a),
        name(b),
        told(near),
        name(far),
        told(most),
        name(to)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_counted() {
        // Two pairs, far apart: of the second pair each has another class than the other.
        let plane = Tensor::from_slice([4, 2], &[0.0, 0.0, 1.0, 0.0, 9.0, 9.0, 9.0, 8.0]);
        assert_eq!(neighbours(&plane, &[0, 0, 1, 2]), 0.5);
        assert_eq!(neighbours(&plane, &[0, 0, 1, 1]), 1.0);
    }

    #[test]
    fn classes_are_told_by_where_they_lie() {
        let classes = ["cat", "dog", "none", "ship"].map(String::from);
        // Middles at 0, 4 and 24, each point 1 from its own.
        let plane =
            Tensor::from_slice([6, 2], &[-1.0, 0.0, 1.0, 0.0, 3.0, 0.0, 5.0, 0.0, 23.0, 0.0, 25.0, 0.0]);
        assert_eq!(
            seen(&plane, &[0, 0, 1, 1, 3, 3], &classes),
            "Nearest to each other lie the middles of cat and dog, 4.0 of a class's own spread apart; most by itself stands \
             ship, 20.0 spreads from dog, which is the next."
        );
        assert!(
            seen(&plane, &[3, 3, 1, 1, 0, 0], &classes).contains("ship and dog")
                || seen(&plane, &[3, 3, 1, 1, 0, 0], &classes).contains("dog and ship")
        );
        assert_eq!(seen(&plane, &[1; 6], &classes), "There is one class alone.");
    }
}
