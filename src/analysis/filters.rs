//! What the filters of a first layer look for, counted.
//!
//! A filter of three colours is its mean over them, which sees gray, and what is left, which sees colour: it is one of
//! colour where that holds more than half of the sum of its squares. Of the gray part the differences of neighbours, dx
//! and dy, make a structure tensor; where (λ1 - λ2) / (λ1 + λ2) of its eigenvalues is above one half, most change goes
//! one way, and the filter is one of an edge or of stripes.

use gradus_core::Tensor;
use gradus_models::AlexNet;

/// The share of squares that is colour, and the coherence of the gray part's changes, of a filter [side, side, 3].
fn nature(values: &[f32], side: usize) -> [f64; 2] {
    let pixels: Vec<[f64; 3]> = values.as_chunks::<3>().0.iter().map(|p| p.map(f64::from)).collect();
    let gray: Vec<f64> = pixels.iter().map(|p| p.iter().sum::<f64>() / 3.0).collect();
    let all: f64 = pixels.iter().flatten().map(|v| v * v).sum();
    let grays: f64 = gray.iter().map(|g| 3.0 * g * g).sum();
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for y in 0..side.saturating_sub(1) {
        for x in 0..side.saturating_sub(1) {
            let at = |x: usize, y: usize| gray[y * side + x];
            // Both differences at the middle of four pixels.
            let dx = (at(x + 1, y) + at(x + 1, y + 1) - at(x, y) - at(x, y + 1)) / 2.0;
            let dy = (at(x, y + 1) + at(x + 1, y + 1) - at(x, y) - at(x + 1, y)) / 2.0;
            (xx, yy, xy) = (xx + dx * dx, yy + dy * dy, xy + dx * dy);
        }
    }
    let coherence = ((xx - yy) * (xx - yy) + 4.0 * xy * xy).sqrt() / (xx + yy).max(f64::MIN_POSITIVE);
    [1.0 - grays / all.max(f64::MIN_POSITIVE), coherence]
}

/// How many filters of a layer, [side, side, 3, n], see colour, how many of the others a direction, and how many there are.
fn counts(weight: &Tensor) -> [usize; 3] {
    let [side, _, _, count] = weight.dims("filters");
    let nature =
        |f: usize| nature(&weight.data().chunks(count).map(|taps| taps[f]).collect::<Vec<_>>(), side);
    let natures: Vec<_> = (0..count).map(nature).collect();
    let colour = natures.iter().filter(|n| n[0] > 0.5).count();
    let oriented = natures.iter().filter(|n| n[0] <= 0.5 && n[1] > 0.5).count();
    [colour, oriented, count]
}

/// What the first layer's filters look for, beside those of a network that has learned nothing.
pub fn filters_told(net: &AlexNet, fresh: &AlexNet) -> String {
    let of = |net: &AlexNet| counts(&net.convolutions()[0].weight.value);
    told(of(net), of(fresh))
}

fn told([colour, oriented, count]: [usize; 3], [fresh_colour, fresh_oriented, _]: [usize; 3]) -> String {
    format!(
        "Of the first layer's {count} filters {colour} see mostly colour (more than half of their squares is difference of red, \
         green and blue), {oriented} of the others mostly one direction (edges and stripes), and {} neither. In fresh weights, \
         which have learned nothing, it is {fresh_colour}, {fresh_oriented} and {}.",
        count - colour - oriented,
        count - fresh_colour - fresh_oriented
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_apart() {
        let of = |value: &dyn Fn(usize, usize, usize) -> f32| -> Vec<f32> {
            (0..27).map(|i| value(i / 3 % 3, i / 9, i % 3)).collect()
        };
        let edge = of(&|x, _, _| x as f32 - 1.0);
        let slanted = of(&|x, y, _| (x + y) as f32 - 2.0);
        let spot = of(&|x, y, _| if x == 1 && y == 1 { 1.0 } else { 0.0 });
        let red = of(&|_, _, c| [1.0, -0.5, -0.5][c]);
        let filters = [&edge, &slanted, &spot, &red];
        let weight = Tensor::from_fn([3, 3, 3, 4], |i| filters[i % 4][i / 4]);
        assert_eq!(counts(&weight), [1, 2, 4]);
        assert!(nature(&edge, 3)[1] > 0.99 && nature(&slanted, 3)[1] > 0.99 && nature(&spot, 3)[1] < 0.01);
        let said = told([1, 2, 4], [3, 0, 4]);
        assert!(
            said.contains("4 filters 1 see") && said.contains("and 1 neither") && said.contains("3, 0 and 1"),
            "{said}"
        );
    }
}
