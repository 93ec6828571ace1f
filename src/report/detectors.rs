//! Question 5 of the homework: two two-stage detectors, side by side, from what their runs left.

use super::Page;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::run::status::{PICTURES, Status};
use serde_json::Value;
use std::path::Path;

/// pycocotools' twelve figures, in its order.
const FIGURES: [&str; 12] = [
    "AP at IoU 0.50 to 0.95",
    "AP at IoU 0.50",
    "AP at IoU 0.75",
    "AP, small",
    "AP, medium",
    "AP, large",
    "AR, 1 detection an image",
    "AR, 10 detections",
    "AR, 100 detections",
    "AR, small",
    "AR, medium",
    "AR, large",
];

/// Adds question 5 to a page; without runs, how to make them.
///
/// # Errors
/// A folder holds no finished run of a detector.
pub fn section(page: &mut Page, runs: Option<[&Path; 2]>) -> Result<()> {
    page.section("q5", "5. Two two-stage detectors");
    let Some(runs) = runs else {
        page.text("No detectors were given to this page. Two runs fill this section:").command(
            "gradus report --detectors runs/fasterrcnn-resnet50 runs/fasterrcnn-mobilenet -o report",
        );
        return Ok(());
    };
    let read = runs.map(|folder| (folder, Status::of(folder)));
    for (folder, status) in &read {
        if status.result["test"]["box"].as_array().is_none_or(|b| b.len() != FIGURES.len()) {
            return Err(Error::input("holds no finished run of a detector")
                .in_file(folder)
                .remedy("name two folders that `gradus train detector` has finished"));
        }
    }
    let name = |s: &Status| {
        let text = |key: &str| s.settings[key].as_str().unwrap_or("").to_string();
        format!("{} {}", text("model"), text("backbone"))
    };
    for kind in ["box", "mask"] {
        let values = read.each_ref().map(|(_, s)| s.result["test"][kind].as_array().cloned());
        if values.iter().all(Option::is_none) {
            continue;
        }
        let cell = |v: &Option<Vec<Value>>, i: usize| {
            v.as_ref().and_then(|v| v.get(i)?.as_f64()).map_or("-".to_string(), |v| format!("{v:.3}"))
        };
        let head = vec![format!("{kind}, test images"), name(&read[0].1), name(&read[1].1)];
        let rows = FIGURES
            .iter()
            .enumerate()
            .map(|(i, f)| vec![f.to_string(), cell(&values[0], i), cell(&values[1], i)]);
        page.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    for (folder, status) in &read {
        page.part("", &name(status)).origin(status.settings["data_name"].as_str().unwrap_or(""));
        for (file, caption) in PICTURES.iter().filter(|p| folder.join(p.0).is_file()) {
            page.figure(&Image::open(folder.join(file))?, &format!("{caption}."))?;
        }
        page.origin("").command(&format!("gradus train detector --out {}", folder.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Existing, Run};
    use serde_json::json;

    #[test]
    fn two_runs_stand_side_by_side_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let run = |name: &str, ap: f64| {
            let settings = json!({ "model": "fasterrcnn", "backbone": name, "data_name": "PennFudanPed" });
            let folder = dir.path().join(name);
            let mut run = Run::open(&folder, &settings, Existing::Refuse).unwrap();
            run.epoch(1, &[("train/loss", 1.0)]).unwrap();
            run.note(&json!({ "test": { "box": vec![ap; 12] } })).unwrap();
            folder
        };
        let (a, b) = (run("resnet50-fpn", 0.8125), run("mobilenet-v2", 0.75));
        let mut page = Page::new("detectors");
        section(&mut page, Some([&a, &b])).unwrap();
        let html = page.html().unwrap();
        assert!(html.contains("0.812") && html.contains("0.750") && html.contains("PennFudanPed"));
        let refused = section(&mut page, Some([&a, dir.path()])).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        section(&mut page, None).unwrap();
    }
}
