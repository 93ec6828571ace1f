//! The lab in a real browser: its numbers are the library's, its boxes can be grabbed wherever they lie, what is
//! refused stands beside its field, and each exercise can be solved and failed.

use super::devtools::Browser;
use super::{Served, page_is_sound};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gradus::image::{Image, Limits};
use gradus::lessons::filtering::{Shown, filter};
use gradus::lessons::filters::{Border, Filter, Kind};
use gradus_models::detection::boxes::{BBox, Metric};
use serde_json::Value;

fn parsed<T: serde::de::DeserializeOwned>(text: &Value) -> T {
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

/// The boxes that the page's numbers are about.
fn boxes(browser: &mut Browser) -> (BBox<f64>, BBox<f64>) {
    browser.wait("document.body.dataset.iou === JSON.stringify({ a: boxes.a, b: boxes.b })");
    let asked: Value = parsed(&browser.eval("document.body.dataset.iou"));
    let side = |name: &str| serde_json::from_value(asked[name].clone()).unwrap();
    (side("a"), side("b"))
}

/// Every number of the table is the library's.
fn table_is_the_librarys(browser: &mut Browser) {
    let (a, b) = boxes(browser);
    for metric in Metric::ALL {
        let row = format!("document.querySelector('tr[data-metric={}]')", metric.name());
        let shown: f64 = parsed(&browser.eval(&format!("{row}.dataset.value")));
        let gradient: BBox<f64> = parsed(&browser.eval(&format!("{row}.dataset.gradient")));
        let (value, da, _) = metric.gradient(&a, &b);
        assert!((shown - value).abs() < 1e-6, "{} {shown} {value}", metric.name());
        assert!(gradient.iter().zip(da).all(|(g, d)| (g - d).abs() < 1e-6), "{gradient:?} {da:?}");
        // What is read is the same number, to the six digits shown.
        let read: f64 =
            browser.eval(&format!("{row}.cells[1].textContent")).as_str().unwrap().parse().unwrap();
        assert!((read - value).abs() <= 5e-6 * value.abs().max(1e-300), "{read} {value}");
    }
}

#[test]
fn the_lab_shows_what_the_library_computes() {
    let lab = Served::start(&["lab"]);
    let mut browser = Browser::start();
    browser.open(&lab.url);
    table_is_the_librarys(&mut browser);
    let before = boxes(&mut browser);

    browser.drag("#a", 60.0, 35.0);
    let moved = boxes(&mut browser);
    assert!(moved.0[0] > before.0[0] && moved.0[1] > before.0[1] && moved.1 == before.1, "{moved:?}");
    table_is_the_librarys(&mut browser);
    browser.drag("#b-handle", -50.0, 20.0);
    let resized = boxes(&mut browser);
    assert!(resized.1[2] < moved.1[2] && resized.1[..2] == moved.1[..2], "{resized:?}");
    table_is_the_librarys(&mut browser);
    // By keyboard to where the boxes are apart: IoU's plateau.
    browser.eval("document.querySelector('#a').focus()");
    for key in ["ArrowLeft", "ArrowUp"].repeat(30) {
        browser.key(key);
    }
    browser.drag("#b", 200.0, 200.0);
    table_is_the_librarys(&mut browser);
    assert_eq!(browser.eval("document.querySelector('tr[data-metric=iou]').dataset.value"), "0");
    assert!(
        browser.eval("document.querySelector('#relation').textContent").as_str().unwrap().contains("apart")
    );

    descent_follows_the_sliders(&mut browser);
    the_kernel_filters(&mut browser);
    page_is_sound(&mut browser, &lab.url, "lab");
}

/// The text of an element.
fn text(browser: &mut Browser, selector: &str) -> String {
    browser.eval(&format!("document.querySelector('{selector}').textContent")).as_str().unwrap().to_string()
}

/// Writes into a field, or turns a slider, as a hand does.
fn enter(browser: &mut Browser, selector: &str, value: &str) {
    browser.eval(&format!(
        "(() => {{ const e = document.querySelector('{selector}'); e.value = '{value}'; e.dispatchEvent(new Event('input')); }})()"
    ));
}

fn descent_follows_the_sliders(browser: &mut Browser) {
    let verdict = "document.querySelector('#verdict').textContent";
    let rate = "document.querySelector('#d-lr-number').value";
    browser.wait(&format!("{verdict} === 'converges'"));
    browser.click("#d-bound");
    browser.wait(&format!("{verdict} === 'alternates'"));
    assert_eq!(text(browser, "[data-fact=factors]"), "A step multiplies w1 by 0.75, w2 by -1.");
    browser.eval("document.querySelector('#d-lr').focus()");
    browser.key("ArrowRight");
    browser.wait(&format!("{verdict} === 'diverges' && {rate} === '0.255'"));
    browser.click("#d-best");
    browser.wait(&format!("{verdict} === 'converges'"));
    // (κ - 1) / (κ + 1) = 7/9 a step: ln 1e-6 / ln 7/9 = 54.97.
    assert_eq!(text(browser, "[data-fact=needed]"), "Steps until the error is a millionth: 55.");
}

fn the_kernel_filters(browser: &mut Browser) {
    browser.wait("document.body.dataset.filter !== undefined");
    browser.eval("(() => { const c = document.querySelectorAll('#kernel input')[4]; c.value = 3; c.dispatchEvent(new Event('input')); })()");
    let weights = [[-1, 0, 1], [-2, 3, 2], [-1, 0, 1]];
    let asked = format!("JSON.stringify({{ weights: {weights:?}, divisor: 1 }})");
    browser.wait(&format!("document.body.dataset.filter === {asked}"));
    let photo = Image::decode(include_bytes!("../../assets/camera.png"), &Limits::default()).unwrap();
    let f = Filter { name: "", kind: Kind::Linear { weights, divisor: 1 }, why: "" };
    let result = filter(&f, &photo.crop(150, 40, 240, 240), Border::Reflect, Shown::Signed);
    let expected = format!("data:image/png;base64,{}", STANDARD.encode(result.image.encode_png().unwrap()));
    assert!(
        browser.eval("document.querySelector('#after').src") == expected.as_str(),
        "the filtered picture differs"
    );
    assert_eq!(browser.eval("document.querySelector('#gain').textContent"), "3");
    assert_eq!(browser.eval("document.querySelector('#noise').textContent"), "21");
}

/// Puts the boxes somewhere.
fn place(browser: &mut Browser, a: BBox<f64>, b: BBox<f64>) {
    browser.eval(&format!("boxes.a = {a:?}; boxes.b = {b:?}; drawBoxes('a')"));
    boxes(browser);
}

#[test]
fn a_box_is_grabbed_wherever_it_lies() {
    let lab = Served::start(&["lab"]);
    let mut browser = Browser::start();
    browser.open(&lab.url);
    let (inner, outer) = ([3.0, 3.0, 6.0, 6.0], [1.0, 1.0, 8.0, 8.0]);
    let moved = [4.0, 3.5, 7.0, 6.5];
    // A unit is 40 of the 434 that the picture is wide.
    let unit =
        browser.eval("document.querySelector('#plane').getBoundingClientRect().width").as_f64().unwrap()
            * 40.0
            / 434.0;
    for nested in ["a", "b"] {
        let order = |inner, outer| if nested == "a" { (inner, outer) } else { (outer, inner) };
        let (a, b) = order(inner, outer);
        place(&mut browser, a, b);
        browser.drag(&format!("#{nested}"), unit, unit / 2.0);
        assert_eq!(boxes(&mut browser), order(moved, outer), "the one within is on top");
        let off = [6.0, 6.0, 7.0, 7.0];
        let (a, b) = order(off, outer);
        place(&mut browser, a, b);
        browser.drag(if nested == "a" { "#b" } else { "#a" }, unit, unit / 2.0);
        assert_eq!(boxes(&mut browser), order(off, [2.0, 1.5, 9.0, 8.5]), "and the other where it is seen");
    }

    // Within another box nothing pushes a, and the page says so; elsewhere the arrow is long enough to be seen.
    place(&mut browser, inner, outer);
    assert!(text(&mut browser, "#push-note").starts_with("No arrow: Along both axes"));
    assert_eq!(browser.eval("document.querySelectorAll('#push *').length"), 0);
    place(&mut browser, [0.0, 0.0, 0.5, 0.5], [1.0, 1.0, 10.0, 10.0]);
    assert!(text(&mut browser, "#push-note").starts_with("The arrow points"));
    let length = "(() => { const l = document.querySelector('#push line'), p = k => Number(l.getAttribute(k)); \
                  return Math.hypot(p('x2') - p('x1'), p('y2') - p('y1')); })()";
    assert!(browser.eval(length).as_f64() >= Some(19.0));
    assert_eq!(browser.eval("document.querySelectorAll('#push polygon').length"), 1);
}

#[test]
fn a_method_is_told_what_holds_of_it_and_a_path_is_seen_to_diverge() {
    let lab = Served::start(&["lab"]);
    let mut browser = Browser::start();
    browser.open(&lab.url);
    let facts = |browser: &mut Browser, method: &str, verdict: &str| {
        enter(browser, "#d-optimizer", method);
        browser.wait(&format!(
            "JSON.parse(document.body.dataset.descent ?? '{{}}').optimizer === '{method}' && \
             document.querySelector('#verdict').textContent === '{verdict}'"
        ));
        let buttons = browser.eval("document.querySelector('#gd-only').hidden") == false;
        let told =
            browser.eval("[...document.querySelectorAll('#facts li')].map(li => li.dataset.fact).join(' ')");
        (told.as_str().unwrap().to_string(), buttons)
    };
    enter(&mut browser, "#d-lr-number", "0.3");
    assert_eq!(facts(&mut browser, "gd", "diverges"), ("factors limit best needed".into(), true));
    // w2 is multiplied by 1 - 0.3 * 8 = -1.4: it leaves the picture, which shows where to.
    let note = text(&mut browser, "#path-note");
    assert!(note.contains("leaves the picture with step") && note.contains("after 80 steps is at"), "{note}");
    assert_eq!(browser.eval("document.querySelectorAll('#path .arrow polygon').length"), 1);
    let labels = "[...document.querySelectorAll('#path > text')].map(t => t.textContent).join(' ')";
    let labels = browser.eval(labels);
    assert_eq!(labels, "-5 0 5 -5 0 5 w1 w2", "of the axes");

    assert_eq!(facts(&mut browser, "momentum", "converges"), ("roots limit needed".into(), false));
    assert!(text(&mut browser, "[data-fact=limit]").ends_with("0 < rate < 0.475 = 3.8 / max(a, b)."));
    assert!(text(&mut browser, "[data-fact=roots]").contains("of modulus 0.9487"));
    assert_eq!(browser.eval("document.querySelectorAll('#path .arrow').length"), 0);
    assert_eq!(facts(&mut browser, "nesterov", "diverges"), ("roots limit needed".into(), false));
    assert_eq!(facts(&mut browser, "adam", "observed"), ("limit".into(), false));
    assert!(text(&mut browser, "[data-fact=limit]").contains("neither limit nor best rate is proven"));
    // A loss below 0 is drawn too.
    enter(&mut browser, "#d-a-number", "-1");
    enter(&mut browser, "#d-lr-number", "0.2");
    assert_eq!(facts(&mut browser, "gd", "diverges"), ("factors limit needed".into(), true));
    assert!(text(&mut browser, "#losses-note").contains("It is below 0"));
    assert!(browser.eval("document.querySelector('#losses polyline').points.length").as_f64() >= Some(80.0));
}

#[test]
fn what_is_refused_stands_beside_its_field() {
    let lab = Served::start(&["lab"]);
    let mut browser = Browser::start();
    browser.open(&lab.url);
    browser.wait("document.body.dataset.filter !== undefined && document.body.dataset.descent !== undefined");
    let cell = |i: usize| format!("#kernel input:nth-child({i})");
    for (field, error, bad, said, good) in [
        ("#d-lr-number", "d-lr-error", "", "the learning rate is missing", "0.2"),
        ("#d-a-number", "d-a-error", "10000000", "a = 10000000 is beyond", "2"),
        ("#f-divisor", "f-divisor-error", "0", "the divisor is 0", "2"),
        (&cell(3), "kernel-error", "1.5", "weight 3 = 1.5 is not a whole number", "1"),
        (&cell(8), "kernel-error", "", "weight 8 is missing", "0"),
    ] {
        enter(&mut browser, field, bad);
        browser.wait(&format!("document.querySelector('#{error}').textContent.includes('{said}')"));
        let marked = "[...document.querySelectorAll('[aria-invalid=true]')]";
        let names = browser.eval(&format!("{marked}.map(e => e.getAttribute('aria-describedby')).join()"));
        assert_eq!(names, error, "it is marked, and no other");
        assert_eq!(browser.eval(&format!("{marked}[0] === document.querySelector('{field}')")), true);
        let below = format!(
            "document.querySelector('#{error}').getBoundingClientRect().top - document.querySelector('{field}').getBoundingClientRect().bottom"
        );
        let below = browser.eval(&below).as_f64().unwrap();
        assert!((0.0..120.0).contains(&below), "{error} is {below} pixels below its field");
        enter(&mut browser, field, good);
        browser
            .wait(&format!("document.querySelector('#{error}').textContent === '' && {marked}.length === 0"));
        assert_eq!(text(&mut browser, "#trouble"), "");
    }
}

#[test]
fn each_exercise_is_solved_and_failed_through_the_page() {
    let lab = Served::start(&["lab"]);
    let mut browser = Browser::start();
    browser.open(&lab.url);
    browser.wait("['iou', 'descent', 'filter'].every(kind => document.body.dataset[kind])");
    assert_eq!(
        browser.eval("document.querySelectorAll('[data-exercise] details').length"),
        9,
        "each has a hint"
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('[data-solved=no]').length"),
        9,
        "nothing is solved yet"
    );
    // Which are solved now, in the order of the page; those that were before keep a mark of it.
    let solved =
        "[...document.querySelectorAll('[data-solved=now]')].map(li => li.dataset.exercise).join(' ')";

    let mut press = |a, b, key: &str, before: &str, after: &str| {
        place(&mut browser, a, b);
        assert_eq!(browser.eval(solved), before);
        browser.eval("document.querySelector('#a').focus()");
        browser.key(key);
        boxes(&mut browser);
        assert_eq!(browser.eval(solved), after);
    };
    // From an edge to a corner, into the open, onto an edge; and away from an edge, within and across.
    press([1.0, 1.0, 3.0, 3.0], [3.0, 2.5, 5.0, 5.0], "ArrowUp", "", "corner plateau");
    press([1.0, 1.0, 3.0, 2.5], [3.0, 2.5, 5.0, 5.0], "ArrowUp", "corner plateau", "plateau");
    press([1.0, 1.0, 3.0, 2.5], [3.0, 2.5, 5.0, 5.0], "ArrowDown", "corner plateau", "");
    press([2.0, 4.0, 3.0, 5.0], [2.0, 2.0, 8.0, 8.0], "ArrowRight", "", "glide");
    press([1.5, 4.0, 9.0, 5.0], [2.0, 2.0, 8.0, 8.0], "ArrowRight", "glide", "");
    assert_eq!(browser.eval("document.querySelectorAll('[data-solved=before]').length"), 3);
    assert!(text(&mut browser, "[data-exercise=corner] .mark").contains("solved before"));
    assert!(text(&mut browser, "#iou-solved").starts_with("Solved: Let the boxes overlap"));

    for (method, a, b, lr, expected) in [
        ("gd", "8", "1", "0.2", "zigzag"),
        ("gd", "8", "1", "0.125", ""),
        ("gd", "8", "1", "0.25", ""),
        ("gd", "8", "1", "0.3", "one-way"),
        ("gd", "8", "8", "0.3", ""),
        ("momentum", "8", "8", "0.3", "momentum"),
        ("momentum", "8", "8", "0.5", ""),
        ("adam", "8", "8", "0.3", ""),
    ] {
        for (field, value) in
            [("#d-optimizer", method), ("#d-a-number", a), ("#d-b-number", b), ("#d-lr-number", lr)]
        {
            enter(&mut browser, field, value);
        }
        let asked = format!("{{ a: {a}, b: {b}, lr: {lr}, start: [1.2, 1], optimizer: '{method}' }}");
        browser.wait(&format!("document.body.dataset.descent === JSON.stringify({asked})"));
        assert_eq!(browser.eval(solved), expected, "{asked}");
    }

    for (weights, divisor, expected) in [
        ([[0, 0, 0], [1, 2, 1], [0, 0, 0]], 4, "stripes"),
        ([[0, 0, 0], [1, 2, 1], [0, 0, 0]], 5, ""),
        ([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], 1, "edges"),
        ([[-1, -2, -1], [0, 0, 0], [1, 2, 2]], 1, ""),
        ([[0, 0, 0], [0, 0, 1], [0, 0, 0]], 1, "shift"),
        ([[0, 0, 0], [1, 0, 0], [0, 0, 0]], 1, ""),
    ] {
        for (i, weight) in weights.as_flattened().iter().enumerate() {
            enter(&mut browser, &format!("#kernel input:nth-child({})", i + 1), &weight.to_string());
        }
        enter(&mut browser, "#f-divisor", &divisor.to_string());
        let asked = format!("JSON.stringify({{ weights: {weights:?}, divisor: {divisor} }})");
        browser.wait(&format!("document.body.dataset.filter === {asked}"));
        assert_eq!(browser.eval(solved), expected, "{weights:?} / {divisor}");
    }
    assert_eq!(browser.eval("document.querySelectorAll('[data-solved=before]').length"), 9);
    browser.screenshot("lab-solved");
}
