//! The served pages in a real browser: what is dragged changes the numbers to the library's, nothing is
//! fetched from elsewhere, and the pages fit a phone, light and dark.
#![cfg(feature = "browser")]

mod devtools;
mod lab;

use devtools::Browser;
use gradus::run::{Existing, Run};
use serde_json::json;
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
            run.epoch(epoch, &[], &row).unwrap();
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
            run.epoch(epoch, &[], &[("train/loss", lr * 100.0 / epoch as f64), ("val/loss", lr)]).unwrap();
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
