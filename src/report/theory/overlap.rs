//! Question 3: intersection over union, its bounds, where it has no derivative, and what that means for a loss.

use super::claims;
use crate::error::Result;
use crate::lessons::iou;
use crate::lessons::kinks::{kinks as kinks_of, one_sided};
use crate::numbers::number;
use crate::report::{Math, Page, Rich};
use gradus_models::detection::boxes::{BBox, Metric, area, overlap};

/// Two boxes whose left edges lie at the same place: IoU has a kink there, as a function of the first box's x1.
const KINK: [BBox<f64>; 2] = [[1.0, 0.0, 3.0, 2.0], [1.0, 1.0, 4.0, 3.0]];

/// Each kind of place where edges meet: what it is, two boxes that lie so, and the coordinate of the first that moves.
const PLACES: [(&str, [BBox<f64>; 2], usize); 8] = [
    ("left edges meet: $x_1 = u_1$", KINK, 0),
    ("right edges meet: $x_2 = u_2$", [[1.0, 0.0, 3.0, 2.0], [0.0, 1.0, 3.0, 3.0]], 2),
    ("upper edges meet: $y_1 = v_1$", [[0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 3.0, 4.0]], 1),
    ("lower edges meet: $y_2 = v_2$", [[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 3.0, 3.0]], 3),
    ("equal corners: $x_1 = u_1$ and $y_1 = v_1$", [[1.0, 1.0, 3.0, 3.0], [1.0, 1.0, 4.0, 4.0]], 0),
    ("equal boxes", [[0.0, 0.0, 2.0, 2.0]; 2], 0),
    ("boxes begin to touch along an edge: $x_2 = u_1$", [[0.0, 0.0, 2.0, 2.0], [2.0, 1.0, 4.0, 3.0]], 2),
    ("boxes touch at a corner alone: no kink", [[0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 4.0, 4.0]], 2),
];

/// What happens to IoU at each kind of place, from either side.
fn places() -> Vec<Vec<Rich>> {
    let head = ["where", "A", "B", "moved", "from the left", "from the right", "kinks"];
    let shown = |b: &BBox<f64>| format!("({})", b.map(number).join(", "));
    let row = |(place, [a, b], coordinate): &(&'static str, [BBox<f64>; 2], usize)| {
        let [left, right] = one_sided(a, b, *coordinate).map(number);
        let moved = ["$x_1$", "$y_1$", "$x_2$", "$y_2$"][*coordinate];
        let many = kinks_of(a, b).len().to_string();
        vec![
            (*place).into(),
            shown(a).into(),
            shown(b).into(),
            moved.into(),
            left.into(),
            right.into(),
            many.into(),
        ]
    };
    std::iter::once(head.map(Rich::from).to_vec()).chain(PLACES.iter().map(row)).collect()
}

/// Question 3: IoU and its gradient.
pub fn iou(page: &mut Page) -> Result<f64> {
    page.section("q3", "3. Intersection over union");
    page.part("q3a", "3a. Why it lies between 0 and 1").text(
        "The intersection is a part of the union, and area is monotone and never negative: \
         $0 \\le |A \\cap B| \\le |A \\cup B|$. Where the union has an area, so that the quotient is defined,",
    );
    page.formula("0 \\le \\mathrm{IoU} = \\frac{|A \\cap B|}{|A \\cup B|} \\le 1.");
    let (value, ..) = Metric::Iou.gradient(&[0.0, 0.0, 4.0, 2.0], &[1.0, 1.0, 5.0, 3.0]);
    let shared =
        format!("The boxes (0, 0, 4, 2) and (1, 1, 5, 3) share 3 of 13 units of area: IoU = {value:.4}. ");
    page.text(Rich::from(shared).then(
        "The bound holds in floating point too, with no tolerance: the union is computed as $(|A| + |B|) - I$, and rounding never \
         turns an order around.",
    ))
    .command(["gradus iou 0,0,4,2 1,1,5,3".into()]);
    kinks(page);
    loss(page)?;
    claims(page, 'I');
    Ok(value)
}

/// 3b: IoU as a function of coordinates, and its one-sided derivatives at a kink.
fn kinks(page: &mut Page) {
    page.part("q3b", "3b. Where it is not differentiable").text(
        "Let the boxes be $A = (x_1, y_1, x_2, y_2)$ and $B = (u_1, v_1, u_2, v_2)$, each by its upper left and its lower right \
         corner. The width and the height of what they share, and with them IoU, are",
    );
    page.formula("w = \\max\\left(0,\\; \\min(x_2, u_2) - \\max(x_1, u_1)\\right), \\qquad h = \\max\\left(0,\\; \\min(y_2, v_2) - \\max(y_1, v_1)\\right),")
        .formula("\\mathrm{IoU} = \\frac{I}{U} = \\frac{w h}{(x_2 - x_1)(y_2 - y_1) + (u_2 - u_1)(v_2 - v_1) - w h}.");
    page.text(
        "Where each minimum and each maximum is decided by one of its arguments alone, this is a quotient of polynomials, and \
         $\\nabla (I/U) = (U\\,\\nabla I - I\\,\\nabla U) / U^2$. So it is differentiable almost everywhere, and not where two of these arguments are equal while the boxes overlap in \
         the other direction: where an edge of one box passes an edge of the other that bounds the intersection ($x_1 = u_1$, \
         $x_2 = u_2$, and the same in $y$), and where the boxes begin to touch along an edge ($x_2 = u_1$, $x_1 = u_2$, and the \
         same in $y$). Where both areas are 0 it is $0/0$, and no value makes it continuous.",
    );
    let [a, b] = &KINK;
    let ([left, right], [w, h]) = (one_sided(a, b, 0), overlap(a, b));
    let (i, sum) = (w * h, area(a) + area(b));
    let u = sum - i;
    page.text(
        "One such place, in numbers: $A = (1, 0, 3, 2)$ and $B = (1, 1, 4, 3)$ have their left edges at the same place, \
         $x_1 = u_1 = 1$. They share $w = 2$ times $h = 1$, so that $I = 2$ and $U = 4 + 6 - 2 = 8$. To the left of it $u_1$ \
         decides the maximum: $I$ stays as it is, and with $A$'s area $U$ falls by 2 for each unit of $x_1$. To the right \
         $x_1$ decides: $I$ falls by $h = 1$, and $U$ by $2 - 1 = 1$. So the derivatives from the left and from the right are",
    );
    let whole = |derivative: f64| (derivative * u * u).round() as i64;
    page.formula(Math::with(
        "\\frac{\\partial\\,\\mathrm{IoU}}{\\partial x_1^-} = \\frac{8 \\cdot 0 - 2 \\cdot (-2)}{8^2} = \\frac{#}{64}, \\qquad \
         \\frac{\\partial\\,\\mathrm{IoU}}{\\partial x_1^+} = \\frac{8 \\cdot (-1) - 2 \\cdot (-1)}{8^2} = \\frac{#}{64}.",
        [whole(left), whole(right)],
    ));
    let told = format!(
        "{} and {}, of different sign: they differ by {}, which is ",
        number(left),
        number(right),
        number(left - right)
    );
    page.text(
        Rich::from(told)
            .then("$h\\,(|A| + |B|) / U^2$, and IoU has no derivative with respect to $x_1$ there."),
    );
    page.text(
        "Every kind of such a place, with the derivatives of IoU by the coordinate that is moved, from either side, and the \
         number of $A$'s four coordinates that have a kink there. Where boxes touch at a corner alone, their overlap grows like \
         a product of two small numbers, and both derivatives are 0.",
    );
    page.table(places());
    page.command(["gradus iou 1,0,3,2 1,1,4,3".into()]);
}

/// 3c: kinks alone do no harm, plateaus do.
fn loss(page: &mut Page) -> Result<()> {
    page.part("q3c", "3c. What that means for a loss").text(
        "Kinks alone would not keep $1 - \\mathrm{IoU}$ from being a loss: they have measure zero, either one-sided derivative \
         serves, and ReLU has them too. The obstacle is the plateau: boxes that are apart have IoU 0 all around, and a gradient \
         of exactly 0 says nothing about where to go. There is a second one: a box that moves inside of another keeps their IoU, \
         the quotient of the areas. GIoU subtracts from IoU the share of the smallest box around both that neither covers, DIoU \
         the squared distance of the centres over the squared diagonal of that box, and CIoU besides a term that is 0 where both \
         have the same aspect ratio. Each is at most IoU, and their gradients pull boxes together that are apart; inside of \
         another box GIoU is IoU and has its plateau, and the two with the distance of the centres have not.",
    );
    let (unit, apart) = ([0.0, 0.0, 1.0, 1.0], [3.0, 0.0, 4.0, 1.0]);
    let along = |metric: Metric, a: &BBox<f64>| {
        let (_, da, _) = metric.gradient(a, &apart);
        da[0] + da[2]
    };
    let inside = [Metric::Iou, Metric::Giou, Metric::Diou].map(|metric| {
        let (_, da, _) = metric.gradient(&[1.0, 1.0, 2.0, 2.0], &[0.0, 0.0, 5.0, 5.0]);
        number(da[0] + da[2])
    });
    page.text(format!(
        "Moved towards (3, 0, 4, 1), the box (0, 0, 1, 1) changes IoU by {} a unit, GIoU by {} and DIoU by {}. Moved to the right \
         inside of (0, 0, 5, 5), the box (1, 1, 2, 2) changes them by {}, {} and {}.",
        number(along(Metric::Iou, &unit)),
        number(along(Metric::Giou, &unit)),
        number(along(Metric::Diou, &unit)),
        inside[0],
        inside[1],
        inside[2]
    ));
    page.command(["gradus iou 0,0,1,1 3,0,4,1 --metric giou".into()]);
    let [(_, values), (_, slopes)] = iou::charts();
    // As the charts have it: half a box lower, beside the place where they lie upon each other.
    let beside = |t: f64| {
        let (value, da, _) = Metric::Iou.gradient(&[t, 0.5, t + 1.0, 1.5], &unit);
        [value, da[0] + da[2]]
    };
    let [[most, before], [_, after]] = [beside(-1e-9), beside(1e-9)];
    page.chart(
        &values,
        format!(
            "Four measures as a unit box moves past another, half a box lower. IoU is at most {most:.2} and 0 from one width on; \
             the others go on falling. DIoU and CIoU are the same here, where both boxes have the same shape."
        ),
    )?;
    page.chart(
        &slopes,
        format!(
            "Their derivatives. IoU's is 0 beyond one box width, and jumps from {before:.2} to {after:.2} where the boxes pass \
             each other: a kink."
        ),
    )?;
    page.command(["gradus iou --field -o pictures".into()]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table's derivatives are quotients of differences, and differ where it says so.
    #[test]
    fn the_kinds_of_places_are_as_the_table_has_them() {
        let kinked: Vec<usize> = PLACES.iter().map(|(_, [a, b], _)| kinks_of(a, b).len()).collect();
        assert_eq!(kinked, [1, 1, 1, 1, 2, 4, 1, 0]);
        for (place, [a, b], coordinate) in &PLACES {
            let at = |h: f64| {
                let mut moved = *a;
                moved[*coordinate] += h;
                Metric::Iou.gradient(&moved, b).0
            };
            let h = 1e-6;
            let differences = [(at(0.0) - at(-h)) / h, (at(h) - at(0.0)) / h];
            let sides = one_sided(a, b, *coordinate);
            for (side, difference) in sides.iter().zip(differences) {
                assert!((side - difference).abs() < 1e-5, "{place}: {side} {difference}");
            }
            assert_eq!(sides[0] == sides[1], place.ends_with("no kink"), "{place}");
        }
        let rows = places();
        assert_eq!(rows[1][4].plain() + " " + &rows[1][5].plain(), "0.0625 -0.09375");
    }

    /// The numbers that stand in the text are those of the example.
    #[test]
    fn the_example_is_as_the_text_has_it() {
        let [a, b] = &KINK;
        assert_eq!((overlap(a, b), area(a), area(b)), ([2.0, 1.0], 4.0, 6.0));
        assert_eq!(one_sided(a, b, 0), [4.0 / 64.0, -6.0 / 64.0]);
        let mut page = Page::new("t");
        iou(&mut page).unwrap();
        let html = page.html();
        for part in [
            "0.0625 and -0.09375",
            "differ by 0.15625",
            "IoU by 0 a unit, GIoU by 0.125",
            "from 0.44 to -0.44",
            "changes them by 0, 0 and 0.04",
        ] {
            assert!(html.contains(part), "{part}");
        }
    }
}
