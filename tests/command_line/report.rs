//! `gradus report`: the page, and what lies beside it.

use super::{gradus, refused, text};
use std::fs;
use std::path::Path;

/// The homework's parts in their order.
const PARTS: [&str; 15] =
    ["1a", "1b", "1c", "1d", "1e", "2a", "2b", "2c", "2d", "3a", "3b", "3c", "5a", "5b", "5c"];

/// Whether these stand in a text in this order, each once.
#[track_caller]
fn in_order(text: &str, headings: impl Iterator<Item = String>) {
    let places = headings.map(|heading| {
        assert_eq!(text.matches(&heading).count(), 1, "{heading}");
        text.find(&heading)
    });
    assert!(places.is_sorted());
}

/// What a report leaves besides its page: LaTeX that can be taken elsewhere, and a notebook; the author's name
/// and the acknowledgement are text in both.
fn handed_in(out: &Path, json: &serde_json::Value, page: &str) {
    let tex = fs::read_to_string(out.join("latex/report.tex")).unwrap();
    in_order(&tex, PARTS.iter().map(|part| format!("section*{{{part}. ")));
    assert!(tex.contains("\\author{\\textbackslash{}input\\{x\\} \\& \\$(id)\\$ $<$b$>$}"), "the author");
    assert!(tex.contains("I worked with \\{1+1\\} \\$y\\$ and 'z'."), "the acknowledgement");
    let pictures: Vec<&str> =
        tex.split("{figures/").skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
    assert_eq!(pictures.len(), page.matches("<img").count());
    for picture in pictures {
        assert!(
            fs::read(out.join("latex/figures").join(picture)).unwrap().starts_with(b"\x89PNG"),
            "{picture}"
        );
    }
    let notebook = fs::read_to_string(json["notebook"].as_str().unwrap()).unwrap();
    let notebook: serde_json::Value = serde_json::from_str(&notebook).unwrap();
    assert_eq!(notebook["nbformat"], 4);
    let (mut markdown, mut code, mut pictures) = (String::new(), String::new(), 0);
    for cell in notebook["cells"].as_array().unwrap() {
        let source = cell["source"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
        let to = if cell["cell_type"] == "code" { &mut code } else { &mut markdown };
        to.extend(source);
        to.push('\n');
        let outputs = cell["outputs"].as_array().map_or(&[][..], Vec::as_slice);
        pictures += outputs.iter().filter(|output| output["data"]["image/png"].is_string()).count();
    }
    in_order(&markdown, PARTS.iter().map(|part| format!("\n### {part}. ")));
    assert_eq!(pictures, page.matches("<img").count());
    let author =
        "<span>&#92;</span>input&#123;x&#125; &#38; <span>&#36;</span>(id)<span>&#36;</span> &#60;b&#62;";
    assert!(markdown.contains(author) && code.contains("!gradus lr-range --data synthetic:48"));
    // The command of the page has the author's name: Python is not to read it.
    assert!(code.starts_with("%%bash\ngradus report --author '\\input{x} & $(id)$ <b>' --with "), "{code}");
}

/// The homework's page of a run: every part has its section, nothing is fetched, each figure says what it is
/// of.
pub fn reported(run: &str, folder: &Path) {
    let out = folder.join("report");
    let (author, with) = ("\\input{x} & $(id)$ <b>", "{1+1} $y$ and 'z'");
    let made = gradus(&[
        "report",
        "--author",
        author,
        "--with",
        with,
        "--alexnet",
        run,
        "--quick",
        "-o",
        out.to_str().unwrap(),
        "--json",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let page = fs::read_to_string(json["page"].as_str().unwrap()).unwrap();
    in_order(&page, PARTS.iter().map(|part| format!("\">{part}. ")));
    assert!(page.contains("<p class=\"author\">\\input{x} &amp; $(id)$ &lt;b&gt;</p>"));
    assert!(page.contains("<p>Acknowledgement: I worked with {1+1} $y$ and 'z'.</p>"));
    handed_in(&out, &json, &page);
    for link in page.split("href=\"#").skip(1).map(|l| l.split('"').next().unwrap()) {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link} leads nowhere");
    }
    assert!(!page.contains("://") && !page.contains("merror"));
    let four = page.split("id=\"q4\"").nth(1).unwrap().split("id=\"q5\"").next().unwrap();
    assert_eq!(four.matches("<figure>").count(), 17);
    assert_eq!(four.matches("(Synthetic shapes)\">").count(), 17);
    // What stands under a figure makes it: with the depth, the seed, and every setting of the run.
    for command in [
        format!("gradus report --alexnet {run} --cifar synthetic:48 --quick --seed 1234 -o report"),
        format!(
            "gradus train alexnet --data synthetic:48 --arch cifar --epochs 1 --batch 256 --lr 0.001 \
             --val-fraction 0.1 --precision f32 --seed 1234 --out {run}"
        ),
        "gradus lr-range --data synthetic:48 --arch cifar --batch 64 --seed 1234".into(),
        "gradus descent --a 1 --b 4 --lr 0.25; gradus descent --a 1 --b 4 --lr 0.5; ".into(),
    ] {
        assert!(page.contains(&format!("Made by <code>{command}")), "{command}");
    }
    assert!(page.contains("classes shown the network sees") && !page.contains("Inputs taken for a class"));
    assert_eq!(json["pdf"].is_string(), out.join("report.pdf").is_file());
    refused(&["report", "--alexnet", run, "-o", out.to_str().unwrap()], &["exists already", "--force"]);
    refused(
        &["report", "--alexnet", run, "--cifar", "synthetic:50", "-o", "x"],
        &["is not the data", "--cifar"],
    );
}
