//! Questions 1 to 3 of the homework: short answers, typeset, with pictures computed on the spot and the
//! claims that stand behind them. The proofs themselves are `proofs/*/theory.tex`.

use super::{Math, Page, Rich};
use crate::error::Result;
use crate::image::{Image, caption_grid};
use crate::lessons::descent::{DescentReport, charts, descend};
use crate::lessons::filtering::{Shown, filter, photograph, response_picture};
use crate::lessons::filters::{Border, Filter, Kernel3, Kind, find};
use crate::lessons::iou;
use crate::lessons::quadratic::Quadratic;
use gradus_core::Rng;
use gradus_core::optim::Sgd;
use gradus_models::detection::boxes::Metric;

/// Of a path that is drawn.
const SHOWN_STEPS: usize = 60;
/// A line a claim: label, title, tests, controls, machine proofs. Written by `cargo run -p gradus-proofs --
/// --tables`.
const CLAIMS: &str = include_str!("../../assets/claims.tsv");

/// Which part of the homework is answered where.
pub const PARTS: [[&str; 3]; 15] = [
    ["1 (a)", "Gradient and minimiser of the quadratic loss", "q1a"],
    ["1 (b)", "What a step of descent does to each weight", "q1b"],
    ["1 (c)", "Exactly when descent converges", "q1c"],
    ["1 (d)", "When it is slow", "q1d"],
    ["2 (a)", "A filter that finds edges", "q2a"],
    ["2 (b)", "A filter that blurs", "q2b"],
    ["2 (c)", "A filter that sharpens horizontally", "q2c"],
    ["2 (d)", "A filter that removes noise", "q2d"],
    ["3 (a)", "Why IoU lies between 0 and 1", "q3a"],
    ["3 (b)", "Where IoU is not differentiable, and what that means for a loss", "q3b"],
    ["4", "AlexNet", "q4"],
    ["5 (a)", "A detector fine-tuned", "q5a"],
    ["5 (b)", "A detector on another backbone", "q5b"],
    ["5 (c)", "Both compared", "q5c"],
    ["", "Sources and acknowledgements", "sources"],
];

/// The claims whose labels begin with this letter: what they say, how they are tested, which are proven by
/// machine.
fn claims(page: &mut Page, letter: char) {
    let head = vec!["claim", "says", "tests", "controls", "machine proofs"];
    let own = CLAIMS.lines().filter(|l| l.starts_with(letter));
    let rows = own.map(|l| l.split('\t').collect());
    page.text(
        "The claims behind this answer, with the number of tests of each over the program's own code, and of controls: \
         planted wrong claims that the tests must refute. A machine proof is checked by Coq or z3.",
    );
    page.table(std::iter::once(head).chain(rows)).command("cargo run -p gradus-proofs -- --tables");
}

/// Question 1: when gradient descent converges, and when it is slow.
pub fn descent(page: &mut Page) -> Result<Vec<DescentReport>> {
    page.section("q1", "1. When does gradient descent converge?");
    page.text("The loss is a quadratic with curvatures $a$ and $b$:");
    page.formula("L(w) = \\frac{1}{2}\\left(a\\,w_1^2 + b\\,w_2^2\\right).");
    page.part("q1a", "(a) Gradient and minimiser").text(
        "$\\nabla L = (a w_1, b w_2)$. For $a, b > 0$ both terms of the loss are non-negative and vanish only together: \
         $w = 0$ is the minimiser, and there is no other.",
    );
    page.part("q1b", "(b) A step").text(
        "$w \\leftarrow w - \\eta \\nabla L$ multiplies $w_1$ by $\\rho_1 = 1 - \\eta a$ and $w_2$ by \
         $\\rho_2 = 1 - \\eta b$. After $t$ steps $w_i(t) = \\rho_i^t\\, w_i(0)$; the coordinates do not see each other.",
    );
    page.part("q1c", "(c) Exactly when it converges").text(
        "$|\\rho_i|^t \\to 0$ if and only if $|\\rho_i| < 1$, that is $0 < \\eta a < 2$ and $0 < \\eta b < 2$. So from a \
         start with both coordinates not zero, and for $a, b > 0$, descent converges to the minimiser exactly when",
    );
    page.formula("0 < \\eta < \\frac{2}{\\max(a, b)}.").text(
        "At the limit the steep coordinate alternates for ever; beyond it diverges. Without curvature a coordinate never \
         moves, and with negative curvature it diverges at any rate.",
    );
    let reports = rates(page);
    let (q, rule) = (Quadratic::new(vec![1.0, 10.0]), Sgd::new(0.18).into());
    let (_, path) = descend(&q, rule, [1.0, 1.0], Some(SHOWN_STEPS));
    let [(_, steps), (_, losses), (_, region)] = charts(&q, &rule, &path);
    page.figure(&region.image(), "Which rates converge: left of the limit. The dot is the path below.")?;
    page.part("q1d", "(d) When it is slow").text(
        "When $a$ and $b$ differ much. The rate must be small for the steep direction, and the flat one then hardly moves. \
         What counts is the greater of $|1 - \\eta a|$ and $|1 - \\eta b|$. It is least where both are equal, \
         $1 - \\eta \\min(a, b) = \\eta \\max(a, b) - 1$: the best constant rate is $2/(a+b)$, and even with it a step \
         multiplies the error by",
    );
    page.formula("\\frac{\\kappa - 1}{\\kappa + 1}, \\qquad \\kappa = \\frac{\\max(a,b)}{\\min(a,b)},").text(
        "so that a millionth of the error takes $t = \\ln 10^6 / \\ln \\frac{\\kappa + 1}{\\kappa - 1} \\approx 6.9\\,\\kappa$ \
         steps: the last two rows of the table. Momentum turns $\\kappa$ into $\\kappa^{1/2}$.",
    );
    page.figure(
        &steps.image(),
        "$\\eta = 0.18$, $a = 1$, $b = 10$: $w_2$ changes its sign at each step, $w_1$ crawls.",
    )?;
    page.figure(&losses.image(), "The loss along this path.")?;
    page.command("gradus descent --a 1 --b 10 --lr 0.18 -o pictures");
    claims(page, 'D');
    Ok(reports)
}

/// A table of rates and what they lead to.
fn rates(page: &mut Page) -> Vec<DescentReport> {
    let (mut reports, mut commands) = (Vec::new(), Vec::new());
    let mut rows =
        vec![["a", "b", "η", "factors", "verdict", "steps to a millionth"].map(String::from).to_vec()];
    for (a, b, lr) in [
        (1.0, 4.0, 0.25),
        (1.0, 4.0, 0.5),
        (1.0, 4.0, 0.55),
        (1.0, 100.0, 2.0 / 101.0),
        (1.0, 1e4, 2.0 / 10_001.0),
    ] {
        let report =
            descend(&Quadratic::new(vec![a, b]), Sgd::new(lr).into(), [1.0, 1.0], Some(SHOWN_STEPS)).0;
        rows.push(vec![
            a.to_string(),
            b.to_string(),
            format!("{lr:.4}"),
            format!("{:.4}, {:.4}", report.rho[0], report.rho[1]),
            report.verdict.into(),
            report.steps_needed.map_or("never".into(), |n| n.to_string()),
        ]);
        commands.push(format!("gradus descent --a {a} --b {b} --lr {lr}"));
        reports.push(report);
    }
    page.table(rows).command(&commands.join("; "));
    reports
}

/// A photograph with noise: normal of deviation 20, and one pixel of 25 black or white.
fn noisy(photo: &Image) -> Image {
    let mut rng = Rng::seed(0).stream("noise");
    let mut value = |v: &u8| match rng.below(50) {
        0 => 0,
        1 => u8::MAX,
        _ => (f64::from(*v) + 20.0 * rng.normal()).round().clamp(0.0, 255.0) as u8,
    };
    let gray = photo.clone().to_gray8();
    Image::from_u8(gray.width(), gray.height(), 1, gray.as_u8().iter().map(&mut value).collect())
}

/// Nine numbers in LaTeX's language.
macro_rules! matrix {
    () => {
        r"\begin{pmatrix} # & # & # \\ # & # & # \\ # & # & # \end{pmatrix}"
    };
}

/// A filter's weights; `None` for the median.
fn weights(f: &Filter) -> Option<Math> {
    let flat = |w: &Kernel3| w.as_flattened().iter().map(|&v| i64::from(v)).collect::<Vec<_>>();
    match &f.kind {
        Kind::Linear { weights, divisor: 1 } => Some(Math::with(matrix!(), flat(weights))),
        Kind::Linear { weights, divisor } => {
            let numbers = std::iter::once(i64::from(*divisor)).chain(flat(weights));
            Some(Math::with(concat!(r"\frac{1}{#} ", matrix!()), numbers))
        }
        Kind::Magnitude { x, y } => {
            let formula = concat!(r"\sqrt{g_x^2 + g_y^2}, \quad g_x: ", matrix!(), r", \; g_y: ", matrix!());
            Some(Math::with(formula, [flat(x), flat(y)].concat()))
        }
        Kind::Median => None,
    }
}

fn show(page: &mut Page, photo: &Image, f: &Filter) -> Result<()> {
    if let Some(weights) = weights(f) {
        page.formula(weights);
    }
    let shown = filter(f, photo, Border::Reflect, Shown::Signed).image.to_rgb8();
    let pair = [(photo.clone().to_rgb8(), "before".to_string()), (shown, f.name.to_string())];
    page.figure(&caption_grid("", &pair, 2, 256), format!("{}: {}", f.name, f.why))?;
    Ok(())
}

/// Question 2: filters designed by hand.
pub fn filters(page: &mut Page) -> Result<()> {
    page.section("q2", "2. Filters designed by hand");
    page.text(
        "Nine weights on each pixel and its neighbours. What they sum to is what becomes of flat areas: 0 for edges, 1 for \
         the rest. What a filter does to a wave of frequency $\\omega$ is its response $H(\\omega)$; white noise of variance \
         $s^2$ leaves with $s^2 \\sum w^2$.",
    );
    let photo = photograph(256)?;
    for (name, heading, shown) in [
        ("q2a", "(a) Edges", &["sobel-x", "sobel-y", "sobel"][..]),
        ("q2b", "(b) Blur", &["binomial"]),
        ("q2c", "(c) Horizontal sharpening", &["sharpen-horizontal"]),
        ("q2d", "(d) Noise reduction", &["box", "median"]),
    ] {
        page.part(name, heading);
        let photo = if name == "q2d" {
            page.text(
                "The photograph has noise here: normal of deviation 20, and one pixel of 25 black or white. The mean leaves \
                 a third of the first and smears the second; the median removes the second.",
            );
            noisy(&photo)
        } else {
            photo.clone()
        };
        for f in shown.iter().filter_map(|n| find(n)) {
            show(page, &photo, f)?;
        }
        if let Some(response) = find(shown[0]).and_then(response_picture) {
            page.figure(&response, format!("Which frequencies {} passes.", shown[0]))?;
        }
        page.likewise(&format!(
            "gradus filter {} photo.png -o filtered.png --response response.png",
            shown[0]
        ));
    }
    page.text("Photograph: \"Cameraman\" by Lav Varshney, CC0.");
    claims(page, 'F');
    Ok(())
}

/// Question 3: IoU and its gradient.
pub fn iou(page: &mut Page) -> Result<f64> {
    page.section("q3", "3. Intersection over union");
    page.part("q3a", "(a) Why it lies between 0 and 1").text(
        "The intersection is a part of the union, and area is monotone and never negative: \
         $0 \\le |A \\cap B| \\le |A \\cup B|$. Where the union has an area, so that the quotient is defined,",
    );
    page.formula("0 \\le \\mathrm{IoU} = \\frac{|A \\cap B|}{|A \\cup B|} \\le 1.");
    let (value, ..) = Metric::Iou.gradient(&[0.0, 0.0, 4.0, 2.0], &[1.0, 1.0, 5.0, 3.0]);
    let shared =
        format!("The boxes (0, 0, 4, 2) and (1, 1, 5, 3) share 3 of 13 units of area: IoU = {value:.4}. ");
    page.text(Rich::from(shared).then(
        "The bound holds in floating point too, with no tolerance, since the union is computed as $(A + B) - I$.",
    ))
    .command("gradus iou 0,0,4,2 1,1,5,3");
    page.part("q3b", "(b) Where it is not differentiable").text(
        "With $I$ the intersection's area and $U = A + B - I$ the union's, inside of a region where no edge passes another",
    );
    page.formula("\\nabla \\frac{I}{U} = \\frac{U\\,\\nabla I - I\\,\\nabla U}{U^2}.").text(
        "$I$ is made of minima and maxima of coordinates: a kink lies where an edge of one box passes an edge of the other \
         that bounds the intersection, and where the boxes begin to touch. Where both boxes are points, $0/0$, no value makes \
         it continuous. Kinks alone would not keep it from being a loss; they have measure zero, and ReLU has them too. The \
         obstacle is the plateau: boxes that are apart have IoU 0 all around, and a gradient of exactly 0 says nothing about \
         where to go. GIoU, DIoU and CIoU mend that: each is at most IoU, and their gradients pull boxes together that are \
         apart.",
    );
    let [(_, values), (_, slopes)] = iou::charts();
    page.figure(&values.image(), "Four measures as a unit box moves past another.")?;
    page.figure(
        &slopes.image(),
        "Their derivatives: IoU's is 0 beyond one box width; the jumps are its kinks.",
    )?;
    page.command("gradus iou --field -o pictures");
    claims(page, 'I');
    Ok(value)
}

/// What the page owes to others.
pub fn sources(page: &mut Page) {
    page.section("sources", "Sources and acknowledgements");
    for source in [
        "AlexNet: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural networks, 2012; \
         A. Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014. The recipe for CIFAR-10 and \
         what question 4 shows follow the third notebook of pytorch-image-classification by B. Trevett.",
        "Data: CIFAR-10 by A. Krizhevsky, V. Nair, G. Hinton; PennFudanPed by L. Wang, J. Shi, G. Song, I. Shen, 2007.",
        "Learning-rate range test: L. Smith, Cyclical learning rates for training neural networks, 2017. t-SNE: L. van der \
         Maaten, G. Hinton, Visualizing data using t-SNE, 2008. Adam: D. Kingma, J. Ba, 2015. Momentum: B. Polyak, 1964.",
        "GIoU: H. Rezatofighi et al., 2019. DIoU, CIoU: Z. Zheng et al., 2020. Detectors: S. Ren et al., Faster R-CNN, 2015; \
         K. He et al., Mask R-CNN, 2017; T. Lin et al., Feature pyramid networks, 2017.",
        "Definitions and reference values: PyTorch and torchvision, BSD licence. Photograph in question 2: Lav Varshney, CC0.",
    ] {
        page.text(source);
    }
    page.text("The programs, the theory and this page were written for this work, in Rust, with the libraries that Cargo.toml names.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_questions_has_its_section_and_claims() {
        let mut page = Page::new("theory");
        page.links(&PARTS);
        descent(&mut page).unwrap();
        filters(&mut page).unwrap();
        iou(&mut page).unwrap();
        sources(&mut page);
        let html = page.html().unwrap();
        for [part, _, name] in PARTS.iter().filter(|p| !p[0].starts_with(['4', '5'])) {
            assert!(html.contains(&format!("id=\"{name}\"")), "{part} leads nowhere");
        }
        assert!(html.contains("69078") && html.contains("<td>D5</td>") && html.contains("<td>I6</td>"));
        // No formula was beyond the typesetter.
        assert!(!html.contains("merror") && !html.contains("://"), "an error in a formula");
        assert_eq!(html.matches("<img").count(), html.matches(" alt=\"").count());
    }
}
