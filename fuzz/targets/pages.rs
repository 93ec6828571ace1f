//! Pages: the report that names get into, and the two served ones.
//!
//! A name stands in HTML and in LaTeX as text alone: what is written there is read here by a grammar that has
//! no active sign, and is the name again. A request is answered or refused and never fails; no file but a
//! run's pictures is served.

use super::bytes::Bytes;
use gradus::image::Image;
use gradus::lessons::filtering::{Shown, filter};
use gradus::lessons::filters::{Border, Filter};
use gradus::report::Page;
use gradus::run::status::Follower;
use gradus::serve::http::{Request, Response};
use gradus::serve::{lab as lab_page, watch as watch_page};
use gradus::shell::Typed;
use serde_json::Value;
use std::fs;
use std::sync::Mutex;
use tempfile::TempDir;

/// Signs of a page's text in HTML that stand for themselves.
const ENTITIES: [(&str, char); 4] = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"')];
/// What LaTeX reads as a sign, and not as a command of its own.
const SIGNS: [&str; 36] = [
    "\\textbackslash{}",
    "\\textasciitilde{}",
    "\\textasciicircum{}",
    "\\#",
    "\\$",
    "\\%",
    "\\&",
    "\\_",
    "\\{",
    "\\}",
    "$<$",
    "$>$",
    "$|$",
    "$^2$",
    "$\\cdot$",
    "$\\times$",
    "$\\le$",
    "$\\ge$",
    "$\\to$",
    "$\\alpha$",
    "$\\eta$",
    "$\\kappa$",
    "$\\pi$",
    "$\\rho$",
    "$\\omega$",
    "''",
    "--",
    "\\allowbreak{}",
    "\\textquotesingle{}",
    "\\textquotedbl{}",
    "\\textasciigrave{}",
    "{-}",
    "$\\beta$",
    "$\\varepsilon$",
    " ",
    "?",
];

fn from_html(mut html: &str) -> String {
    let mut text = String::new();
    while let Some(c) = html.chars().next() {
        assert!(!['<', '>', '"'].contains(&c), "{c} is active: {html}");
        match ENTITIES.iter().find(|(entity, _)| html.starts_with(entity)) {
            Some((entity, meant)) => {
                text.push(*meant);
                html = &html[entity.len()..];
            }
            None => {
                assert!(c != '&', "an entity that is none: {html}");
                text.push(c);
                html = &html[c.len_utf8()..];
            }
        }
    }
    text
}

fn is_text_in_latex(mut latex: &str) {
    while let Some(c) = latex.chars().next() {
        let sign = SIGNS.iter().find(|sign| latex.starts_with(**sign));
        let plain = !"\\{}$&#^_%~<>|\"".contains(c)
            && ((' '..='\u{17f}').contains(&c) || "ȘșȚț‘’“”—…".contains(c))
            && !c.is_control();
        assert!(sign.is_some() || plain, "{c:?} is active: {latex:?}");
        latex = &latex[sign.map_or(c.len_utf8(), |sign| sign.len())..];
    }
}

/// What stands between each two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    text.split(from).skip(1).map(|rest| rest.split_once(to).unwrap().0).collect()
}

/// A name in each place of a report.
pub fn text(data: &[u8]) {
    let name: String = String::from_utf8_lossy(data).into_owned();
    let mut page = Page::new(name.clone());
    let typed = Typed::from("gradus").word(&name);
    page.text(name.clone()).command([typed.clone()]).table([vec![name.clone()], vec![name.clone()]]);
    let html = page.html();
    let body = html.split_once("<h1>").unwrap().1;
    assert_eq!(from_html(body.split_once("</h1>").unwrap().0), name);
    assert_eq!(from_html(between(body, "<p>", "</p>")[0]), name);
    assert_eq!(from_html(between(body, "<code>", "</code>")[0]), typed.to_string());
    assert_eq!(from_html(between(&html, "<title>", "</title>")[0]), name);
    let cells = between(body, "<tr>", "</tr>");
    assert!(cells.len() == 2 && cells.iter().all(|cell| cell.matches(['<', '>']).count() == 4), "{cells:?}");
    let latex = page.latex().0;
    is_text_in_latex(between(&latex, "\\title{", "}\n\\author")[0]);
    let (text, rest) = latex
        .split_once("\\maketitle\n")
        .unwrap()
        .1
        .split_once("\n\n{\\small\\raggedright Made by ")
        .unwrap();
    is_text_in_latex(text);
    is_text_in_latex(between(rest, "\\texttt{", "}\\par}")[0]);
    is_text_in_a_notebook(&page.notebook(), &name);
}

/// In Markdown what is neither a letter nor harmless is a number, and what begins mathematics is alone in its
/// element; a cell that IPython reads holds nothing that is Python's.
fn is_text_in_a_notebook(notebook: &str, name: &str) {
    let notebook: Value = serde_json::from_str(notebook).unwrap();
    let source = |cell: &Value| {
        cell["source"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<String>()
    };
    let cells: Vec<_> = notebook["cells"].as_array().unwrap().iter().map(source).collect();
    assert_eq!(cells.len(), 3);
    let (title, text) = cells[0].split_once("\n\n").unwrap_or((&cells[0], ""));
    for text in [title.strip_prefix("# ").unwrap_or_default(), text] {
        let numbers = text.replace("<span>", "").replace("</span>", "");
        assert!(
            !numbers.contains(['<', '>', '$', '\\', '`', '*', '_', '[', ']', '{', '}', '!', '\n']),
            "{numbers:?}"
        );
    }
    let python = !name.contains(|c: char| c.is_control() || "{}$\\".contains(c));
    assert_eq!(cells[1].starts_with("!gradus "), python, "{:?}", cells[1]);
    assert!(python || cells[1].starts_with("%%bash\ngradus "), "{:?}", cells[1]);
}

/// The bytes of a request: it is read, refused, or more of it must come; what it begins with does not change
/// that.
pub fn http(data: &[u8]) {
    const PORT: u16 = 8000;
    let read = Request::read(data, PORT);
    match &read {
        Ok(Some(request)) => {
            assert!(
                ["GET", "HEAD", "POST"].contains(&request.method.as_str()) && request.path.starts_with('/')
            );
            assert!(!request.path.contains(['?', '#']) && request.body.len() <= data.len());
        }
        Ok(None) => {}
        Err(refusal) => {
            assert!((400..432).contains(&refusal.status));
            let value: Value = serde_json::from_slice(&refusal.body).unwrap();
            assert!(value["error"].is_string() && refusal.bytes(false).ends_with(&refusal.body));
        }
    }
    for cut in [data.len() / 2, data.len().saturating_sub(1)] {
        let before = Request::read(&data[..cut], PORT);
        assert!(matches!(before, Ok(None)) || before == read, "{before:?}, then {read:?}");
    }
}

fn is_answered(response: &Response) {
    assert!([200, 400, 404, 405].contains(&response.status), "{}", String::from_utf8_lossy(&response.body));
    if response.kind == "application/json" {
        let value: Value = serde_json::from_slice(&response.body).unwrap();
        assert!(response.status == 200 || value["error"].is_string());
    }
}

fn request(bytes: &mut Bytes, paths: &[&str]) -> Request {
    let method = ["POST", "GET", "HEAD", "PUT"][usize::from(bytes.byte() / 16 % 4)];
    let path = match paths.get(usize::from(bytes.byte())) {
        Some(path) => path.to_string(),
        None => format!("/{}", bytes.text(24)),
    };
    Request { method: method.into(), path, body: bytes.rest().to_vec() }
}

/// What the page about boxes and descent asks.
pub fn lab(data: &[u8]) {
    let request = request(&mut Bytes(data), &["/api/iou", "/api/descent", "/", "/api/filter/", "//"]);
    if request.path == "/api/filter" {
        return;
    }
    let response = lab_page::answer(&request);
    is_answered(&response);
    if response.status == 200 && request.path == "/api/iou" {
        let [asked, value]: [Value; 2] =
            [&request.body, &response.body].map(|t| serde_json::from_slice(t).unwrap());
        // Of boxes without an extent some gradients are none, as in torchvision.
        let extended = |name: &str| {
            let at = |k: usize| asked[name][k].as_f64().unwrap_or(0.0);
            at(2) - at(0) > 1e-3 && at(3) - at(1) > 1e-3
        };
        for metric in value["metrics"].as_array().unwrap() {
            let known = metric["value"].is_f64() && metric["a"].as_array().unwrap().iter().all(Value::is_f64);
            assert!(known || !extended("a") || !extended("b"), "{metric}");
        }
    }
}

/// What it asks of a picture: the filter, and a few pixels through it. A photograph would take a thousand
/// times as long, and tell no more.
pub fn lab_filter(data: &[u8]) {
    let Ok(asked) = serde_json::from_slice::<lab_page::Filtering>(data) else { return };
    match Filter::try_from(asked) {
        Ok(f) => {
            let seen = filter(&f, &Image::filled(4, 3, [40, 90, 200]), Border::Reflect, Shown::Signed);
            assert!(
                seen.min <= seen.max && seen.max.is_finite() && f.gain().is_none_or(f64::is_finite),
                "{:?}",
                f.kind
            );
        }
        Err(e) => assert_eq!(e.exit_code(), 2, "{e}"),
    }
}

thread_local! {
    static RUN: (TempDir, [Mutex<Follower>; 1]) = {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        for name in ["secret", "run/secret.png", "run/weights.safetensors"] {
            fs::write(folder.path().join(name), "nobody is to see this").unwrap();
        }
        fs::write(folder.path().join("run/results.png"), "a picture").unwrap();
        let follower = Follower::new(folder.path().join("run"));
        (folder, [Mutex::new(follower)])
    };
}

/// What the page that follows a run asks.
pub fn watch(data: &[u8]) {
    let paths = [
        "/",
        "/api/runs",
        "/pictures/0/results.png",
        "/pictures/0/secret.png",
        "/pictures/0/../secret",
        "/pictures/1/x",
    ];
    let request = request(&mut Bytes(data), &paths);
    let response = RUN.with(|(_, follower)| watch_page::answer(follower, &request));
    is_answered(&response);
    let secret = b"nobody is to see";
    assert!(!response.body.windows(secret.len()).any(|w| w == secret), "{} is served", request.path);
}
