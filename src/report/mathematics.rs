//! Mathematics in a page: LaTeX's language as MathML, and the font that it is set in.
//!
//! A browser sets roots, fractions and growing brackets by measures that only a font made for mathematics has. Few
//! systems come with one, so a page with formulas brings its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Parser, Storage, push_mathml};

/// Some letters of Latin Modern Math (assets/README.md tells more).
const FONT: &[u8] = include_bytes!("../../assets/mathematics.woff2");

/// LaTeX's mathematics as MathML.
pub(super) fn mathml(math: &str, display_mode: DisplayMode) -> String {
    let storage = Storage::new();
    let mut out = String::new();
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    // Writing into a string cannot fail; what is not understood is shown as such.
    let _ = push_mathml(&mut out, Parser::new(math, &storage), config);
    debug_assert_eq!(lacking(&out), "", "no letters of the font for {math}");
    // The sign that is less than is written as it is, which HTML would take for the beginning of an element.
    out.replace("><</", ">&lt;</")
}

/// The characters of some MathML that the font lacks. What is not seen (U+2061: a function is applied) needs no letter.
fn lacking(mathml: &str) -> String {
    let known = include_str!("../../assets/mathematics.txt");
    let texts = mathml.split('<').filter_map(|tag| tag.split_once('>'));
    let letters = texts.flat_map(|(_, text)| text.chars());
    letters.filter(|&c| !known.contains(c) && !matches!(c, '\u{2061}'..='\u{2064}')).collect()
}

/// What a page's style says of the font.
pub(super) fn style() -> String {
    format!(
        "@font-face {{ font-family: 'gradus mathematics'; src: url(data:font/woff2;base64,{}); }}\n\
         math {{ font-family: 'gradus mathematics', 'Latin Modern Math', 'STIX Two Math', 'Cambria Math', math; }}\n",
        STANDARD.encode(FONT)
    )
}

#[cfg(test)]
mod tests {
    use super::{lacking, mathml};
    use pulldown_latex::config::DisplayMode;

    #[test]
    fn letters_that_the_font_lacks_are_noticed() {
        let known = mathml("\\frac{\\partial L}{\\partial w} = \\sqrt{\\kappa} \\ge 0", DisplayMode::Inline);
        assert_eq!(lacking(&known), "");
        assert_eq!(lacking("<math><mi>я</mi><mo>=</mo><mi>x</mi></math>"), "я");
    }
}
