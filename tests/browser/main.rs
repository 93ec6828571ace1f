//! The served pages in a real browser: what is dragged changes the numbers to the library's, nothing is
//! fetched from elsewhere, and the pages fit a phone, light and dark.
#![cfg(feature = "browser")]

mod devtools;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devtools::Browser;
use gradus::image::{Image, Limits};
use gradus::lessons::filtering::{Shown, filter};
use gradus::lessons::filters::{Border, Filter, Kind};
use gradus::run::{Existing, Run};
use gradus_models::detection::boxes::{BBox, Metric};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The command serving, and where.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
        let mut child = command.args(args).args(["--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|w| w.starts_with("http://127.0.0.1:")).unwrap().to_string();
        Served { child, url }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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

/// Nothing was fetched from elsewhere, no script failed, and the page fits.
fn page_is_sound(browser: &mut Browser, url: &str, name: &str) {
    for (width, scheme) in [(1200, "light"), (1200, "dark"), (375, "light"), (375, "dark")] {
        browser.screen(width, scheme);
        let too_wide = browser.eval("document.documentElement.scrollWidth - innerWidth").as_f64().unwrap();
        assert!(too_wide <= 0.0, "{name} is {too_wide} pixels too wide at {width}");
        let paper = browser.eval("getComputedStyle(document.body).backgroundColor");
        assert_eq!(paper == "rgb(22, 23, 26)", scheme == "dark", "{paper}");
        browser.screenshot(&format!("{name}-{width}-{scheme}"));
    }
    let nameless = "[...document.querySelectorAll('input, select, button, img, [tabindex]')].filter(e => \
                    !(e.labels?.length || e.ariaLabel || e.alt || e.textContent.trim())).length";
    assert_eq!(browser.eval(nameless), 0, "each control and picture has a name");
    assert!(
        browser.requests.iter().all(|r| r.starts_with(url) || r.starts_with("data:")),
        "{:?}",
        browser.requests
    );
    assert!(browser.exceptions.is_empty(), "{:?}", browser.exceptions);
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

fn descent_follows_the_sliders(browser: &mut Browser) {
    let verdict = "document.querySelector('#verdict').textContent";
    browser.wait(&format!("{verdict} === 'converges'"));
    browser.click("#d-bound");
    browser.wait(&format!("{verdict} === 'alternates'"));
    assert_eq!(browser.eval("document.querySelector('#rho').textContent"), "0.75, -1");
    browser.eval("document.querySelector('#d-lr').focus()");
    browser.key("ArrowRight");
    browser.wait(&format!("{verdict} === 'diverges'"));
    browser.click("#d-best");
    browser.wait(&format!("{verdict} === 'converges'"));
    // (κ - 1) / (κ + 1) = 7/9 a step: ln 1e-6 / ln 7/9 = 54.97.
    assert_eq!(browser.eval("document.querySelector('#needed').textContent"), "55");
}

fn the_kernel_filters(browser: &mut Browser) {
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

#[test]
fn the_watch_page_follows_a_run_and_its_restart() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    std::fs::create_dir(&folder).unwrap();
    let watch = Served::start(&["watch", folder.to_str().unwrap()]);
    let mut browser = Browser::start();
    browser.open(&watch.url);
    let state = "document.querySelector('.state').textContent";
    browser.wait(&format!("{state}.startsWith('Waiting')"));

    let train = |run: &mut Run, epochs: std::ops::RangeInclusive<usize>| {
        for epoch in epochs {
            let loss = 2.0 / epoch as f64;
            let row = [
                ("train/loss", loss),
                ("val/loss", loss + 0.1),
                ("images_per_second", 512.0),
                ("seconds", 30.0),
            ];
            run.epoch(epoch, &row).unwrap();
        }
    };
    let settings = json!({ "task": "alexnet", "epochs": 5, "lr": 0.001 });
    let mut run = Run::open(&folder, &settings, Existing::Refuse).unwrap();
    train(&mut run, 1..=3);
    let facts = "document.querySelector('.facts').textContent";
    browser.wait(&format!(
        "{facts}.includes('3 of 5') && {facts}.includes('512.0') && {facts}.includes('1:00')"
    ));
    let points = "document.querySelectorAll('#curves figure')[0].querySelectorAll('circle').length";
    browser.wait(&format!("{points} === 6"));

    // What each op takes, once the run is profiled.
    let hidden = "document.querySelector('#profile').hidden";
    browser.wait(hidden);
    gradus_core::profile::start();
    drop(gradus_core::profile::span("matmul", "forward").work(|| (2e9, 0.0)));
    train(&mut run, 3..=3);
    let ops = "document.querySelector('#ops').textContent";
    browser.wait(&format!("!{hidden} && {ops}.includes('matmul forward')"));
    gradus_core::profile::finish();

    // Interrupted, rewound, resumed to the end.
    drop(run);
    let mut run = Run::open(&folder, &settings, Existing::Resume).unwrap();
    run.rewind(2).unwrap();
    browser.wait(&format!("{facts}.includes('2 of 5')"));
    train(&mut run, 3..=5);
    run.end(&json!({ "best_epoch": 5, "test": { "accuracy": 0.75 } }), &[]).unwrap();
    browser.wait(&format!("{state} === 'Done.' && {facts}.includes('75.0 %')"));
    page_is_sound(&mut browser, &watch.url, "watch");
}

/// A training that goes on for minutes, unless it is dropped.
struct Training(Child);

impl Training {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        self.kill();
    }
}

fn training(folder: &std::path::Path) -> Training {
    let child = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args([
            "train",
            "alexnet",
            "--data",
            "synthetic:6000",
            "--batch",
            "16",
            "--epochs",
            "4",
            "--quiet",
            "--out",
        ])
        .arg(folder)
        .stdout(Stdio::null())
        .spawn();
    Training(child.unwrap())
}

#[test]
fn the_watch_page_tells_the_living_from_the_dead_and_lays_runs_upon_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let folders = ["a", "b", "c"].map(|name| dir.path().join(name));
    for (folder, lr) in folders[1..].iter().zip([0.01, 0.001]) {
        let settings = json!({ "task": "alexnet", "epochs": 3, "lr": lr });
        let mut run = Run::open(folder, &settings, Existing::Refuse).unwrap();
        for epoch in 1..=3 {
            run.epoch(epoch, &[("train/loss", lr * 100.0 / epoch as f64), ("val/loss", lr)]).unwrap();
        }
    }
    let mut trained = training(&folders[0]);
    let args: Vec<&str> = folders.iter().map(|folder| folder.to_str().unwrap()).collect();
    // The page wants a folder that is there.
    while !folders[0].join("args.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let watch = Served::start(&[&["watch"], &args[..]].concat());
    let mut browser = Browser::start();
    browser.open(&watch.url);
    let state = "document.querySelectorAll('.state')[0].textContent";
    browser.wait(&format!("{state}.startsWith('Running: epoch 1')"));
    assert_eq!(browser.eval("document.querySelectorAll('.run').length"), 3);

    // The curve of the first epoch grows.
    let points = "([...document.querySelectorAll('#curves figure')].find(f => \
                  f.textContent.includes('loss of each step'))?.querySelector('polyline').points.length ?? 0)";
    browser.wait(&format!("{points} > 1"));
    let before = browser.eval(points).as_f64().unwrap();
    browser.wait(&format!("{points} > {before}"));
    // Both other runs have their lines in the panel of the loss, of training and validation.
    let lines = "document.querySelectorAll('#curves figure')[0].querySelectorAll('polyline').length";
    assert!(browser.eval(lines).as_f64() >= Some(4.0));
    let differ = "[...document.querySelectorAll('#settings tr')].filter(r => r.cells.length === 4).length";
    assert!(browser.eval(differ).as_f64() >= Some(1.0), "what runs differ in stands side by side");

    trained.kill();
    let killed = std::time::Instant::now();
    browser.wait(&format!("{state}.startsWith('Dead')"));
    assert!(killed.elapsed().as_secs_f64() < 10.0, "{:?}", killed.elapsed());
    page_is_sound(&mut browser, &watch.url, "watch-three");
}
