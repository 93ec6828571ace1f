//! Questions 1 to 3 of the homework: short answers, typeset, with pictures computed on the spot and the
//! claims that stand behind them. The proofs themselves are `proofs/*/theory.tex`.

use super::Page;

mod descent;
mod filters;
mod overlap;

pub use descent::descent;
pub use filters::filters;
pub use overlap::iou;

/// A line a claim: label, title, tests, controls, machine proofs. Written by `cargo run -p gradus-proofs --
/// --tables`.
const CLAIMS: &str = include_str!("../../assets/claims.tsv");

/// Which part of the homework is answered where.
pub const PARTS: [[&str; 3]; 17] = [
    ["1a", "The gradient of the quadratic loss", "q1a"],
    ["1b", "Its minimiser", "q1b"],
    ["1c", "What a step of descent multiplies each weight by", "q1c"],
    ["1d", "Exactly when descent converges", "q1d"],
    ["1e", "When it is slow", "q1e"],
    ["2a", "A filter that finds edges", "q2a"],
    ["2b", "A filter that blurs", "q2b"],
    ["2c", "A filter that sharpens horizontally", "q2c"],
    ["2d", "A filter that reduces noise", "q2d"],
    ["3a", "Why IoU lies between 0 and 1", "q3a"],
    ["3b", "Where IoU is not differentiable", "q3b"],
    ["3c", "What that means for a loss", "q3c"],
    ["4", "AlexNet", "q4"],
    ["5a", "Two detectors trained", "q5a"],
    ["5b", "Both compared", "q5b"],
    ["5c", "Both on a photograph", "q5c"],
    ["", "Sources", "sources"],
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
    page.table(std::iter::once(head).chain(rows)).command(["cargo run -p gradus-proofs -- --tables".into()]);
}

/// What the page owes to others.
pub fn sources(page: &mut Page) {
    page.section("sources", "Sources");
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
        let html = page.html();
        for [part, _, name] in PARTS.iter().filter(|p| !p[0].starts_with(['4', '5'])) {
            assert!(html.contains(&format!("id=\"{name}\"")), "{part} leads nowhere");
        }
        assert!(html.contains("69078") && html.contains("<td>D5</td>") && html.contains("<td>I6</td>"));
        // No formula was beyond the typesetter.
        assert!(!html.contains("merror") && !html.contains("://"), "an error in a formula");
        assert_eq!(html.matches("<img").count(), html.matches(" alt=\"").count());
    }
}
