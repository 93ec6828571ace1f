//! Question 2: four filters of nine weights designed by hand, why they do what they are for, and what they do to a
//! photograph, in numbers.

use super::claims;
use crate::error::Result;
use crate::image::{Image, caption_grid};
use crate::lessons::filtering::{Shown, filter, photograph, response_picture};
use crate::lessons::filters::{Border, Filter, Kernel3, Kind, find};
use crate::numbers::number;
use crate::report::{Math, Page, Rich};
use crate::shell::Typed;
use gradus_core::Rng;

/// A part of the question: its heading's name and words, the filter that answers it, and one to compare it with.
const PARTS: [[&str; 4]; 4] = [
    ["q2a", "2a. Edges", "laplacian", "sobel"],
    ["q2b", "2b. Blur", "binomial", ""],
    ["q2c", "2c. Horizontal sharpening", "sharpen-horizontal", ""],
    ["q2d", "2d. Noise reduction", "box", "median"],
];

/// A photograph with noise: normal of deviation 20, and one pixel of 25 black or white.
fn noisy(photo: &Image) -> Image {
    let mut rng = Rng::seed(0).stream("noise");
    let mut value = |v: &u8| match rng.below(50) {
        0 => 0,
        1 => u8::MAX,
        _ => (f64::from(*v) + 20.0 * rng.normal()).round().clamp(0.0, 255.0) as u8,
    };
    Image::from_u8(photo.width(), photo.height(), 1, photo.as_u8().iter().map(&mut value).collect())
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

/// What the sum of the weights and that of their squares say.
fn sums(f: &Filter) -> String {
    let (Some(gain), Some(noise)) = (f.gain(), f.noise_gain()) else { return String::new() };
    let flat = if gain == 0.0 { "flat areas become 0" } else { "flat areas keep their value" };
    format!(
        "The nine weights sum to {}: {flat}. Their squares sum to {}: by that the variance of white noise is multiplied.",
        number(gain),
        number(noise)
    )
}

/// The mean difference of neighbours, horizontal and vertical.
fn roughness(image: &Image) -> [f64; 2] {
    let (w, h, gray) = (image.width(), image.height(), image.as_u8());
    let mean = |step: usize, columns: usize, rows: usize| {
        let of = |i: usize| {
            let at = i / columns * w + i % columns;
            f64::from(gray[at].abs_diff(gray[at + step]))
        };
        (0..columns * rows).map(of).sum::<f64>() / (columns * rows) as f64
    };
    [mean(1, w - 1, h), mean(w, w, h - 1)]
}

/// The root of the mean square of the difference.
fn distance(a: &Image, b: &Image) -> f64 {
    let squares =
        a.as_u8().iter().zip(b.as_u8()).map(|(&a, &b)| f64::from(a.abs_diff(b)) * f64::from(a.abs_diff(b)));
    (squares.sum::<f64>() / a.as_u8().len() as f64).sqrt()
}

/// What is to be seen of a filter's work, in numbers: `clean` is the photograph without noise.
fn seen(f: &Filter, clean: &Image, before: &Image, after: &Image) -> String {
    let [[x, y], [new_x, new_y]] = [before, after].map(roughness);
    let magnitude = matches!(f.kind, Kind::Magnitude { .. });
    if magnitude || f.gain() == Some(0.0) {
        let (zero, tenth) = if magnitude { (0.0, 25.5) } else { (127.5, 12.75) };
        let flat = after.as_u8().iter().filter(|&&v| (f64::from(v) - zero).abs() < tenth).count();
        let share = 100.0 * flat as f64 / after.as_u8().len() as f64;
        let ground = if magnitude { "Black" } else { "Mid-gray" };
        format!(
            "{ground} is 0: {share:.0} % of the pixels lie within a tenth of the greatest value of it, and what stands out are edges."
        )
    } else if before.as_u8() != clean.as_u8() {
        format!(
            "The distance to the photograph without noise (root of the mean square) falls from {:.1} to {:.1} gray levels of 255.",
            distance(before, clean),
            distance(after, clean)
        )
    } else {
        format!(
            "Neighbours side by side differ by {x:.1} gray levels before and {new_x:.1} after, neighbours one above the other \
             by {y:.1} and {new_y:.1}."
        )
    }
}

/// The part of the neighbours' difference that a filter adds, horizontal and vertical: 1.5 is half as much again.
fn gains(before: &Image, after: &Image) -> [f64; 2] {
    let [[x, y], [new_x, new_y]] = [before, after].map(roughness);
    [new_x / x, new_y / y]
}

/// How the other filters for the same purpose do on the same photograph, and why the chosen one is the answer.
fn against(part: &str, clean: &Image, photo: &Image) -> Option<Rich> {
    let after = |name: &str| Some(filter(find(name)?, photo, Border::Reflect, Shown::Signed).image);
    match part {
        "q2c" => {
            let [[x, y], [all_x, all_y]] =
                [gains(photo, &after("sharpen-horizontal")?), gains(photo, &after("sharpen")?)];
            let told = format!(
                "Measured by the differences of neighbours, it multiplies those side by side by {x:.2} and those one above the \
                 other by {y:.2}; sharpen, the image minus its Laplacian in both directions, multiplies them by {all_x:.2} and \
                 {all_y:.2}. "
            );
            let why = if 1.0 < y && y < x && y < all_y {
                "What is asked for is the horizontal direction alone, which is why the weights above and below are 0: the \
                 vertical differences grow less than the horizontal ones, and less than by sharpen. They do grow, since each \
                 row is sharpened by itself, and what was alike in two neighbouring rows need not be so afterwards; it is \
                 waves of $\\omega_x = 0$ that pass as they are."
            } else {
                "On this photograph these numbers do not tell the directions apart: the response does, by which waves of \
                 $\\omega_x = 0$ pass as they are."
            };
            Some(Rich::from(told).then(why))
        }
        "q2d" => {
            let left = |name: &'static str| Some((distance(&after(name)?, clean), name));
            let mut tried =
                ["box", "binomial", "median"].map(left).into_iter().collect::<Option<Vec<_>>>()?;
            let linear = tried[..2].to_vec();
            tried.sort_by(|a, b| a.0.total_cmp(&b.0));
            let told = tried.iter().map(|(d, name)| format!("{name} {d:.1}")).collect::<Vec<_>>().join(", ");
            let first = format!(
                "Of the noise, which is {:.1} gray levels away from the photograph without it, they leave: {told}. ",
                distance(photo, clean)
            );
            let best = if tried[0].1 == "median" {
                "On this noise the median does better than both means: it drops the black and the white pixels, which a mean \
                 spreads. It is no answer to the question as it is asked, though, since a 3x3 filter is nine weights, and the \
                 median has none: it is not linear. "
            } else {
                "On this noise the median, which is not linear, does no better than the means. "
            };
            let among = if linear[0].0 <= linear[1].0 {
                "Among the linear ones box leaves less here than binomial, although it blurs the photograph more. Of white noise \
                 alone it leaves least: of nine weights that sum to 1 equal ones have the least sum of squares, 1/9 against \
                 9/64. With less noise the blur counts for more."
            } else {
                "Among the linear ones binomial leaves less here than box, which blurs the photograph itself more; of the \
                 noise alone box leaves least, since of nine weights that sum to 1 equal ones have the least sum of squares, \
                 1/9 against 9/64. That is why it is the one chosen for noise."
            };
            Some(Rich::from(first).then(best).then(among))
        }
        _ => None,
    }
}

fn show(page: &mut Page, clean: &Image, photo: &Image, f: &Filter) -> Result<()> {
    if let Some(weights) = weights(f) {
        page.formula(weights);
    }
    page.text(Rich::from(f.why).then(format!(" {}", sums(f))));
    let after = filter(f, photo, Border::Reflect, Shown::Signed).image;
    let caption = format!("{}. {}", f.name, seen(f, clean, photo, &after));
    let pair = [(photo.clone().to_rgb8(), "before".to_string()), (after.to_rgb8(), f.name.to_string())];
    page.figure(&caption_grid("", &pair, 2, 256), caption)?;
    Ok(())
}

/// Which waves a filter passes, in a picture; nothing of one that is not linear.
fn response(page: &mut Page, f: &Filter) -> Result<()> {
    let Some(picture) = response_picture(f) else { return Ok(()) };
    let pi = std::f64::consts::PI;
    let gain =
        |x: f64, y: f64| f.response(x, y).map_or(f64::NAN, |(re, _)| if re.abs() < 1e-12 { 0.0 } else { re });
    let caption = format!(
        "Which waves {} passes: flat areas, in the middle, times {}; the finest stripes side by side times {}, one above the \
         other times {}, the finest chequers times {}.",
        f.name,
        number(gain(0.0, 0.0)),
        number(gain(pi, 0.0)),
        number(gain(0.0, pi)),
        number(gain(pi, pi))
    );
    page.figure(&picture, caption)?;
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
    let clean = photograph(256)?.to_gray8();
    for [name, heading, chosen, other] in PARTS {
        page.part(name, heading);
        let photo = if name == "q2d" { noisy(&clean) } else { clean.clone() };
        if name == "q2d" {
            page.text(
                "The photograph has noise here: normal of deviation 20, and one pixel of 25 black or white. The mean leaves \
                 a third of the first and smears the second; the median removes the second.",
            );
        }
        for (told, f) in [("The filter chosen: ", chosen), ("To compare it with: ", other)] {
            let Some(f) = find(f) else { continue };
            page.text(Rich::from(told).then(f.name).then("."));
            show(page, &clean, &photo, f)?;
            let shown =
                Typed::from("gradus filter").word(f.name).word("photo.png").option("-o", ["filtered.png"]);
            let draws = matches!(f.kind, Kind::Linear { .. });
            if draws {
                response(page, f)?;
            }
            page.likewise(if draws { shown.option("--response", ["response.png"]) } else { shown });
        }
        if let Some(words) = against(name, &clean, &photo) {
            page.text(words);
        }
    }
    page.text("Photograph: \"Cameraman\" by Lav Varshney, CC0.");
    claims(page, 'F');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the captions say is so: noise goes, blur smooths, sharpening works across alone.
    #[test]
    fn captions_are_measured() {
        let clean = photograph(64).unwrap().to_gray8();
        let after = |name: &str, image: &Image| {
            filter(find(name).unwrap(), image, Border::Reflect, Shown::Signed).image
        };
        let noise = noisy(&clean);
        let [before, mean, median] =
            [&noise, &after("box", &noise), &after("median", &noise)].map(|image| distance(image, &clean));
        assert!(median < mean && mean < before && before > 20.0, "{before} {mean} {median}");
        assert_eq!(distance(&clean, &clean), 0.0);
        let [x, y] = roughness(&clean);
        let [sharp_x, sharp_y] = roughness(&after("sharpen-horizontal", &clean));
        let [blurred_x, blurred_y] = roughness(&after("binomial", &clean));
        assert!(sharp_x > 1.5 * x && blurred_x < x && blurred_y < y, "{x} {sharp_x} {blurred_x}");
        assert!(sharp_x / x > sharp_y / y);
        // What is said of the alternatives follows the same numbers.
        let plain = |part: &str, photo: &Image| against(part, &clean, photo).unwrap().plain();
        let said = plain("q2d", &noise);
        assert!(
            said.contains(&format!("median {median:.1}, ")) && said.contains("does better than both means"),
            "{said}"
        );
        let said = plain("q2d", &clean);
        assert!(said.contains("which is 0.0 gray levels away"), "{said}");
        let said = plain("q2c", &clean);
        assert!(said.contains(&format!("by {:.2} and those one above", sharp_x / x)), "{said}");
        assert!(said.contains("alone, which is why"), "{said}");
        let ramp = Image::from_u8(3, 2, 1, vec![0, 5, 10, 7, 12, 17]);
        assert_eq!(roughness(&ramp), [5.0, 7.0]);
        assert!(seen(find("box").unwrap(), &clean, &noise, &clean).contains("to 0.0 gray"));
    }
}
